"""The form shows how objects are made as trained, runs so, and follows the chosen model."""

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.training.calibrate_model import calibrate_model
from napari_unetseg.core.training.train import train
from napari_unetseg.gui.predict.predict_dock import PredictWidget
from napari_unetseg.gui.shared.layer_provenance import draft_of
from napari_unetseg.gui.shared.layers import find_layer
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.training_layers import PREDICTED_OBJECTS

LEARNT = DecodeOptions(
    split="probability", split_depth=0.2, foreground=0.4, min_size=12, min_score=0.1
)


@pytest.fixture(scope="module")
def models():
    sample = samples.nuclei((96, 112), seed=3)
    steps = TrainOptions(until="epochs", epochs=1, steps=3, patch=64, batch=1, validation=0.0)
    spec = UNetSpec(depth=1, width=4, convolutions=1, resolution="full")
    lesson = TrainingPair(sample.as_image(), sample.objects)
    model = train(spec, [lesson], steps, name="plain", labels_are="objects").model
    return replace(model, name="own", decoding=LEARNT), replace(model, decoding=DecodeOptions())


@pytest.fixture
def tool(qtbot, models):
    viewer = ViewerModel()
    viewer.add_image(samples.nuclei((64, 72), seed=1).image, name="image")
    for model in reversed(models):
        Session.of(viewer).add_model(model)
    made = PredictWidget(viewer)
    qtbot.addWidget(made)
    yield made
    made.close_tool()


def run(qtbot, tool):
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)
    return find_layer(tool.viewer.layers, PREDICTED_OBJECTS, tool.viewer.layers["image"])


def test_the_form_shows_how_the_model_makes_objects(tool, models):
    own, plain = models
    tool.models.choose(own)
    shown = tool.decoding.options
    assert shown == LEARNT.model_copy(update={"min_size": 0})
    label = tool.decoding.layout.labelForField(tool.decoding.widget("min_size").native)
    assert label.text() == "Smallest size (0 = 12)"
    tool.decoding.set(min_size=30, min_score=0.5)
    tool.models.choose(plain)
    assert tool.decoding.options == DecodeOptions()
    assert label.text() == "Smallest size"


@pytest.mark.parametrize("diameter", [0.0, 8.0])
def test_a_run_makes_objects_as_trained_and_so_does_its_recipe(qtbot, tool, models, diameter):
    own = replace(models[0], diameter=12.0)
    Session.of(tool.viewer).add_model(own)
    tool.models.choose(own)
    tool.form.set(what="objects", diameter=diameter)
    layer = run(qtbot, tool)
    image = Image.of(np.asarray(tool.viewer.layers["image"].data))
    options = PredictOptions(what="objects", diameter=diameter)
    np.testing.assert_array_equal(layer.data, predict(own, image, options).asarray())
    recipe = draft_of(layer, tool.session).objects
    assert recipe.min_size == 0
    np.testing.assert_array_equal(
        layer.data, predict(own, image, options, decoding=recipe).asarray()
    )
    # Made again of the maps that were kept, at the same scale.
    np.testing.assert_array_equal(run(qtbot, tool).data, layer.data)


def test_a_fit_to_labels_is_a_new_model_like_that_of_the_command_line(qtbot, tool, models):
    sample = samples.nuclei((128, 144), seed=1)
    tool.viewer.layers["image"].data = sample.image
    known = tool.viewer.add_labels(sample.objects, name="known")
    tool.viewer.layers.selection.active = tool.viewer.layers["image"]
    own = models[0]
    tool.models.choose(own)
    assert tool.fitting.labels.layer() is known
    tool.fitting.button.click()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)
    fitted = tool.model()
    pair = TrainingPair(Image.of(sample.image), sample.objects)
    assert fitted.decoding == calibrate_model(own, [pair]).model.decoding
    assert fitted.provenance["calibrated"]["model"] == own.fingerprint
    assert fitted.name.startswith("own fitted")
    assert own in tool.session.models
    assert own.decoding == LEARNT
    assert tool.decoding.options.split_depth == fitted.decoding.split_depth
    assert "'own' is as it was" in tool.message.text()
    assert tool.session.history.versions[-1].learnt[0].labels == "known"


def test_a_fit_that_is_cancelled_or_lacks_something_changes_nothing(qtbot, tool, models):
    before = list(tool.session.models)
    tool.models.choose(models[0])
    tool.fitting.button.click()
    assert "There is no Labels layer" in tool.message.text()
    tool.viewer.add_labels(samples.nuclei((64, 72), seed=1).objects, name="known")
    tool.viewer.layers.selection.active = tool.viewer.layers["image"]
    tool.fitting.button.click()
    assert tool.running
    assert not tool.fitting.button.isEnabled()
    tool.cancel()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)
    assert tool.session.models == before
    foreign = replace(models[0], state={})
    tool.session.add_model(foreign)
    tool.fitting.button.click()
    assert "trained here" in tool.message.text()
