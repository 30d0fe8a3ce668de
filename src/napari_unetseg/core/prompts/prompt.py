"""Prompts, the objects proposed for them, and the rules that every proposed object keeps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
"""Row and column in pixels; whole numbers are the middles of pixels."""

Box = tuple[float, float, float, float]
"""First row, first column, last row and last column in pixels."""

Mask = NDArray[np.bool_]

Taken = Mask | Callable[[tuple[slice, slice]], Mask] | None
"""Pixels of a plane that must not be entered: a mask of the plane, or a function from a window to
the mask of that window."""

SMALLEST = 4
"""Minimum number of pixels of a proposed object."""

HOLES = 0.1
"""Largest hole that is filled, as a share of the object."""


def never() -> bool:
    """Return False: nobody cancels."""
    return False


@dataclass(frozen=True)
class Prompt:
    """Marks of one object in a plane, in pixels.

    Parameters
    ----------
    inside
        Clicks in the object, and points along a stroke in it, in the order they were made.
    outside
        Clicks that are not in the object.
    box
        Around the object.
    """

    inside: tuple[Point, ...] = ()
    outside: tuple[Point, ...] = ()
    box: Box | None = None

    def with_inside(self, *points: Point) -> "Prompt":
        """Return a prompt with more points in the object."""
        return replace(self, inside=(*self.inside, *points))

    def with_outside(self, *points: Point) -> "Prompt":
        """Return a prompt with more points that are not in the object."""
        return replace(self, outside=(*self.outside, *points))

    def with_box(self, box: Box) -> "Prompt":
        """Return a prompt with this box; its corners may come in any order."""
        y0, x0, y1, x1 = box
        return replace(self, box=(min(y0, y1), min(x0, x1), max(y0, y1), max(x0, x1)))

    @property
    def single(self) -> bool:
        """Whether it is one point alone, which may have missed every object."""
        return len(self.inside) == 1 and not self.outside and self.box is None

    @property
    def anchor(self) -> Point | None:
        """The point that the object surely holds: the first inside, or the middle of the box."""
        if self.inside:
            return self.inside[0]
        if self.box is None:
            return None
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


@dataclass(frozen=True, eq=False)
class ProposedObject:
    """An object that is proposed for a prompt: one connected piece.

    Parameters
    ----------
    mask
        A window of the plane.
    origin
        Row and column of the first pixel of the window.
    score
        Expected intersection over union with the object that was meant, 0 to 1.
    probability
        float32 of the same window, for the next click and for neighbouring planes, or None.
    """

    mask: Mask
    origin: tuple[int, int]
    score: float
    probability: NDArray[np.float32] | None = field(default=None, repr=False)

    @property
    def slices(self) -> tuple[slice, slice]:
        """The window of the plane."""
        (y, x), (height, width) = self.origin, self.mask.shape
        return slice(y, y + height), slice(x, x + width)

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.mask))

    def whole(self, shape: Sequence[int]) -> Mask:
        """Return the mask of a whole plane of this shape."""
        plane = np.zeros(tuple(shape), bool)
        plane[self.slices] = self.mask
        return plane

    def within(self, window: tuple[slice, slice]) -> Mask:
        """Return the mask in another window of the plane."""
        mask = np.zeros([part.stop - part.start for part in window], np.bool_)
        self.paint(mask, window)
        return mask

    def paint(self, mask: Mask, window: tuple[slice, slice]) -> None:
        """Add the pixels of the object to the mask of another window of the plane."""
        low = [max(own.start, s.start) for own, s in zip(self.slices, window, strict=True)]
        high = [min(own.stop, s.stop) for own, s in zip(self.slices, window, strict=True)]
        if low[0] < high[0] and low[1] < high[1]:
            to = tuple(
                slice(a - s.start, b - s.start) for a, b, s in zip(low, high, window, strict=True)
            )
            of = tuple(slice(a - o, b - o) for a, b, o in zip(low, high, self.origin, strict=True))
            mask[to] |= self.mask[of]

    def depths(self) -> NDArray[np.float64]:
        """Return the distance of each pixel of the window to the outline, 0 outside the object."""
        from scipy import ndimage

        return np.asarray(ndimage.distance_transform_edt(np.pad(self.mask, 1))[1:-1, 1:-1])


class PromptSegmenter(Protocol):
    """Proposes objects of one plane."""

    def prepare(self, point: Point | None = None) -> None:
        """Load and read beforehand, in any thread, what the first proposal needs.

        Parameters
        ----------
        point
            Place that a click is expected at.
        """
        ...

    def propose(
        self,
        prompt: Prompt,
        *,
        previous: ProposedObject | None = None,
        taken: Taken = None,
        size: float | None = None,
        cancelled: Callable[[], bool] = never,
    ) -> ProposedObject | None:
        """Propose the object that a prompt marks.

        Parameters
        ----------
        prompt
            At least one point inside, or a box.
        previous
            Proposed for the prompt before the last click was added.
        taken
            Pixels of other objects: no proposed object holds any of them.
        size
            Expected diameter in pixels, instead of the segmenter's own.
        cancelled
            Asked between the steps; the answer is None as soon as it is true.

        Returns
        -------
        ProposedObject or None
            It holds the pixel of the first point inside and none of the points outside, and stays
            in the box unless a point inside is beyond it. None where there is no object, such as
            on the background, outside the image or on taken pixels.
        """
        ...


def widened(box: tuple[slice, slice], by: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return a window that is some pixels larger at each side, within a plane of this shape."""
    rows, columns = (
        slice(max(s.start - by, 0), min(s.stop + by, n)) for s, n in zip(box, shape, strict=True)
    )
    return rows, columns


def taken_within(taken: Taken, window: tuple[slice, slice]) -> Mask:
    """Return the pixels of a window that must not be entered."""
    if taken is None:
        return np.zeros([part.stop - part.start for part in window], np.bool_)
    return np.asarray(taken(window) if callable(taken) else taken[window]) > 0


def ring_around(mask: Mask, width: float) -> Mask:
    """Return the pixels outside a mask that are at most this far from it."""
    from scipy import ndimage

    return np.asarray((ndimage.distance_transform_edt(~mask) <= width) & ~mask)


def pixel_of(point: Point) -> tuple[int, int]:
    """Return the pixel that a point lies in."""
    return int(np.floor(point[0] + 0.5)), int(np.floor(point[1] + 0.5))


def settled(
    probability: NDArray[np.float32],
    origin: tuple[int, int],
    prompt: Prompt,
    taken: Taken,
    score: float,
    previous: ProposedObject | None = None,
) -> ProposedObject | None:
    """Make the proposed object of a window from the probability of its pixels.

    Parameters
    ----------
    probability
        (Y, X), the object where above 0.5.
    origin
        Row and column of the first pixel of the window.
    prompt, taken, previous
        See `PromptSegmenter`. A new click changes the object at least as far around it as it is
        from the outline of the previous one.
    score
        See `ProposedObject`.

    Returns
    -------
    ProposedObject or None
        The piece of the first point inside, without taken pixels and points outside, small holes
        filled; None if nothing or next to nothing is left.
    """
    from scipy import ndimage

    shape = probability.shape
    window = slice(origin[0], origin[0] + shape[0]), slice(origin[1], origin[1] + shape[1])
    barred = taken_within(taken, window)
    inside = [_within(point, origin, shape) for point in prompt.inside]
    outside = [_within(point, origin, shape) for point in prompt.outside]
    for at in filter(None, outside):
        barred[at] = True
    if prompt.box is not None and all(_in_box(point, prompt.box) for point in prompt.inside):
        barred |= ~_box_mask(prompt.box, window)
    mask = probability > 0.5
    clicks = [(at, True) for at in filter(None, inside)]
    clicks += [(at, False) for at in filter(None, outside)]
    if previous is not None:
        _heed(mask, clicks, previous.within(window))
    _heed(mask, clicks, mask.copy())
    mask &= ~barred
    if inside and (inside[0] is None or not mask[inside[0]]):
        return None
    mask = _piece(mask, inside[0] if inside else None)
    holes = ndimage.binary_fill_holes(mask) & ~mask & ~barred
    if holes.any():
        pieces, _ = ndimage.label(holes)
        sizes = np.bincount(pieces.ravel())
        filled = sizes <= HOLES * np.count_nonzero(mask)
        filled[0] = False
        mask |= filled[pieces]
    if np.count_nonzero(mask) < SMALLEST:
        return None
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    first = origin[0] + int(rows[0]), origin[1] + int(columns[0])
    kept = np.ascontiguousarray(probability[part], np.float32)
    return ProposedObject(np.ascontiguousarray(mask[part]), first, float(score), kept)


def _within(point: Point, origin: tuple[int, int], shape: Sequence[int]) -> Any:
    """Return the pixel of a window that a point lies in, or None."""
    y, x = pixel_of(point)
    at = y - origin[0], x - origin[1]
    return at if 0 <= at[0] < shape[0] and 0 <= at[1] < shape[1] else None


def _in_box(point: Point, box: Box) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def _box_mask(box: Box, window: tuple[slice, slice]) -> Mask:
    """Return which pixels of a window lie in a box, or next to it."""
    y, x = (np.arange(part.start, part.stop) for part in window)
    rows, columns = (y >= box[0] - 1) & (y <= box[2] + 1), (x >= box[1] - 1) & (x <= box[3] + 1)
    return rows[:, None] & columns


def _heed(mask: Mask, clicks: Sequence[tuple[Any, bool]], before: Mask) -> None:
    """Change a mask around the clicks that the mask before them contradicts.

    A click is made in the middle of an error. So the outline before it and the right one are about
    as far from it, and what lies nearer is wrong, up to halfway to the clicks of the other kind.
    Of several new clicks, as along a stroke, each changes only the pixels around it.
    """
    padded = np.pad(before, 1)
    wrong = [(at, wanted) for at, wanted in clicks if before[at] != wanted]
    for at, wanted in wrong:
        radius = 1.5
        right = np.argwhere(padded == wanted) - 1
        if len(wrong) == 1 and len(right):
            others = [np.hypot(*np.subtract(at, of)) / 2 for of, kind in clicks if kind != wanted]
            radius = min([float(np.hypot(*(right - at).T).min()), *others])
        y, x = np.ogrid[: mask.shape[0], : mask.shape[1]]
        mask[(y - at[0]) ** 2 + (x - at[1]) ** 2 < radius**2] = wanted
    for at, wanted in clicks:
        mask[at] = wanted


def _piece(mask: Mask, at: tuple[int, int] | None) -> Mask:
    """Return the connected piece of a pixel, or the largest one."""
    from scipy import ndimage

    pieces, count = ndimage.label(mask)
    if count == 0:
        return mask
    wanted = pieces[at] if at else np.argmax(np.bincount(pieces.ravel())[1:]) + 1
    return np.asarray(pieces == wanted)


__all__ = [
    "Box",
    "Mask",
    "Point",
    "Prompt",
    "PromptSegmenter",
    "ProposedObject",
    "Taken",
    "never",
    "pixel_of",
    "settled",
]
