"""The menu of an object: a right click on it, while the mouse does not move."""

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtGui import QAction, QCursor
from qtpy.QtWidgets import QMenu, QWidget

from napari_unetseg.gui.correct.correct_acts import Place
from napari_unetseg.gui.correct.correct_hand import CLICK_REACH, place_of
from napari_unetseg.gui.correct.correct_scene import numbers_of
from napari_unetseg.gui.correct.correct_tools import TOOLS, ToolKind
from napari_unetseg.gui.shared.icons import line_icon
from napari_unetseg.gui.shared.layer_locks import LayerLocks

_RIGHT = 2
_SECTIONS = (
    ("delete", "approve", "unlock"),
    ("merge", "line", "seeds", "apart"),
    ("fill", "smooth", "grow", "shrink"),
    ("interpolate", "next", "previous"),
)
_WORDS = {
    "approve": "Approve (lock)",
    "merge": "Merge with...",
    "line": "Cut along a line...",
    "seeds": "Split by clicks...",
    "apart": "Split parts that do not touch",
    "next": "Copy to the next plane",
    "previous": "Copy to the previous plane",
    "interpolate": "Fill between its planes",
}
_KINDS = {kind.name: kind for kind in TOOLS}


class ObjectMenu:
    """Opens the menu of the object under a right click; a drag, and all else, is napari's own.

    Parameters
    ----------
    viewer
        The napari viewer.
    parent
        The page, whose style the menu has.
    layer
        Returns the layer to correct, or None if its objects have no menu now.
    locks
        Returns the locked pixels of a layer.
    use
        Called with the chosen tool, the object and the clicked place.
    """

    def __init__(
        self,
        viewer: Any,
        parent: QWidget,
        *,
        layer: Callable[[], Labels | None],
        locks: Callable[[Labels], LayerLocks],
        use: Callable[[ToolKind, int, Place], None],
    ) -> None:
        self._viewer, self._parent = viewer, parent
        self._layer, self._locks, self._use = layer, locks, use
        self.menu: QMenu | None = None

    def listen(self) -> None:
        """Start to open menus."""
        if self._on_press not in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.append(self._on_press)

    def stop(self) -> None:
        """Stop it, and close the menu."""
        if self._on_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_press)
        self._close()

    def open(self, layer: Labels, number: int, place: Place) -> None:
        """Open the menu of an object, at the mouse."""
        self._close()
        self.menu = menu = QMenu(self._parent)
        self._add("", f"Object {number}").setEnabled(False)
        for section in _SECTIONS:
            kinds = [_KINDS[name] for name in section if self._applies(name, layer, place)]
            for kind in kinds:
                action = self._add(kind.name, _WORDS.get(kind.name, kind.text))
                action.setIcon(line_icon(kind.name, self._viewer))
                action.setToolTip(kind.help)
                action.triggered.connect(lambda _, kind=kind: self._use(kind, number, place))
            if kinds:
                menu.addSeparator()
        draw = self._add("paint", "Paint with this label")
        draw.triggered.connect(lambda: _paint_with(self._viewer, layer, number))
        menu.popup(QCursor.pos())

    def _add(self, name: str, text: str) -> QAction:
        """Add an entry to the menu."""
        action = QAction(text, self.menu)
        action.setObjectName(name)
        if self.menu is not None:
            self.menu.addAction(action)
        return action

    def _applies(self, name: str, layer: Labels, place: Place) -> bool:
        kind = _KINDS[name]
        if (kind.planes and layer.ndim < 3) or (kind.flat and self._viewer.dims.ndisplay == 3):
            return False
        if name not in ("approve", "unlock"):
            return True
        at = tuple(np.array([round(x)]) for x in place)
        return bool(self._locks(layer).pixels().at(at)[0]) is (name == "unlock")

    def _on_press(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        layer, active = self._layer(), self._viewer.layers.selection.active
        free = active is layer or isinstance(active, Image) or active is None
        # The polygon tool takes back its last corner on a right click.
        polygon = layer is not None and str(layer.mode) == "polygon"
        if event.button != _RIGHT or event.modifiers or layer is None or not free or polygon:
            return
        canvas = np.array(event.pos, dtype=float)
        reach, place = 0.0, place_of(layer, event)
        yield
        while event.type == "mouse_move":
            reach = max(reach, float(np.abs(np.array(event.pos) - canvas).max()))
            yield
        found = [] if place is None else numbers_of(layer, [place])
        if reach <= CLICK_REACH and place is not None and found and self._layer() is layer:
            self.open(layer, found[0], place)

    def _close(self) -> None:
        if self.menu is not None:
            self.menu.close()
            self.menu.deleteLater()
            self.menu = None


def _paint_with(viewer: Any, layer: Labels, number: int) -> None:
    viewer.layers.selection.active = layer
    layer.selected_label = number
    layer.mode = "paint"


__all__ = ["ObjectMenu"]
