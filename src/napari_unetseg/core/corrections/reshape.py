"""Corrections of an object's outline: fill holes, smooth, grow and shrink.

None takes a pixel of a neighbour. Lengths are in pixels of the finest axis, so that an object in an
anisotropic stack changes by the same length along all axes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.corrections.change import Array, Change, Mask, padded, relative_steps
from napari_unetseg.core.corrections.locked_pixels import Box
from napari_unetseg.core.errors import InputError, NothingToDo


class OutlineEdit(NamedTuple):
    """Edit of an object's outline: pixels gained and lost, in a box around it."""

    box: Box
    lost: Mask
    gained: Mask
    claim: NDArray[np.float32]
    """Priority of the object at each gained pixel: the largest gets it."""


def fill_holes(labels: Array, box: Box, number: int) -> Change:
    """Fill the background enclosed by an object, in 3D on all sides.

    Other objects within the hole stay.

    Raises
    ------
    InputError
        When the object has no hole.
    """
    change = edit_outline(labels, number, find_holes(labels, box, number))
    if not len(change):
        raise NothingToDo(f"Object {number} has no hole.")
    return change


def grow(
    labels: Array, box: Box, number: int, by: float, *, spacing: Sequence[float] = ()
) -> Change:
    """Grow an object into the background within a distance.

    Parameters
    ----------
    by
        The distance.

    Raises
    ------
    InputError
        When its neighbours leave no space.
    """
    change = edit_outline(
        labels, number, grow_outline(labels, box, number, by, relative_steps(spacing, labels.ndim))
    )
    if not len(change):
        raise NothingToDo(f"There is no background around object {number} to grow into.")
    return change


def shrink(
    labels: Array, box: Box, number: int, by: float, *, spacing: Sequence[float] = ()
) -> Change:
    """Shrink an object by removing pixels within a distance of its outline.

    The object is assumed to continue beyond the border of the image.

    Raises
    ------
    InputError
        When nothing would be left.
    """
    change = edit_outline(
        labels,
        number,
        shrink_outline(labels, box, number, by, relative_steps(spacing, labels.ndim)),
    )
    if not len(change):
        raise InputError(f"Nothing would be left of object {number}. Delete it, or shrink by less.")
    return change


def smooth(
    labels: Array, box: Box, number: int, by: float, *, spacing: Sequence[float] = ()
) -> Change:
    """Smooth an object's outline.

    Parameters
    ----------
    by
        Width in pixels: narrower dents and spurs are removed.

    Raises
    ------
    InputError
        When nothing would be left.

    Notes
    -----
    The result contains the pixels where, weighted by a Gaussian of half the given width, there is
    more of the object than of background. Neighbours and the outside of the image count as neither,
    so that touching objects stay in contact.
    """
    steps = relative_steps(spacing, labels.ndim)
    outline = smooth_outline(labels, box, number, by, steps)
    if vanishes(labels, number, outline):
        raise InputError(f"Nothing would be left of object {number}. Delete it, or smooth by less.")
    return edit_outline(labels, number, outline)


def find_holes(labels: Array, box: Box, number: int) -> OutlineEdit:
    """Return the holes of an object as an outline edit."""
    from scipy import ndimage

    crop = labels[box]
    own = crop == number
    gained = ndimage.binary_fill_holes(own) & (crop == 0)
    return OutlineEdit(box, np.zeros_like(own), gained, np.ones(own.shape, np.float32))


def grow_outline(
    labels: Array, box: Box, number: int, by: float, steps: Sequence[float]
) -> OutlineEdit:
    """Compute the growth of an object by a distance; nearer pixels have higher priority."""
    from scipy import ndimage

    wide = padded(box, [int(by / step) for step in steps], labels.shape)
    crop = labels[wide]
    own = crop == number
    distance = ndimage.distance_transform_edt(~own, sampling=steps).astype(np.float32)
    near = (distance <= by) & (crop == 0)
    # Pixels cut off by a thin neighbour do not belong to this object.
    connected, _ = ndimage.label(own | near)
    gained = near & np.isin(connected, np.unique(connected[own]))
    return OutlineEdit(wide, np.zeros_like(own), gained, -distance)


def shrink_outline(
    labels: Array, box: Box, number: int, by: float, steps: Sequence[float]
) -> OutlineEdit:
    """Compute the shrinkage of an object by a distance; empty where it would vanish."""
    from scipy import ndimage

    wide = padded(box, (1,) * labels.ndim, labels.shape)
    own = labels[wide] == number
    nothing = np.zeros_like(own)
    if own.all():
        return OutlineEdit(wide, nothing, nothing, np.zeros(own.shape, np.float32))
    lost = own & (ndimage.distance_transform_edt(own, sampling=steps) <= by)
    removed = lost if (own & ~lost).any() else nothing
    return OutlineEdit(wide, removed, nothing, np.zeros(own.shape, np.float32))


def smooth_outline(
    labels: Array, box: Box, number: int, by: float, steps: Sequence[float]
) -> OutlineEdit:
    """Compute the edit that smooths an object's outline."""
    from scipy import ndimage

    sigmas = [by / 2 / step for step in steps]
    wide = padded(box, [int(np.ceil(by / step)) for step in steps], labels.shape)
    # Pixels beyond the reach of the Gaussian do not count; up to there, the true surroundings do.
    context = padded(wide, [int(4 * sigma + 0.5) for sigma in sigmas], labels.shape)
    around = labels[context]
    balance = (around == number).astype(np.float32) - (around == 0)
    balance = ndimage.gaussian_filter(balance, sigmas, mode="constant")
    inner = tuple(
        slice(part.start - outer.start, part.stop - outer.start)
        for part, outer in zip(wide, context, strict=True)
    )
    crop, balance = around[inner], balance[inner]
    return OutlineEdit(wide, (crop == number) & (balance < 0), (crop == 0) & (balance > 0), balance)


def vanishes(labels: Array, number: int, outline: OutlineEdit) -> bool:
    """Return whether an edit would remove the whole object."""
    own = labels[outline.box] == number
    return not ((own & ~outline.lost) | outline.gained).any()


def edit_outline(labels: Array, number: int, outline: OutlineEdit) -> Change:
    """Convert an edit of one object's outline to a change."""
    after = np.where(outline.gained, number, 0)
    return Change.of(labels, outline.box, outline.lost | outline.gained, after, [number])


__all__ = ["fill_holes", "grow", "shrink", "smooth"]
