"""Compiled dense layers over pixels: class scores from the features of each pixel.

This module imports numba and is itself imported only for predictions of pixel models.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.compute.compilation import compiled

Array = NDArray[np.float32]
Ints = NDArray[np.int64]

_compiled: Any = compiled(fastmath={"contract", "nsz"})

# Number of pixels processed at once: long rows for vectorisation, short enough for the cache.
_CHUNK = 512


@_compiled
def _add_three(acc: Array, a: Array, b: Array, c: Array, w: Array) -> None:
    w0, w1, w2 = w[0], w[1], w[2]
    for j in range(acc.size):
        acc[j] += w0 * a[j] + w1 * b[j] + w2 * c[j]


@_compiled
def _add_three_twice(
    acc: Array, more: Array, a: Array, b: Array, c: Array, w: Array, v: Array
) -> None:
    """Add the same three inputs to two units, reading them only once."""
    w0, w1, w2 = w[0], w[1], w[2]
    v0, v1, v2 = v[0], v[1], v[2]
    for j in range(acc.size):
        x, y, z = a[j], b[j], c[j]
        acc[j] += w0 * x + w1 * y + w2 * z
        more[j] += v0 * x + v1 * y + v2 * z


@_compiled
def _add_one(acc: Array, a: Array, w: float) -> None:
    for j in range(acc.size):
        acc[j] += w * a[j]


@_compiled
def _relu(acc: Array) -> None:
    zero = np.float32(0)
    for j in range(acc.size):
        acc[j] = acc[j] if acc[j] > zero else zero


@_compiled
def _layer(
    rows: Array, first: int, n: int, weight: Array, bias: Array, out: Array, at: int
) -> None:
    """Set `out` from column `at` on to the weighted sums of `rows` from column `first` on."""
    n_inputs = weight.shape[1]
    n_units = bias.size
    stop = first + n
    for unit in range(0, n_units, 2):
        paired = unit + 1 < n_units
        # Contiguous parts of single rows: the compiler vectorises nothing else.
        acc = out[unit][at : at + n]
        more = out[unit + 1][at : at + n] if paired else acc
        acc[:] = bias[unit]
        if paired:
            more[:] = bias[unit + 1]
        i = 0
        while i + 3 <= n_inputs:
            a, b, c = rows[i][first:stop], rows[i + 1][first:stop], rows[i + 2][first:stop]
            if paired:
                _add_three_twice(acc, more, a, b, c, weight[unit][i:], weight[unit + 1][i:])
            else:
                _add_three(acc, a, b, c, weight[unit][i:])
            i += 3
        while i < n_inputs:
            _add_one(acc, rows[i][first:stop], weight[unit, i])
            if paired:
                _add_one(more, rows[i][first:stop], weight[unit + 1, i])
            i += 1


@_compiled
def _add_enlarged(
    acc: Array,
    at: int,
    first: int,
    n: int,
    maps: Array,
    grids: Ints,
    places: Ints,
    shares: Array,
    lines: Array,
    held: Ints,
) -> None:
    """Add to the rows of `acc`, from column `at` on, maps interpolated at pixels from `first` on.

    See `dense` for the maps; their number of units is that of the rows. Rows of maps are enlarged
    to the width of the block once, and kept in `lines` with their number in `held`: the one before
    and the one after a row of pixels have places of their own, for their numbers are consecutive.
    """
    height, width = grids[0, 1], grids[0, 2]
    done = 0
    while done < n:
        pixel = first + done
        z, y, x = pixel // (height * width), pixel // width % height, pixel % width
        length = min(width - x, n - done)
        for k in range(1, len(grids)):
            n_rows = grids[k, 1]
            above, below = z * n_rows + places[k, 0, y], z * n_rows + places[k, 1, y]
            for row in (above, below):
                if held[k, row % 2] != row:
                    _enlarge_line(maps, grids, places, shares, k, row, lines[k, row % 2])
                    held[k, row % 2] = row
            down = shares[k, 0, y]
            for unit in range(grids[k, 3]):
                upper = lines[k, above % 2, unit][x : x + length]
                lower = lines[k, below % 2, unit][x : x + length]
                _add_between(acc[unit][at + done : at + done + length], upper, lower, down)
        done += length


@_compiled
def _add_between(acc: Array, one: Array, two: Array, share: float) -> None:
    for j in range(acc.size):
        acc[j] += one[j] + share * (two[j] - one[j])


@_compiled
def _enlarge_line(
    maps: Array, grids: Ints, places: Ints, shares: Array, k: int, row: int, out: Array
) -> None:
    """Set `out` to a row of a grid, counted over all planes, at every column of pixels."""
    start, n_rows, n_columns, units = grids[k, 0], grids[k, 1], grids[k, 2], grids[k, 3]
    left, right, aside = places[k, 2], places[k, 3], shares[k, 1]
    for unit in range(units):
        base = start + (unit * grids[0, 0] * n_rows + row) * n_columns
        line, target = maps[base : base + n_columns], out[unit]
        for x in range(grids[0, 2]):
            one = line[left[x]]
            target[x] = one + aside[x] * (line[right[x]] - one)


@_compiled
def dense(
    inputs: Array,
    packed: Array,
    sizes: Ints,
    maps: Array,
    grids: Ints,
    places: Ints,
    shares: Array,
    out: Array,
    start: int,
    stop: int,
) -> None:
    """Evaluate dense layers with ReLU between them.

    The first layer may have further inputs, known on coarser grids. Their weighted sums are given,
    and interpolated here.

    Parameters
    ----------
    inputs
        (F, N): the features of each pixel.
    packed
        The weights (outputs, inputs) and the biases of each layer, concatenated.
    sizes
        F, the units of each hidden layer, and the outputs.
    maps
        Weighted sums on coarser grids, all in one array: of each grid (units, planes, rows,
        columns), where the units are those of the first layer.
    grids
        (1 + grids, 4): planes, height and width of the block, and 0; then of each grid its first
        number in `maps`, its rows, its columns, and the units.
    places
        (1 + grids, 4, side): rows of the grid before and after each row of pixels, and columns of
        the grid before and after each column of pixels. The first of the axis is not used.
    shares
        (1 + grids, 2, side): share of the row after, and of the column after.
    out
        (K, N), written: the score of each class.
    start, stop
        Range of chunks of pixels, see `n_chunks`.
    """
    n_layers = sizes.size - 1
    work = np.empty((2, sizes.max(), _CHUNK), np.float32)
    width = grids[0, 2] if len(grids) else 0
    lines = np.empty((len(grids), 2, sizes[1] if len(grids) else 0, width), np.float32)
    held = np.full((len(grids), 2), -1, np.int64)
    for chunk in range(start, stop):
        first = chunk * _CHUNK
        n = min(_CHUNK, inputs.shape[1] - first)
        at = 0
        for k in range(n_layers):
            n_in, n_out = sizes[k], sizes[k + 1]
            weight = packed[at : at + n_in * n_out].reshape(n_out, n_in)
            bias = packed[at + n_in * n_out : at + n_in * n_out + n_out]
            at += n_in * n_out + n_out
            source, where = (inputs, first) if k == 0 else (work[k % 2], 0)
            last = k == n_layers - 1
            target, column = (out, first) if last else (work[(k + 1) % 2], 0)
            _layer(source, where, n, weight, bias, target, column)
            if k == 0 and len(grids) > 1:
                _add_enlarged(target, column, first, n, maps, grids, places, shares, lines, held)
            if last:
                continue
            for unit in range(n_out):
                _relu(target[unit])


NO_MAPS = (
    np.zeros(0, np.float32),
    np.zeros((0, 4), np.int64),
    np.zeros((0, 4, 0), np.int64),
    np.zeros((0, 2, 0), np.float32),
)
"""Maps, grids, places and shares of a model whose inputs are all known for each pixel."""


def n_chunks(n_pixels: int) -> int:
    """Return the number of chunks for a number of pixels."""
    return -(-n_pixels // _CHUNK)
