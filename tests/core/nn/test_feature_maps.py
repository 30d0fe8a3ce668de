"""Feature maps: the network's own numbers, tiled as if whole, and what excites a channel."""

import numpy as np
import pytest
import torch

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.inference.tiles import TileGrid
from napari_unetseg.core.model.network_specs import CnnSpec, UNetSpec
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.nn.inference import feature_maps as module
from napari_unetseg.core.nn.inference.excite import excite
from napari_unetseg.core.nn.inference.feature_maps import feature_maps, list_layers, patches_of
from napari_unetseg.core.progress import Cancelled
from napari_unetseg.core.training.train import train

SAMPLE = samples.nuclei((104, 88), seed=1)


def trained(spec, sample=SAMPLE, ndim=2):
    lesson = TrainingPair(sample.as_image(), sample.mask.astype(np.uint8))
    plan = TrainOptions(
        until="epochs", epochs=1, steps=15, patch=32, patch_depth=8, averaging=0.7, validation=0
    )
    return train(spec, [lesson], plan, name="net", labels_are="mask", ndim=ndim).model


@pytest.fixture(scope="module")
def unet():
    return trained(UNetSpec(width=4, depth=2, resolution="full"))


def test_the_layers_are_named_from_the_image_to_the_evidence(unet):
    found = [(facts.name, facts.channels, facts.step) for facts in list_layers(unet)]
    assert found == [
        ("down 1", 4, (2, 2)),
        ("down 2", 8, (4, 4)),
        ("bottom", 16, (8, 8)),
        ("up 2", 8, (4, 4)),
        ("up 1", 4, (2, 2)),
        ("evidence", 2, (1, 1)),
    ]
    pooled = trained(CnnSpec(width=4, layers=3, context="pooling", resolution="full"))
    assert [facts.name for facts in list_layers(pooled)][-2:] == ["convolution 3", "evidence"]


def test_the_evidence_is_what_is_predicted_from(unet):
    image = SAMPLE.as_image()
    evidence = feature_maps(unet, image, "evidence").maps
    proba = torch.from_numpy(evidence).softmax(0).numpy()
    predicted = predict(unet, image, PredictOptions(what="probabilities")).asarray()
    np.testing.assert_allclose(proba, predicted, atol=1e-4)


@pytest.mark.parametrize("layer", ["down 2", "bottom", "up 1", "evidence"])
def test_tiled_is_as_if_whole(unet, layer, monkeypatch):
    at_once = feature_maps(unet, SAMPLE.as_image(), layer).maps
    halo, multiple = unet.spec.halo(2), unet.spec.multiple(2)
    border = unet.spec.border(2)

    class Small(TileGrid):
        @classmethod
        def planned(cls, shape, **needs):
            return TileGrid(shape, (multiple[0],) * 2, halo, multiple, border)

    monkeypatch.setattr(module, "TileGrid", Small)
    np.testing.assert_allclose(
        feature_maps(unet, SAMPLE.as_image(), layer).maps, at_once, atol=1e-4
    )


def test_a_stack_and_unpadded_convolutions(unet):
    stack = samples.nuclei((10, 40, 48), seed=1)
    model = trained(UNetSpec(width=4, depth=1, stem="plain", resolution="full"), stack, ndim=3)
    maps = feature_maps(model, stack.as_image(), "bottom").maps
    assert maps.shape == (8, 5, 20, 24)
    valid = trained(UNetSpec(width=4, depth=1, padding="valid", resolution="full"))
    assert feature_maps(valid, SAMPLE.as_image(), "evidence").maps.shape == (2, 104, 88)


def test_a_drawn_picture_excites_its_channel(unet):
    layer, channel = "evidence", 1
    drawn = excite(unet, layer, channel, side=32, steps=40)
    assert drawn.picture.shape == (1, 32, 32)
    assert drawn.after > drawn.before + 0.2
    other = excite(unet, layer, 0, side=32, steps=40)
    assert np.abs(other.picture - drawn.picture).max() > 0.05
    rough = excite(unet, layer, channel, side=32, steps=40, smooth=0)
    assert np.diff(rough.picture).std() > np.diff(drawn.picture).std()


def test_the_most_excited_places_lie_apart_and_are_patches(unet):
    found = feature_maps(unet, SAMPLE.as_image(), "up 1")
    channel = int(found.maps.reshape(4, -1).max(1).argmax())
    places = found.most_excited(channel, 4, 24)
    answers = [answer for _, answer in places]
    assert answers == sorted(answers, reverse=True)
    assert answers[0] == found.maps[channel].max()
    for k, (one, _) in enumerate(places):
        for other, _ in places[:k]:
            assert max(abs(a - b) for a, b in zip(one, other, strict=True)) >= 24
    patches = patches_of(SAMPLE.image[None].astype(np.float32), [p for p, _ in places], 24)
    y, x = places[0][0]
    assert all(patch.shape == (1, 24, 24) for patch in patches)
    assert patches[0][0, 12, 12] == SAMPLE.image[y, x]


def test_what_cannot_be_looked_at_is_said(unet):
    image = SAMPLE.as_image()
    with pytest.raises(InputError, match="no layer 'x'"):
        feature_maps(unet, image, "x")
    with pytest.raises(InputError, match="channels 0 to 1, not 2"):
        excite(unet, "evidence", 2)
    with pytest.raises(InputError, match="one plane at a time"):
        feature_maps(unet, Image(np.zeros((2, 32, 32)), "ZYX"), "evidence")
    with pytest.raises(InputError, match="only networks of convolutions"):
        list_layers(trained(LogisticSpec()))


def test_cancel_flies_through(unet):
    def progress(fraction, message=""):
        raise Cancelled

    with pytest.raises(Cancelled):
        feature_maps(unet, SAMPLE.as_image(), "evidence", progress=progress)
    with pytest.raises(Cancelled):
        excite(unet, "evidence", 0, progress=progress)
