"""Masks and ids that were opened as images, picked where labels are asked for."""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels

from napari_unetseg.core.samples import nuclei
from napari_unetseg.gui.background.background_dock import BackgroundWidget
from napari_unetseg.gui.measure.measure_dock import MeasureWidget
from napari_unetseg.gui.review.review_dock import ReviewWidget
from napari_unetseg.gui.shared.labels_from_images import convert_to_labels, may_be_labels
from napari_unetseg.gui.train.train_dock import TrainWidget

SAMPLE = nuclei((64, 80), seed=1)
IDS = SAMPLE.objects.astype(np.uint16)
MASK = SAMPLE.mask.astype(np.uint8) * 255
PICTURE = (SAMPLE.image * 255 / SAMPLE.image.max()).astype(np.uint8)


@pytest.mark.parametrize(
    ("data", "offered"),
    [
        (IDS, True),
        (MASK, True),
        (SAMPLE.mask, True),
        (np.stack([MASK] * 3, -1), True),
        (np.stack([np.zeros_like(IDS), IDS, IDS]), True),
        (PICTURE, False),
        (np.stack([MASK, MASK, 255 - MASK], -1), False),
        (IDS.astype(np.float32), False),
        (np.zeros((9, 9), np.uint8), False),
    ],
)
def test_images_of_whole_numbers_in_areas_may_be_labels(data, offered):
    rgb = data.shape[-1] == 3
    assert may_be_labels(ImageLayer(data, rgb=rgb)) == offered


def test_a_converted_image_keeps_its_place(qapp):
    viewer = ViewerModel()
    layer = viewer.add_image(IDS, name="ids", scale=(0.5, 0.25), units=("um", "um"))
    viewer.add_image(PICTURE, name="above")
    made = convert_to_labels(viewer.layers, layer)
    assert [one.name for one in viewer.layers] == ["ids", "above"]
    assert isinstance(made, Labels)
    assert tuple(made.scale) == (0.5, 0.25)
    assert [str(unit) for unit in made.units] == ["micrometer"] * 2
    np.testing.assert_array_equal(made.data, IDS)


def boxes(qtbot, viewer):
    measure, review = MeasureWidget(viewer), ReviewWidget(viewer)
    train, background = TrainWidget(viewer), BackgroundWidget(viewer)
    docks = (measure, review, train, background)
    for dock in docks:
        qtbot.addWidget(dock)
    # The docks live as long as their boxes are used.
    return docks, {
        "measure": measure.pick,
        "truth": review.truth,
        "train": train.labels,
        "exclude": background.exclude,
    }


@pytest.mark.parametrize("name", ["measure", "truth", "train", "exclude"])
def test_picking_it_makes_it_a_labels_layer(qtbot, name):
    viewer = ViewerModel()
    viewer.add_image(PICTURE, name="picture")
    viewer.add_image(IDS, name="ids")
    _docks, found = boxes(qtbot, viewer)
    box = found[name]
    # It is offered, and never picked without a click.
    assert box.layer() is None
    assert "picture" not in " ".join(box.itemText(at) for at in range(box.count()))
    at = box.findText("ids (image, to labels)")
    box.setCurrentIndex(at)
    box.activated.emit(at)
    assert isinstance(box.layer(), Labels)
    assert box.layer() is viewer.layers["ids"]
    assert box.currentText() == "ids"
