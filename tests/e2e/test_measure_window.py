"""Objects measured in a real window, with the mouse."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_unetseg.core import samples
from napari_unetseg.gui.measure.measure_dock import MeasureWidget


@pytest.fixture
def measure(hand):
    tools = hand.workbench.tools
    number = next(k for k, tool in enumerate(tools) if isinstance(tool, MeasureWidget))
    hand.turn_to(number)
    return tools[number]


def test_from_labels_to_a_row_and_from_an_object_to_its_row(hand, measure, qtbot):
    viewer = hand.viewer
    sample = samples.nuclei((128, 128), seed=3)
    for name in ("nuclei", "again"):
        viewer.add_image(sample.image, name=name)
    layer = viewer.add_labels(sample.objects, name="objects")
    hand.run(measure)
    table = measure.found
    n = len(np.unique(sample.objects)) - 1
    assert f"{n} objects" in measure.message.text()

    measure.colour.setCurrentText("area_px2")
    hand.wait(lambda: measure.bar_of_colours.isVisible())
    # Over several images, where napari draws no labels in the colours of a 16-bit cycle.
    shown = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    assert np.count_nonzero(np.ptp(shown, axis=-1) > 30) > 1000
    row = measure.table.rows.index(2, 1)
    middle = measure.table.visualRect(row).center()
    left = Qt.MouseButton.LeftButton
    qtbot.mouseClick(measure.table.viewport(), left, pos=middle)
    hand.wait(lambda: layer.selected_label == table["label"][2])

    # The object is in the middle of the canvas now; a click there comes back to its row.
    measure.table.setCurrentIndex(measure.table.rows.index(0, 0))
    viewer.layers.selection.active = layer
    qtbot.mouseClick(measure.table.viewport(), left, pos=middle)
    measure.table.show_object(0)
    canvas = viewer.window._qt_viewer.canvas.native
    qtbot.mouseClick(canvas, left, pos=canvas.rect().center())
    hand.wait(lambda: measure.table.currentIndex().row() == 2)
