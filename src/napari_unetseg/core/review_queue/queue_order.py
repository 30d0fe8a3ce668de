"""Sort the items of a queue by uncertainty and diversity, or draw a random sample."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Distances beyond which items are dissimilar: share of the field, and standard deviations.
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
    """Sort items by score, moving back those similar to items already chosen.

    Parameters
    ----------
    scores
        (n,), from 0 to 1.
    places
        (n, ndim), positions in any unit.
    looks
        (n, features), appearance in any unit; NaN counts as the median.
    n
        Number of items to return.
    diversity
        Share of its score that an item loses next to an identical one.

    Notes
    -----
    Greedy, as in maximal marginal relevance (Carbonell and Goldstein, 1998). Only the items with
    the highest scores are considered, twenty times as many as returned.
    """
    score = np.asarray(scores, float)
    first = np.argsort(-score, kind="stable")
    if diversity == 0 or len(score) < 2:
        return first[:n]
    first = first[: max(_CANDIDATES * n, 1000)]
    position = np.asarray(places, float)[first]
    position = position / max(float(np.ptp(position, axis=0).max(initial=0)), 1e-12) / _NEAR_PLACE
    features = [position]
    if looks is not None:
        features.append(_standardised(np.asarray(looks, float))[first] / _NEAR_LOOK)
    remaining, alike = score[first], np.zeros((len(features), len(first)))
    available = np.ones(len(first), bool)
    chosen: list[int] = []
    for _ in range(min(n, len(first))):
        # Proximity and similarity each cost half of the diversity.
        gain = remaining * (1 - diversity * alike.mean(axis=0))
        best = int(np.argmax(np.where(available, gain, -1)))
        chosen.append(best)
        for similarity, feature in zip(alike, features, strict=True):
            distance = np.square(feature - feature[best]).mean(axis=1)
            # The penalty decays, so that similar items may return later.
            np.maximum(0.9 * similarity, np.exp(-distance / 2), out=similarity)
        available[best] = False
    return first[chosen]


def draw_random_items(
    n_objects: int, n_windows: int, *, n: int, seed: int
) -> list[tuple[str, int]]:
    """Draw objects and windows at random, each without replacement, evenly mixed.

    Any first part of the list is a random sample of both.

    Returns
    -------
    list
        ``("object", index)`` or ``("window", index)``; up to `n` in all, half of each if there
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
    return [(kind, at) for _, kind, at in sorted(mixed, key=lambda entry: entry[0])]


def split_into_windows(
    shape: Sequence[int], frame_axes: int, sides: Sequence[int]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Divide every frame of an array into windows of equal size that cover it.

    Parameters
    ----------
    frame_axes
        Number of leading axes that are frames.
    sides
        Approximate length of a window along each of the other axes.

    Returns
    -------
    low, high : (n, ndim)
    """
    cuts = [np.arange(length + 1) for length in shape[:frame_axes]]
    for length, side in zip(shape[frame_axes:], sides, strict=True):
        n_windows = max(round(length / side), 1)
        cuts.append(np.rint(np.linspace(0, length, n_windows + 1)).astype(int))
    low = np.stack(np.meshgrid(*(cut[:-1] for cut in cuts), indexing="ij"), -1)
    high = np.stack(np.meshgrid(*(cut[1:] for cut in cuts), indexing="ij"), -1)
    return low.reshape(-1, len(cuts)), high.reshape(-1, len(cuts))


def robust_spread(deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute a robust standard deviation of each column, from the median absolute deviation.

    Parameters
    ----------
    off
        (n, columns), deviations from the median. If more than half are zero, the mean absolute
        deviation is used; if all are zero, the spread is infinite.
    """
    absolute = np.abs(deviations)
    robust, mean = 1.4826 * np.median(absolute, axis=0), 1.2533 * absolute.mean(axis=0)
    spread = np.where(robust > 1e-9, robust, mean)
    return np.where(spread > 1e-9, spread, np.inf)


def _standardised(looks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale features to median 0 and spread 1, clipped to three spreads."""
    if not len(looks):
        return looks
    middle = np.nanmedian(np.where(np.isfinite(looks), looks, np.nan), axis=0)
    looks = np.where(np.isfinite(looks), looks, middle) - middle
    return np.clip(looks / robust_spread(looks), -3, 3)


__all__ = ["diverse_order", "draw_random_items", "robust_spread", "split_into_windows"]
