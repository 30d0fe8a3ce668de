"""The pretrained features take every kind of image: depth, gaps, channels, and stacks."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.nn.training.live_pixels import LivePixels
from napari_unetseg.core.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")

SIDES = (48, 64)
BOX = (slice(0, SIDES[0]), slice(0, SIDES[1]))
SPEC = LogisticSpec(features="pretrained")


def scene(*shape: int) -> NDArray[Any]:
    """Noise that is brighter in the lower half, uint8."""
    values = np.random.default_rng(0).integers(0, 120, shape)
    values[..., SIDES[0] // 2 :, :] += 100
    return values.astype(np.uint8)


def strokes() -> NDArray[np.uint8]:
    labels = np.zeros(SIDES, np.uint8)
    labels[8:11, 5:40], labels[38:41, 20:60] = 1, 2
    return labels


def taught(image: Image, labels: NDArray[Any]) -> TrainedModel:
    pairs = [TrainingPair(image, labels)]
    return train(SPEC, pairs, TrainOptions(validation=0), name="quick").model


def probabilities(model: TrainedModel, image: Image) -> NDArray[Any]:
    return np.asarray(predict(model, image, PredictOptions(what="probabilities")).asarray())


@pytest.mark.parametrize("n_channels", [1, 2, 3, 5])
def test_any_channels_are_trained_predicted_and_previewed_alike(n_channels: int) -> None:
    image = Image.of(scene(n_channels, *SIDES), "CYX")
    model = taught(image, strokes())
    found = predict(model, image).asarray()
    assert (found[:16] == 1).mean() > 0.9
    assert (found[-16:] == 2).mean() > 0.9
    _, live = LivePixels(image, SPEC).update({(): strokes()}, (), BOX)
    np.testing.assert_array_equal(live, found)


def test_colours_are_channels() -> None:
    planes = scene(3, *SIDES)
    colour = Image.of(np.moveaxis(planes, 0, -1), "YXC", rgb=True)
    model = taught(colour, strokes())
    separate = taught(Image.of(planes, "CYX"), strokes())
    one, two = (probabilities(m, colour) for m in (model, separate))
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_sixteen_bits_are_seen_as_eight() -> None:
    eight = scene(*SIDES)
    image, deep = Image.of(eight), Image.of(eight.astype(np.uint16) * 257)
    one, two = (probabilities(taught(each, strokes()), each) for each in (image, deep))
    np.testing.assert_allclose(one, two, atol=2e-3)


def test_pixels_without_a_number_leave_the_others_numbers() -> None:
    values = scene(*SIDES).astype(np.float32)
    model = taught(Image.of(values), strokes())
    values[20, 30], values[9, 8] = np.nan, np.inf
    holed = Image.of(values)
    assert np.isfinite(probabilities(model, holed)).all()
    _, live = LivePixels(holed, SPEC).update({(): strokes()}, (), BOX)
    again = predict(taught(holed, strokes()), holed).asarray()
    assert (live == again).mean() > 0.999
    assert (again[:16] == 1).mean() > 0.9


def test_a_constant_image_has_probabilities() -> None:
    image = Image.of(np.full(SIDES, 7, np.uint16))
    found = probabilities(taught(image, strokes()), image)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


def test_a_plane_of_a_stack_is_as_the_plane_alone() -> None:
    planes = np.stack([scene(*SIDES)] * 3)
    labels = np.zeros((3, *SIDES), np.uint8)
    labels[1] = strokes()
    stack, plane = Image.of(planes, "ZYX"), Image.of(planes[1])
    model = taught(stack, labels)
    found = probabilities(model, stack)
    np.testing.assert_allclose(found[2], probabilities(model, plane), atol=1e-5)
    alone = probabilities(taught(plane, strokes()), plane)
    np.testing.assert_allclose(found[1], alone, atol=1e-4)
