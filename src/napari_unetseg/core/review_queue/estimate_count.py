"""Estimate the number of objects from a manually reviewed random sample of objects and windows.

A prediction has false, merged, split and missed objects. A random sample of its objects, and the
missed objects in a random sample of windows, give the error of its count and a confidence interval.
"""

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError

CONFIDENCE = 0.95

FEWEST_WINDOWS = 4
"""Sampled windows with missed objects from which their spread over the windows is estimated."""


@dataclass(frozen=True)
class JudgedSample:
    """Hold the review results of a random sample, drawn without replacement.

    Parameters
    ----------
    population
        Number of predicted objects that the sample was drawn from.
    worth
        Number of true objects for each sampled object: 1 if it is correct, 0 if there is none, 2 if
        it merges two, a half if it is one of two parts.
    windows
        Number of windows of equal size in the image.
    missed
        Number of missed true objects in each sampled window.
    certain
        Number of objects, in addition to the population, that were drawn or approved by hand; each
        counts as one.
    """

    population: int
    worth: tuple[float, ...]
    windows: int
    missed: tuple[int, ...]
    certain: int = 0


@dataclass(frozen=True)
class Interval:
    """Hold an estimate and its confidence interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Count:
    """Hold the estimated number of objects.

    Parameters
    ----------
    count
        Number of true objects.
    precision
        Share of the predicted objects that are true ones, including those drawn by hand.
    missed
        Number of missed true objects.
    sample
        The sample that it was estimated from.
    affected
        Number of windows with missed objects.
    """

    count: Interval
    precision: Interval
    missed: Interval
    sample: JudgedSample
    affected: Interval

    @property
    def assumes_even(self) -> bool:
        """Whether the intervals hold only if missed objects are not concentrated in a few windows.

        Too few of the sampled windows have some to tell.
        """
        some = sum(missed > 0 for missed in self.sample.missed)
        return some < FEWEST_WINDOWS and len(self.sample.missed) < self.sample.windows

    def __str__(self) -> str:
        low, high = round(self.count.low), round(self.count.high)
        return f"{self.count.estimate:,.0f} ({low:,} to {high:,})"


def estimate_count(sample: JudgedSample, confidence: float = CONFIDENCE) -> Count:
    """Estimate the number of true objects.

    Parameters
    ----------
    sample
        The review results: at least one object, if there are any, and one window.
    confidence
        Confidence level of every interval.

    Raises
    ------
    InputError
        When the sample is empty, or larger than its population.

    Notes
    -----
    Windows are sampled as clusters of missed objects: their total is the number of windows with
    some, times the mean of those. Where `Count.assumes_even`, the interval cannot know of clusters
    in windows that were not sampled.

    False objects and surplus parts follow the hypergeometric distribution; its exact interval
    (Clopper and Pearson's for a finite population) is used. Missed or merged objects lie in the
    sampled share of the windows or objects with the probability of that share; their interval is
    that of a binomial's number of trials, widened by the index of dispersion if they are
    clustered. That of missed objects is never narrower than the product of the exact interval for
    the number of windows with some and Student's interval for their mean (two-stage sampling:
    Cochran, Sampling Techniques, 3rd edition, chapter 10). Both intervals shrink to zero width as
    all are reviewed. The intervals of the parts are combined by the method of variance estimates
    recovery (Zou and Donner, Statistics in Medicine 27:1693, 2008). The lower bound is never less
    than the number observed.
    """
    _check_sample(sample)
    worth = np.array(sample.worth, float)
    tail = (1 - confidence) / 2
    false = _estimate_number(np.clip(1 - worth, 0, None), sample.population, tail)
    merged = _estimate_total(np.clip(worth - 1, 0, None), sample.population, tail)
    misses = np.array(sample.missed, float)
    affected = _estimate_number((misses > 0).astype(float), sample.windows, tail)
    missed = _estimate_clustered(misses, affected, sample.windows, tail)
    n_objects = sample.population + sample.certain
    count = _sum_intervals(n_objects, plus=(merged, missed), minus=(false,))
    seen = sample.certain + float(worth.sum()) + sum(sample.missed)
    count = Interval(count.estimate, max(count.low, seen), max(count.high, count.estimate))
    right = _share(n_objects - false.estimate, n_objects)
    precision = Interval(
        right, _share(n_objects - false.high, n_objects), _share(n_objects - false.low, n_objects)
    )
    return Count(count, precision, missed, sample, affected)


def _estimate_number(each: NDArray[np.float64], population: int, tail: float) -> Interval:
    """Estimate the number of false objects, or of windows with misses, from shares of a sample."""
    n = len(each)
    if not population:
        return Interval(0.0, 0.0, 0.0)
    total = float(each.sum())
    few, many = int(np.floor(total + 1e-9)), int(np.ceil(total - 1e-9))
    # A number is ruled out if so few, or so many, in the sample are too unlikely.
    low = _first(lambda m: scipy.stats.hypergeom.sf(few - 1, population, m, n) > tail, population)
    high = population - _first(
        lambda m: scipy.stats.hypergeom.cdf(many, population, population - m, n) > tail, population
    )
    return Interval(total / n * population, float(low), float(high))


def _estimate_clustered(
    each: NDArray[np.float64], affected: Interval, population: int, tail: float
) -> Interval:
    """Estimate the total of the counts in all windows, some of which may have many."""
    even = _estimate_total(each, population, tail)
    some = each[each > 0]
    if len(some) < 2 or len(each) == population:
        return even
    left = np.sqrt(max(1 - len(some) / max(affected.estimate, len(some)), 0.0))
    error = scipy.stats.t.ppf(1 - tail, len(some) - 1) * some.std(ddof=1) / np.sqrt(len(some))
    low, high = some.mean() - left * error, some.mean() + left * error
    return Interval(
        even.estimate,
        min(even.low, affected.low * max(float(low), 1.0)),
        max(even.high, affected.high * float(high)),
    )


def _estimate_total(each: NDArray[np.float64], population: int, tail: float) -> Interval:
    """Estimate the total of the counts in a population, from those of a sample."""
    n, total = len(each), float(each.sum())
    if not population or n == population:
        return Interval(total, total, total)
    share = n / population
    spread = 1.0
    if total and n > 1:
        spread = max(1.0, float(each.var(ddof=1) / each.mean()))
    seen = total / spread
    beta = scipy.special.betainc
    low = _root(lambda x: beta(seen, x - seen + 1, share) - tail, seen, share) if seen else 0.0
    high = _root(lambda x: tail - beta(x - seen + 1e-12, seen + 1, 1 - share), seen, share)
    return Interval(total / share, low * spread, high * spread)


def _first(holds: Callable[[int], bool], stop: int) -> int:
    """Return the first number up to `stop` from which on a condition holds."""
    return bisect.bisect_left(range(stop), True, key=holds)


def _root(rising: Callable[[float], float], n_seen: float, share: float) -> float:
    """Return the root of a rising function of the number of trials, at least the number seen."""
    if rising(n_seen) >= 0:
        return n_seen
    far = (n_seen + 10) / share
    while rising(far) < 0:
        far *= 2
    return float(scipy.optimize.brentq(rising, n_seen, far))


def _sum_intervals(fixed: float, plus: Sequence[Interval], minus: Sequence[Interval]) -> Interval:
    estimate = fixed + sum(part.estimate for part in plus) - sum(part.estimate for part in minus)
    down = [part.estimate - part.low for part in plus] + [
        part.high - part.estimate for part in minus
    ]
    up = [part.high - part.estimate for part in plus] + [part.estimate - part.low for part in minus]
    return Interval(
        estimate,
        estimate - float(np.sqrt(np.square(down).sum())),
        estimate + float(np.sqrt(np.square(up).sum())),
    )


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 1.0


def _check_sample(sample: JudgedSample) -> None:
    n, windows = len(sample.worth), len(sample.missed)
    if (sample.population and not n) or not windows:
        raise InputError(
            "A count needs at least one reviewed object and one reviewed window of the random "
            "sample. Review more items."
        )
    if n > sample.population or windows > sample.windows:
        raise InputError(
            f"{n} of {sample.population} objects and {windows} of {sample.windows} windows cannot "
            "have been sampled. Draw a new sample."
        )


def count_columns(count: Count, n_rows: int) -> dict[str, NDArray[np.float64]]:
    """Return a count as columns of an object table, with the same numbers in every row."""
    numbers = {"precision": count.precision, "missed": count.missed, "count": count.count}
    columns: dict[str, NDArray[np.float64]] = {
        "true_count_assumes_even": np.full(n_rows, float(count.assumes_even))
    }
    for name, part in numbers.items():
        for end, value in {"": part.estimate, "_low": part.low, "_high": part.high}.items():
            columns[f"true_{name}{end}"] = np.full(n_rows, value)
    return columns


__all__ = ["CONFIDENCE", "Count", "Interval", "JudgedSample", "count_columns", "estimate_count"]
