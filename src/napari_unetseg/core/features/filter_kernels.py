"""Compiled kernels of the filter bank: separable smoothing, differences, structure tensor.

All kernels work on float32 volumes (Z, Y, X), a plane being a volume of one slice, and on the lines
`start` to `stop` of the result, a line being one row of one slice; lines are independent, so any
partition gives the same numbers. Inner loops run along rows and read few arrays each, which lets
the compiler vectorise them.

This module imports numba and is itself imported only when features are computed.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.compute.compilation import compiled
from napari_unetseg.core.features.eigenvalues import eigenvalues_2, eigenvalues_3, root

Array = NDArray[np.float32]

_compiled: Any = compiled(fastmath={"contract", "nsz"})

# Fourth-order central differences: five samples, exact for polynomials up to the fourth degree.
_NEAR = np.float32(8 / 12)
_FAR = np.float32(-1 / 12)
_SECOND_CENTRE = np.float32(-30 / 12)
_SECOND_NEAR = np.float32(16 / 12)


@_compiled
def _add_pair(acc: Array, a: Array, b: Array, k: float) -> None:
    for j in range(acc.size):
        acc[j] += k * (a[j] + b[j])


@_compiled
def _add_four_pairs(
    acc: Array,
    a: Array,
    b: Array,
    c: Array,
    d: Array,
    e: Array,
    f: Array,
    g: Array,
    h: Array,
    k: Array,
) -> None:
    k0, k1, k2, k3 = k[0], k[1], k[2], k[3]
    for j in range(acc.size):
        acc[j] += (k0 * (a[j] + b[j]) + k1 * (c[j] + d[j])) + (
            k2 * (e[j] + f[j]) + k3 * (g[j] + h[j])
        )


@_compiled
def _scale(acc: Array, a: Array, k: float) -> None:
    for j in range(acc.size):
        acc[j] = k * a[j]


@_compiled
def _smooth_across(
    volume: Array, z: int, y: int, dz: int, dy: int, kernel: Array, acc: Array
) -> None:
    """Set `acc` to the weighted sum of the rows around row (z, y), at steps of `dz` and `dy`."""
    reach = kernel.size - 1
    _scale(acc, volume[z, y], kernel[0])
    t = 1
    while t + 3 <= reach:
        uz, vz, wz = (t + 1) * dz, (t + 2) * dz, (t + 3) * dz
        uy, vy, wy = (t + 1) * dy, (t + 2) * dy, (t + 3) * dy
        _add_four_pairs(
            acc,
            volume[z - t * dz, y - t * dy],
            volume[z + t * dz, y + t * dy],
            volume[z - uz, y - uy],
            volume[z + uz, y + uy],
            volume[z - vz, y - vy],
            volume[z + vz, y + vy],
            volume[z - wz, y - wy],
            volume[z + wz, y + wy],
            kernel[t : t + 4],
        )
        t += 4
    while t <= reach:
        _add_pair(acc, volume[z - t * dz, y - t * dy], volume[z + t * dz, y + t * dy], kernel[t])
        t += 1


@_compiled
def _smooth_along(row: Array, at: int, kernel: Array, acc: Array) -> None:
    """Set ``acc[j]`` to the weighted sum of `row` around ``at + j``."""
    reach = kernel.size - 1
    n = acc.size
    _scale(acc, row[at : at + n], kernel[0])
    t = 1
    while t + 3 <= reach:
        _add_four_pairs(
            acc,
            row[at - t : at - t + n],
            row[at + t : at + t + n],
            row[at - t - 1 : at - t - 1 + n],
            row[at + t + 1 : at + t + 1 + n],
            row[at - t - 2 : at - t - 2 + n],
            row[at + t + 2 : at + t + 2 + n],
            row[at - t - 3 : at - t - 3 + n],
            row[at + t + 3 : at + t + 3 + n],
            kernel[t : t + 4],
        )
        t += 4
    while t <= reach:
        _add_pair(acc, row[at - t : at - t + n], row[at + t : at + t + n], kernel[t])
        t += 1


@_compiled
def smooth_slices(
    source: Array, shift: int, kernel: Array, out: Array, start: int, stop: int
) -> None:
    """Smooth along Z.

    Parameters
    ----------
    source
        (Z, Y, X), on each side at least the radius of the kernel larger in Z than `out`.
    shift
        Slice of `source` that corresponds to slice 0 of `out`.
    kernel
        Symmetric weights from the centre outwards.
    out
        (Z, Y, X), written.
    start, stop
        Range of lines of `out`.
    """
    height = out.shape[1]
    for line in range(start, stop):
        z, y = line // height, line % height
        _smooth_across(source, z + shift, y, 1, 0, kernel, out[z, y])


@_compiled
def smooth_planes(
    source: Array,
    shift_y: int,
    shift_x: int,
    kernel_y: Array,
    kernel_x: Array,
    out: Array,
    start: int,
    stop: int,
) -> None:
    """Smooth along Y and X; parameters as in `smooth_slices`, with one shift and kernel each."""
    height = out.shape[1]
    row = np.empty(source.shape[2], np.float32)
    for line in range(start, stop):
        z, y = line // height, line % height
        _smooth_across(source, z, y + shift_y, 0, 1, kernel_y, row)
        _smooth_along(row, shift_x, kernel_x, out[z, y])


@_compiled
def _first(a: Array, b: Array, d: Array, e: Array, scale: float, out: Array) -> None:
    near, far = _NEAR * scale, _FAR * scale
    for j in range(out.size):
        out[j] = near * (d[j] - b[j]) + far * (e[j] - a[j])


@_compiled
def _second(a: Array, b: Array, c: Array, d: Array, e: Array, scale: float, out: Array) -> None:
    near, far, centre = _SECOND_NEAR * scale, _FAR * scale, _SECOND_CENTRE * scale
    for j in range(out.size):
        out[j] = centre * c[j] + near * (d[j] + b[j]) + far * (e[j] + a[j])


@_compiled
def _first_across(
    volume: Array, z: int, y: int, dz: int, dy: int, at: int, scale: float, out: Array
) -> None:
    """Differentiate across rows at steps of `dz` and `dy`, from column `at` on."""
    # Contiguous parts of single rows: the compiler vectorises nothing else.
    end = at + out.size
    a, b = volume[z - 2 * dz, y - 2 * dy][at:end], volume[z - dz, y - dy][at:end]
    d, e = volume[z + dz, y + dy][at:end], volume[z + 2 * dz, y + 2 * dy][at:end]
    _first(a, b, d, e, scale, out)


@_compiled
def _second_across(
    volume: Array, z: int, y: int, dz: int, dy: int, at: int, scale: float, out: Array
) -> None:
    """Differentiate twice across rows at steps of `dz` and `dy`, from column `at` on."""
    end = at + out.size
    a, b = volume[z - 2 * dz, y - 2 * dy][at:end], volume[z - dz, y - dy][at:end]
    d, e = volume[z + dz, y + dy][at:end], volume[z + 2 * dz, y + 2 * dy][at:end]
    _second(a, b, volume[z, y][at:end], d, e, scale, out)


@_compiled
def _first_along(row: Array, at: int, scale: float, out: Array) -> None:
    n = out.size
    a, b = row[at - 2 : at - 2 + n], row[at - 1 : at - 1 + n]
    d, e = row[at + 1 : at + 1 + n], row[at + 2 : at + 2 + n]
    _first(a, b, d, e, scale, out)


@_compiled
def _second_along(row: Array, at: int, scale: float, out: Array) -> None:
    n = out.size
    a, b = row[at - 2 : at - 2 + n], row[at - 1 : at - 1 + n]
    d, e = row[at + 1 : at + 1 + n], row[at + 2 : at + 2 + n]
    _second(a, b, row[at : at + n], d, e, scale, out)


@_compiled
def _product(a: Array, b: Array, out: Array) -> None:
    for j in range(out.size):
        out[j] = a[j] * b[j]


@_compiled
def _add(a: Array, out: Array) -> None:
    for j in range(out.size):
        out[j] += a[j]


@_compiled
def derive_plane(
    smooth: Array,
    edge: Array,
    scale: Array,
    out: Array,
    at: Array,
    products: Array,
    start: int,
    stop: int,
) -> None:
    """Write gradient magnitude, Laplacian and Hessian eigenvalues of a smoothed plane.

    Parameters
    ----------
    smooth
        (1, Y + 2 (edge + 2), X + 2 (edge + 2)): the smoothed plane with its margin.
    edge
        Three integers: how far `products` extends beyond `out` along Z, Y and X.
    scale
        Three numbers: factors of the derivatives along Z, Y and X.
    out
        (F, 1, Y, X), written at the features `at`.
    at
        Index of gradient magnitude, Laplacian and the first Hessian eigenvalue in `out`; -1 to
        skip.
    products
        (3, 1, Y + 2 edge, X + 2 edge): products yy, yx, xx of the gradient's components, written;
        or an empty array to skip them.
    start, stop
        Range of lines of the products' region.
    """
    _, height, width = out[0].shape
    ey, ex = edge[1], edge[2]
    sy, sx = scale[1], scale[2]
    n = width + 2 * ex
    gy = np.empty(n + 4, np.float32)
    gx = np.empty(n, np.float32)
    work = np.empty((3, width), np.float32)
    for line in range(start, stop):
        row = smooth[0, line + 2]
        _first_across(smooth, 0, line + 2, 0, 1, 0, sy, gy)
        _first_along(row, 2, sx, gx)
        if products.size:
            _product(gy[2 : 2 + n], gy[2 : 2 + n], products[0, 0, line])
            _product(gy[2 : 2 + n], gx, products[1, 0, line])
            _product(gx, gx, products[2, 0, line])
        y = line - ey
        if y < 0 or y >= height:
            continue
        if at[0] >= 0:
            target = out[at[0], 0, y]
            inner_y, inner_x = gy[2 + ex : 2 + ex + width], gx[ex : ex + width]
            _product(inner_y, inner_y, target)
            _product(inner_x, inner_x, work[0])
            _add(work[0], target)
            root(target)
        if at[1] >= 0 or at[2] >= 0:
            _second_across(smooth, 0, line + 2, 0, 1, ex + 2, sy * sy, work[0])
            _second_along(row, ex + 2, sx * sx, work[2])
        if at[1] >= 0:
            _scale(out[at[1], 0, y], work[0], np.float32(1))
            _add(work[2], out[at[1], 0, y])
        if at[2] >= 0:
            _first_along(gy, ex + 2, sx, work[1])
            eigenvalues_2(work[0], work[1], work[2], out[at[2], 0, y], out[at[2] + 1, 0, y])


@_compiled
def derive_volume(
    smooth: Array,
    edge: Array,
    scale: Array,
    out: Array,
    at: Array,
    products: Array,
    start: int,
    stop: int,
) -> None:
    """Write the features of a volume as `derive_plane`; products are zz, zy, zx, yy, yx, xx."""
    depth, height, width = out[0].shape
    ez, ey, ex = edge[0], edge[1], edge[2]
    sz, sy, sx = scale[0], scale[1], scale[2]
    n = width + 2 * ex
    gradient = np.empty((3, n + 4), np.float32)
    gz, gy, gx = gradient[0], gradient[1], gradient[2, :n]
    near = np.empty((5, width), np.float32)
    m = np.empty((6, width), np.float32)
    work = np.empty((4, width), np.float32)
    lines = height + 2 * ey
    for line in range(start, stop):
        pz, py = line // lines, line % lines
        row = smooth[pz + 2, py + 2]
        _first_across(smooth, pz + 2, py + 2, 1, 0, 0, sz, gz)
        _first_across(smooth, pz + 2, py + 2, 0, 1, 0, sy, gy)
        _first_along(row, 2, sx, gx)
        if products.size:
            z_part, y_part = gz[2 : 2 + n], gy[2 : 2 + n]
            _product(z_part, z_part, products[0, pz, py])
            _product(z_part, y_part, products[1, pz, py])
            _product(z_part, gx, products[2, pz, py])
            _product(y_part, y_part, products[3, pz, py])
            _product(y_part, gx, products[4, pz, py])
            _product(gx, gx, products[5, pz, py])
        z, y = pz - ez, py - ey
        if z < 0 or z >= depth or y < 0 or y >= height:
            continue
        if at[0] >= 0:
            target = out[at[0], z, y]
            inner_z, inner_y = gz[ex + 2 : ex + 2 + width], gy[ex + 2 : ex + 2 + width]
            inner_x = gx[ex : ex + width]
            _product(inner_z, inner_z, target)
            _product(inner_y, inner_y, work[0])
            _add(work[0], target)
            _product(inner_x, inner_x, work[0])
            _add(work[0], target)
            root(target)
        if at[1] >= 0 or at[2] >= 0:
            _second_across(smooth, pz + 2, py + 2, 1, 0, ex + 2, sz * sz, m[0])
            _second_across(smooth, pz + 2, py + 2, 0, 1, ex + 2, sy * sy, m[3])
            _second_along(row, ex + 2, sx * sx, m[5])
        if at[1] >= 0:
            _scale(out[at[1], z, y], m[0], np.float32(1))
            _add(m[3], out[at[1], z, y])
            _add(m[5], out[at[1], z, y])
        if at[2] >= 0:
            for t in range(5):
                if t != 2:
                    _first_across(smooth, pz + t, py + 2, 0, 1, ex + 2, sy, near[t])
            _first(near[0], near[1], near[3], near[4], sz, m[1])
            _first_along(gz, ex + 2, sx, m[2])
            _first_along(gy, ex + 2, sx, m[4])
            k = at[2]
            eigenvalues_3(m, work, out[k, z, y], out[k + 1, z, y], out[k + 2, z, y])


@_compiled
def structure_plane(
    products: Array,
    kernel_y: Array,
    kernel_x: Array,
    out: Array,
    at: int,
    start: int,
    stop: int,
) -> None:
    """Write the square roots of the structure tensor's eigenvalues of a plane.

    Parameters
    ----------
    products
        (3, 1, Y + 2 reach, X + 2 reach): see `derive_plane`.
    kernel_y, kernel_x
        Weights of the averaging, symmetric, from the centre outwards.
    out
        (F, 1, Y, X), written at feature `at` and the one after it.
    start, stop
        Range of lines of `out`.
    """
    width = out.shape[3]
    row = np.empty(products.shape[3], np.float32)
    tensor = np.empty((3, width), np.float32)
    ry, rx = kernel_y.size - 1, kernel_x.size - 1
    for y in range(start, stop):
        for k in range(3):
            _smooth_across(products[k], 0, y + ry, 0, 1, kernel_y, row)
            _smooth_along(row, rx, kernel_x, tensor[k])
        eigenvalues_2(tensor[0], tensor[1], tensor[2], out[at, 0, y], out[at + 1, 0, y])
        root(out[at, 0, y])
        root(out[at + 1, 0, y])


@_compiled
def structure_volume(tensor: Array, out: Array, at: int, start: int, stop: int) -> None:
    """Write the square roots of the eigenvalues of a smoothed tensor.

    Parameters
    ----------
    tensor
        (6, Z, Y, X): zz, zy, zx, yy, yx, xx.
    out
        (F, Z, Y, X), written at feature `at` and the two after it.
    start, stop
        Range of lines of `out`.
    """
    height, width = out.shape[2:]
    m = np.empty((6, width), np.float32)
    work = np.empty((4, width), np.float32)
    for line in range(start, stop):
        z, y = line // height, line % height
        high, mid, low = out[at, z, y], out[at + 1, z, y], out[at + 2, z, y]
        for k in range(6):
            m[k] = tensor[k, z, y]
        eigenvalues_3(m, work, high, mid, low)
        root(high)
        root(mid)
        root(low)
