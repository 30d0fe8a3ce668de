"""A frame around the current item of a review queue."""

from itertools import product
from typing import Any

import numpy as np
from napari.layers import Labels, Layer, Shapes
from numpy.typing import NDArray

from napari_unetseg.core.review_queue import Item
from napari_unetseg.gui.shared.layers import PREVIEW, geometry_of, marked
from napari_unetseg.gui.shared.navigate import camera_of

COLOUR = "#ff9d4d"

_MOST_PLANES = 200
_COARSE = 0.3
_ON_SCREEN = 3.0


class ItemFrame:
    """An outline of an object, or a rectangle, in every plane of the item.

    Parameters
    ----------
    viewer
        The napari viewer.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._layer: Shapes | None = None
        self._source: Layer | None = None

    @property
    def layer(self) -> Shapes | None:
        """The frame layer, if there is one."""
        there = self._layer is not None and self._layer in self._viewer.layers
        return self._layer if there else None

    def show(self, source: Labels, item: Item) -> None:
        """Frame an item of a layer, and no other."""
        shapes = _outlines(self._viewer, source, item)
        if self.layer is None or self._source is not source:
            self.remove()
            layers = self._viewer.layers
            active = layers.selection.active
            frame = Shapes(
                ndim=source.ndim,
                name="reviewing",
                metadata=marked(PREVIEW, source, {}),
                **geometry_of(source),
            )
            layers.append(frame)
            layers.selection.active = active
            self._layer, self._source = frame, source
        if self._layer is not None:
            self._layer.data = []
            self._layer.add(
                shapes,
                shape_type="polygon",
                edge_width=self._width(source),
                edge_color=COLOUR,
                face_color="transparent",
            )
            self._layer.selected_data = set()

    def remove(self) -> None:
        """Remove the frame."""
        layer = self.layer
        self._layer = self._source = None
        if layer is not None:
            self._viewer.layers.remove(layer)

    def _width(self, source: Layer) -> float:
        """Return the width of a line in pixels of the layer, for a few pixels on screen."""
        step = float(np.abs(source.scale).min())
        return _ON_SCREEN / max(float(camera_of(self._viewer).zoom) * step, 1e-9)


def _outlines(viewer: Any, source: Labels, item: Item) -> list[Any]:
    """Return the outlines of an object, or of the item's box, in every plane."""
    lead = viewer.dims.ndim - source.ndim
    order = [axis - lead for axis in viewer.dims.order if axis >= lead]
    flat = order[-2:]
    rest = [axis for axis in range(source.ndim) if axis not in flat]
    planes = list(product(*(range(item.low[axis], item.high[axis]) for axis in rest)))
    found = []
    for plane in planes[:_MOST_PLANES]:
        for line in _in_plane(source, item, dict(zip(rest, plane, strict=True)), flat):
            corners = np.zeros((len(line), source.ndim))
            corners[:, rest] = plane
            corners[:, flat] = line
            found.append(corners)
    return found


def _in_plane(
    source: Labels, item: Item, plane: dict[int, int], flat: list[int]
) -> list[NDArray[np.float64]]:
    """Return closed lines in a plane: (n, 2) each, in display order."""
    from skimage.measure import approximate_polygon, find_contours

    (y0, y1), (x0, x1) = ((item.low[axis] - 1.5, item.high[axis] + 0.5) for axis in flat)
    box = np.array([(y0, x0), (y0, x1), (y1, x1), (y1, x0)])
    if item.kind != "object":
        return [box]
    where = tuple(plane.get(axis, part) for axis, part in enumerate(item.box))
    mask = np.asarray(source.data[where]) == item.number
    if flat != sorted(flat):
        mask = mask.T
    # A pixel around it closes the line at the image border too.
    lines = find_contours(np.pad(mask, 1).astype(float), 0.5)
    offset = np.array([item.low[axis] - 1 for axis in flat])
    return [approximate_polygon(line[:-1], _COARSE) + offset for line in lines if len(line) > 3]


__all__ = ["COLOUR", "ItemFrame"]
