"""A plot of the training curves, built when first visible."""

from typing import Any

from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_unetseg.gui.shared.preview import THRESHOLD_COLOURS

_MOST_POINTS = 512
# Weight of the newest step in the running mean that is drawn.
_LOSS_MEMORY = 0.1


class LossPlot(QWidget):
    """A plot of the loss of each step and the Dice on the validation set.

    Importing pyqtgraph and building a plot takes as long as the rest of a dock, so until the plot
    is visible only its data are stored.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(140)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Orange: loss of each step, smoothed, as a share of the largest. "
            "Blue: Dice on held-out labels. The best is kept, so expect less on new images."
        )
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._plot: Any = None
        self._curves: tuple[Any, Any] | None = None
        self.clear_curves()

    def clear_curves(self) -> None:
        """Remove all points."""
        self._seconds: list[float] = []
        self._losses: list[float] = []
        self._scores: list[tuple[float, float]] = []
        self._draw()

    @property
    def n_points(self) -> int:
        """Number of steps drawn."""
        return len(self._seconds)

    def add(self, seconds: float, loss: float, dice: float | None) -> None:
        """Add one step."""
        last = self._losses[-1] if self._losses else loss
        self._losses.append(last + (loss - last) * _LOSS_MEMORY)
        self._seconds.append(seconds)
        if dice is not None:
            self._scores.append((seconds, dice))
        self._draw()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Build the plot the first time."""
        super().showEvent(event)
        if self._curves is None:
            self._plot, self._curves = self._build_plot()
            self._draw()

    def _build_plot(self) -> tuple[Any, tuple[Any, Any]]:
        """Build the plot and return it with its curves of loss and Dice."""
        import pyqtgraph as pg

        plot = pg.PlotWidget(background=None, enableMenu=False)
        plot.hideButtons()
        plot.setMouseEnabled(x=False, y=False)
        plot.setLabel("bottom", "seconds")
        plot.setYRange(0, 1, padding=0.05)
        loss, dice = THRESHOLD_COLOURS[:2]
        curves = (
            plot.plot([], [], pen=pg.mkPen(loss, width=2)),
            plot.plot([], [], pen=pg.mkPen(dice, width=2), symbol="o", symbolSize=5),
        )
        self._column.addWidget(plot)
        return plot, curves

    def _draw(self) -> None:
        if self._curves is None:
            return
        loss, dice = self._curves
        top = max(self._losses, default=1.0) or 1.0
        step = -(-len(self._seconds) // _MOST_POINTS) or 1
        loss.setData(self._seconds[::step], [value / top for value in self._losses[::step]])
        dice.setData([s for s, _ in self._scores], [d for _, d in self._scores])
        # Above the plot, where no line runs through it; without Dice while there is none.
        named = zip(("loss", "Dice")[: 1 + bool(self._scores)], THRESHOLD_COLOURS, strict=False)
        self._plot.setTitle(
            " ".join(f'<span style="color: {colour}">{name}</span>' for name, colour in named),
            size="8pt",
        )


__all__ = ["LossPlot"]
