"""A viewer without a window, and pages that are closed after the test."""

import pytest
from napari.components import ViewerModel

from napari_unetseg.gui.shared.task import Latest


@pytest.fixture
def viewer(qapp):
    return ViewerModel()


@pytest.fixture
def open_page(qtbot):
    """Return a function that shows a page, and close it in the end, when nothing runs any more."""
    shown = []

    def open_page(page):
        qtbot.addWidget(page)
        page.show()
        qtbot.waitUntil(page.isVisible)
        shown.append(page)
        return page

    yield open_page
    for page in shown:
        page.close_tool()
    tasks = [task for page in shown for task in page.findChildren(Latest)]
    qtbot.waitUntil(lambda: not any([page.running for page in shown] + [t.busy for t in tasks]))
