"""Compiled loops behind `moments`: sums along rows, and surfaces written row by row.

Each kernel works on a strip of rows, in chunks of columns whose buffers stay in the first-level
cache. Slices are taken from zero before a loop: only then can the compiler prove that the indices
stay inside, and vectorise the loop.

This module imports numba and is itself imported only when a surface is fitted or evaluated.
"""

import numpy as np

from napari_unetseg.core.compute.compilation import compiled

_CHUNK = 512

# Infinities and NaN must keep their meaning: they mark pixels that are ignored.
_compile = compiled(fastmath={"reassoc", "contract", "nsz"})


@compiled(inline="always")
def start_horner(coefficients, position, values):  # type: ignore[no-untyped-def]
    """Evaluate a polynomial of the position by Horner's rule, except for the last step.

    The polynomial is ``values * position + coefficients[0]``: the caller does this last step while
    using the values, which saves one read and one write of them.
    """
    degree = len(coefficients) - 1
    n = len(values)
    highest = coefficients[degree]
    if degree < 2:
        values[:] = highest if degree == 1 else coefficients.dtype.type(0)
    else:
        coefficient = coefficients[degree - 1]
        for i in range(n):
            values[i] = highest * position[i] + coefficient
    for power in range(degree - 2, 0, -1):
        coefficient = coefficients[power]
        for i in range(n):
            values[i] = values[i] * position[i] + coefficient


@_compile
def sum_areas(data, keep, divisor, side, checked, sums, counts):  # type: ignore[no-untyped-def]
    """Add the usable pixels, and their number, to their areas.

    Unless `checked`, all pixels are assumed usable first; only rows of areas whose sum is not
    finite are examined pixel by pixel.
    """
    n_rows, n_columns = data.shape
    total = np.zeros(n_columns)
    count = np.zeros(n_columns)
    limit = np.finfo(np.float64).max
    for first in range(0, n_rows, side):
        last = min(first + side, n_rows)
        total[:] = 0.0
        if not checked:
            for row in range(first, last):
                values = data[row]
                for x in range(n_columns):
                    total[x] += values[x]
            count[:] = last - first
        if checked or not abs(total.sum()) <= limit:
            total[:] = 0.0
            count[:] = 0.0
            for row in range(first, last):
                values, row_keep = data[row], keep[row // divisor]
                for x in range(n_columns):
                    value = np.float64(values[x])
                    inside = (abs(value) <= limit) & (row_keep[x] != 0)
                    total[x] += value if inside else 0.0
                    count[x] += 1.0 if inside else 0.0
        area_sums, area_counts = sums[first // side], counts[first // side]
        for x in range(n_columns):
            area_sums[x // side] += total[x]
            area_counts[x // side] += count[x]


@_compile
def sum_all(data, x_powers, level, out):  # type: ignore[no-untyped-def]
    """Write, for each row, the sums of values times powers of x, and of the squared values.

    Powers are taken two at a time, so that the values are read half as often; `x_powers` has one
    power more than needed.
    """
    n_rows, n_columns = data.shape
    n_powers = out.shape[1] - 1
    buffer = np.empty(_CHUNK)
    for row in range(n_rows):
        out[row] = 0.0
        for first in range(0, n_columns, _CHUNK):
            last = min(first + _CHUNK, n_columns)
            n = last - first
            values, raw = buffer[:n], data[row, first:last]
            total, squares = 0.0, 0.0
            for i in range(n):
                value = np.float64(raw[i]) - level
                values[i] = value
                total += value
                squares += value * value
            out[row, 0] += total
            out[row, n_powers] += squares
            for power in range(1, n_powers, 2):
                x, x_next = x_powers[power, first:last], x_powers[power + 1, first:last]
                total, total_next = 0.0, 0.0
                for i in range(n):
                    total += values[i] * x[i]
                    total_next += values[i] * x_next[i]
                out[row, power] += total
                if power + 1 < n_powers:
                    out[row, power + 1] += total_next


@_compile
def sum_clipped(data, keep, divisor, x_powers, surface, low, high, weigh, out):  # type: ignore[no-untyped-def]
    """Write, for each row, the sums of weights, and of values above the surface, times powers of x.

    Arithmetic is in the dtype of `x_powers`; the sums of a chunk are accumulated in double
    precision. Powers are taken two at a time, so that the values are read half as often.
    """
    n_rows, n_columns = data.shape
    n_powers = len(x_powers)
    degree = surface.shape[1] - 1
    kind = x_powers.dtype.type
    zero, one, below, above = kind(0), kind(1), kind(low), kind(high)
    residuals = np.empty(_CHUNK, x_powers.dtype)
    weights = np.empty(_CHUNK, x_powers.dtype)
    for row in range(n_rows):
        out[row] = 0.0
        row_keep = keep[row // divisor]
        for first in range(0, n_columns, _CHUNK):
            last = min(first + _CHUNK, n_columns)
            n = last - first
            residual, weight = residuals[:n], weights[:n]
            values, allowed = data[row, first:last], row_keep[first:last]
            position = x_powers[min(1, n_powers - 1), first:last]
            start_horner(surface[row], position, residual)
            constant = surface[row, 0]
            total, squares, count = zero, zero, zero
            for i in range(n):
                value = kind(values[i]) - (residual[i] * position[i] + constant)
                inside = (value >= below) & (value <= above) & (allowed[i] != 0)
                value = value if inside else zero
                taken = one if inside else zero
                residual[i] = value
                weight[i] = taken
                total += value
                squares += value * value
                count += taken
            out[row, 0] += count
            out[row, n_powers] += total
            out[row, n_powers + degree + 1] += squares
            for power in range(1, degree + 1, 2):
                x, x_next = x_powers[power, first:last], x_powers[power + 1, first:last]
                total, total_next = zero, zero
                for i in range(n):
                    total += residual[i] * x[i]
                    total_next += residual[i] * x_next[i]
                out[row, n_powers + power] += total
                if power < degree:
                    out[row, n_powers + power + 1] += total_next
            if weigh:
                for power in range(1, n_powers, 2):
                    x, x_next = x_powers[power, first:last], x_powers[power + 1, first:last]
                    total, total_next = zero, zero
                    for i in range(n):
                        total += weight[i] * x[i]
                        total_next += weight[i] * x_next[i]
                    out[row, power] += total
                    out[row, power + 1] += total_next


@_compile
def write_surface(surface, positions, out):  # type: ignore[no-untyped-def]
    """Write the surface."""
    n_rows, n_columns = out.shape
    buffer = np.empty(_CHUNK)
    for row in range(n_rows):
        for first in range(0, n_columns, _CHUNK):
            last = min(first + _CHUNK, n_columns)
            values, into = buffer[: last - first], out[row, first:last]
            position, constant = positions[first:last], surface[row, 0]
            start_horner(surface[row], position, values)
            for i in range(last - first):
                into[i] = values[i] * position[i] + constant


@_compile
def write_difference(data, surface, positions, out):  # type: ignore[no-untyped-def]
    """Write the image minus the surface."""
    n_rows, n_columns = out.shape
    buffer = np.empty(_CHUNK)
    for row in range(n_rows):
        for first in range(0, n_columns, _CHUNK):
            last = min(first + _CHUNK, n_columns)
            values, into = buffer[: last - first], out[row, first:last]
            image = data[row, first:last]
            position, constant = positions[first:last], surface[row, 0]
            start_horner(surface[row], position, values)
            for i in range(last - first):
                into[i] = image[i] - (values[i] * position[i] + constant)


@_compile
def write_quotient(data, surface, positions, mean, floor, out):  # type: ignore[no-untyped-def]
    """Write the image times the surface's mean over the surface, clipped below at `floor`."""
    n_rows, n_columns = out.shape
    buffer = np.empty(_CHUNK)
    for row in range(n_rows):
        for first in range(0, n_columns, _CHUNK):
            last = min(first + _CHUNK, n_columns)
            values, into = buffer[: last - first], out[row, first:last]
            image = data[row, first:last]
            position, constant = positions[first:last], surface[row, 0]
            start_horner(surface[row], position, values)
            for i in range(last - first):
                into[i] = image[i] * (mean / max(values[i] * position[i] + constant, floor))
