"""The Workbench: all tools in the order of the ladder, in one dock."""

from collections.abc import Sequence
from typing import Any, ClassVar

from napari.utils.events import disconnect_events
from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QApplication,
    QButtonGroup,
    QGridLayout,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_unetseg.gui.shared.docking import open_as_tab, when_undocked
from napari_unetseg.gui.shared.session import Session, unwrapped
from napari_unetseg.gui.shared.style import FOCUS
from napari_unetseg.gui.shared.tool import check_button
from napari_unetseg.gui.workbench.dock_registry import TITLES, DockRegistry
from napari_unetseg.gui.workbench.start_page import PLUGIN, StartPage

_COLUMNS = 3
_WIDTH = 312
_PAUSE_MS = 100
# These follow the user's edits from the moment they are built.
_FIRST = ("Correct", "Train on")


class WorkbenchWidget(QWidget):
    """A dock with one numbered button per tool, and the page of the chosen one.

    A page is built when it is first opened, and the others one by one while the window is idle, so
    that the dock opens at once.

    Parameters
    ----------
    napari_viewer
        The napari viewer.
    """

    rungs: ClassVar[Sequence[Any]] = DockRegistry()

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__()
        self._viewer = unwrapped(napari_viewer)
        self._pages = QStackedWidget()
        self._buttons = QButtonGroup(self)
        steps = QGridLayout()
        steps.setContentsMargins(8, 6, 8, 0)
        steps.setSpacing(4)
        self._built: dict[int, Any] = {}
        self._closed = False
        self._later = QTimer(self)
        self._later.setInterval(_PAUSE_MS)
        self._later.timeout.connect(self._build_next)
        self._places = [_place(self._pages) for _ in TITLES]
        self._steps = [_step(f"{number + 1} {title}") for number, title in enumerate(TITLES)]
        home = _step("Start")
        home.setToolTip("Open an image or a sample, or take the guided tour.")
        for number, button in enumerate([*self._steps, home]):
            self._buttons.addButton(button, number)
            steps.addWidget(button, number // _COLUMNS, number % _COLUMNS)
        self._buttons.idClicked.connect(self._on_button)
        # napari adds a stretch below the last widget of a vertical box, which would halve the page.
        column = QGridLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(steps, 0, 0)
        column.addWidget(self._pages, 1, 0)
        column.setRowStretch(1, 1)
        self.setStyleSheet(FOCUS)
        self._session = Session.of(napari_viewer)
        self._session.page_wanted.connect(self.open_tool)
        self._at = 0
        self._session.workbench = self
        self.start = StartPage(self._viewer)
        self.start.tour_wanted.connect(self.open_tour)
        self._pages.addWidget(self.start)
        self.open_start()
        layers = self._viewer.layers.events
        layers.inserted.connect(self._on_layers)
        layers.removed.connect(self._on_layers)
        self._on_layers()
        when_undocked(self, self.close_tools)
        open_as_tab(self)

    def sizeHint(self) -> QSize:
        """Return a width that leaves at least half of a small window to the canvas."""
        return QSize(_WIDTH, super().sizeHint().height())

    @property
    def tools(self) -> list[Any]:
        """All tools in the order of the ladder; missing ones are built."""
        return [self.tool(number) for number in range(len(TITLES))]

    def tool(self, number: int) -> Any:
        """Return tool `number`, counted from 0, building it if needed."""
        if number not in self._built:
            kind = self.rungs[number]
            self._built[number] = tool = kind(self._viewer)
            self._places[number].addWidget(tool)
            self._steps[number].setToolTip(kind.help_text)
            if hasattr(tool, "wanted"):
                tool.wanted.connect(lambda: self.open_step(number))
        return self._built[number]

    def close_tools(self) -> None:
        """Cancel all runs and disconnect from the viewer."""
        self._closed = True
        self._later.stop()
        for tool in self._built.values():
            tool.close_tool()
        self._session.page_wanted.disconnect(self.open_tool, missing_ok=True)
        disconnect_events(self._viewer.layers.events, self)
        if self._session.workbench is self:
            self._session.workbench = None

    def open_step(self, number: int) -> None:
        """Show the page of tool `number`, counted from 0."""
        self._at = number
        self.tool(number)
        self._pages.setCurrentIndex(number)
        check_button(self._buttons, number)

    def open_start(self) -> None:
        """Show the start page."""
        self._pages.setCurrentWidget(self.start)
        check_button(self._buttons, len(TITLES))

    def open_tour(self) -> None:
        """Open the guided tour beside the Workbench."""
        from napari_unetseg.gui.workbench.tour_dock import TourWidget

        self._viewer.window.add_plugin_dock_widget(PLUGIN, TourWidget.title)

    def open_tool(self, title: str) -> None:
        """Show the page of the tool with a title, if there is one."""
        if title in TITLES:
            self.open_step(TITLES.index(title))

    def showEvent(self, event: QShowEvent | None) -> None:
        """Start to build the other pages once this one is visible."""
        super().showEvent(event)
        if not self._closed:
            self._later.start()

    def _build_next(self) -> None:
        """Build one more page, unless a mouse button is pressed."""
        left = [n for n in range(len(TITLES)) if n not in self._built]
        if not left:
            self._later.stop()
        elif QApplication.mouseButtons() == Qt.MouseButton.NoButton:
            self.tool(min(left, key=lambda n: (TITLES[n] not in _FIRST, n)))

    def _on_button(self, number: int) -> None:
        if number < len(TITLES):
            self.open_step(number)
        else:
            self.open_start()

    def _on_layers(self, event: Any = None) -> None:
        """Show the start page while there is no layer, and the last tool when one comes."""
        if not self._viewer.layers:
            self.open_start()
        elif self._pages.currentWidget() is self.start and getattr(event, "type", "") != "removed":
            self.open_step(self._at)


def _step(text: str) -> QPushButton:
    button = QPushButton()
    button.setText(text)
    button.setCheckable(True)
    return button


def _place(pages: QStackedWidget) -> QVBoxLayout:
    """Add an empty page; return the layout for its tool."""
    page = QWidget()
    column = QVBoxLayout(page)
    column.setContentsMargins(0, 0, 0, 0)
    pages.addWidget(page)
    return column
