"""Sums over the pixels of labelled objects, by runs: stretches of one id along a row.

numpy alone finds the runs and adds them up, so that measuring does not wait for numba to load.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Numbers = NDArray[np.float64]

# Columns of the sums of position: number, then z, y, x, then their products.
N, Z, Y, X, ZZ, YY, XX, ZY, ZX, YX = range(10)


@dataclass(frozen=True, eq=False)
class LabelRuns:
    """Runs of objects in some rows, in order.

    Parameters
    ----------
    at
        (n,): index of each run's object in the ids; -1 for one that is not among them.
    row, start, length
        (n,): its row, its first column and its number of pixels.
    """

    at: Ids
    row: Ids
    start: Ids
    length: Ids


def label_runs(rows: NDArray[Any], ids: Ids) -> LabelRuns:
    """Find the runs of objects in rows of labels.

    Parameters
    ----------
    rows
        (rows, columns): ids; 0 is background.
    ids
        (n,), sorted.
    """
    begin = _begins(rows)
    own, length = rows.reshape(-1)[begin], np.diff(begin, append=rows.size)
    kept = own != 0
    row, start = np.divmod(begin[kept], rows.shape[1])
    return LabelRuns(_indices(own[kept], ids), row, start, length[kept])


def ids_of_rows(rows: NDArray[Any]) -> Ids:
    """Return the ids in rows of labels, sorted, with 0 where there is background."""
    return np.unique(rows.reshape(-1)[_begins(rows)])


def add_positions(
    runs: LabelRuns,
    plane: int,
    first_row: int,
    origin: Ids,
    sums: Numbers,
    low: Ids,
    high: Ids,
) -> None:
    """Add the pixels of some rows to the sums, second moments and box of each object.

    Parameters
    ----------
    runs
        Of the rows.
    plane, first_row
        Position of the rows.
    origin
        (n, 3): the first pixel of each object that was seen, which the sums are relative to, so
        that second moments lose no digits far from the corner of a large image.
    sums
        (n, 10): see `N` to `YX`; added to.
    low, high
        (n, 3): smallest and largest plane, row and column; widened.
    """
    known = runs.at >= 0
    at, length = runs.at[known], runs.length[known]
    first = np.stack([np.full_like(at, plane), runs.row[known] + first_row, runs.start[known]], 1)
    last = first + np.stack([0 * at, 0 * at, length - 1], 1)
    # Of the runs of an object, the first is written last.
    new = np.flatnonzero(sums[at, N] == 0)[::-1]
    origin[at[new]] = first[new]
    n = length.astype(np.float64)
    z, y, x = ((first + last) / 2 - origin[at]).T
    inside = (n * n - 1) / 12
    each = (n, n * z, n * y, n * x, n * z * z, n * y * y, n * (x * x + inside))
    for column, numbers in enumerate((*each, n * z * y, n * z * x, n * y * x)):
        np.add.at(sums[:, column], at, numbers)
    for axis in range(3):
        np.minimum.at(low[:, axis], at, first[:, axis])
        np.maximum.at(high[:, axis], at, last[:, axis])


def add_values(
    runs: LabelRuns, rows: NDArray[Any], values: Numbers, sums: Numbers, low: Numbers, high: Numbers
) -> None:
    """Add the intensities of some rows to the sums of each object, ignoring NaN.

    Parameters
    ----------
    runs, rows
        The ids, and their runs.
    values
        (rows, columns): intensities.
    sums
        (n, 4): count, the first value, and the sums of differences from it and of their squares;
        added to.
    low, high
        (n,): widened.
    """
    inside, run = values[rows != 0], np.repeat(np.arange(len(runs.at)), runs.length)
    counted = (runs.at >= 0)[run] & ~np.isnan(inside)
    inside, run = inside[counted], run[counted]
    # Summed run by run, so that the rounding does not depend on how rows are grouped.
    begin = np.flatnonzero(np.diff(run, prepend=-1))
    if not len(begin):
        return
    at, length = runs.at[run[begin]], np.diff(begin, append=len(run))
    new = np.flatnonzero(sums[at, 0] == 0)[::-1]
    sums[at[new], 1] = inside[begin[new]]
    np.minimum.at(low, at, np.minimum.reduceat(inside, begin))
    np.maximum.at(high, at, np.maximum.reduceat(inside, begin))
    with np.errstate(invalid="ignore", over="ignore"):
        inside -= np.repeat(sums[at, 1], length)
        np.add.at(sums[:, 0], at, length.astype(np.float64))
        np.add.at(sums[:, 2], at, np.add.reduceat(inside, begin))
        np.add.at(sums[:, 3], at, np.add.reduceat(inside * inside, begin))


def add_crossings(slab: Ids, ids: Ids, steps: Ids, crossings: Numbers) -> None:
    """Count how often lines along given directions cross the boundary of each object.

    Parameters
    ----------
    slab
        (planes, rows + 2, columns): the rows of the middle plane, with the row before and after
        and, for a volume, the planes before and after; 0 outside the image.
    ids
        (n,), sorted.
    steps
        (k, 3): directions as steps in z, y and x, without their opposites.
    crossings
        (n, k): added to.
    """
    around = np.pad(slab, ((0, 0), (0, 0), (1, 1)))
    middle, n_rows, n_columns = len(slab) // 2, slab.shape[1] - 2, slab.shape[2]
    own = slab[middle, 1:-1]
    for k, step in enumerate(steps):
        for z, y, x in (step, -step):
            rows, columns = slice(1 + y, 1 + y + n_rows), slice(1 + x, 1 + x + n_columns)
            edge = own[own != around[middle + z, rows, columns]]
            at = _indices(edge[edge != 0], ids)
            crossings[:, k] += np.bincount(at[at >= 0], minlength=len(ids))


def _begins(rows: NDArray[Any]) -> Ids:
    """Return where in the flattened rows each run of one id, or of background, begins."""
    new = np.ones(rows.shape, np.bool_)
    np.not_equal(rows[:, 1:], rows[:, :-1], out=new[:, 1:])
    return np.flatnonzero(new)


def _indices(values: NDArray[Any], ids: Ids) -> Ids:
    """Return the index of each value in sorted ids; -1 for one that is not among them."""
    if not len(ids):
        return np.full(len(values), -1)
    at = np.minimum(np.searchsorted(ids, values), len(ids) - 1)
    return np.where(ids[at] == values, at, -1)


__all__ = [
    "LabelRuns",
    "add_crossings",
    "add_positions",
    "add_values",
    "ids_of_rows",
    "label_runs",
]
