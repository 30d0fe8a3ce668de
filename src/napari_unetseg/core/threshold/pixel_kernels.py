"""Compiled passes over pixels: range, histogram, sums and comparison, each in a single pass.

The kernels take flat contiguous arrays from `flat` and the pixels `start` to `stop`. They slice
first: an index that the compiler cannot prove to be positive prevents vectorisation. This module
imports numba and is itself imported only for passes over pixels.
"""

from typing import Any

import numpy as np
from numba import njit  # noqa: TID253 - see above
from numpy.typing import NDArray

Array = NDArray[Any]

_compiled: Any = njit(nogil=True, cache=True)
_reordered: Any = njit(nogil=True, cache=True, fastmath={"reassoc", "nsz"})
# Only for pixels whose sum is known to be finite: "nnan" makes a NaN undefined behaviour.
_finite_only: Any = njit(nogil=True, cache=True, fastmath={"reassoc", "nsz", "nnan"})

_BLOCK = 4096


def flat(array: Array) -> Array:
    """Flatten `array` for the kernels: contiguous, read-only, of a supported dtype.

    A copy is made only of arrays that are not contiguous, of foreign byte order, or of an
    unsupported dtype: float16 becomes float32, longer floats become float64, booleans uint8.
    """
    if array.dtype.kind == "b":
        array = array.view(np.uint8)
    elif array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float32 if array.dtype.itemsize == 2 else np.float64)
    native = array.dtype.newbyteorder("=")
    row = np.ascontiguousarray(array, dtype=native).reshape(-1).view()
    # Numba compiles read-only and writable arrays separately; one kind is enough.
    row.flags.writeable = False
    return row


@_reordered
def _sum(pixels: Array) -> float:
    total = 0.0
    for at in range(pixels.size):
        total += np.float64(pixels[at])
    return total


@_finite_only
def _extremes(pixels: Array) -> tuple[float, float]:
    low = high = pixels[0]
    for at in range(pixels.size):
        low = min(low, pixels[at])
        high = max(high, pixels[at])
    return np.float64(low), np.float64(high)


@_compiled
def extremes_and_sum(pixels: Array, start: int, stop: int) -> tuple[float, float, float, int]:
    """Return the lowest and highest value, the sum and the number of the finite pixels."""
    low, high, total, number = np.inf, -np.inf, 0.0, 0
    for at in range(start, stop, _BLOCK):
        block = pixels[at : min(at + _BLOCK, stop)]
        partial = _sum(block)
        if abs(partial) < np.inf:
            least, most = _extremes(block)
            low, high = min(low, least), max(high, most)
            total += partial
            number += block.size
        else:
            for value in block:
                as_float = np.float64(value)
                if abs(as_float) < np.inf:
                    low, high = min(low, as_float), max(high, as_float)
                    total += as_float
                    number += 1
    return low, high, total, number


@_compiled
def measure_integers(pixels: Array, start: int, stop: int) -> tuple[int, int, float]:
    """Return the lowest and highest value, in their own type, and the sum."""
    low = high = pixels[start]
    total = 0.0
    for value in pixels[start:stop]:
        low = min(low, value)
        high = max(high, value)
        total += np.float64(value)
    return low, high, total


@_compiled
def count_levels(pixels: Array, lowest: int, table: Array, start: int, stop: int) -> None:
    """Count the pixels of each integer level.

    Parameters
    ----------
    lowest
        Level of column 0 of the table, of the dtype of the pixels.
    table
        (rows, levels), added to. The counts are the sums over its rows; neighbouring pixels are
        counted in different rows, since adding to the same number twice in succession is slow. The
        number of rows is a power of two.
    """
    turn = len(table) - 1
    part = pixels[start:stop]
    for at in range(part.size):
        table[at & turn, part[at] - lowest] += np.uint32(1)


@_compiled
def count_bins(
    pixels: Array, edges: Array, scale: float, margin: float, start: int, stop: int
) -> Array:
    """Count the pixels in each of the equal bins between `edges`, the last of them closed.

    Parameters
    ----------
    edges
        (bins + 1,), ascending. A pixel on an edge belongs to the bin above it, regardless of
        rounding.
    scale
        Bins per unit.
    margin
        Distance to an edge, in bins, below which a computed position is checked against the edge.

    Returns
    -------
    array (bins,), uint32
    """
    n = edges.size - 1
    table = np.zeros((2, n + 1), np.uint32)
    low, high = np.float64(edges[0]), np.float64(edges[n])
    part = pixels[start:stop]
    for at in range(part.size):
        value = np.float64(part[at])
        if value >= low and value <= high:
            position = (value - low) * scale
            k = np.int64(position)
            if position - k < margin or position - k > 1 - margin:
                k = min(k, np.int64(n - 1))
                if value < edges[k]:
                    k -= 1
                elif k < n - 1 and value >= edges[k + 1]:
                    k += 1
            table[at & 1, k] += np.uint32(1)
    counts: Array = (table[0] + table[1])[:n]
    return counts


@_reordered
def sum_above_strip(
    pixels: Array, level: float, most: float, start: int, stop: int
) -> tuple[float, int]:
    """Return the sum and the number of the pixels above `level` and up to `most`."""
    part = pixels[start:stop]
    nothing = pixels.dtype.type(0)
    total, number = 0.0, 0
    for at in range(part.size):
        value = part[at]
        counts = (value > level) & (value <= most)
        total += np.float64(value if counts else nothing)
        number += counts
    return total, number


@_compiled
def between(
    pixels: Array, least: float, most: float, add: bool, out: Array, start: int, stop: int
) -> None:
    """Mark the pixels from `least` to `most`, both included and of the pixels' dtype.

    Parameters
    ----------
    add
        Add 1 to `out` where a pixel is in the range; otherwise set it to 1 there and to 0
        elsewhere.
    """
    part, marks = pixels[start:stop], out[start:stop]
    if add:
        for at in range(part.size):
            marks[at] += (part[at] >= least) & (part[at] <= most)
    else:
        for at in range(part.size):
            marks[at] = (part[at] >= least) & (part[at] <= most)


__all__ = [
    "between",
    "count_bins",
    "count_levels",
    "extremes_and_sum",
    "flat",
    "measure_integers",
    "sum_above_strip",
]
