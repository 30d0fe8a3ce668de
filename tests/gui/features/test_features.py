"""The Features dock on a bare viewer model: small maps, one over the plane, places, messages."""

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QToolButton

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.training.train import train
from napari_unetseg.gui.features.features_dock import FeaturesWidget
from napari_unetseg.gui.shared.layers import FEATURE_MAPS, find_layer
from napari_unetseg.gui.shared.session import Session

STACK = samples.nuclei((4, 64, 72), seed=2)


@pytest.fixture(scope="module")
def model():
    lesson = TrainingPair(STACK.as_image(), STACK.mask.astype(np.uint8))
    plan = TrainOptions(until="epochs", epochs=1, steps=10, patch=32, validation=0, averaging=0.5)
    spec = UNetSpec(width=4, depth=1, resolution="full")
    return train(spec, [lesson], plan, name="net", labels_are="mask").model


@pytest.fixture
def viewer():
    made = ViewerModel()
    made.add_image(
        STACK.image, name="stack", scale=(2, 0.5, 0.5), translate=(1, 3, 5), units=("um",) * 3
    )
    made.dims.set_current_step(0, 2)
    return made


@pytest.fixture
def tool(qtbot, viewer, model):
    made = FeaturesWidget(viewer)
    qtbot.addWidget(made)
    made.show()
    Session.of(viewer).add_model(model)
    made.models.choose(model)
    qtbot.waitUntil(lambda: made.layers.count() == 4, timeout=60000)
    yield made
    made.close_tool()
    qtbot.waitUntil(lambda: not made.running, timeout=60000)


def show(qtbot, tool, layer):
    tool.layers.setCurrentIndex(tool.layers.findData(layer))
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)
    return tool.message.text()


def maps_in(tool):
    return sorted(tool.sheet.findChildren(QToolButton), key=lambda one: int(one.text()))


def test_every_map_is_a_small_picture_that_a_click_puts_over_the_plane(qtbot, tool, viewer):
    said = show(qtbot, tool, "bottom")
    stack = viewer.layers["stack"]
    assert "8 maps of bottom, one value per 4 x 4 pixels" in said
    assert len(viewer.layers) == 1, "nothing is put over the image unasked"
    pictures = maps_in(tool)
    assert len(pictures) == 8
    assert not any(one.icon().isNull() for one in pictures)
    pictures[3].click()
    first = find_layer(viewer.layers, FEATURE_MAPS, stack)
    assert first is viewer.layers[-1]
    assert first.name == "stack bottom 3, net"
    assert first.data.shape == (1, 16, 18)
    # The middle of the first value is that of the first 4 by 4 pixels of plane 2.
    assert np.allclose(first.data_to_world((0, 0, 0)), stack.data_to_world((2, 1.5, 1.5)))
    assert np.allclose(first.data_to_world((0, 3, 5)), stack.data_to_world((2, 13.5, 21.5)))
    assert viewer.layers.extent.units is not None, "the units of the layers are at odds"
    maps_in(tool)[5].click()
    again = find_layer(viewer.layers, FEATURE_MAPS, stack)
    assert not np.array_equal(again.data, first.data)
    assert len(viewer.layers) == 2, "one map at a time"
    viewer.layers.clear()
    maps_in(tool)[0].click()
    assert "removed" in tool.message.text()


def test_what_excites_a_channel_is_drawn_and_framed(qtbot, tool, viewer):
    tool.form.set(show="what excites a channel", channel=1, places=3, steps=10)
    said = show(qtbot, tool, "evidence")
    assert said.startswith("Channel 1 of evidence")
    assert not tool.sheet.isHidden()
    frames = find_layer(viewer.layers, f"{FEATURE_MAPS} places", viewer.layers["stack"])
    assert 1 <= len(frames.data) <= 3
    assert all((frame[:, 0] == 2).all() for frame in frames.data), "framed in the plane shown"
    assert viewer.layers.selection.active is viewer.layers["stack"]


def test_the_channel_stays_among_those_of_the_layer(tool):
    tool.layers.setCurrentIndex(tool.layers.findData("bottom"))
    tool.form.set(channel=7)
    tool.layers.setCurrentIndex(tool.layers.findData("evidence"))
    assert tool.form.options.channel == 1


def test_only_networks_are_offered_and_a_problem_is_said(qtbot, tool, viewer):
    lesson = TrainingPair(STACK.as_image(), STACK.mask.astype(np.uint8))
    line = train(
        LogisticSpec(), [lesson], TrainOptions(validation=0), name="line", labels_are="mask"
    ).model
    Session.of(viewer).add_model(line)
    assert tool.models.findText("line") < 0
    viewer.dims.ndisplay = 3
    tool.run()
    assert "Turn the view back to 2D" in tool.message.text()
