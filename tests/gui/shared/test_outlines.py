"""The tick for outlines, in the docks that show labels."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unetseg.gui.correct.correct_dock import CorrectWidget
from napari_unetseg.gui.review.review_dock import ReviewWidget
from napari_unetseg.gui.shared import outlines_box as module
from napari_unetseg.gui.shared.layers import REVIEW, find_layer


@pytest.fixture
def viewer():
    made = ViewerModel()
    labels = np.zeros((40, 50), np.int32)
    labels[4:20, 4:20] = 1
    made.add_labels(labels, name="truth")
    made.add_labels(labels.copy(), name="found")
    return made


@pytest.fixture
def opened(qtbot, viewer):
    def make(kind):
        made = kind(viewer)
        qtbot.addWidget(made)
        tools.append(made)
        return made

    tools = []
    yield make
    for tool in tools:
        tool.close_tool()
        qtbot.waitUntil(lambda tool=tool: not tool.running)


def test_correct_shows_its_labels_as_outlines_and_others_as_they_were(viewer, opened):
    tool = opened(CorrectWidget)
    assert tool.pick.layer() is viewer.layers["found"]
    tool.outlines.click()
    assert [layer.contour for layer in viewer.layers] == [0, 1]
    tool.outlines.click()
    assert [layer.contour for layer in viewer.layers] == [0, 0]
    viewer.layers["truth"].contour = 3
    tool.pick.pick(viewer.layers["truth"])
    tool.shown()
    assert tool.outlines.isChecked(), "as napari's own control says"
    tool.outlines.click()
    assert viewer.layers["truth"].contour == 0


def test_review_outlines_both_and_what_it_makes(qtbot, viewer, opened):
    tool = opened(ReviewWidget)
    tool.outlines.click()
    assert [layer.contour for layer in viewer.layers] == [1, 1]
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=30_000)
    made = find_layer(viewer.layers, REVIEW, tool.pick.layer())
    assert made.contour == 1


def test_planes_that_would_freeze_the_window_stay_filled(viewer, opened, monkeypatch):
    monkeypatch.setattr(module, "_AT_ONCE", 1000)
    tool = opened(CorrectWidget)
    tool.outlines.click()
    assert viewer.layers["found"].contour == 0
