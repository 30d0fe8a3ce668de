"""The history of the models in the window: a click goes back, and a project keeps it."""

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.pixel_specs import LogisticSpec, MlpSpec
from napari_unetseg.core.training.model_history import Learnt
from napari_unetseg.core.training.train import train
from napari_unetseg.gui.project.autosave import Autosave
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.train.history_list import HistoryList
from napari_unetseg.gui.train.train_dock import TrainWidget


@pytest.fixture
def viewer(qapp):
    return ViewerModel()


@pytest.fixture
def session(viewer):
    return Session.of(viewer)


def model(seed=0, spec=None, **known):
    noise = np.random.default_rng(seed).random((24, 24)).astype(np.float32)
    lesson = TrainingPair(Image.of(noise), (noise > 0.5).astype(np.uint8))
    spec = spec or LogisticSpec(sigmas="1")
    known = {"name": f"m {seed}", "labels_are": "mask"} | known
    return train(spec, [lesson], TrainOptions(), **known).model


def test_rows_show_parent_data_and_score_the_newest_on_top(qtbot, session):
    made = HistoryList(session)
    qtbot.addWidget(made)
    first = model(0)
    session.add_model(first, origin="trained", learnt=[Learnt(image="cells", labels="strokes")])
    second = model(1, start=first)
    session.add_model(second, origin="trained")
    assert [made.text(row, 0) for row in (0, 1)] == ["✓ m 1", "m 0"]
    assert [made.text(row, 1) for row in (0, 1)] == ["m 0", "nothing"]
    assert made.text(1, 2) == f"{first.scores['dice']:.3f}"
    assert made.text(1, 3) == "576"
    assert "cells with strokes" in made.table.item(1, 0).toolTip()
    assert not made.table.item(0, 0).icon().isNull()
    made.close_events()


def test_no_score_is_shown_of_too_little(qtbot, session):
    made = HistoryList(session)
    qtbot.addWidget(made)
    scores = {"dice": 1.0, "held_out_pixels": 300, "held_out_least": 18, "held_out": "2 strokes"}
    session.add_model(replace(model(0), scores=scores), origin="trained")
    assert made.text(0, 2) == ""
    said = made.table.item(0, 0).toolTip()
    assert "Too little was held out for a score: 300 pixels in 2 strokes, only 18 pix" in said
    assert "Dice" not in said
    assert session.history.best().version.dice == 1.0
    made.close_events()


def test_a_click_goes_back_and_the_train_dock_follows(qtbot, viewer, session):
    train_dock = TrainWidget(viewer)
    qtbot.addWidget(train_dock)
    first = model(0, spec=MlpSpec(sigmas="1", layers=1, width=4))
    session.add_model(first, origin="trained")
    session.add_model(model(1), origin="trained")
    made = train_dock.history
    made.table.cellClicked.emit(1, 0)
    assert session.current is first
    assert made.text(1, 0) == "✓ m 0"
    assert [entry.version.number for entry in session.history] == [1, 2], "no new version"
    assert train_dock.rung.currentData() == "mlp"
    assert train_dock.start.currentData() is first
    assert train_dock.spec().width == 4
    made.table.cellClicked.emit(1, 0)
    assert session.current is first
    train_dock.close_tool()


def test_a_version_whose_weights_are_gone_says_so(qtbot, session):
    models = [model(seed) for seed in range(13)]
    for one in models:
        session.add_model(one)
    assert session.models == [m for m in models if m in session.models]
    assert len(session.models) < len(models)
    made = HistoryList(session)
    qtbot.addWidget(made)
    row = next(k for k, e in enumerate(made._entries) if e.model is None)
    made.choose(row)
    assert session.current is models[-1]
    assert "no longer kept" in made.details.text()
    made.close_events()


def test_a_project_keeps_the_history_and_who_is_current(qtbot, viewer, session, tmp_path):
    first, second = model(0), model(1)
    session.add_model(first, origin="trained", learnt=[Learnt(image="a", labels="b", ink=5)])
    session.add_model(second, origin="trained")
    keeper = Autosave.of(viewer)
    keeper.save_as(tmp_path / "p")
    qtbot.waitUntil(lambda: not keeper.busy, timeout=20_000)
    session.go_back(first)
    keeper.autosave()
    qtbot.waitUntil(lambda: not keeper.busy, timeout=20_000)
    keeper.set_automatic(False)
    other = ViewerModel()
    opener = Autosave.of(other)
    with qtbot.waitSignal(opener.opened, timeout=20_000):
        opener.open(tmp_path / "p")
    opener.set_automatic(False)
    found = Session.of(other)
    assert found.current.fingerprint == first.fingerprint
    assert found.history.versions == session.history.versions
    assert all(entry.model is not None for entry in found.history)


def test_a_damaged_history_is_told_and_the_models_are_there(qtbot, viewer, session, tmp_path):
    session.add_model(model(0), origin="trained")
    keeper = Autosave.of(viewer)
    keeper.save_as(tmp_path / "p")
    qtbot.waitUntil(lambda: not keeper.busy, timeout=20_000)
    keeper.set_automatic(False)
    (file,) = (tmp_path / "p" / "history").iterdir()
    file.write_bytes(b"{")
    other = ViewerModel()
    opener = Autosave.of(other)
    with qtbot.waitSignal(opener.opened, timeout=20_000) as told:
        opener.open(tmp_path / "p")
    opener.set_automatic(False)
    assert "history of the models is damaged" in told.args[0]
    assert [one.name for one in Session.of(other).models] == ["m 0"]
    assert len(Session.of(other).history) == 1
