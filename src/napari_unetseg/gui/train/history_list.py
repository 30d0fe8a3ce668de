"""A list of the model history: one row per version, and a click goes back to it."""

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
    "Version": "The check mark is the current model, used by Predict, Train and Train on.",
    "From": "The version it was fine-tuned or started from.",
    "Score": "Dice on held-out labels, without what the choice of the best step gained where that "
    "is known; or the percentage of your annotation that is right.",
    "Learnt": "Labelled pixels in training, in thousands (k) or millions (M); the tooltip lists "
    "the images.",
}
_CURRENT = "✓ "
_ICON, _SHOWN_ROWS = 36, 5
_GONE = "Its weights are no longer kept: only the newest, the best and the current models are."


class HistoryList(QWidget):
    """A table of all model versions of a session, the newest on top.

    Parameters
    ----------
    session
        The session of the viewer.
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
            for names in (0, 1):
                across.setSectionResizeMode(names, QHeaderView.ResizeMode.Stretch)
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
        """Show the current versions."""
        self._entries = list(self._session.history)[::-1]
        current = self._session.current
        self.table.setRowCount(len(self._entries))
        current_version = None
        for row, entry in enumerate(self._entries):
            is_current = current is not None and entry.model is current
            current_version = entry.version if is_current else current_version
            self._show(row, entry, is_current=is_current)
        self._fit()
        self._show_details(current_version)

    def text(self, row: int, column: int) -> str:
        """Return the text of a cell."""
        item = self.table.item(row, column)
        return "" if item is None else item.text()

    def _show(self, row: int, entry: Entry, *, is_current: bool) -> None:
        version = entry.version
        cells = [
            f"{_CURRENT if is_current else ''}{version.name}",
            self._parent(version),
            _score(version),
            _amount(version.labelled) if version.labelled else "",
        ]
        words = "\n".join(filter(None, [*describe_version(version), "" if entry.model else _GONE]))
        for column, text in enumerate(cells):
            item = QTableWidgetItem(text)
            item.setToolTip(words)
            font = item.font()
            font.setBold(is_current)
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
        names = [v.name for v in self._session.history.versions if v.fingerprint == version.parent]
        return names[-1] if names else "another model"

    def _show_details(self, version: Version | None) -> None:
        """Show the training data and the curve of the current version."""
        self.details.setText("" if version is None else ". ".join(describe_version(version)) + ".")
        self.curve.clear_curves()
        for point in version.curve if version is not None else ():
            dice = None if version is None or version.too_little else point.dice
            self.curve.add(point.seconds, point.loss, dice)
        self.curve.setVisible(self.curve.n_points > 1)

    def _fit(self) -> None:
        """Fit the height to a few rows; more are scrolled."""
        across = self.table.horizontalHeader()
        top = 0 if across is None else across.sizeHint().height()
        rows = min(max(len(self._entries), 1), _SHOWN_ROWS)
        self.table.setFixedHeight(top + rows * (_ICON + 4) + 2 * self.table.frameWidth() + 2)


def describe_version(version: Version) -> list[str]:
    """Describe a version of a model in sentences without full stops."""
    sentences = [f"{version.name}: {version.kind}, {version.origin}{_when(version.made)}"]
    if version.learnt:
        images = ", ".join(
            f"{one.image} with {one.labels}" + (f" ({one.ink:,} locked pixels)" if one.ink else "")
            for one in version.learnt
        )
        sentences.append(f"Trained on {images}")
    if version.score:
        sentences.append(version.score.removesuffix("."))
    elif version.dice is not None:
        sentences.append(f"Dice {version.dice:.3f} on held-out labels")
    if version.right is not None:
        forgot = "" if version.forgotten is None else f", forgot {100 * version.forgotten:.1f} %"
        sentences.append(f"{100 * version.right:.1f} % of the annotation is right{forgot}")
    return sentences


def icon_of(picture: np.ndarray) -> QIcon:
    """Convert an RGB array to an icon."""
    height, width, _ = picture.shape
    raw = np.ascontiguousarray(picture).tobytes()
    image = QImage(raw, width, height, 3 * width, QImage.Format.Format_RGB888)
    return QIcon(QPixmap.fromImage(image.copy()))


def _amount(pixels: int) -> str:
    """Return a number of pixels in a few characters."""
    for unit, letter in ((10**6, "M"), (10**3, "k")):
        if pixels >= unit:
            return f"{pixels / unit:.{int(pixels < 10 * unit)}f} {letter}"
    return str(pixels)


def _score(version: Version) -> str:
    if version.dice is not None and not version.too_little:
        return f"{version.dice:.3f}"
    return "" if version.right is None else f"{100 * version.right:.1f} %"


def _when(made: str) -> str:
    try:
        return f" {datetime.fromisoformat(made).astimezone():%Y-%m-%d %H:%M}"
    except ValueError:
        return ""


__all__ = ["COLUMNS", "HistoryList", "describe_version", "icon_of"]
