"""Orders: by score with diversity, and by lot; and the windows of an image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetseg.core.review_queue.queue_order import (
    diverse_order,
    draw_random_items,
    split_into_windows,
)


@given(st.integers(1, 40), st.integers(1, 50), st.floats(0, 1))
def test_everything_once(n_items, n, diversity):
    rng = np.random.default_rng(n_items)
    scores, places = rng.random(n_items), rng.random((n_items, 2))
    order = diverse_order(scores, places, rng.random((n_items, 3)), n=n, diversity=diversity)
    assert len(order) == len(set(order.tolist())) == min(n, n_items)
    assert order[0] == np.argmax(scores)


def test_without_diversity_it_is_the_score():
    scores = np.array([0.1, 0.9, 0.5, 0.7])
    assert diverse_order(scores, np.zeros((4, 2)), n=4, diversity=0).tolist() == [1, 3, 2, 0]


def test_with_it_the_first_are_not_all_of_one_place():
    rng = np.random.default_rng(0)
    crowd = rng.normal(0, 1, (50, 2))
    others = rng.uniform(0, 1000, (10, 2)) + 200
    places = np.concatenate([crowd, others])
    scores = np.concatenate([np.full(50, 0.9), np.full(10, 0.8)])
    plain = diverse_order(scores, places, n=10, diversity=0)
    mixed = diverse_order(scores, places, n=10, diversity=0.5)
    assert (plain < 50).all()
    assert (mixed >= 50).sum() >= 5


def test_nor_all_of_one_look():
    looks = np.concatenate([np.zeros((30, 1)), np.ones((30, 1)) * 5])
    looks[3] = np.nan
    places = np.random.default_rng(0).random((60, 2)) * 1000
    scores = np.concatenate([np.full(30, 0.9), np.full(30, 0.8)])
    assert (diverse_order(scores, places, looks, n=8, diversity=0.8) >= 30).any()


def test_a_lot_is_fair_and_mixed():
    counts = np.zeros(20)
    for seed in range(300):
        drawn = draw_random_items(20, 30, n=10, seed=seed)
        assert len(drawn) == len(set(drawn)) == 10
        for kind, at in drawn:
            if kind == "object":
                counts[at] += 1
    # Each of 20 comes 75 times on average.
    assert counts.min() > 45
    assert counts.max() < 110
    kinds = [kind for kind, _ in draw_random_items(100, 100, n=40, seed=0)]
    assert set(kinds[:4]) == {"object", "window"}
    assert draw_random_items(100, 100, n=40, seed=0) == draw_random_items(100, 100, n=40, seed=0)
    assert draw_random_items(100, 100, n=40, seed=0) != draw_random_items(100, 100, n=40, seed=1)


@pytest.mark.parametrize(("n_objects", "n_windows"), [(0, 5), (5, 0), (3, 100), (100, 3)])
def test_few_of_one_kind_leave_room_for_the_other(n_objects, n_windows):
    drawn = draw_random_items(n_objects, n_windows, n=20, seed=0)
    assert len(drawn) == min(20, n_objects + n_windows)


@pytest.mark.parametrize(
    ("shape", "frames", "sides"),
    [
        ((50, 70), 0, (16, 16)),
        ((3, 40, 41), 1, (10, 20)),
        ((9, 30, 30), 0, (3, 8, 8)),
        ((4, 4), 0, (9, 9)),
    ],
)
def test_windows_cover_everything_once(shape, frames, sides):
    low, high = split_into_windows(shape, frames, sides)
    covered = np.zeros(shape, int)
    for a, b in zip(low, high, strict=True):
        covered[tuple(map(slice, a, b))] += 1
    assert (covered == 1).all()
    assert ((high - low)[:, :frames] == 1).all()
