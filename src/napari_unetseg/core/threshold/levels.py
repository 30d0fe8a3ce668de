"""Automatic threshold levels from a histogram.

A new method is a function here and a name in `ThresholdOptions`; local methods are in
`compare_levels`.

The methods are scikit-image's wherever it accepts a histogram. The triangle method and Li's, which
it computes from pixels only, and multi-Otsu of many levels, for which its search takes too long,
are computed here, with the same results.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.progress import Progress, silent
from napari_unetseg.core.threshold.histogram import (
    BlankError,
    Histogram,
    compute_histogram,
    distinct_values,
    sum_above,
)

AutoMethod = Literal["otsu", "li", "triangle", "yen", "isodata", "minimum", "mean", "multiotsu"]

Side = Literal["bright", "dark"]
"""Whether objects are brighter or darker than the background."""

_MAX_SEARCH = 200_000_000
"""Maximum number of level combinations for scikit-image's multi-Otsu: about half a second."""

_MAX_TABLE = 4096
"""Maximum number of levels for its table of all pairs: 64 MB."""

_MAX_STEPS = 1000

_FEW = 2**18
"""Number of pixels sampled by Li's method for distinct values, before it sorts them all."""


def guess_objects(histogram: Histogram) -> Side:
    """Guess whether objects are brighter or darker than the background.

    Most pixels are background, so the median is its grey level and the objects are the longer tail
    of the histogram: from the median to the 1st or to the 99th percentile.
    """
    low, middle, high = (histogram.quantile(share) for share in (0.01, 0.5, 0.99))
    return "dark" if middle - low > high - middle else "bright"


def automatic_levels(
    image: Image,
    method: AutoMethod,
    *,
    classes: int = 3,
    histogram: Histogram | None = None,
    progress: Progress = silent,
) -> tuple[float, ...]:
    """Compute the level, or levels, that a method sets between background and objects.

    Parameters
    ----------
    image
        All its pixels are pooled; NaN and infinity are ignored.
    method
        Otsu (1979), Li and Lee (1993, 1998), triangle (Zack 1977), Yen (1995), isodata (Ridler
        and Calvard 1978), minimum between two modes (Prewitt and Mendelsohn 1966), mean, or
        Otsu's for several classes (Liao 2001).
    classes
        Number of classes for ``"multiotsu"``, background included.
    histogram
        Histogram of this image, if already computed.

    Returns
    -------
    tuple of float
        Ascending; one level, or one fewer than classes. Equal to scikit-image's; integers over more
        than 65,536 levels are counted in bins, so that theirs are those of the same values as
        floats. Objects are above the level. Booleans are separated by 0.5 whatever the method.

    Raises
    ------
    BlankError
        When all pixels are equal, or none is finite.
    InputError
        When the method finds no level; the message suggests another method.

    Notes
    -----
    Costs one `compute_histogram`. Li's method on floats takes one further pass per step, about ten
    in all.
    """
    if image.dtype == np.bool_ and method != "multiotsu":
        return (0.5,)
    if histogram is None:
        histogram = compute_histogram(image, progress=progress)
    if histogram.constant:
        raise BlankError(
            f"Every pixel has the value {histogram.range[0]:g}, so no level separates them. "
            "Choose another image or channel."
        )
    if method == "multiotsu":
        return _multi_otsu(histogram, classes)
    if method == "li":
        return (_li(image, histogram, progress),)
    return (float(_METHODS[method](histogram)),)


def _skimage(name: str) -> Callable[[Histogram], float]:
    def level(histogram: Histogram) -> float:
        from skimage import filters

        function = getattr(filters, f"threshold_{name}")
        return float(function(hist=(histogram.counts, histogram.centers)))

    return level


def _otsu(histogram: Histogram) -> float:
    """Maximise the variance between the two classes.

    In the order and precision of scikit-image's sums, whose filters take long to import.
    """
    counts, centers = histogram.counts.astype(np.float32), histogram.centers
    below, above = counts.cumsum(), counts[::-1].cumsum()
    sums = counts * centers
    mean_below, mean_above = sums.cumsum() / below, sums[::-1].cumsum() / above
    difference = mean_below[:-1] - mean_above[-2::-1]
    return float(centers[np.argmax(below[:-1] * above[-2::-1] * difference**2)])


def _yen(histogram: Histogram) -> float:
    # The pixels below the last bin can round to a probability of 1, where the logarithm is -inf.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return _skimage("yen")(histogram)


def _isodata(histogram: Histogram) -> float:
    try:
        return _skimage("isodata")(histogram)
    except IndexError as error:
        raise InputError(
            "The isodata method finds no level halfway between the means of the two sides. "
            "Use otsu or li."
        ) from error


def _mean(histogram: Histogram) -> float:
    return histogram.mean


def _minimum(histogram: Histogram) -> float:
    """Smooth the histogram until it has two maxima; return the lowest level between them."""
    from scipy import ndimage

    smooth = histogram.counts.astype(np.float32)
    for _ in range(10_000):
        smooth = ndimage.uniform_filter1d(smooth, 3)
        peaks = _maxima(smooth)
        if len(peaks) < 3:
            break
    if len(peaks) != 2:
        raise InputError(
            "The minimum method needs a histogram of two peaks; this one smooths to "
            f"{len(peaks)}. Use otsu or triangle."
        )
    first, second = peaks
    return float(histogram.centers[first + np.argmin(smooth[first : second + 1])])


def _maxima(curve: NDArray[np.float32]) -> NDArray[np.intp]:
    """Find the maxima of the curve: the right end of each plateau; never the last point."""
    steps = np.sign(np.diff(curve))
    moves = np.flatnonzero(steps)
    directions = np.concatenate(([1.0], steps[moves]))
    peaks: NDArray[np.intp] = moves[(directions[:-1] > 0) & (directions[1:] < 0)]
    return peaks


def _triangle(histogram: Histogram) -> float:
    """Return the level farthest below the line from the peak to the end of the longer tail."""
    counts = histogram.counts
    peak = int(np.argmax(counts))
    last = len(counts) - 1
    longer_right = peak < last - peak
    if longer_right:
        counts, peak = counts[::-1], last - peak
    # The length of the line scales all distances equally; dividing by it, as scikit-image does,
    # makes ties round the same way.
    length = np.sqrt(counts[peak] ** 2 + peak**2)
    rise, run = counts[peak] / length, peak / length
    level = int(np.argmax(rise * np.arange(peak) - run * counts[:peak]))
    return float(histogram.centers[last - level if longer_right else level])


def _multi_otsu(histogram: Histogram, classes: int) -> tuple[float, ...]:
    used = np.count_nonzero(histogram.counts)
    if used < classes:
        raise InputError(
            f"The image has only {used} different grey levels, too few for {classes} classes. "
            "Choose fewer classes."
        )
    n_levels = len(histogram.counts)
    if n_levels <= _MAX_TABLE and math.comb(n_levels, classes - 1) <= _MAX_SEARCH:
        from skimage.filters import threshold_multiotsu

        shares = histogram.counts / histogram.total
        levels = threshold_multiotsu(hist=(shares, histogram.centers), classes=classes)
        return tuple(float(level) for level in levels)
    return _best_levels(histogram, classes)


def _best_levels(histogram: Histogram, classes: int) -> tuple[float, ...]:
    """Find the levels that minimise the variance within classes, by dynamic programming.

    The best cut for one more class never moves left when levels are added on the right, so each row
    of the table takes ``n log n`` steps.
    """
    from napari_unetseg.core.threshold.multiotsu import best_cuts

    used = np.flatnonzero(histogram.counts)
    centers = histogram.centers[used].astype(np.float64)
    cuts = best_cuts(histogram.counts[used].astype(np.float64), centers - centers.mean(), classes)
    return tuple(float(histogram.centers[used[cut]]) for cut in cuts)


def _li(image: Image, histogram: Histogram, progress: Progress) -> float:
    """Iterate Li's minimum cross entropy from the mean.

    As in scikit-image, values count from the lowest, and the iteration ends when a step is shorter
    than half the smallest difference between two values.
    """
    lowest = histogram.range[0]
    mean, number = histogram.mean - lowest, histogram.total
    if histogram.exact:
        sums = _exact_sums(histogram)
        tolerance = 0.5
    else:
        tolerance = _half_step(image, histogram)

        def sums(level: float) -> tuple[float, int]:
            total, count = sum_above(image, level + lowest, progress=progress)
            return total - count * lowest, count

    level, previous = mean, -2 * tolerance
    for _ in range(_MAX_STEPS):
        if abs(level - previous) <= tolerance:
            break
        previous = level
        total, count = sums(level)
        below = (mean * number - total) / (number - count)
        if below <= 0 or count == 0:
            break
        fore = total / count
        level = (below - fore) / (np.log(below) - np.log(fore))
    return float(level + lowest)


def _exact_sums(histogram: Histogram) -> Callable[[float], tuple[float, int]]:
    levels = histogram.centers - histogram.centers[0]
    counts = np.append(np.cumsum(histogram.counts[::-1])[::-1], 0)
    sums = np.append(np.cumsum((histogram.counts * levels)[::-1])[::-1], 0)

    def above(level: float) -> tuple[float, int]:
        first = int(np.searchsorted(levels, level, side="right"))
        return float(sums[first]), int(counts[first])

    return above


def _half_step(image: Image, histogram: Histogram) -> float:
    """Return half the smallest difference between two values.

    When a sample already has very many distinct values, the smallest difference is negligible and
    the sample's is used; only images with few values, such as converted 8-bit images, make long
    steps.
    """
    if image.dtype.kind in "iu":
        return 0.5
    stride = max(1, round(math.sqrt(math.prod(image.shape) / _FEW)))
    some = tuple(slice(None, None, stride if axis in "YX" else 1) for axis in image.axes)
    values = distinct_values(image.data[some])
    if stride > 1 and len(values) < _FEW // 8:
        values = distinct_values(image)
    return float(np.diff(values).min()) / 2


_METHODS: dict[str, Callable[[Histogram], float]] = {
    "otsu": _otsu,
    "triangle": _triangle,
    "yen": _yen,
    "isodata": _isodata,
    "minimum": _minimum,
    "mean": _mean,
}

__all__ = ["AutoMethod", "Side", "automatic_levels", "guess_objects"]
