"""Docks of this plugin share one place as tabs, and Tab follows the screen."""

import os
import subprocess
import sys
import threading
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QMessageBox

from napari_unetseg.gui.batch.batch_dock import BatchWidget
from napari_unetseg.gui.models.models_dock import ModelsWidget
from napari_unetseg.gui.threshold.threshold_dock import ThresholdWidget
from napari_unetseg.gui.workbench.dock_registry import TITLES
from napari_unetseg.gui.workbench.workbench_dock import WorkbenchWidget


def dock_of(widget):
    """Return the dock that a widget is in."""
    while not isinstance(widget, QDockWidget):
        widget = widget.parent()
    return widget


def test_a_second_dock_opens_as_a_tab(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    workbench = WorkbenchWidget(viewer)
    viewer.window.add_dock_widget(workbench, name="Workbench", area="right")
    models = ModelsWidget(viewer)
    viewer.window.add_dock_widget(models, name="Models", area="right")
    window = viewer.window._qt_window
    qtbot.waitUntil(lambda: dock_of(models) in window.tabifiedDockWidgets(dock_of(workbench)))
    qtbot.waitUntil(models.isVisible)
    # A page that is built later does not raise the Workbench.
    workbench.tool(2)
    qtbot.wait(50)
    assert not models.visibleRegion().isEmpty()


def test_tab_goes_from_top_to_bottom(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.eye(64))
    tool = ThresholdWidget(viewer)
    viewer.window.add_dock_widget(tool, area="right")
    qtbot.waitUntil(tool.isVisible)
    tool.pick.setFocus()
    tops = []
    for _ in range(6):
        widget = tool.focusWidget()
        tops.append(widget.mapTo(tool, widget.rect().topLeft()).y())
        qtbot.keyClick(widget, Qt.Key.Key_Tab)
    assert tops == sorted(tops)
    assert len(set(tops)) > 4
    assert any(after > before for before, after in pairwise(tops))


def test_run_and_message_stay_in_sight(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.eye(64))
    tool = ThresholdWidget(viewer)
    viewer.window.add_dock_widget(tool, area="right")
    qtbot.waitUntil(tool.isVisible)
    for widget in (tool.run_button, tool.cancel_button, tool.message):
        assert not tool.scroller.isAncestorOf(widget)


@pytest.mark.parametrize("alone", [True, False])
def test_closing_a_dock_during_a_run_asks(make_napari_viewer, qtbot, monkeypatch, alone):
    viewer = make_napari_viewer(show=True)
    image = viewer.add_image(np.eye(64))
    widget = ThresholdWidget(viewer) if alone else WorkbenchWidget(viewer)
    tool = widget if alone else widget.tool(TITLES.index("Threshold"))
    dock = viewer.window.add_dock_widget(widget, area="right")
    close = dock.title.close_button
    go, asked = threading.Event(), []
    monkeypatch.setattr(tool, "work", lambda layer, options: lambda progress: go.wait(10))
    monkeypatch.setattr(tool, "show_result", lambda layer, options, result: "done")
    monkeypatch.setattr(
        QMessageBox, "question", lambda _, title, words: asked.append(words) or answers.pop()
    )
    answers = [QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No]
    qtbot.wait(50)
    tool.pick.pick(image)
    tool.run()
    qtbot.mouseClick(close, Qt.MouseButton.LeftButton)
    assert asked == ["Threshold is still running. Close the dock and cancel the run?"]
    assert tool.running
    assert widget.parent() is dock
    qtbot.mouseClick(close, Qt.MouseButton.LeftButton)
    assert widget.parent() is None
    go.set()
    qtbot.waitUntil(lambda: not tool.running)
    assert "Cancelled" in tool.message.text()
    assert len(asked) == 2


def test_closing_the_batch_dock_during_a_run_asks(make_napari_viewer, qtbot, monkeypatch):
    viewer = make_napari_viewer(show=True)
    widget = BatchWidget(viewer)
    dock = viewer.window.add_dock_widget(widget, area="right")
    asked, cancelled = [], []
    monkeypatch.setattr(
        QMessageBox, "question", lambda _, title, words: asked.append(words) or answers.pop()
    )
    answers = [QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No]
    qtbot.wait(50)
    widget.task = SimpleNamespace(cancel=lambda: cancelled.append(True))
    qtbot.mouseClick(dock.title.close_button, Qt.MouseButton.LeftButton)
    assert asked == ["Batch is still running. Close the dock and cancel the run?"]
    assert widget.parent() is dock
    assert not cancelled
    qtbot.mouseClick(dock.title.close_button, Qt.MouseButton.LeftButton)
    assert widget.parent() is None
    assert cancelled


_ENDS = """
from qtpy.QtWidgets import QApplication, QDockWidget, QWidget
from napari_unetseg.gui.shared.docking import when_undocked
app = QApplication([])
pages, docks = [QWidget() for _ in range(3)], [QDockWidget() for _ in range(2)]
when_undocked(pages[0], lambda: print("closed by hand"))
when_undocked(pages[1], lambda: print("closed at the end", docks[1].isHidden()))
when_undocked(pages[2], lambda: print("never docked"))
for page, dock in zip(pages, docks):
    dock.setWidget(page)
    dock.show()
pages[0].setParent(None)
print("the script ends")
"""


def test_a_script_that_ends_closes_its_docks_while_qt_is_there():
    done = subprocess.run(
        [sys.executable, "-c", _ENDS],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "closed by hand",
        "the script ends",
        "closed at the end False",
    ]
