"""The Predict dock on a bare viewer model: results, both of one run, and stopping."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_objects import unseen_as_background
from napari_unetseg.core.inference.prediction import (
    decode_maps,
    predict,
    predict_maps,
    prepare_prediction,
    run_prediction,
)
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.progress import StopEarly
from napari_unetseg.core.training.train import train
from napari_unetseg.gui.predict.predict_dock import PredictWidget
from napari_unetseg.gui.predict.predict_run import PredictDockOptions
from napari_unetseg.gui.shared.layers import find_layer, role_of
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.training_layers import PREDICTED, PREDICTED_OBJECTS

N_PLANES = 12


@pytest.fixture(scope="module")
def model():
    sample = samples.nuclei((96, 112), seed=3)
    strokes = np.zeros(sample.classes.shape, np.uint8)
    strokes[4::8] = np.where(sample.mask[4::8], 2, 1)
    return train(
        LogisticSpec(), [TrainingPair(sample.as_image(), strokes)], TrainOptions(), name="nuclei"
    ).model


@pytest.fixture(scope="module")
def stack():
    return np.stack([samples.nuclei((64, 72), seed=s).image for s in range(N_PLANES)])


@pytest.fixture
def viewer(stack, model):
    made = ViewerModel()
    made.layers.selection.active = made.add_image(stack, name="stack")
    Session.of(made).add_model(model)
    return made


@pytest.fixture
def tool(qtbot, viewer):
    made = PredictWidget(viewer)
    qtbot.addWidget(made)
    yield made
    made.close_tool()
    qtbot.waitUntil(lambda: not made.running, timeout=30000)


def predicted(model, image, what, progress, out=None):
    options = PredictDockOptions(what=what)
    return run_prediction(prepare_prediction(model, image, options), out=out, progress=progress)


def test_both_are_one_run_and_the_same_as_each_alone(model, stack):
    image, calls = Image.of(stack, "ZYX"), []

    def count(fraction, message="", /):
        calls.append(fraction)

    classes = predicted(model, image, "classes", count)
    alone, calls[:] = len(calls), []
    both = predicted(model, image, "both", count)
    assert len(calls) == alone
    np.testing.assert_array_equal(both.labels.data, classes.labels.data)
    proba = predicted(model, image, "probabilities", count).result
    np.testing.assert_array_equal(both.probabilities.data, proba.data)


@pytest.mark.parametrize("what", ["classes", "both"])
def test_a_stop_keeps_finished_planes_and_leaves_the_others(model, stack, what):
    image = Image.of(stack, "ZYX")
    before = np.full(stack.shape, 7, np.uint8)

    def stop_halfway(fraction, message="", /):
        if fraction >= 0.5:
            raise StopEarly

    made = predicted(model, image, what, stop_halfway, before.copy())
    whole = predict(model, image).asarray()
    done = [bool((plane != 7).all()) for plane in made.labels.asarray()]
    assert 2 <= sum(done) <= N_PLANES - 2
    for z, finished in enumerate(done):
        np.testing.assert_array_equal(made.labels.data[z], whole[z] if finished else 7)
    assert made.stopped_at >= 0.5


def test_objects_of_a_run_that_was_stopped_are_those_of_what_was_predicted(model, stack):
    image = Image.of(stack, "ZYX")
    whole = predict_maps(model, image)
    half = np.array(whole.data)
    half[N_PLANES // 2 :] = 0
    filled = unseen_as_background(whole.with_data(half), model.values)
    ids, all_ids = decode_maps(model, filled).asarray(), decode_maps(model, whole).asarray()
    np.testing.assert_array_equal(ids[: N_PLANES // 2], all_ids[: N_PLANES // 2])
    assert ids[: N_PLANES // 2].any()
    assert not ids[N_PLANES // 2 :].any()


def test_stop_in_the_dock_keeps_objects_of_what_is_done(qtbot, tool, viewer):
    tool.form.set(what="objects")
    tool.run()
    tool.stop()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)
    assert "Stopped at" in tool.message.text()
    labels = find_layer(viewer.layers, PREDICTED_OBJECTS, viewer.layers["stack"])
    assert labels.data.shape == (N_PLANES, 64, 72)
    assert not labels.data[-1].any()
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)
    assert labels.data[-1].any(), "the unfinished maps were kept"


def test_stop_in_the_dock_keeps_an_earlier_prediction(qtbot, tool, viewer):
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)
    (labels,) = [layer for layer in viewer.layers if role_of(layer) == PREDICTED]
    before = labels.data.copy()
    tool.run()
    tool.stop()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)
    assert "Stopped at" in tool.message.text()
    assert find_layer(viewer.layers, PREDICTED, viewer.layers["stack"]) is labels
    np.testing.assert_array_equal(labels.data, before)


def test_a_device_can_be_chosen(qtbot, tool, viewer):
    tool.form.set(device="cpu", what="both")
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)
    roles = {role_of(layer) for layer in viewer.layers}
    assert {PREDICTED, "probabilities class 1", "probabilities class 2"} <= roles
