"""Compiled passes over labels: overlapping ids, and painting.

All work on runs: stretches of pixels of one id along a row, so that an id is looked up once per
run. This module imports numba and is itself imported only to compare labels.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.compute.compilation import compiled

_compiled: Any = compiled()

# Odd constants with well-mixed bits, so that neighbouring ids hash to distant slots.
_MIX_A = np.uint64(0x9E3779B97F4A7C15)
_MIX_B = np.uint64(0xC2B2AE3D27D4EB4F)
_FIRST_SIZE = 1024


@_compiled
def count_pairs(first: NDArray[np.int64], second: NDArray[np.int64]) -> Any:
    """Count the pixels of each pair of overlapping ids.

    Parameters
    ----------
    first, second
        (n,), int64, contiguous.

    Returns
    -------
    pairs : (m, 3), int64
        Id in `first`, id in `second`, number of pixels; unordered.
    """
    table = np.zeros((_FIRST_SIZE, 3), dtype=np.int64)
    used = 0
    start, n = 0, len(first)
    while start < n:
        a, b = first[start], second[start]
        stop = start + 1
        while stop < n and first[stop] == a and second[stop] == b:
            stop += 1
        at = _slot(table, a, b)
        if table[at, 2] == 0:
            table[at, 0], table[at, 1] = a, b
            used += 1
        table[at, 2] += stop - start
        if 2 * used > len(table):
            table = _grown(table)
        start = stop
    return table[table[:, 2] > 0]


@_compiled
def _slot(table: Any, a: Any, b: Any) -> Any:
    """Find the slot of a pair in the hash table, or the empty slot for it."""
    mask = np.uint64(len(table) - 1)
    mixed = np.uint64(a) * _MIX_A ^ np.uint64(b) * _MIX_B
    at = (mixed ^ (mixed >> np.uint64(29))) & mask
    while table[at, 2] > 0 and (table[at, 0] != a or table[at, 1] != b):
        at = (at + np.uint64(1)) & mask
    return at


@_compiled
def _grown(table: Any) -> Any:
    larger = np.zeros((4 * len(table), 3), dtype=np.int64)
    for k in range(len(table)):
        if table[k, 2] > 0:
            larger[_slot(larger, table[k, 0], table[k, 1])] = table[k]
    return larger


@_compiled
def next_run(row: Any, start: Any, ids: Any) -> Any:
    """Return the end of the run of one id that starts in a row, and the index of the id.

    Parameters
    ----------
    row
        (columns,): ids.
    start
        First column of the run.
    ids
        (n,), sorted.

    Returns
    -------
    stop
        Column after the last of the run.
    at
        Index in `ids`; -1 for background and for an id that is not in it.
    """
    own, stop = row[start], start + 1
    while stop < row.size and row[stop] == own:
        stop += 1
    if own == 0:
        return stop, -1
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) // 2
        if ids[middle] < own:
            low = middle + 1
        else:
            high = middle
    return stop, low if low < len(ids) and ids[low] == own else -1


@_compiled
def paint_ids(
    labels: NDArray[np.int64],
    ids: NDArray[np.int64],
    colours: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> None:
    """Write the larger of each object's colour and the current value.

    Parameters
    ----------
    labels
        (n,), int64; ids that are not in `ids` leave `out` unchanged.
    ids, colours
        (m,): sorted ids and the value to paint each with.
    out
        (n,), uint8; written to.
    """
    start, n = 0, len(labels)
    while start < n:
        stop, at = next_run(labels, start, ids)
        if at >= 0:
            for k in range(start, stop):
                out[k] = max(out[k], colours[at])
        start = stop


__all__ = ["count_pairs", "next_run", "paint_ids"]
