"""A table with one row per object, sortable by any column."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

_HEIGHT = 240
# Column widths are fitted to so many rows; Qt uses a thousand, which takes a second.
_ROWS_MEASURED = 40


@dataclass(frozen=True, eq=False)
class ObjectColumn:
    """A column of an `ObjectTable`.

    Parameters
    ----------
    title, help
        Text of the header and of its tooltip.
    key
        Sort keys, (n,) or (n, k); rows of several numbers sort lexicographically.
    text
        Maps the position of an object to the text of its cell.
    colour
        Maps the position of an object to the colour of a square before the text.
    words
        Whether the text is left-aligned.
    more
        Maps the position of an object to the tooltip of its cell.
    """

    title: str
    help: str
    key: NDArray[Any]
    text: Callable[[int], str]
    colour: Callable[[int], str] | None = None
    words: bool = False
    more: Callable[[int], str] | None = None


class ObjectModel(QAbstractTableModel):
    """A Qt table model of columns; cells are made when visible, so a million rows cost nothing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._columns: Sequence[ObjectColumn] = ()
        self._order: NDArray[np.intp] = np.zeros(0, dtype=np.intp)
        self._sorted = self._order
        self._kept: NDArray[np.bool_] | None = None

    def show_columns(self, columns: Sequence[ObjectColumn]) -> None:
        """Show `columns`, all of one length, unsorted."""
        self._columns, self._kept = columns, None
        self._reorder(np.arange(len(columns[0].key) if columns else 0))

    def show_only(self, kept: NDArray[np.bool_] | None) -> None:
        """Show the objects at the positions that are True, or all without an argument."""
        self._kept = kept
        self._reorder(self._sorted)

    def object_at(self, row: int) -> int:
        """Return the position of the object that a row shows."""
        return int(self._order[row])

    def row_of(self, at: int) -> int:
        """Return the row of the object at a position; -1 if it is not shown."""
        rows = np.flatnonzero(self._order == at)
        return int(rows[0]) if len(rows) else -1

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
        if role == Qt.ItemDataRole.ToolTipRole and column.more is not None:
            return column.more(at)
        if role == Qt.ItemDataRole.DecorationRole and column.colour is not None:
            return QColor(column.colour(at))
        if role == Qt.ItemDataRole.TextAlignmentRole and not column.words:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        if column >= len(self._columns):
            return
        if column < 0:
            self._reorder(np.arange(len(self._sorted)))
            return
        key = self._columns[column].key
        new = np.argsort(key, kind="stable") if key.ndim == 1 else np.lexsort(key.T[::-1])
        if order == Qt.SortOrder.DescendingOrder:
            new = new[::-1]
        if key.ndim == 1 and key.dtype.kind == "f":
            # NaN comes last in either order.
            missing = np.isnan(key[new])
            new = np.concatenate([new[~missing], new[missing]])
        self._reorder(new)

    def _reorder(self, order: NDArray[np.intp]) -> None:
        self.beginResetModel()
        self._sorted = order
        self._order = order if self._kept is None else order[self._kept[order]]
        self.endResetModel()


class ObjectTable(QTableView):
    """A table of objects, one of which is current.

    Signals
    -------
    chosen(int)
        The position of the object whose row the user made current.
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
        # A click on the current row navigates to its object again.
        self.clicked.connect(self._on_current)

    def show_columns(self, columns: Sequence[ObjectColumn]) -> None:
        """Show `columns`, unsorted; without columns the table is empty."""
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
        """Make the row of the object at a position current, without sending `chosen`.

        Nothing happens if the object is not shown.
        """
        row = self.rows.row_of(at)
        if row < 0:
            return
        self._quiet = True
        try:
            column = max(self.currentIndex().column(), 0)
            self.setCurrentIndex(self.rows.index(row, column))
        finally:
            self._quiet = False

    def _on_current(self, index: QModelIndex) -> None:
        if index.isValid() and not self._quiet:
            self.chosen.emit(self.rows.object_at(index.row()))


__all__ = ["ObjectColumn", "ObjectModel", "ObjectTable"]
