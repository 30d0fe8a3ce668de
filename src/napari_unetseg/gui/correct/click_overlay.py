"""Outlines of objects in the making, in a layer that is never saved, measured or offered."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Labels, Vectors
from napari.utils.events import disconnect_events
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from napari_unetseg.core.prompts.prompt import Mask, Point, ProposedObject
from napari_unetseg.gui.correct.click_scene import Window
from napari_unetseg.gui.correct.click_state import Candidate, Plane, outline_edges
from napari_unetseg.gui.shared.layers import PREVIEW, geometry_of, marked
from napari_unetseg.gui.shared.navigate import camera_of

Erased = tuple[Window, Mask] | None
"""Pixels that the corrected object loses: a window of the plane, and a mask of it."""

_WIDTH = 2.0
"""Thickness of a line in screen pixels."""

_CLICKED = (0.94, 0.89, 0.26, 1.0)
_HOVERED = (0.94, 0.89, 0.26, 0.55)
_ERASED = (1.0, 0.25, 0.25, 1.0)
_DRAWN = (1.0, 0.62, 0.3, 1.0)

_Lines = tuple[NDArray[np.float64], Plane, tuple[float, ...]]


class ClickOverlay(QObject):
    """Lines over a Labels layer: the object in the making, the one under the mouse, what is drawn.

    They are one layer of lines: to add or remove a layer takes napari a large part of a second, and
    a picture as large as the image would have to be sent to the graphics card at every move.

    Parameters
    ----------
    viewer
        The napari viewer.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._layer: Vectors | None = None
        self._source: Labels | None = None
        self._parts: dict[str, list[_Lines]] = {}

    @property
    def layer(self) -> Vectors | None:
        """The layer, while it is in the viewer."""
        gone = self._layer is not None and self._layer not in self._viewer.layers
        return None if gone else self._layer

    def open(self, source: Labels) -> None:
        """Add the layer, empty, over labels."""
        self.close()
        self._source, self._parts = source, {}
        self._add(source)
        camera_of(self._viewer).events.zoom.connect(self._on_zoom)

    def _add(self, source: Labels) -> Vectors:
        made = Vectors(
            np.zeros((1, 2, source.ndim)),
            name="clicked object",
            metadata=marked(PREVIEW, source, {}),
            vector_style="line",
            edge_color=np.array([_CLICKED]),
            visible=False,
            opacity=1.0,
            **geometry_of(source),
        )
        layers = self._viewer.layers
        active = layers.selection.active
        layers.append(made)
        layers.selection.active = active
        self._layer = made
        return made

    def close(self) -> None:
        """Remove the layer."""
        disconnect_events(camera_of(self._viewer).events, self)
        layer, self._layer, self._source = self.layer, None, None
        if layer is not None:
            self._viewer.layers.remove(layer)

    def show(self, candidate: Candidate | None, erased: Erased = None) -> None:
        """Show the outline of the object in the making, or none."""
        lines: list[_Lines] = []
        if candidate is not None and erased is not None:
            rows, columns = erased[0]
            gone = ProposedObject(erased[1], (rows.start, columns.start), 1.0)
            lines.append((outline_edges(gone), candidate.plane, _ERASED))
        self._put("clicked", [*lines, *_outline(candidate, _CLICKED)])

    def hover(self, candidate: Candidate | None) -> None:
        """Show the faint outline of the object under the mouse, or none."""
        self._put("hovered", _outline(candidate, _HOVERED))

    def draw(self, plane: Plane, points: Sequence[Point]) -> None:
        """Show a line through points: the box or stroke that is drawn."""
        at = np.array(points, float).reshape(-1, 2)
        lines = np.stack([at[:-1], np.diff(at, axis=0)], 1)
        self._put("drawn", [(lines, plane, _DRAWN)] if len(lines) else [])

    def _put(self, part: str, lines: list[_Lines]) -> None:
        """Show other lines of one kind, and those of the other kinds as they were."""
        source = self._source
        if source is None or source not in self._viewer.layers:
            return
        if not lines and not self._parts.get(part):
            return
        self._parts[part] = lines
        # The user may have removed the layer with the mode on.
        layer = self.layer or self._add(source)
        shown = [one for kind in self._parts.values() for one in kind if len(one[0])]
        if not shown:
            layer.visible = False
            return
        vectors = [_in_layer(segments, plane) for segments, plane, _ in shown]
        colours = [np.tile(colour, (len(segments), 1)) for segments, _, colour in shown]
        with layer.events.blocker_all():
            layer.edge_width = self._width(layer)
            layer.data = np.concatenate(vectors)
            layer.edge_color = np.concatenate(colours)
        layer.visible = True
        layer.refresh()

    def _on_zoom(self) -> None:
        layer = self.layer
        if layer is not None and layer.visible:
            layer.edge_width = self._width(layer)

    def _width(self, layer: Vectors) -> float:
        """Return the thickness of a line in pixels of the labels."""
        step = float(np.abs(layer.scale[-2:]).min()) or 1.0
        return _WIDTH / max(float(camera_of(self._viewer).zoom) * step, 1e-9)


def _outline(candidate: Candidate | None, colour: tuple[float, ...]) -> list[_Lines]:
    if candidate is None or candidate.proposed is None:
        return []
    return [(outline_edges(candidate.proposed), candidate.plane, colour)]


def _in_layer(segments: NDArray[np.float64], plane: Plane) -> NDArray[np.float64]:
    """Return segments of a plane, (n, 2, 2), in a layer with more axes: (n, 2, ndim)."""
    vectors = np.zeros((len(segments), 2, len(plane) + 2))
    vectors[:, 0, : len(plane)] = plane
    vectors[:, :, len(plane) :] = segments
    return vectors


__all__ = ["ClickOverlay", "Erased"]
