"""Position terms depend on the place in the image alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetseg.core.features.position import Position, n_position_terms, position_terms

KINDS: list[Position] = ["none", "polynomial", "sinusoidal"]


@settings(max_examples=30)
@given(st.sampled_from(KINDS), st.integers(1, 4), st.data())
def test_a_block_sees_part_of_the_whole(kind: Position, order: int, data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=2, max_size=3)))
    start = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    block = tuple(data.draw(st.integers(1, n - a)) for n, a in zip(shape, start, strict=True))
    whole = position_terms(kind, order, origin=(0,) * len(shape), block=shape, shape=shape)
    part = position_terms(kind, order, origin=start, block=block, shape=shape)
    inside = tuple(slice(a, a + n) for a, n in zip(start, block, strict=True))
    assert whole.shape == (n_position_terms(kind, order, len(shape)), *shape)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(part, whole[(slice(None), *inside)])


def test_a_polynomial_surface_is_a_sum_of_terms() -> None:
    y, x = np.mgrid[:20, :30]
    surface = 3 + 0.5 * x - 0.2 * y + 0.01 * y**2 + 0.02 * x * y
    terms = position_terms("polynomial", 2, origin=(0, 0), block=(20, 30), shape=(20, 30))
    matrix = np.column_stack([np.ones(600), terms.reshape(5, -1).T])
    left = np.linalg.lstsq(matrix, surface.ravel(), rcond=None)[1]
    assert left.item() < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_stands_still_beyond_the_edge(kind: Position) -> None:
    terms = position_terms(kind, 2, origin=(-6, 0), block=(4, 1), shape=(8, 8))
    assert (terms == terms[:, :1]).all()


def test_no_two_places_look_alike() -> None:
    for kind in ("polynomial", "sinusoidal"):
        terms = position_terms(kind, 1, origin=(0, 0), block=(16, 16), shape=(16, 16))
        assert len(np.unique(terms.reshape(len(terms), -1).round(5), axis=1).T) == 256
