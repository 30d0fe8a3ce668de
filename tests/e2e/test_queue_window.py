"""A review queue gone through in a real window, by clicks and keys."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_unetseg.core import samples
from napari_unetseg.gui.correct.correct_dock import CorrectWidget
from napari_unetseg.gui.queue.queue_dock import QueueWidget


@pytest.fixture
def queue(hand):
    tools = hand.workbench.tools
    number = next(k for k, tool in enumerate(tools) if isinstance(tool, QueueWidget))
    hand.turn_to(number)
    return tools[number]


def test_accept_reject_fix_and_count(hand, queue, qtbot):
    viewer = hand.viewer
    sample = samples.nuclei((192, 224), seed=3)
    viewer.add_image(sample.image, name="nuclei", scale=(0.5, 0.5))
    layer = viewer.add_labels(sample.objects.astype(np.int32), name="objects", scale=(0.5, 0.5))
    hand.run(queue)
    canvas = viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    first, second, third = queue.review.queue.items[:3]

    def press(key, modifier=Qt.KeyboardModifier.NoModifier):
        qtbot.keyClick(canvas, key, modifier)

    press(Qt.Key.Key_Y)
    hand.wait(lambda: queue.review.queue.at == 1)
    press(Qt.Key.Key_Backspace)
    hand.wait(lambda: queue.review.queue.at == 2)
    ink = queue.session.locks(layer).pixels().array()
    assert set(np.unique(sample.objects[ink])) == {first.number, second.number}
    assert not (layer.data == second.number).any()
    press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    hand.wait(lambda: queue.review.queue.verdicts[1] == "")
    assert (layer.data == second.number).any()
    assert queue.review.queue.at == 1
    hand.click(queue.panel.buttons["reject"])
    hand.wait(lambda: queue.review.queue.at == 2)

    press(Qt.Key.Key_F, Qt.KeyboardModifier.ShiftModifier)
    correct = next(tool for tool in hand.workbench.tools if isinstance(tool, CorrectWidget))
    hand.wait(correct.isVisible)
    layer.selected_label = third.number
    press(Qt.Key.Key_Delete)
    hand.wait(lambda: queue.review.queue.verdicts[2] == "fixed")
    press(Qt.Key.Key_N)
    hand.wait(queue.isVisible)
    assert queue.review.queue.at == 3

    queue.form.widget("order").value = "random sample"
    hand.run(queue)
    for _ in range(6):
        hand.click(queue.panel.buttons["accept"])
    hand.wait(lambda: "True count about" in queue.panel.count.text())
