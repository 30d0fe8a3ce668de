"""The Models dock: what is listed, loaded, tested, renamed, exported and deleted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.model_library import MOST_RECENT, ModelLibrary
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.models_io.native import load, save
from napari_unetseg.core.models_io.native.export_package import ExportOptions
from napari_unetseg.core.training.train import train
from napari_unetseg.gui.models import model_reader
from napari_unetseg.gui.models.models_dock import ModelsWidget
from napari_unetseg.gui.predict.predict_dock import PredictWidget
from napari_unetseg.gui.queue.queue_dock import QueueWidget
from napari_unetseg.gui.shared.model_choice import HEADING, ModelChoice
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.user_models import shelf
from napari_unetseg.gui.train.fine_tune_dock import FineTuneWidget


@pytest.fixture(scope="module")
def model():
    noise = np.random.default_rng(0).random((24, 24)).astype(np.float32)
    lesson = TrainingPair(Image.of(noise), (noise > 0.5).astype(np.uint8))
    how = {"name": "dots", "labels_are": "mask"}
    return train(LogisticSpec(sigmas="1"), [lesson], TrainOptions(), **how).model


@pytest.fixture
def dock(qtbot, model, tmp_path):
    shelf().path.unlink(missing_ok=True)
    save(model, tmp_path / "dots.zip")
    viewer = ViewerModel()
    widget = ModelsWidget(viewer)
    widget.viewer = viewer
    qtbot.addWidget(widget)
    widget.use_folder(tmp_path)
    yield widget
    widget.close_tool()
    shelf().path.unlink(missing_ok=True)


def choose(dock, name):
    names = [dock.list.item(row).text().split("\n")[0] for row in range(dock.list.count())]
    dock.list.setCurrentRow(names.index(name))


def told(qtbot, dock, words):
    qtbot.waitUntil(lambda: words in dock.message.text(), timeout=20_000)


def answer(monkeypatch, button):
    monkeypatch.setattr(QMessageBox, "question", lambda *words: button)


def test_headings_are_as_legible_as_models_and_cannot_be_chosen(dock):
    rows = [dock.list.item(row) for row in range(dock.list.count())]
    (heading,) = [one for one in rows if one.text() == HEADING]
    assert heading.flags() == Qt.ItemFlag.ItemIsEnabled
    dock.list.setCurrentItem(heading)
    assert dock.chosen() is None
    assert not dock.load_button.isEnabled()


def test_a_folder_is_listed_described_and_loaded(qtbot, dock):
    choose(dock, "dots.zip")
    qtbot.waitUntil(lambda: "logistic" in dock.facts.toPlainText(), timeout=20_000)
    dock.load()
    told(qtbot, dock, "Loaded dots")
    assert [model.name for model in dock.session.models] == ["dots"]
    choose(dock, "dots")
    assert "classes:" in dock.facts.toPlainText()


def test_a_file_tries_itself_and_is_exported(qtbot, dock, tmp_path):
    choose(dock, "dots.zip")
    dock.test()
    told(qtbot, dock, "test passed")
    dock.export_to(tmp_path / "out.zip", ExportOptions())
    told(qtbot, dock, "licence")
    dock.export_to(tmp_path / "out.zip", ExportOptions(licence="CC0-1.0", weights=""))
    told(qtbot, dock, "Wrote out.zip")
    assert load(tmp_path / "out.zip").card.licence == "CC0-1.0"


def test_renamed_and_deleted_after_a_question(qtbot, dock, tmp_path, monkeypatch):
    choose(dock, "dots.zip")
    for bad in ("a/b", "a\nb", "a\0b", "..", "", 300 * "x"):
        dock.rename(bad)
        assert "not a valid name" in dock.message.text(), bad
    dock.rename("spots")
    assert (tmp_path / "spots.zip").exists()
    assert dock.chosen() == tmp_path / "spots.zip"
    assert dock.message.text() == "Renamed to spots.zip."
    answer(monkeypatch, QMessageBox.StandardButton.No)
    dock.delete()
    assert (tmp_path / "spots.zip").exists()
    answer(monkeypatch, QMessageBox.StandardButton.Yes)
    dock.delete()
    assert not (tmp_path / "spots.zip").exists()
    assert "spots.zip" not in [dock.list.item(k).text() for k in range(dock.list.count())]


def listed(dock):
    return [dock.list.item(row).text().split("\n")[0] for row in range(dock.list.count())]


def test_a_model_of_the_session_is_renamed_and_deleted_after_a_question(dock, model, monkeypatch):
    session = dock.session
    session.add_model(replace(model, name="other"), origin="trained")
    session.add_model(model, origin="trained")
    choose(dock, "dots")
    dock.rename("other")
    assert "There is a model 'other' already" in dock.message.text()
    for bad in (" ", "a/b", "a\nb", 300 * "x"):
        dock.rename(bad)
        assert "not a valid name" in dock.message.text(), bad
    dock.rename("stars")
    assert [one.name for one in session.models] == ["other", "stars"]
    assert dock.chosen() is session.current
    assert session.history.of(session.current).model is session.current
    assert session.current.fingerprint == model.fingerprint
    answer(monkeypatch, QMessageBox.StandardButton.No)
    dock.delete()
    assert "stars" in listed(dock)
    answer(monkeypatch, QMessageBox.StandardButton.Yes)
    dock.delete()
    assert [one.name for one in session.models] == ["other"]
    assert "stars" not in listed(dock)
    assert [entry.model is None for entry in session.history] == [False, True]
    assert session.name_for("stars") == "stars 1"


def test_a_file_that_is_gone_is_not_listed_any_more(qtbot, dock, tmp_path, monkeypatch):
    answer(monkeypatch, QMessageBox.StandardButton.Yes)
    content = (tmp_path / "dots.zip").read_bytes()
    for act in (lambda: dock.rename("spots"), dock.delete, dock.load, dock.test):
        (tmp_path / "dots.zip").write_bytes(content)
        dock.fill()
        choose(dock, "dots.zip")
        assert dock.message.text() == ""
        (tmp_path / "dots.zip").unlink()
        act()
        told(qtbot, dock, "No such file")
        assert "dots.zip" not in listed(dock)
        assert dock.facts.toPlainText() == ""


def test_a_folder_that_cannot_be_read_lists_nothing(dock, tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    dock.use_folder(tmp_path)
    assert "dots.zip" not in listed(dock)
    assert dock.message.text() == "Models in this folder: 0."


def test_renaming_and_deleting_leave_what_other_docks_have_chosen(qtbot, dock, model, monkeypatch):
    answer(monkeypatch, QMessageBox.StandardButton.Yes)
    session, viewer = dock.session, dock.viewer
    tools = [tool(viewer) for tool in (PredictWidget, QueueWidget, FineTuneWidget)]
    for tool in tools:
        qtbot.addWidget(tool)
    for name in ("first", "second", "third"):
        session.add_model(replace(model, name=name), origin="trained")
        assert [tool.models.currentText() for tool in tools] == 3 * [name]
    for tool in tools:
        tool.models.setCurrentIndex(tool.models.findText("first"))
    choose(dock, "second")
    dock.rename("another")
    choose(dock, "third")
    dock.delete()
    choose(dock, "first")
    dock.rename("renamed")
    assert [tool.models.currentText() for tool in tools] == 3 * ["renamed"]
    dock.delete()
    assert [tool.models.currentText() for tool in tools] == 3 * ["another"]
    for tool in tools:
        tool.close_tool()


@pytest.mark.parametrize("act", ["rename", "delete"])
def test_a_run_brings_no_model_back(qtbot, dock, model, monkeypatch, act):
    answer(monkeypatch, QMessageBox.StandardButton.Yes)
    dock.viewer.add_image(np.random.default_rng(0).random((24, 24)).astype(np.float32))
    tool = PredictWidget(dock.viewer)
    qtbot.addWidget(tool)
    dock.session.add_model(model, origin="trained")
    tool.run()
    assert tool.running
    choose(dock, "dots")
    dock.rename("stars") if act == "rename" else dock.delete()
    names = [one.name for one in dock.session.models]
    qtbot.waitUntil(lambda: not tool.running, timeout=60_000)
    assert len(dock.viewer.layers) == 2
    assert [one.name for one in dock.session.models] == names
    assert "dots" not in names
    tool.close_tool()


def test_going_back_finds_a_model_by_its_new_name(dock, model):
    session = dock.session
    session.add_model(model, origin="trained")
    renamed = session.rename_model(model, "stars")
    session.go_back(model)
    assert session.models == [renamed]


def test_a_shipped_model_stays_under_its_heading_once_used(qtbot, dock, model):
    name = shipped.names()[0]
    used = shipped.open_shipped(name)
    dock.session.use_model(used)
    dock.session.use_model(model)
    assert listed(dock).count(name) == 1
    assert listed(dock).index(name) > listed(dock).index(HEADING)
    choose(dock, name)
    assert not dock.rename_button.isEnabled()
    assert not dock.delete_button.isEnabled()
    box = ModelChoice()
    qtbot.addWidget(box)
    box.fill(dock.session.models)
    texts = [box.itemText(row) for row in range(box.count())]
    assert texts[:2] == ["dots", HEADING]
    assert texts.count(name) == 1
    assert box.choose(name)
    assert box.chosen() is used
    assert box.choose(used)


def test_a_loaded_model_is_dated_by_its_loading_and_kinds_are_counted_apart(dock, model):
    old = replace(model, name="old", provenance={"date": "2020-01-01T00:00:00+00:00"})
    session = dock.session
    session.use_model(old)
    session.add_model(replace(old, name="logistic 1"), origin="trained")
    loaded, trained = session.history.versions
    assert loaded.made > "2026"
    assert trained.made.startswith("2020")
    assert session.name_for("logistic") == "logistic 2"
    assert session.name_for("unet") == "unet 1"


def test_a_damaged_file_says_so(qtbot, dock, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    dock.fill()
    choose(dock, "bad.onnx")
    qtbot.waitUntil(lambda: "damaged" in dock.facts.toPlainText(), timeout=20_000)
    dock.load()
    told(qtbot, dock, "damaged")
    assert not dock.session.models


def test_a_program_is_asked_about(qtbot, dock, tmp_path, monkeypatch):
    from napari_unetseg.core.models_io import foreign
    from napari_unetseg.core.models_io.foreign import NeedsTrust

    asked = []

    def opened(path, *, trust):
        if not trust:
            raise NeedsTrust("It is a program.")
        asked.append(path)
        return load(path)

    monkeypatch.setattr(foreign, "open_model", opened)
    choose(dock, "dots.zip")
    answer(monkeypatch, QMessageBox.StandardButton.No)
    dock.load()
    told(qtbot, dock, "nothing was run")
    assert not asked
    answer(monkeypatch, QMessageBox.StandardButton.Yes)
    dock.load()
    told(qtbot, dock, "Loaded dots")
    assert asked == [tmp_path / "dots.zip"]


def test_a_dropped_file_is_loaded(qtbot, dock, model, tmp_path):
    path = tmp_path / "dots.zip"
    assert model_reader.get_model_reader(str(path)) is not None
    for name, data in (("a.zip", b"PK\x03\x04"), ("b.zip", b""), ("c.tif", b"")):
        (tmp_path / name).write_bytes(data)
        assert model_reader.get_model_reader(str(tmp_path / name)) is None
    assert model_reader.read_model(str(path)) == [(None,)]
    viewer = ViewerModel()
    model_reader.take_in(viewer, path)
    qtbot.waitUntil(lambda: len(Session.of(viewer).models) == 1, timeout=20_000)
    assert Session.of(viewer).models[0].fingerprint == model.fingerprint
    assert shelf().recent[0] == path.resolve()


def test_the_shelf_remembers_and_survives_damage(tmp_path):
    known = ModelLibrary(tmp_path / "deep" / "shelf.json")
    assert known.files() == []
    for k in range(MOST_RECENT + 3):
        (tmp_path / f"{k}.onnx").touch()
        known.opened(tmp_path / f"{k}.onnx")
    again = ModelLibrary(known.path)
    assert [path.stem for path in again.recent][:2] == [str(MOST_RECENT + 2), str(MOST_RECENT + 1)]
    assert len(again.recent) == MOST_RECENT
    (tmp_path / f"{MOST_RECENT + 2}.onnx").unlink()
    assert len(again.files()) == MOST_RECENT - 1
    for text in ("", "[1]", "{", '{"folder": 7, "recent": [7, "x"]}', "[" * 10_000):
        known.path.write_text(text)
        assert ModelLibrary(known.path).folder is None
