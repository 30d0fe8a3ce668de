"""The table of the images of a batch, one row each, with state and results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QColor, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_unetseg.core.io import stem_of
from napari_unetseg.core.recipe import ImageRow
from napari_unetseg.core.recipe.batch_summary import State
from napari_unetseg.gui.shared.style import PROBLEM_COLOUR, PROBLEM_TEXT

_HEADS = ("Image", "State", "Objects", "Time")
_HELP = (
    "Double-click to see the result.",
    "Click an image that failed, or one with a question mark, to see why.",
    "Number of objects.",
    "Time in seconds.",
)
_STATES = {"done": "done", "kept": "done before", "failed": "failed", "running": "stopped"}
_HEIGHT = 160
_NAME = 84
"""Least width of the column of names."""

Extra = Mapping[str, Sequence[str]]
"""Columns of the summary: a text for each image, by the name of the column."""


class BatchModel(QAbstractTableModel):
    """A Qt table model of the images; cells are made when visible."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.paths: tuple[Path, ...] = ()
        self._at: dict[Path, int] = {}
        self._rows: dict[Path, ImageRow] = {}
        self._extra: Extra = {}
        self.running = False

    def show_paths(self, paths: Sequence[Path]) -> None:
        """Show other images, keeping the rows of those that stay."""
        self.beginResetModel()
        self.paths = tuple(paths)
        self._at = {path: number for number, path in enumerate(self.paths)}
        self._rows = {path: row for path, row in self._rows.items() if path in self._at}
        self._extra = {}
        self.endResetModel()

    def begin(self) -> None:
        """Clear all states at the start of a run."""
        self.beginResetModel()
        self._rows, self._extra, self.running = {}, {}, True
        self.endResetModel()

    def end(self, extra: Extra | None = None) -> None:
        """Show the end of the run, with `extra` columns of its summary."""
        self.beginResetModel()
        self._extra, self.running = extra or {}, False
        self.endResetModel()

    def show_row(self, row: ImageRow) -> None:
        """Show the state of an image."""
        at = self._at.get(row.path)
        if at is not None:
            self._rows[row.path] = row
            last = self.index(at, self.columnCount() - 1)
            self.dataChanged.emit(self.index(at, 0), last)

    def row_of(self, number: int) -> ImageRow | None:
        """Return the state of an image, if there is one."""
        return self._rows.get(self.paths[number])

    def number_of(self, path: Path) -> int | None:
        """Return the position of an image in the list."""
        return self._at.get(path)

    def n_in(self, *states: str) -> int:
        """Count the images in one of these states."""
        return sum(row.state in states for row in self._rows.values())

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.paths)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(_HEADS) + len(self._extra)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation != Qt.Orientation.Horizontal or section >= self.columnCount():
            return None
        names = [*_HEADS, *(name.removeprefix("median_") for name in self._extra)]
        if role == Qt.ItemDataRole.DisplayRole:
            return names[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return (
                _HELP[section] if section < len(_HELP) else "Median over the objects of the image."
            )
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        path, column = self.paths[index.row()], index.column()
        row = self._rows.get(path)
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(index.row(), column, row)
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.message if row is not None and row.message else str(path)
        if column == 1 and row is not None and row.state == "failed":
            # Besides the word; these colours are legible in every theme.
            if role == Qt.ItemDataRole.BackgroundRole:
                return QColor(PROBLEM_COLOUR)
            if role == Qt.ItemDataRole.ForegroundRole:
                return QColor(PROBLEM_TEXT)
        if role == Qt.ItemDataRole.TextAlignmentRole and column > 1:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def _text(self, number: int, column: int, row: ImageRow | None) -> str:
        if column == 0:
            return stem_of(self.paths[number])
        if column >= len(_HEADS):
            return list(self._extra.values())[column - len(_HEADS)][number]
        if row is None:
            return "waiting" if column == 1 and self.running else ""
        if column == 1:
            running = row.state == "running" and self.running
            doubtful = row.state in ("done", "kept") and bool(row.message)
            return f"{row.fraction:.0%}" if running else _STATES[row.state] + " ?" * doubtful
        if column == 2:
            return "" if row.objects is None else f"{row.objects:,}"
        return f"{row.seconds:.1f}" if row.state in ("done", "kept") else ""


class BatchList(QTableView):
    """The table of the images."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = BatchModel(self)
        self.setModel(self.rows)
        self.setObjectName("images")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setMinimumHeight(_HEIGHT)
        across, down = self.horizontalHeader(), self.verticalHeader()
        if across is not None and down is not None:
            across.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
            across.setDefaultSectionSize(74)
            across.resizeSection(2, 58)
            across.resizeSection(3, 40)
            down.hide()
            down.setDefaultSectionSize(self.fontMetrics().height() + 6)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Give the names of the images the room that the columns beside them leave."""
        super().resizeEvent(event)
        across, seen = self.horizontalHeader(), self.viewport()
        if across is not None and seen is not None:
            beside = sum(across.sectionSize(k) for k in range(1, len(_HEADS)))
            across.resizeSection(0, max(_NAME, seen.width() - beside))

    def chosen(self) -> list[int]:
        """Return the numbers of the chosen rows."""
        selection = self.selectionModel()
        found = [] if selection is None else selection.selectedRows()
        return sorted(index.row() for index in found)

    def show_first(self, state: State) -> None:
        """Scroll to the first image in a state, if there is one."""
        for number in range(len(self.rows.paths)):
            row = self.rows.row_of(number)
            if row is not None and row.state == state:
                self.scrollTo(self.rows.index(number, 0))
                return

    def follow(self, row: ImageRow) -> None:
        """Show the state of an image, and scroll to it when it starts."""
        self.rows.show_row(row)
        at = self.rows.number_of(row.path)
        if at is not None and row.state == "running" and row.fraction == 0:
            self.scrollTo(self.rows.index(at, 0))


__all__ = ["BatchList", "BatchModel", "Extra"]
