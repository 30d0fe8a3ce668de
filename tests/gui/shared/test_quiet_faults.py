"""Nothing wrong happens without a word: inputs, counts, names and the number of layers."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.training.train import train
from napari_unetseg.gui.background.background_dock import BackgroundWidget
from napari_unetseg.gui.measure.measure_dock import MeasureWidget
from napari_unetseg.gui.predict.predict_dock import PredictWidget
from napari_unetseg.gui.project.project_layers import contents_of
from napari_unetseg.gui.shared.layer_choice import LayerChoice
from napari_unetseg.gui.shared.layers import PREVIEW, REVIEW, SURFACE, give_name, marked, role_of
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.threshold.threshold_dock import ThresholdWidget
from napari_unetseg.gui.train.train_dock import TrainWidget
from napari_unetseg.gui.workbench.dock_registry import DockRegistry
from napari_unetseg.gui.workbench.tour_stage import Stage
from napari_unetseg.gui.workbench.tour_steps import STEPS

SAMPLE = samples.nuclei((96, 112), seed=3)
WITH_LAYERS = [kind for kind in DockRegistry() if kind.title not in ("Models", "Project")]


@pytest.fixture
def viewer():
    made = ViewerModel()
    made.layers.selection.active = made.add_image(SAMPLE.image, name="photo")
    return made


@pytest.fixture
def dock(qtbot, viewer):
    """Make docks, and close them in the end."""
    made = []

    def make(kind):
        made.append(kind(viewer))
        qtbot.addWidget(made[-1])
        return made[-1]

    yield make
    for one in made:
        one.close_tool()
    qtbot.waitUntil(lambda: not any(getattr(one, "running", False) for one in made), timeout=30_000)


@pytest.fixture(scope="module")
def model():
    strokes = np.zeros(SAMPLE.classes.shape, np.uint8)
    strokes[4::8] = np.where(SAMPLE.mask[4::8], 2, 1)
    pair = TrainingPair(SAMPLE.as_image(), strokes)
    return train(LogisticSpec(), [pair], TrainOptions(), name="logistic 1").model


def run(qtbot, tool):
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=120_000)
    return tool.message.text()


@pytest.mark.parametrize("kind", WITH_LAYERS, ids=lambda kind: kind.title)
def test_what_is_no_input_is_never_offered_as_one(viewer, dock, kind):
    photo = viewer.layers["photo"]
    labels = np.ones(SAMPLE.mask.shape, np.uint8)
    for role in (SURFACE, PREVIEW):
        viewer.add_image(SAMPLE.image, name=role, metadata=marked(role, photo, {}))
    viewer.add_labels(labels, name="review", metadata=marked(REVIEW, photo, {}))
    viewer.add_image(SAMPLE.image, name="true light", metadata={"truth": True})
    viewer.add_labels(labels, name="true objects", metadata={"truth": True})
    viewer.add_labels(labels, name="mine")
    page = dock(kind)
    choices = page.findChildren(LayerChoice)
    assert choices
    for choice in choices:
        name, offered = choice.objectName(), {choice.itemText(k) for k in range(choice.count())}
        assert not offered & {SURFACE, PREVIEW, "review", "true light"}
        # A review compares with the truth, and a model may learn from it if it is picked by hand.
        assert ("true objects" in offered) is (name in ("truth", "labels"))
        assert name == "truth" or choice.currentText() != "true objects"


def test_the_tour_runs_the_model_that_it_names(viewer, dock, model):
    session = Session.of(viewer)
    session.use_model(shipped.open_shipped("nuclei"))
    session.add_model(model)
    tool = dock(PredictWidget)
    tool.form.set(what="probabilities")
    assert tool.model() is model
    step = next(one for one in STEPS if one.dock == "Predict")
    stage = Stage(viewer)
    stage.open_sample()
    step.begin(stage, tool)
    assert tool.model() is shipped.open_shipped("nuclei")
    assert tool.form.options.what == "auto"


def test_predict_and_measure_count_the_same_beside_corrections(qtbot, viewer, dock, model):
    session = Session.of(viewer)
    session.add_model(model)
    tool, measure = dock(PredictWidget), dock(MeasureWidget)
    tool.form.set(what="objects")
    run(qtbot, tool)
    made = viewer.layers[-1]
    # An object of the user's own in a corner, with an id that leaves a gap.
    made.selected_label = 400
    made.data_setitem(np.nonzero(np.pad(np.ones((6, 6)), ((0, 90), (0, 106)))), 400)
    said = run(qtbot, tool)
    measure.pick.pick(made)
    run(qtbot, measure)
    count = len(measure.found["label"])
    assert f"{count} objects" in said
    assert count == len(np.unique(made.data)) - 1


def test_a_model_is_kept_when_its_image_is_deleted_meanwhile(qtbot, viewer, dock):
    strokes = np.zeros(SAMPLE.classes.shape, np.uint8)
    strokes[4::8] = np.where(SAMPLE.mask[4::8], 2, 1)
    viewer.add_labels(strokes, name="strokes")
    tool = dock(TrainWidget)
    tool.run()
    viewer.layers.clear()
    qtbot.waitUntil(lambda: not tool.running, timeout=120_000)
    assert [one.spec.kind for one in Session.of(viewer).models] == ["logistic"]


def test_the_main_line_leaves_few_layers_and_one_result_in_sight(qtbot, viewer, dock, model):
    flatten, threshold, predict = map(dock, (BackgroundWidget, ThresholdWidget, PredictWidget))
    flatten.show()
    run(qtbot, flatten)
    assert SURFACE in [role_of(layer) for layer in viewer.layers]
    flatten.hide()
    threshold.form.set(result="objects")
    run(qtbot, threshold)
    Session.of(viewer).add_model(model)
    predict.form.set(what="objects")
    predict.pick.pick(viewer.layers["photo"])
    run(qtbot, predict)
    run(qtbot, predict)
    assert [layer.name for layer in viewer.layers] == [
        "photo",
        "photo flattened",
        "photo flattened objects, threshold",
        "photo objects, logistic 1",
    ]
    shown = [one.name for one in viewer.layers if one.visible and "objects" in one.name]
    assert shown == ["photo objects, logistic 1"]


def test_a_result_is_named_by_its_maker_unless_the_user_named_it(viewer):
    layer = viewer.add_labels(np.zeros((4, 4), np.uint8), name="photo objects, unet 1")
    give_name(layer, "photo objects, unet 1")
    give_name(layer, "photo objects, unet 2")
    assert layer.name == "photo objects, unet 2"
    layer.name = "my cells"
    give_name(layer, "photo objects, unet 3")
    assert layer.name == "my cells"


def test_a_project_holds_no_by_products(viewer):
    photo = viewer.layers["photo"]
    viewer.add_image(SAMPLE.image, name="light", metadata=marked(SURFACE, photo, {}))
    viewer.add_labels(np.ones((96, 112), np.uint8), name="r", metadata=marked(REVIEW, photo, {}))
    kept = contents_of(viewer, Session.of(viewer), lambda key, version: False)
    assert [item.name for item in (*kept.images, *kept.labels)] == ["photo"]


def test_views_of_a_plane_say_so_in_the_3d_view(viewer, dock):
    viewer.add_image(np.zeros((3, 8, 9), np.float32), name="stack")
    tool = dock(BackgroundWidget)
    tool.pick.pick(viewer.layers["stack"])
    viewer.dims.ndisplay = 3
    tool.set_view("Surface")
    tool.look(tool.pick.layer())
    assert "back to 2D" in tool.message.text()
    tool.set_view("Before")
    tool.look(tool.pick.layer())
    assert tool.message.text() == ""
