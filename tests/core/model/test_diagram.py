"""The drawn parts of a model are those of the network, and its field is what gradients reach."""

import numpy as np
import pytest

from napari_unetseg.core.model.diagram import describe_architecture
from napari_unetseg.core.model.network_specs import CnnSpec, UNetSpec
from napari_unetseg.core.model.pixel_specs import LogisticSpec, MlpSpec

torch = pytest.importorskip("torch")


@pytest.mark.parametrize(
    "spec",
    [
        UNetSpec(width=3, depth=2, resolution="full"),
        UNetSpec(width=3, depth=1, stem="plain", growth=1.5, resolution="half"),
        CnnSpec(width=3, layers=3, resolution="full"),
        CnnSpec(width=3, layers=3, context="pooling", resolution="half"),
    ],
)
@pytest.mark.parametrize("ndim", [2, 3])
def test_the_parts_are_those_of_the_network(spec, ndim):
    from napari_unetseg.core.nn.inference.feature_maps import listening, named_layers
    from napari_unetseg.core.nn.networks.build_network import build_network

    drawn = describe_architecture(spec, 2, 3, ndim)
    network = build_network(spec, 2, 3, ndim, seed=0).eval()
    sides = tuple(2 * unit for unit in spec.multiple(ndim))
    inner = drawn.parts[1:-1]
    modules = list(named_layers(network).values())[:-1]
    assert len(inner) == len(modules)
    for part, module in zip(inner, modules, strict=True):
        with listening(module) as heard, torch.no_grad():
            said = network(torch.zeros(1, 2, *sides))
        pooled = [side // step for side, step in zip(sides, part.box, strict=True)]
        assert tuple(heard[0].shape[1:]) == (part.channels, *pooled), part.name
    assert said.shape[1] == drawn.parts[-1].channels == 3
    assert drawn.parts[0].channels == 2


@pytest.mark.parametrize(
    "spec",
    [
        UNetSpec(width=1, depth=2, pooling="mean", resolution="full"),
        UNetSpec(width=1, depth=1, stem="plain", pooling="mean", upsampling="linear"),
        CnnSpec(width=1, layers=3, resolution="full"),
        CnnSpec(width=1, layers=2, resolution="half"),
    ],
)
def test_the_receptive_field_is_what_the_gradient_reaches(spec):
    from napari_unetseg.core.nn.networks.build_network import build_network

    network = build_network(spec, 1, 1, 2, seed=0).eval()
    for weights in network.parameters():
        weights.data.abs_().add_(0.1)
    multiple = spec.multiple(2)[0]
    side = 8 * multiple * max(1, 64 // multiple)
    x = torch.ones(1, 1, side, side, requires_grad=True)
    said = network(x)[0, 0]
    reached = []
    for place in range(multiple):
        (slope,) = torch.autograd.grad(said[side // 2 + place, side // 2], x, retain_graph=True)
        rows = np.flatnonzero(slope[0, 0].abs().sum(1).numpy())
        reached.append(rows[-1] - rows[0] + 1)
    assert max(reached) == spec.receptive_field(2)[0]


def test_shortcuts_join_what_has_the_same_size():
    drawn = describe_architecture(UNetSpec(depth=3, attention=True))
    for before, after in drawn.shortcuts:
        one, other = drawn.parts[before], drawn.parts[after]
        assert (one.role, other.role) == ("down", "up")
        assert (one.box, one.level) == (other.box, other.level)
    assert len(drawn.shortcuts) == 3
    assert drawn.joined == "laid side by side, gated by attention"
    assert describe_architecture(CnnSpec()).shortcuts == ()


def test_the_rungs_of_single_pixels_are_dense_layers():
    parts = describe_architecture(MlpSpec(layers=2, width=16), 1, 4).parts
    assert [part.channels for part in parts] == [1, MlpSpec().n_inputs(1, 2), 16, 16, 4]
    assert describe_architecture(LogisticSpec()).parts[-1].channels == 1
    assert describe_architecture(LogisticSpec()).receptive_field == (101, 101)
    assert parts[0].size((30, 40)) == (30, 40)


def test_what_it_costs_is_measured():
    from napari_unetseg.core.nn.inference.speed import measure_speed
    from napari_unetseg.core.nn.networks.build_network import build_network, n_parameters

    spec = UNetSpec(width=4, depth=1)
    speed = measure_speed(spec, 1, 2, 2)
    assert speed.n_parameters == n_parameters(build_network(spec, 1, 2, 2))
    assert 0 < speed.seconds_per_megapixel < 1000
    assert measure_speed(LogisticSpec()).n_parameters == LogisticSpec().n_inputs(1, 2) + 1
