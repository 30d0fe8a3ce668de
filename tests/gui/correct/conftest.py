"""The Correct page of a viewer without a window."""

import pytest
from napari.components import ViewerModel

from napari_unetseg.gui.correct.correct_dock import CorrectWidget


@pytest.fixture
def viewer(qapp):
    return ViewerModel()


@pytest.fixture
def tool(qtbot, viewer):
    made = CorrectWidget(viewer)
    qtbot.addWidget(made)
    made.show()
    qtbot.waitUntil(made.isVisible)
    yield made
    made.close_tool()
    qtbot.waitUntil(lambda: not made.running and not made.clicks._latest.busy)
