"""The ladder's first two rungs, climbed in a real window."""

import numpy as np
import pytest

from napari_unetseg.core import samples
from napari_unetseg.gui.background import background_dock as background_module
from napari_unetseg.gui.shared.layers import METADATA_KEY, role_of

BACKGROUND, THRESHOLD = 0, 1


@pytest.fixture
def neurons(hand):
    sample = samples.neurons((256, 320), seed=1)
    return hand.viewer.add_image(
        sample.image, name="neurons", scale=(0.5, 0.5), translate=(3, 4), units=("um", "um")
    )


def roles(viewer):
    return [role_of(layer) for layer in viewer.layers]


def test_an_empty_window_says_what_to_do(hand):
    tool = hand.tool(BACKGROUND)
    assert "Open an image" in tool.message.text()
    assert not tool.run_button.isEnabled()


def test_from_a_raw_micrograph_to_labels(hand, neurons):
    hand.turn_to(BACKGROUND)
    flatten = hand.tool(BACKGROUND)
    hand.run(flatten)
    assert roles(hand.viewer) == ["", "flattened", "surface"]
    flattened = hand.viewer.layers.selection.active
    assert role_of(flattened) == "flattened"

    hand.turn_to(THRESHOLD)
    tool = hand.tool(THRESHOLD)
    assert tool.pick.layer() is flattened
    hand.wait(lambda: len(tool.plot.values) == 1)
    hand.wait(lambda: "preview" in roles(hand.viewer))
    assert hand.viewer.layers.selection.active is flattened

    before = tool.plot.values[0]
    hand.drag_line(tool.plot, 0.7)
    assert tool.plot.values[0] != before
    assert tool.form.options.method == "manual"
    step = tool.form.widget("value").step
    assert tool.form.options.value == pytest.approx(tool.plot.values[0], abs=step)

    hand.run(tool)
    labels = hand.viewer.layers[-1]
    assert role_of(labels) in ("mask", "objects")
    assert "preview" not in roles(hand.viewer)
    assert np.array_equal(labels.scale, neurons.scale)
    assert np.array_equal(labels.translate, neurons.translate)
    assert labels.metadata[METADATA_KEY]["options"]["method"] == "manual"

    drawn = labels.data.copy()
    hand.drag_line(tool.plot, 0.5)
    hand.run(tool)
    assert hand.viewer.layers[-1] is labels
    assert not np.array_equal(labels.data, drawn)
    labels.undo()
    assert np.array_equal(labels.data, drawn)


def test_the_background_preview_passes(hand, neurons):
    hand.turn_to(BACKGROUND)
    tool = hand.tool(BACKGROUND)
    for view in ("After", "Surface", "Residual"):
        tool.set_view(view)
        hand.wait(lambda: "preview" in roles(hand.viewer))
        assert hand.viewer.layers.selection.active is neurons
    tool.set_view("Before")
    hand.wait(lambda: "preview" not in roles(hand.viewer))


@pytest.fixture
def slow(monkeypatch):
    """Make flattening go on until it is cancelled."""

    ended = []

    def endless(image, options, exclude, progress):
        try:
            while True:
                progress(0.5, "fitting")
        finally:
            ended.append(True)

    monkeypatch.setattr(background_module, "_flatten", endless)
    return ended


@pytest.mark.usefixtures("slow")
def test_a_cancelled_run_leaves_everything_as_it_was(hand, neurons):
    hand.turn_to(BACKGROUND)
    tool = hand.tool(BACKGROUND)
    hand.click(tool.run_button)
    hand.wait(lambda: "Fitting" in tool.message.text())
    assert not tool.run_button.isEnabled()
    hand.click(tool.cancel_button)
    hand.wait(lambda: not tool.running)
    assert "Nothing was changed" in tool.message.text()
    assert list(hand.viewer.layers) == [neurons]
    assert tool.run_button.isEnabled()


def test_a_layer_removed_in_mid_run_is_said(hand, neurons, monkeypatch):
    real = background_module._flatten
    hand.turn_to(BACKGROUND)
    tool = hand.tool(BACKGROUND)
    go = []

    def slowly(image, options, exclude, progress):
        while not go:
            progress(0.1, "fitting")
        return real(image, options, exclude, progress)

    monkeypatch.setattr(background_module, "_flatten", slowly)
    hand.click(tool.run_button)
    hand.wait(lambda: "Fitting" in tool.message.text())
    hand.viewer.layers.remove(neurons)
    go.append(True)
    hand.wait(lambda: not tool.running)
    assert len(hand.viewer.layers) == 0


def test_closing_the_dock_in_mid_run_ends_it(hand, neurons, slow):
    hand.turn_to(BACKGROUND)
    tool = hand.tool(BACKGROUND)
    hand.click(tool.run_button)
    hand.wait(lambda: "Fitting" in tool.message.text())
    hand.viewer.window.remove_dock_widget(hand.workbench)
    hand.wait(lambda: slow)
    assert list(hand.viewer.layers) == [neurons]


def test_closing_the_window_in_mid_run_ends_it(hand, neurons, slow):
    hand.turn_to(BACKGROUND)
    tool = hand.tool(BACKGROUND)
    hand.click(tool.run_button)
    hand.wait(lambda: "Fitting" in tool.message.text())
    hand.viewer.close()
    hand.wait(lambda: slow)
    assert slow == [True]


def test_nothing_is_clipped_in_a_small_window(hand, neurons):
    for number, tool in enumerate(hand.workbench.tools):
        hand.turn_to(number)
        scroller = getattr(tool, "scroller", None)
        page, room = tool, tool.parentWidget()
        if scroller is not None:
            page, room = scroller.widget(), scroller.viewport()
        assert page.minimumSizeHint().width() <= room.width(), tool.title
        assert tool.width() <= 420
