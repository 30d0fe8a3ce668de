"""A UNet over the pretrained trunk: its first weights, its halo, its training."""

from typing import Any

import numpy as np
import pytest
import torch

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.annotation.training_set import Reading, TrainingSet
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference import predict_tiles
from napari_unetseg.core.inference.plausibility import try_model
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.inference.tiles import PIXELS_AT_ONCE
from napari_unetseg.core.model.pretrained_features import pretrained_weights
from napari_unetseg.core.model.pretrained_unet_spec import PretrainedUNetSpec
from napari_unetseg.core.nn.inference import row_strips
from napari_unetseg.core.nn.inference.feature_maps import feature_maps, list_layers
from napari_unetseg.core.nn.inference.network_segmenter import NetworkSegmenter
from napari_unetseg.core.nn.networks.build_network import build_network
from napari_unetseg.core.nn.training.fit_network import fit_network
from napari_unetseg.core.samples import nuclei
from napari_unetseg.core.scoring.pixel_scores import dice
from napari_unetseg.core.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = PretrainedUNetSpec(width=4)
SHORT = TrainOptions(until="epochs", epochs=1, steps=25, patch=64, batch=2, validation=0)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("resolution", ["full", "half"])
def test_nothing_beyond_the_halo_changes_a_tile(ndim: int, resolution: Any) -> None:
    """Along one axis of the plane; the other is as short as it may be."""
    spec = PretrainedUNetSpec(width=2, resolution=resolution, activation="gelu")
    network = build_network(spec, 1, 2, ndim, seed=0).eval()
    halo, multiple = spec.halo(ndim)[-1], spec.multiple(ndim)[-1]
    assert spec.halo(ndim)[-2] == halo
    around = halo + multiple
    sides = (3,) * (ndim - 2) + (multiple, 2 * around + multiple)
    x = torch.rand(1, 1, *sides, requires_grad=True)
    y = network(x)
    assert y.shape[2:] == x.shape[2:]
    tile = y[..., around : around + multiple]
    tile = tile if ndim == 2 else tile[:, :, 1]
    (slope,) = torch.autograd.grad((tile * torch.rand_like(tile)).sum(), x)
    places = (slope[0, 0] != 0).reshape(-1, sides[-1]).any(0).nonzero()
    before, after = around - int(places[0]), int(places[-1]) - around - multiple + 1
    assert halo - multiple < max(before, after) <= halo
    if ndim == 3:
        assert not slope[0, 0, [0, 2]].any()


@pytest.mark.parametrize(("ndim", "n_channels"), [(2, 1), (2, 3), (3, 1)])
def test_strips_of_rows_change_nothing(ndim: int, n_channels: int) -> None:
    """At the coarsest level there are two strips and a part of one."""
    network = build_network(SMALL, n_channels, 2, ndim, seed=0).eval()
    with torch.no_grad():
        for norm in (one for one in network.modules() if isinstance(one, torch.nn.BatchNorm2d)):
            norm.running_mean += 0.1
            norm.running_var *= 1.3
    sides = (*(2,) * (ndim - 2), 16 * (2 * row_strips._ROWS + 3), 48)
    block = np.random.default_rng(0).random((n_channels, *sides), np.float32)
    segmenter = NetworkSegmenter(network, SMALL, ("a", "b"), n_channels, ndim)
    with torch.inference_mode():
        whole = torch.softmax(network(torch.from_numpy(block[None])), 1)[0].numpy()
    found = segmenter.predict_proba(block, origin=(0,) * ndim, shape=sides)
    np.testing.assert_allclose(found, whole, atol=1e-5)
    assert np.ptp(whole) > 0.1


def test_blocks_are_large_compared_with_their_halo() -> None:
    network = build_network(SMALL, 1, 2, 2, seed=0).eval()
    segmenter = NetworkSegmenter(network, SMALL, ("a", "b"), 1, 2)
    grid = predict_tiles._grid((4096, 4096), segmenter, None, 0)
    assert grid.n_computed < 1.3 * 4096**2
    assert grid.largest_block <= PIXELS_AT_ONCE[2] / SMALL.memory_per_pixel


def test_it_begins_with_the_pretrained_layers_and_changes_them_slowly() -> None:
    sample = nuclei((96, 96), seed=1)
    pairs = [TrainingPair(sample.as_image(), sample.mask.astype(np.uint8))]
    data = TrainingSet.of(pairs, SHORT, Reading("mask"))
    network: Any = build_network(SMALL, 1, 2, 2, seed=0)
    known = pretrained_weights()
    for name, weights in network.trunk.state_dict().items():
        np.testing.assert_array_equal(weights, known[name])
    quick = SHORT.model_copy(update={"steps": 3})
    fitted: Any = fit_network(SMALL, data, quick).network
    moved = [
        float((after - before).detach().abs().mean())
        for after, before in (
            (fitted.trunk.stem.weight, network.trunk.stem.weight),
            (fitted.bottom[0].weight, network.bottom[0].weight),
        )
    ]
    assert 0 < moved[0] < 0.3 * moved[1]


def test_it_learns_and_not_from_shuffled_labels() -> None:
    sample, exam = nuclei((96, 96), seed=1), nuclei((96, 96), seed=2)
    labels, truth = sample.mask, exam.mask
    scores = []
    for learnt in (labels, np.random.default_rng(0).permutation(labels.ravel())):
        pair = TrainingPair(sample.as_image(), learnt.reshape(labels.shape).astype(np.uint8))
        options = SHORT.model_copy(update={"steps": 40})
        model = train(SMALL, [pair], options, name="new", labels_are="mask").model
        scores.append(dice(predict(model, exam.as_image()).asarray() > 0, truth))
    assert scores[0] > 0.6 > scores[1] + 0.2


def test_images_unlike_its_own_are_less_familiar() -> None:
    sample, exam = nuclei((96, 96), seed=1), nuclei((96, 96), seed=2).as_image()
    pair = TrainingPair(sample.as_image(), sample.mask.astype(np.uint8))
    model = train(SMALL, [pair], SHORT, name="new", labels_are="mask").model
    stripes = exam.with_data(np.where(np.arange(96) % 8 < 4, exam.asarray(), 0))
    own, other = (try_model(model, image).familiarity for image in (exam, stripes))
    assert other < own < 1


@pytest.mark.parametrize("ndim", [2, 3])
def test_its_layers_can_be_looked_at(ndim: int, make_model: Any) -> None:
    model = make_model("pretrained-unet", ndim)
    flat = (1,) * (ndim - 2)
    found = {facts.name: (facts.channels, facts.step) for facts in list_layers(model)}
    assert found["encoder 5"] == (112, (*flat, 16, 16))
    assert found["up 1"] == (3, (*flat, 2, 2))
    assert found["evidence"] == (3, (1,) * ndim)
    image = Image.of(np.random.default_rng(0).random((*(4,) * (ndim - 2), 40, 36), np.float32))
    assert feature_maps(model, image, "up 2").maps.shape == (6, *(4,) * (ndim - 2), 10, 9)


def test_colours_are_seen_as_such() -> None:
    network = build_network(SMALL, 3, 2, 2, seed=0).eval()
    x = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        assert not torch.allclose(network(x), network(x.flip(1)), atol=1e-4)


def test_a_model_continues_on_images_of_other_channels() -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((64, 64), np.uint8)
    labels[20:40, 20:40] = 1
    grey = Image.of(labels + 0.1 * rng.standard_normal(labels.shape).astype(np.float32))
    two = Image.of(np.stack([grey.asarray()] * 2), "CYX")
    quick = SHORT.model_copy(update={"steps": 1})
    first = train(SMALL, [TrainingPair(two, labels)], quick, name="a", labels_are="mask").model
    three = Image.of(np.stack([grey.asarray()] * 3), "CYX")
    outcome = train(
        SMALL, [TrainingPair(three, labels)], quick, name="b", labels_are="mask", start=first
    )
    assert "the first layer is new" in outcome.message
