"""A real window with the workbench, driven by clicks."""

import time

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_unetseg.core import samples
from napari_unetseg.gui.workbench.workbench_dock import WorkbenchWidget


class Hand:
    """What a person does with the mouse, and what a person waits for."""

    def __init__(self, qtbot, viewer, workbench):
        self.qtbot, self.viewer, self.workbench = qtbot, viewer, workbench

    def tool(self, number):
        return self.workbench.tools[number]

    def click(self, widget):
        self.qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)

    def turn_to(self, number):
        self.workbench.open_step(number)
        self.qtbot.waitUntil(self.tool(number).isVisible)

    def wait(self, condition, seconds=30):
        """Wait until a condition holds; the seconds are of this process, not of the wall clock.

        On a busy machine the window gets little of each second, which says nothing about it.
        """
        spent, longest = time.process_time() + seconds, 6 * seconds

        def holds():
            if condition():
                return True
            if time.process_time() > spent:
                raise TimeoutError(f"not so after {seconds} s of computing")
            return False

        self.qtbot.waitUntil(holds, timeout=1000 * longest)

    def run(self, tool):
        self.click(tool.run_button)
        self.wait(lambda: not tool.running)

    def drag_line(self, plot, share):
        """Drag the first threshold line to a share of the histogram's width."""
        self.qtbot.wait(200)  # a message of a run lays the page out anew
        box = plot.getPlotItem().getViewBox()
        line = next(iter(plot.lines))
        low, high = box.viewRange()[0]
        middle = sum(box.viewRange()[1]) / 2

        def at(value):
            scene = box.mapViewToScene(plot.point(value, middle))
            return plot.mapFromScene(scene)

        start, stop = at(line.value()), at(low + share * (high - low))
        port = plot.viewport()
        left = Qt.MouseButton.LeftButton
        self.qtbot.mouseMove(port, start)
        self.qtbot.wait(50)  # the plot looks at the mouse a hundred times a second at most
        self.qtbot.mousePress(port, left, pos=start)
        for part in np.linspace(0, 1, 12):
            between = start + (stop - start) * float(part)
            self.qtbot.mouseMove(port, QPoint(between.x(), between.y()))
            self.qtbot.wait(20)
        self.qtbot.mouseRelease(port, left, pos=stop)


@pytest.fixture
def hand(qtbot, make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 780)
    workbench = WorkbenchWidget(viewer)
    viewer.window.add_dock_widget(workbench, name="Workbench", area="right")
    qtbot.waitUntil(workbench.isVisible)
    return Hand(qtbot, viewer, workbench)


@pytest.fixture
def nuclei(hand):
    """Nuclei with strokes of both classes on eight rows; the hand knows the truth."""
    sample = samples.nuclei((160, 192), seed=2)
    image = hand.viewer.add_image(sample.image, name="nuclei", scale=(0.5, 0.5))
    strokes = np.zeros(sample.classes.shape, np.uint8)
    rows = np.arange(10, 150, 20)
    strokes[rows] = np.where(sample.mask[rows], 2, 1)
    hand.viewer.add_labels(strokes, name="strokes", scale=(0.5, 0.5))
    hand.viewer.layers.selection.active = image
    hand.truth = sample.mask
    return image
