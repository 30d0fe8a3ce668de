"""The tool buttons of the Correct dock, in groups."""

from collections.abc import Collection

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QWidget

from napari_unetseg.gui.correct.correct_tools import TOOLS, ToolKind

_COLUMNS = 4


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
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(4)
        grid.setVerticalSpacing(2)
        row = -1
        for group in dict.fromkeys(kind.group for kind in TOOLS):
            row += 1
            grid.addWidget(QLabel(group), row, 0, 1, _COLUMNS)
            for number, kind in enumerate(kind for kind in TOOLS if kind.group == group):
                if number % _COLUMNS == 0:
                    row += 1
                grid.addWidget(self._button(kind), row, number % _COLUMNS)
        for column in range(_COLUMNS):
            grid.setColumnStretch(column, 1)
        self.show_keys(())

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
        self.buttons[kind.name] = button
        return button


__all__ = ["ToolPanel"]
