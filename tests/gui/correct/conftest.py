"""The Correct page."""

import pytest

from napari_unetseg.gui.correct.correct_dock import CorrectWidget


@pytest.fixture
def tool(open_page, viewer):
    return open_page(CorrectWidget(viewer))
