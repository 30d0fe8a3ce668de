"""The history of the models: one row a version, a click goes back to it."""

from datetime import datetime
from typing import Any

import numpy as np
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_unetseg.core.training.model_history import Entry, Version
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.train.loss_curve import LossPlot

COLUMNS = {
    "Version": "A check mark is the current one, used by Predict, Train and Train on.",
    "From": "Which version it was trained on from.",
    "Score": "Dice on what was held out; or in percent, of what you annotated, what is right.",
    "Learnt": "Labelled pixels that it learnt from; point at it for the images.",
}
_HELD = "✓ "
_ICON, _SHOWN_ROWS = 36, 5
_GONE = "Its weights are no longer kept: only the newest, the best and the current models are."


class HistoryList(QWidget):
    """All versions of a session, the newest on top.

    Parameters
    ----------
    session
        Of the viewer.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._entries: list[Entry] = []
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setObjectName("history")
        self.table.setToolTip("Click a version to go back to it.")
        for column, (name, help_text) in enumerate(COLUMNS.items()):
            item = QTableWidgetItem(name)
            item.setToolTip(help_text)
            self.table.setHorizontalHeaderItem(column, item)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setIconSize(QSize(_ICON, _ICON))
        across, down = self.table.horizontalHeader(), self.table.verticalHeader()
        if across is not None and down is not None:
            across.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            across.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
            across.setSectionsClickable(False)
            down.hide()
            down.setDefaultSectionSize(_ICON + 4)
        self.table.cellClicked.connect(lambda row, column: self.choose(row))
        self.details = QLabel()
        self.details.setWordWrap(True)
        self.curve = LossPlot()
        column_of = QVBoxLayout(self)
        column_of.setContentsMargins(0, 0, 0, 0)
        for widget in (self.table, self.details, self.curve):
            column_of.addWidget(widget)
        session.models_changed.connect(self.refresh)
        self.refresh()

    def close_events(self) -> None:
        """Stop listening to the session."""
        self._session.models_changed.disconnect(self.refresh)

    def choose(self, row: int) -> None:
        """Go back to the version in a row."""
        if not 0 <= row < len(self._entries):
            return
        entry = self._entries[row]
        if entry.model is None:
            self.details.setText(f"{entry.version.name}: {_GONE}")
        elif entry.model is not self._session.current:
            self._session.go_back(entry.model)

    def refresh(self) -> None:
        """Show the versions as they are now."""
        self._entries = list(self._session.history)[::-1]
        current = self._session.current
        self.table.setRowCount(len(self._entries))
        held = None
        for row, entry in enumerate(self._entries):
            is_current = current is not None and entry.model is current
            held = entry.version if is_current else held
            self._show(row, entry, held=is_current)
        self._fit()
        self._show_details(held)

    def text(self, row: int, column: int) -> str:
        """Return what a cell shows."""
        item = self.table.item(row, column)
        return "" if item is None else item.text()

    def _show(self, row: int, entry: Entry, *, held: bool) -> None:
        version = entry.version
        cells = [
            f"{_HELD if held else ''}{version.name}",
            self._parent(version),
            _score(version),
            f"{version.labelled:,}" if version.labelled else "",
        ]
        words = "\n".join(filter(None, [*describe_version(version), "" if entry.model else _GONE]))
        for column, text in enumerate(cells):
            item = QTableWidgetItem(text)
            item.setToolTip(words)
            font = item.font()
            font.setBold(held)
            item.setFont(font)
            if column > 1:
                right: Any = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                item.setTextAlignment(right)
            if entry.model is None:
                item.setFlags(Qt.ItemFlag.NoItemFlags)
            self.table.setItem(row, column, item)
        picture = version.picture()
        first = self.table.item(row, 0)
        if picture is not None and first is not None:
            first.setIcon(icon_of(picture))

    def _parent(self, version: Version) -> str:
        if not version.parent:
            return "a file" if version.origin == "loaded" else "nothing"
        known = [v.name for v in self._session.history.versions if v.fingerprint == version.parent]
        return known[-1] if known else "another model"

    def _show_details(self, version: Version | None) -> None:
        """Show more of the current version: what it learnt, and its curve."""
        self.details.setText("" if version is None else ". ".join(describe_version(version)) + ".")
        self.curve.clear_curves()
        for point in version.curve if version is not None else ():
            self.curve.add(point.seconds, point.loss, point.dice)
        self.curve.setVisible(self.curve.n_points > 1)

    def _fit(self) -> None:
        """Be as high as a few rows; more are scrolled."""
        across = self.table.horizontalHeader()
        top = 0 if across is None else across.sizeHint().height()
        rows = min(max(len(self._entries), 1), _SHOWN_ROWS)
        self.table.setFixedHeight(top + rows * (_ICON + 4) + 2 * self.table.frameWidth() + 2)


def describe_version(version: Version) -> list[str]:
    """Describe a version of a model in sentences without their stops."""
    said = [f"{version.name}: {version.kind}, {version.origin}{_when(version.made)}"]
    if version.learnt:
        images = ", ".join(
            f"{one.image} with {one.labels}" + (f" ({one.ink:,} pixels of ink)" if one.ink else "")
            for one in version.learnt
        )
        said.append(f"Learnt from {images}")
    if version.dice is not None:
        said.append(f"Dice {version.dice:.3f} on what was held out")
    if version.right is not None:
        forgot = "" if version.forgotten is None else f", forgot {100 * version.forgotten:.1f} %"
        said.append(f"{100 * version.right:.1f} % of what was annotated is right{forgot}")
    return said


def icon_of(picture: np.ndarray) -> QIcon:
    """Return an RGB array as an icon."""
    height, width, _ = picture.shape
    raw = np.ascontiguousarray(picture).tobytes()
    image = QImage(raw, width, height, 3 * width, QImage.Format.Format_RGB888)
    return QIcon(QPixmap.fromImage(image.copy()))


def _score(version: Version) -> str:
    if version.dice is not None:
        return f"{version.dice:.3f}"
    return "" if version.right is None else f"{100 * version.right:.1f} %"


def _when(made: str) -> str:
    try:
        return f" {datetime.fromisoformat(made).astimezone():%Y-%m-%d %H:%M}"
    except ValueError:
        return ""


__all__ = ["COLUMNS", "HistoryList", "describe_version", "icon_of"]
