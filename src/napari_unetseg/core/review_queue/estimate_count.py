"""How many objects there are, from a random sample of objects and windows that a person judged.

A prediction invents objects, joins and splits them, and misses some. What a random sample of its
objects stands for, and what was missed in a random sample of windows, says by how much its count
is off, and how sure that is.
"""

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError

CONFIDENCE = 0.95


@dataclass(frozen=True)
class JudgedSample:
    """What was found in a random sample, drawn without replacement.

    Parameters
    ----------
    population
        How many predicted objects it was drawn from.
    worth
        How many true objects each sampled one stands for: 1 when it is right, 0 when there is
        none, 2 when two were joined, a half when it is one of two pieces.
    windows
        How many windows of like size the image consists of.
    missed
        How many true objects that no predicted one stands for are in each sampled window.
    certain
        Objects beside the population that a hand drew or approved: each is one.
    """

    population: int
    worth: tuple[float, ...]
    windows: int
    missed: tuple[int, ...]
    certain: int = 0


@dataclass(frozen=True)
class Interval:
    """An estimate, and between what the truth lies with the confidence asked for."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Count:
    """How many objects there are.

    Parameters
    ----------
    count
        True objects.
    precision
        Share of the predicted objects that are one, those of a hand included.
    missed
        True objects that no predicted one stands for.
    sample
        What it was estimated from.
    """

    count: Interval
    precision: Interval
    missed: Interval
    sample: JudgedSample

    def __str__(self) -> str:
        low, high = round(self.count.low), round(self.count.high)
        return f"{self.count.estimate:,.0f} ({low:,} to {high:,})"


def count_of(sample: JudgedSample, confidence: float = CONFIDENCE) -> Count:
    """Estimate the number of true objects.

    Parameters
    ----------
    sample
        With at least one object, where there are any, and one window.
    confidence
        Of every interval.

    Raises
    ------
    InputError
        When the sample is empty, or larger than what it was drawn from.

    Notes
    -----
    Invented objects and surplus pieces follow the hypergeometric distribution, whose exact
    interval (Clopper and Pearson's for a finite population) is taken. Objects that were missed or
    joined lie in the sampled share of the windows or objects with the probability of that share;
    the interval is that of a binomial's number of trials, widened by the index of dispersion
    where they come in clusters. Both shrink to nothing as all are judged. The intervals of the
    parts make that of the sum by the method of variance estimates recovery (Zou and Donner,
    Statistics in Medicine 27:1693, 2008), and no less than was seen is ever claimed.
    """
    _check(sample)
    worth = np.array(sample.worth, float)
    tail = (1 - confidence) / 2
    lacking = _lacking(np.clip(1 - worth, 0, None), sample.population, tail)
    joined = _rare(np.clip(worth - 1, 0, None), sample.population, tail)
    missed = _rare(np.array(sample.missed, float), sample.windows, tail)
    there = sample.population + sample.certain
    count = _sum(there, plus=(joined, missed), minus=(lacking,))
    seen = sample.certain + float(worth.sum()) + sum(sample.missed)
    count = Interval(count.estimate, max(count.low, seen), max(count.high, count.estimate))
    right = _share(there - lacking.estimate, there)
    precision = Interval(
        right, _share(there - lacking.high, there), _share(there - lacking.low, there)
    )
    return Count(count, precision, missed, sample)


def _lacking(each: NDArray[np.float64], population: int, tail: float) -> Interval:
    """Return how many of a population are none, from the sampled shares that are none."""
    n = len(each)
    if not population:
        return Interval(0.0, 0.0, 0.0)
    total = float(each.sum())
    few, many = int(np.floor(total + 1e-9)), int(np.ceil(total - 1e-9))
    # A number of worthless objects is ruled out when so few, or so many, would be too rare.
    low = _first(lambda m: scipy.stats.hypergeom.sf(few - 1, population, m, n) > tail, population)
    high = population - _first(
        lambda m: scipy.stats.hypergeom.cdf(many, population, population - m, n) > tail, population
    )
    return Interval(total / n * population, float(low), float(high))


def _rare(each: NDArray[np.float64], population: int, tail: float) -> Interval:
    """Return the total of a population of counts, from those of a sample."""
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
    """Return the first number up to `stop` from which on something holds."""
    return bisect.bisect_left(range(stop), True, key=holds)


def _root(rising: Callable[[float], float], seen: float, share: float) -> float:
    """Return where a rising function of a number of trials is 0; at least as many as were seen."""
    if rising(seen) >= 0:
        return seen
    far = (seen + 10) / share
    while rising(far) < 0:
        far *= 2
    return float(scipy.optimize.brentq(rising, seen, far))


def _sum(fixed: float, plus: Sequence[Interval], minus: Sequence[Interval]) -> Interval:
    estimate = fixed + sum(one.estimate for one in plus) - sum(one.estimate for one in minus)
    down = [one.estimate - one.low for one in plus] + [one.high - one.estimate for one in minus]
    up = [one.high - one.estimate for one in plus] + [one.estimate - one.low for one in minus]
    return Interval(
        estimate,
        estimate - float(np.sqrt(np.square(down).sum())),
        estimate + float(np.sqrt(np.square(up).sum())),
    )


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 1.0


def _check(sample: JudgedSample) -> None:
    n, windows = len(sample.worth), len(sample.missed)
    if (sample.population and not n) or not windows:
        raise InputError(
            "A count needs at least one judged object and one judged window of the random sample. "
            "Judge more of it."
        )
    if n > sample.population or windows > sample.windows:
        raise InputError(
            f"{n} of {sample.population} objects and {windows} of {sample.windows} windows cannot "
            "have been sampled. Draw a new sample."
        )


def count_columns(found: Count, n_rows: int) -> dict[str, NDArray[np.float64]]:
    """Return a count as columns of a table of objects, the same numbers in every row."""
    numbers = {"precision": found.precision, "missed": found.missed, "count": found.count}
    columns: dict[str, NDArray[np.float64]] = {}
    for name, one in numbers.items():
        for end, value in {"": one.estimate, "_low": one.low, "_high": one.high}.items():
            columns[f"true_{name}{end}"] = np.full(n_rows, value)
    return columns


__all__ = ["CONFIDENCE", "Count", "Interval", "JudgedSample", "count_columns", "count_of"]
