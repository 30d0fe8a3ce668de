"""Moments: sums over pixels of powers of their position, the input of the least-squares fit.

A surface in position is fitted from two small tables: sums of the pixels' weights times powers of x
and y (which give the Gram matrix), and the same with the weights times the values. Both are
separable: a compiled kernel sums along each row, and one small matrix product sums over the rows.
No temporary is as large as the image. The sums of a row depend on that row alone, so an image read
in bands gives bit for bit the result of the whole.

This module imports numba, through its kernels, and is itself imported only when a surface is fitted
or evaluated.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.background import moment_kernels as kernels
from napari_unetseg.core.background.polynomial import power_table, scaled_positions
from napari_unetseg.core.compute.parallel_rows import map_strips
from napari_unetseg.core.compute.rounding import round_up
from napari_unetseg.core.image import read_pixels

Array = NDArray[np.float64]
Bytes = NDArray[np.uint8]

_BAND_PIXELS = 1 << 24
_BLOCKS = 32  # blocks along the shorter side, at least
_RUNS, _RUN = 16, 8


@dataclass(frozen=True)
class Plane:
    """One plane of pixels, in memory or on disk.

    Parameters
    ----------
    data
        Numbers, (rows, columns): numpy, or dask to be read in bands of rows.
    exclude
        Nonzero where a pixel is to be ignored, of the same shape; or None.
    """

    data: Any
    exclude: Any = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.data.shape[0]), int(self.data.shape[1])

    def bands(self, multiple: int) -> Iterator[tuple[int, NDArray[Any], NDArray[Any] | None]]:
        """Yield the first row, the pixels and the exclusion of each band of rows.

        Parameters
        ----------
        multiple
            The first row of a band is a multiple of this.
        """
        for start, stop in self._edges(multiple):
            rows = slice(start, stop)
            exclude = None if self.exclude is None else read_pixels(self.exclude[rows])
            yield start, read_pixels(self.data[rows]), exclude

    def _edges(self, multiple: int) -> list[tuple[int, int]]:
        n_rows, n_columns = self.shape
        if isinstance(self.data, np.ndarray):
            return [(0, n_rows)]
        rows = self.data.chunks[0][0]
        height = max(rows, min(_BAND_PIXELS // n_columns, n_rows), 1)
        # Use whole chunks where possible, so that no chunk is read for two bands.
        step = rows if rows % multiple == 0 else multiple
        height = round_up(height, step)
        return [(start, min(start + height, n_rows)) for start in range(0, n_rows, height)]


@dataclass(frozen=True)
class Areas:
    """Square areas of one plane, and one sample pixel of each.

    Parameters
    ----------
    side
        Rows and columns of an area; areas at the far edges may be smaller.
    means
        Mean of the usable pixels, 0 where there are none, (area rows, area columns).
    counts
        Number of usable pixels.
    samples
        Value of one pixel in each area, at `sample_rows` and `sample_columns`; NaN where it is not
        usable.
    blocks
        The blocks of the plane; see `BlockMeans`.
    """

    side: int
    means: Array
    counts: Array
    samples: Array
    blocks: "BlockMeans"


@dataclass(frozen=True)
class BlockMeans:
    """Small square blocks of pixels at the positions of `block_starts`.

    They are small, so that many hold background alone even where objects lie close together.

    Parameters
    ----------
    means
        Mean of the usable pixels, 0 where there are none, (block rows, block columns).
    counts
        Number of usable pixels.
    samples
        Value of the first pixel; NaN where it is not usable.
    """

    means: Array
    counts: Array
    samples: Array


@dataclass(frozen=True)
class Moments:
    """Sums over the usable pixels, by power of y and of x scaled to [-1, 1].

    Parameters
    ----------
    weights
        Sums of powers, up to twice the degree: (2 * y degree + 1, 2 * x degree + 1). None when not
        requested.
    values
        Sums of the values above a given surface times powers, (y degree + 1, x degree + 1).
    squares
        Sum of the squares of those values.
    """

    weights: Array | None
    values: Array
    squares: float


def sample_positions(length: int, side: int) -> NDArray[np.intp]:
    """Choose one position in each area along an axis, jittered to avoid beating with a grid."""
    starts = np.arange(0, length, side)
    jitter = np.random.default_rng(0).integers(0, side, len(starts))
    positions: NDArray[np.intp] = np.minimum(starts + jitter, length - 1)
    return positions


def block_side(shape: tuple[int, int]) -> int:
    """Return the rows and columns of a block: 4, or fewer in a small plane."""
    return min(max(min(shape) // _BLOCKS, 1), 4)


def block_starts(length: int, side: int) -> NDArray[np.intp]:
    """Choose the first position of each block along an axis.

    Blocks lie side by side; in a long axis, in 16 runs of 8, so that the outlines of objects are
    seen while few pixels are read.
    """
    if length < side * 2 * _RUNS * _RUN:
        return np.arange(0, length - side + 1, side)
    runs = np.linspace(0, length - side * _RUN, _RUNS).astype(np.intp)
    starts: NDArray[np.intp] = (runs[:, None] + side * np.arange(_RUN)).ravel()
    return starts


def areas(plane: Plane, side: int) -> Areas:
    """Compute the means of square areas of `plane` in one pass over the pixels.

    Parameters
    ----------
    plane
        Pixels that are NaN, infinite or excluded are ignored.
    side
        Rows and columns of an area.
    """
    n_rows, n_columns = plane.shape
    sums = np.zeros((-(-n_rows // side), -(-n_columns // side)))
    counts, samples = np.zeros_like(sums), np.full_like(sums, np.nan)
    rows, columns = sample_positions(n_rows, side), sample_positions(n_columns, side)
    blocks = _BlockSums(plane.shape)
    for first, data, exclude in plane.bands(side):

        def strip(
            start: int,
            stop: int,
            first: int = first,
            data: NDArray[Any] = data,
            exclude: NDArray[Any] | None = exclude,
        ) -> None:
            into = slice((first + start) // side, -(-(first + stop) // side))
            keep, divisor = _keep(start, stop, data.shape[1], exclude, None, side)
            part = _numbers(data[start:stop])
            kernels.sum_areas(
                part, keep, divisor, side, exclude is not None, sums[into], counts[into]
            )

        map_strips(strip, len(data), rows=_strip_rows(n_rows, side))
        inside = (rows >= first) & (rows < first + len(data))
        samples[inside] = _pick(data, exclude, rows[inside] - first, columns)
        blocks.add(first, data, exclude)
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    return Areas(side, means, counts, samples, blocks.finished())


def all_moments(plane: Plane, degrees: tuple[int, int], level: float) -> Moments:
    """Compute the moments of a plane in which every pixel is usable, in one pass.

    Parameters
    ----------
    plane
        Without excluded, NaN or infinite pixels.
    degrees
        Highest power of y and of x.
    level
        Subtracted from every value, so that a large constant does not swamp the variation.
    """
    n_rows, n_columns = plane.shape
    x = power_table(scaled_positions(n_columns), 2 * degrees[1])
    y = power_table(scaled_positions(n_rows), 2 * degrees[0])
    table = np.empty((n_rows, degrees[1] + 2))
    for first, data, _ in plane.bands(1):

        def strip(start: int, stop: int, first: int = first, data: NDArray[Any] = data) -> None:
            into = table[first + start : first + stop]
            kernels.sum_all(_numbers(data[start:stop]), x, level, into)

        map_strips(strip, len(data), rows=_strip_rows(n_rows, 1))
    weights = np.outer(y.sum(axis=1), x.sum(axis=1))
    return Moments(weights, y[: degrees[0] + 1] @ table[:, :-1], float(table[:, -1].sum()))


def clipped_moments(
    plane: Plane,
    surface_rows: Array,
    degrees: tuple[int, int],
    *,
    low: float = -np.inf,
    high: float = np.inf,
    keep_areas: NDArray[np.bool_] | None = None,
    side: int = 1,
    exact: bool = True,
) -> Moments:
    """Compute the moments of pixels whose value above a surface is within bounds, in one pass.

    Parameters
    ----------
    plane
        Pixels that are NaN, infinite or excluded are ignored.
    surface_rows
        The surface: every row as coefficients of powers of x, (rows, x degree + 1).
    degrees
        Highest power of y and of x.
    low, high
        Bounds on the value above the surface.
    keep_areas
        False where a whole area of `side` rows and columns is to be ignored; or None.
    exact
        Sum in double precision, including the weights. Otherwise sum in single precision where the
        pixels have no more than that, and without the weights: three times faster, and accurate
        enough for a step towards the solution.
    """
    n_rows, n_columns = plane.shape
    x = power_table(scaled_positions(n_columns), 2 * degrees[1])
    y = power_table(scaled_positions(n_rows), 2 * degrees[0])
    kind = np.float64 if exact else _number_type(plane.data.dtype)
    limit = float(np.finfo(kind).max)
    bounds = max(low, -limit), min(high, limit)
    x_kind, rows_kind = x.astype(kind), surface_rows.astype(kind)
    columns_kept = None if keep_areas is None else np.repeat(keep_areas, side, axis=1)
    table = np.empty((n_rows, 3 * degrees[1] + 3))
    for first, data, exclude in plane.bands(side):

        def strip(
            start: int,
            stop: int,
            first: int = first,
            data: NDArray[Any] = data,
            exclude: NDArray[Any] | None = exclude,
        ) -> None:
            above = slice(first + start, first + stop)
            kept = None
            if columns_kept is not None:
                kept = columns_kept[above.start // side : -(-above.stop // side), :n_columns]
            keep, divisor = _keep(start, stop, n_columns, exclude, kept, side)
            part = _numbers(data[start:stop])
            kernels.sum_clipped(
                part, keep, divisor, x_kind, rows_kind[above], *bounds, exact, table[above]
            )

        map_strips(strip, len(data), rows=_strip_rows(n_rows, side))
    split = 2 * degrees[1] + 1
    weights = y @ table[:, :split] if exact else None
    values = y[: degrees[0] + 1] @ table[:, split:-1]
    return Moments(weights, values, float(table[:, -1].sum()))


Operation = Literal["surface", "subtract", "divide"]


def apply_surface(
    operation: Operation,
    surface_rows: Array,
    positions: Array,
    out: NDArray[np.float32],
    *,
    data: NDArray[Any] | None = None,
    mean: float = 1.0,
    floor: float = 0.0,
) -> None:
    """Write a surface, or the image corrected by it, to `out` in one pass.

    Parameters
    ----------
    operation
        ``"surface"`` writes it, ``"subtract"`` writes ``data - surface``, ``"divide"`` writes
        ``data * mean / surface``.
    surface_rows
        Every row of the surface as coefficients of powers of x, (rows, n).
    positions
        Scaled position of each column.
    out
        The output, (rows, columns).
    data
        The image, of the shape of `out`.
    mean
        Mean of the surface, the factor of the division.
    floor
        Lower limit of the divisor.
    """

    def strip(start: int, stop: int) -> None:
        rows, into = surface_rows[start:stop], out[start:stop]
        if data is None:
            kernels.write_surface(rows, positions, into)
        elif operation == "subtract":
            kernels.write_difference(_numbers(data[start:stop]), rows, positions, into)
        else:
            kernels.write_quotient(_numbers(data[start:stop]), rows, positions, mean, floor, into)

    map_strips(strip, len(out))


class _BlockSums:
    """Sum the pixels of blocks, band by band."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.side = block_side(shape)
        row_starts, column_starts = (block_starts(length, self.side) for length in shape)
        self.rows, self.columns = (
            (starts[:, None] + np.arange(self.side)).ravel()
            for starts in (row_starts, column_starts)
        )
        self.sums = np.zeros((len(row_starts), len(column_starts)))
        self.counts = np.zeros_like(self.sums)
        self.samples = np.full_like(self.sums, np.nan)

    def add(self, first: int, data: NDArray[Any], exclude: NDArray[Any] | None) -> None:
        """Add the rows of a band."""
        inside = np.flatnonzero((self.rows >= first) & (self.rows < first + len(data)))
        picked = _pick(data, exclude, self.rows[inside] - first, self.columns)
        usable = np.isfinite(picked)
        shape = (len(inside), -1, self.side)
        into = inside // self.side
        np.add.at(self.sums, into, np.where(usable, picked, 0.0).reshape(shape).sum(axis=2))
        np.add.at(self.counts, into, usable.reshape(shape).sum(axis=2))
        starts = inside % self.side == 0
        self.samples[into[starts]] = picked[starts, :: self.side]

    def finished(self) -> BlockMeans:
        """Return the blocks."""
        means = np.divide(
            self.sums, self.counts, out=np.zeros_like(self.sums), where=self.counts > 0
        )
        return BlockMeans(means, self.counts, self.samples)


def _strip_rows(n_rows: int, multiple: int) -> int:
    """Return the number of rows in a strip: a multiple, so that no two strips share an area."""
    return round_up(max(n_rows // 32, 16), multiple)


def _number_type(dtype: np.dtype[Any]) -> type[np.float32] | type[np.float64]:
    """Return the smaller floating type that represents every number of `dtype` exactly."""
    small = dtype.kind == "b" or (dtype.kind in "iu" and dtype.itemsize <= 2)
    small = small or (dtype.kind == "f" and dtype.itemsize <= 4)
    return np.float32 if small else np.float64


def _numbers(part: NDArray[Any]) -> NDArray[Any]:
    """Convert a strip for the kernels: native floats, contiguous, read-only.

    Always read-only, because numba would compile writable arrays separately.
    """
    ready = np.ascontiguousarray(part, dtype=_number_type(part.dtype)).view()
    ready.flags.writeable = False
    return ready


def _keep(
    start: int,
    stop: int,
    n_columns: int,
    exclude: NDArray[Any] | None,
    areas_kept: NDArray[np.bool_] | None,
    side: int,
) -> tuple[Bytes, int]:
    """Return the mask of a strip's candidate pixels, and the number of rows per mask row."""
    if exclude is None and areas_kept is None:
        return np.ones((1, n_columns), dtype=np.uint8), stop - start
    if exclude is None:
        return np.ascontiguousarray(areas_kept).view(np.uint8), side
    keep = exclude[start:stop] == 0
    if areas_kept is not None:
        keep &= np.repeat(areas_kept, side, axis=0)[: stop - start]
    return np.ascontiguousarray(keep).view(np.uint8), 1


def _pick(
    data: NDArray[Any],
    exclude: NDArray[Any] | None,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
) -> Array:
    at = np.ix_(rows, columns)
    picked = data[at].astype(np.float64)
    counts = np.isfinite(picked)
    if exclude is not None:
        counts &= exclude[at] == 0
    picked[~counts] = np.nan
    return picked


__all__ = [
    "Areas",
    "BlockMeans",
    "Moments",
    "Operation",
    "Plane",
    "all_moments",
    "apply_surface",
    "areas",
    "block_side",
    "block_starts",
    "clipped_moments",
    "sample_positions",
]
