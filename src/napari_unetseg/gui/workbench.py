"""All the tools in the order of the ladder, in one dock."""

from functools import partial
from typing import Any, ClassVar

from napari.utils.events import disconnect_events
from qtpy.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QPushButton,
    QStackedWidget,
    QWidget,
)

from napari_unetseg.gui.background import BackgroundWidget
from napari_unetseg.gui.batch import BatchWidget
from napari_unetseg.gui.correct import CorrectWidget
from napari_unetseg.gui.looks import FOCUS
from napari_unetseg.gui.measure import MeasureWidget
from napari_unetseg.gui.predict import PredictWidget
from napari_unetseg.gui.queue import QueueWidget
from napari_unetseg.gui.review import ReviewWidget
from napari_unetseg.gui.scoreboard import ScoreboardWidget
from napari_unetseg.gui.session import Session, unwrapped
from napari_unetseg.gui.start_page import PLUGIN, StartPage
from napari_unetseg.gui.threshold import ThresholdWidget
from napari_unetseg.gui.tool import Tool, check, when_undocked
from napari_unetseg.gui.tour import TourWidget
from napari_unetseg.gui.train import TrainWidget
from napari_unetseg.gui.train_on import TrainOnWidget

_COLUMNS = 4


class WorkbenchWidget(QWidget):
    """The ladder: one button a tool, numbered, and the page of the chosen one.

    Parameters
    ----------
    napari_viewer
        The napari viewer.
    """

    rungs: ClassVar[tuple[Any, ...]] = (
        BackgroundWidget,
        ThresholdWidget,
        TrainWidget,
        ScoreboardWidget,
        PredictWidget,
        QueueWidget,
        CorrectWidget,
        TrainOnWidget,
        ReviewWidget,
        MeasureWidget,
        BatchWidget,
    )

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__()
        self._viewer = unwrapped(napari_viewer)
        self._pages = QStackedWidget()
        self._buttons = QButtonGroup(self)
        steps = QGridLayout()
        steps.setContentsMargins(8, 6, 8, 0)
        steps.setSpacing(4)
        self.tools: list[Tool[Any] | BatchWidget] = []
        for number, kind in enumerate(self.rungs):
            tool = kind(napari_viewer)
            self.tools.append(tool)
            self._pages.addWidget(tool)
            if isinstance(tool, TrainOnWidget):
                tool.wanted.connect(partial(self.open_step, number))
            button = self._step(number, kind)
            self._buttons.addButton(button, number)
            steps.addWidget(button, number // _COLUMNS, number % _COLUMNS)
        self._buttons.idClicked.connect(self.open_step)
        # napari puts a stretch under the last widget of an upright box, which would halve the page.
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
        layers = self._viewer.layers.events
        layers.inserted.connect(self._on_layers)
        layers.removed.connect(self._on_layers)
        self._on_layers()
        when_undocked(self, self.close_tools)

    def close_tools(self) -> None:
        """Cancel what runs and stop listening to the viewer."""
        for tool in self.tools:
            tool.close_tool()
        self._session.page_wanted.disconnect(self.open_tool, missing_ok=True)
        disconnect_events(self._viewer.layers.events, self)
        if self._session.workbench is self:
            self._session.workbench = None

    def open_step(self, number: int) -> None:
        """Turn to the page of rung `number`, counted from 0."""
        self._at = number
        self._pages.setCurrentIndex(number)
        check(self._buttons, number)

    def open_tour(self) -> None:
        """Open the guided tour, where the Workbench is."""
        self._viewer.window.add_plugin_dock_widget(PLUGIN, TourWidget.title)

    def open_tool(self, title: str) -> None:
        """Turn to the page of the tool of a title, if there is one."""
        for number, tool in enumerate(self.tools):
            if tool.title == title:
                self.open_step(number)

    def _on_layers(self, event: object = None) -> None:
        """Say what to do first while there is no layer, then go on with the tool."""
        if not self._viewer.layers:
            self._pages.setCurrentWidget(self.start)
        elif self._pages.currentWidget() is self.start:
            self.open_step(self._at)

    def _step(self, number: int, kind: type[Tool[Any]] | type[BatchWidget]) -> QPushButton:
        button = QPushButton()
        button.setText(f"{number + 1} {kind.title}")
        button.setToolTip(kind.help_text)
        button.setCheckable(True)
        return button
