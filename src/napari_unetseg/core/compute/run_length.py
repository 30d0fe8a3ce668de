"""Run-length encoding of masks: connected components computed on runs instead of pixels.

A mask of thousands of objects has millions of pixels but only some ten thousand runs, stretches of
object pixels along a row. Holes, sizes, border contact and labels all follow from which runs touch,
so a mask is read once, everything is computed on runs, and the result is painted once. Runs are
joined with a union-find whose roots are the earliest runs, which numbers components by their first
pixel, as scikit-image does.

Masks are (Y, X) or (Z, Y, X). This module imports numba and is itself imported only to process a
mask.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.compute.compilation import compiled
from napari_unetseg.core.compute.parallel_rows import map_strips, strips
from napari_unetseg.core.compute.union_find import find_root

Array = NDArray[Any]

_compiled: Any = compiled()


@dataclass(frozen=True, eq=False)
class Runs:
    """Run-length encoding of a mask, row by row.

    Parameters
    ----------
    shape
        Shape of the mask, (Y, X) or (Z, Y, X).
    offsets
        (rows + 1,), int64: the runs of row r are those from ``offsets[r]`` to ``offsets[r + 1]``.
        The rows of a stack follow each other plane by plane.
    starts, stops
        (n,), int32: first column of each run and the column after its last. Runs of a row are in
        order and do not touch.
    """

    shape: tuple[int, ...]
    offsets: NDArray[np.int64]
    starts: NDArray[np.int32]
    stops: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def n_rows(self) -> int:
        """Number of rows in all planes."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Number of pixels in each run."""
        return self.stops - self.starts


@dataclass(frozen=True, eq=False)
class Components:
    """Connected components of runs.

    Parameters
    ----------
    runs
        The runs of the mask.
    ids
        (n,), int32: component of each run, from 0, in the order of their first pixels.
    number
        Number of components.
    """

    runs: Runs
    ids: NDArray[np.int32]
    number: int

    def sizes(self) -> NDArray[np.int64]:
        """Return the number of pixels of each component."""
        return np.bincount(self.ids, self.runs.lengths, self.number).astype(np.int64)

    def touch_border(self) -> NDArray[np.bool_]:
        """Return a mask of the components that touch the border of the image or stack."""
        touches = np.zeros(self.number, dtype=np.bool_)
        _mark_border(self.ids, *_arrays(self.runs), *_volume(self.runs.shape), touches)
        return touches

    def contain(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return a mask of the components with a pixel in `mask`."""
        contains = np.zeros(self.number, dtype=np.bool_)
        _mark_contained(self.ids, *_arrays(self.runs), _rows(mask), contains)
        return contains

    def keep(self, wanted: NDArray[np.bool_]) -> "Components":
        """Select components, renumbered in the same order."""
        keep_runs = wanted[self.ids]
        runs = _select(self.runs, keep_runs)
        renumbered = np.cumsum(wanted, dtype=np.int32) - np.int32(1)
        return Components(runs, renumbered[self.ids[keep_runs]], int(wanted.sum()))


def encode_runs(mask: Array) -> Runs:
    """Encode the nonzero pixels of a 2D or 3D mask as runs."""
    rows = _rows(mask)
    n_rows = len(rows)
    counts = np.zeros(n_rows + 1, dtype=np.int64)
    map_strips(lambda a, b: _count(rows, counts, a, b), n_rows)
    offsets = np.cumsum(counts)
    starts = np.empty(offsets[-1], dtype=np.int32)
    stops = np.empty(offsets[-1], dtype=np.int32)
    map_strips(lambda a, b: _extract(rows, offsets, starts, stops, a, b), n_rows)
    return Runs(mask.shape, offsets, starts, stops)


def components(runs: Runs, *, full: bool = True) -> Components:
    """Join touching runs into connected components.

    Parameters
    ----------
    full
        Whether pixels that meet at an edge or a corner are connected too (8 neighbours, 26 in 3D),
        or only those that share a side (4, 6).
    """
    parent = np.arange(len(runs), dtype=np.int32)
    n_planes, height, _ = _volume(runs.shape)
    # Strips of whole planes where there are several, so that few neighbours are in other strips.
    step = None if n_planes == 1 else height * max(1, math.ceil(n_planes / 32))
    arrays = _arrays(runs)
    map_strips(
        lambda a, b: _link(parent, *arrays, height, full, a, b, a, True), runs.n_rows, rows=step
    )
    # Earlier neighbours are up to a row back; in a stack, up to a plane and a row.
    reach = 1 if n_planes == 1 else height + 1
    for first, last in strips(runs.n_rows, rows=step)[1:]:
        _link(parent, *arrays, height, full, first, min(first + reach, last), first, False)
    ids = np.empty(len(runs), dtype=np.int32)
    return Components(runs, ids, int(_number(parent, ids)))


def fill_holes_of_runs(runs: Runs) -> Runs:
    """Fill the holes of the runs.

    A hole is background without a path of pixels sharing sides to the border.
    """
    gaps = _gaps(runs)
    background = components(gaps, full=False)
    holes = ~background.touch_border()[background.ids]
    if not holes.any():
        return runs
    counts = np.zeros(runs.n_rows + 1, dtype=np.int64)
    counts[1:] = np.diff(runs.offsets) - _per_row(holes, gaps.offsets)
    offsets = np.cumsum(counts)
    starts = np.empty(offsets[-1], dtype=np.int32)
    stops = np.empty(offsets[-1], dtype=np.int32)
    _close(*_arrays(runs), holes, offsets, starts, stops)
    return Runs(runs.shape, offsets, starts, stops)


def paint_runs(runs: Runs, values: Array, out: Array | None = None) -> Array:
    """Paint the value of every run on its pixels, 0 elsewhere.

    Parameters
    ----------
    values
        (n,): value of each run, of the dtype of the result.
    out
        Contiguous output array of the shape of the mask, overwritten.
    """
    if out is None:
        out = np.empty(runs.shape, dtype=values.dtype)
    rows = out.reshape(runs.n_rows, runs.shape[-1])
    map_strips(lambda a, b: _paint(*_arrays(runs), values, rows, a, b), runs.n_rows)
    return out


def _rows(mask: Array) -> Array:
    """Return the mask as rows of 0 and 1, read-only."""
    bits = mask if mask.dtype == np.bool_ else mask != 0
    rows = np.ascontiguousarray(bits).view(np.uint8).reshape(-1, mask.shape[-1]).view()
    rows.flags.writeable = False
    return rows


def _volume(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return (shape[0] if len(shape) == 3 else 1), shape[-2], shape[-1]


def _arrays(runs: Runs) -> tuple[Array, Array, Array]:
    return runs.offsets, runs.starts, runs.stops


def _per_row(chosen: NDArray[np.bool_], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    before = np.concatenate(([0], np.cumsum(chosen, dtype=np.int64)))
    return np.diff(before[offsets])


def _select(runs: Runs, wanted: NDArray[np.bool_]) -> Runs:
    offsets = np.concatenate(([0], np.cumsum(_per_row(wanted, runs.offsets))))
    return Runs(runs.shape, offsets, runs.starts[wanted], runs.stops[wanted])


def _gaps(runs: Runs) -> Runs:
    """Return the runs of the background: one more per row than of objects, some empty.

    Gap k of a row is before its run k. Empty gaps lie on the border and touch nothing.
    """
    rows = np.arange(runs.n_rows + 1)
    offsets = runs.offsets + rows
    starts = np.zeros(offsets[-1], dtype=np.int32)
    stops = np.full(offsets[-1], runs.shape[-1], dtype=np.int32)
    before = np.arange(len(runs)) + np.repeat(rows[:-1], np.diff(runs.offsets))
    stops[before] = runs.starts
    starts[before + 1] = runs.stops
    return Runs(runs.shape, offsets, starts, stops)


@_compiled
def _count(rows: Array, counts: Array, start: int, stop: int) -> None:
    """Set ``counts[r + 1]`` to the number of runs of row r."""
    for r in range(start, stop):
        row = rows[r]
        n = np.int64(row[0])
        for x in range(1, row.size):
            n += (row[x] > row[x - 1]) & 1
        counts[r + 1] = n


@_compiled
def _extract(
    rows: Array, offsets: Array, starts: Array, stops: Array, start: int, stop: int
) -> None:
    width = rows.shape[1]
    changes = np.empty(width + 2, np.int32)
    for r in range(start, stop):
        row = rows[r]
        # Every column is written, but the position advances only where the mask changes: no branch
        # to mispredict.
        n = 0
        before = np.uint8(0)
        for x in range(width):
            changes[n] = x
            n += row[x] ^ before
            before = row[x]
        changes[n] = width
        first = offsets[r]
        for k in range(offsets[r + 1] - first):
            starts[first + k] = changes[2 * k]
            stops[first + k] = changes[2 * k + 1]


@_compiled
def _join_rows(
    parent: Array, offsets: Array, starts: Array, stops: Array, one: int, other: int, reach: int
) -> None:
    """Join the runs of two rows that overlap, or come within `reach` columns of it."""
    a, a_end = offsets[one], offsets[one + 1]
    b, b_end = offsets[other], offsets[other + 1]
    while a < a_end and b < b_end:
        if starts[a] < stops[b] + reach and starts[b] < stops[a] + reach:
            p, q = find_root(parent, a), find_root(parent, b)
            if p < q:
                parent[q] = p
            elif q < p:
                parent[p] = q
        if stops[a] < stops[b]:
            a += 1
        else:
            b += 1


@_compiled
def _link(
    parent: Array,
    offsets: Array,
    starts: Array,
    stops: Array,
    height: int,
    full: bool,
    start: int,
    stop: int,
    border: int,
    within: bool,
) -> None:
    """Join the rows `start` to `stop` with their earlier neighbours.

    Parameters
    ----------
    border, within
        Use only neighbours from row `border` on, or only those before it.
    """
    reach = 1 if full else 0
    for r in range(start, stop):
        y = r % height
        if y > 0 and (r - 1 >= border) == within:
            _join_rows(parent, offsets, starts, stops, r, r - 1, reach)
        if r < height:
            continue
        for step in range(-reach, reach + 1):
            q = r - height + step
            if 0 <= y + step < height and (q >= border) == within:
                _join_rows(parent, offsets, starts, stops, r, q, reach)


@_compiled
def _number(parent: Array, ids: Array) -> int:
    """Number the roots in order, and every run by its root; return the number of components."""
    n = 0
    for k in range(parent.size):
        if parent[k] == k:
            ids[k] = n
            n += 1
        else:
            # Parents come before their children, so they are already resolved.
            parent[k] = parent[parent[k]]
            ids[k] = ids[parent[k]]
    return n


@_compiled
def _mark_border(
    ids: Array,
    offsets: Array,
    starts: Array,
    stops: Array,
    n_planes: int,
    height: int,
    width: int,
    touches: Array,
) -> None:
    for r in range(offsets.size - 1):
        z, y = r // height, r % height
        outer = y == 0 or y == height - 1 or (n_planes > 1 and (z == 0 or z == n_planes - 1))
        for k in range(offsets[r], offsets[r + 1]):
            if outer or starts[k] == 0 or stops[k] == width:
                touches[ids[k]] = True


@_compiled
def _mark_contained(
    ids: Array, offsets: Array, starts: Array, stops: Array, rows: Array, contains: Array
) -> None:
    for r in range(offsets.size - 1):
        for k in range(offsets[r], offsets[r + 1]):
            for x in range(starts[k], stops[k]):
                if rows[r, x]:
                    contains[ids[k]] = True
                    break


@_compiled
def _close(
    offsets: Array,
    starts: Array,
    stops: Array,
    holes: Array,
    new_offsets: Array,
    new_starts: Array,
    new_stops: Array,
) -> None:
    """Join the runs on both sides of every gap that is a hole."""
    for r in range(offsets.size - 1):
        at = new_offsets[r] - 1
        for k in range(offsets[r], offsets[r + 1]):
            # Gap number k + r is the one before run k: every row above has one gap more.
            if not holes[k + r]:
                at += 1
                new_starts[at] = starts[k]
            new_stops[at] = stops[k]


@_compiled
def _paint(
    offsets: Array, starts: Array, stops: Array, values: Array, rows: Array, start: int, stop: int
) -> None:
    width = rows.shape[1]
    for r in range(start, stop):
        at = 0
        for k in range(offsets[r], offsets[r + 1]):
            rows[r, at : starts[k]] = 0
            rows[r, starts[k] : stops[k]] = values[k]
            at = stops[k]
        rows[r, at:width] = 0


__all__ = ["Components", "Runs", "components", "encode_runs", "fill_holes_of_runs", "paint_runs"]
