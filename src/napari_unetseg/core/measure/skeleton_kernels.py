"""Compiled graph of a skeleton: neighbours, spurs, branches and their lengths.

This module imports numba and is itself imported only when skeletons are measured.
"""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.compute.compilation import compiled

_compiled: Any = compiled()

STEPS: NDArray[np.int64] = np.array(
    [step for step in itertools.product((-1, 0, 1), repeat=3) if any(step)], dtype=np.int64
)
"""(26, 3): steps from a pixel to all its neighbours."""

# Paths are smoothed by the mean of this many pixels to each side, fewer near the ends: a path of
# pixels is a staircase, up to a twelfth longer than the curve it represents.
_SMOOTH = 2


@_compiled
def skeleton_facts(
    pixels: NDArray[np.int64], steps: NDArray[np.int64], spacing: NDArray[np.float64], spurs: float
) -> Any:
    """Measure the graph of a skeleton.

    Parameters
    ----------
    pixels
        (n, 3): plane, row and column of each, from 1.
    steps
        `STEPS`.
    spacing
        (3,): physical size of a pixel.
    spurs
        End branches up to this length are removed, the shortest of a branch point first.

    Returns
    -------
    length, branches, ends, forks
        Adjacent branch points count as one.
    """
    near = _neighbours(pixels, steps)
    alive = np.ones(len(pixels), dtype=np.bool_)
    if spurs > 0:
        while _drop_spurs(pixels, near, alive, spacing, spurs):
            pass
    return _counted(pixels, near, alive, spacing)


@_compiled
def _neighbours(pixels: Any, steps: Any) -> Any:
    """Return the neighbours of each pixel, (n, 26), -1 for none.

    A diagonal is left out where a path of shorter steps connects the same pixels, to avoid
    triangles.
    """
    n = len(pixels)
    depth, height, width = pixels[:, 0].max() + 2, pixels[:, 1].max() + 2, pixels[:, 2].max() + 2
    index = np.full((depth, height, width), -1, dtype=np.int64)
    for k in range(n):
        index[pixels[k, 0], pixels[k, 1], pixels[k, 2]] = k
    near = np.full((n, 26), -1, dtype=np.int64)
    for k in range(n):
        for s in range(26):
            step = steps[s]
            other = index[pixels[k, 0] + step[0], pixels[k, 1] + step[1], pixels[k, 2] + step[2]]
            if other < 0:
                continue
            sides = np.abs(step).sum()
            direct = True
            for t in range(26):
                rest = step - steps[t]
                if (
                    np.abs(steps[t]).sum() < sides
                    and np.abs(rest).max() == 1
                    and np.abs(rest).sum() < sides
                    and index[
                        pixels[k, 0] + steps[t, 0],
                        pixels[k, 1] + steps[t, 1],
                        pixels[k, 2] + steps[t, 2],
                    ]
                    >= 0
                ):
                    direct = False
                    break
            if direct:
                near[k, s] = other
    return near


@_compiled
def _degree(near: Any, alive: Any, k: Any) -> Any:
    count = 0
    for s in range(26):
        if near[k, s] >= 0 and alive[near[k, s]]:
            count += 1
    return count


@_compiled
def _next(near: Any, alive: Any, k: Any, before: Any) -> Any:
    """Return the neighbour of `k` that is not `before`, or -1."""
    for s in range(26):
        other = near[k, s]
        if other >= 0 and other != before and alive[other]:
            return other
    return -1


@_compiled
def _drop_spurs(pixels: Any, near: Any, alive: Any, spacing: Any, spurs: float) -> Any:
    """Remove the shortest spur of every branch point; return whether any was removed."""
    n = len(pixels)
    shortest = np.full(n, np.inf)
    whose = np.full(n, -1, dtype=np.int64)
    for k in range(n):
        if not alive[k] or _degree(near, alive, k) != 1:
            continue
        length, before, at = 0.0, k, _next(near, alive, k, k)
        length += _distance(pixels, spacing, before, at)
        while _degree(near, alive, at) == 2 and length <= spurs:
            before, at = at, _next(near, alive, at, before)
            length += _distance(pixels, spacing, before, at)
        if length <= spurs and _degree(near, alive, at) > 2 and length < shortest[at]:
            shortest[at], whose[at] = length, k
    dropped = False
    for fork in range(n):
        before, at = -1, whose[fork]
        while at >= 0 and at != fork:
            following = _next(near, alive, at, before)
            alive[at] = False
            before, at = at, following
            dropped = True
    return dropped


@_compiled
def _distance(pixels: Any, spacing: Any, a: Any, b: Any) -> Any:
    total = 0.0
    for axis in range(3):
        total += ((pixels[a, axis] - pixels[b, axis]) * spacing[axis]) ** 2
    return np.sqrt(total)


@_compiled
def _counted(pixels: Any, near: Any, alive: Any, spacing: Any) -> Any:
    n = len(pixels)
    degree = np.zeros(n, dtype=np.int64)
    for k in range(n):
        if alive[k]:
            degree[k] = _degree(near, alive, k)
    seen = np.zeros(n, dtype=np.bool_)
    path = np.empty(n + 1, dtype=np.int64)
    length, branches, ends = 0.0, 0, 0
    for k in range(n):
        if not alive[k] or degree[k] == 2 or degree[k] == 0:
            continue
        ends += degree[k] == 1
        for s in range(26):
            other = near[k, s]
            if other < 0 or not alive[other]:
                continue
            if degree[other] != 2:
                if k < other:
                    length += _distance(pixels, spacing, k, other)
                    # Two pixels of one branch point do not form a branch.
                    branches += not (degree[k] > 2 and degree[other] > 2)
                continue
            if seen[other]:
                continue
            m = _walk(near, alive, degree, seen, k, other, path)
            length += _length(pixels, spacing, path[:m], False)
            branches += 1
    for k in range(n):  # only rings remain
        if alive[k] and degree[k] == 2 and not seen[k]:
            seen[k] = True
            m = _walk(near, alive, degree, seen, k, _next(near, alive, k, k), path)
            length += _length(pixels, spacing, path[: m - 1], True)
            branches += 1
    return length, branches, ends, _clusters(near, alive, degree)


@_compiled
def _walk(near: Any, alive: Any, degree: Any, seen: Any, first: Any, second: Any, path: Any) -> Any:
    """Write the path from `first` over `second` to the next node, or back to `first`."""
    path[0] = first
    m, before, at = 1, first, second
    while degree[at] == 2 and at != first:
        path[m] = at
        m += 1
        seen[at] = True
        following = _next(near, alive, at, before)
        before, at = at, following
    path[m] = at
    return m + 1


@_compiled
def _length(pixels: Any, spacing: Any, path: Any, closed: bool) -> Any:
    """Return the length of a smoothed path of pixels."""
    m = len(path)
    smooth = np.zeros((m, 3))
    for k in range(m):
        half = min(_SMOOTH, (m - 1) // 2) if closed else min(_SMOOTH, k, m - 1 - k)
        for j in range(k - half, k + half + 1):
            for axis in range(3):
                smooth[k, axis] += pixels[path[j % m], axis] * spacing[axis] / (2 * half + 1)
    total = 0.0
    for k in range(m if closed else m - 1):
        after = (k + 1) % m
        total += np.sqrt(((smooth[after] - smooth[k]) ** 2).sum())
    return total


@_compiled
def _clusters(near: Any, alive: Any, degree: Any) -> Any:
    """Count the branch points; adjacent ones count as one."""
    seen = np.zeros(len(degree), dtype=np.bool_)
    waiting = np.empty(len(degree), dtype=np.int64)
    count = 0
    for k in range(len(degree)):
        if degree[k] <= 2 or seen[k]:
            continue
        count += 1
        seen[k] = True
        waiting[0], m = k, 1
        while m > 0:
            m -= 1
            at = waiting[m]
            for s in range(26):
                other = near[at, s]
                if other >= 0 and alive[other] and degree[other] > 2 and not seen[other]:
                    seen[other] = True
                    waiting[m] = other
                    m += 1
    return count


__all__ = ["STEPS", "skeleton_facts"]
