"""Plots inside the docks: a histogram whose thresholds are dragged."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QSizePolicy, QWidget

# Okabe and Ito's colours, told apart by colour-blind eyes; orange first.
THRESHOLD_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2")

_MOST_BARS = 512
# Weight of the newest step in the running mean that is drawn.
_LOSS_MEMORY = 0.1


class HistogramPlot(pg.PlotWidget):
    """A histogram with one upright line a threshold.

    Signals
    -------
    dragged(tuple)
        The values of all lines, in ascending order, while one of them is dragged.
    released(tuple)
        The same, when the mouse lets go.
    """

    dragged = Signal(tuple)
    released = Signal(tuple)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, background=None)
        self.setFixedHeight(130)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMenuEnabled(False)
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
        # More bars than the plot has pixels are joined, each as high as all of its own.
        step = -(-len(counts) // _MOST_BARS)
        starts = np.arange(0, len(counts), step)
        heights = np.log1p(np.add.reduceat(np.asarray(counts, float), starts))
        self._bars.setData(np.append(np.asarray(edges, float)[starts], edges[-1]), heights)
        self._range = (float(edges[0]), float(edges[-1]))
        self.see_all()

    def clear_histogram(self) -> None:
        """Draw nothing."""
        self._bars.setData([0.0, 1.0], [0.0])
        self.show_values(())

    def see_all(self) -> None:
        """Show the whole range of grey levels."""
        self.setXRange(*self._range, padding=0.02)
        self.getPlotItem().enableAutoRange("y")

    @property
    def values(self) -> tuple[float, ...]:
        """Where the lines stand, in ascending order."""
        return tuple(sorted(float(line.value()) for line in self.lines))

    def show_values(self, values: Sequence[float]) -> None:
        """Put the lines at `values`."""
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
        """See the whole range again."""
        self.see_all()

    def _add_line(self, colour: str) -> None:
        line = pg.InfiniteLine(
            angle=90,
            movable=True,
            pen=pg.mkPen(colour, width=2),
            hoverPen=pg.mkPen(colour, width=4),
            label="{value:.4g}",
            labelOpts={"position": 0.9, "color": colour, "fill": (0, 0, 0, 120)},
        )
        line.setCursor(Qt.CursorShape.SizeHorCursor)
        line.sigDragged.connect(lambda: self.dragged.emit(self.values))
        line.sigPositionChangeFinished.connect(lambda: self.released.emit(self.values))
        self.addItem(line)
        self.lines.append(line)


class LossPlot(pg.PlotWidget):
    """How a training goes: the loss of each step, and the Dice of what was held out."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, background=None)
        self.setFixedHeight(140)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setMouseEnabled(x=False, y=False)
        self.setToolTip(
            "Orange: loss of each step, smoothed, as a share of the first. "
            "Blue: Dice on what was held out; the best is kept."
        )
        self.setLabel("bottom", "seconds")
        self.setYRange(0, 1, padding=0.05)
        self.addLegend(offset=(-5, 5))
        loss, dice = THRESHOLD_COLOURS[:2]
        self._loss = self.plot([], [], pen=pg.mkPen(loss, width=2), name="loss")
        self._dice = self.plot(
            [], [], pen=pg.mkPen(dice, width=2), symbol="o", symbolSize=5, name="Dice"
        )
        self.clear_curves()

    def clear_curves(self) -> None:
        """Begin anew."""
        self._seconds: list[float] = []
        self._losses: list[float] = []
        self._judged: list[tuple[float, float]] = []
        self._draw()

    @property
    def n_points(self) -> int:
        """How many steps are drawn."""
        return len(self._seconds)

    def add(self, seconds: float, loss: float, dice: float | None) -> None:
        """Draw one more step."""
        last = self._losses[-1] if self._losses else loss
        self._losses.append(last + (loss - last) * _LOSS_MEMORY)
        self._seconds.append(seconds)
        if dice is not None:
            self._judged.append((seconds, dice))
        self._draw()

    def _draw(self) -> None:
        top = max(self._losses[:1] or [1.0]) or 1.0
        step = -(-len(self._seconds) // _MOST_BARS) or 1
        self._loss.setData(self._seconds[::step], [loss / top for loss in self._losses[::step]])
        self._dice.setData([s for s, _ in self._judged], [d for _, d in self._judged])
