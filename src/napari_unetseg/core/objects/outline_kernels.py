"""Compiled tracing of object outlines along the edges of pixels.

This module imports numba and is itself imported only for outlines.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.compute.compilation import compiled

_compiled: Any = compiled()


@_compiled
def trace(plane: NDArray[np.int64]) -> Any:
    """Trace every ring of pixel edges around or within the objects of a plane.

    Parameters
    ----------
    plane
        (Y, X), int64, 0 for background.

    Returns
    -------
    ids : (n,), int64
        Id of the object of each ring.
    seeds : (n, 2), int64
        Row and column of a pixel of the object next to the ring.
    offset : (n + 1,), int64
        Start of each ring in `corners`.
    corners : (m, 2), int64
        Row and column of the corners, in pixel edges: the first pixel spans 0 to 1. The object is
        on the right of the path, so outer rings run clockwise with rows downward.

    Notes
    -----
    Where pixels meet at a corner only, the path stays with its own pixel, so rings never cross.
    """
    height, width = plane.shape
    done = np.zeros((height, width), dtype=np.bool_)  # upper edges already traced
    ids, seeds = np.empty(64, dtype=np.int64), np.empty((64, 2), dtype=np.int64)
    offset, corners = np.zeros(65, dtype=np.int64), np.empty((1024, 2), dtype=np.int64)
    rings, m = 0, 0
    for row in range(height):
        for column in range(width):
            own = plane[row, column]
            upper_edge = own != 0 and (row == 0 or plane[row - 1, column] != own)
            if not upper_edge or done[row, column]:
                continue
            y, x, direction = row, column, 0
            while True:
                if direction == 0:
                    done[y, x] = True
                y, x = _ahead(y, x, direction)
                right, left = _sides(plane, own, y, x, direction)
                turn = 1 if not right else 3 if left else 0
                if turn:
                    if m == len(corners):
                        corners = _longer(corners)
                    corners[m, 0], corners[m, 1] = y, x
                    m += 1
                    direction = (direction + turn) % 4
                if y == row and x == column and direction == 0:
                    break
            if rings == len(ids):
                ids, offset = _longer_row(ids, 0), _longer_row(offset, 1)
                seeds = _longer(seeds)
            ids[rings], seeds[rings, 0], seeds[rings, 1] = own, row, column
            rings += 1
            offset[rings] = m
    return ids[:rings], seeds[:rings], offset[: rings + 1], corners[:m]


@_compiled
def _ahead(y: Any, x: Any, direction: Any) -> Any:
    """Return the next corner to the right, down, left or up."""
    if direction == 0:
        return y, x + 1
    if direction == 1:
        return y + 1, x
    if direction == 2:
        return y, x - 1
    return y - 1, x


@_compiled
def _sides(plane: Any, own: Any, y: Any, x: Any, direction: Any) -> Any:
    """Return whether the pixels ahead on the right and on the left belong to the object."""
    if direction == 0:
        return _is(plane, own, y, x), _is(plane, own, y - 1, x)
    if direction == 1:
        return _is(plane, own, y, x - 1), _is(plane, own, y, x)
    if direction == 2:
        return _is(plane, own, y - 1, x - 1), _is(plane, own, y, x - 1)
    return _is(plane, own, y - 1, x), _is(plane, own, y - 1, x - 1)


@_compiled
def _is(plane: Any, own: Any, y: Any, x: Any) -> Any:
    return 0 <= y < plane.shape[0] and 0 <= x < plane.shape[1] and plane[y, x] == own


@_compiled
def _longer(pairs: Any) -> Any:
    grown = np.empty((2 * len(pairs), 2), dtype=np.int64)
    grown[: len(pairs)] = pairs
    return grown


@_compiled
def _longer_row(row: Any, more: int) -> Any:
    grown = np.zeros(2 * (len(row) - more) + more, dtype=np.int64)
    grown[: len(row)] = row
    return grown


__all__ = ["trace"]
