"""The mouse and the keys over the canvas of a napari window."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QKeySequence, QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

_LEFT = Qt.MouseButton.LeftButton
_NO_KEY = Qt.KeyboardModifier.NoModifier
_PAUSE = 100
"""Milliseconds after what was done, in which the window goes on."""

Place = Sequence[float]
"""A place of a layer, in pixels of it."""


class Canvas:
    """Clicks, drags and presses keys on the canvas, at places of layers.

    Parameters
    ----------
    viewer
        The napari viewer.
    """

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.clicks = 0
        self.native: QWidget = viewer.window._qt_viewer.canvas.native  # noqa: SLF001

    def at(self, layer: Any, place: Place) -> QPoint:
        """Return where a place of a layer is on the canvas."""
        # The cameras of later versions of napari belong to a scene.
        camera = getattr(self.viewer, "scene", self.viewer).camera
        world = np.array(layer.data_to_world(place))[-2:]
        y, x = (world - np.array(camera.center)[-2:]) * camera.zoom
        return QPoint(round(self.native.width() / 2 + x), round(self.native.height() / 2 + y))

    def click(self, layer: Any, place: Place) -> None:
        """Click a place of a layer."""
        point = self.at(layer, place)
        QTest.mouseMove(self.native, point)
        QTest.mouseClick(self.native, _LEFT, _NO_KEY, point)
        self.clicks += 1
        QTest.qWait(_PAUSE)

    def drag(self, layer: Any, places: Sequence[Place]) -> None:
        """Press the mouse on the first place, move it along the others, and let go: one click."""
        self.clicks += 1
        points = [self.at(layer, place) for place in places]
        QTest.mouseMove(self.native, points[0])
        QTest.mousePress(self.native, _LEFT, _NO_KEY, points[0])
        for start, stop in pairwise(points):
            for share in np.linspace(0, 1, 8)[1:]:
                self._move(start + (stop - start) * float(share))
        QTest.mouseRelease(self.native, _LEFT, _NO_KEY, points[-1])
        QTest.qWait(_PAUSE)

    def key(self, keys: str) -> None:
        """Press keys with the mouse over the canvas, such as ``"Ctrl+Z"``."""
        self.native.setFocus()
        QTest.keySequence(self.native, QKeySequence(keys))
        QTest.qWait(_PAUSE)

    def leave(self) -> None:
        """Move the mouse into a corner, where it points at nothing."""
        QTest.mouseMove(self.native, QPoint(2, 2))

    def _move(self, point: QPoint) -> None:
        """Move the mouse with its button held, which QTest cannot."""
        event = QMouseEvent(
            QMouseEvent.Type.MouseMove,
            QPointF(point),
            QPointF(self.native.mapToGlobal(point)),
            Qt.MouseButton.NoButton,
            _LEFT,
            _NO_KEY,
        )
        QApplication.sendEvent(self.native, event)
        QTest.qWait(10)


__all__ = ["Canvas", "Place"]
