"""Masks become objects as scipy and scikit-image make them; touching ones come apart."""

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage import filters, measure, morphology, segmentation

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.objects.masks import (
    clean,
    connected_to,
    cut_apart,
    keep_large,
    label,
    label_classes,
    split_touching,
)

planes = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14))
stacks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=7))
masks = st.one_of(planes, stacks)


def discs(*circles: tuple[float, ...], shape: tuple[int, ...] = (80, 120)) -> np.ndarray:
    """Return a mask of balls, each a middle and a radius."""
    grid = np.indices(shape)
    mask = np.zeros(shape, bool)
    for *middle, radius in circles:
        away = sum((axis - at) ** 2 for axis, at in zip(grid, middle, strict=True))
        mask |= away <= radius**2
    return mask


@given(masks, st.integers(0, 9), st.booleans(), st.booleans())
def test_cleaning_is_that_of_scipy_and_scikit_image(mask, min_size, holes, border):
    expected = ndimage.binary_fill_holes(mask) if holes else mask.copy()
    labels = measure.label(expected, connectivity=mask.ndim)
    expected &= np.append(0, np.bincount(labels.ravel())[1:])[labels] >= max(min_size, 1)
    if border:
        expected = segmentation.clear_border(expected)
    options = {"fill_holes": holes, "min_size": min_size, "clear_border": border}
    cleaned, n = clean(mask, **options)
    assert np.array_equal(cleaned, expected)
    labels, also_n = label(mask, **options)
    assert np.array_equal(labels, measure.label(expected, connectivity=mask.ndim))
    assert labels.dtype == np.int32
    assert n == also_n == labels.max(initial=0)


def test_small_objects_are_those_of_scikit_image():
    mask = np.random.default_rng(0).random((60, 60)) < 0.4
    arguments = inspect.signature(morphology.remove_small_objects).parameters
    size = {"max_size": 11} if "max_size" in arguments else {"min_size": 12}
    expected = morphology.remove_small_objects(mask, connectivity=2, **size)
    assert np.array_equal(clean(mask, min_size=12)[0], expected)


def test_ids_can_go_on_from_others():
    labels, n = label(np.eye(3, dtype=bool)[:, [0, 2, 1]], first=5)
    assert n == 2
    assert np.unique(labels).tolist() == [0, 5, 6]


@given(masks, st.integers(0, 1000))
def test_hysteresis_is_that_of_scikit_image(weak, seed):
    image = np.random.default_rng(seed).random(weak.shape)
    expected = filters.apply_hysteresis_threshold(image, 0.5, 0.8)
    assert np.array_equal(connected_to(image > 0.5, image > 0.8), expected)


@pytest.mark.parametrize("apart", [13, 16, 19])
def test_touching_discs_come_apart(apart):
    mask = discs((40, 40, 10), (40, 40 + apart, 10))
    assert measure.label(mask).max() == 1
    labels, n = split_touching(mask)
    assert n == 2
    assert np.array_equal(labels > 0, mask)
    sizes = np.bincount(labels.ravel())[1:]
    assert abs(int(sizes[0]) - int(sizes[1])) < 0.1 * sizes.sum()


def test_what_has_no_waist_stays_whole():
    grid = np.indices((80, 120))
    ellipse = ((grid[0] - 40) / 12) ** 2 + ((grid[1] - 60) / 40) ** 2 <= 1
    assert split_touching(ellipse)[1] == 1
    assert split_touching(discs((40, 40, 10), (40, 44, 10)))[1] == 1
    ring = discs((40, 60, 30)) & ~discs((40, 60, 22))
    assert split_touching(ring)[1] == 1


def test_depth_decides_how_much_is_cut():
    mask = discs((40, 40, 12), (40, 56, 12))
    assert split_touching(mask, depth=0.05)[1] == 2
    assert split_touching(mask, depth=0.6)[1] == 1


@given(masks, st.floats(0.01, 0.9))
def test_splitting_divides_objects_and_nothing_else(mask, depth):
    labels, n = split_touching(mask, depth=depth)
    assert np.array_equal(labels > 0, mask)
    assert np.array_equal(np.unique(labels[mask]), np.arange(1, n + 1))
    firsts = [int(np.flatnonzero(labels.ravel() == k)[0]) for k in range(1, n + 1)]
    assert firsts == sorted(firsts)
    whole = measure.label(mask, connectivity=mask.ndim)
    for k in range(1, n + 1):
        piece = labels == k
        assert measure.label(piece, connectivity=mask.ndim).max() == 1
        assert len(np.unique(whole[piece])) == 1


@pytest.mark.parametrize("shape", [(150, 150), (16, 48, 48)])
def test_split_objects_are_in_one_piece(shape):
    rng = np.random.default_rng(0)
    for _ in range(6):
        mask = ndimage.gaussian_filter(rng.standard_normal(shape), 1.5) > 0
        labels, n = split_touching(mask)
        assert n > 1
        assert measure.label(labels, connectivity=mask.ndim).max() == n


def test_basins_joined_through_a_pixel_of_a_third_are_in_one_piece():
    rows = ["..#...", "#.####", "#...#.", "#####.", "######", "##.###"]
    labels, n = split_touching(np.array([list(row) for row in rows]) == "#")
    assert n == 2
    assert measure.label(labels, connectivity=2).max() == 2


def test_spacing_counts_in_three_dimensions():
    # Two balls above each other, in planes four times as far apart as pixels.
    fine = discs((30, 24, 24, 14), (54, 24, 24, 14), shape=(84, 48, 48))
    coarse = np.ascontiguousarray(fine[2::4])
    labels, n = split_touching(coarse, spacing=(4.0, 1.0, 1.0))
    assert n == 2
    assert labels[7, 24, 24] != labels[13, 24, 24]
    tilted = np.ascontiguousarray(coarse.transpose(2, 1, 0))
    assert split_touching(tilted, spacing=(1.0, 1.0, 4.0))[1] == 2


def test_small_pieces_are_dropped():
    mask = discs((40, 40, 14), (40, 58, 6))
    sizes = np.bincount(split_touching(mask)[0].ravel())[1:]
    assert len(sizes) == 2
    labels, n = split_touching(mask, min_size=int(sizes.min()) + 1)
    assert n == 1
    assert np.bincount(labels.ravel())[1:].tolist() == [sizes.max()]


@given(masks)
def test_a_cut_separates_what_touched(mask):
    labels, _ = split_touching(mask, depth=0.02)
    cut = cut_apart(labels)
    assert not (cut & ~mask).any()
    pieces = measure.label(cut, connectivity=mask.ndim)
    for k in range(1, pieces.max(initial=0) + 1):
        assert len(np.unique(labels[pieces == k])) == 1


def test_keep_large_of_nothing():
    labels, n = keep_large(np.zeros((3, 4), np.int32), 5)
    assert n == 0
    assert not labels.any()


def test_masks_of_other_than_two_or_three_axes_are_refused():
    for function in (clean, label, split_touching):
        with pytest.raises(InputError, match="two or three axes"):
            function(np.zeros((2, 2, 2, 2), bool))
    with pytest.raises(InputError, match="one for each"):
        split_touching(np.zeros((4, 4), bool), spacing=(1.0, 1.0, 1.0))


def test_parts_of_each_class_are_objects_in_every_plane_of_the_other_axes():
    classes = np.zeros((2, 6, 9), np.uint8)
    classes[:, 1:3, 1:3], classes[:, 1:3, 3:5], classes[0, 4:, 6:] = 1, 2, 1
    ids, n = label_classes(classes, 2)
    assert n == 5
    assert sorted(np.unique(ids)) == list(range(6))
    np.testing.assert_array_equal(ids > 0, classes > 0)
    assert ids[0, 1, 1] != ids[0, 1, 3] != ids[1, 1, 3]
    assert label_classes(classes, 3)[1] == 3


def test_without_a_zero_the_smallest_class_is_the_background():
    classes = np.ones((6, 8), np.uint8)
    classes[2:4, 2:4] = 2
    ids, n = label_classes(classes, 2)
    assert n == 1
    np.testing.assert_array_equal(ids > 0, classes == 2)
