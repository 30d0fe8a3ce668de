"""How a training goes, as a plot that is built when it is first seen."""

from typing import Any

from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_unetseg.gui.shared.preview import THRESHOLD_COLOURS

_MOST_POINTS = 512
# Weight of the newest step in the running mean that is drawn.
_LOSS_MEMORY = 0.1


class LossPlot(QWidget):
    """How a training goes: the loss of each step, and the Dice of what was held out.

    A dock opens with its plots out of sight, and loading pyqtgraph and building one takes as long
    as the rest of the dock: until it is seen, it only remembers what it will show.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(140)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Orange: loss of each step, smoothed, as a share of the first. "
            "Blue: Dice on what was held out; the best is kept."
        )
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._curves: tuple[Any, Any] | None = None
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

    def showEvent(self, event: QShowEvent | None) -> None:
        """Build the plot the first time."""
        super().showEvent(event)
        if self._curves is None:
            self._curves = self._built()
            self._draw()

    def _built(self) -> tuple[Any, Any]:
        """Return the curves of the loss and of the Dice, in a plot of their own."""
        import pyqtgraph as pg

        plot = pg.PlotWidget(background=None, enableMenu=False)
        plot.hideButtons()
        plot.setMouseEnabled(x=False, y=False)
        plot.setLabel("bottom", "seconds")
        plot.setYRange(0, 1, padding=0.05)
        plot.addLegend(offset=(-5, 5))
        loss, dice = THRESHOLD_COLOURS[:2]
        curves = (
            plot.plot([], [], pen=pg.mkPen(loss, width=2), name="loss"),
            plot.plot([], [], pen=pg.mkPen(dice, width=2), symbol="o", symbolSize=5, name="Dice"),
        )
        self._column.addWidget(plot)
        return curves

    def _draw(self) -> None:
        if self._curves is None:
            return
        loss, dice = self._curves
        top = max(self._losses[:1] or [1.0]) or 1.0
        step = -(-len(self._seconds) // _MOST_POINTS) or 1
        loss.setData(self._seconds[::step], [value / top for value in self._losses[::step]])
        dice.setData([s for s, _ in self._judged], [d for _, d in self._judged])


__all__ = ["LossPlot"]
