"""The Train dock on a bare viewer model: planes and stacks."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unetseg.core import samples
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.ladder import Lesson, train
from napari_unetseg.core.pixel_models import LogisticSpec
from napari_unetseg.core.training import TrainOptions
from napari_unetseg.gui.layers import image_of
from napari_unetseg.gui.session import Session
from napari_unetseg.gui.train import TrainWidget


@pytest.fixture(scope="module")
def sample():
    return samples.nuclei((10, 48, 56), seed=2)


@pytest.fixture
def viewer(sample):
    """A stack of nuclei with strokes in two of its planes, and a picture."""
    made = ViewerModel()
    stack = made.add_image(sample.image, name="stack", scale=(2, 0.5, 0.5))
    made.add_image(sample.image[5], name="plane")
    strokes = np.zeros(sample.mask.shape, np.uint8)
    strokes[3:7:3, 4::8] = np.where(sample.mask[3:7:3, 4::8], 2, 1)
    made.add_labels(strokes, name="strokes", scale=(2, 0.5, 0.5))
    made.layers.selection.active = stack
    return made


@pytest.fixture
def tool(qtbot, viewer):
    made = TrainWidget(viewer)
    qtbot.addWidget(made)
    yield made
    made.close_tool()
    qtbot.waitUntil(lambda: not made.running, timeout=60000)


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_stack_is_learnt_as_planes_or_as_a_stack(qtbot, tool, viewer, sample, ndim):
    tool.extent.setCurrentIndex(tool.extent.findData(ndim))
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=120000)
    (model,) = Session.of(viewer).models
    assert model.ndim == ndim
    found = model.predict(viewer_image(viewer)).asarray() == 2
    both = np.count_nonzero(found & sample.mask)
    assert 2 * both / (np.count_nonzero(found) + np.count_nonzero(sample.mask)) > 0.75


def test_stacks_are_offered_for_stacks_alone(tool, viewer):
    assert tool.form.layout.isRowVisible(tool.extent)
    tool.extent.setCurrentIndex(tool.extent.findData(3))
    assert tool.ndim() == 3
    tool.live.setChecked(True)
    assert tool.live.isHidden(), "live mode looks at planes"
    viewer.layers.selection.active = viewer.layers["plane"]
    assert not tool.form.layout.isRowVisible(tool.extent)
    assert tool.ndim() == 2
    viewer.layers.selection.active = viewer.layers["stack"]
    assert tool.ndim() == 3


def test_only_a_model_of_the_same_is_a_start(tool, viewer):
    plane = samples.nuclei((48, 48), seed=1)
    lesson = Lesson(plane.as_image(), plane.mask.astype(np.uint8))
    options = TrainOptions(validation=0)
    planes = train(LogisticSpec(), [lesson], options, name="planes", labels_are="mask").model
    Session.of(viewer).add_model(planes)
    assert tool.start.findText("planes") > 0
    tool.extent.setCurrentIndex(tool.extent.findData(3))
    assert tool.start.findText("planes") < 0
    stack = Lesson(viewer_image(viewer), viewer.layers["strokes"].data)
    with pytest.raises(InputError, match="learnt planes, not stacks"):
        train(LogisticSpec(), [stack], options, name="b", ndim=3, start=planes)


def viewer_image(viewer):
    return image_of(viewer.layers["stack"])
