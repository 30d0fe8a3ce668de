"""Histogram plot with draggable thresholds. Importing it imports pyqtgraph."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_unetseg.gui.shared.preview import THRESHOLD_COLOURS

_MOST_BARS = 512


class HistogramPlot(pg.PlotWidget):
    """A histogram with one vertical line per threshold.

    Signals
    -------
    dragged(tuple)
        The values of all lines, in ascending order, while one of them is dragged.
    released(tuple)
        The same, when the mouse button is released.
    """

    dragged = Signal(tuple)
    released = Signal(tuple)

    def __init__(self, parent: QWidget | None = None) -> None:
        # Without the menu, which takes as long to build as the rest of the plot.
        super().__init__(parent, background=None, enableMenu=False)
        self.setFixedHeight(130)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.hideButtons()
        self.getPlotItem().hideAxis("left")
        self.setMouseEnabled(x=True, y=False)
        self.setToolTip(
            "Grey levels of the image (heights on a logarithmic scale). "
            "Drag a line to move the threshold; turn the wheel to zoom, double-click to see all."
        )
        self._bars = pg.PlotCurveItem(
            [0.0, 1.0], [0.0], stepMode="center", fillLevel=0, brush=(140, 150, 160, 150)
        )
        self._bars.setPen(pg.mkPen(None))
        self.addItem(self._bars)
        self.lines: list[pg.InfiniteLine] = []
        self._range = (0.0, 1.0)

    def show_histogram(self, counts: NDArray[np.int64], edges: NDArray[np.float64]) -> None:
        """Draw `counts` (n) between `edges` (n + 1)."""
        # Bars beyond the plot's resolution are summed.
        step = -(-len(counts) // _MOST_BARS)
        starts = np.arange(0, len(counts), step)
        heights = np.log1p(np.add.reduceat(np.asarray(counts, float), starts))
        self._bars.setData(np.append(np.asarray(edges, float)[starts], edges[-1]), heights)
        self._range = (float(edges[0]), float(edges[-1]))
        self.see_all()

    def clear_histogram(self) -> None:
        """Clear the histogram and the lines."""
        self._bars.setData([0.0, 1.0], [0.0])
        self.show_values(())

    def see_all(self) -> None:
        """Show the whole range of grey levels."""
        self.setXRange(*self._range, padding=0.02)
        self.getPlotItem().enableAutoRange("y")

    @property
    def values(self) -> tuple[float, ...]:
        """The positions of the lines, in ascending order."""
        return tuple(sorted(float(line.value()) for line in self.lines))

    def show_values(self, values: Sequence[float]) -> None:
        """Move the lines to `values`."""
        while len(self.lines) > len(values):
            self.removeItem(self.lines.pop())
        while len(self.lines) < len(values):
            self._add_line(THRESHOLD_COLOURS[len(self.lines) % len(THRESHOLD_COLOURS)])
        for line, value in zip(self.lines, sorted(values), strict=True):
            line.setValue(value)

    @staticmethod
    def point(x: float, y: float) -> Any:
        """Return a point in the plot's own units: grey level, logarithm of the count."""
        return pg.Point(x, y)

    def mouseDoubleClickEvent(self, event: object) -> None:
        """Zoom out to the whole range."""
        self.see_all()

    def _add_line(self, colour: str) -> None:
        # Numbers at one height would overprint.
        height = 0.9 - 0.2 * (len(self.lines) % 4)
        line = pg.InfiniteLine(
            angle=90,
            movable=True,
            pen=pg.mkPen(colour, width=2),
            hoverPen=pg.mkPen(colour, width=4),
            label="{value:.4g}",
            labelOpts={
                "position": height,
                "color": colour,
                "fill": (0, 0, 0, 120),
            },
        )
        line.setCursor(Qt.CursorShape.SizeHorCursor)
        line.sigDragged.connect(lambda: self.dragged.emit(self.values))
        line.sigPositionChangeFinished.connect(lambda: self.released.emit(self.values))
        self.addItem(line)
        self.lines.append(line)
