"""Compiled dense layers over pixels: class scores from the features of each pixel.

This module imports numba and is itself imported only for predictions of pixel models.
"""

from typing import Any

import numpy as np
from numba import njit  # noqa: TID253 - see above
from numpy.typing import NDArray

Array = NDArray[np.float32]

_compiled: Any = njit(nogil=True, cache=True, fastmath={"contract", "nsz"})

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
def dense(
    inputs: Array, packed: Array, sizes: NDArray[np.int64], out: Array, start: int, stop: int
) -> None:
    """Evaluate dense layers with ReLU between them.

    Parameters
    ----------
    inputs
        (F, N): the features of each pixel.
    packed
        The weights (outputs, inputs) and the biases of each layer, concatenated.
    sizes
        F, the units of each hidden layer, and the outputs.
    out
        (K, N), written: the score of each class.
    start, stop
        Range of chunks of pixels, see `n_chunks`.
    """
    n_layers = sizes.size - 1
    work = np.empty((2, sizes.max(), _CHUNK), np.float32)
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
            if k == n_layers - 1:
                _layer(source, where, n, weight, bias, out, first)
                continue
            target = work[(k + 1) % 2]
            _layer(source, where, n, weight, bias, target, 0)
            for unit in range(n_out):
                _relu(target[unit])


def n_chunks(n_pixels: int) -> int:
    """Return the number of chunks for a number of pixels."""
    return -(-n_pixels // _CHUNK)
