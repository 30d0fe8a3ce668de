"""Corrections from plane to plane: interpolate between drawn planes, copy to the next."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.corrections.change import Array, Change, Mask, padded
from napari_unetseg.core.corrections.locked_pixels import Box
from napari_unetseg.core.errors import InputError, NothingToDo


def interpolate(labels: Array, box: Box, number: int, *, axis: int = 0) -> Change:
    """Interpolate an object on the planes between those where it is drawn.

    Parameters
    ----------
    labels
        Ids, of three axes or more; 0 is background.
    box, number
        The object: its bounding box and id.
    axis
        The axis along which the planes are stacked.

    Returns
    -------
    Change
        Only background pixels change.

    Raises
    ------
    InputError
        When there is no plane in between.

    Notes
    -----
    Shape-based interpolation (Raya and Udupa 1990): a weighted mean of the signed distances to the
    outlines of the two planes. The outlines are first aligned by their centroids, so that an object
    that moves sideways does not break apart.
    """
    axis %= labels.ndim
    box = padded(box, [0 if k == axis else 1 for k in range(labels.ndim)], labels.shape)
    crop = np.moveaxis(labels[box], axis, 0)
    own = crop == number
    drawn = np.flatnonzero(own.any(axis=tuple(range(1, own.ndim))))
    added = np.zeros_like(own)
    for low, high in pairwise(drawn):
        for between in range(low + 1, high):
            share = (between - low) / (high - low)
            added[between] = shape_between(own[low], own[high], share)
    added &= crop == 0
    if not added.any():
        raise InputError(
            f"Object {number} has no plane to fill in. Draw it with one id on two planes with at "
            "least one plane between them."
        )
    return Change.of(labels, box, np.moveaxis(added, 0, axis), number, [number])


def copy_to_plane(
    labels: Array, box: Box, number: int, *, source: int, target: int, axis: int = 0
) -> Change:
    """Copy an object from one plane to another, onto background only.

    Parameters
    ----------
    source, target
        Indices of the two planes.
    axis
        The axis along which the planes are stacked.

    Raises
    ------
    InputError
        When a plane does not exist, the object is not on the source, or no background is free on
        the target.
    """
    axis %= labels.ndim
    if not 0 <= target < labels.shape[axis]:
        raise NothingToDo("There is no further plane in this direction.")
    source_box = tuple(
        slice(source, source + 1) if k == axis else part for k, part in enumerate(box)
    )
    target_box = tuple(
        slice(target, target + 1) if k == axis else part for k, part in enumerate(box)
    )
    mask = labels[source_box] == number
    if not mask.any():
        raise NothingToDo(f"Object {number} is not on this plane.")
    change = Change.of(labels, target_box, mask & (labels[target_box] == 0), number, [number])
    if not len(change):
        raise InputError(
            f"Plane {target} has no background where object {number} would be copied. Choose "
            "another plane, or erase there first."
        )
    return change


def shape_between(low: Mask, high: Mask, share: float) -> Mask:
    """Interpolate between two masks of one shape, at the fraction `share` of the way to the second.

    See the notes of `interpolate`.
    """
    first, second = _centroid(low), _centroid(high)
    middle = first + share * (second - first)
    field = (1 - share) * _signed(low, middle - first) + share * _signed(high, middle - second)
    # The distance is between pixel centres, so the outline lies between 1 and -1.
    return field > 0


def _centroid(mask: Mask) -> NDArray[np.float64]:
    return np.array([axis.mean() for axis in np.nonzero(mask)])


def _signed(mask: Mask, shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance to a shape's outline, positive inside, shifted by whole pixels."""
    from scipy import ndimage

    moved = np.zeros_like(mask)
    by = np.rint(shift).astype(np.intp)
    moved_pixels = np.stack(np.nonzero(mask)) + by[:, None]
    inside = ((moved_pixels >= 0) & (moved_pixels < np.array(mask.shape)[:, None])).all(0)
    moved[tuple(moved_pixels[:, inside])] = True
    edge = np.pad(moved, 1)
    field = ndimage.distance_transform_edt(edge) - ndimage.distance_transform_edt(~edge)
    inner: NDArray[np.float64] = field[(slice(1, -1),) * mask.ndim]
    return inner


__all__ = ["copy_to_plane", "interpolate", "shape_between"]
