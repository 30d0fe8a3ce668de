"""Objects in a real window: train on ids, predict ids, split them live."""

import numpy as np
import pytest

from napari_unetseg.core import samples
from napari_unetseg.core.compute import scratch_arrays as scratch
from napari_unetseg.core.objects.masks import label
from napari_unetseg.gui.predict import predict_run
from napari_unetseg.gui.predict.predict_dock import PredictWidget
from napari_unetseg.gui.shared.layers import find_layer, role_of
from napari_unetseg.gui.shared.training_layers import PREDICTED_OBJECTS
from napari_unetseg.gui.threshold.threshold_dock import ThresholdWidget
from napari_unetseg.gui.train.train_dock import TrainWidget
from napari_unetseg.gui.workbench.workbench_dock import WorkbenchWidget

THRESHOLD, TRAIN, PREDICT = (
    WorkbenchWidget.rungs.index(tool) for tool in (ThresholdWidget, TrainWidget, PredictWidget)
)


@pytest.fixture
def nuclei(hand):
    sample = samples.nuclei(
        (160, 192), seed=1, touching=0.7, density=1.5, noise=0.5, unevenness=0.2
    )
    image = hand.viewer.add_image(sample.image, name="nuclei", scale=(0.5, 0.5))
    hand.viewer.add_labels(sample.objects, name="cells", scale=(0.5, 0.5))
    hand.viewer.layers.selection.active = image
    hand.truth = sample.objects
    return image


def shown(form, name):
    return not form.widget(name).native.isHidden()


def choose(box, entry):
    box.setCurrentIndex(box.findData(entry))


def train(hand, **options):
    hand.turn_to(TRAIN)
    tool = hand.tool(TRAIN)
    choose(tool.kind, "objects")
    choose(tool.rung, "unet")
    small = {"width": 8, "depth": 2}
    tool.specs["unet"].options = tool.specs["unet"].options.model_copy(update=small)
    tool.form.set(until="epochs", epochs=3, steps=20, patch=96, batch=2, averaging=0.9, **options)
    hand.click(tool.run_button)
    hand.wait(lambda: not tool.running, seconds=120)
    return tool


def test_ids_train_and_become_ids_that_are_split_live(hand, nuclei):
    tool = train(hand)
    assert "AP@0.5" in tool.message.text(), tool.message.text()
    hand.turn_to(PREDICT)
    predict = hand.tool(PREDICT)
    assert predict.form.options.what == "auto"
    assert predict.decoding.page.isVisible()
    # Too little is held out to say how deep to cut; so short a training wants it shallow.
    predict.decoding.set(min_size=10, split_depth=0.04)
    hand.run(predict)
    made = find_layer(hand.viewer.layers, PREDICTED_OBJECTS, nuclei)
    assert made is not None, predict.message.text()
    first = made.data.copy()
    assert first.max() > label(hand.truth > 0)[1]
    assert np.array_equal(made.scale, nuclei.scale)

    predict.decoding.widget("split").value = "none"
    hand.wait(lambda: predict.preview.layer is not None)
    assert not made.visible
    assert np.array_equal(made.data, first), "a look wrote into the layer"
    hand.wait(lambda: "plane on screen" in predict.message.text())
    hand.run(predict)
    assert predict.preview.layer is None
    assert made.visible
    assert made.data.max() < first.max()
    made.undo()
    assert np.array_equal(made.data, first)
    # The result is not taken for an annotation, until a hand picks it: then it is ids.
    assert hand.tool(TRAIN).labels.layer().name == "cells"
    hand.tool(TRAIN).labels.pick(made)
    assert hand.tool(TRAIN).kind.currentData() == "objects"


def test_a_look_at_the_plane_and_objects_that_a_hand_touched(hand, nuclei):
    train(hand)
    hand.turn_to(PREDICT)
    predict = hand.tool(PREDICT)
    predict.decoding.set(min_size=10)
    predict.form.set(extent="visible plane")
    hand.run(predict)
    assert predict.preview.layer is not None
    assert not [layer for layer in hand.viewer.layers if role_of(layer) == PREDICTED_OBJECTS]
    predict.form.set(extent="everything")
    hand.run(predict)
    made = find_layer(hand.viewer.layers, PREDICTED_OBJECTS, nuclei)
    ids = made.data
    row, column = np.argwhere(ids > 0)[0]
    corrected = int(ids[row, column])
    made.paint((int(row), int(column)), corrected + 500)
    predict.decoding.widget("split").value = "none"
    hand.run(predict)
    assert made.data[row, column] == corrected + 500
    # The layer goes while a look is on: nothing breaks, and it can be predicted again.
    predict.decoding.widget("split").value = "auto"
    hand.wait(lambda: predict.preview.layer is not None)
    hand.viewer.layers.remove(made)
    hand.viewer.layers.selection.active = nuclei
    hand.run(predict)
    assert find_layer(hand.viewer.layers, PREDICTED_OBJECTS, nuclei) is not None
    hand.viewer.layers.remove(nuclei)
    assert predict.preview.layer is None


def test_finished_regions_are_chosen_in_the_dock(hand, nuclei):
    hand.turn_to(TRAIN)
    tool = hand.tool(TRAIN)
    assert tool.region.isHidden()
    choose(tool.kind, "objects")
    assert not tool.region.isHidden()
    tool.region.pick(tool.labels.layer())
    hand.click(tool.run_button)
    assert "cannot mark their own fully labelled" in tool.message.text()
    corners = np.array([[0, 0], [0, 95], [79, 95], [79, 0]]) * 0.5
    marks = hand.viewer.add_shapes([corners], name="done")
    tool.region.pick(marks)
    tool.labels.pick(hand.viewer.layers["cells"])
    hand.viewer.layers.selection.active = nuclei
    choose(tool.rung, "cnn")
    tool.specs["cnn"].options = tool.specs["cnn"].options.model_copy(update={"width": 4})
    tool.form.set(until="epochs", epochs=1, steps=2, patch=32)
    assert tool.form.widget("objects").label == "Objects by"
    hand.click(tool.run_button)
    hand.wait(lambda: not tool.running, seconds=60)
    assert tool.session.models[-1].decoder is not None, tool.message.text()


def test_stacks_and_models_without_objects(hand):
    sample = samples.nuclei((3, 64, 80), seed=1, touching=0.7)
    stack = hand.viewer.add_image(sample.image, name="stack")
    ids = hand.viewer.add_labels(sample.objects, name="ids")
    hand.viewer.layers.selection.active = stack
    hand.turn_to(TRAIN)
    tool = hand.tool(TRAIN)
    tool.labels.pick(ids)
    choose(tool.kind, "objects")
    choose(tool.rung, "logistic")
    hand.run(tool)
    hand.turn_to(PREDICT)
    predict = hand.tool(PREDICT)
    assert predict.form.options.what == "auto"
    assert not predict.decoding.page.isVisible()
    predict.form.widget("what").value = "objects"
    assert predict.decoding.page.isVisible()
    predict.decoding.widget("link").value = "none"
    hand.run(predict)
    made = find_layer(hand.viewer.layers, PREDICTED_OBJECTS, stack)
    planes = [set(np.unique(plane)) - {0} for plane in made.data]
    assert all(planes)
    assert not planes[0] & planes[1]
    predict.decoding.widget("split").value = "learnt"
    hand.wait(lambda: "learnt classes" in predict.message.text())
    predict.decoding.widget("split").value = "none"
    hand.wait(lambda: predict.preview.layer is not None)
    hand.viewer.dims.set_current_step(0, 0)
    hand.wait(lambda: not predict.live.busy)
    shown = predict.preview.layer.data
    assert shown.shape == (64, 80)
    hand.viewer.dims.ndisplay = 3
    hand.wait(lambda: predict.preview.layer is None)
    assert made.visible
    hand.viewer.dims.ndisplay = 2


def test_planes_are_linked_in_threshold_and_predict(hand, monkeypatch):
    sample = samples.nuclei((6, 64, 80), seed=1, touching=0, noise=0.3, spacing=(1, 0.65, 0.65))
    stack = hand.viewer.add_image(sample.image, name="stack")
    ids = hand.viewer.add_labels(sample.objects, name="ids")
    hand.viewer.layers.selection.active = stack
    hand.turn_to(THRESHOLD)
    draft = hand.tool(THRESHOLD)
    assert not shown(draft.form, "link")
    draft.form.set(result="objects", sigma=1.0, min_size=20)
    assert shown(draft.form, "link")
    assert shown(draft.form, "link_iou")
    draft.form.widget("link").value = "none"
    assert not shown(draft.form, "link_iou")
    hand.run(draft)
    apart = int(find_layer(hand.viewer.layers, "objects", stack).data.max())
    draft.form.widget("link").value = "auto"
    hand.run(draft)
    assert "linked through 6 planes" in draft.message.text()
    made = find_layer(hand.viewer.layers, "objects", stack)
    assert made.data.max() < apart / 2, draft.message.text()
    assert set(np.unique(made.data[2])) & set(np.unique(made.data[3])) - {0}
    draft.form.widget("per").value = "stack"
    assert not shown(draft.form, "link")

    hand.turn_to(TRAIN)
    tool = hand.tool(TRAIN)
    tool.labels.pick(ids)
    choose(tool.kind, "objects")
    choose(tool.rung, "logistic")
    hand.click(tool.run_button)
    hand.wait(lambda: not tool.running, seconds=120)
    hand.turn_to(PREDICT)
    predict = hand.tool(PREDICT)
    predict.form.widget("what").value = "objects"
    assert shown(predict.form, "orientations")
    assert shown(predict.decoding, "link")
    predict.decoding.widget("link").value = "none"
    hand.run(predict)
    assert "linked" not in predict.message.text()
    made = find_layer(hand.viewer.layers, PREDICTED_OBJECTS, stack)
    first = made.data.copy()
    predict.decoding.widget("link").value = "auto"
    hand.run(predict)
    assert "linked through 6 planes" in predict.message.text()
    assert made.data.max() < first.max()
    np.testing.assert_array_equal(made.data > 0, first > 0)
    assert set(np.unique(made.data[2])) & set(np.unique(made.data[3])) - {0}
    assert "the result follows at once" in predict.message.text()

    # Too large to keep: the same objects, but other options mean to predict again.
    linked = made.data.copy()
    monkeypatch.setattr(predict_run, "IN_MEMORY", 1000)
    monkeypatch.setattr(scratch, "IN_MEMORY", 1000)
    predict.form.set(tile=48)  # another tiling, so that what is kept does not do
    hand.run(predict)
    assert "the result follows at once" not in predict.message.text()
    np.testing.assert_array_equal(made.data, linked)

    plane = hand.viewer.add_image(sample.image[0], name="plane")
    hand.viewer.layers.selection.active = plane
    hand.wait(lambda: not shown(predict.decoding, "link"))
    assert not shown(predict.form, "orientations")
