"""The guided tour in a real window: clicked through, helped through, and left."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_unetseg.core.threshold import ThresholdOptions
from napari_unetseg.gui.shared.remembered_options import recall
from napari_unetseg.gui.workbench.tour_dock import TourWidget
from napari_unetseg.gui.workbench.tour_stage import NAME
from napari_unetseg.gui.workbench.tour_steps import STEPS

LAST = len(STEPS) - 1


@pytest.fixture
def own(hand):
    """Layers of the user, with the first tool already on them."""
    rng = np.random.default_rng(0)
    image = hand.viewer.add_image(rng.random((60, 80)).astype(np.float32), name="mine")
    labels = hand.viewer.add_labels(np.ones((60, 80), np.uint8), name="my labels")
    return image, labels


@pytest.fixture
def tour(hand, monkeypatch):
    monkeypatch.setattr("napari_unetseg.gui.workbench.tour_dock._PAUSE_MS", 1)
    tour = TourWidget(hand.viewer)
    hand.viewer.window.add_dock_widget(tour, name="Guided tour", area="right")
    hand.qtbot.waitUntil(tour.isVisible)
    yield tour
    tour.close_tour()


def click(hand, widget):
    hand.qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)


def test_every_step_is_done_by_the_tour_and_the_users_layers_are_left_alone(hand, own, tour):
    before = [np.array(layer.data) for layer in own]
    for number in range(LAST):
        hand.wait(lambda n=number: tour.at == n, 60)
        hand.wait(tour.do_button.isEnabled, 60)
        click(hand, tour.do_button)
    hand.wait(lambda: tour.at == LAST, 60)
    assert {tool.title for tool in hand.workbench.tools if tool.isVisible()} == {"Measure"}
    assert len(hand.tool(9).found["label"]) > 20
    click(hand, tour.next_button)
    assert tour.ended
    click(hand, tour.remove_button)
    assert list(hand.viewer.layers) == list(own)
    for layer, data in zip(own, before, strict=True):
        assert np.array_equal(layer.data, data)
    assert not tour._watcher.isActive()
    # What the tour ran is neither left in the docks nor remembered.
    assert hand.tool(1).form.options == ThresholdOptions()
    assert recall("Threshold") == {}


def test_what_the_user_does_leads_on(hand, own, tour):
    click(hand, tour.do_button)
    hand.wait(lambda: tour.at == 1)
    flatten = hand.tool(0)
    assert flatten.pick.layer().name == NAME
    assert tour._pointer.target is flatten.run_button
    assert not tour.next_button.isEnabled()
    hand.run(flatten)
    hand.wait(lambda: tour.at == 2)
    assert hand.tool(1).isVisible()
    click(hand, tour.back_button)
    assert tour.at == 1
    assert tour.next_button.isEnabled()
    hand.qtbot.wait(50)
    assert tour.at == 1


def test_it_can_be_left_at_once_and_points_at_nothing_then(hand, own, tour):
    click(hand, tour.stop_button)
    hand.wait(lambda: tour._closed)
    assert tour._pointer.target is None
    assert list(hand.viewer.layers) == list(own)


def test_a_removed_sample_leads_back_to_the_beginning(hand, own, tour):
    click(hand, tour.do_button)
    hand.wait(lambda: tour.at == 1)
    hand.viewer.layers.remove(tour.stage.image)
    hand.wait(lambda: tour.at == 0)
    assert tour.do_button.isVisible()


def test_the_frame_lets_the_mouse_through_and_follows(hand, own, tour):
    click(hand, tour.do_button)
    hand.wait(lambda: tour.at == 1)
    frame = tour._pointer._frame
    hand.wait(lambda: frame.isVisible())
    target = hand.tool(0).run_button
    assert frame.geometry().contains(target.mapTo(target.window(), target.rect().center()))
    assert frame.testAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
    hand.turn_to(4)
    hand.wait(lambda: not frame.isVisible())
