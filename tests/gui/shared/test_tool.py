"""A dock is built once: nothing of a subclass is called before its own widgets are there."""

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QCheckBox, QLabel

from napari_unetseg.core.background import BackgroundOptions
from napari_unetseg.core.errors import InputError, NothingToDo
from napari_unetseg.gui.correct.correct_dock import CorrectWidget
from napari_unetseg.gui.measure.measure_dock import MeasureWidget
from napari_unetseg.gui.queue.queue_dock import QueueWidget
from napari_unetseg.gui.shared.layer_choice import LayerChoice
from napari_unetseg.gui.shared.tool import Tool


class Probe(Tool[BackgroundOptions]):
    """A dock that would fail if it was asked anything before `__init__` made what it needs."""

    title, help_text = "Probe", "Is asked."

    def __init__(self, viewer):
        super().__init__(viewer, BackgroundOptions())
        self.calls = []
        self.tick, self.result = QCheckBox(), QLabel("result")
        self.assemble(rows=[("Tick", self.tick)], results=[self.result])

    def layer_changed(self, layer):
        super().layer_changed(layer)
        self.calls.append(("layer", layer))

    def refresh(self):
        super().refresh()
        self.calls.append("refresh")

    def forgotten(self):
        self.calls.append("forgotten")
        return frozenset()


@pytest.fixture
def viewer():
    made = ViewerModel()
    made.add_image(np.zeros((8, 9)), name="first")
    return made


def test_it_is_told_of_its_layer_once_it_is_whole(qtbot, viewer):
    tool = Probe(viewer)
    qtbot.addWidget(tool)
    assert tool.calls[-2:] == ["refresh", ("layer", viewer.layers["first"])]
    assert [call for call in tool.calls if call != "forgotten"] == tool.calls[-2:]
    assert tool.isAncestorOf(tool.tick)
    assert tool.isAncestorOf(tool.result)
    second = viewer.add_image(np.zeros((8, 9)), name="second")
    viewer.layers.selection.active = second
    assert tool.calls[-1] == ("layer", second)
    tool.close_tool()


def test_a_choice_does_not_follow_to_the_layer_of_another(qtbot, viewer):
    first = viewer.layers["first"]
    second = viewer.add_image(np.zeros((8, 9)), name="second")
    viewer.layers.selection.active = None
    pick = LayerChoice(viewer, lambda layer: True)
    other = LayerChoice(viewer, lambda layer: True, follow=lambda layer: False)
    for choice in (pick, other):
        qtbot.addWidget(choice)
    pick.pick(second)
    other.pick(first)
    pick.avoid(other)
    viewer.layers.selection.active = first
    assert pick.layer() is second, "it followed to the layer that the other has"
    other.pick(second)
    viewer.layers.selection.active = None
    viewer.layers.selection.active = first
    assert pick.layer() is first
    for choice in (pick, other):
        choice.close_events()


@pytest.mark.parametrize(("error", "problem"), [(NothingToDo, False), (InputError, True)])
def test_a_run_with_nothing_to_do_is_no_problem(qtbot, viewer, error, problem):
    def work(progress):
        raise error("Nothing was found.")

    tool = Probe(viewer)
    qtbot.addWidget(tool)
    tool.work = lambda layer, options: work
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=10_000)
    assert tool.message.text() == "Nothing was found."
    assert tool.message.property("problem") is problem
    tool.close_tool()


def test_a_closed_tool_is_hidden_only_once(qtbot, viewer, monkeypatch):
    tool = Probe(viewer)
    qtbot.addWidget(tool)
    tool.show()
    calls = []
    monkeypatch.setattr(tool, "hidden", lambda: calls.append("hidden"))
    tool.close_tool()
    tool.hide()
    assert calls == ["hidden"], "what a closed tool used may be gone"


@pytest.mark.parametrize("kind", [CorrectWidget, QueueWidget, MeasureWidget])
def test_tools_of_labels_say_in_the_same_words_that_there_are_none(qtbot, viewer, kind):
    tool = kind(viewer)
    qtbot.addWidget(tool)
    words = tool.message.text().replace("Press Click objects, run", "Run")
    assert words == "There are no labels yet. Run Threshold or Predict, or open some."
    tool.close_tool()
