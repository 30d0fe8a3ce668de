"""Where a network's output lies: over its input, by construction and after training."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.prediction import PredictOptions, predict
from napari_unetseg.core.model.network_specs import CnnSpec, ModelSpec, UNetSpec
from napari_unetseg.core.model.registry import saved_spec
from napari_unetseg.core.nn.networks.build_network import build_network
from napari_unetseg.core.nn.restore import network_of
from napari_unetseg.core.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")


@st.composite
def specs(draw: st.DrawFn) -> ModelSpec:
    """Draw any architecture of a convolutional network whose weights can be symmetric."""
    shared = {
        "width": draw(st.integers(1, 3)),
        "resolution": draw(st.sampled_from(["full", "half", "quarter"])),
        "flat_levels": draw(st.integers(0, 3)),
        "normalisation": draw(st.sampled_from(["batch", "group", "instance", "none"])),
        "activation": draw(st.sampled_from(["relu", "gelu", "sigmoid"])),
    }
    if draw(st.booleans()):
        layers = draw(st.integers(1, 3))
        return CnnSpec.checked(
            layers=layers,
            context=draw(st.sampled_from(["dilation", "pooling", "none"])),
            poolings=draw(st.integers(1, layers)),
            **shared,
        )
    ways = ["transposed-2", "transposed-4", "linear", "nearest"]
    return UNetSpec.checked(
        depth=draw(st.integers(1, 2)),
        growth=1.0,
        convolutions=draw(st.integers(1, 2)),
        stem=draw(st.sampled_from(["plain", "space-to-depth"])),
        head=draw(st.sampled_from(["linear", "learnt"])),
        residual=draw(st.booleans()),
        attention=draw(st.booleans()),
        separable=draw(st.booleans()),
        pooling=draw(st.sampled_from(["max", "mean", "strided"])),
        upsampling=draw(st.sampled_from(ways)),
        skip=draw(st.sampled_from(["concat", "add"])),
        **shared,
    )


def symmetric(spec: ModelSpec, ndim: int) -> Any:
    """Build a network whose weights are the same when mirrored, and the same for all channels."""
    network: Any = build_network(spec, 1, 2, ndim, seed=0).double().eval()
    rng = np.random.default_rng(0)
    for weight in network.parameters():
        if weight.ndim > 2:
            each = torch.from_numpy(rng.uniform(0.1, 1, weight.shape[2:]))
            for axis in range(ndim):
                each = each + each.flip(axis)
            weight.data = (each / each.sum()).expand(weight.shape).clone()
    return network


def imbalance(spec: ModelSpec, ndim: int, cells: int, axis: int) -> float:
    """Return how far the mirrored output is from the output of the mirrored image, at most."""
    network = symmetric(spec, ndim)
    around = [2 * h + cells * m for h, m in zip(spec.halo(ndim), spec.multiple(ndim), strict=True)]
    x = torch.rand(1, 1, *around, dtype=torch.float64, generator=torch.manual_seed(0))
    with torch.inference_mode():
        straight, turned = network(x), network(x.flip(axis + 2)).flip(axis + 2)
    return float((straight - turned).abs().max())


@settings(max_examples=60, deadline=None)
@given(specs(), st.sampled_from([2, 2, 3]), st.integers(1, 3), st.integers(0, 1))
def test_a_mirrored_image_gives_the_mirrored_output(spec, ndim, cells, axis):
    sides = zip(spec.halo(ndim), spec.multiple(ndim), strict=True)
    assume(math.prod(2 * halo + cells * multiple for halo, multiple in sides) < 2e5)
    assert imbalance(spec, ndim, cells, axis) < 1e-9


@pytest.mark.parametrize(
    "spec",
    [
        CnnSpec(layers=2, width=2, context="pooling", alignment="corners"),
        UNetSpec(depth=1, width=2, upsampling="linear", alignment="corners"),
        UNetSpec(depth=1, width=2, upsampling="transposed-3"),
    ],
)
def test_corners_are_off_centre(spec):
    assert imbalance(spec, 2, 2, 0) > 1e-4


def test_models_from_before_there_was_a_choice_are_aligned_as_they_were_trained():
    for spec in (CnnSpec(context="pooling"), UNetSpec(upsampling="linear")):
        options = json.loads(spec.model_dump_json())
        assert saved_spec(spec.kind, options) == spec
        del options["alignment"]
        assert saved_spec(spec.kind, options).alignment == "corners"


def test_models_from_before_the_linear_head_keep_theirs():
    options = json.loads(UNetSpec().model_dump_json())
    assert saved_spec("unet", options).head == "linear"
    del options["head"]
    assert saved_spec("unet", options).head == "learnt"


def discs(seed: int, n: int = 160) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:n, :n]
    mask = np.zeros((n, n), bool)
    for _ in range(14):
        (cy, cx), radius = rng.uniform(0, n, 2), rng.uniform(8, 20)
        mask |= (y - cy) ** 2 + (x - cx) ** 2 < radius**2
    image = 100 * ndimage.gaussian_filter(mask.astype(float), 1) + rng.normal(100, 8, (n, n))
    return image.astype(np.float32), mask


def displacement(probability: np.ndarray, mask: np.ndarray, axis: int) -> float:
    """Return how far a probability must be moved along an axis to fit the mask best, in pixels."""
    steps = np.arange(-4, 5)
    inside = (slice(10, -10),) * 2
    fit = [-np.mean((np.roll(probability, -d, axis) - mask)[inside] ** 2) for d in steps]
    best = int(np.clip(np.argmax(fit), 1, len(fit) - 2))
    before, at, after = fit[best - 1 : best + 2]
    return float(steps[best] + 0.5 * (before - after) / (before - 2 * at + after))


@pytest.mark.parametrize(
    "spec",
    [
        CnnSpec(layers=4, width=8, context="pooling", poolings=2, resolution="full"),
        UNetSpec(depth=2, width=6, upsampling="linear", resolution="full"),
    ],
    ids=lambda spec: spec.kind,
)
def test_a_short_training_leaves_edges_where_they_are(spec):
    image, mask = discs(0)
    options = TrainOptions(until="epochs", epochs=1, steps=60, patch=64, batch=4, validation=0)
    plan = options.model_copy(update={"climbing": "off"})
    pairs = [TrainingPair(Image(image, "YX"), mask.astype(np.uint8))]
    model = train(spec, pairs, plan, name="new", labels_are="mask").model
    shifts = []
    for seed in (1, 2):
        image, mask = discs(seed)
        wanted = PredictOptions(what="probabilities")
        probability = predict(model, Image(image, "YX"), wanted).asarray()[1]
        shifts.append([displacement(probability, mask, axis) for axis in (0, 1)])
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.3


def period_two(network: Any) -> float:
    """Return the part of the evidence on a smooth image that alternates from pixel to pixel."""
    y, x = np.mgrid[:96, :96]
    smooth = (np.sin(y / 11) + np.sin(x / 13 + 1)).astype(np.float32)
    with torch.inference_mode():
        evidence = network.eval()(torch.from_numpy(smooth)[None, None])[0, 1].numpy()
    found = []
    for axis in (0, 1):
        lines = np.moveaxis(evidence, axis, 0)[16:-16, 16:-16]
        rough = lines[1:-1] - (lines[:-2] + lines[2:]) / 2
        rough *= (-1.0) ** np.arange(len(rough))[:, None]
        found.append(np.abs(ndimage.uniform_filter(rough, 8)).mean() / evidence.std())
    return float(max(found))


@pytest.mark.parametrize("upsampling", ["transposed-2", "linear"])
def test_a_barely_trained_network_leaves_no_grid(upsampling):
    """Taught with the ragged edges of a draft; weights learnt for each pixel alternate."""
    image, mask = discs(0)
    edge = ndimage.binary_dilation(mask, iterations=3) & ~ndimage.binary_erosion(mask, iterations=3)
    ragged = mask ^ (edge & (np.random.default_rng(0).random(mask.shape) < 0.4))
    options = TrainOptions(
        until="epochs", epochs=1, steps=20, patch=64, validation=0, schedule="constant"
    )
    spec = UNetSpec(depth=2, width=6, upsampling=upsampling, resolution="full")
    pairs = [TrainingPair(Image(image, "YX"), ragged.astype(np.uint8))]
    alternating = {}
    for head in ("linear", "learnt"):
        asked = spec.model_copy(update={"head": head})
        model = train(asked, pairs, options, name="new", labels_are="mask").model
        alternating[head] = period_two(network_of(model))
    assert alternating["linear"] < 0.01
    assert alternating["learnt"] > 0.02
