"""The Workbench: all tools in the order of work, in one dock."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
from napari.layers import Image as ImageLayer
from napari.utils.events import disconnect_events
from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QApplication,
    QGridLayout,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_unetseg.gui.shared.docking import ask_before_closing, open_as_tab, when_undocked
from napari_unetseg.gui.shared.session import Session, unwrapped
from napari_unetseg.gui.shared.style import FOCUS
from napari_unetseg.gui.shared.task import Latest
from napari_unetseg.gui.workbench.dock_registry import HOME, TITLES, DockRegistry, import_all
from napari_unetseg.gui.workbench.frozen_heap import FrozenHeap
from napari_unetseg.gui.workbench.project_bar import ProjectBar
from napari_unetseg.gui.workbench.stage_bar import StageBar
from napari_unetseg.gui.workbench.start_page import PLUGIN, StartPage

_WIDTH = 294
_FIRST_PAGE = "Predict"
_PAUSE_MS = 100
_FINDER = "napari_unetseg.gui.predict.model_finder"
# These follow the user's edits from the moment they are built.
_FIRST = ("Correct", "Train on")


class WorkbenchWidget(QWidget):
    """A dock with the stages of work, the tools of a stage as tabs, and the page of the chosen one.

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
        self.project = ProjectBar(self._viewer)
        self.bar = StageBar(self._viewer)
        self.bar.chosen.connect(self._on_chosen)
        self._built: dict[int, Any] = {}
        self._ready_for_layers = False
        self._closed = False
        self._later = QTimer(self)
        self._later.setInterval(_PAUSE_MS)
        self._later.timeout.connect(self._build_next)
        self._first_imports = Latest(self)
        self._first_imports.idle.connect(self._show_models)
        self._imports = Latest(self)
        self._heap = FrozenHeap(self._viewer, self)
        self._imports.idle.connect(self._build_later)
        self._places = [_place(self._pages) for _ in TITLES]
        # napari adds a stretch below the last widget of a vertical box, which would halve the page.
        column = QGridLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setVerticalSpacing(0)
        for row, widget in enumerate((self.project, self.bar, self._pages)):
            column.addWidget(widget, row, 0)
        column.setRowStretch(2, 1)
        self.setStyleSheet(FOCUS)
        self._session = Session.of(napari_viewer)
        self._session.page_wanted.connect(self.open_tool)
        self._session.runs_changed.connect(self._show_runs)
        # A model that is ready to use may be all that an image needs.
        self._at = TITLES.index(_FIRST_PAGE)
        self._session.workbench = self
        self.start = StartPage(self._viewer)
        self.start.clicks_wanted.connect(self.open_clicks)
        self.start.tour_wanted.connect(self.open_tour)
        self.start.project_wanted.connect(self.project.open)
        self.start.model_wanted.connect(self._take_model)
        self._pages.addWidget(self.start)
        self.open_start()
        layers = self._viewer.layers.events
        layers.inserted.connect(self._on_layers)
        layers.removed.connect(self._on_layers)
        self._on_layers()
        when_undocked(self, self.close_tools)
        open_as_tab(self)
        ask_before_closing(self, lambda: " and ".join(self._running()))

    def sizeHint(self) -> QSize:
        """Return a width that leaves at least half of a small window to the canvas."""
        return QSize(_WIDTH, super().sizeHint().height())

    @property
    def tools(self) -> list[Any]:
        """All tools in the order of the registry; missing ones are built."""
        return [self.tool(number) for number in range(len(TITLES))]

    def tool(self, number: int) -> Any:
        """Return tool `number`, counted from 0, on its page; it is built if needed."""
        tool = self._build(number)
        if tool.parentWidget() is None:
            self._places[number].addWidget(tool)
        return tool

    def _build(self, number: int) -> Any:
        if number not in self._built:
            kind = self.rungs[number]
            self._built[number] = tool = kind(self._viewer)
            self.bar.show_help(kind.title, kind.help_text)
            if kind.title == "Project":
                self.project.follow()
            if hasattr(tool, "wanted"):
                tool.wanted.connect(lambda: self.open_step(number))
        return self._built[number]

    def close_tools(self) -> None:
        """Cancel all runs and disconnect from the viewer."""
        if self._closed:
            return
        self._closed = True
        self._later.stop()
        self._imports.forget()
        self._heap.close()
        for tool in self._built.values():
            tool.close_tool()
        self.project.close_bar()
        self.bar.close_bar()
        self._session.page_wanted.disconnect(self.open_tool, missing_ok=True)
        self._session.runs_changed.disconnect(self._show_runs, missing_ok=True)
        disconnect_events(self._viewer.layers.events, self)
        if self._session.workbench is self:
            self._session.workbench = None

    def open_step(self, number: int) -> None:
        """Show the page of tool `number`, counted from 0."""
        self._at = number
        self.tool(number)
        self._pages.setCurrentIndex(number)
        self.bar.show_tool(TITLES[number])

    def open_start(self) -> None:
        """Show the start page."""
        self._pages.setCurrentWidget(self.start)
        self.bar.show_tool(HOME)

    def open_clicks(self) -> None:
        """Show Correct, with the mode in which objects are clicked."""
        self.open_tool("Correct")
        self.tool(TITLES.index("Correct")).begin_clicks()

    def open_tour(self) -> None:
        """Open the guided tour beside the Workbench."""
        from napari_unetseg.gui.workbench.tour_dock import TourWidget

        self._viewer.window.add_plugin_dock_widget(PLUGIN, TourWidget.title)

    def open_tool(self, title: str) -> Any:
        """Show the page of the tool with a title, if there is one, and return it."""
        if title not in TITLES:
            return None
        self.open_step(TITLES.index(title))
        return self.tool(self._at)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Start to build the other pages once this one is visible."""
        super().showEvent(event)
        if not self._closed:
            self._first_imports.ask_soon(lambda progress: import_module(_FINDER))

    def _show_models(self) -> None:
        """Show the pictures of the models, which a newcomer sees first, then import the rest."""
        if not self._closed:
            if self._pages.currentWidget() is self.start:
                self.start.show_models()
            self._imports.ask_soon(lambda progress: import_all())

    def _build_later(self) -> None:
        if not self._closed:
            self._later.start()

    def _build_next(self) -> None:
        """Build one more part, or put it on its page, unless a mouse button is pressed."""
        left = [n for n in range(len(TITLES)) if n not in self._built]
        apart = [n for n, tool in self._built.items() if tool.parentWidget() is None]
        if not left and not apart:
            self._later.stop()
            self._heap.freeze()
        elif QApplication.mouseButtons() != Qt.MouseButton.NoButton:
            return
        elif self._pages.currentWidget() is self.start and self.start.finder is None:
            self.start.show_models()
        elif not self._ready_for_layers:
            # napari reads all units of length for the first layer of a session.
            ImageLayer(np.zeros((2, 2)))
            self._ready_for_layers = True
        elif apart:
            self.tool(apart[0])
        else:
            self._build(min(left, key=lambda n: (TITLES[n] not in _FIRST, n)))

    def _on_chosen(self, title: str) -> None:
        if title == HOME:
            self.open_start()
        else:
            self.open_tool(title)

    def _take_model(self, name: str) -> None:
        """Choose a shipped model in Predict, and turn to it once there is an image."""
        self._at = TITLES.index(_FIRST_PAGE)
        self.tool(self._at).models.choose(name)
        if self._viewer.layers:
            self.open_step(self._at)

    def _show_runs(self) -> None:
        """Mark the tools in which a run goes on."""
        running = self._running()
        self.bar.show_running(running)
        if not running:
            self._heap.freeze_torch()

    def _running(self) -> list[str]:
        return [t.title for t in self._built.values() if getattr(t, "running", False)]

    def _on_layers(self, event: Any = None) -> None:
        """Show the start page while there is no layer, and the last tool when one comes."""
        if not self._viewer.layers:
            self.open_start()
        elif self._pages.currentWidget() is self.start and getattr(event, "type", "") != "removed":
            self.open_step(self._at)
            if TITLES[self._at] == _FIRST_PAGE and _was_opened(event):
                self.tool(self._at).look_for_model()


def _was_opened(event: Any) -> bool:
    """Whether the event is that of an image that was opened, from a file or as a sample."""
    layer = getattr(event, "value", None)
    return isinstance(layer, ImageLayer) and bool(layer.source.path or layer.source.sample)


def _place(pages: QStackedWidget) -> QVBoxLayout:
    """Add an empty page; return the layout for its tool."""
    page = QWidget()
    column = QVBoxLayout(page)
    column.setContentsMargins(0, 0, 0, 0)
    pages.addWidget(page)
    return column
