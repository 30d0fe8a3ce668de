"""What a newcomer meets: a first page, help in every dock, options that are remembered."""

import json

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt, QUrl
from qtpy.QtWidgets import QLabel

from napari_unetseg.core.threshold import ThresholdOptions
from napari_unetseg.gui.batch.batch_dock import BatchWidget
from napari_unetseg.gui.shared import remembered_options as remembered
from napari_unetseg.gui.shared.dock_help import About
from napari_unetseg.gui.threshold.threshold_dock import ThresholdWidget
from napari_unetseg.gui.train.train_dock import TrainWidget
from napari_unetseg.gui.workbench.workbench_dock import WorkbenchWidget


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def show(qtbot, viewer):
    """Show a dock of a kind, and close it in the end."""
    shown = []

    def show(kind):
        dock = kind(viewer)
        qtbot.addWidget(dock)
        dock.show()
        qtbot.waitExposed(dock)
        shown.append(dock)
        return dock

    yield show
    for dock in shown:
        dock.close_tools() if isinstance(dock, WorkbenchWidget) else dock.close_tool()


def test_an_empty_workbench_says_what_to_do_first(show, viewer):
    workbench = show(WorkbenchWidget)
    assert workbench.start.isVisible()
    assert "Open an image to begin" in workbench.start.findChild(QLabel, "help").text()
    layer = viewer.add_image(picture())
    assert not workbench.start.isVisible()
    assert workbench.tools[4].isVisible()
    workbench.open_step(2)
    viewer.layers.remove(layer)
    assert workbench.start.isVisible()
    viewer.add_image(picture())
    assert workbench.tools[2].isVisible()


def test_a_step_can_be_looked_at_before_anything_is_open(show):
    workbench = show(WorkbenchWidget)
    workbench.open_step(1)
    assert workbench.tools[1].isVisible()
    assert "Open an image" in workbench.tools[1].message.text()


def test_a_file_that_cannot_be_opened_is_said(show, tmp_path):
    start = show(WorkbenchWidget).start
    path = tmp_path / "notes.xyz"
    path.write_text("no image")
    start.open_files([str(path)])
    assert "could not open" in start.message.text()
    assert "File > Open File(s)" in start.message.text()


@pytest.mark.parametrize("kind", list(WorkbenchWidget.rungs), ids=lambda kind: kind.title)
def test_every_dock_says_what_it_is_for_and_leads_to_its_help(show, kind):
    dock = show(kind)
    about = dock.findChild(About)
    assert about.findChild(QLabel, "help").text() == kind.help_text
    about.open_help()
    window = about._window
    assert window.isVisible()
    assert kind.title in window.text.toPlainText().splitlines()[0]


def test_links_of_the_help_lead_to_other_docks(show):
    about = show(ThresholdWidget).findChild(About)
    about.open_help()
    about._window._on_link(QUrl("background.md"))
    assert about._window.text.toPlainText().startswith("Background")


def picture():
    import numpy as np

    return np.random.default_rng(0).random((40, 50)).astype(np.float32)


def run(qtbot, tool):
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=120_000)


def test_options_are_remembered_by_the_next_dock_and_can_be_reset(qtbot, viewer, show):
    viewer.add_image(picture())
    first = show(ThresholdWidget)
    assert not first.reset_button.isVisible()
    first.form.set(method="li", min_size=7)
    run(qtbot, first)
    second = show(ThresholdWidget)
    assert second.form.options == first.form.options
    assert second.reset_button.isVisible()
    qtbot.mouseClick(second.reset_button, Qt.MouseButton.LeftButton)
    assert second.form.options == ThresholdOptions()
    assert not second.reset_button.isVisible()
    assert show(ThresholdWidget).form.options == ThresholdOptions()


def test_options_of_a_closed_dock_return_in_the_same_session_alone(viewer, show):
    viewer.add_image(picture())
    remembered.remember("Threshold", {"options": {"min_size": 5}})
    first = show(ThresholdWidget)
    first.form.set(method="manual", value=0.25, min_size=7)
    first.close_tool()
    again = show(ThresholdWidget)
    assert again.form.options == ThresholdOptions(min_size=7), "the value is of one image"
    again.form.set(min_size=0)
    again.close_tool()
    assert show(ThresholdWidget).form.options == ThresholdOptions(), "a default is kept, too"
    assert remembered.recall("Threshold") == {"options": {"min_size": 5}}


def test_what_holds_for_one_image_is_not_remembered(qtbot, viewer, show):
    viewer.add_image(picture())
    first = show(ThresholdWidget)
    first.form.set(method="manual", value=0.25, min_size=7)
    run(qtbot, first)
    options = show(ThresholdWidget).form.options
    assert options == ThresholdOptions(min_size=7)


def test_the_model_to_train_and_its_options_are_remembered(viewer, show):
    first = show(TrainWidget)
    first.rung.setCurrentIndex(first.rung.findData("mlp"))
    first.memory.keep()
    second = show(TrainWidget)
    assert second.rung.currentData() == "mlp"
    second.memory.reset()
    assert second.rung.currentData() == "logistic"


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe no text",
        b"[1, 2]",
        b'{"Threshold": 3}',
        b'{"Threshold": {"options": 3}}',
        b'{"Threshold": {"options": {"method": "gone"}, "choices": {"x": 1}}}',
        b'{"Threshold": {"options": {"min_size": "many", "other": 1}}}',
    ],
)
def test_a_damaged_file_counts_as_nothing(show, content):
    path = remembered._path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    assert show(ThresholdWidget).form.options == ThresholdOptions()
    remembered.remember("Threshold", {"options": {"min_size": 3}})
    assert json.loads(path.read_text())["Threshold"] == {"options": {"min_size": 3}}


def test_a_place_that_cannot_be_written_hurts_nobody(monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setattr(remembered, "_path", lambda: blocked / "options.json")
    remembered.remember("Threshold", {"options": {"min_size": 3}})
    assert remembered.recall("Threshold") == {}


def test_enter_keeps_a_number_ctrl_enter_runs_and_escape_cancels(qtbot, viewer, show, monkeypatch):
    viewer.add_image(picture())
    tool = show(ThresholdWidget)
    seen = []

    def endless(progress):
        while True:
            seen.append(True)
            progress(0.5, "waiting")

    monkeypatch.setattr(tool, "work", lambda layer, options: endless)
    field = tool.form.widget("min_size").native
    field.setFocus()
    field.selectAll()
    qtbot.keyClicks(field, "25")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert tool.form.options.min_size == 25
    assert not tool.running
    qtbot.keyClick(field, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: tool.running and bool(seen), timeout=30_000)
    qtbot.keyClick(field, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: not tool.running, timeout=30_000)
    assert "Cancelled" in tool.message.text()


def test_enter_presses_the_button_that_has_the_keyboard(qtbot, viewer, show):
    viewer.add_image(picture())
    tool = show(ThresholdWidget)
    button = tool.findChild(About).help_button
    button.setFocus()
    qtbot.keyClick(button, Qt.Key.Key_Return)
    assert not tool.running
    assert tool.findChild(About)._window.isVisible()


def test_a_batch_has_its_help_too(show):
    assert show(BatchWidget).findChild(About) is not None
