"""Agreement of masks and of maps of classes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.scoring.pixel_scores import (
    Scores,
    class_scores,
    dice,
    iou,
    mean_scores,
    scores,
)

masks = arrays(bool, (4, 5))
maps = arrays(np.uint8, (4, 5), elements=st.integers(0, 3))


@given(masks, masks)
def test_they_follow_from_each_other_and_are_symmetric(one, other):
    assert dice(one, other) == dice(other, one)
    assert dice(one, other) == pytest.approx(2 * iou(one, other) / (1 + iou(one, other)))
    assert 0 <= iou(one, other) <= dice(one, other) <= 1


@given(masks)
def test_a_mask_agrees_with_itself_and_not_with_its_opposite(mask):
    assert dice(mask, mask) == iou(mask, mask) == 1
    assert dice(mask, ~mask) == iou(mask, ~mask) == 0


@given(masks, masks, st.integers(1, 250))
def test_any_nonzero_number_belongs_to_the_mask(one, other, value):
    assert dice(one * np.uint8(value), other) == dice(one, other)


def test_known_values():
    assert dice([[1, 1], [0, 0]], [[1, 0], [0, 0]]) == pytest.approx(2 / 3)
    assert iou([[1, 1], [0, 0]], [[1, 0], [0, 0]]) == 0.5


@given(masks, masks)
def test_dice_is_the_harmonic_mean_of_precision_and_recall(one, other):
    found, swapped = scores(one, other), scores(other, one)
    assert (found.precision, found.recall) == (swapped.recall, swapped.precision)
    total = found.precision + found.recall
    expected = 2 * found.precision * found.recall / total if total else 0.0
    assert found.dice == pytest.approx(expected)


def test_precision_and_recall_are_told_apart():
    found = scores([1, 1, 1, 1, 0], [1, 0, 0, 0, 1])
    assert (found.precision, found.recall) == (0.25, 0.5)


def test_a_share_of_nothing():
    nothing, something = np.zeros(4), np.ones(4)
    assert scores(nothing, nothing) == Scores(1, 1, 1, 1)
    assert scores(nothing, something) == scores(something, nothing) == Scores(0, 0, 0, 0)


@given(maps, maps)
def test_a_class_is_judged_as_its_mask(said, true):
    found = class_scores(said, true, (1, 2, 3))
    for value in (1, 2, 3):
        if value in said or value in true:
            assert found[value] == scores(said == value, true == value)
        else:
            assert value not in found


@given(maps)
def test_classes_that_swap_places_agree_nowhere(true):
    """The negative control: a map says which class, not only where."""
    right = class_scores(true, true, (1, 2))
    wrong = class_scores(np.array([0, 2, 1, 3])[true], true, (1, 2))
    assert all(one.dice == 1 for one in right.values())
    assert all(one.dice == 0 for one in wrong.values())


def test_means():
    one, other = Scores(1, 1, 0.5, 0), Scores(0, 0.5, 0.5, 1)
    assert mean_scores([one, other]) == Scores(0.5, 0.75, 0.5, 0.5)
    assert mean_scores([]) == Scores(1, 1, 1, 1)


@pytest.mark.parametrize("score", [dice, iou, scores, lambda a, b: class_scores(a, b, (1,))])
def test_shapes_must_agree(score):
    with pytest.raises(InputError, match=r"\(2, 2\) and \(2, 3\)"):
        score(np.ones((2, 2)), np.ones((2, 3)))
