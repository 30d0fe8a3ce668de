"""In what order: the unsure first but not all of one kind, or by lot."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Farther apart than this, in shares of the field or in standard deviations, two are unlike.
_NEAR_PLACE, _NEAR_LOOK = 0.1, 1.0
_CANDIDATES = 20


def diverse_order(
    scores: ArrayLike,
    places: ArrayLike,
    looks: ArrayLike | None = None,
    *,
    n: int,
    diversity: float = 0.3,
) -> NDArray[np.intp]:
    """Return which come first: high scores, but what resembles those before waits.

    Parameters
    ----------
    scores
        (n,), from 0 to 1.
    places
        (n, ndim), in any unit.
    looks
        (n, features), in any unit; no number (NaN) counts as the mean.
    n
        How many are wanted.
    diversity
        What share of its score an item loses beside one that is just like it.

    Notes
    -----
    Greedy, as in maximal marginal relevance (Carbonell and Goldstein, 1998). Of a million items
    only those of the highest scores are looked at, twenty times as many as are wanted.
    """
    score = np.asarray(scores, float)
    first = np.argsort(-score, kind="stable")
    if diversity == 0 or len(score) < 2:
        return first[:n]
    first = first[: max(_CANDIDATES * n, 1000)]
    where = np.asarray(places, float)[first]
    where = where / max(float(np.ptp(where, axis=0).max(initial=0)), 1e-12) / _NEAR_PLACE
    features = [where]
    if looks is not None:
        features.append(_standard(np.asarray(looks, float))[first] / _NEAR_LOOK)
    left, alike = score[first], np.zeros((len(features), len(first)))
    free = np.ones(len(first), bool)
    chosen: list[int] = []
    for _ in range(min(n, len(first))):
        # What is near and what looks alike each cost half of it.
        gain = left * (1 - diversity * alike.mean(axis=0))
        best = int(np.argmax(np.where(free, gain, -1)))
        chosen.append(best)
        for one, feature in zip(alike, features, strict=True):
            distance = np.square(feature - feature[best]).mean(axis=1)
            # The memory fades, so that after a while a kind may come again.
            np.maximum(0.9 * one, np.exp(-distance / 2), out=one)
        free[best] = False
    return first[chosen]


def shuffled(n_objects: int, n_windows: int, *, n: int, seed: int) -> list[tuple[str, int]]:
    """Draw objects and windows by lot, each without replacement, evenly mixed.

    However early one stops, what came so far is a random sample of both.

    Returns
    -------
    list
        ``("object", place)`` or ``("window", place)``; up to `n` in all, half of each where there
        are enough.
    """
    rng = np.random.default_rng(seed)
    objects = rng.permutation(n_objects).tolist()
    windows = rng.permutation(n_windows).tolist()
    share = min(n // 2, n_windows)
    objects = objects[: n - share]
    windows = windows[: n - len(objects)]
    mixed = [(k / max(len(objects), 1), "object", at) for k, at in enumerate(objects)]
    mixed += [((k + 0.5) / max(len(windows), 1), "window", at) for k, at in enumerate(windows)]
    return [(kind, at) for _, kind, at in sorted(mixed, key=lambda one: one[0])]


def windows_in(
    shape: Sequence[int], frame_axes: int, sides: Sequence[int]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Cut every frame of an array into windows of like size that cover it.

    Parameters
    ----------
    frame_axes
        How many of the first axes only count frames.
    sides
        About how long a window is along each of the other axes.

    Returns
    -------
    low, high : (n, ndim)
    """
    cuts = [np.arange(length + 1) for length in shape[:frame_axes]]
    for length, side in zip(shape[frame_axes:], sides, strict=True):
        pieces = max(round(length / side), 1)
        cuts.append(np.rint(np.linspace(0, length, pieces + 1)).astype(int))
    low = np.stack(np.meshgrid(*(cut[:-1] for cut in cuts), indexing="ij"), -1)
    high = np.stack(np.meshgrid(*(cut[1:] for cut in cuts), indexing="ij"), -1)
    return low.reshape(-1, len(cuts)), high.reshape(-1, len(cuts))


def spread_of(off: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard deviation of each column, as a few outliers do not move it.

    Parameters
    ----------
    off
        (n, columns), by how much each is off the middle. Where more than half are not, all count;
        where none is, the spread is infinite.
    """
    far = np.abs(off)
    robust, mean = 1.4826 * np.median(far, axis=0), 1.2533 * far.mean(axis=0)
    spread = np.where(robust > 1e-9, robust, mean)
    return np.where(spread > 1e-9, spread, np.inf)


def _standard(looks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return features with mean 0 and spread 1; outliers count as three spreads."""
    if not len(looks):
        return looks
    middle = np.nanmedian(np.where(np.isfinite(looks), looks, np.nan), axis=0)
    looks = np.where(np.isfinite(looks), looks, middle) - middle
    return np.clip(looks / spread_of(looks), -3, 3)


__all__ = ["diverse_order", "shuffled", "spread_of", "windows_in"]
