"""The true objects counted behind a correction."""

import numpy as np
import pytest

from napari_unetseg.core.review_queue import count_drawn_objects, count_true_objects


@pytest.fixture
def before():
    labels = np.zeros((30, 40), np.int32)
    labels[5:15, 5:15], labels[5:15, 15:25] = 1, 2
    return labels


def test_an_outline_may_change(before):
    after = before.copy()
    after[3:15, 5:15] = 1
    after[5:15, 12:15] = 0
    assert count_true_objects(before, after, 1) == 1
    assert count_true_objects(before, before, 1) == 1
    renumbered = np.where(before == 1, 9, before)
    assert count_true_objects(before, renumbered, 1) == 1


def test_deleted_split_and_merged(before):
    assert count_true_objects(before, np.where(before == 1, 0, before), 1) == 0
    split = before.copy()
    split[5:15, 10:15] = 7
    assert count_true_objects(before, split, 1) == 2
    assert count_true_objects(before, split, 2) == 1
    merged = np.where(before == 2, 1, before)
    assert count_true_objects(before, merged, 1) == count_true_objects(before, merged, 2) == 0.5


def test_swallowed_by_a_larger_one(before):
    before[5:15, 15:40] = 2
    merged = np.where(before == 1, 2, before)
    assert count_true_objects(before, merged, 1) == count_true_objects(before, merged, 2) == 0.5


def test_what_was_drawn_in_a_window(before):
    window = (slice(15, 30), slice(10, 30))
    after = before.copy()
    after[18:22, 12:16] = 8  # in the window
    after[18:22, 2:8] = 9  # beside it
    after[28:30, 22:28] = 10  # in it
    after[5:15, 10:15] = 11  # a piece of an old object
    assert count_drawn_objects(before, after, window) == 2
    assert count_drawn_objects(before, before, window) == 0
