"""The tool buttons of the Correct dock, in groups: icon, name and key of each tool."""

from collections.abc import Collection, Sequence
from typing import Any

from napari.utils.events import disconnect_events
from qtpy.QtCore import QObject, QSize, Qt, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unetseg.gui.correct.correct_tools import OFTEN, TOOLS, ToolKind
from napari_unetseg.gui.shared.form import heading_label
from napari_unetseg.gui.shared.icons import line_icon
from napari_unetseg.gui.shared.style import POINTER, PROBLEM_TEXT

_COLUMNS, _GAP, _ICON = 3, 4, 16
_STYLE = (
    "QPushButton { padding: 4px 2px; text-align: left; }"
    f"QPushButton:checked {{ background: {POINTER}; color: {PROBLEM_TEXT}; }}"
)
_SHORT = {"Delete": "Del"}


class ToolGroup(QWidget):
    """The buttons of a group of tools below its heading.

    Parameters
    ----------
    title
        The heading; none if it is empty.
    buttons
        In reading order.
    """

    def __init__(self, title: str, buttons: Sequence[QPushButton]) -> None:
        super().__init__()
        self._buttons = list(buttons)
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(_GAP)
        self._grid.setVerticalSpacing(2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 2, 0, 0)
        column.setSpacing(2)
        if title:
            column.addWidget(heading_label(title))
        column.addLayout(self._grid)
        self._columns = 0
        self._place(_COLUMNS)

    @property
    def _widest(self) -> int:
        return max(button.sizeHint().width() for button in self._buttons)

    def minimumSizeHint(self) -> QSize:
        """Return the size of a column: as narrow as that, fewer are beside each other."""
        return QSize(self._widest, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Lay fewer buttons beside each other where their words would be clipped."""
        super().resizeEvent(event)
        each = self._widest + _GAP
        fits = [n for n in range(1, _COLUMNS + 1) if self.width() >= n * each - _GAP]
        self._place(max(fits, default=1))

    def _place(self, columns: int) -> None:
        if columns == self._columns:
            return
        self._columns = columns
        for number, button in enumerate(self._buttons):
            self._grid.addWidget(button, *divmod(number, columns))
        for column in range(_COLUMNS):
            self._grid.setColumnStretch(column, int(column < columns))


class ToolPanel(QObject):
    """The buttons of all tools, in groups that the page places.

    Parameters
    ----------
    viewer
        The napari viewer, whose theme the icons follow.

    Signals
    -------
    pressed(object)
        The tool whose button was clicked.
    """

    pressed = Signal(object)

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.buttons: dict[str, KeyButton] = {kind.name: self._button(kind) for kind in TOOLS}
        self._dressed = dict(self.buttons)
        titles = dict.fromkeys(kind.group for kind in TOOLS)
        self.groups = {
            title: ToolGroup(
                title if title == OFTEN else "",
                [self.buttons[kind.name] for kind in TOOLS if kind.group == title],
            )
            for title in titles
        }
        self.groups[OFTEN].setObjectName("tools")
        viewer.events.theme.connect(self._paint)
        self._paint()
        self.show_keys(())

    def adopt(self, name: str, button: "KeyButton") -> None:
        """Give another button an icon and the look of the tools."""
        self._dressed[name] = button
        self._paint()

    def close_panel(self) -> None:
        """Stop listening to the viewer."""
        disconnect_events(self._viewer.events, self)

    def is_ready(self) -> bool:
        """Whether the tools can be used."""
        return self.groups[OFTEN].isEnabled()

    def set_ready(self, ready: bool) -> None:
        """Let the tools be used, or not."""
        for group in self.groups.values():
            group.setEnabled(ready)

    def show_current(self, kind: ToolKind | None) -> None:
        """Check the button of the active tool only."""
        for name, button in self.buttons.items():
            button.setChecked(kind is not None and kind.name == name)

    def show_keys(self, keys: Collection[str]) -> None:
        """Show the keys that are bound, on the buttons and in their tooltips."""
        for kind in TOOLS:
            self.buttons[kind.name].show_key(kind.key if kind.key in keys else "", kind.help)

    def _paint(self, event: object = None) -> None:
        """Draw icons and colours for the present theme."""
        from napari.utils.theme import get_theme

        dim = get_theme(self._viewer.theme).icon.as_hex("long")
        for name, button in self._dressed.items():
            button.setIcon(line_icon(name, self._viewer, checked=PROBLEM_TEXT))
            button.setStyleSheet(_STYLE)
            button.set_key_colours(dim, checked=PROBLEM_TEXT)

    def _button(self, kind: ToolKind) -> "KeyButton":
        button = KeyButton(kind.text)
        button.setObjectName(kind.name)
        button.setCheckable(kind.hand != "now")
        button.clicked.connect(lambda: self.pressed.emit(kind))
        return button


class KeyButton(QPushButton):
    """A button with an icon, a text, and a key at its right end."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.setAutoDefault(False)
        self.setIconSize(QSize(_ICON, _ICON))
        self._label = QLabel(self)
        self._label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._colours: tuple[str, ...] = ("", "")
        self.toggled.connect(self._paint_key)

    @property
    def key(self) -> str:
        """The key on the button, or ``""``."""
        return self._label.text()

    def set_key_colours(self, usual: str, *, checked: str) -> None:
        """Set the colours of the key on the button as usual, and while it is checked."""
        self._colours = usual, checked
        self._paint_key()

    def show_key(self, key: str, help_text: str) -> None:
        """Show a key, as napari names it, on the button and in its tooltip; none if empty."""
        full = key.replace("-", "+")
        short = full.replace("Shift+", "\N{UPWARDS WHITE ARROW}")
        self._label.setText(_SHORT.get(full, short))
        self.setToolTip(f"{help_text} Key over the canvas: {full}." if key else help_text)

    def sizeHint(self) -> QSize:
        """Return the size with room for the key."""
        words = self.fontMetrics().horizontalAdvance
        width = _ICON + 10 + words(self.text()) + 8 + words("\N{UPWARDS WHITE ARROW}W")
        return QSize(width, super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """Return the size with room for the key."""
        return self.sizeHint()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Keep the key at the right end."""
        super().resizeEvent(event)
        self._label.setGeometry(self.rect().adjusted(0, 0, -5, 0))

    def _paint_key(self, _: object = None) -> None:
        # The state of a button has no effect on the style of a label in it.
        colour = self._colours[self.isChecked()]
        self._label.setStyleSheet(f"color: {colour}; background: transparent;")


__all__ = ["KeyButton", "ToolGroup", "ToolPanel"]
