"""What a result says is what the run was started with, whatever is changed meanwhile."""

import threading
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.streaming import block_grid
from napari_unetseg.core.training.train import TrainingPair, train
from napari_unetseg.gui.predict import predict_run
from napari_unetseg.gui.predict.predict_dock import PredictWidget
from napari_unetseg.gui.shared import save_dialog
from napari_unetseg.gui.shared.layer_provenance import draft_of
from napari_unetseg.gui.shared.layers import (
    BEFORE,
    find_layer,
    marked,
    options_of_layer,
    role_of,
)
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.training_layers import PREDICTED, PREDICTED_OBJECTS

TINY = UNetSpec(depth=1, width=4, convolutions=1, resolution="full")
STEPS = TrainOptions(until="epochs", epochs=1, steps=3, patch=64, batch=1, validation=0.0)
STARTED = {"tile": 48, "device": "cpu", "flips": True, "auto_diameter": False}
CHANGED = {
    "extent": "visible plane",
    "what": "probabilities",
    "tile": 64,
    "flips": False,
    "device": "auto",
    "auto_diameter": True,
}
DECODING = {"min_size": 3, "foreground": 0.4, "split": "shape"}
OTHERWISE = {
    "split": "none",
    "split_depth": 0.9,
    "foreground": 0.9,
    "min_size": 5000,
    "fill_holes": True,
}


@pytest.fixture(scope="module")
def models():
    """Two models of objects that differ in name, weights, values and diameter."""
    made = []
    for seed, name in ((3, "model A"), (4, "model B")):
        sample = samples.nuclei((96, 112), seed=seed)
        lesson = TrainingPair(sample.as_image(), sample.objects)
        steps = STEPS.model_copy(update={"seed": seed})
        made.append(train(TINY, [lesson], steps, name=name, labels_are="objects").model)
    assert made[0].fingerprint != made[1].fingerprint
    return made


@pytest.fixture
def viewer(models):
    made = ViewerModel()
    for seed in (1, 2):
        made.add_image(samples.nuclei((64, 72), seed=seed).image, name=f"image {seed}")
    made.layers.selection.active = made.layers["image 1"]
    for model in reversed(models):
        Session.of(made).add_model(model)
    return made


@pytest.fixture
def tool(qtbot, viewer):
    made = PredictWidget(viewer)
    qtbot.addWidget(made)
    yield made
    made.close_tool()
    qtbot.waitUntil(lambda: not made.running, timeout=30000)


@pytest.fixture
def held(monkeypatch):
    """Hold every run back until it is let go."""
    gate = SimpleNamespace(open=threading.Event())
    for room, name in (
        (predict_run, "run_prediction"),
        (predict_run, "decode_maps"),
    ):
        real = getattr(room, name)

        def waiting(*given, real=real, **how):
            assert gate.open.wait(30)
            return real(*given, **how)

        monkeypatch.setattr(room, name, waiting)
    return gate


def change_everything(tool, other):
    """Change every control of the dock."""
    for form, changes in ((tool.form, CHANGED), (tool.decoding, OTHERWISE)):
        for name, value in changes.items():
            form.widget(name).value = value
    tool.models.choose(other)
    tool.pick.pick(tool.viewer.layers["image 2"])
    assert tool.model() is other
    assert tool.form.options.model_dump(include=set(CHANGED)) == CHANGED


def run_and_change(qtbot, tool, held, other):
    tool.run()
    change_everything(tool, other)
    assert tool.running
    held.open.set()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)


def counted(labels):
    n = int(np.max(labels))
    return f"{n} object{'s' * (n != 1)}."


def expected(tool, model, **options):
    tool.models.choose(model)
    tool.form.set(**STARTED, **options)
    tool.decoding.set(**DECODING)


@pytest.mark.parametrize("what", ["auto", "objects", "classes", "both", "probabilities"])
def test_the_layer_says_what_the_run_was_started_with(qtbot, tool, viewer, models, held, what):
    model, other = models
    expected(tool, model, what=what)
    run_and_change(qtbot, tool, held, other)
    source = viewer.layers["image 1"]
    made = [layer for layer in viewer.layers if role_of(layer)]
    assert made, tool.message.text()
    settled = "objects" if what == "auto" else what
    for layer in made:
        said = options_of_layer(layer)
        assert said["fingerprint"] == model.fingerprint
        assert said["model"] == "model A"
        assert said["what"] == settled
        assert {name: said[name] for name in STARTED} == STARTED
        assert (said["extent"], said["auto_diameter"], said["zoom"]) == ("everything", False, [])
    assert "Next" in tool.message.text() or what == "probabilities"
    assert "passing" not in tool.message.text()
    # Classes cannot be counted: the way to objects is named.
    assert ("choose Result: objects" in tool.message.text()) is (settled in ("classes", "both"))
    if settled == "objects":
        (layer,) = made
        assert layer is find_layer(viewer.layers, PREDICTED_OBJECTS, source)
        assert {name: options_of_layer(layer)[name] for name in DECODING} == DECODING
        assert tool.message.text().startswith(counted(layer.data))
        draft = draft_of(layer, tool.session)
        assert draft.objects == DecodeOptions(**{**model.decoding.model_dump(), **DECODING})
    elif what in ("classes", "both"):
        layer = find_layer(viewer.layers, PREDICTED, source)
        draft = draft_of(layer, tool.session)
        assert draft.objects is None
    else:
        return
    assert draft.model is model
    assert draft.options.what == ("classes" if what == "both" else settled)
    assert draft.options.model_dump(include=set(STARTED)) == STARTED


@pytest.mark.parametrize("what", ["objects", "both"])
def test_the_layer_names_the_steps_that_had_made_the_image(qtbot, tool, viewer, models, held, what):
    source, raw = viewer.layers["image 1"], viewer.layers["image 2"]
    source.metadata.update(marked("flattened", raw, {"terms": "plane"}))
    expected(tool, models[0], what=what)
    tool.run()
    source.metadata.update(marked("flattened", raw, {"terms": "quadratic"}))
    held.open.set()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)
    made = [layer for layer in viewer.layers if role_of(layer) not in ("", "flattened")]
    assert {options_of_layer(layer, BEFORE)["terms"] for layer in made} == {"plane"}


def test_kept_maps_are_split_as_the_run_was_started(qtbot, tool, viewer, models, held):
    model, other = models
    expected(tool, model, what="objects")
    held.open.set()
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)
    layer = find_layer(viewer.layers, PREDICTED_OBJECTS, viewer.layers["image 1"])
    assert tool.live.kept is not None
    held.open.clear()
    tool.decoding.set(min_size=9)
    run_and_change(qtbot, tool, held, other)
    said = options_of_layer(layer)
    assert (said["fingerprint"], said["min_size"]) == (model.fingerprint, 9)
    assert draft_of(layer, tool.session).objects.min_size == 9


def test_a_passing_look_is_one_although_all_was_asked_for_since(qtbot, tool, viewer, models, held):
    tool.models.choose(models[0])
    tool.form.set(extent="visible plane")
    tool.run()
    tool.form.set(extent="everything")
    tool.models.choose(models[1])
    held.open.set()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)
    assert "preview of the plane" in tool.message.text()
    assert not [layer for layer in viewer.layers if role_of(layer) == PREDICTED_OBJECTS]


def test_a_result_in_a_file_says_it_too(qtbot, tool, viewer, models, held, monkeypatch, tmp_path):
    from napari_unetseg.gui.predict import predict_to_file

    model, other = models
    monkeypatch.setattr(predict_run, "allowed", lambda: 1)
    monkeypatch.setattr(block_grid, "CHUNK", 64)
    chosen = str(tmp_path / "o.zarr")
    monkeypatch.setattr(save_dialog.QFileDialog, "getSaveFileName", lambda *given: (chosen, ""))
    real = predict_to_file.stream

    def waiting(*given, **how):
        assert held.open.wait(30)
        return real(*given, **how)

    monkeypatch.setattr(predict_to_file, "stream", waiting)
    data = da.from_array(samples.nuclei((300, 330), seed=8).image, chunks=64)
    source = viewer.add_image(data, name="slide")
    tool.pick.pick(source)
    expected(tool, model, diameter=9.0)
    run_and_change(qtbot, tool, held, other)
    layer = find_layer(viewer.layers, PREDICTED_OBJECTS, source)
    said = options_of_layer(layer)
    assert said["fingerprint"] == model.fingerprint
    assert {name: said[name] for name in (*STARTED, *DECODING)} == STARTED | DECODING
    assert said["zoom"] == pytest.approx([model.diameter / 9] * 2)
    assert counted(layer.data[0]) in tool.message.text()
    draft = draft_of(layer, tool.session)
    assert (draft.model, draft.options.diameter) == (model, 9.0)
    assert draft.objects.min_size == DECODING["min_size"]
