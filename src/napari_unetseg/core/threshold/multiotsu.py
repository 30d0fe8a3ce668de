"""Multi-Otsu levels, exact, for histograms of any length.

This module imports numba and is itself imported only for histograms that are too long to try all
combinations of levels.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.compute.compilation import compiled

_compiled: Any = compiled()


def best_cuts(
    counts: NDArray[np.float64], centers: NDArray[np.float64], classes: int
) -> NDArray[np.intp]:
    """Compute the last bin of every class but the highest.

    Parameters
    ----------
    counts, centers
        (n,): the number of pixels at each level, and the levels, ascending; counts are positive.
    classes
        At most n.

    Returns
    -------
    array (classes - 1,)
        Ascending. They maximise the variance between the classes.

    Notes
    -----
    Dynamic programming over the last cut, ``O(classes n log n)``: the best last cut moves right
    when bins are added on the right, since the criterion satisfies the quadrangle inequality.
    """
    mass = np.concatenate(([0.0], np.cumsum(counts)))
    moment = np.concatenate(([0.0], np.cumsum(counts * centers)))
    n = len(counts)
    best = np.full(n + 1, -np.inf)
    best[1:] = moment[1:] ** 2 / mass[1:]
    choices = np.zeros((classes, n + 1), np.int64)
    for number in range(2, classes + 1):
        best = _add_class(mass, moment, best, number, choices[number - 1])
    cuts = np.empty(classes - 1, np.intp)
    end = n
    for number in range(classes, 1, -1):
        end = choices[number - 1, end]
        cuts[number - 2] = end - 1
    return cuts


@_compiled
def _add_class(
    mass: NDArray[np.float64],
    moment: NDArray[np.float64],
    before: NDArray[np.float64],
    number: int,
    choice: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Compute the best criterion of the first bins in `number` classes, from that in one fewer.

    Parameters
    ----------
    before
        (n + 1,): best criterion of the first k bins in ``number - 1`` classes.
    choice
        (n + 1,), written: how many of the first k bins belong to the lower classes.
    """
    n = mass.size - 1
    after = np.full(n + 1, -np.inf)
    stack = [(number, n, number - 1, n - 1)]
    while len(stack) > 0:
        first, last, least, most = stack.pop()
        if first > last:
            continue
        middle = (first + last) // 2
        for cut in range(least, min(most, middle - 1) + 1):
            within = moment[middle] - moment[cut]
            value = before[cut] + within * within / (mass[middle] - mass[cut])
            if value > after[middle]:
                after[middle] = value
                choice[middle] = cut
        stack.append((first, middle - 1, least, choice[middle]))
        stack.append((middle + 1, last, choice[middle], most))
    return after


__all__ = ["best_cuts"]
