"""Comparison of pixels with levels, or with a separate level for every pixel."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.background.gaussian import gaussian
from napari_unetseg.core.compute.parallel_rows import map_strips
from napari_unetseg.core.threshold.histogram import PIECE, flat

Array = NDArray[Any]
Classes = NDArray[np.uint8]


def count_beyond(
    pixels: Array, levels: Sequence[float], *, dark: bool = False, out: Classes | None = None
) -> Classes:
    """Count the levels that each pixel is beyond.

    Parameters
    ----------
    pixels
        Any shape. NaN and infinite pixels are beyond no level.
    levels
        At least one level; no pixel is beyond a NaN. Levels are rounded to the pixels' precision,
        as in numpy comparisons.
    dark
        Count the levels that a pixel is at or below, instead of those it is above.
    out
        Contiguous output array, written and returned.

    Returns
    -------
    array of the same shape, uint8
    """
    if out is None:
        out = np.empty(pixels.shape, dtype=np.uint8)
    row, marks = flat(pixels), out.reshape(-1)
    for number, level in enumerate(levels):
        least, most = _range_beyond(level, row.dtype, dark)
        map_strips(partial(_mark, row, least, most, number > 0, marks), row.size, rows=PIECE)
    return out


def beyond_surface(plane: Array, surface: Array, *, dark: bool = False) -> Classes:
    """Return 1 where a finite pixel is above its local level; at or below it for dark objects."""
    with np.errstate(invalid="ignore"):
        beyond = plane <= surface if dark else plane > surface
    if plane.dtype.kind == "f":
        beyond &= np.isfinite(plane)
    return beyond.view(np.uint8)


def sauvola_level(plane: Array, window: int, k: float, contrast: float | None = None) -> Array:
    """Compute Sauvola's local level (2000) at every pixel, as scikit-image does.

    The dynamic range is that of the dtype for 8-bit images, half of 255; for all others, half the
    range of the plane's own values, or half of `contrast`.
    """
    from skimage.filters import threshold_sauvola

    values = plane.view(np.uint8) if plane.dtype == np.bool_ else plane
    if values.dtype == np.uint8:
        level: Array = threshold_sauvola(values, window, k)
        return level
    values = _without_gaps(values)
    half_range = (float(values.max() - values.min()) if contrast is None else contrast) / 2
    level = threshold_sauvola(values, window, k, r=half_range or 1.0)
    return level


def gaussian_level(plane: Array, window: int) -> Array:
    """Compute the Gaussian-weighted mean of the window around every pixel.

    As ``skimage.filters.threshold_local``: the window is six standard deviations wide.
    """
    return gaussian(plane, (window - 1) / 6)


def _mark(
    row: Array, least: Any, most: Any, add: bool, marks: Classes, start: int, stop: int
) -> None:
    """Set the marks of the pixels from `least` to `most` to 1 and others to 0, or add these."""
    pixels, target = row[start:stop], marks[start:stop]
    with np.errstate(invalid="ignore"):
        within = pixels >= least
        within &= pixels <= most
    if add:
        target += within
    else:
        target[:] = within


def _range_beyond(level: float, dtype: np.dtype[Any], dark: bool) -> tuple[Any, Any]:
    """Return the smallest and the largest number beyond a level; an empty range if none."""
    info: Any = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    if math.isnan(level):
        return dtype.type(1), dtype.type(0)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            bound = dtype.type(level)
        return (info.min, bound) if dark else (np.nextafter(bound, dtype.type(np.inf)), info.max)
    whole = math.floor(level)
    if whole < info.min or whole >= info.max:
        everything = (whole >= info.max) == dark
        return (info.min, info.max) if everything else (dtype.type(1), dtype.type(0))
    return (
        (dtype.type(info.min), dtype.type(whole))
        if dark
        else (dtype.type(whole + 1), dtype.type(info.max))
    )


def _without_gaps(values: Array) -> Array:
    """Convert to floats, replacing NaN and infinity by the mean of the finite values."""
    values = values.astype(np.float64 if values.dtype.itemsize > 4 else np.float32, copy=False)
    finite = np.isfinite(values)
    if finite.all():
        return values
    return np.where(finite, values, values[finite].mean() if finite.any() else 0)


__all__ = ["beyond_surface", "count_beyond", "gaussian_level", "sauvola_level"]
