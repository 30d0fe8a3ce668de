"""Bring an object into view: the camera, the plane, and the zoom where it must change."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Layer

# Spanning so much of the canvas an object is easily seen; otherwise it is brought to a quarter,
# which leaves its surroundings to be seen.
_SMALLEST, _LARGEST, _GOOD = 0.1, 0.7, 0.25
_CANVAS = (600, 800)


def go_to(
    viewer: Any, layer: Layer, centre: Sequence[float], low: Sequence[float], high: Sequence[float]
) -> None:
    """Show a box of a layer: the view moves there, to its plane as well.

    The zoom stays as the user has it, unless the box would be too small to see or larger than the
    canvas.

    Parameters
    ----------
    centre
        Where to look, in pixels of the layer, one number for each of its axes.
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
    """Return the camera of a viewer, which before napari 0.9 was its own scene."""
    return getattr(viewer, "scene", viewer).camera


def _span(layer: Layer, low: Sequence[float], high: Sequence[float]) -> Any:
    """Return how long a box is along the axes of the world: that of the box around it."""
    ends = np.array([np.asarray(low, float) - 0.5, np.asarray(high, float) + 0.5])
    corners = np.stack(np.meshgrid(*ends.T, indexing="ij"), -1).reshape(-1, layer.ndim)
    return np.ptp([layer.data_to_world(corner) for corner in corners], axis=0)


__all__ = ["camera_of", "go_to"]
