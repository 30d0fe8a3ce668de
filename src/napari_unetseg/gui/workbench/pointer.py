"""A frame that points at a control."""

from qtpy.compat import isalive
from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QWidget

from napari_unetseg.gui.shared.style import POINTER

_MARGIN = 4
_WIDTH = 3


class Pointer:
    """A frame around one widget at a time, transparent to the mouse."""

    def __init__(self) -> None:
        self._frame: _Frame | None = None
        self._target: QWidget | None = None

    @property
    def target(self) -> QWidget | None:
        """The framed widget."""
        return self._target if self._target is not None and _there(self._target) else None

    def point_at(self, target: QWidget | None) -> None:
        """Frame another widget, or none."""
        self._target = target
        self.follow()

    def follow(self) -> None:
        """Move the frame to the widget, and hide it while the widget is hidden."""
        target = self.target
        window = None if target is None else target.window()
        frame = self._frame if self._frame is not None and _there(self._frame) else None
        if target is None or window is None or not target.isVisible():
            if frame is not None:
                frame.hide()
            return
        if frame is None or frame.parentWidget() is not window:
            if frame is not None:
                frame.deleteLater()
            frame = self._frame = _Frame(window)
        # Only the visible part of a partly scrolled target is framed.
        seen = target.visibleRegion().boundingRect()
        if seen.isEmpty():
            frame.hide()
            return
        corner = target.mapTo(window, QPoint(0, 0)) + seen.topLeft()
        frame.setGeometry(QRect(corner, seen.size()).adjusted(-_MARGIN, -_MARGIN, _MARGIN, _MARGIN))
        frame.show()
        frame.raise_()


class _Frame(QWidget):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw orange with a dark edge, visible on light and dark."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = self.rect().adjusted(_WIDTH, _WIDTH, -_WIDTH, -_WIDTH)
        for colour, width in (("#202020", _WIDTH + 2), (POINTER, _WIDTH)):
            painter.setPen(QPen(QColor(colour), width))
            painter.drawRoundedRect(box, 4, 4)
        painter.end()


def _there(widget: QWidget) -> bool:
    return bool(isalive(widget))  # type: ignore[no-untyped-call]


__all__ = ["Pointer"]
