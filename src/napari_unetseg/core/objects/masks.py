"""Masks and objects: label, fill holes, remove small objects, clear the border, split touching.

A mask is True on objects; objects are int32 ids from 1, 0 is background. Pixels that meet at an
edge or a corner belong to one object (8 neighbours, 26 in 3D); background is connected through
sides only, so that a closed outline encloses its interior. All operations except splitting work on
the run-length encoding, see `napari_unetseg.core.compute.run_length`.
"""

import itertools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.progress import Progress, silent, track

if TYPE_CHECKING:
    from napari_unetseg.core.compute.run_length import Components

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Labels = NDArray[np.int32]

SPLIT_DEPTH = 0.1

_LEAST_DEPTH = 0.75
"""Waists narrower by less than this many pixels may be due to the pixel grid and are never cut."""


def clean(
    mask: Array, *, fill_holes: bool = False, min_size: int = 0, clear_border: bool = False
) -> tuple[Mask, int]:
    """Clean a mask: fill holes, then remove small objects or objects cut off by the border.

    Parameters
    ----------
    mask
        (Y, X) or (Z, Y, X); nonzero is object.
    fill_holes
        Fill background that is not connected to the border of the image (of the stack in 3D), as
        ``scipy.ndimage.binary_fill_holes`` does.
    min_size
        Remove objects with fewer pixels, as ``skimage.morphology.remove_small_objects`` does.
    clear_border
        Remove objects that touch the border, in 3D also the first and the last plane, as
        ``skimage.segmentation.clear_border`` does.

    Returns
    -------
    mask : array of the same shape, bool
    n : int
        Number of objects left.

    Raises
    ------
    InputError
        When the mask has neither two nor three axes.

    Notes
    -----
    About 60 ms for a mask of 4096×4096 pixels with 9,000 objects on two cores.
    """
    from napari_unetseg.core.compute.run_length import paint_runs

    parts = _cleaned(mask, fill_holes, min_size, clear_border)
    cleaned: Mask = paint_runs(parts.runs, np.ones(len(parts.runs), dtype=np.bool_))
    return cleaned, parts.number


def label(
    mask: Array,
    *,
    fill_holes: bool = False,
    min_size: int = 0,
    clear_border: bool = False,
    first: int = 1,
) -> tuple[Labels, int]:
    """Label the objects of a mask, cleaned as in `clean`.

    Parameters
    ----------
    mask, fill_holes, min_size, clear_border
        See `clean`.
    first
        Id of the first object.

    Returns
    -------
    labels : array of the shape of the mask, int32
        Numbered in the order of their first pixels: exactly ``skimage.measure.label``.
    n : int
        Number of objects.

    Raises
    ------
    InputError
        See `clean`.
    """
    from napari_unetseg.core.compute.run_length import paint_runs

    parts = _cleaned(mask, fill_holes, min_size, clear_border)
    labels: Labels = paint_runs(parts.runs, parts.ids + np.int32(first))
    return labels, parts.number


def label_classes(classes: Array, ndim: int, *, progress: Progress = silent) -> tuple[Labels, int]:
    """Label the connected parts of each class.

    Parameters
    ----------
    classes
        (..., *spatial): 0 is background; where no pixel is 0, the smallest class is.
    ndim
        Number of spatial axes, 2 or 3; objects end with each of the others.

    Returns
    -------
    labels : array of the shape of the classes, int32
        Numbered from 1.
    n : int
        Number of objects.
    """
    values = np.unique(classes)
    labels = np.zeros(classes.shape, np.int32)
    inside = values[1:] if len(values) and values[0] >= 0 else values[values > 0]
    n = 0
    loop = list(np.ndindex(classes.shape[: classes.ndim - ndim]))
    for index in track(loop, progress, "separating objects"):
        for value in inside:
            found, more = label(classes[index] == value, first=n + 1)
            labels[index] += found
            n += more
    return labels, n


def split_touching(
    mask: Array, *, depth: float = SPLIT_DEPTH, spacing: Sequence[float] = (), min_size: int = 0
) -> tuple[Labels, int]:
    """Label the objects of a mask, splitting them at their waists.

    Parameters
    ----------
    mask
        (Y, X) or (Z, Y, X); nonzero is object.
    depth
        How much narrower than the smaller of two objects their waist must be, as a fraction of its
        width, from 0 to 1. In any case, waists less than about a pixel narrower are not cut.
    spacing
        Physical size of a pixel along each axis, for anisotropic images.
    min_size
        Remove parts with fewer pixels.

    Returns
    -------
    labels : array of the shape of the mask, int32
        Numbered in the order of their first pixels.
    n : int
        Number of objects.

    Raises
    ------
    InputError
        When the mask has neither two nor three axes, or `spacing` is not one number per axis.

    Notes
    -----
    Watershed of the Euclidean distance to the background, with basins joined by the depth of the
    saddle between them (dynamics, Grimaud 1992), relative to the distance at the lower peak.
    """
    import edt

    from napari_unetseg.core.objects.watershed import basins

    _check_ndim(mask)
    steps = tuple(spacing) or (1.0,) * mask.ndim
    if len(steps) != mask.ndim:
        raise InputError(
            f"The spacing {steps} has {len(steps)} numbers for a mask of {mask.ndim} axes. "
            "Give one for each."
        )
    smallest = min(steps)
    anisotropy = tuple(step / smallest for step in steps)
    bits = np.ascontiguousarray(mask != 0)
    if bits.all():  # without background there is no distance to it
        return keep_large(bits.astype(np.int32), min_size)
    labels = basins(
        edt.edt(bits, anisotropy=anisotropy, parallel=os.cpu_count() or 1), depth, _LEAST_DEPTH
    )
    return keep_large(labels, min_size)


def reaching_into(mask: Mask, field: tuple[slice, ...]) -> tuple[Mask, tuple[slice, ...]]:
    """Cut out the objects of a mask that have a pixel in a field.

    Parameters
    ----------
    field
        Slices of the last axes.

    Returns
    -------
    objects : array, bool
        The part of the mask that holds them, with a margin of a pixel, and no other objects.
    box : tuple of slice
        Its place in the mask.
    """
    from napari_unetseg.core.compute.run_length import components, encode_runs, paint_runs

    parts, inside = components(encode_runs(mask)), np.zeros(mask.shape, dtype=np.bool_)
    at: tuple[Any, ...] = (..., *field)
    inside[at] = True
    runs = parts.keep(parts.contain(inside)).runs
    reaching: Mask = paint_runs(runs, np.ones(len(runs), dtype=np.bool_))
    box = []
    for axis, length in enumerate(mask.shape):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        found = np.flatnonzero(reaching.any(axis=others))
        low, high = (found[0], found[-1]) if len(found) else (0, 0)
        box.append(slice(max(int(low) - 1, 0), min(int(high) + 2, length)))
    return np.ascontiguousarray(reaching[tuple(box)]), tuple(box)


def keep_large(labels: Labels, min_size: int) -> tuple[Labels, int]:
    """Keep the objects of at least `min_size` pixels, renumbered in the same order.

    Returns
    -------
    labels : array, int32
    n : int
        Number of objects left.
    """
    sizes = np.bincount(labels.reshape(-1))
    return keep_objects(labels, sizes[1:] >= max(min_size, 1))


def keep_objects(labels: Labels, wanted: Mask) -> tuple[Labels, int]:
    """Keep the objects of which `wanted`, (n,), is true, renumbered in the same order.

    Returns
    -------
    labels : array, int32
    n : int
        Number of objects left.
    """
    if wanted.all():
        return labels, len(wanted)
    ids = np.append(np.int32(0), np.where(wanted, np.cumsum(wanted), 0)).astype(np.int32)
    return ids[labels], int(wanted.sum())


def first_pixels(labels: Labels, n: int) -> NDArray[np.int64]:
    """Return the flat index of the first pixel of each object: (n,).

    The ids 1 to `n` must all be present. Indices are in row-major order.
    """
    at = np.flatnonzero(labels)[::-1]
    first = np.zeros(n + 1, np.int64)
    # When an index is assigned several times the last assignment wins, here the first pixel.
    first[labels.reshape(-1)[at]] = at
    return first[1:]


def relabel_in_order(labels: Labels, n: int) -> Labels:
    """Renumber the objects 1 to `n`, all present, in the order of their first pixels."""
    order = np.zeros(n + 1, np.int32)
    order[1 + np.argsort(first_pixels(labels, n))] = np.arange(1, n + 1)
    ordered: Labels = order[labels]
    return ordered


def cut_apart(labels: Labels) -> Mask:
    """Return the mask of the objects, with a line of background between touching ones.

    Of each pair of touching pixels of different objects, one is cleared.
    """
    mask: Mask = labels != 0
    for step in itertools.product((-1, 0, 1), repeat=labels.ndim):
        if step >= (0,) * labels.ndim:
            continue
        here = tuple(slice(max(-s, 0), min(-s, 0) or None) for s in step)
        there = tuple(slice(max(s, 0), min(s, 0) or None) for s in step)
        mask[here] &= (labels[there] == 0) | (labels[there] == labels[here])
    return mask


def connected_to(weak: Array, strong: Array) -> Mask:
    """Return the components of `weak` that contain a pixel of `strong`: hysteresis.

    Components are connected through sides, as in ``skimage.filters.apply_hysteresis_threshold``.

    Raises
    ------
    InputError
        When the masks have neither two nor three axes.
    """
    from napari_unetseg.core.compute.run_length import components, encode_runs, paint_runs

    _check_ndim(weak)
    parts = components(encode_runs(weak), full=False)
    connected_runs = parts.keep(parts.contain(strong)).runs
    connected: Mask = paint_runs(connected_runs, np.ones(len(connected_runs), dtype=np.bool_))
    return connected


def _cleaned(mask: Array, fill_holes: bool, min_size: int, clear_border: bool) -> "Components":
    from napari_unetseg.core.compute.run_length import components, encode_runs, fill_holes_of_runs

    _check_ndim(mask)
    runs = encode_runs(mask)
    parts = components(fill_holes_of_runs(runs) if fill_holes else runs)
    if min_size > 1:
        parts = parts.keep(parts.sizes() >= min_size)
    if clear_border:
        parts = parts.keep(~parts.touch_border())
    return parts


def _check_ndim(mask: Array) -> None:
    if mask.ndim not in (2, 3) or mask.size == 0:
        raise InputError(
            "A mask has two or three axes, (Z,) Y, X, and at least one pixel; this one has the "
            f"shape {mask.shape}. Give one plane or stack at a time."
        )


__all__ = [
    "SPLIT_DEPTH",
    "clean",
    "connected_to",
    "cut_apart",
    "first_pixels",
    "keep_large",
    "keep_objects",
    "label",
    "reaching_into",
    "relabel_in_order",
    "split_touching",
]
