"""The tool buttons of the Correct dock, in groups."""

from collections.abc import Collection

from qtpy.QtCore import Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QWidget

from napari_unetseg.gui.correct.correct_tools import TOOLS, ToolKind

_COLUMNS, _GAP = 4, 4


class ToolPanel(QWidget):
    """A panel with one button per tool.

    Signals
    -------
    pressed(object)
        The tool whose button was clicked.
    """

    pressed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.buttons: dict[str, QPushButton] = {}
        self._titles = {kind.group: QLabel(kind.group) for kind in TOOLS}
        for kind in TOOLS:
            self.buttons[kind.name] = self._button(kind)
        self._grid = grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(_GAP)
        grid.setVerticalSpacing(2)
        self._columns = 0
        self._place(_COLUMNS)
        self.show_keys(())

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Lay fewer buttons beside each other where their words would be clipped."""
        super().resizeEvent(event)
        widest = max(button.sizeHint().width() for button in self.buttons.values())
        fits = self.width() >= _COLUMNS * (widest + _GAP) - _GAP
        self._place(_COLUMNS if fits else _COLUMNS - 1)

    def _place(self, columns: int) -> None:
        """Lay out the buttons in rows below the name of their group."""
        if columns == self._columns:
            return
        self._columns = columns
        row = -1
        for group, title in self._titles.items():
            row += 1
            self._grid.addWidget(title, row, 0, 1, columns)
            for number, kind in enumerate(kind for kind in TOOLS if kind.group == group):
                row += number % columns == 0
                self._grid.addWidget(self.buttons[kind.name], row, number % columns)
        for column in range(_COLUMNS):
            self._grid.setColumnStretch(column, int(column < columns))

    def show_current(self, kind: ToolKind | None) -> None:
        """Check the button of the active tool only."""
        for name, button in self.buttons.items():
            button.setChecked(kind is not None and kind.name == name)

    def show_keys(self, keys: Collection[str]) -> None:
        """Show the active keys in the tooltips."""
        for kind in TOOLS:
            key = kind.key.replace("-", "+")
            key_hint = f" Key over the canvas: {key}." if kind.key in keys else ""
            self.buttons[kind.name].setToolTip(f"{kind.help}{key_hint}")

    def _button(self, kind: ToolKind) -> QPushButton:
        button = QPushButton(kind.text)
        button.setObjectName(kind.name)
        button.setCheckable(True)
        # napari's own padding would clip long texts in small buttons.
        button.setStyleSheet("QPushButton { padding: 4px 2px; }")
        button.setMinimumWidth(60)
        button.clicked.connect(lambda: self.pressed.emit(kind))
        return button


__all__ = ["ToolPanel"]
