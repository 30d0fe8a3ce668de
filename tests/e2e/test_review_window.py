"""Two label layers reviewed in a real window, with the mouse and the key."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_unetseg.core import samples
from napari_unetseg.gui.review.review_dock import ReviewWidget
from napari_unetseg.gui.shared.layers import REVIEW, role_of


@pytest.fixture
def review(hand):
    tools = hand.workbench.tools
    number = next(k for k, tool in enumerate(tools) if isinstance(tool, ReviewWidget))
    hand.turn_to(number)
    return tools[number]


def test_from_two_layers_to_the_worst_object(hand, review, qtbot):
    viewer = hand.viewer
    sample = samples.nuclei((6, 96, 96), seed=3)
    truth = sample.objects
    said = np.roll(truth, 3, axis=-1)
    said[said == said.max()] = 0
    viewer.add_image(sample.image, name="nuclei", scale=sample.spacing)
    viewer.add_labels(truth, name="truth", scale=sample.spacing)
    viewer.add_labels(said, name="said", scale=sample.spacing)
    hand.run(review)
    assert "matched" in review.message.text()
    (picture,) = (layer for layer in viewer.layers if role_of(layer) == REVIEW)
    assert set(np.unique(picture.data)) <= {0, 1, 2, 3}

    found, canvas = review.found, viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    for place in (0, 1):
        qtbot.keyClick(canvas, Qt.Key.Key_N)
        hand.wait(lambda place=place: review.table.currentIndex().row() == place)
        plane = np.clip(np.rint(found.spots.centre[place, 0]), 0, 5)
        assert viewer.dims.current_step[0] == plane
    row = review.table.rows.index(3, 2)
    middle = review.table.visualRect(row).center()
    qtbot.mouseClick(review.table.viewport(), Qt.MouseButton.LeftButton, pos=middle)
    centre = found.spots.centre[3] * np.array(sample.spacing)
    scene = getattr(viewer, "scene", viewer)
    assert scene.camera.center[-2:] == pytest.approx(tuple(centre[-2:]))
