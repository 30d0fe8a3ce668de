"""Crops: square windows of a plane, resampled to one side for every scale of objects."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.image import Image
from napari_unetseg.core.model.pretrained_features import colours
from napari_unetseg.core.prompts.prompt import Point, ProposedObject

FloatArray = NDArray[np.float32]

SIDE = 96
"""Rows and columns of a crop."""

SMALLEST_WINDOW, LARGEST_WINDOW = 32, 2048
"""Sides of the windows that objects are searched for in, in pixels."""

KEPT = 1024
"""Side of the part of the plane that is kept after it was read; a larger window is read alone."""


@dataclass(frozen=True)
class Window:
    """A square of a plane, which may extend beyond it.

    Parameters
    ----------
    top, left
        Its first row and column.
    side
        Its rows and columns.
    """

    top: int
    left: int
    side: int

    @classmethod
    def around(cls, middle: Point, side: float) -> "Window":
        """Return the window of a side around a point."""
        n = max(round(side), 8)
        return cls(round(middle[0] - (n - 1) / 2), round(middle[1] - (n - 1) / 2), n)

    def crop_points(self, points: Iterable[Point]) -> NDArray[np.float64]:
        """Return points of the plane as rows and columns (n, 2) of the crop."""
        at = np.array(list(points), float).reshape(-1, 2) - (self.top, self.left)
        return (at + 0.5) * (SIDE / self.side) - 0.5

    def clipped(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """Return the part of the window within a plane of this shape."""
        rows, columns = (
            slice(min(max(start, 0), n), min(max(start + self.side, 0), n))
            for start, n in zip((self.top, self.left), shape, strict=True)
        )
        return rows, columns


@dataclass(frozen=True, eq=False)
class Crop:
    """The pixels of a window, resampled and scaled.

    Parameters
    ----------
    window
        Where it is.
    pixels
        float32 (3, SIDE, SIDE) of zero mean and about unit variance; 0 outside the image.
    valid
        float32 (SIDE, SIDE): 1 within the image, 0 outside.
    """

    window: Window
    pixels: FloatArray
    valid: FloatArray


@lru_cache(maxsize=256)
def resampling(before: int, after: int) -> FloatArray:
    """Return the matrix (after, before) that resamples a row of pixels, linearly and without alias.

    The rows have the sum 1.
    """
    step = before / after
    middles = (np.arange(after) + 0.5) * step - 0.5
    away = np.abs(middles[:, None] - np.arange(before)) / max(step, 1.0)
    weights = np.clip(1 - away, 0, None)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def to_crop(part: FloatArray, window: Window, shape: tuple[int, ...]) -> FloatArray:
    """Resample what a window has of a plane, (..., Y, X), to (..., SIDE, SIDE); 0 outside of it."""
    rows, columns = window.clipped(shape)
    whole = resampling(window.side, SIDE)
    down = whole[:, rows.start - window.top : rows.stop - window.top]
    across = whole[:, columns.start - window.left : columns.stop - window.left]
    return np.asarray(down @ part @ across.T, np.float32)


def from_crop(field: FloatArray, window: Window, shape: tuple[int, ...]) -> FloatArray:
    """Resample a map (SIDE, SIDE) to the pixels of its window within a plane of this shape."""
    rows, columns = window.clipped(shape)
    whole = resampling(SIDE, window.side)
    down = whole[rows.start - window.top : rows.stop - window.top]
    across = whole[columns.start - window.left : columns.stop - window.left]
    return np.asarray(down @ field @ across.T, np.float32)


def scaled_crop(part: FloatArray, window: Window, shape: tuple[int, ...]) -> Crop:
    """Make the crop of a window from its pixels in the plane, (C, Y, X); NaN becomes the mean."""
    finite = np.isfinite(part)
    if not finite.all():
        usual = float(part[finite].mean()) if finite.any() else 0.0
        part = np.where(finite, part, np.float32(usual))
    mixed = np.tensordot(colours(len(part)), part, 1) if len(part) != 3 else part
    # Large numbers lose nothing in the products that follow.
    mixed = mixed - mixed.reshape(3, -1).mean(1)[:, None, None]
    valid = to_crop(np.ones(part.shape[1:], np.float32), window, shape)
    pixels = to_crop(mixed, window, shape)
    within = valid > 0.5
    pixels /= np.maximum(valid, 0.5)
    values = pixels[:, within]
    pixels -= values.mean(1)[:, None, None]
    spread = values.std(1)
    # A channel without contrast stays flat beside one that has some.
    spread = np.maximum(spread, max(0.3 * float(spread.max()), 1e-12))
    pixels *= (within / spread[:, None, None]).astype(np.float32)
    return Crop(window, np.clip(pixels, -6, 6), valid)


class PlaneReader:
    """Reads windows of a plane of an image, keeping the part that was read last.

    Parameters
    ----------
    image
        With the axes Y and X, and C or not; lazy or not.
    """

    def __init__(self, image: Image) -> None:
        self._image = image
        self.shape = image.spatial_shape
        self._kept: tuple[tuple[slice, slice], FloatArray] | None = None

    def read(self, part: tuple[slice, slice]) -> FloatArray:
        """Return the pixels of a part of the plane as float32 (C, Y, X)."""
        if not self._image.lazy:
            return self._pixels(part)
        kept = self._kept
        if kept is None or not _holds(kept[0], part):
            if max(s.stop - s.start for s in part) > KEPT:
                return self._pixels(part)
            around = tuple(_widened(s, n) for s, n in zip(part, self.shape, strict=True))
            kept = self._kept = (around, self._pixels(around))
        inner = tuple(
            slice(s.start - k.start, s.stop - k.start) for s, k in zip(part, kept[0], strict=True)
        )
        return kept[1][(slice(None), *inner)]

    def crop(self, window: Window) -> Crop | None:
        """Return the crop of a window; None if it lies outside the plane."""
        part = window.clipped(self.shape)
        if any(s.start >= s.stop for s in part):
            return None
        return scaled_crop(self.read(part), window, self.shape)

    def _pixels(self, part: Any) -> FloatArray:
        image = self._image
        of_axis = {"Y": part[0], "X": part[1]}
        block = np.asarray(image.data[tuple(of_axis.get(a, slice(None)) for a in image.axes)])
        if "C" in image.axes:
            return np.moveaxis(block, image.axes.index("C"), 0).astype(np.float32)
        return block.astype(np.float32)[None]


def windows_around(
    middle: Point, shape: tuple[int, ...], size: float | None, extent: float = 0.0
) -> list[Window]:
    """Return the windows to search an object in, the smallest first.

    Parameters
    ----------
    middle
        Of all windows.
    shape
        Of the plane.
    size
        Expected diameter of the object; None: every scale that the plane has room for.
    extent
        Pixels that the windows cover at least.
    """
    if size is not None:
        sides = [factor * max(size, extent, 4.0) for factor in (1.5, 2.3, 3.5)]
    else:
        largest = min(max(shape) * 1.5, LARGEST_WINDOW)
        count = max(int(np.ceil(np.log2(max(largest, 33) / SMALLEST_WINDOW))), 1)
        sides = [float(SMALLEST_WINDOW * 2**k) for k in range(count + 1)]
        sides = [side for side in sides if side >= 1.2 * extent] or [1.5 * extent]
    return [Window.around(middle, side) for side in sides]


def windows_of(found: ProposedObject, points: Iterable[Point]) -> list[Window]:
    """Return windows around a proposed object and points, narrow and wide."""
    low, high = np.array(found.origin, float), np.array(found.origin) + found.mask.shape - 1.0
    for point in points:
        low, high = np.minimum(low, point), np.maximum(high, point)
    middle, extent = (low + high) / 2, float((high - low).max()) + 1
    return [Window.around((middle[0], middle[1]), f * max(extent, 8)) for f in (1.5, 2.2)]


def _holds(outer: tuple[slice, ...], inner: tuple[slice, ...]) -> bool:
    pairs = zip(outer, inner, strict=True)
    return all(o.start <= i.start and i.stop <= o.stop for o, i in pairs)


def _widened(part: slice, n: int) -> slice:
    more = (KEPT - (part.stop - part.start)) // 2
    return slice(max(part.start - more, 0), min(part.stop + more, n))


__all__ = [
    "SIDE",
    "Crop",
    "PlaneReader",
    "Window",
    "from_crop",
    "resampling",
    "scaled_crop",
    "to_crop",
    "windows_around",
    "windows_of",
]
