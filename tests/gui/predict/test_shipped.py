"""Models that ship, in the docks: from nothing to objects, and as a start."""

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.models_io.native import save
from napari_unetseg.core.training.train import train
from napari_unetseg.gui.models.models_dock import ModelsWidget
from napari_unetseg.gui.predict.model_gallery import CardText, ModelGallery
from napari_unetseg.gui.predict.predict_dock import PredictWidget
from napari_unetseg.gui.predict.prediction_layers import faster_in_words
from napari_unetseg.gui.queue.queue_dock import QueueWidget
from napari_unetseg.gui.shared.layers import find_layer, options_of_layer
from napari_unetseg.gui.shared.model_choice import HEADING
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.training_layers import PREDICTED, PREDICTED_OBJECTS
from napari_unetseg.gui.shared.user_models import shelf
from napari_unetseg.gui.train.train_dock import TrainWidget

TINY = UNetSpec(depth=1, width=4, convolutions=1, resolution="full")
ROLES = {"classes": PREDICTED, "objects": PREDICTED_OBJECTS}
STEPS = TrainOptions(until="epochs", epochs=1, steps=3, patch=64, batch=1, validation=0.0)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A model of objects that has learnt next to nothing, in place of the one that ships."""
    sample = samples.nuclei((96, 112), seed=3)
    image = sample.as_image()
    lesson = TrainingPair(image, sample.objects)
    model = train(TINY, [lesson], STEPS, name="neurons", labels_are="objects").model
    folder = tmp_path_factory.mktemp("shipped")
    save(model, folder / "neurons.zip")
    return folder


@pytest.fixture
def viewer(package, monkeypatch):
    monkeypatch.setattr(shipped, "FOLDER", package)
    shipped.open_shipped.cache_clear()
    made = ViewerModel()
    image = samples.nuclei((64, 72), seed=1).image
    made.layers.selection.active = made.add_image(image, name="image", scale=(2, 2))
    yield made
    shipped.open_shipped.cache_clear()


def opened(qtbot, kind, viewer):
    made = kind(viewer)
    qtbot.addWidget(made)
    if isinstance(made, PredictWidget):
        assert made.models.choose("neurons")
        made.form.set(auto_diameter=False)
    return made


def finish(qtbot, tool):
    qtbot.waitUntil(lambda: not tool.running, timeout=60_000)


def texts(box):
    return [box.itemText(row).strip() for row in range(box.count())]


def test_one_click_from_nothing_to_objects(qtbot, viewer):
    tool = opened(qtbot, PredictWidget, viewer)
    assert texts(tool.models) == ["automatic", HEADING, "neurons"]
    assert tool.models.currentText().strip() == "neurons"
    hint = tool.models.itemData(tool.models.currentIndex(), Qt.ItemDataRole.ToolTipRole)
    assert hint == shipped.LINES["neurons"]
    assert tool.form.options.what == "auto"
    tool.run()
    finish(qtbot, tool)
    labels = find_layer(viewer.layers, PREDICTED_OBJECTS, viewer.layers["image"])
    assert labels.data.shape == (64, 72)
    assert [model.name for model in Session.of(viewer).models] == ["neurons"]
    assert texts(tool.models) == ["automatic", HEADING, "neurons"]
    assert tool.models.choose("neurons"), "by its name, when it was used too"
    assert tool.live.kept is not None, "they can be split anew without predicting"
    tool.close_tool()


def test_a_model_of_classes_gives_classes_and_one_of_objects_objects(qtbot, viewer, package):
    tool = opened(qtbot, PredictWidget, viewer)
    assert tool.decoding.page.isVisibleTo(tool)
    labels = (samples.nuclei((64, 72), seed=1).objects > 0).astype(np.uint8)
    lesson = TrainingPair(samples.nuclei((64, 72), seed=1).as_image(), labels)
    classes = train(TINY, [lesson], STEPS, name="classes", labels_are="mask").model
    Session.of(viewer).add_model(classes)
    assert tool.model() is classes
    assert not tool.decoding.page.isVisibleTo(tool)
    tool.run()
    finish(qtbot, tool)
    made = find_layer(viewer.layers, PREDICTED, viewer.layers["image"])
    assert options_of_layer(made)["what"] == "classes"
    tool.form.set(what="objects")
    tool.models.choose("neurons")
    tool.models.choose(classes)
    assert tool.form.options.what == "objects", "what a person chose stays"
    tool.close_tool()


def test_a_diameter_scales_and_is_remembered(qtbot, viewer):
    tool = opened(qtbot, PredictWidget, viewer)
    learnt = tool.model().diameter
    assert learnt > 5
    assert f"{learnt:.3g}" in tool.form.widget("diameter").native.specialValueText()
    found = []
    for diameter in (0.0, learnt / 2, learnt):
        tool.form.set(diameter=diameter)
        tool.run()
        finish(qtbot, tool)
        layer = find_layer(viewer.layers, PREDICTED_OBJECTS, viewer.layers["image"])
        assert options_of_layer(layer)["diameter"] == pytest.approx(diameter, abs=0.01)
        found.append((tool.live.kept.prediction.maps.asarray(), layer.data.copy()))
    assert found[0][0].shape == found[1][0].shape
    assert not np.allclose(found[0][0], found[1][0], atol=0.01)
    np.testing.assert_array_equal(found[2][1], found[0][1])
    # The queue asks the model at the size that made the labels.
    tool.form.set(diameter=learnt / 2)
    tool.run()
    finish(qtbot, tool)
    queue = opened(qtbot, QueueWidget, viewer)
    assert queue._sources(layer).model.zoom == pytest.approx((2, 2), rel=0.01)
    assert "scaled by 2 for" in tool.message.text()
    queue.close_tool()
    tool.form.set(diameter=0.0, auto_diameter=True)
    for what in ("classes", "objects"):
        tool.form.set(what=what)
        tool.run()
        finish(qtbot, tool)
        assert "zoom" in options_of_layer(
            find_layer(viewer.layers, ROLES[what], viewer.layers["image"])
        )
    tool.close_tool()


def test_a_pixel_size_of_another_kind_is_offered(qtbot, viewer, package):
    tool = opened(qtbot, PredictWidget, viewer)
    row = tool.form.widget("rescale").native
    assert row.isHidden()
    other = viewer.add_image(samples.nuclei((64, 72)).image, scale=(0.65, 0.65))
    other.units = ("µm", "µm")
    model = tool.model()
    Session.of(viewer).add_model(_calibrated(model))
    viewer.layers.selection.active = other
    assert not row.isHidden()
    assert "0.65 → 0.5 µm" in tool.form.widget("rescale").text
    tool.form.set(rescale=True)
    tool.run()
    finish(qtbot, tool)
    assert options_of_layer(find_layer(viewer.layers, PREDICTED_OBJECTS, other))["rescale"]
    viewer.layers.selection.active = viewer.layers["image"]
    assert row.isHidden()
    tool.run()  # what is not offered has no effect
    finish(qtbot, tool)
    labels = find_layer(viewer.layers, PREDICTED_OBJECTS, viewer.layers["image"])
    assert not options_of_layer(labels)["rescale"]
    tool.close_tool()


def test_training_starts_from_it(qtbot, viewer):
    tool = opened(qtbot, TrainWidget, viewer)
    tool.rung.setCurrentIndex(tool.rung.findData("unet"))
    assert texts(tool.start) == ["suggested", "nothing", HEADING, "neurons"]
    tool.start.choose("neurons")
    assert tool.spec() == tool.start.chosen().spec
    labels = np.zeros((64, 72), np.uint8)
    labels[4:20, 4:20], labels[30:40, 5:60], labels[50:60, 40:60] = 1, 2, 3
    viewer.add_labels(labels)
    viewer.layers.selection.active = viewer.layers["image"]
    tool.form.set(until="epochs", epochs=1, steps=2, climbing="off", validation=0.0)
    tool.run()
    finish(qtbot, tool)
    assert "the last layer is new" in tool.message.text()
    assert Session.of(viewer).current.parent == shipped.open_shipped("neurons").fingerprint
    tool.rung.setCurrentIndex(tool.rung.findData("logistic"))
    assert "neurons" not in texts(tool.start)
    at = texts(tool.features).index("neurons", texts(tool.features).index(HEADING))
    tool.features.setCurrentIndex(at)
    assert tool.features_from() is shipped.open_shipped("neurons")
    tool.close_tool()


def test_the_models_dock_lists_it(qtbot, viewer):
    shelf().path.unlink(missing_ok=True)
    dock = opened(qtbot, ModelsWidget, viewer)
    rows = [dock.list.item(row).text() for row in range(dock.list.count())]
    line = f"neurons\n    {shipped.LINES['neurons']}"
    assert rows == [HEADING, line]
    dock.list.setCurrentRow(1)
    assert not dock.delete_button.isEnabled()
    assert not dock.rename_button.isEnabled()
    qtbot.waitUntil(lambda: "diameter of the objects" in dock.facts.toPlainText(), timeout=20_000)
    dock.load()
    qtbot.waitUntil(lambda: "Loaded neurons" in dock.message.text(), timeout=60_000)
    assert shelf().recent == []
    rows = [dock.list.item(row).text() for row in range(dock.list.count())]
    assert rows == [HEADING, line]
    dock.close_tool()


def _calibrated(model):
    from dataclasses import replace

    return replace(model, spacing=(0.5, 0.5), unit="µm", name="half a micron")


def test_cards_are_never_cut_off_when_their_page_becomes_narrow(qtbot):
    page = QWidget()
    qtbot.addWidget(page)
    gallery = ModelGallery()
    gallery.setParent(page)
    gallery.show_cards([CardText(str(number), "", "") for number in range(7)], {})
    gallery.resize(640, 400)
    page.show()
    qtbot.waitUntil(gallery.isVisible)
    gallery.resize(280, 400)
    # Before Qt has time for what it does later.
    assert min(card.width() for card in gallery.cards) > 100


def test_for_a_large_image_the_fast_model_is_named():
    nuclei, large = shipped.open_shipped("nuclei"), Image.of(np.zeros((4096, 4096), np.uint8))
    assert "nuclei_fast" in faster_in_words(nuclei, large)
    assert not faster_in_words(nuclei, Image.of(np.zeros((512, 512), np.uint8)))
    assert not faster_in_words(shipped.open_shipped("general"), large)
    assert not faster_in_words(replace(nuclei, state={}), large)
