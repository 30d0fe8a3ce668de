"""Components of runs are those of pixels, in two and three dimensions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage import measure

from napari_unetseg.core.compute.run_length import (
    components,
    encode_runs,
    fill_holes_of_runs,
    paint_runs,
)

masks = st.one_of(
    hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=3, max_side=9)),
    # Tall enough for several strips, which are joined afterwards.
    st.builds(
        lambda shape, share, seed: np.random.default_rng(seed).random(shape) < share,
        st.sampled_from([(130, 9), (70, 5, 4), (3, 40, 6), (1, 200), (200, 1)]),
        st.floats(0.02, 0.98),
        st.integers(0, 1000),
    ),
)


def as_mask(runs) -> np.ndarray:
    return paint_runs(runs, np.ones(len(runs), dtype=np.bool_))


@given(masks)
def test_runs_hold_the_mask(mask):
    runs = encode_runs(mask)
    assert np.array_equal(as_mask(runs), mask)
    assert runs.lengths.sum() == mask.sum()
    assert (runs.lengths > 0).all()


@settings(max_examples=200)
@given(masks, st.booleans())
def test_labels_are_those_of_scikit_image(mask, full):
    found = components(encode_runs(mask), full=full)
    labels = paint_runs(found.runs, found.ids + np.int32(1))
    expected = measure.label(mask, connectivity=mask.ndim if full else 1)
    assert np.array_equal(labels, expected)
    assert found.number == expected.max(initial=0)
    assert np.array_equal(found.sizes(), np.bincount(expected.ravel())[1:])


@settings(max_examples=200)
@given(masks)
def test_holes_are_those_of_scipy(mask):
    expected = mask
    if mask.ndim == 2 or mask.shape[0] > 1:
        expected = ndimage.binary_fill_holes(mask)
    else:
        # One plane: its holes are those of a plane, which scipy would open to the front.
        expected = ndimage.binary_fill_holes(mask[0])[None]
    assert np.array_equal(as_mask(fill_holes_of_runs(encode_runs(mask))), expected)


@given(masks)
def test_components_on_the_border(mask):
    found = components(encode_runs(mask))
    labels = measure.label(mask, connectivity=mask.ndim)
    inner = np.zeros(mask.shape, bool)
    inner[
        tuple(
            slice(1, -1) if n > 1 or axis > mask.ndim - 3 else slice(None)
            for axis, n in enumerate(mask.shape)
        )
    ] = True
    touching = np.unique(labels[~inner & mask]) - 1
    assert np.array_equal(np.flatnonzero(found.touch_border()), touching)


@given(masks, st.integers(0, 1000))
def test_components_that_contain_a_pixel(mask, seed):
    chosen = np.random.default_rng(seed).random(mask.shape) < 0.1
    found = components(encode_runs(mask))
    labels = measure.label(mask, connectivity=mask.ndim)
    expected = np.unique(labels[chosen & mask]) - 1
    assert np.array_equal(np.flatnonzero(found.contain(chosen)), expected)


@given(masks)
def test_kept_components_are_numbered_in_order(mask):
    found = components(encode_runs(mask))
    kept = found.keep(found.sizes() >= 3)
    labels = paint_runs(kept.runs, kept.ids + np.int32(1))
    assert np.array_equal(labels, measure.label(labels > 0, connectivity=mask.ndim))
    assert kept.number == labels.max(initial=0)
    assert (kept.sizes() >= 3).all()


@pytest.mark.parametrize("value", [0, 1])
def test_empty_and_full_masks(value):
    mask = np.full((20, 30), value, np.uint8)
    found = components(fill_holes_of_runs(encode_runs(mask)))
    assert found.number == value
    assert found.touch_border().tolist() == [True] * value


def test_any_nonzero_number_is_object_and_layout_does_not_matter():
    mask = np.asfortranarray(np.arange(35).reshape(5, 7) % 3 - 1.0)
    assert np.array_equal(as_mask(encode_runs(mask)), mask != 0)


def test_paint_writes_all_of_a_given_array():
    mask = np.eye(6, dtype=bool)
    runs = encode_runs(mask)
    out = np.full((6, 6), 9, np.int32)
    assert paint_runs(runs, np.arange(1, 7, dtype=np.int32), out) is out
    assert np.array_equal(out, np.diag(np.arange(1, 7)))
