"""The table of the scoreboard: one row per model, filled during training."""

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QAbstractScrollArea,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_unetseg.core.model.validation_score import TOO_LITTLE, shown_dice
from napari_unetseg.core.training.compare_models import Row

COLUMNS = {
    "Model": "Trained model. An arrow: it scored lower than its guide model, which is kept.",
    "Dice": "Overlap with the held-out labels, mean over the classes; 1 is perfect.",
    "IoU": "Intersection over union with the held-out labels, mean over the classes.",
    "Train": "Training time in seconds.",
    "s / MP": "Seconds to predict a megapixel.",
}
_CURRENT, _WAITS, _LEARNS = "✓ ", "waiting", "training..."


class ScoreboardTable(QTableWidget):
    """A table of models; finished ones can be clicked.

    Signals
    -------
    chosen(object)
        The `Row` that was clicked.
    """

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(COLUMNS), parent)
        self._rows: list[Row] = []
        for column, (name, help_text) in enumerate(COLUMNS.items()):
            item = QTableWidgetItem(name)
            item.setToolTip(help_text)
            self.setHorizontalHeaderItem(column, item)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizeAdjustPolicy(QAbstractScrollArea.SizeAdjustPolicy.AdjustToContents)
        across, down = self.horizontalHeader(), self.verticalHeader()
        if across is not None and down is not None:
            across.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            across.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
            across.setSectionsClickable(False)
            down.hide()
            down.setDefaultSectionSize(self.fontMetrics().height() + 8)
        self.cellClicked.connect(self._on_clicked)

    def begin(self, kinds: Sequence[str]) -> None:
        """Show the models to be trained."""
        self._rows = []
        self.setRowCount(len(kinds))
        for at, kind in enumerate(kinds):
            self._write(at, [kind, _WAITS if at else _LEARNS, "", "", ""])
        self._fit()

    def add(self, row: Row) -> None:
        """Show the result of the next model."""
        at = len(self._rows)
        self._rows.append(row)
        self.setRowCount(max(self.rowCount(), at + 1))
        self._show(at, held=False)
        self._fit()
        if at + 1 < self.rowCount():
            self._write(at + 1, [self.text(at + 1, 0), _LEARNS, "", "", ""])

    def show_rows(self, rows: Sequence[Row], held: Row | None) -> None:
        """Show finished rows, one of which is in use."""
        self._rows = list(rows)
        self.setRowCount(len(rows))
        for at, row in enumerate(rows):
            self._show(at, held=row is held)
        self.clearSelection()
        self._fit()

    def text(self, row: int, column: int) -> str:
        """Return the text of a cell."""
        item = self.item(row, column)
        return "" if item is None else item.text()

    def _show(self, at: int, *, held: bool) -> None:
        row = self._rows[at]
        # On two lines, because a narrow dock would cut off the end.
        name = f"{row.asked}\n→ {row.kind}" if row.fell_back else row.kind
        shown = row.model is not None and shown_dice(row.model.scores) is not None
        class_scores = ", ".join(f"{label} {dice:.3f}" for label, dice in row.classes.items())
        told = f"Dice of {class_scores}." if shown else f"There is {TOO_LITTLE}."
        help_text = " ".join(filter(None, [row.message, class_scores and told]))
        if row.scores is None:
            cells = [name, "failed", "", "", ""]
        else:
            cells = [
                f"{_CURRENT if held else ''}{name}",
                f"{row.scores.dice:.3f}" if shown else "–",
                f"{row.scores.iou:.3f}" if shown else "–",
                _seconds(row.seconds),
                f"{row.seconds_per_megapixel:.2f}",
            ]
        self._write(at, cells, help_text, bold=held)

    def _write(
        self, at: int, cells: Sequence[str], help_text: str = "", *, bold: bool = False
    ) -> None:
        for column, text in enumerate(cells):
            item = QTableWidgetItem(text)
            item.setToolTip(help_text)
            font = item.font()
            font.setBold(bold)
            item.setFont(font)
            if column:
                right: Any = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                item.setTextAlignment(right)
            self.setItem(at, column, item)

    def _fit(self) -> None:
        """Fit the height to the rows: the page scrolls, not the table."""
        self.resizeRowsToContents()
        across = self.horizontalHeader()
        top = 0 if across is None else across.sizeHint().height()
        rows = sum(self.rowHeight(at) for at in range(self.rowCount()))
        self.setFixedHeight(top + rows + 2 * self.frameWidth())

    def _on_clicked(self, at: int, column: int) -> None:
        if at < len(self._rows):
            self.chosen.emit(self._rows[at])


def _seconds(seconds: float) -> str:
    if seconds < 1000:
        return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"


__all__ = ["COLUMNS", "ScoreboardTable"]
