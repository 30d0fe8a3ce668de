"""Corrections that split an object: by a line, by seeds, or into disconnected parts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_unetseg.core.corrections.change import Array, Change, Mask, padded, relative_steps
from napari_unetseg.core.corrections.locked_pixels import Box
from napari_unetseg.core.corrections.whole_objects import along
from napari_unetseg.core.errors import InputError

_SLIVER = 1.5
"""Parts that lie nowhere further than this from the line are fragments of the object's edge."""


def split_by_line(
    labels: Array,
    box: Box,
    number: int,
    points: ArrayLike,
    *,
    axes: Sequence[int] = (-2, -1),
    first: int,
) -> Change:
    """Split an object along a line.

    Parameters
    ----------
    labels
        Ids; 0 is background.
    box, number
        The object: its bounding box and id.
    points
        (n, 2), vertices of the line in pixels, along `axes`.
    axes
        The two axes in which the line was drawn. Along other axes, it cuts through the whole
        object.
    first
        The id of the first new object; later ones count up from it.

    Returns
    -------
    Change
        The largest part keeps the id. Pixels under the line go to the part that is the fewest steps
        away within the object.

    Raises
    ------
    InputError
        When the line does not cut through the object.
    """
    from scipy import ndimage

    own = labels[box] == number
    line = _line_in(box, points, [axis % labels.ndim for axis in axes])
    full = np.ones((3,) * own.ndim, bool)
    whole, _ = ndimage.label(own, full)
    cut = np.isin(whole, np.unique(whole[own & line])) & own
    parts, n = ndimage.label(cut & ~line, full)
    distance = ndimage.distance_transform_edt(~(line & own)) if line.any() else np.zeros(own.shape)
    large = _without_fragments(parts, n, distance)
    if len(large) < 2:
        raise InputError(
            "The line does not cut any object in two. Start outside the object, draw across it, "
            "and end outside it."
        )
    ranks = np.zeros(n + 1, np.intp)
    ranks[large] = np.arange(1, len(large) + 1)
    markers = ranks[parts]
    return _make_objects(labels, box, number, _flood(np.zeros(cut.shape), markers, cut), first)


def split_by_seeds(
    labels: Array,
    box: Box,
    number: int,
    seeds: ArrayLike,
    *,
    first: int,
    spacing: Sequence[float] = (),
) -> Change:
    """Split an object by seeds.

    Parameters
    ----------
    labels
        Ids; 0 is background.
    box, number
        The object: its bounding box and id.
    seeds
        (n, ndim), at least two pixels of the object.
    first
        The id of the first new object; later ones count up from it.
    spacing
        Physical size of a pixel along each axis.

    Returns
    -------
    Change
        The largest part keeps the id, and so do disconnected parts without a seed.

    Raises
    ------
    InputError
        When fewer than two seeds lie in the object.

    Notes
    -----
    Seeds in different bulges of the object are separated at its waists: watershed of the distance
    to the outline, with each seed extended uphill to the middle of its bulge. If two seeds lie in
    one bulge, with no waist between them, every pixel goes to the seed that is the fewest steps
    away.
    """
    from scipy import ndimage

    whole = padded(box, (1,) * labels.ndim, labels.shape)
    own = labels[whole] == number
    pixels = np.rint(np.atleast_2d(np.asarray(seeds, float))).astype(np.intp)
    pixels = np.unique(pixels - [part.start for part in whole], axis=0)
    pixels = pixels[((pixels >= 0) & (pixels < own.shape)).all(1)]
    pixels = pixels[own[tuple(pixels.T)]]
    if len(pixels) < 2:
        raise InputError(
            "Splitting by seeds needs a seed in each part. Click at least two positions in the "
            "object."
        )
    # The object may continue beyond the border of the image: only pixels of another id are its
    # outline.
    depth = ndimage.distance_transform_edt(own, sampling=relative_steps(spacing, own.ndim))
    parts = _flood(*_relief(own, depth, pixels), own)
    return _make_objects(labels, whole, number, parts, first)


def separate(labels: Array, box: Box, number: int, *, first: int) -> Change:
    """Give each disconnected part of an object its own id; corners connect.

    Returns
    -------
    Change
        The largest part keeps the id; nothing changes if there is only one.
    """
    from scipy import ndimage

    own = labels[box] == number
    parts, _ = ndimage.label(own, np.ones((3,) * own.ndim, bool))
    return _make_objects(labels, box, number, parts, first)


def _relief(
    own: Mask, depth: NDArray[np.float64], seeds: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return the heights for the watershed, and its seeds."""
    from scipy import ndimage

    # A distance in whole pixels has spurious peaks; a slight blur removes them.
    height = np.where(own, ndimage.gaussian_filter(depth, 1), 0)
    paths = [_way_up(height, tuple(seed)) for seed in seeds.tolist()]
    markers = np.zeros(own.shape, np.int32)
    if len({path[-1] for path in paths}) < len(paths):
        markers[tuple(seeds.T)] = np.arange(1, len(seeds) + 1)
        return np.zeros_like(height), markers
    for number, path in enumerate(paths, start=1):
        markers[tuple(np.transpose(path))] = number
    return -height, markers


def _way_up(height: NDArray[np.float64], start: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the path of steepest ascent from `start` to its peak."""
    path = [start]
    while True:
        near = tuple(slice(max(at - 1, 0), at + 2) for at in path[-1])
        best = np.unravel_index(np.argmax(height[near]), height[near].shape)
        step = tuple(int(at) + part.start for at, part in zip(best, near, strict=True))
        if height[step] <= height[path[-1]]:
            return path
        path.append(step)


def _line_in(box: Box, points: ArrayLike, axes: Sequence[int]) -> Mask:
    """Return the mask of the line in a box, in every plane along the other axes."""
    sides = [box[axis] for axis in axes]
    line = np.zeros([side.stop - side.start for side in sides], bool)
    pixels = along(points) - [side.start for side in sides]
    pixels = pixels[((pixels >= 0) & (pixels < line.shape)).all(1)]
    line[tuple(pixels.T)] = True
    line = line if axes[0] < axes[1] else line.T
    others = tuple(axis for axis in range(len(box)) if axis not in axes)
    shape = [part.stop - part.start for part in box]
    return np.broadcast_to(np.expand_dims(line, others), shape)


def _without_fragments(parts: NDArray[np.int32], n: int, distance: Array) -> NDArray[np.intp]:
    """Select the parts that are not fragments beside the line, or else the two largest."""
    from scipy import ndimage

    if n < 2:
        return np.arange(1, n + 1)
    numbers = np.arange(1, n + 1)
    reach = np.asarray(ndimage.maximum(distance, parts, numbers))
    large = numbers[reach > _SLIVER]
    if len(large) > 1:
        return large
    return np.sort(1 + np.argsort(-np.bincount(parts.ravel())[1:], kind="stable")[:2])


def _flood(height: Array, markers: NDArray[Any], where: Mask) -> NDArray[Any]:
    """Assign the pixels of `where` to markers by a watershed: through sides, then over corners."""
    from skimage.segmentation import watershed

    parts = watershed(height, markers, mask=where)
    grown: NDArray[Any] = watershed(height, parts, connectivity=where.ndim, mask=where)
    return grown


def _make_objects(labels: Array, box: Box, number: int, parts: Array, first: int) -> Change:
    """Make the change that turns parts numbered from 1 into objects."""
    sizes = np.bincount(parts.ravel(), minlength=2)[1:]
    ids = np.zeros(len(sizes) + 1, np.int64)
    others = np.flatnonzero(np.arange(len(sizes)) != np.argmax(sizes)) + 1
    others = others[sizes[others - 1] > 0]
    ids[1:] = number
    ids[others] = first + np.arange(len(others))
    return Change.of(labels, box, parts > 0, ids[parts], [number])


__all__ = ["separate", "split_by_line", "split_by_seeds"]
