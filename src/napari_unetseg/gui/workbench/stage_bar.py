"""The stages of work as buttons with icons, and the tools of the chosen one as tabs."""

from collections.abc import Collection
from typing import Any

from napari.utils.events import disconnect_events
from napari.utils.theme import get_theme
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QSizePolicy,
    QTabBar,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_unetseg.gui.shared.icons import dot_icon, icon_size, line_icon
from napari_unetseg.gui.shared.tool import check_button
from napari_unetseg.gui.workbench.dock_registry import STAGES

_STYLE = (
    "QToolButton {{ background: transparent; border: none; border-radius: 3px; padding: 3px 0px; "
    "color: {text}; }} QToolButton:checked {{ background: {current}; }} "
    "QToolButton:hover:!checked {{ background: {primary}; }} "
    "QToolButton:focus {{ border: 1px solid #3d8bd4; }}"
)
_GOES_ON = "A run goes on: {}."


class StageBar(QWidget):
    """One button for each stage, and below them the tabs of the tools of the chosen stage.

    A stage opens with the tool that was used there last.

    Parameters
    ----------
    viewer
        The napari viewer.

    Signals
    -------
    chosen(str)
        The title of the tool that the user turned to.
    """

    chosen = Signal(str)

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._last = [stage.tools[0] for stage in STAGES]
        self._at = 0
        self._running: frozenset[str] = frozenset()
        self._helps: dict[str, str] = {}
        self._group = QButtonGroup(self)
        self.buttons = [_button(stage.title) for stage in STAGES]
        self.tabs = QTabBar()
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self.tabs.setUsesScrollButtons(False)
        self.tabs.setElideMode(Qt.TextElideMode.ElideNone)
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        for number, button in enumerate(self.buttons):
            self._group.addButton(button, number)
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 2, 6, 0)
        column.setSpacing(4)
        column.addLayout(row)
        column.addWidget(self.tabs)
        self._group.idClicked.connect(lambda number: self.chosen.emit(self._last[number]))
        self.tabs.currentChanged.connect(self._on_tab)
        viewer.events.theme.connect(self._paint)
        self._paint()
        self.show_tool(STAGES[0].tools[0])

    def show_tool(self, title: str) -> None:
        """Mark a tool and its stage as chosen."""
        at = next(k for k, stage in enumerate(STAGES) if title in stage.tools)
        tools = STAGES[at].tools
        self._last[at] = title
        with QSignalBlocker(self.tabs):
            if self._at != at or not self.tabs.count():
                self._at = at
                while self.tabs.count():
                    self.tabs.removeTab(0)
                for tool in tools:
                    self.tabs.addTab(tool)
            self.tabs.setCurrentIndex(tools.index(title))
        check_button(self._group, at)
        self._mark_tabs()

    def show_help(self, title: str, text: str) -> None:
        """Show the purpose of a tool at its tab."""
        self._helps[title] = text
        self._mark_tabs()

    def show_running(self, titles: Collection[str]) -> None:
        """Mark the tools in which a run goes on, and their stages."""
        if self._running != frozenset(titles):
            self._running = frozenset(titles)
            self._paint()

    def close_bar(self) -> None:
        """Stop listening to the viewer."""
        disconnect_events(self._viewer.events, self)

    def _on_tab(self, number: int) -> None:
        if number >= 0:
            self.chosen.emit(STAGES[self._at].tools[number])

    def _paint(self, event: object = None) -> None:
        """Draw icons and colours for the present theme and runs."""
        theme = get_theme(self._viewer.theme)
        colours = {name: getattr(theme, name).as_hex() for name in ("text", "current", "primary")}
        self.setStyleSheet(_STYLE.format(**colours))
        for stage, button in zip(STAGES, self.buttons, strict=True):
            busy = [title for title in stage.tools if title in self._running]
            button.setIcon(line_icon(stage.title.lower(), self._viewer, busy=bool(busy)))
            goes_on = f" {_GOES_ON.format(', '.join(busy))}" if busy else ""
            button.setToolTip(stage.help + goes_on)
        self._mark_tabs()

    def _mark_tabs(self) -> None:
        for number, title in enumerate(STAGES[self._at].tools):
            busy = title in self._running
            self.tabs.setTabIcon(number, dot_icon() if busy else QIcon())
            self.tabs.setTabToolTip(number, self._helps.get(title, ""))


def _button(text: str) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setCheckable(True)
    button.setIconSize(icon_size())
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
    button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return button


__all__ = ["StageBar"]
