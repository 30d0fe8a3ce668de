"""Crops: square windows of a plane, resampled to one side for every scale of objects."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.image import Image, read_pixels
from napari_unetseg.core.model.pretrained_features import colours
from napari_unetseg.core.prompts.prompt import Point, Prompt, ProposedObject

FloatArray = NDArray[np.float32]

SIDE = 96
"""Rows and columns of a crop."""

SMALLEST_WINDOW, LARGEST_WINDOW = 32, 1024
"""Sides of the windows that objects are searched for in, in pixels."""

FINEST = 512
"""Largest side of a window of which every pixel is read; of larger ones every second, and so on."""

_FEW, _ONE_IN, _REACH = 4, 10_000, 10
"""At most this many pixels of a channel, and one in so many, are outliers: those beyond the range
of the others by more than this many times that range."""

_HUGE = 1e15
"""Of larger numbers, squares have no place in single precision."""

KEPT = 1536
"""Side of the part of the plane that is kept after it was read; a larger window is read alone."""


@dataclass(frozen=True)
class CropWindow:
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
    def around(cls, middle: Point, side: float) -> "CropWindow":
        """Return the window of a side around a point."""
        n = max(round(side), 8)
        return cls(round(middle[0] - (n - 1) / 2), round(middle[1] - (n - 1) / 2), n)

    @property
    def step(self) -> int:
        """Pixels from one that is read to the next."""
        return max(self.side // FINEST, 1)

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

    window: CropWindow
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


def to_crop(part: FloatArray, window: CropWindow, shape: tuple[int, ...]) -> FloatArray:
    """Resample what a window has of a plane to (..., SIDE, SIDE); 0 outside of it.

    Parameters
    ----------
    part
        (..., Y, X), with every `CropWindow.step`-th row and column.
    window, shape
        Where it is in a plane of this shape.
    """
    rows, columns = window.clipped(shape)
    step = window.step
    whole = resampling(window.side, SIDE) * np.float32(step)
    down = whole[:, rows.start - window.top : rows.stop - window.top : step]
    across = whole[:, columns.start - window.left : columns.stop - window.left : step]
    return np.asarray(down @ part @ across.T, np.float32)


def from_crop(field: FloatArray, window: CropWindow, part: tuple[slice, slice]) -> FloatArray:
    """Resample a map (SIDE, SIDE) to the pixels of a part of its window."""
    rows, columns = part
    whole = resampling(SIDE, window.side)
    down = whole[rows.start - window.top : rows.stop - window.top]
    across = whole[columns.start - window.left : columns.stop - window.left]
    return np.asarray(down @ field @ across.T, np.float32)


def fullest_part(
    field: FloatArray, window: CropWindow, points: Iterable[Point], shape: tuple[int, ...]
) -> tuple[slice, slice]:
    """Return the part of a window, within a plane of this shape, with all of an object.

    Parameters
    ----------
    field
        (SIDE, SIDE): the object where above 0.5.
    points
        Places that belong to it, too.
    """
    scale = window.side / SIDE
    high = field > 0.5
    points = np.array(list(points), float).reshape(-1, 2)
    part = []
    for axis, (first, within) in enumerate(
        zip((window.top, window.left), window.clipped(shape), strict=True)
    ):
        at = np.flatnonzero(high.any(1 - axis))
        ends = [first + (at[0] - 1) * scale, first + (at[-1] + 2) * scale] if len(at) else []
        ends += [points[:, axis].min() - 2, points[:, axis].max() + 3] if len(points) else []
        start, stop = (min(ends), max(ends)) if ends else (within.start, within.stop)
        start = min(max(int(np.floor(start)), within.start), within.stop)
        part.append(slice(start, max(min(int(np.ceil(stop)), within.stop), start)))
    return part[0], part[1]


def agreement(one: FloatArray, window: CropWindow, other: FloatArray, wider: CropWindow) -> float:
    """Return the intersection over union of an object in two crops, where above 0.5.

    Parameters
    ----------
    one, other
        (SIDE, SIDE) each.
    window, wider
        Windows of the crops, the first within the second.
    """
    scale = window.side / wider.side
    middles = (np.arange(SIDE) + 0.5) * scale
    rows, columns = (
        np.clip((middles + start * (SIDE / wider.side)).astype(int), 0, SIDE - 1)
        for start in (window.top - wider.top, window.left - wider.left)
    )
    mine, others = one > 0.5, other > 0.5
    both = scale**2 * np.count_nonzero(mine & others[rows][:, columns])
    either = scale**2 * np.count_nonzero(mine) + np.count_nonzero(others) - both
    return float(both / max(either, 1))


def scaled_crop(part: FloatArray, window: CropWindow, shape: tuple[int, ...]) -> Crop:
    """Make the crop of a window from its pixels (C, Y, X), see `to_crop` and `without_outliers`."""
    part = without_outliers(part)
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


def without_outliers(part: FloatArray) -> FloatArray:
    """Return pixels (C, Y, X) without those of a broken detector, which would hide all contrast.

    NaN and infinite pixels become the median of their channel. The few lowest and highest of a
    channel come near the others where they are far beyond them.
    """
    finite = np.isfinite(part)
    if not finite.all():
        part = part.copy()
        for channel, known in zip(part, finite, strict=True):
            channel[~known] = np.median(channel[known]) if known.any() else 0
    flat = part.reshape(len(part), -1)
    n = flat.shape[1]
    few = min(_FEW + n // _ONE_IN, (n - 1) // 2)
    ends = np.partition(flat, (few, n - 1 - few), axis=1)[:, [few, n - 1 - few]]
    low, high = ends.T.astype(np.float64)[..., None, None]
    # On a background of one value, a small object is no outlier: only huge numbers are.
    spread = np.where(high > low, high - low, 1e6 * np.maximum(np.abs(high), 1))
    lowest, highest = (
        np.clip(bound, -_HUGE, _HUGE).astype(np.float32)
        for bound in (low - _REACH * spread, high + _REACH * spread)
    )
    return np.clip(part, lowest, highest)


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

    def read(self, part: tuple[slice, slice], step: int = 1) -> FloatArray:
        """Return each `step`-th pixel of a part of the plane as float32 (C, Y, X)."""
        if not self._image.lazy:
            return self._pixels(part, step)
        kept = self._kept
        if kept is None or not _holds(kept[0], part):
            if max(s.stop - s.start for s in part) > KEPT:
                return self._pixels(part, step)
            around = _widened(part[0], self.shape[0]), _widened(part[1], self.shape[1])
            kept = self._kept = (around, self._pixels(around, 1))
        inner = tuple(
            slice(s.start - k.start, s.stop - k.start, step)
            for s, k in zip(part, kept[0], strict=True)
        )
        return kept[1][(slice(None), *inner)]

    def crop(self, window: CropWindow) -> Crop | None:
        """Return the crop of a window; None if it lies outside the plane."""
        part = window.clipped(self.shape)
        if any(s.start >= s.stop for s in part):
            return None
        return scaled_crop(self.read(part, window.step), window, self.shape)

    def _pixels(self, part: tuple[slice, slice], step: int) -> FloatArray:
        image = self._image
        of_axis = {a: slice(s.start, s.stop, step) for a, s in zip("YX", part, strict=True)}
        block = read_pixels(image.data[tuple(of_axis.get(a, slice(None)) for a in image.axes)])
        block = np.moveaxis(block, image.axes.index("C"), 0) if "C" in image.axes else block[None]
        # A number too large for single precision becomes infinite, which is mended later.
        with np.errstate(over="ignore"):
            return block.astype(np.float32)


def windows_around(
    middle: Point, shape: tuple[int, ...], size: float | None, extent: float = 0.0
) -> list[CropWindow]:
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
    return [CropWindow.around(middle, side) for side in sides]


def windows_of(found: ProposedObject, prompt: Prompt) -> list[CropWindow]:
    """Return windows around a proposed object and the points inside, narrow and wide.

    Where a point outside is near those inside, there is a window of that scale, too.
    """
    points = prompt.inside
    low, high = np.array(found.origin, float), np.array(found.origin) + found.mask.shape - 1.0
    for point in points:
        low, high = np.minimum(low, point), np.maximum(high, point)
    middle, extent = (low + high) / 2, float((high - low).max()) + 1
    windows = [CropWindow.around((middle[0], middle[1]), f * max(extent, 8)) for f in (1.5, 2.2)]
    if prompt.outside and points:
        inside, outside = np.array(points), np.array(prompt.outside)
        away = np.abs(outside[:, None] - inside).max(2).min(1).min()
        spread = float(np.ptp(inside, axis=0).max())
        near = max(3 * float(away), 1.5 * spread, 12.0)
        if near < 0.7 * windows[0].side:
            centre = inside.mean(0)
            windows.insert(0, CropWindow.around((centre[0], centre[1]), near))
    return windows


def _holds(outer: tuple[slice, ...], inner: tuple[slice, ...]) -> bool:
    pairs = zip(outer, inner, strict=True)
    return all(o.start <= i.start and i.stop <= o.stop for o, i in pairs)


def _widened(part: slice, n: int) -> slice:
    more = (KEPT - (part.stop - part.start)) // 2
    return slice(max(part.start - more, 0), min(part.stop + more, n))


__all__ = [
    "SIDE",
    "Crop",
    "CropWindow",
    "PlaneReader",
    "agreement",
    "from_crop",
    "fullest_part",
    "resampling",
    "scaled_crop",
    "to_crop",
    "windows_around",
    "windows_of",
    "without_outliers",
]
