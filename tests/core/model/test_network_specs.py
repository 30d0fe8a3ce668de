"""Model specs: what they promise, without torch."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.network_specs import CnnSpec, ModelSpec, UNetSpec

SPECS: list[type[ModelSpec]] = [UNetSpec, CnnSpec]


def test_needs_no_torch() -> None:
    code = (
        "import sys, napari_unetseg.core.model.network_specs as m; "
        "m.UNetSpec().halo(3); print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"torch", "napari", "qtpy", "numba"} & set(loaded.stdout.split())


@pytest.mark.parametrize("spec", SPECS)
def test_survives_json(spec: type[ModelSpec]) -> None:
    made = spec(position="sinusoidal", position_order=3)
    assert spec.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize("spec", SPECS)
def test_every_option_explains_itself(spec: type[ModelSpec]) -> None:
    for name, field in spec.model_fields.items():
        assert field.title, name
        assert field.description, name
        assert field.description.endswith("."), name


def test_halo_of_one_level_by_hand() -> None:
    # A tile of 2 needs, on the way up, 1 pixel more; that is in another pair, which makes 2; one
    # pair more at the bottom makes 4; 1 more on the way down makes 5, and 6 on the grid of 2.
    spec = UNetSpec(depth=1, convolutions=1, stem="plain")
    assert spec.multiple(2) == (2, 2)
    assert spec.halo(2) == (6, 6)
    assert UNetSpec(depth=1, convolutions=1).halo(2) == (12, 12)


def test_halo_of_chains_by_hand() -> None:
    assert CnnSpec(layers=4, context="none").halo(2) == (4, 4)
    assert CnnSpec(layers=4, context="dilation").halo(3) == (15, 15, 15)
    assert CnnSpec(layers=4, context="pooling", poolings=2).multiple(2) == (4, 4)


def test_flat_levels_leave_z_alone() -> None:
    spec = UNetSpec(depth=2, flat_levels=3)
    assert spec.multiple(3) == (1, 8, 8)
    assert spec.halo(3)[0] == 2  # the bottom alone looks at other planes
    assert spec.halo(3)[1:] == UNetSpec(depth=2).halo(2)
    assert UNetSpec(depth=2, flat_levels=4).halo(3)[0] == 0
    assert UNetSpec(depth=2, flat_levels=1).multiple(3) == (4, 8, 8)
    assert UNetSpec(depth=2, flat_levels=3).multiple(2) == (8, 8)


@given(
    depth=st.integers(1, 5),
    convolutions=st.integers(1, 4),
    padding=st.sampled_from(["same", "valid"]),
    flat_levels=st.integers(0, 6),
    ndim=st.sampled_from([2, 3]),
)
def test_halo_and_border_lie_on_the_grid(
    depth: int, convolutions: int, padding: str, flat_levels: int, ndim: int
) -> None:
    spec = UNetSpec.checked(
        depth=depth, convolutions=convolutions, padding=padding, flat_levels=flat_levels
    )
    for halo, border, multiple in zip(
        spec.halo(ndim), spec.border(ndim), spec.multiple(ndim), strict=True
    ):
        assert halo % multiple == border % multiple == 0
        assert 0 <= border <= halo
        assert padding == "same" or border == halo


def test_more_depth_sees_further() -> None:
    halos = [UNetSpec(depth=depth).halo(2)[0] for depth in range(1, 6)]
    assert halos == sorted(set(halos))


def test_position_adds_inputs() -> None:
    assert UNetSpec().n_inputs(3, 2) == 3
    assert UNetSpec(position="polynomial", position_order=2).n_inputs(1, 2) == 1 + 5
    assert UNetSpec(position="sinusoidal", position_order=2).n_inputs(1, 3) == 1 + 12


@pytest.mark.parametrize(
    ("spec", "options", "said"),
    [
        (UNetSpec, {"depth": 0}, "depth"),
        (UNetSpec, {"pooling": "median"}, "pooling"),
        (UNetSpec, {"width": 256, "growth": 3.0, "depth": 6}, "channels at the bottom"),
        (CnnSpec, {"context": "pooling", "layers": 1, "poolings": 2}, "fewer poolings"),
    ],
)
def test_impossible_options(spec: type[ModelSpec], options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        spec.checked(**options)
