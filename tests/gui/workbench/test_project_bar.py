"""The project's name and Save above every page, and the key Ctrl+S."""

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QMessageBox, QWidget

from napari_unetseg.gui.project.recent_projects import note_project, recent_projects
from napari_unetseg.gui.shared.save_dialog import ask_to_save
from napari_unetseg.gui.workbench.workbench_dock import WorkbenchWidget

CTRL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def window(qtbot, monkeypatch, tmp_path):
    """A window with a Workbench, and a field that stands for the rest of napari."""
    viewer = ViewerModel()
    viewer.add_image(np.zeros((8, 8), np.uint8), name="picture")
    window = QWidget()
    row = QHBoxLayout(window)
    window.bench, window.rest = WorkbenchWidget(viewer), QLineEdit()
    row.addWidget(window.bench)
    row.addWidget(window.rest)
    asked = []

    def ask(*given):
        asked.append(given)
        return str(tmp_path / "cells.unetseg"), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask)
    window.asked = asked
    qtbot.addWidget(window)
    window.show()
    qtbot.waitExposed(window)
    yield window
    window.bench.close_tools()


def save_by_key(qtbot, widget):
    widget.setFocus()
    qtbot.keyClick(widget, Qt.Key.Key_S, CTRL)
    qtbot.wait(1)


def test_the_key_in_the_workbench_asks_once_and_then_saves(window, qtbot):
    bar = window.bench.project
    assert bar.name.text() == "Not saved yet"
    save_by_key(qtbot, bar.save_button)
    qtbot.waitUntil(lambda: bar.keeper.path is not None and not bar.keeper.busy, timeout=60_000)
    assert "cells" in bar.name.text()
    with qtbot.waitSignal(bar.keeper.saved, timeout=60_000):
        save_by_key(qtbot, window.rest)
    assert len(window.asked) == 1
    assert recent_projects() == [bar.keeper.path.resolve()]


def test_elsewhere_the_key_stays_naparis_own_while_there_is_no_project(window, qtbot):
    save_by_key(qtbot, window.rest)
    assert window.asked == []
    assert "selected layers" in window.bench.project.name.text()


def test_the_key_does_nothing_here_once_the_workbench_is_closed(window, qtbot):
    window.bench.close_tools()
    save_by_key(qtbot, window.bench.project.save_button)
    assert window.asked == []


def test_projects_that_are_gone_are_not_listed(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        note_project(tmp_path / name)
    (tmp_path / "one").rmdir()
    assert recent_projects() == [(tmp_path / "two").resolve()]


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_a_name_without_its_suffix_never_replaces_a_file_unasked(
    qtbot, monkeypatch, tmp_path, answer
):
    (tmp_path / "rois.zip").write_text("old")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *g: (str(tmp_path / "rois"), ""))
    asked = []

    def question(*given):
        asked.append(given[2])
        return QMessageBox.StandardButton[answer]

    monkeypatch.setattr(QMessageBox, "question", question)
    found = ask_to_save(None, "Save", "rois", "ImageJ ROIs (*.zip)")
    assert "rois.zip" in asked[0]
    assert found == (tmp_path / "rois.zip" if answer == "Yes" else None)


def test_a_whole_name_is_kept_and_a_new_one_gets_its_suffix(monkeypatch, tmp_path):
    for typed, expected in (("a.tsv", "a.tsv"), ("b", "b.csv"), ("c.v2", "c.v2.csv")):
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *g, t=typed: (tmp_path / t, ""))
        made = ask_to_save(None, "Save", "x", "Tables (*.csv *.tsv)")
        assert made == tmp_path / expected
