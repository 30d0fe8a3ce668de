"""Which model: the shipped ones with an example each, tried on the image, and chosen by it."""

import shutil

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unetseg.core import samples
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.gui.predict import predict_dock as module
from napari_unetseg.gui.predict.model_finder import ModelFinder
from napari_unetseg.gui.predict.predict_dock import PredictWidget
from napari_unetseg.gui.shared.layers import find_layer, options_of_layer
from napari_unetseg.gui.shared.training_layers import PREDICTED_OBJECTS

NUCLEI = samples.nuclei((160, 176), seed=1)
NOISE = np.random.default_rng(0).normal(size=(64, 72)).astype(np.float32)


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def tool(qtbot, viewer):
    made = PredictWidget(viewer)
    qtbot.addWidget(made)
    yield made
    made.close_tool()
    qtbot.waitUntil(lambda: not made.running, timeout=60_000)


@pytest.fixture
def finish(qtbot, tool):
    return lambda: qtbot.waitUntil(lambda: not tool.running, timeout=60_000)


def cards(tool):
    return [card.name for card in tool.finder.gallery.cards]


def objects(viewer, layer):
    return find_layer(viewer.layers, PREDICTED_OBJECTS, layer)


def test_predict_takes_the_model_that_fits_and_says_why(viewer, tool, finish):
    image = viewer.add_image(NUCLEI.image, name="cells")
    assert tool.model() is None
    assert tool.finder.isVisibleTo(tool)
    tool.run()
    finish()
    assert tool.model() is shipped.open_shipped("nuclei")
    assert "objects. nuclei fits best: plausibility 0." in tool.message.text()
    assert "Next: Measure" in tool.message.text()
    assert not tool.finder.isVisibleTo(tool), "the choice is made"
    made = objects(viewer, image)
    assert options_of_layer(made)["model"] == "nuclei", "for the recipe"
    by_auto = made.data.copy()
    tool.run()
    finish()
    assert np.array_equal(objects(viewer, image).data, by_auto)
    assert "fits best" not in tool.message.text()


def test_where_nothing_fits_nothing_is_written(viewer, tool, finish):
    viewer.add_image(NOISE, name="noise")
    tool.run()
    finish()
    assert [layer.name for layer in viewer.layers] == ["noise"]
    assert "strokes" in tool.message.text()
    assert "Measure" not in tool.message.text()
    assert tool.model() is None
    tried = shipped.names_to_try()
    grey = [name for name in tried if shipped.open_shipped(name).n_channels == 1]
    assert sorted(cards(tool)) == sorted(grey), "to see for oneself"


def test_all_are_tried_and_a_click_takes_one(viewer, tool, finish):
    viewer.add_image(NUCLEI.image, name="cells")
    tool.try_button.click()
    finish()
    assert [layer.name for layer in viewer.layers] == ["cells"]
    assert cards(tool)[0] == "nuclei"
    assert tool.model() is shipped.open_shipped("nuclei"), "the best, as none was chosen"
    first, second = tool.finder.gallery.cards[:2]
    assert first.isChecked()
    assert "fits" in first.line.text()
    assert not first.picture.pixmap().isNull()
    second.click()
    assert tool.model() is shipped.open_shipped(second.name)
    assert [card.isChecked() for card in tool.finder.gallery.cards[:2]] == [False, True]
    tool.try_button.click()
    finish()
    assert tool.model() is shipped.open_shipped(second.name), "what a person chose stays"


def test_a_model_of_another_kind_is_doubted(viewer, tool, finish):
    viewer.add_image(NOISE, name="noise")
    tool.models.choose("nuclei")
    assert not tool.finder.isVisibleTo(tool)
    tool.run()
    finish()
    assert "nuclei hardly fits this image" in tool.message.text()
    assert "Try all" in tool.message.text()
    assert "Next: Measure" not in tool.message.text()


def test_a_cancelled_try_leaves_all_as_it_was(viewer, tool, finish):
    viewer.add_image(NUCLEI.image, name="cells")
    tool.try_all()
    tool.cancel()
    finish()
    assert tool.finder.tried is None
    assert tool.model() is None
    assert "Nothing was changed" in tool.message.text()


def test_another_image_or_none_during_the_try(viewer, tool, finish):
    image = viewer.add_image(NUCLEI.image, name="cells")
    other = viewer.add_image(NOISE, name="noise")
    viewer.layers.selection.active = image
    tool.try_all()
    viewer.layers.selection.active = other
    finish()
    assert tool.finder.tried is None, "it is of the other image"
    assert "meanwhile" in tool.message.text()
    viewer.layers.selection.active = image
    tool.run()
    viewer.layers.remove(image)
    finish()
    assert "removed" in tool.message.text()
    assert [layer.name for layer in viewer.layers] == ["noise"]
    viewer.layers.clear()
    assert not tool.try_button.isEnabled()
    assert not tool.run_button.isEnabled()


@pytest.mark.parametrize("kind", ["colours", "stack", "lazy", "multiscale", "tiny"])
def test_every_kind_of_layer_can_be_tried(viewer, tool, finish, kind):
    plane = NUCLEI.image
    data, look = {
        "colours": (np.stack([plane // 256] * 3, -1).astype(np.uint8), {"rgb": True}),
        "stack": (np.stack([plane] * 2), {}),
        "lazy": (da.from_array(np.stack([plane] * 2), chunks=(1, 64, 64)), {}),
        "multiscale": ([plane, plane[::2, ::2]], {"multiscale": True}),
        "tiny": (plane[:3, :5], {}),
    }[kind]
    viewer.add_image(data, **look)
    tool.try_all()
    finish()
    assert tool.finder.tried is not None, tool.message.text()
    assert (cards(tool)[0] == "nuclei") or kind == "tiny"


def test_what_is_larger_than_memory_is_tried_before_a_file_is_asked_for(
    viewer, tool, finish, monkeypatch
):
    monkeypatch.setattr(module, "is_larger_than_memory", lambda image: True)
    viewer.add_image(NUCLEI.image)
    tool.run()
    finish()
    assert tool.model() is shipped.open_shipped("nuclei")
    assert "Next: press Predict" in tool.message.text()
    assert len(viewer.layers) == 1


def test_each_model_has_a_picture_when_the_page_is_shown(viewer, tool):
    viewer.add_image(NUCLEI.image)
    tool.show()
    finder = tool.finder
    assert cards(tool) == list(shipped.names_to_try())
    assert all(not card.picture.pixmap().isNull() for card in finder.gallery.cards)
    assert all(card.line.text() for card in finder.gallery.cards)


def test_a_model_without_a_picture_and_a_fast_one_have_no_card(qtbot, monkeypatch, tmp_path):
    for name in ("axons.zip", "nuclei.zip", "nuclei_fast.zip"):
        (tmp_path / name).touch()
    for name in ("nuclei.png", "nuclei_fast.png"):
        shutil.copy(shipped.FOLDER / "nuclei.png", tmp_path / name)
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    finder = ModelFinder()
    qtbot.addWidget(finder)
    finder.show_examples()
    assert [card.name for card in finder.gallery.cards] == ["nuclei"]


def test_results_are_outlined_at_a_click(viewer, tool, finish):
    image = viewer.add_image(NUCLEI.image)
    tool.models.choose("nuclei")
    tool.outlines.click()
    tool.run()
    finish()
    assert objects(viewer, image).contour == 1
    tool.outlines.click()
    assert objects(viewer, image).contour == 0
    tool.outlines.click()
    tool.show()
    tool.form.set(extent="visible plane")
    tool.run()
    finish()
    shown = tool.preview.layer.data
    assert 0 < np.count_nonzero(shown) < np.count_nonzero(objects(viewer, image).data)


def test_a_look_marks_the_best_and_predict_takes_it(qtbot, viewer, tool, finish, monkeypatch):
    viewer.add_image(NUCLEI.image, name="cells")
    tool.show()
    tool.look_for_model()
    qtbot.waitUntil(lambda: tool.finder.tried is not None, timeout=60_000)
    assert "nuclei fits best" in tool.message.text()
    assert "Next: press Predict" in tool.message.text()
    assert [card.name for card in tool.finder.gallery.cards if card.isChecked()] == ["nuclei"]
    assert tool.model() is None, "a mark is no choice"
    assert [layer.name for layer in viewer.layers] == ["cells"]
    monkeypatch.setattr(module, "try_shipped", lambda *given: pytest.fail("tried twice"))
    tool.run()
    finish()
    assert tool.model() is shipped.open_shipped("nuclei")
    assert "Next: Measure" in tool.message.text()


def test_a_look_ends_with_the_page_and_is_of_one_image(qtbot, viewer, tool):
    viewer.add_image(NUCLEI.image, name="cells")
    tool.show()
    tool._look()
    assert "Trying" in tool.message.text()
    tool.hide()
    assert tool.message.text() == ""
    qtbot.waitUntil(lambda: not tool._looking.busy, timeout=60_000)
    assert tool.finder.tried is None
    tool.show()
    tool._look()
    viewer.add_image(NOISE, name="noise")
    assert tool.message.text() == ""
    tool.models.choose("neurons")
    tool._look()
    qtbot.waitUntil(lambda: not tool._looking.busy, timeout=60_000)
    assert tool.finder.tried is None
