"""Sums over pixels of powers of their position, with and without values: what least squares needs.

A surface in position is fitted from two small tables: sums of the pixels' weights times powers of
x and y (the Gram matrix is read from it), and the same with the weights times the values. Both are
separable: a compiled kernel sums along each row, and one small matrix product sums over the rows.
Nothing as large as the image is ever made. The sums of a row depend on that row alone, so an image
read in pieces gives bit for bit what the whole one gives.

This module imports numba, by way of its kernels, and is itself imported only when a surface is
fitted or evaluated.
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

Array = NDArray[np.float64]
Bytes = NDArray[np.uint8]

_BAND_PIXELS = 1 << 24


@dataclass(frozen=True)
class Plane:
    """One plane of pixels, in memory or on disk.

    Parameters
    ----------
    data
        Numbers, (rows, columns): numpy, or dask to be read in bands of rows.
    exclude
        Nonzero where a pixel does not count, of the same shape; or nothing.
    """

    data: Any
    exclude: Any = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.data.shape[0]), int(self.data.shape[1])

    def bands(self, multiple: int) -> Iterator[tuple[int, NDArray[Any], NDArray[Any] | None]]:
        """Yield the first row, the pixels and the exclusion of one band of rows after another.

        Parameters
        ----------
        multiple
            The first row of a band is a multiple of this.
        """
        for start, stop in self._edges(multiple):
            rows = slice(start, stop)
            exclude = None if self.exclude is None else np.asarray(self.exclude[rows])
            yield start, np.asarray(self.data[rows]), exclude

    def _edges(self, multiple: int) -> list[tuple[int, int]]:
        n_rows, n_columns = self.shape
        if isinstance(self.data, np.ndarray):
            return [(0, n_rows)]
        rows = self.data.chunks[0][0]
        height = max(rows, min(_BAND_PIXELS // n_columns, n_rows), 1)
        # Of whole chunks where that can be, so that none is read for two bands.
        step = rows if rows % multiple == 0 else multiple
        height = round_up(height, step)
        return [(start, min(start + height, n_rows)) for start in range(0, n_rows, height)]


@dataclass(frozen=True)
class Areas:
    """Square areas of one plane, and one pixel taken from each.

    Parameters
    ----------
    side
        Rows and columns of an area; those at the far edges may have fewer.
    means
        Mean of the pixels that count, 0 where none does, (area rows, area columns).
    counts
        How many count.
    samples
        The value of one pixel in each area, at `sample_rows` and `sample_columns`; NaN where it
        does not count.
    """

    side: int
    means: Array
    counts: Array
    samples: Array


@dataclass(frozen=True)
class Moments:
    """Sums over the pixels that count, by power of y and of x scaled to [-1, 1].

    Parameters
    ----------
    weights
        Sums of powers, up to twice the degree: (2 * y degree + 1, 2 * x degree + 1). Nothing when
        it was not asked for.
    values
        Sums of the values above a given surface times powers, (y degree + 1, x degree + 1).
    squares
        Sum of those values' squares.
    """

    weights: Array | None
    values: Array
    squares: float


def sample_positions(length: int, side: int) -> NDArray[np.intp]:
    """Return one position within each area along an axis, jittered to avoid beating with a grid."""
    starts = np.arange(0, length, side)
    jitter = np.random.default_rng(0).integers(0, side, len(starts))
    positions: NDArray[np.intp] = np.minimum(starts + jitter, length - 1)
    return positions


def areas(plane: Plane, side: int) -> Areas:
    """Return the means of square areas of `plane`; one pass over the pixels.

    Parameters
    ----------
    plane
        Pixels that are NaN or infinite, or excluded, do not count.
    side
        Rows and columns of an area.
    """
    n_rows, n_columns = plane.shape
    sums = np.zeros((-(-n_rows // side), -(-n_columns // side)))
    counts, samples = np.zeros_like(sums), np.full_like(sums, np.nan)
    rows, columns = sample_positions(n_rows, side), sample_positions(n_columns, side)
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
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    return Areas(side, means, counts, samples)


def all_moments(plane: Plane, degrees: tuple[int, int], level: float) -> Moments:
    """Return the moments of a plane in which every pixel counts; one pass.

    Parameters
    ----------
    plane
        Nothing in it may be excluded, NaN or infinite.
    degrees
        Highest power of y and of x.
    level
        Subtracted from every value, so that a large constant does not drown what varies.
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
    """Return the moments of the pixels whose value above a surface is within bounds; one pass.

    Parameters
    ----------
    plane
        Pixels that are NaN or infinite, or excluded, do not count.
    surface_rows
        The surface: every row as coefficients of powers of x, (rows, x degree + 1).
    degrees
        Highest power of y and of x.
    low, high
        Bounds of the value above the surface.
    keep_areas
        False where a whole area of `side` rows and columns does not count; or nothing.
    exact
        Sum in double precision, the weights too. Otherwise in single precision where the pixels
        are no more than that, and without the weights: three times faster, and good enough for a
        step towards the solution.
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
    """Write a surface, or an image with it taken out, to `out`; one pass.

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
        Where to, (rows, columns).
    data
        The image, of the shape of `out`.
    mean
        Mean of the surface, what a flat image is divided by.
    floor
        Divide by no less than this.
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


def _strip_rows(n_rows: int, multiple: int) -> int:
    """Return how many rows a strip has: a multiple, so that no two strips share an area."""
    return round_up(max(n_rows // 32, 16), multiple)


def _number_type(dtype: np.dtype[Any]) -> type[np.float32] | type[np.float64]:
    """Return the smaller floating type that holds every number of `dtype` exactly."""
    small = dtype.kind == "b" or (dtype.kind in "iu" and dtype.itemsize <= 2)
    small = small or (dtype.kind == "f" and dtype.itemsize <= 4)
    return np.float32 if small else np.float64


def _numbers(part: NDArray[Any]) -> NDArray[Any]:
    """Return a strip as the kernels take it: native floats, contiguous, read-only.

    Always read-only, because numba would compile a writable one anew.
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
    """Return which pixels of a strip may count, and how many rows share a row of that."""
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
    "Moments",
    "Operation",
    "Plane",
    "all_moments",
    "apply_surface",
    "areas",
    "clipped_moments",
    "sample_positions",
]
