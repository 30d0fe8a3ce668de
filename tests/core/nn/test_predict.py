"""A network behind the seam: tiles equal the whole, and the network itself stays untouched."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from napari_unetseg.core.image import Image
from napari_unetseg.core.inference import predict_tiles
from napari_unetseg.core.inference.predict_tiles import predict_proba_image
from napari_unetseg.core.inference.segmenter import Segmenter
from napari_unetseg.core.inference.tiles import PIXELS_AT_ONCE
from napari_unetseg.core.model.network_specs import CnnSpec, ModelSpec, UNetSpec
from napari_unetseg.core.nn.inference.network_segmenter import NetworkSegmenter, folded
from napari_unetseg.core.nn.networks.build_network import build_network
from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation

pytestmark = pytest.mark.usefixtures("one_thread")
CLASSES = ("background", "cell")


def lived_in(spec: ModelSpec, n_channels: int, ndim: int) -> nn.Module:
    """Return a network whose statistics and last weights are not those of a new one."""
    network: Any = build_network(spec, n_channels, len(CLASSES), ndim, seed=0)
    halo = spec.halo(ndim) if getattr(spec, "padding", "same") == "valid" else (0,) * ndim
    sides = [2 * h + max(2 * m, 4) for h, m in zip(halo, spec.multiple(ndim), strict=True)]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(2, spec.n_inputs(n_channels, ndim), *sides, generator=generator))
        network.head[0].weight.mul_(3)  # decided, so that a difference would show
    return network


def segmenter(
    spec: ModelSpec, n_channels: int = 1, ndim: int = 2, **options: Any
) -> NetworkSegmenter:
    network = lived_in(spec, n_channels, ndim)
    return NetworkSegmenter(network, spec, CLASSES, n_channels, ndim, **options)


def predict(image: Image, by: Segmenter, tile: int, blend: int = 0) -> NDArray[np.float32]:
    scaling = fit_normalisation(image, NormalisationSpec(method="mean-std"))
    found: NDArray[np.float32] = predict_proba_image(
        image, by, scaling, tile=tile, blend=blend
    ).data
    return found


def noise(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


@st.composite
def specs(draw: st.DrawFn) -> ModelSpec:
    common = {
        "width": draw(st.integers(2, 5)),
        "normalisation": draw(st.sampled_from(["batch", "group", "instance", "none"])),
        "activation": draw(st.sampled_from(["relu", "gelu"])),
        "position": draw(st.sampled_from(["none", "polynomial", "sinusoidal"])),
        "flat_levels": draw(st.integers(0, 2)),
        "resolution": draw(st.sampled_from(["full", "half"])),
    }
    if draw(st.integers(0, 3)) == 0:
        return CnnSpec.checked(context=draw(st.sampled_from(["dilation", "pooling"])), **common)
    return UNetSpec.checked(
        depth=draw(st.integers(1, 2)),
        convolutions=draw(st.integers(1, 2)),
        stem=draw(st.sampled_from(["plain", "space-to-depth", "space-to-depth-4"])),
        head=draw(st.sampled_from(["linear", "learnt"])),
        residual=draw(st.booleans()),
        attention=draw(st.booleans()),
        pooling=draw(st.sampled_from(["max", "mean", "strided"])),
        upsampling=draw(
            st.sampled_from(["transposed-2", "transposed-3", "transposed-4", "linear", "nearest"])
        ),
        skip=draw(st.sampled_from(["concat", "add"])),
        padding=draw(st.sampled_from(["same", "valid"])),
        **common,
    )


@settings(max_examples=20)
@given(specs(), st.integers(1, 130), st.integers(1, 130), st.integers(8, 60), st.booleans())
def test_tiled_equals_whole_in_planes(
    spec: ModelSpec, height: int, width: int, tile: int, blends: bool
) -> None:
    image, by = Image.of(noise(height, width), "YX"), segmenter(spec)
    whole = predict(image, by, tile=10_000)
    tiled = predict(image, by, tile=tile, blend=5 * blends)
    assert whole.shape == (2, height, width)
    np.testing.assert_allclose(tiled, whole, atol=1e-4)


@settings(max_examples=8)
@given(specs(), st.integers(1, 12), st.integers(8, 40), st.integers(4, 24))
def test_tiled_equals_whole_in_stacks(spec: ModelSpec, depth: int, side: int, tile: int) -> None:
    small = {"width": 2, "convolutions": 1, "depth": 1, "layers": 2}
    spec = spec.model_copy(update={k: v for k, v in small.items() if k in type(spec).model_fields})
    image, by = Image.of(noise(depth, side, side + 5), "ZYX"), segmenter(spec, ndim=3)
    np.testing.assert_allclose(predict(image, by, tile), predict(image, by, 10_000), atol=1e-4)


def test_a_halo_too_small_shows() -> None:
    """The negative control of the tests above."""
    image, by = Image.of(noise(96, 96), "YX"), segmenter(UNetSpec(width=4, depth=2))
    whole = predict(image, by, tile=10_000)
    object.__setattr__(by, "halo", (0, 0))
    assert np.abs(predict(image, by, tile=32) - whole).max() > 1e-3


def test_is_a_segmenter_and_says_probabilities() -> None:
    by = segmenter(UNetSpec(width=4, depth=1, position="polynomial"), n_channels=3)
    assert isinstance(by, Segmenter)
    proba = by.predict_proba(noise(3, 16, 24), origin=(0, 0), shape=(16, 24))
    assert proba.shape == (2, 16, 24)
    assert proba.dtype == np.float32
    assert np.ptp(proba) > 0.05
    np.testing.assert_allclose(proba.sum(0), 1, atol=1e-5)


def test_flips_are_the_mean_of_the_mirror_images() -> None:
    spec = UNetSpec(width=4, depth=1, padding="valid")
    plain, flips = segmenter(spec), segmenter(spec, flips=True)
    place = {"origin": (0, 0), "shape": (48, 48)}
    block = noise(1, 48, 48)
    views = [
        plain.predict_proba(np.flip(block, axes), **place) for axes in ((), (1,), (2,), (1, 2))
    ]  # type: ignore[arg-type]
    mean = np.mean(
        [np.flip(v, a) for v, a in zip(views, ((), (1,), (2,), (1, 2)), strict=True)], axis=0
    )
    found = flips.predict_proba(block, **place)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, mean, atol=1e-5)
    assert not np.allclose(found, plain.predict_proba(block, **place))  # type: ignore[arg-type]


@pytest.mark.parametrize("normalisation", ["batch", "group", "instance"])
@pytest.mark.parametrize("separable", [False, True])
def test_folding_changes_no_number(normalisation: str, separable: bool) -> None:
    spec = UNetSpec.checked(width=4, depth=1, normalisation=normalisation, separable=separable)
    network = lived_in(spec, 1, 2)
    x = torch.rand(1, 1, 16, 16)
    light = folded(network)
    names = {type(module).__name__ for module in light.modules()}
    assert not {"BatchNorm2d", "TrackedGroupNorm"} & names
    torch.testing.assert_close(light(x), copy.deepcopy(network).eval()(x), atol=1e-4, rtol=1e-4)


def test_the_network_may_go_on_training() -> None:
    spec = UNetSpec(width=4, depth=1)
    network = lived_in(spec, 1, 2)
    before = {name: w.clone() for name, w in network.state_dict().items()}
    by = NetworkSegmenter(network, spec, CLASSES, 1, 2)
    place = {"origin": (0, 0), "shape": (16, 16)}
    first = by.predict_proba(noise(1, 16, 16), **place)  # type: ignore[arg-type]
    assert network.training
    assert all(torch.equal(before[name], w) for name, w in network.state_dict().items())
    with torch.no_grad():
        for weights in network.parameters():
            weights.mul_(2)
    np.testing.assert_array_equal(by.predict_proba(noise(1, 16, 16), **place), first)  # type: ignore[arg-type]


class Hungry(nn.Module):
    """Fails as torch does, above a size."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x[0, 0].numel() > 500:
            raise RuntimeError(self.words)
        return torch.cat([x, -x], dim=1)


def test_out_of_memory_halves_the_tile() -> None:
    spec = CnnSpec(layers=1, context="none")
    by = NetworkSegmenter(
        Hungry("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        spec,
        CLASSES,
        1,
        2,
    )
    image = Image.of(noise(60, 50), "YX")
    np.testing.assert_allclose(predict(image, by, 1000), predict(image, by, 10), atol=1e-6)
    bug = NetworkSegmenter(Hungry("shapes differ"), spec, CLASSES, 1, 2)
    with pytest.raises(RuntimeError, match="shapes differ"):
        predict(image, bug, 1000)


@pytest.mark.parametrize(("resolution", "most"), [("full", 1.4), ("half", 1.4), ("quarter", 1.8)])
def test_blocks_of_a_large_image_are_mostly_not_halo(resolution: Any, most: float) -> None:
    side = 8192
    seen = segmenter(UNetSpec(width=1, resolution=resolution))
    grid = predict_tiles._grid((side, side), seen, None, 0)
    assert grid.n_computed < most * side**2
    # The network's own pixels take most of the memory.
    assert grid.largest_block / math.prod(seen.shrink) <= PIXELS_AT_ONCE[2]
