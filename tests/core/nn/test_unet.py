"""The UNet: what it sees, what it gives back, and that every option is real."""

import ast
import inspect
import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from napari_unetseg.core.annotation.shrinking import shrunken_image
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model import network_specs as models
from napari_unetseg.core.model.network_specs import CnnSpec, ModelSpec, UNetSpec
from napari_unetseg.core.nn.networks import blocks, unet
from napari_unetseg.core.nn.networks.blocks import (
    DepthToSpace,
    Linear,
    SpaceToDepth,
    TrackedGroupNorm,
)
from napari_unetseg.core.nn.networks.build_network import build_network, n_parameters

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = UNetSpec(depth=2, width=4, stem="plain")


STEMS = ["plain", "space-to-depth", "space-to-depth-4"]
# Two halvings before the first level are enough to find what goes wrong with any.
LOWERED = [
    *[(stem, "full") for stem in STEMS],
    ("plain", "half"),
    ("space-to-depth", "half"),
    ("plain", "quarter"),
]


@st.composite
def unets(draw: st.DrawFn, **fixed: Any) -> UNetSpec:
    stem, resolution = draw(st.sampled_from(LOWERED))
    options = {
        "depth": draw(st.integers(1, 2)),
        "width": draw(st.integers(2, 4)),
        "growth": draw(st.sampled_from([1.0, 1.5, 2.0])),
        "convolutions": draw(st.integers(1, 2)),
        "stem": stem,
        "head": draw(st.sampled_from(["linear", "learnt"])),
        "resolution": resolution,
        "normalisation": draw(st.sampled_from(["batch", "group", "instance", "none"])),
        "activation": draw(st.sampled_from(["relu", "leaky_relu", "elu", "gelu", "sigmoid"])),
        "dropout": draw(st.sampled_from([0.0, 0.3])),
        "residual": draw(st.booleans()),
        "attention": draw(st.booleans()),
        "separable": draw(st.booleans()),
        "pooling": draw(st.sampled_from(["max", "mean", "strided"])),
        "upsampling": draw(
            st.sampled_from(["transposed-2", "transposed-3", "transposed-4", "linear", "nearest"])
        ),
        "skip": draw(st.sampled_from(["concat", "add"])),
        "padding": draw(st.sampled_from(["same", "valid"])),
        "flat_levels": draw(st.integers(0, 4)),
    }
    return UNetSpec.checked(**{**options, **fixed})


def seen(spec: ModelSpec, ndim: int) -> tuple[list[int], list[int]]:
    """Return the first and last pixel that change a tile in the middle of a block, per axis."""
    torch.manual_seed(0)
    network: Any = build_network(spec, 1, 2, ndim, seed=0).double().eval()
    halo, multiple = spec.halo(ndim), spec.multiple(ndim)
    # A grid cell more on either side, so that a halo told too small is found out.
    around = [h + m for h, m in zip(halo, multiple, strict=True)]
    sides = [2 * a + m for a, m in zip(around, multiple, strict=True)]
    x = torch.rand(1, 1, *sides, dtype=torch.float64, requires_grad=True)
    y = network(x)
    starts = [a - offset for a, offset in zip(around, network.offset, strict=True)]
    inside = [slice(s, s + m) for s, m in zip(starts, multiple, strict=True)]
    tile = y[(..., *inside)]
    assert list(tile.shape[2:]) == list(multiple)
    (slope,) = torch.autograd.grad((tile * torch.rand_like(tile)).sum(), x)
    touched = slope[0, 0] != 0
    if not touched.any():  # a narrow network of rectifiers may be silent altogether
        return [0] * ndim, [0] * ndim
    places = [touched.any(a).nonzero() for a in _all_but_one(touched, ndim)]
    first = [int(p[0]) - a for p, a in zip(places, around, strict=True)]
    last = [int(p[-1]) - a - m + 1 for p, a, m in zip(places, around, multiple, strict=True)]
    return first, last


def _all_but_one(touched: torch.Tensor, ndim: int) -> list[tuple[int, ...]]:
    return [tuple(a for a in range(ndim) if a != axis) for axis in range(ndim)]


@settings(max_examples=40)
@given(unets(), st.sampled_from([2, 3]))
def test_nothing_beyond_the_halo_changes_a_tile(spec: UNetSpec, ndim: int) -> None:
    assume(
        math.prod(2 * h + m for h, m in zip(spec.halo(ndim), spec.multiple(ndim), strict=True))
        < 1e5
    )
    first, last = seen(spec, ndim)
    for before, after, halo in zip(first, last, spec.halo(ndim), strict=True):
        assert -before <= halo
        assert after <= halo


@pytest.mark.parametrize(
    "upsampling", ["transposed-2", "transposed-3", "transposed-4", "linear", "nearest"]
)
@pytest.mark.parametrize(("stem", "resolution"), LOWERED)
@pytest.mark.parametrize("head", ["linear", "learnt"])
def test_the_halo_is_not_wasteful(upsampling: str, stem: str, resolution: str, head: str) -> None:
    # Smooth and without dead units, so that whatever can be seen is seen.
    spec = UNetSpec.checked(
        depth=2,
        width=4,
        upsampling=upsampling,
        stem=stem,
        head=head,
        resolution=resolution,
        activation="gelu",
        pooling="mean",
    )
    first, last = seen(spec, 2)
    furthest = max(-first[0], last[0])
    assert spec.halo(2)[0] - spec.multiple(2)[0] < furthest <= spec.halo(2)[0]


@settings(max_examples=25)
@given(unets(padding="same"), st.sampled_from([2, 3]))
def test_gives_back_the_shape_and_learns(spec: UNetSpec, ndim: int) -> None:
    sides = [max(2 * m, 4) for m in spec.multiple(ndim)]
    network = build_network(spec, 3, 2, ndim, seed=0)
    y = network(torch.rand(2, 3, *sides))
    assert list(y.shape) == [2, 2, *sides]
    y.square().mean().backward()
    for name, weights in network.named_parameters():
        assert weights.grad is not None, name
        assert weights.grad.isfinite().all(), name


def test_every_option_changes_something() -> None:
    base = UNetSpec(depth=2, width=4, dropout=0.2)
    x = torch.rand(2, 1, 32, 32, 32, generator=torch.Generator().manual_seed(0))

    def outcome(spec: UNetSpec) -> float:
        network = build_network(spec, 1, 2, 3, seed=0)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return float(network(x).square().mean().detach())

    changed: dict[str, list[object]] = {
        "depth": [1],
        "width": [6],
        "growth": [1.5],
        "convolutions": [1],
        "stem": ["plain"],
        "head": ["learnt"],
        "resolution": ["half", "quarter"],
        "normalisation": ["group", "instance", "none"],
        "activation": ["leaky_relu", "elu", "gelu", "sigmoid"],
        "dropout": [0.0],
        "residual": [True],
        "attention": [True],
        "separable": [True],
        "pooling": ["mean", "strided"],
        "upsampling": ["transposed-3", "transposed-4", "linear", "nearest"],
        "skip": ["add"],
        "flat_levels": [1],
    }
    covered = set(changed) | {"padding", "alignment", "position", "position_order"}
    assert covered == set(UNetSpec.model_fields)
    linear = base.model_copy(update={"upsampling": "linear"})
    assert outcome(linear) != outcome(linear.model_copy(update={"alignment": "corners"}))
    variants = [base.model_copy(update={k: v}) for k, values in changed.items() for v in values]
    outcomes = [outcome(spec) for spec in (base, *variants)]
    assert len(set(outcomes)) == len(outcomes)


def test_valid_gives_the_inside_of_same() -> None:
    """Nothing padded touches it, so where both are defined they agree (the grids being equal)."""
    same = UNetSpec(depth=1, width=4, stem="plain", convolutions=2)
    padded: Any = build_network(same, 1, 2, 2, seed=0).eval()
    bare: Any = build_network(same.model_copy(update={"padding": "valid"}), 1, 2, 2, seed=0).eval()
    x = torch.rand(1, 1, 40, 40)
    inside = bare(x)
    (start, _), n = bare.offset, inside.shape[-1]
    assert start == 8
    whole = padded(x)[..., start : start + n, start : start + n]
    torch.testing.assert_close(inside, whole)


def test_the_seed_decides() -> None:
    before = torch.random.get_rng_state()
    one, other, third = (
        build_network(SMALL, 1, 2, 2, seed=seed).state_dict() for seed in (1, 1, 2)
    )
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not all(torch.equal(one[name], third[name]) for name in one)


def test_encoder_is_the_way_down() -> None:
    network = unet.UNet(1, 2, 2, **SMALL.model_dump(exclude={"position", "position_order"}))
    down = {id(w) for module in network.encoder() for w in module.parameters()}
    others = [n for n, w in network.named_parameters() if id(w) not in down]
    assert len(network.encoder()) == 5
    assert others
    assert all("up" in name or "decode" in name or "head" in name for name in others)


def test_features_are_what_the_head_reads() -> None:
    network: Any = build_network(UNetSpec(depth=1, width=6), 1, 3, 2, seed=0).eval()
    x = torch.rand(1, 1, 16, 16)
    features = network.features(x)
    assert features.shape == (1, 6, 8, 8)
    assert torch.equal(network.head(features), network(x))


def test_known_size() -> None:
    # The head: 4 weights and a bias for each of two classes.
    assert n_parameters(nn.Conv2d(4, 2, 1)) == 10
    assert n_parameters(build_network(UNetSpec(), 1, 2, 2)) == 482_898


def test_not_a_network() -> None:
    with pytest.raises(InputError, match="no network"):
        build_network(_Tree(), 1, 2, 2)


class _Tree(ModelSpec):
    kind = "tree"

    def halo(self, ndim: int) -> tuple[int, ...]:
        return (0,) * ndim

    def multiple(self, ndim: int) -> tuple[int, ...]:
        return (1,) * ndim


@pytest.mark.parametrize("module", [blocks, unet])
def test_travels_with_torch_alone(module: Any) -> None:
    tree = ast.parse(inspect.getsource(module))
    roots = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    allowed = {"torch", "math", "typing", "collections", "dataclasses", "functools", "itertools"}
    assert roots <= allowed | ({"napari_unetseg"} if module is unet else set())


@pytest.mark.parametrize("box", [(2, 2), (1, 2, 2), (2, 2, 2)])
def test_space_to_depth_loses_nothing(box: tuple[int, ...]) -> None:
    x = torch.rand(2, 3, *(4 * side for side in box))
    packed = SpaceToDepth(box)(x)
    assert packed.shape == (2, 3 * math.prod(box), *(4,) * len(box))
    assert torch.equal(DepthToSpace(box)(packed), x)
    cells = [slice(0, side) for side in box]
    assert set(packed[0, :, *(0,) * len(box)].tolist()) == set(
        x[0][(slice(None), *cells)].flatten().tolist()
    )


@pytest.mark.parametrize("ndim", [2, 3])
def test_linear_is_the_transposed_convolution_with_tent_weights(ndim: int) -> None:
    x = torch.rand(1, 1, *(5,) * ndim)
    tent = torch.tensor([0.5, 1.0, 0.5])
    weights = tent
    for _ in range(ndim - 1):
        weights = weights[..., None] * tent
    transposed = {2: nn.functional.conv_transpose2d, 3: nn.functional.conv_transpose3d}[ndim]
    expected = transposed(x, weights[None, None], stride=2, padding=1)
    torch.testing.assert_close(Linear((2,) * ndim, [0] * ndim)(x), expected)


@pytest.mark.parametrize("groups", [2, 6])
def test_tracked_norm(groups: int) -> None:
    x = 3 + 2 * torch.randn(4, 6, 32, 32, generator=torch.Generator().manual_seed(0))
    norm = TrackedGroupNorm(6, groups)
    torch.testing.assert_close(norm(x), nn.functional.group_norm(x, groups))
    for _ in range(80):
        norm(x)
    norm.eval()
    torch.testing.assert_close(norm.running_mean, torch.full((6,), 3.0), atol=0.1, rtol=0)
    torch.testing.assert_close(norm.running_var, torch.full((6,), 4.0), atol=0.4, rtol=0)
    # A tile's own mean does not matter any more.
    torch.testing.assert_close(norm(x)[..., :8, :8], norm(x[..., :8, :8]))


def test_attention_can_close_the_shortcut() -> None:
    gate: Any = blocks.AttentionGate(4, 2)
    skip, up = torch.rand(1, 4, 8, 8), torch.rand(1, 4, 8, 8)
    nn.init.constant_(gate.open[1].bias, -100.0)
    assert gate(skip, up).abs().max() < 1e-6
    nn.init.constant_(gate.open[1].bias, 100.0)
    torch.testing.assert_close(gate(skip, up), skip)


def test_2d_and_3d_are_one_definition() -> None:
    names = [set(build_network(SMALL, 1, 2, ndim).state_dict()) for ndim in (2, 3)]
    assert names[0] == names[1]
    flat = build_network(SMALL.model_copy(update={"flat_levels": 8}), 1, 2, 3)
    plane = build_network(SMALL, 1, 2, 2)
    squeezed = {name: w.squeeze(2) if w.ndim == 5 else w for name, w in flat.state_dict().items()}
    plane.load_state_dict(squeezed)
    stack = torch.rand(1, 1, 3, 16, 16)
    whole = flat.eval()(stack)
    for z in range(3):
        torch.testing.assert_close(
            whole[:, :, z], plane.eval()(stack[:, :, z]), atol=1e-4, rtol=1e-4
        )


def test_sizes_of_valid_fit_the_halo() -> None:
    for depth, convolutions, (stem, resolution), head in itertools.product(
        (1, 2, 3), (1, 2, 3), LOWERED, ("linear", "learnt")
    ):
        spec = UNetSpec.checked(
            depth=depth,
            convolutions=convolutions,
            stem=stem,
            head=head,
            resolution=resolution,
            padding="valid",
            width=2,
            growth=1.0,
            upsampling="nearest",
        )
        halo, multiple = spec.halo(2)[0], spec.multiple(2)[0]
        network: Any = build_network(spec, 1, 2, 2).eval()
        n = network(torch.rand(1, 1, 2 * halo + multiple, 2 * halo + multiple)).shape[-1]
        assert network.offset[0] <= halo
        assert network.offset[0] + n >= halo + multiple


def test_the_stems_of_options_and_network_agree() -> None:
    assert models.STEM_HALVINGS == unet.STEM_HALVINGS
    assert models.RESOLUTION_HALVINGS == blocks.RESOLUTION_HALVINGS


@pytest.mark.parametrize("stem", STEMS[1:])
def test_a_fresh_network_with_a_learnt_head_shows_no_grid(stem: str) -> None:
    spec = UNetSpec(depth=1, width=4, stem=stem, head="learnt", upsampling="nearest")
    evidence = build_network(spec, 1, 2, 2, seed=0).eval()(torch.rand(1, 1, 32, 32)).detach()
    side = 2 ** models.STEM_HALVINGS[stem]
    boxes = SpaceToDepth((side, side))(evidence).unflatten(1, (side * side, 2))
    assert boxes.std(dim=1).max() < 1e-6
    assert evidence.std() > 1e-3


@pytest.mark.parametrize("kind", [UNetSpec, CnnSpec])
@pytest.mark.parametrize(("ndim", "flat"), [(2, 0), (3, 0), (3, 1), (3, 3)])
@pytest.mark.parametrize("resolution", ["half", "quarter"])
def test_a_lower_resolution_is_the_network_inside_on_a_shrunken_image(
    kind: Any, ndim: int, flat: int, resolution: str
) -> None:
    spec = kind.checked(width=2, resolution=resolution, flat_levels=flat)
    small = UNetSpec(depth=1, stem="plain") if kind is UNetSpec else CnnSpec(layers=2)
    spec = spec.model_copy(update=small.model_dump(include={"depth", "stem", "layers"}))
    whole = build_network(spec, 1, 2, ndim, seed=0).eval()
    inside = build_network(spec.inside(), 1, 2, ndim, seed=1).eval()
    inside.load_state_dict(whole.state_dict())
    x = torch.rand(1, 1, *(3 * m for m in spec.multiple(ndim)))
    shrunken = torch.from_numpy(shrunken_image(x[0].numpy(), spec.shrink(ndim)))[None]
    mode = {2: "bilinear", 3: "trilinear"}[ndim]
    scale = tuple(map(float, spec.shrink(ndim)))
    enlarged = nn.functional.interpolate(inside(shrunken), scale_factor=scale, mode=mode)
    torch.testing.assert_close(whole(x), enlarged, atol=1e-4, rtol=1e-4)
