"""Corrections of all objects at once: computed from the current labels, then joined.

Where two objects would gain the same pixel, the object with the larger claim gets it, and the
smaller id if the claims are equal, so that the order of the objects does not matter.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.corrections.change import (
    Array,
    Change,
    LabelsView,
    Parts,
    check_id_fits,
    relative_steps,
)
from napari_unetseg.core.corrections.locked_pixels import Box, PixelSet
from napari_unetseg.core.corrections.reshape import (
    OutlineEdit,
    find_holes,
    grow_outline,
    shrink_outline,
    smooth_outline,
    vanishes,
)
from napari_unetseg.core.corrections.split_object import separate
from napari_unetseg.core.progress import Progress, silent, track


def smaller_than(labels: Array, parts: Parts, pixels: int) -> dict[int, Box]:
    """Select the objects with fewer pixels than a limit."""
    return {
        number: box
        for number, box in parts.items()
        if np.count_nonzero(labels[box] == number) < pixels
    }


def at_border(labels: Array, parts: Parts, *, axes: Sequence[int] = (-2, -1)) -> dict[int, Box]:
    """Select the objects that touch the border.

    Parameters
    ----------
    axes
        The axes whose ends are the border. Add z for a stack that is deeper than its objects.
    """
    return {number: box for number, box in parts.items() if _touches(labels, box, number, axes)}


def fill_every(labels: Array, parts: Parts, *, progress: Progress = silent) -> Change:
    """Fill the holes of every object; see `fill_holes`."""
    return _every(labels, parts, partial(find_holes, labels), progress, "filling holes")


def grow_every(
    labels: Array,
    parts: Parts,
    by: float,
    *,
    spacing: Sequence[float] = (),
    progress: Progress = silent,
) -> Change:
    """Grow every object; a pixel between two goes to the nearer one. See `grow`."""
    steps = relative_steps(spacing, labels.ndim)
    move = partial(grow_outline, labels, by=by, steps=steps)
    return _every(labels, parts, move, progress, "growing")


def shrink_every(
    labels: Array,
    parts: Parts,
    by: float,
    *,
    spacing: Sequence[float] = (),
    progress: Progress = silent,
) -> Change:
    """Shrink every object that would not vanish; see `shrink`."""
    steps = relative_steps(spacing, labels.ndim)
    move = partial(shrink_outline, labels, by=by, steps=steps)
    return _every(labels, parts, move, progress, "shrinking")


def smooth_every(
    labels: Array,
    parts: Parts,
    by: float,
    *,
    spacing: Sequence[float] = (),
    progress: Progress = silent,
) -> Change:
    """Smooth every object that would not vanish; see `smooth`."""
    steps = relative_steps(spacing, labels.ndim)

    def move(box: Box, number: int) -> OutlineEdit:
        outline = smooth_outline(labels, box, number, by, steps)
        if vanishes(labels, number, outline):
            nothing = np.zeros_like(outline.lost)
            return OutlineEdit(outline.box, nothing, nothing, outline.claim)
        return outline

    return _every(labels, parts, move, progress, "smoothing")


def separate_every(
    labels: Array, parts: Parts, *, first: int, progress: Progress = silent
) -> Change:
    """Give each disconnected part of an object its own id.

    Returns
    -------
    Change
        Only objects with several parts count as checked.
    """
    changes = []
    for number, box in track(list(parts.items()), progress, "separating"):
        change = separate(labels, box, number, first=first)
        if len(change):
            first = int(change.after.max()) + 1
            changes.append(change)
    return Change.joined(changes, labels)


def renumber(labels: Array, parts: Parts) -> Change:
    """Renumber the objects from 1 without gaps.

    Only as many objects change as there are gaps: those with the largest ids fill them. All others
    keep their ids, and their colours.
    """
    n = len(parts)
    free = np.setdiff1d(np.arange(1, n + 1), list(parts))
    above = [number for number in sorted(parts) if not 1 <= number <= n]
    changes = [
        Change.of(labels, parts[number], labels[parts[number]] == number, int(new))
        for number, new in zip(above, free, strict=True)
    ]
    return Change.joined(changes, labels)


def collect_pixels(
    labels: Array, parts: Parts, frame: LabelsView, shape: Sequence[int]
) -> PixelSet:
    """Collect the pixels of objects in a view as pixels of the whole array.

    Parameters
    ----------
    labels
        Labels in the view.
    shape
        Shape of the whole array.
    """
    pixels = PixelSet(shape)
    for number, box in parts.items():
        whole = frame.box(box)
        mask = (labels[box] == number).reshape([part.stop - part.start for part in whole])
        pixels.add(whole, mask)
    return pixels


def _touches(labels: Array, box: Box, number: int, axes: Sequence[int]) -> bool:
    crop = labels[box]
    for axis in axes:
        part, length = box[axis], labels.shape[axis]
        ends = [end for end, at in ((0, part.start == 0), (-1, part.stop == length)) if at]
        if any((np.take(crop, end, axis=axis) == number).any() for end in ends):
            return True
    return False


def _every(
    labels: Array,
    parts: Parts,
    move: Callable[[Box, int], OutlineEdit],
    progress: Progress,
    message: str,
) -> Change:
    """Compute the outline edit of every object and join all into one change."""
    check_id_fits(labels.dtype, max(parts, default=0))
    flat: list[NDArray[np.intp]] = []
    after: list[NDArray[np.int64]] = []
    claims: list[NDArray[np.float32]] = []
    objects = []
    for number, box in track(list(parts.items()), progress, message):
        outline = move(box, number)
        inside = np.nonzero(outline.lost | outline.gained)
        if not len(inside[0]):
            continue
        objects.append(number)
        indices = [a + part.start for a, part in zip(inside, outline.box, strict=True)]
        flat.append(np.ravel_multi_index(indices, labels.shape))
        after.append(np.where(outline.gained[inside], number, 0))
        claims.append(outline.claim[inside])
    if not flat:
        return Change.joined([], labels)
    return _settled(
        labels, np.concatenate(flat), np.concatenate(after), np.concatenate(claims), objects
    )


def _settled(
    labels: Array,
    flat: NDArray[np.intp],
    after: NDArray[np.int64],
    claims: NDArray[np.float32],
    objects: list[int],
) -> Change:
    order = np.lexsort((after, -claims, flat))
    flat, after = flat[order], after[order]
    won = np.r_[True, flat[1:] != flat[:-1]]
    index = np.unravel_index(flat[won], labels.shape)
    return Change(tuple(index), labels[index], after[won].astype(labels.dtype), tuple(objects))


__all__ = [
    "at_border",
    "collect_pixels",
    "fill_every",
    "grow_every",
    "renumber",
    "separate_every",
    "shrink_every",
    "smaller_than",
    "smooth_every",
]
