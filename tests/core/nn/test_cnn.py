"""The chain of convolutions: full resolution, and a halo that holds."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetseg.core.model.network_specs import CnnSpec
from napari_unetseg.core.nn.networks.build_network import build_network

pytestmark = pytest.mark.usefixtures("one_thread")


@st.composite
def cnns(draw: st.DrawFn) -> CnnSpec:
    layers = draw(st.integers(1, 4))
    return CnnSpec.checked(
        layers=layers,
        width=draw(st.integers(1, 4)),
        context=draw(st.sampled_from(["dilation", "pooling", "none"])),
        poolings=draw(st.integers(1, layers)),
        resolution=draw(st.sampled_from(["full", "half"])),
        normalisation=draw(st.sampled_from(["batch", "group", "instance", "none"])),
        activation=draw(st.sampled_from(["elu", "gelu"])),
        dropout=draw(st.sampled_from([0.0, 0.3])),
        flat_levels=draw(st.integers(0, 3)),
    )


@settings(max_examples=40)
@given(cnns(), st.sampled_from([2, 3]))
def test_nothing_beyond_the_halo_changes_a_tile(spec: CnnSpec, ndim: int) -> None:
    network = build_network(spec, 1, 2, ndim, seed=0).double().eval()
    halo, multiple = spec.halo(ndim), spec.multiple(ndim)
    around = [h + m for h, m in zip(halo, multiple, strict=True)]
    sides = [2 * a + m for a, m in zip(around, multiple, strict=True)]
    x = torch.rand(1, 1, *sides, dtype=torch.float64, requires_grad=True)
    y = network(x)
    assert y.shape[2:] == x.shape[2:]
    tile = y[(..., *(slice(a, a + m) for a, m in zip(around, multiple, strict=True)))]
    (slope,) = torch.autograd.grad((tile * torch.rand_like(tile)).sum(), x)
    for axis in range(ndim):
        others = tuple(a for a in range(ndim) if a != axis)
        places = (slope[0, 0] != 0).any(others).nonzero()
        assert around[axis] - int(places[0]) <= halo[axis]
        assert int(places[-1]) - around[axis] - multiple[axis] + 1 <= halo[axis]


@pytest.mark.parametrize("context", ["dilation", "none"])
def test_the_halo_is_exact_without_pooling(context: str) -> None:
    spec = CnnSpec.checked(context=context, layers=3, width=4, activation="gelu")
    network: Any = build_network(spec, 1, 2, 2, seed=0).double().eval()
    n = 2 * spec.halo(2)[0] + 11
    x = torch.rand(1, 1, n, n, dtype=torch.float64, requires_grad=True)
    network(x)[..., n // 2, n // 2].sum().backward()
    assert x.grad is not None
    rows = x.grad[0, 0].abs().sum(1).nonzero()
    assert n // 2 - int(rows[0]) == int(rows[-1]) - n // 2 == spec.halo(2)[0]


def test_every_context_differs() -> None:
    x = torch.rand(1, 1, 16, 16)
    outcomes = {
        float(
            build_network(CnnSpec.checked(context=c, width=4), 1, 2, 2, seed=0)(x)
            .square()
            .mean()
            .detach()
        )
        for c in ("dilation", "pooling", "none")
    }
    assert len(outcomes) == 3
