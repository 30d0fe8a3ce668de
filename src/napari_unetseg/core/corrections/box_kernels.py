"""Compiled passes over labels to find the boxes of objects.

All work on runs: stretches of pixels of one id along a row. This module imports numba and is itself
imported only for large labels.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.compute.compilation import compiled

_compiled: Any = compiled()

# An odd constant with well-mixed bits, so that neighbouring ids hash to distant slots.
_MIX = np.uint64(0x9E3779B97F4A7C15)
_FIRST_SIZE = 1024


@_compiled
def find_rows(rows: NDArray[Any], first_row: int) -> Any:
    """Find the box of every object in a range of rows.

    Parameters
    ----------
    rows
        (rows, columns): ids; 0 is background.
    first_row
        Index of the first row.

    Returns
    -------
    found : (n, 6), int64
        Id, first row and column, the ones after the last, number of pixels; unordered.
    """
    table = np.zeros((_FIRST_SIZE, 6), dtype=np.int64)
    used = 0
    for y in range(rows.shape[0]):
        start = 0
        while start < rows.shape[1]:
            number = rows[y, start]
            stop = start + 1
            while stop < rows.shape[1] and rows[y, stop] == number:
                stop += 1
            if number != 0:
                at = _slot(table, np.int64(number))
                entry = table[at]
                if entry[5] == 0:
                    used += 1
                    entry[0], entry[1], entry[2], entry[4] = number, first_row + y, start, stop
                entry[2], entry[4] = min(entry[2], start), max(entry[4], stop)
                entry[3] = first_row + y + 1
                entry[5] += stop - start
                if 2 * used > len(table):
                    table = _grown(table)
            start = stop
    return table[table[:, 5] > 0]


@_compiled
def _slot(table: Any, number: Any) -> Any:
    """Find the slot of an object in the hash table, or the empty slot for it."""
    mask = np.uint64(len(table) - 1)
    mixed = np.uint64(number) * _MIX
    at = (mixed ^ (mixed >> np.uint64(29))) & mask
    while table[at, 5] > 0 and table[at, 0] != number:
        at = (at + np.uint64(1)) & mask
    return at


@_compiled
def _grown(table: Any) -> Any:
    larger = np.zeros((4 * len(table), 6), dtype=np.int64)
    for k in range(len(table)):
        if table[k, 5] > 0:
            larger[_slot(larger, table[k, 0])] = table[k]
    return larger


__all__ = ["find_rows"]
