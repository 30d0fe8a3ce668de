"""Compiled measurements of the convex hull and the median intensity of each object.

This module imports numba and is itself imported only where one of them is asked for.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.compute.compilation import compiled
from napari_unetseg.core.compute.label_kernels import next_run

_compiled: Any = compiled()


@_compiled
def hull_facts(
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    offset: NDArray[np.int64],
    height: float,
    width: float,
) -> Any:
    """Measure the convex hull of each object of a plane.

    Parameters
    ----------
    left, right
        First and last column of each object in each of its rows.
    offset
        (n + 1,): start of the rows of each object.
    height, width
        Physical size of a pixel.

    Returns
    -------
    facts : (n, 3), float64
        Number of pixels whose centre is in the hull, longest and shortest Feret diameter. The hull
        is that of the midpoints of all pixel sides, scikit-image's convention.
    """
    n = len(offset) - 1
    facts = np.zeros((n, 3))
    for k in range(n):
        first, last = offset[k], offset[k + 1]
        if last <= first:
            continue
        # Relative to the object itself, so that its position in the image does not affect rounding.
        start = left[first:last].min()
        hull = _hull(left[first:last] - start, right[first:last] - start)
        facts[k, 0] = _pixels_inside(hull, last - first)
        facts[k, 1], facts[k, 2] = _ferets(hull, height, width)
    return facts


@_compiled
def _hull(left: Any, right: Any) -> Any:
    """Return the vertices of an object's hull in order, (m, 2), as twice their row and column."""
    rows = len(left)
    points = np.empty((8 * rows, 2), dtype=np.int64)
    n = 0
    for y in range(rows):
        if right[y] < left[y]:
            continue
        for x in (left[y], right[y]):
            points[n, 0], points[n, 1] = 2 * y - 1, 2 * x
            points[n + 1, 0], points[n + 1, 1] = 2 * y + 1, 2 * x
            n += 2
        points[n, 0], points[n, 1] = 2 * y, 2 * left[y] - 1
        points[n + 1, 0], points[n + 1, 1] = 2 * y, 2 * right[y] + 1
        n += 2
    points = points[:n]
    order = np.argsort(points[:, 0] * (1 << 32) + points[:, 1])
    # Andrew's monotone chain: the lower half forwards, the upper half backwards.
    chain = np.empty((2 * n + 2, 2), dtype=np.int64)
    m = 0
    for half in range(2):
        floor = m
        for k in range(n):
            p = points[order[k if half == 0 else n - 1 - k]]
            while m - floor >= 2 and _turn(chain[m - 2], chain[m - 1], p) <= 0:
                m -= 1
            chain[m, 0], chain[m, 1] = p[0], p[1]
            m += 1
        m -= 1  # the last point starts the other half
    return chain[:m].copy()


@_compiled
def _turn(a: Any, b: Any, c: Any) -> Any:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


@_compiled
def _pixels_inside(hull: Any, rows: int) -> Any:
    """Count the pixels whose centre is inside the hull or on its edge."""
    total = 0
    m = len(hull)
    for row in range(rows):
        y = 2 * row
        low, high = np.inf, -np.inf
        for k in range(m):
            a, b = hull[k], hull[(k + 1) % m]
            if min(a[0], b[0]) <= y <= max(a[0], b[0]):
                if a[0] == b[0]:
                    low, high = min(low, a[1], b[1]), max(high, a[1], b[1])
                else:
                    x = a[1] + (y - a[0]) * (b[1] - a[1]) / (b[0] - a[0])
                    low, high = min(low, x), max(high, x)
        if high >= low:
            # Twice the columns; differences below a millionth are rounding errors.
            total += int(np.floor(high / 2 + 1e-6) - np.ceil(low / 2 - 1e-6)) + 1
    return total


@_compiled
def _ferets(hull: Any, height: float, width: float) -> Any:
    """Return the longest and the shortest distance between parallel lines enclosing the hull."""
    m = len(hull)
    longest, shortest = 0.0, np.inf
    for k in range(m):
        ay, ax = hull[k, 0] * height / 2, hull[k, 1] * width / 2
        after = (k + 1) % m
        ey, ex = hull[after, 0] * height / 2 - ay, hull[after, 1] * width / 2 - ax
        length = np.sqrt(ey * ey + ex * ex)
        breadth = 0.0
        for j in range(m):
            dy, dx = hull[j, 0] * height / 2 - ay, hull[j, 1] * width / 2 - ax
            longest = max(longest, np.sqrt(dy * dy + dx * dx))
            breadth = max(breadth, abs(ey * dx - ex * dy) / length)
        shortest = min(shortest, breadth)
    return longest, shortest


@_compiled
def medians(
    labels: NDArray[np.int64],
    values: NDArray[np.float64],
    ids: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> Any:
    """Compute the median intensity of each object, ignoring NaN.

    Parameters
    ----------
    labels, values
        (n,): ids and intensities.
    ids, counts
        (m,): sorted ids, and the maximum number of pixels of each.
    """
    begin = np.zeros(len(ids) + 1, dtype=np.int64)
    begin[1:] = np.cumsum(counts)
    held, used = np.empty(begin[-1]), np.zeros(len(ids), dtype=np.int64)
    start, n = 0, len(labels)
    while start < n:
        stop, at = next_run(labels, start, ids)
        if at >= 0:
            for k in range(start, stop):
                if values[k] == values[k] and used[at] < counts[at]:
                    held[begin[at] + used[at]] = values[k]
                    used[at] += 1
        start = stop
    result = np.full(len(ids), np.nan)
    for at in range(len(ids)):
        if used[at]:
            result[at] = np.median(held[begin[at] : begin[at] + used[at]])
    return result


__all__ = [
    "hull_facts",
    "medians",
]
