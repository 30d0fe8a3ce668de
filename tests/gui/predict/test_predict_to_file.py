"""Predicting images larger than memory in the dock: into a file, nearest first, on after Cancel."""

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.streaming import block_grid as grid
from napari_unetseg.core.training.train import train
from napari_unetseg.gui.predict import predict_run
from napari_unetseg.gui.predict import predict_to_file as slide
from napari_unetseg.gui.predict.predict_dock import PredictWidget
from napari_unetseg.gui.shared import save_dialog
from napari_unetseg.gui.shared.layers import find_layer, role_of
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.training_layers import PREDICTED, PREDICTED_OBJECTS

SIDES = (300, 330)


@pytest.fixture(scope="module")
def model():
    sample = samples.nuclei((96, 112), seed=3)
    strokes = np.zeros(sample.classes.shape, np.uint8)
    strokes[4::8] = np.where(sample.mask[4::8], 2, 1)
    return train(
        LogisticSpec(), [TrainingPair(sample.as_image(), strokes)], TrainOptions(), name="nuclei"
    ).model


@pytest.fixture
def tool(qtbot, model, tmp_path, monkeypatch):
    monkeypatch.setattr(predict_run, "allowed", lambda: 1)
    monkeypatch.setattr(grid, "CHUNK", 64)
    monkeypatch.setitem(grid._LARGEST, 2, 64)
    monkeypatch.setattr(slide, "_OVERVIEW", 100)
    out = str(tmp_path / "o.zarr")
    monkeypatch.setattr(save_dialog.QFileDialog, "getSaveFileName", lambda *given: (out, ""))
    viewer = ViewerModel()
    data = da.from_array(samples.nuclei(SIDES, seed=8).image, chunks=64)
    viewer.layers.selection.active = viewer.add_image(data, name="slide", scale=(0.5, 0.5))
    Session.of(viewer).add_model(model)
    made = PredictWidget(viewer)
    qtbot.addWidget(made)
    yield made
    made.close_tool()
    qtbot.waitUntil(lambda: not made.running, timeout=30000)


def finished(qtbot, tool):
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)


@pytest.mark.parametrize("what", ["classes", "objects"])
def test_what_is_written_is_what_is_predicted_at_once(
    qtbot, tool, model, what, monkeypatch
) -> None:
    source, grown = tool.pick.layer(), []
    look = tool._large_run().on_the_way

    def watched(thing):
        look(thing)
        if isinstance(thing, slide.Grown):
            grown.append(np.array(tool._large_run()._growing.data[1]).astype(float).sum())

    monkeypatch.setattr(tool._large_run(), "on_the_way", watched)
    tool.form.set(what=what)
    tool.run()
    finished(qtbot, tool)
    assert grown == sorted(grown)
    assert len(set(grown)) > 10  # seen while it grew
    made = find_layer(
        tool.viewer.layers, {"classes": PREDICTED, "objects": PREDICTED_OBJECTS}[what], source
    )
    assert isinstance(made, Labels)
    assert made.multiscale
    np.testing.assert_allclose(made.scale, source.scale)
    image = Image.of(np.asarray(source.data), spacing=(0.5, 0.5))
    decoding = tool.decoding.options if what == "objects" else None
    expected = predict(model, image, PredictOptions(what=what), decoding=decoding).asarray()
    np.testing.assert_array_equal(np.asarray(made.data[0]), expected)
    assert "Written to" in tool.message.text()
    assert [role_of(layer) for layer in tool.viewer.layers] == ["", role_of(made)]


def test_the_field_on_screen_comes_first_and_cancel_keeps_what_is_done(
    qtbot, tool, tmp_path, monkeypatch
) -> None:
    source, places = tool.pick.layer(), []
    monkeypatch.setattr(slide, "in_view", lambda layer: (slice(250, 290), slice(140, 180)))
    look = tool._large_run().on_the_way

    def watched(thing):
        look(thing)
        if isinstance(thing, slide.Grown):
            places.append(tuple(span.start for span in thing.where))
            if len(places) == 3:
                tool.cancel()

    monkeypatch.setattr(tool._large_run(), "on_the_way", watched)
    tool.run()
    finished(qtbot, tool)
    assert places[0] == (256 // 4, 128 // 4)
    assert "goes on with what is missing" in tool.message.text()
    assert list(tool.viewer.layers) == [source]
    done = tmp_path / ".o.zarr.unfinished" / "done" / "pixels"
    kept = {path: path.stat().st_mtime_ns for path in done.iterdir()}
    assert 3 <= len(kept) < 30
    tool.run()
    finished(qtbot, tool)
    assert "Written to" in tool.message.text()
    assert (tmp_path / "o.zarr").is_dir()
    assert len(set(places)) + len(kept) >= 30


def test_no_place_or_two_results_are_said(tool, monkeypatch) -> None:
    monkeypatch.setattr(save_dialog.QFileDialog, "getSaveFileName", lambda *given: ("", ""))
    tool.run()
    assert "Choose where the result is to be written" in tool.message.text()
    tool.form.set(what="both")
    tool.run()
    assert "one result is written at a time" in tool.message.text()
