"""Scores of objects, against slow and obvious computations of the same."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment

from napari_unetseg.core import samples
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.scoring.object_scores import (
    THRESHOLDS,
    ap_curve,
    match,
    object_scores,
    symmetric_best_dice,
)
from napari_unetseg.core.scoring.overlap import Overlap, overlap_of

ids = arrays(np.uint8, (5, 7), elements=st.integers(0, 5))
volumes = arrays(np.uint8, (2, 3, 4), elements=st.integers(0, 4))
either = st.one_of(st.tuples(ids, ids), st.tuples(volumes, volumes))
thresholds = st.sampled_from([0.05, 0.1, 0.2, 0.3, 0.4, *THRESHOLDS, 1.0])


def masks(image):
    return [image == value for value in np.unique(image) if value]


def table(said, true, score):
    found = [[score(a, b) for b in masks(true)] for a in masks(said)]
    return np.array(found).reshape(len(masks(said)), len(masks(true)))


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def count_matches(said, true, threshold):
    """The full assignment, as StarDist and Cellpose do it."""
    ious = table(said, true, iou)
    if not ious.size:
        return 0, 0.0
    n = min(ious.shape)
    chosen = linear_sum_assignment(-(ious >= threshold).astype(float) - ious / (2 * n))
    kept = ious[chosen][ious[chosen] >= threshold]
    return len(kept), float(kept.sum())


@given(either, thresholds)
def test_matches_are_those_of_the_full_assignment(two, threshold):
    said, true = two
    found = match(overlap_of(said, true), threshold)
    n, total = count_matches(said, true, threshold)
    assert found.n_matched == n
    assert np.all(found.iou >= threshold)
    if threshold > 0.5:
        assert found.iou.sum() == pytest.approx(total)


@given(either, thresholds)
def test_nobody_has_two_partners_and_the_iou_is_that_of_the_two(two, threshold):
    said, true = two
    overlap = overlap_of(said, true)
    found = match(overlap, threshold)
    assert len(set(found.prediction)) == len(set(found.truth)) == found.n_matched
    for p, t, value in zip(found.prediction, found.truth, found.iou, strict=True):
        one, other = said == overlap.prediction_ids[p], true == overlap.truth_ids[t]
        assert value == pytest.approx(iou(one, other))


def test_where_objects_compete_the_most_pairs_win():
    """A greedy choice takes the best pair first and leaves two objects alone."""
    #            said 1 would go to true 1 with IoU 4/9, but said 2 has only true 1
    said = np.array([1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 0, 0])
    true = np.array([2, 2, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0])
    overlap = overlap_of(said, true)
    assert sorted(overlap.iou()) == pytest.approx([1 / 3, 3 / 8, 4 / 9])
    found = match(overlap, 0.3)
    assert found.n_matched == 2
    assert sorted(found.iou) == pytest.approx([1 / 3, 3 / 8])
    assert match(overlap, 0.4).n_matched == 1


def test_half_overlap_of_two_is_one_match():
    overlap = overlap_of([1, 1, 2, 2], [7, 7, 7, 7])
    assert match(overlap, 0.5).n_matched == 1
    assert match(overlap, 0.55).n_matched == 0


@given(either)
def test_scores_against_the_obvious(two):
    said, true = two
    found = object_scores(overlap_of(said, true))
    n_said, n_true = len(masks(said)), len(masks(true))
    tp, total = count_matches(said, true, 0.5)
    assert (found.matched, found.missed, found.invented) == (tp, n_true - tp, n_said - tp)
    if not n_said and not n_true:
        assert found.f1 == found.map == found.sbd == found.mean_iou == 1
        return
    assert found.precision == (tp / n_said if n_said else 0)
    assert found.recall == (tp / n_true if n_true else 0)
    assert found.ap50 == tp / (n_said + n_true - tp)
    aps = []
    for percent in range(50, 100, 5):
        n, _ = count_matches(said, true, percent / 100)
        aps.append(n / (n_said + n_true - n))
    assert found.map == pytest.approx(np.mean(aps))
    assert found.mean_iou == pytest.approx(total / tp if tp else 0)
    assert found.panoptic_quality == pytest.approx(found.f1 * found.mean_iou)
    best = table(said, true, dice)
    sbd = min(best.max(1).mean(), best.max(0).mean()) if best.size else 0
    assert found.sbd == pytest.approx(sbd)


@given(ids, ids, st.permutations(range(1, 6)))
def test_names_and_order_do_not_matter(said, true, names):
    renamed = np.array([0, *names])[said]
    found, expected = (object_scores(overlap_of(image, true)) for image in (renamed, said))
    assert found.__dict__ == pytest.approx(expected.__dict__)
    swapped, straight = overlap_of(true, said), overlap_of(said, true)
    assert ap_curve(swapped) == ap_curve(straight)
    assert symmetric_best_dice(swapped) == pytest.approx(symmetric_best_dice(straight))


@given(either)
def test_ap_falls_with_the_threshold(two):
    curve = ap_curve(overlap_of(*two))
    assert tuple(curve) == THRESHOLDS
    assert all(low >= high for low, high in itertools.pairwise(curve.values()))


def test_empty_images():
    nothing, something = np.zeros((4, 4), int), np.ones((4, 4), int)
    both = object_scores(overlap_of(nothing, nothing))
    assert both.f1 == both.ap50 == both.map == both.sbd == both.panoptic_quality == 1
    assert both.matched == both.missed == both.invented == 0
    for said, true in ((nothing, something), (something, nothing)):
        one = object_scores(overlap_of(said, true))
        assert one.f1 == one.ap50 == one.map == one.sbd == one.mean_iou == one.recall == 0
        assert (one.missed, one.invented) == (int(true.any()), int(said.any()))


def test_the_truth_is_right_and_a_shifted_one_is_not():
    """The negative control: as many objects of the same sizes, elsewhere."""
    truth = samples.nuclei((160, 160), seed=1).objects
    right = object_scores(overlap_of(truth, truth))
    assert right.map == right.sbd == right.panoptic_quality == 1
    wrong = object_scores(overlap_of(np.roll(truth, 40, axis=1), truth))
    assert wrong.ap50 < 0.3
    assert wrong.map < 0.1


def test_objects_of_several_images_are_counted_together():
    alone = overlap_of([1, 0, 0, 0], [1, 0, 0, 0])
    crowd = overlap_of([1, 0, 0, 0], [0, 2, 3, 4])
    pooled = object_scores(Overlap.joined([alone, crowd]))
    assert pooled.ap50 == 1 / 5
    assert pooled.matched + pooled.missed == 4


@pytest.mark.parametrize("threshold", [0, -1, 1.1, np.nan])
def test_a_threshold_out_of_range(threshold):
    with pytest.raises(InputError, match="above 0 and at most 1"):
        match(overlap_of([1], [1]), threshold)
