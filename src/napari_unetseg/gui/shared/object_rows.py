"""A table of objects: one row each, sorted by any column, of which one is current."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

_HEIGHT = 240
# The widths of columns follow so many rows; Qt looks at a thousand, which takes a second.
_ROWS_MEASURED = 40


@dataclass(frozen=True, eq=False)
class ObjectColumn:
    """A column of an `ObjectTable`.

    Parameters
    ----------
    title, help
        What its head and the head's tooltip say.
    key
        (n,) or (n, k): what it is sorted by; of several numbers by the first, then the next.
    text
        Called with the place of an object for what its cell says.
    colour
        Called with the place of an object for the colour of a square before the text.
    words
        Whether the text reads from the left.
    """

    title: str
    help: str
    key: NDArray[Any]
    text: Callable[[int], str]
    colour: Callable[[int], str] | None = None
    words: bool = False


class ObjectModel(QAbstractTableModel):
    """Columns as Qt reads them: a cell is made when it is seen, so a million rows cost nothing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._columns: Sequence[ObjectColumn] = ()
        self._order: NDArray[np.intp] = np.zeros(0, dtype=np.intp)

    def show_columns(self, columns: Sequence[ObjectColumn]) -> None:
        """Show `columns`, all of one length, in their own order."""
        self.beginResetModel()
        self._columns = columns
        self._order = np.arange(len(columns[0].key) if columns else 0)
        self.endResetModel()

    def object_at(self, row: int) -> int:
        """Return the place among the objects of what a row shows."""
        return int(self._order[row])

    def row_of(self, at: int) -> int:
        """Return the row that shows the object at a place."""
        return int(np.flatnonzero(self._order == at)[0])

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._order)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._columns)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return section + 1 if role == Qt.ItemDataRole.DisplayRole else None
        if section >= len(self._columns):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._columns[section].title
        return self._columns[section].help if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        at, column = self.object_at(index.row()), self._columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.text(at)
        if role == Qt.ItemDataRole.DecorationRole and column.colour is not None:
            return QColor(column.colour(at))
        if role == Qt.ItemDataRole.TextAlignmentRole and not column.words:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        if column >= len(self._columns):
            return
        if column < 0:
            self._reorder(np.arange(len(self._order)))
            return
        key = self._columns[column].key
        new = np.argsort(key, kind="stable") if key.ndim == 1 else np.lexsort(key.T[::-1])
        if order == Qt.SortOrder.DescendingOrder:
            new = new[::-1]
        if key.ndim == 1 and key.dtype.kind == "f":
            # What is no number has no place among numbers: it comes last either way.
            missing = np.isnan(key[new])
            new = np.concatenate([new[~missing], new[missing]])
        self._reorder(new)

    def _reorder(self, order: NDArray[np.intp]) -> None:
        self.beginResetModel()
        self._order = order
        self.endResetModel()


class ObjectTable(QTableView):
    """Rows of objects, one of which is current.

    Signals
    -------
    chosen(int)
        The place among the objects of the one whose row became current by hand.
    """

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = ObjectModel(self)
        self._quiet = False
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

    def show_columns(self, columns: Sequence[ObjectColumn]) -> None:
        """Show `columns`, in their own order; no columns show nothing."""
        across = self.horizontalHeader()
        if across is not None:
            across.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.rows.show_columns(columns)
        self.resizeColumnsToContents()

    def step(self) -> bool:
        """Make the next row current; return False when there is none."""
        row = self.currentIndex().row() + 1
        if row >= self.rows.rowCount():
            return False
        self.setCurrentIndex(self.rows.index(row, 0))
        return True

    def show_object(self, at: int) -> None:
        """Make the row of the object at a place current, without sending `chosen`."""
        self._quiet = True
        try:
            column = max(self.currentIndex().column(), 0)
            self.setCurrentIndex(self.rows.index(self.rows.row_of(at), column))
        finally:
            self._quiet = False

    def _on_current(self, index: QModelIndex) -> None:
        if index.isValid() and not self._quiet:
            self.chosen.emit(self.rows.object_at(index.row()))


__all__ = ["ObjectColumn", "ObjectModel", "ObjectTable"]
