"""Adapted Rand error and variation of information, against scikit-image."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import adapted_rand_error, variation_of_information

from napari_unetseg.core.scoring.overlap import overlap_of
from napari_unetseg.core.scoring.partition_scores import PartitionScores, partition_scores

images = arrays(np.int64, (6, 7), elements=st.integers(0, 4))
volumes = arrays(np.int64, (3, 4, 3), elements=st.integers(0, 4))
either = st.one_of(st.tuples(images, images), st.tuples(volumes, volumes))


def judge(said, true):
    return partition_scores(overlap_of(said, true))


@given(either)
def test_they_are_those_of_scikit_image(two):
    said, true = two
    judged = said[true > 0]
    assume(np.bincount(judged, minlength=1).max() > 1)
    assume(np.bincount(true[true > 0]).max() > 1)
    found = judge(said, true)
    # What scikit-image calls precision is what the field calls recall.
    error, recall, precision = adapted_rand_error(true, said, ignore_labels=(0,))
    assert found.rand_error == pytest.approx(error)
    assert (found.rand_precision, found.rand_recall) == pytest.approx((precision, recall))
    split, merge = variation_of_information(true, said, ignore_labels=(0,))
    assert (found.vi_split, found.vi_merge) == pytest.approx((split, merge), abs=1e-9)


def test_splits_and_merges_are_told_apart():
    whole, halves = np.array([1, 1, 1, 1]), np.array([1, 1, 2, 2])
    split = judge(halves, whole)
    assert (split.vi_split, split.vi_merge) == (1, 0)
    assert (split.rand_precision, split.rand_recall) == (1, pytest.approx(1 / 3))
    merge = judge(whole, halves)
    assert (merge.vi_split, merge.vi_merge) == (0, 1)
    assert (merge.rand_precision, merge.rand_recall) == (pytest.approx(1 / 3), 1)


@given(images, images, arrays(bool, (6, 7)))
def test_what_the_truth_does_not_label_is_not_judged(said, true, hidden):
    other = np.where(hidden, 9, said)
    true = np.where(hidden, 0, true)
    expected = pytest.approx(judge(other, true).__dict__, abs=1e-9)
    assert judge(said, true).__dict__ == expected


def test_what_the_prediction_leaves_out_is_a_segment():
    missed = judge([1, 1, 0, 0], [5, 5, 5, 5])
    assert missed.vi_split == 1


def test_nothing_to_judge():
    right = PartitionScores(0, 1, 1, 0, 0)
    nothing, something = np.zeros(4, int), np.array([1, 1, 2, 2])
    assert judge(nothing, nothing) == judge(something, nothing) == right
    assert judge(something, something) == right
    # Everything left out is one segment: all is merged, nothing split.
    assert judge(nothing, something).vi_merge == 1
    assert judge([1, 2, 3], [1, 2, 3]).rand_error == 0


def test_chance_is_far_from_right():
    """The negative control."""
    rng = np.random.default_rng(0)
    said, true = rng.integers(1, 9, (2, 64, 64))
    assert judge(said, true).rand_error > 0.8
    assert judge(said, true).vi_split > 2.9
