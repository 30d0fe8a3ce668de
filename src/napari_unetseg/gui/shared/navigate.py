"""The part of a layer on screen, and navigation to an object in it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Layer

# The range of the share of the canvas that an object may span; outside it, it is zoomed to a
# quarter, which leaves its surroundings visible.
_SMALLEST, _LARGEST, _GOOD = 0.1, 0.7, 0.25
_CANVAS = (600, 800)


def go_to(
    viewer: Any, layer: Layer, centre: Sequence[float], low: Sequence[float], high: Sequence[float]
) -> None:
    """Move the view to a box of a layer, and to its plane.

    The zoom changes only if the box would be too small to see or larger than the canvas.

    Parameters
    ----------
    centre
        Centre of the view in pixels of the layer, one number per axis.
    low, high
        First and last pixel of the box.
    """
    dims = viewer.dims
    world = np.zeros(dims.ndim)
    lead = dims.ndim - layer.ndim
    world[lead:] = layer.data_to_world(np.asarray(centre, dtype=float))
    for axis in dims.not_displayed:
        if axis >= lead:
            dims.set_point(axis, world[axis])
    displayed = list(dims.displayed)
    camera = camera_of(viewer)
    camera.center = tuple(np.r_[np.zeros(3), world[displayed]][-3:])
    span = _span(layer, low, high)[[axis - lead for axis in displayed if axis >= lead]]
    canvas = min(getattr(getattr(viewer, "canvas", None), "size", _CANVAS))
    share = float(span.max()) * camera.zoom / canvas
    if not _SMALLEST <= share <= _LARGEST:
        camera.zoom = _GOOD * canvas / float(span.max())


def camera_of(viewer: Any) -> Any:
    """Return the camera of a viewer; from napari 0.9 on it belongs to the scene."""
    return getattr(viewer, "scene", viewer).camera


def in_view(layer: Layer) -> tuple[slice, slice]:
    """Return the visible box of a layer's plane; the whole plane if it is unknown."""
    corners, shape = np.asarray(layer.corner_pixels, float)[:, -2:], layer.data.shape
    if getattr(layer, "multiscale", False):
        corners = corners * np.asarray(layer.downsample_factors)[layer.data_level][-2:]
        shape = layer.data[0].shape
    sides = shape[-3:-1] if getattr(layer, "rgb", False) else shape[-2:]
    spans = [
        slice(int(np.clip(a, 0, n)), int(np.clip(b + 1, 0, n)))
        for a, b, n in zip(*corners, sides, strict=True)
    ]
    if any(span.start >= span.stop for span in spans):
        return slice(0, sides[0]), slice(0, sides[1])
    return spans[0], spans[1]


def _span(layer: Layer, low: Sequence[float], high: Sequence[float]) -> Any:
    """Return the lengths, along the world axes, of the bounding box of a box of the layer."""
    ends = np.array([np.asarray(low, float) - 0.5, np.asarray(high, float) + 0.5])
    corners = np.stack(np.meshgrid(*ends.T, indexing="ij"), -1).reshape(-1, layer.ndim)
    return np.ptp([layer.data_to_world(corner) for corner in corners], axis=0)


__all__ = ["camera_of", "go_to", "in_view"]
