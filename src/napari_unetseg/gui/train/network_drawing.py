"""A window with a drawing of the chosen model: its parts, channels, sizes and cost."""

import math
from typing import Any

import numpy as np
from napari.layers import Layer
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPalette, QPen, QPolygonF, QShowEvent
from qtpy.QtWidgets import QDialog, QLabel, QVBoxLayout, QWidget

from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.model.diagram import Architecture, DiagramPart, describe_architecture
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.progress import Progress
from napari_unetseg.gui.shared.layers import image_of
from napari_unetseg.gui.shared.task import Latest

_COLOURS = {
    "input": "#7f8c9a",
    "down": "#3d7fb8",
    "bottom": "#8a5fb0",
    "up": "#3f9f6c",
    "output": "#c98a2b",
}
_GAP, _MARGIN, _TEXT = 26.0, 14.0, 15.0
_WIDEST, _TALLEST, _SHORTEST = 78.0, 96.0, 22.0
_DROP = 26.0
"""Vertical offset from one level to the next."""


class NetworkDrawing(QWidget):
    """A drawing of the parts of a model from left to right, each resolution on its own level.

    Width shows the number of channels, height the size of the images.
    """

    def __init__(self) -> None:
        super().__init__()
        self._built: Architecture | None = None
        self._image: tuple[int, ...] = (512, 512)
        self.boxes: list[QRectF] = []
        """The rectangles of the parts, in order."""

    def draw(self, built: Architecture, image: tuple[int, ...]) -> None:
        """Draw a model, with its sizes for images of these sides."""
        self._built, self._image = built, image
        self.boxes = _places(built, self.fontMetrics().horizontalAdvance)
        wide = max(box.right() for box in self.boxes) + _MARGIN
        tall = max(box.bottom() for box in self.boxes) + 3 * _TEXT + _MARGIN
        self.setMinimumSize(QSize(math.ceil(wide + _GAP / 2), math.ceil(tall)))
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Paint the parts, the arrows between them and the skip connections."""
        if self._built is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colour = self.palette().color(QPalette.ColorRole.WindowText)
        for (before, after), dashed in self._arrows():
            _arrow(painter, before, after, colour, dashed=dashed)
        for part, box in zip(self._built.parts, self.boxes, strict=True):
            self._paint(painter, part, box, colour)
        painter.end()

    def _arrows(self) -> list[tuple[tuple[QPointF, QPointF], bool]]:
        """Return the arrows between parts and, dashed, the skip connections."""
        if self._built is None:
            return []
        arrows = []
        for one, other in zip(self.boxes, self.boxes[1:], strict=False):
            arrows.append(((_right(one), _left(other)), False))
        for before, after in self._built.shortcuts:
            start, stop = self.boxes[before], self.boxes[after]
            height = start.top() + 5
            ends = QPointF(start.right(), height), QPointF(stop.left(), height)
            arrows.append((ends, True))
        return arrows

    def _paint(self, painter: QPainter, part: DiagramPart, box: QRectF, colour: QColor) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(_COLOURS[part.role]))
        painter.drawRoundedRect(box, 3, 3)
        painter.setPen(QPen(colour))
        size = " x ".join(map(str, part.size(self._image)))
        for row, words in enumerate((part.name, f"{part.channels} ch", size)):
            wide = painter.fontMetrics().horizontalAdvance(words) + 4
            at = QRectF(box.center().x() - wide / 2, box.bottom() + 2 + row * _TEXT, wide, _TEXT)
            painter.drawText(at, int(Qt.AlignmentFlag.AlignCenter), words)


class NetworkWindow(QDialog):
    """A window with the drawing, and the cost of the model below.

    Parameters
    ----------
    parent
        The dock that chooses the model.
    """

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("The network")
        self.drawing, self.facts, self.cost = NetworkDrawing(), QLabel(), QLabel()
        for label in (self.facts, self.cost):
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        column = QVBoxLayout(self)
        column.addWidget(self.drawing)
        column.addWidget(self.facts)
        column.addWidget(self.cost)
        self._speeds = Latest(self)
        self._speeds.answered.connect(self._on_measured)
        self._asked: tuple[Any, ...] | None = None

    def showEvent(self, event: QShowEvent | None) -> None:
        """Open within the screen, although the dock is at its edge."""
        super().showEvent(event)
        screen = self.screen()
        if screen is not None:
            room, frame = screen.availableGeometry(), self.frameGeometry()
            left = max(min(frame.left(), room.right() - frame.width()), room.left())
            top = max(min(frame.top(), room.bottom() - frame.height()), room.top())
            self.move(left, top)

    def show_model(
        self,
        spec: ModelSpec,
        *,
        n_channels: int,
        n_classes: int,
        ndim: int,
        image: tuple[int, ...],
    ) -> None:
        """Draw a model, and measure its cost in another thread.

        Parameters
        ----------
        spec, n_channels, n_classes, ndim
            See `describe_architecture`.
        image
            Sides of the image.
        """
        asked = (spec, n_channels, n_classes, ndim, image)
        if asked == self._asked:
            return
        self._asked = asked
        built = describe_architecture(spec, n_channels, n_classes, ndim)
        self.drawing.draw(built, image[-ndim:])
        self.facts.setText(_description(built, spec, ndim))
        self.cost.setText("Measuring its speed on this computer...")
        self._speeds.ask(lambda progress: _measured(spec, n_channels, n_classes, ndim, progress))
        self.adjustSize()

    def _on_measured(self, speed: Any) -> None:
        unit = "megavoxel" if self._asked is not None and self._asked[3] == 3 else "megapixel"
        seconds = speed.seconds_per_megapixel
        self.cost.setText(
            f"{speed.n_parameters:,} weights; prediction takes about {seconds:.2g} s per {unit}, "
            "measured just now on this computer's CPU."
        )
        self.adjustSize()


def _description(built: Architecture, spec: ModelSpec, ndim: int) -> str:
    field = " x ".join(map(str, built.receptive_field))
    words = [f"Receptive field: {field} {'voxels' if ndim == 3 else 'pixels'}."]
    if built.shortcuts:
        words.append(f"Skip connections (dashed) are {built.joined} to the decoder.")
    if getattr(spec, "resolution", "full") == "auto":
        words.append("Drawn at full resolution; training may choose half or a quarter.")
    return " ".join(words)


def _measured(
    spec: ModelSpec, n_channels: int, n_classes: int, ndim: int, progress: Progress
) -> Any:
    from napari_unetseg.core.training.train import check_torch

    check_torch()
    from napari_unetseg.core.nn.inference.speed import measure_speed

    return measure_speed(spec, n_channels, n_classes, ndim, progress=progress)


def _places(built: Architecture, width_of: Any) -> list[QRectF]:
    """Return the rectangle of each part, placed by level and by the width of its text."""
    most = max(part.channels for part in built.parts)
    boxes, x = [], _MARGIN
    for part in built.parts:
        wide = 10 + (_WIDEST - 10) * math.log2(1 + part.channels) / math.log2(1 + max(most, 3))
        halvings = math.log2(max(part.box))
        tall = max(_TALLEST * 0.72**halvings, _SHORTEST)
        room = max(wide, width_of(part.name) + 4, width_of("1234 x 1234"))
        top = _MARGIN + part.level * (_DROP + _TEXT)
        boxes.append(QRectF(x + (room - wide) / 2, top, wide, tall))
        x += room + _GAP
    return boxes


def _arrow(
    painter: QPainter, start: QPointF, stop: QPointF, colour: QColor, *, dashed: bool
) -> None:
    pen = QPen(colour, 1.2)
    if dashed:
        pen.setStyle(Qt.PenStyle.DashLine)
    painter.setPen(pen)
    painter.drawLine(start, stop)
    angle = math.atan2(stop.y() - start.y(), stop.x() - start.x())
    head = [stop]
    for turn in (2.7, -2.7):
        away = QPointF(math.cos(angle + turn), math.sin(angle + turn)) * 7
        head.append(stop + away)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    painter.drawPolygon(QPolygonF(head))


def _right(box: QRectF) -> QPointF:
    return QPointF(box.right(), box.center().y())


def _left(box: QRectF) -> QPointF:
    return QPointF(box.left(), box.center().y())


def sizes_for_drawing(
    layer: Layer | None, labels: Layer | None, kind: AnnotationKind, ndim: int
) -> dict[str, Any]:
    """Return the arguments of `NetworkWindow.show_model` that follow from an image and its labels.

    Parameters
    ----------
    layer, labels
        The image and its labels, or None for usual sizes.
    kind
        Meaning of the labels.
    ndim
        2 for planes, 3 for stacks.
    """
    sides: tuple[int, ...] = (512, 512)
    channels = 1
    if layer is not None:
        image = image_of(layer)
        channels = image.n_channels
        sides = tuple(image.length(axis) for axis in "ZYX"[-ndim:])
    painted = 0 if labels is None else int(np.max(labels.data, initial=0))
    classes = painted if kind == "scribbles" else 2
    return {
        "n_channels": channels,
        "n_classes": min(max(classes, 2), 64),
        "ndim": ndim,
        "image": sides,
    }


__all__ = ["NetworkDrawing", "NetworkWindow", "sizes_for_drawing"]
