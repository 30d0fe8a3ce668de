"""Mouse and keys of the correction tools on a Labels layer, and the marks of their points."""

from collections.abc import Callable, Collection, Generator, Mapping
from typing import Any

import numpy as np
from napari.layers import Labels, Points
from napari.utils.events import disconnect_events
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtCore import QObject, Signal

from napari_unetseg.gui.correct.correct_acts import Place
from napari_unetseg.gui.shared.layers import PREVIEW, geometry_of, marked
from napari_unetseg.gui.shared.preview import is_preview

CLICK_REACH = 4
"""Canvas pixels that the mouse may move between press and release of a click."""

_LEFT = 1


class Hand(QObject):
    """A listener for clicks and strokes on one layer while a tool is active.

    Parameters
    ----------
    viewer
        The napari viewer.
    allowed
        Names of the keys that may be held; with any other one, the mouse does as in napari.

    Signals
    -------
    clicked(object)
        The point, or None beside the labels.
    drawn(object)
        The points of a stroke, at least two.
    moved(object)
        The points of a stroke so far.
    left()
        The user chose another layer or one of napari's own tools.
    """

    clicked = Signal(object)
    drawn = Signal(object)
    moved = Signal(object)
    left = Signal()

    def __init__(self, viewer: Any, *, allowed: Collection[str] = ()) -> None:
        super().__init__()
        self._viewer = viewer
        self._layer: Labels | None = None
        self._draws = False
        self._cursor = "standard"
        self._allowed = frozenset(allowed)
        self.held: frozenset[str] = frozenset()

    @property
    def layer(self) -> Labels | None:
        """The layer that is followed."""
        return self._layer

    def take(self, layer: Labels, *, draws: bool) -> None:
        """Start to follow the mouse on a layer, and show another cursor over it.

        Parameters
        ----------
        draws
            Whether a drag draws a stroke; otherwise it moves the view.
        """
        self.let_go()
        self._viewer.layers.selection.active = layer
        layer.mode = "pan_zoom"
        layer.mouse_pan = not draws
        self._cursor = "cross" if draws else "pointing"
        layer.cursor = self._cursor
        layer.mouse_drag_callbacks.append(self._on_press)
        layer.events.mode.connect(self._on_mode)
        self._viewer.layers.selection.events.active.connect(self._on_active)
        self._layer, self._draws = layer, draws

    def let_go(self) -> None:
        """Stop following, and restore the layer's mouse settings."""
        layer, self._layer = self._layer, None
        if layer is None:
            return
        disconnect_events(self._viewer.layers.selection.events, self)
        disconnect_events(layer.events, self)
        if self._on_press in layer.mouse_drag_callbacks:
            layer.mouse_drag_callbacks.remove(self._on_press)
        layer.mouse_pan = str(layer.mode) == "pan_zoom"
        if layer.cursor == self._cursor and layer.mouse_pan:
            layer.cursor = "standard"

    def may_use(self, event: Any) -> bool:
        """Whether a press of the mouse is for this hand; remember the keys held with it."""
        self.held = frozenset(str(getattr(key, "name", key)) for key in event.modifiers)
        return event.button == _LEFT and not self.held - self._allowed

    def _on_mode(self) -> None:
        if self._layer is not None and str(self._layer.mode) != "pan_zoom":
            self.left.emit()

    def _on_active(self) -> None:
        active = self._viewer.layers.selection.active
        # While a preview layer is added or removed, it or no layer is active for a moment.
        if active is not None and active is not self._layer and not is_preview(active):
            self.left.emit()

    def _on_press(self, layer: Labels, event: Any) -> Generator[None, None, None]:
        if not self.may_use(event):
            return
        start, canvas = place_of(layer, event), np.array(event.pos, dtype=float)
        stroke, reach = [start], 0.0
        yield
        while event.type == "mouse_move":
            reach = max(reach, float(np.abs(np.array(event.pos) - canvas).max()))
            stroke.append(place_of(layer, event))
            if self._draws and reach > CLICK_REACH:
                self.moved.emit([place for place in stroke if place is not None])
            yield
        if self._layer is not layer:
            return
        if reach <= CLICK_REACH:
            self.clicked.emit(start)
        elif self._draws:
            self.drawn.emit([place for place in stroke if place is not None])


class Keys:
    """Key bindings on one layer, except keys that are already bound.

    Parameters
    ----------
    viewer
        The viewer, whose key bindings have priority.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._bound: list[tuple[Labels, Any]] = []

    def bind(self, layer: Labels, keys: Mapping[str, Callable[[], None]]) -> list[str]:
        """Bind the keys that are free, and return those."""
        taken = self._taken(layer)
        free = [key for key in keys if coerce_keybinding(key) not in taken]
        for key in free:
            self.bind_over(layer, key, keys[key])
        return free

    def bind_over(self, layer: Labels, key: str, call: Callable[[], None]) -> None:
        """Bind a key in place of napari's own binding while a tool is active."""
        if coerce_keybinding(key) not in layer.keymap:
            layer.bind_key(key, lambda layer: call())
            self._bound.append((layer, key))

    def release_only(self, layer: Labels, keys: Collection[str]) -> None:
        """Unbind some keys on a layer."""
        for bound in list(self._bound):
            if bound[0] is layer and bound[1] in keys:
                layer.bind_key(bound[1], None)
                self._bound.remove(bound)

    def release(self) -> None:
        """Unbind all keys."""
        for layer, key in self._bound:
            layer.bind_key(key, None)
        self._bound.clear()

    def _taken(self, layer: Labels) -> set[Any]:
        kinds = (*type(layer).__mro__, *type(self._viewer).__mro__)
        inherited = [getattr(kind, "class_keymap", {}) for kind in kinds]
        maps = [layer.keymap, self._viewer.keymap, *inherited]
        return {key for keymap in maps for key in keymap}


class Marks:
    """Dots over a layer at the clicked points, or along the line being drawn."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._layer: Points | None = None
        self._source: Labels | None = None

    def show(self, source: Labels, places: list[Place], *, large: bool = False) -> None:
        """Show dots at points of `source`, and no others."""
        points = np.array(places, dtype=float).reshape(-1, source.ndim)
        layers = self._viewer.layers
        if self._layer is None or self._layer not in layers or self._source is not source:
            self.remove()
            points_layer = Points(
                points,
                ndim=source.ndim,
                name="correcting",
                metadata=marked(PREVIEW, source, {}),
                face_color="#ff9d4d",
                border_color="#202020",
                symbol="disc",
                **geometry_of(source),
            )
            # A dot has the same size on screen at every zoom.
            points_layer.size = 1
            active = layers.selection.active
            layers.append(points_layer)
            layers.selection.active = active
            self._layer, self._source = points_layer, source
        self._layer.data = points
        self._layer.size = self._size(large)
        self._layer.selected_data = set()

    def remove(self) -> None:
        """Remove the dots."""
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _size(self, large: bool) -> float:
        """Return the diameter of a dot in pixels of the layer, for a few pixels on screen."""
        from napari_unetseg.gui.shared.navigate import camera_of

        step = float(np.abs(self._source.scale).min()) if self._source is not None else 1.0
        return (11 if large else 5) / max(float(camera_of(self._viewer).zoom) * step, 1e-9)


def place_of(layer: Labels, event: Any) -> Place | None:
    """Return the point under the mouse in pixels of the layer; in 3D that of the first object.

    Returns
    -------
    tuple or None
        One number per axis; None if there is no object under the mouse in 3D.
    """
    if len(event.dims_displayed) < 3:
        return tuple(float(at) for at in layer.world_to_data(event.position))
    lead = len(event.position) - layer.ndim
    shown = [axis - lead for axis in event.dims_displayed]
    start, stop = layer.get_ray_intersections(
        event.position, event.view_direction, shown, world=True
    )
    if start is None or stop is None:
        return None
    # Two samples per pixel: one would miss the corners of thin objects.
    n = 2 * int(np.ceil(np.abs(stop - start).max())) + 2
    ray = np.rint(np.linspace(start, stop, n)).astype(np.intp)
    ray = np.clip(ray, 0, np.array(layer.data.shape) - 1)
    met = np.flatnonzero(layer.data[tuple(ray.T)])
    return tuple(float(at) for at in ray[met[0]]) if len(met) else None


__all__ = ["CLICK_REACH", "Hand", "Keys", "Marks", "place_of"]
