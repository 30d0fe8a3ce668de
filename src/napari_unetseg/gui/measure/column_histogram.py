"""Histogram of a measured column with a range to drag. Importing it imports pyqtgraph."""

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QSizePolicy, QWidget

_HEIGHT = 96
_MOST_BARS = 40
_HELP = (
    "Number of objects by their value. Drag the ends of the shaded range: table and canvas show "
    "the objects within it. Double-click for all."
)


class ColumnHistogram(pg.PlotWidget):
    """A histogram, with a shaded range of values.

    Signals
    -------
    range_changed()
        The user moved an end of the range; sent while it is dragged.
    """

    range_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, background=None, enableMenu=False)
        self.setFixedHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.hideButtons()
        self.getPlotItem().hideAxis("left")
        self.setMouseEnabled(x=False, y=False)
        self.setToolTip(_HELP)
        self._bars = pg.PlotCurveItem(
            [0.0, 1.0], [0.0], stepMode="center", fillLevel=0, brush=(140, 150, 160, 150)
        )
        self._bars.setPen(pg.mkPen(None))
        self.addItem(self._bars)
        self.region = pg.LinearRegionItem(
            brush=(61, 139, 212, 50), pen=pg.mkPen("#3d8bd4", width=2)
        )
        self.region.sigRegionChanged.connect(self._on_moved)
        self.addItem(self.region)
        self._ends = (0.0, 1.0)

    @property
    def chosen(self) -> tuple[float, float] | None:
        """The smallest and largest value of the range; None while it holds all."""
        low, high = map(float, self.region.getRegion())
        start, stop = self._ends
        return None if low <= start and high >= stop else (low, high)

    def show_values(self, values: NDArray[np.float64]) -> None:
        """Draw the finite ones of `values`, with all of them in the range."""
        finite = values[np.isfinite(values)]
        if not len(finite):
            finite = np.zeros(1)
        bars = min(_MOST_BARS, max(5, int(2 * len(finite) ** (1 / 3))))
        counts, edges = np.histogram(finite, bins=bars)
        self._bars.setData(edges, counts)
        self._ends = (float(edges[0]), float(edges[-1]))
        self.setXRange(*self._ends, padding=0.03)
        self.choose_all()

    def choose(self, low: float, high: float) -> None:
        """Set the range."""
        self.region.setRegion((low, high))

    def choose_all(self) -> None:
        """Set the range to all values, without a signal."""
        with QSignalBlocker(self):
            self.region.setBounds(self._ends)
            self.region.setRegion(self._ends)

    def mouseDoubleClickEvent(self, event: object) -> None:
        """Choose all values."""
        self.choose_all()
        self.range_changed.emit()

    def _on_moved(self) -> None:
        self.range_changed.emit()


__all__ = ["ColumnHistogram"]
