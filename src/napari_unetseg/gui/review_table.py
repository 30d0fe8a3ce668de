"""The table of a review: one row an object, the worst first."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_unetseg.core.scoring.review import HIT, INVENTED, KINDS, MISSED, Review

COLOURS = {HIT: "#56b4e9", INVENTED: "#f0e442", MISSED: "#d55e00"}
"""Of Okabe and Ito's colours the three that every kind of colour vision tells apart best."""

_COLUMNS = {
    "Match": "Hit: in both. Missed: in the truth alone. Invented: in the prediction alone.",
    "Id": "Of the true object; of an invented one, in the prediction.",
    "IoU": "Intersection over union with its match, or with the closest object.",
    "Size": "In pixels.",
    "Centre": "In pixels, in the order of the axes.",
    "With": "Id of its match, or of the closest object, in the other layer.",
}
_HEIGHT = 240
# The widths of columns follow so many rows; Qt looks at a thousand, which takes a second.
_ROWS_MEASURED = 40


class ReviewModel(QAbstractTableModel):
    """A review as Qt reads it: a cell is made when it is seen, so a million rows cost nothing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._review: Review | None = None
        self._order: NDArray[np.intp] = np.zeros(0, dtype=np.intp)

    def show_review(self, review: Review | None) -> None:
        """Show `review`, in its own order, or nothing."""
        self.beginResetModel()
        self._review = review
        self._order = np.arange(0 if review is None else len(review))
        self.endResetModel()

    def object_at(self, row: int) -> int:
        """Return the place in the review of what a row shows."""
        return int(self._order[row])

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._order)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(_COLUMNS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return section + 1 if role == Qt.ItemDataRole.DisplayRole else None
        if role == Qt.ItemDataRole.DisplayRole:
            return list(_COLUMNS)[section]
        return list(_COLUMNS.values())[section] if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if self._review is None or not index.isValid():
            return None
        at = self.object_at(index.row())
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(at, index.column())
        if role == Qt.ItemDataRole.DecorationRole and index.column() == 0:
            return QColor(COLOURS[int(self._review.kind[at])])
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() > 0:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        review = self._review
        if review is None:
            return
        if column < 0:
            self._reorder(np.arange(len(review)))
            return
        keys = (
            -review.kind.astype(np.int64),
            review.label,
            review.iou,
            review.pixels,
            None,
            review.partner,
        )
        key = keys[column]
        # A centre is sorted by its first number, then by the next.
        new = np.argsort(key, kind="stable") if key is not None else _lexsort(review.spots.centre)
        self._reorder(new if order == Qt.SortOrder.AscendingOrder else new[::-1])

    def _reorder(self, order: NDArray[np.intp]) -> None:
        self.beginResetModel()
        self._order = order
        self.endResetModel()

    def _text(self, at: int, column: int) -> str:
        review = self._review
        if review is None:
            return ""
        partner = int(review.partner[at])
        return (
            KINDS[int(review.kind[at])],
            str(review.label[at]),
            f"{review.iou[at]:.2f}",
            f"{review.pixels[at]:,}",
            ", ".join(f"{value:.0f}" for value in review.spots.centre[at]),
            str(partner) if partner else "",
        )[column]


class ReviewTable(QTableView):
    """The rows of a review, one of which is current.

    Signals
    -------
    chosen(int)
        The place in the review of the object whose row became current.
    """

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = ReviewModel(self)
        self.setModel(self.rows)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setMinimumHeight(_HEIGHT)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        across, down = self.horizontalHeader(), self.verticalHeader()
        if across is not None and down is not None:
            across.setStretchLastSection(True)
            across.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
            across.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
            across.setResizeContentsPrecision(_ROWS_MEASURED)
            down.hide()
            down.setDefaultSectionSize(self.fontMetrics().height() + 8)
        self.setSortingEnabled(True)
        selection = self.selectionModel()
        if selection is not None:
            selection.currentRowChanged.connect(self._on_current)
        # A row that is current already is gone to again.
        self.clicked.connect(self._on_current)

    def show_review(self, review: Review | None) -> None:
        """Show `review`, the worst first, or nothing."""
        across = self.horizontalHeader()
        if across is not None:
            across.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.rows.show_review(review)
        self.resizeColumnsToContents()

    def step(self) -> bool:
        """Make the next row current; return False when there is none."""
        row = self.currentIndex().row() + 1
        if row >= self.rows.rowCount():
            return False
        self.setCurrentIndex(self.rows.index(row, 0))
        return True

    def _on_current(self, index: QModelIndex) -> None:
        if index.isValid():
            self.chosen.emit(self.rows.object_at(index.row()))


def _lexsort(rows: NDArray[Any]) -> NDArray[np.intp]:
    return np.lexsort(rows.T[::-1])


__all__ = ["COLOURS", "ReviewModel", "ReviewTable"]
