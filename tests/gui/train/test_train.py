"""The Train dock on a bare viewer model: planes and stacks."""

from itertools import pairwise

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.training.train import train
from napari_unetseg.gui.shared.layers import OBJECTS, image_of, marked
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.training_layers import lesson_of
from napari_unetseg.gui.train.live_training import Live
from napari_unetseg.gui.train.train_dock import TrainWidget


@pytest.fixture(scope="module")
def sample():
    return samples.nuclei((10, 48, 56), seed=2)


@pytest.fixture
def viewer(sample):
    """A stack of nuclei with strokes in two of its planes, and a picture."""
    made = ViewerModel()
    stack = made.add_image(sample.image, name="stack", scale=(2, 0.5, 0.5))
    made.add_image(sample.image[5], name="plane")
    strokes = np.zeros(sample.mask.shape, np.uint8)
    strokes[3:7:3, 4::8] = np.where(sample.mask[3:7:3, 4::8], 2, 1)
    made.add_labels(strokes, name="strokes", scale=(2, 0.5, 0.5))
    made.layers.selection.active = stack
    return made


@pytest.fixture
def tool(qtbot, viewer):
    made = TrainWidget(viewer)
    qtbot.addWidget(made)
    yield made
    made.close_tool()
    qtbot.waitUntil(lambda: not made.running, timeout=60000)


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_stack_is_learnt_as_planes_or_as_a_stack(qtbot, tool, viewer, sample, ndim):
    tool.extent.setCurrentIndex(tool.extent.findData(ndim))
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=120000)
    (model,) = Session.of(viewer).models
    assert model.ndim == ndim
    found = predict(model, viewer_image(viewer)).asarray() == 2
    both = np.count_nonzero(found & sample.mask)
    assert 2 * both / (np.count_nonzero(found) + np.count_nonzero(sample.mask)) > 0.75


def test_stacks_are_offered_for_stacks_alone(tool, viewer):
    assert tool._labels_rows.layout().isRowVisible(tool.extent)
    tool.extent.setCurrentIndex(tool.extent.findData(3))
    assert tool.ndim() == 3
    tool.live.setChecked(True)
    assert tool.live.isHidden(), "live mode looks at planes"
    viewer.layers.selection.active = viewer.layers["plane"]
    assert not tool._labels_rows.layout().isRowVisible(tool.extent)
    assert tool.ndim() == 2
    viewer.layers.selection.active = viewer.layers["stack"]
    assert tool.ndim() == 3


def test_only_a_model_of_the_same_is_a_start(tool, viewer):
    plane = samples.nuclei((48, 48), seed=1)
    lesson = TrainingPair(plane.as_image(), plane.mask.astype(np.uint8))
    options = TrainOptions(validation=0)
    planes = train(LogisticSpec(), [lesson], options, name="planes", labels_are="mask").model
    Session.of(viewer).add_model(planes)
    assert tool.start.findText("planes") > 0
    tool.extent.setCurrentIndex(tool.extent.findData(3))
    assert tool.start.findText("planes") < 0
    stack = TrainingPair(viewer_image(viewer), viewer.layers["strokes"].data)
    with pytest.raises(InputError, match="learnt planes, not stacks"):
        train(LogisticSpec(), [stack], options, name="b", ndim=3, start=planes)


def viewer_image(viewer):
    return image_of(viewer.layers["stack"])


def test_the_network_is_drawn_as_the_form_stands(qtbot, tool, viewer):
    viewer.layers.selection.active = viewer.layers["plane"]
    tool.show()
    tool.rung.setCurrentIndex(tool.rung.findData("unet"))
    tool.see.click()
    window = tool.network
    # Where it would have opened half off the screen.
    room = window.screen().availableGeometry()
    window.hide()
    window.move(room.right() - 20, 40)
    window.show()
    beyond = window.frameGeometry().right() - room.right()
    assert beyond <= 0 or window.frameGeometry().left() == room.left()
    parts = [part.name for part in window.drawing._built.parts]
    assert parts == [
        "image",
        "down 1",
        "down 2",
        "down 3",
        "bottom",
        "up 3",
        "up 2",
        "up 1",
        "softmax",
    ]
    boxes = window.drawing.boxes
    assert all(one.right() < other.left() for one, other in pairwise(boxes))
    assert boxes[4].top() > boxes[3].top() > boxes[1].top(), "deeper levels lie lower"
    tool.specs["unet"].set(depth=1, width=4)
    tool.specs["unet"].changed.emit(tool.specs["unet"].options)
    assert len(window.drawing._built.parts) == 5
    qtbot.waitUntil(lambda: "weights" in window.cost.text(), timeout=60000)
    tool.rung.setCurrentIndex(tool.rung.findData("mlp"))
    assert window.drawing._built.parts[1].name == "features"
    window.grab()
    qtbot.waitUntil(lambda: not window._speeds.busy, timeout=60000)
    window.close()


def test_a_network_is_pretrained_first_and_not_twice(qtbot, tool, viewer, sample):
    plane = viewer.layers["plane"]
    labels = viewer.add_labels(sample.mask[5].astype(np.uint8), name="mask")
    viewer.layers.selection.active = plane
    viewer.layers.selection.active = labels
    viewer.layers.selection.active = plane
    tool.kind.setCurrentIndex(tool.kind.findData("mask"))
    tool.rung.setCurrentIndex(tool.rung.findData("logistic"))
    assert tool.pretraining.isHidden(), "the logistic model has nothing to pretrain"
    tool.rung.setCurrentIndex(tool.rung.findData("unet"))
    assert not tool.pretraining.isHidden()
    tool.specs["unet"].set(width=4, depth=1, resolution="full")
    tool.form.set(until="epochs", epochs=1, steps=2, patch=32, validation=0.0)
    panel = tool.pretraining
    panel.form.set(pretrain_steps=3)
    panel.on.setCurrentIndex(1)
    for _ in range(2):
        tool.run()
        qtbot.waitUntil(lambda: not tool.running, timeout=120000)
    assert "Pretrained on 1 image without labels" in tool.message.text()
    first, second = Session.of(viewer).models
    told = [model.provenance["pretraining"] for model in (first, second)]
    assert told[0] == told[1], "the second training used what the first was pretrained to"
    assert panel.chosen(plane).done is not None
    plane.data = np.array(plane.data)
    assert panel.chosen(plane).done is None, "other numbers are other images"


def test_objects_learnt_as_a_mask_are_one_class(qtbot, tool, viewer, sample):
    plane = viewer.layers["plane"]
    ids = viewer.add_labels(sample.objects[5], name="ids", metadata=marked(OBJECTS, plane, {}))
    viewer.layers.selection.active = plane
    tool.labels.pick(ids)
    assert tool.kind.currentData() == "objects"
    tool.kind.setCurrentIndex(tool.kind.findData("mask"))
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)
    (model,) = Session.of(viewer).models
    assert np.unique(sample.objects[5]).size > 2
    assert model.values == (0, 1)
    assert np.array_equal(ids.data, sample.objects[5]), "what was painted is as it was"


def test_labels_of_one_plane_annotate_the_plane_on_screen(qtbot, tool, viewer, sample):
    strokes = np.zeros(sample.mask.shape[1:], np.uint8)
    strokes[4::4] = np.where(sample.mask[6][4::4], 2, 1)
    viewer.add_labels(strokes, name="flat", scale=(0.5, 0.5))
    viewer.layers.selection.active = viewer.layers["stack"]
    tool.labels.pick(viewer.layers["flat"])
    viewer.dims.set_current_step(0, 6)
    pair, note = lesson_of(viewer.layers["stack"], viewer.layers["flat"], "scribbles", (6,))
    assert np.array_equal(pair.labels[6], strokes)
    assert np.count_nonzero(pair.labels) == np.count_nonzero(strokes)
    assert np.array_equal(pair.counted.any((1, 2)), np.arange(10) == 6)
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=120000)
    assert note in tool.message.text()
    assert "the one on screen, Z = 6" in note
    (model,) = Session.of(viewer).models
    found = predict(model, Image.of(sample.image[6])).asarray() == 2
    both = np.count_nonzero(found & sample.mask[6])
    assert 2 * both / (np.count_nonzero(found) + np.count_nonzero(sample.mask[6])) > 0.6
    viewer.layers["stack"].units = ("um",) * 3
    viewer.layers["flat"].units = ("um",) * 2
    viewer.layers["flat"].scale = (0.25, 0.25)
    _, note = lesson_of(viewer.layers["stack"], viewer.layers["flat"], "scribbles", (6,))
    assert "differ in pixel size (0.25 and 0.5" in note
    with pytest.raises(InputError, match="back to 2D"):
        lesson_of(viewer.layers["stack"], viewer.layers["flat"], "mask", None)


def test_live_strokes_of_one_plane_stay_on_the_plane_they_were_painted_on(qtbot, viewer, sample):
    at = [(2,)]
    live = Live(viewer, lambda layer: at[0])
    flat = viewer.add_labels(np.ones(sample.mask.shape[1:], np.uint8), name="flat")
    assert list(live._strokes(flat, at[0])) == [(2,)]
    assert list(live._strokes(flat, (3,))) == [(2,)]
    live._painted = True
    strokes = live._strokes(flat, (4,))
    assert {index: bool(plane.any()) for index, plane in strokes.items()} == {
        (4,): True,
        (2,): False,
    }
    live.end()
