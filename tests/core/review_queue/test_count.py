"""The count with an error bar: exact where all is known, and as often right as it says."""

import numpy as np
import pytest

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.review_queue import JudgedSample, estimate_count


def test_all_judged_leaves_no_doubt():
    worth = (1.0, 0.0, 2.0, 0.5, 0.5, 1.0)
    found = estimate_count(JudgedSample(6, worth, 4, (0, 2, 1, 0), certain=3))
    assert (found.count.low, found.count.estimate, found.count.high) == (11, 11, 11)
    assert found.precision.low == found.precision.high == pytest.approx(7 / 9)
    assert found.missed.low == found.missed.high == 3


def test_nothing_wrong_in_a_small_sample_is_no_proof():
    found = estimate_count(JudgedSample(1000, (1.0,) * 30, 100, (0,) * 10))
    assert found.count.estimate == 1000
    assert 850 < found.count.low < 920
    assert found.count.high > 1030
    assert found.precision.estimate == 1
    assert found.missed.high > 20


def test_more_is_known_from_more():
    def width(n):
        found = estimate_count(
            JudgedSample(400, (1.0, 0.0, 1.0, 1.0) * (n // 4), 100, (0, 1) * (n // 8))
        )
        return found.count.high - found.count.low

    assert width(40) > width(80) > width(160) > width(400 // 8 * 8 - 200)


def test_what_was_seen_is_never_denied():
    found = estimate_count(JudgedSample(100, (1.0,) * 60, 10, (0,) * 9 + (40,), certain=5))
    assert found.count.low >= 5 + 60 + 40


def test_no_objects_but_missed_ones():
    found = estimate_count(JudgedSample(0, (), 20, (1, 0, 2, 1)))
    assert found.count.estimate == 20
    assert found.count.low >= 4
    assert found.precision.estimate == 1


@pytest.mark.parametrize(
    "sample",
    [
        JudgedSample(10, (), 5, (0,)),
        JudgedSample(10, (1.0,), 5, ()),
        JudgedSample(2, (1.0,) * 3, 5, (0,)),
        JudgedSample(10, (1.0,), 1, (0, 0)),
    ],
)
def test_a_sample_that_cannot_be(sample):
    with pytest.raises(InputError, match=r"Review more|new sample"):
        estimate_count(sample)


WORLDS = {
    "some invented": (300, 60, 0.9, 0.02, 0.2, 0.0, 30),
    "many of everything": (300, 60, 0.7, 0.1, 1.0, 0.0, 30),
    "in clusters": (500, 80, 0.9, 0.05, 0.5, 0.5, 40),
    "hardly a mistake": (600, 60, 0.99, 0.0, 0.03, 0.0, 40),
    "half of it judged": (80, 40, 0.85, 0.05, 0.3, 0.0, 50),
}


def drawn(rng, population, precision, joined, missed, clusters):
    """A world of objects and 100 windows, and what is true of each."""
    worth = (rng.random(population) < precision).astype(float)
    worth[rng.random(population) < joined] = 2
    pieces = rng.choice(population, 2 * int(joined * population), replace=False)
    worth[pieces[worth[pieces] == 1]] = 0.5
    rates = rng.gamma(clusters, missed / clusters, 100) if clusters else np.full(100, missed)
    return worth, rng.poisson(rates)


@pytest.mark.parametrize("name", WORLDS)
def test_the_interval_holds_the_truth_as_often_as_it_says(name):
    population, n, precision, joined, missed, clusters, windows = WORLDS[name]
    rng = np.random.default_rng(1)
    held = []
    for _ in range(200):
        worth, misses = drawn(rng, population, precision, joined, missed, clusters)
        seen = tuple(rng.choice(worth, n, replace=False))
        found = estimate_count(
            JudgedSample(population, seen, 100, tuple(rng.choice(misses, windows, False)))
        )
        truth = worth.sum() + misses.sum()
        held.append(found.count.low - 1e-9 <= truth <= found.count.high + 1e-9)
    assert np.mean(held) >= 0.93


def test_a_biased_sample_misses_the_truth():
    """The negative control: judged worst first, the interval is wrong."""
    rng = np.random.default_rng(2)
    held = []
    for _ in range(50):
        worth, misses = drawn(rng, 300, 0.8, 0.0, 0.1, 0.0)
        found = estimate_count(
            JudgedSample(300, tuple(np.sort(worth)[:60]), 100, tuple(misses[:30]))
        )
        held.append(found.count.low <= worth.sum() + misses.sum() <= found.count.high)
    assert np.mean(held) < 0.1


def test_clusters_are_covered_or_the_interval_is_said_to_assume_that_there_are_none():
    rng = np.random.default_rng(3)
    for clusters, n_windows in ((3, 12), (3, 5), (12, 30), (40, 30)):
        wrong = 0
        for _ in range(100):
            misses = np.zeros(64, int)
            at = rng.choice(64, clusters, replace=False)
            misses[at] = rng.poisson(rng.gamma(0.5, 80 / clusters, clusters))
            seen = rng.choice(misses, n_windows, replace=False)
            found = estimate_count(JudgedSample(300, (1.0,) * 40, 64, tuple(seen)))
            held = found.count.low - 1e-9 <= 300 + misses.sum() <= found.count.high + 1e-9
            wrong += not held and not found.assumes_even
        assert wrong <= 7, (clusters, n_windows)


def test_a_sample_with_hardly_a_miss_says_what_its_interval_assumes():
    few = estimate_count(JudgedSample(100, (1.0,) * 20, 50, (0,) * 11 + (3,)))
    assert few.assumes_even
    assert 1 <= few.affected.low < few.affected.estimate < few.affected.high < 50
    assert not estimate_count(JudgedSample(100, (1.0,) * 20, 50, (0, 1, 2) * 5)).assumes_even
    assert not estimate_count(JudgedSample(100, (1.0,) * 20, 3, (0, 0, 3))).assumes_even
