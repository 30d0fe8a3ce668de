"""Compiled eigenvalues of symmetric 2×2 and 3×3 matrices, one matrix per pixel of a row.

Closed forms without branches, so that the compiler vectorises them over pixels. This module imports
numba and is itself imported only when features are computed.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.compute.compilation import compiled

Array = NDArray[np.float32]

_compiled: Any = compiled(fastmath={"contract", "nsz"})

_TINY = np.float32(1e-30)
_PI = np.float32(np.pi)


@_compiled
def root(out: Array) -> None:
    """Replace every number of a row by its square root; rounding errors below 0 become 0."""
    zero = np.float32(0)
    for j in range(out.size):
        out[j] = np.sqrt(max(out[j], zero))


@_compiled
def eigenvalues_2(yy: Array, yx: Array, xx: Array, high: Array, low: Array) -> None:
    """Write the eigenvalues of 2×2 matrices from their elements; all arrays (n,)."""
    half = np.float32(0.5)
    for j in range(high.size):
        mean = half * (yy[j] + xx[j])
        lean = half * (yy[j] - xx[j])
        radius = np.sqrt(lean * lean + yx[j] * yx[j])
        high[j] = mean + radius
        low[j] = mean - radius


@_compiled
def _spread_3(m: Array, mean: Array, out: Array) -> None:
    """Set `out` to the root mean square deviation p of the eigenvalues over √2."""
    zz, zy, zx, yy, yx, xx = m[0], m[1], m[2], m[3], m[4], m[5]
    third, sixth = np.float32(1 / 3), np.float32(1 / 6)
    for j in range(out.size):
        mean[j] = third * (zz[j] + yy[j] + xx[j])
    for j in range(out.size):
        a, b, c = zz[j] - mean[j], yy[j] - mean[j], xx[j] - mean[j]
        out[j] = sixth * (a * a + b * b + c * c)
    for j in range(out.size):
        out[j] += (zy[j] * zy[j] + zx[j] * zx[j] + yx[j] * yx[j]) / np.float32(3)
    root(out)


@_compiled
def _skew_3(m: Array, mean: Array, spread: Array, out: Array) -> None:
    """Set `out` to half the determinant of the centred matrix over p³, clipped to -1 and 1."""
    zz, zy, zx, yy, yx, xx = m[0], m[1], m[2], m[3], m[4], m[5]
    one, half = np.float32(1), np.float32(0.5)
    for j in range(out.size):
        scale = one / max(spread[j], _TINY)
        a, b, c = (zz[j] - mean[j]) * scale, (yy[j] - mean[j]) * scale, (xx[j] - mean[j]) * scale
        d, e, f = zy[j] * scale, zx[j] * scale, yx[j] * scale
        det = a * (b * c - f * f) - d * (d * c - f * e) + e * (d * f - b * e)
        out[j] = min(max(half * det, -one), one)


@_compiled
def _angle_3(skew: Array, out: Array) -> None:
    """Set `out` to a third of the arc cosine (Abramowitz and Stegun 4.4.46, error 2e-8)."""
    one, third = np.float32(1), np.float32(1 / 3)
    for j in range(out.size):
        x = abs(skew[j])
        s = np.float32(-0.0012624911)
        s = s * x + np.float32(0.0066700901)
        s = s * x + np.float32(-0.0170881256)
        s = s * x + np.float32(0.0308918810)
        s = s * x + np.float32(-0.0501743046)
        s = s * x + np.float32(0.0889789874)
        s = s * x + np.float32(-0.2145988016)
        s = s * x + np.float32(1.5707963050)
        angle = np.sqrt(one - x) * s
        out[j] = third * (angle if skew[j] >= 0 else _PI - angle)


@_compiled
def eigenvalues_3(m: Array, work: Array, high: Array, mid: Array, low: Array) -> None:
    """Write the eigenvalues of 3×3 matrices.

    Parameters
    ----------
    m
        (6, n): the elements zz, zy, zx, yy, yx, xx.
    work
        (4, n), overwritten.
    high, mid, low
        (n,), written: the eigenvalues, largest first, accurate to about 1e-6 of their spread where
        they differ, 3e-4 where two are equal.

    References
    ----------
    Smith: Eigenvalues of a symmetric 3×3 matrix, Communications of the ACM 4, 1961.
    """
    mean, spread, skew, angle = work[0], work[1], work[2], work[3]
    _spread_3(m, mean, spread)
    _skew_3(m, mean, spread, skew)
    _angle_3(skew, angle)
    one, two, three = np.float32(1), np.float32(2), np.float32(3)
    half, slope = np.float32(0.5), np.float32(np.sqrt(3) / 2)
    for j in range(high.size):
        # Taylor series: the angle is at most a third of pi, where their error is 5e-7.
        u = angle[j] * angle[j]
        cosine = u * np.float32(1 / 40320) - np.float32(1 / 720)
        cosine = cosine * u + np.float32(1 / 24)
        cosine = (cosine * u - half) * u + one
        sine = u * np.float32(1 / 362880) - np.float32(1 / 5040)
        sine = sine * u + np.float32(1 / 120)
        sine = ((sine * u - np.float32(1 / 6)) * u + one) * angle[j]
        high[j] = mean[j] + two * spread[j] * cosine
        low[j] = mean[j] - two * spread[j] * (half * cosine + slope * sine)
    for j in range(high.size):
        mid[j] = three * mean[j] - high[j] - low[j]
