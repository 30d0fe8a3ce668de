"""The Train on dock: corrected labels teach the model, and it says what it forgot."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.registry import spec_of
from napari_unetseg.core.scoring.pixel_scores import dice
from napari_unetseg.core.training.train import train
from napari_unetseg.gui.correct.correct_dock import CorrectWidget
from napari_unetseg.gui.shared.layers import UNCERTAINTY, marked, show_image
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.training_layers import PREDICTED, PREDICTED_OBJECTS, learnt_of
from napari_unetseg.gui.train.fine_tune_dock import FineTuneWidget
from napari_unetseg.gui.train.fine_tune_layers import fine_tune_material, kind_of
from napari_unetseg.gui.train.train_dock import TrainWidget
from napari_unetseg.gui.workbench.workbench_dock import WorkbenchWidget


@pytest.fixture
def viewer(qapp):
    return ViewerModel()


@pytest.fixture
def session(viewer):
    return Session.of(viewer)


@pytest.fixture(scope="module")
def sample():
    return samples.nuclei((96, 112), seed=3)


@pytest.fixture(scope="module")
def model(sample):
    spec = spec_of("logistic", {"sigmas": "1, 2"})
    lesson = TrainingPair(sample.as_image(), sample.mask.astype(np.uint8))
    return train(spec, [lesson], TrainOptions(), name="first", labels_are="mask").model


@pytest.fixture
def scene(viewer, session, sample, model):
    """The old image with its mask, and a new one on which the model is all wrong."""
    old = viewer.add_image(sample.image, name="old")
    truth = viewer.add_labels(sample.mask.astype(np.uint8), name="mask of old")
    learnt = learnt_of(old, truth, "mask")
    session.add_model(model, origin="trained", learnt=[learnt])
    new = viewer.add_image(sample.image.max() - sample.image, name="new")
    predicted = predict(model, Image.of(np.asarray(new.data))).asarray()
    options = {"model": "first"}
    labels = session.show_labels(
        viewer.layers, new, PREDICTED, predicted, name="new classes", options=options
    )[0]
    return new, labels


def correct(session, labels, sample, rows=slice(0, None, 3)):
    """Draw the truth on some rows."""
    where = np.zeros(labels.data.shape, bool)
    where[rows] = True
    places = np.nonzero(where)
    session.locks(labels).correct(places, sample.mask[places].astype(labels.data.dtype))


@pytest.fixture
def tool(qtbot, viewer, scene):
    made = FineTuneWidget(viewer)
    qtbot.addWidget(made)
    made.show()
    yield made
    made.cancel()
    qtbot.waitUntil(lambda: not made.running, timeout=20_000)
    made.close_tool()


def run(qtbot, tool):
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=60_000)


def test_it_finds_image_labels_kind_and_model_by_itself(tool, scene, model):
    new, labels = scene
    tool.labels.pick(labels)
    assert tool.pick.layer() is new
    assert tool.kind.currentData() == "mask"
    assert tool.model() is model


def test_without_ink_it_says_what_to_do(qtbot, tool, scene):
    tool.labels.pick(scene[1])
    tool.run()
    assert not tool.running
    assert "no correction" in tool.message.text()
    assert len(tool.session.history) == 1


def test_corrections_teach_and_the_new_version_is_the_current_one(
    qtbot, tool, scene, session, sample, model
):
    new, labels = scene
    correct(session, labels, sample)
    before = labels.data.copy()
    tool.labels.pick(labels)
    tool.form.set(earlier=0.0)
    run(qtbot, tool)
    made = session.current
    assert made is not model
    assert made.parent == model.fingerprint
    assert np.array_equal(labels.data, before)
    found = predict(made, Image.of(np.asarray(new.data))).asarray()
    assert dice(found, sample.mask) > 0.8 > dice(before, sample.mask)
    version = session.history.versions[-1]
    assert (version.origin, version.learnt[0].ink) == (
        "trained on",
        len(session.locks(labels).pixels()),
    )
    assert version.learnt[0].labels == "new classes"
    assert version.picture() is not None
    assert "right" in tool.message.text()


def test_forgetting_is_said_plainly_and_one_click_goes_back(
    qtbot, tool, scene, session, sample, model
):
    _, labels = scene
    correct(session, labels, sample)
    tool.labels.pick(labels)
    tool.form.set(earlier=0.0)
    run(qtbot, tool)
    assert tool.alarm.isVisible()
    assert "It forgot" in tool.alarm_text.text()
    assert "first" in tool.back_button.text()
    forgetful = session.current
    tool.back_button.click()
    assert session.current is model
    assert not tool.alarm.isVisible()
    # The other version is still there to be used.
    tool.history.choose(0)
    assert session.current is forgetful


def test_what_was_learnt_before_is_learnt_again(qtbot, tool, scene, session, sample):
    _, labels = scene
    correct(session, labels, sample)
    tool.labels.pick(labels)
    tool.form.set(earlier=0.5)
    run(qtbot, tool)
    version = session.history.versions[-1]
    assert [one.labels for one in version.learnt] == ["new classes", "mask of old"]
    # Trained on once more, with ink on the same layer, nothing is learnt twice.
    run(qtbot, tool)
    assert [one.labels for one in session.history.versions[-1].learnt] == [
        "new classes",
        "mask of old",
    ]


def test_a_layer_that_is_gone_is_named(qtbot, viewer, tool, scene, session, sample):
    _, labels = scene
    correct(session, labels, sample)
    viewer.layers.remove("mask of old")
    tool.labels.pick(labels)
    run(qtbot, tool)
    assert "mask of old" in tool.message.text()
    assert len(session.history) == 2


def test_a_cancelled_run_leaves_everything(qtbot, tool, scene, session, sample, model):
    _, labels = scene
    correct(session, labels, sample)
    before = labels.data.copy()
    tool.labels.pick(labels)
    tool.run()
    tool.cancel()
    qtbot.waitUntil(lambda: not tool.running, timeout=20_000)
    assert session.models == [model]
    assert len(session.history) == 1
    assert np.array_equal(labels.data, before)
    assert not tool.alarm.isVisible()


def test_a_network_shows_its_curve_and_stops(qtbot, viewer, session, sample, scene):
    spec = spec_of("cnn", {"width": 3, "layers": 2})
    lesson = TrainingPair(sample.as_image(), sample.mask.astype(np.uint8))
    quick = TrainOptions(until="epochs", epochs=1, steps=4, patch=32, batch=2, averaging=0.0)
    session.add_model(train(spec, [lesson], quick, name="net", labels_are="mask").model)
    tool = FineTuneWidget(viewer)
    qtbot.addWidget(tool)
    tool.show()
    correct(session, scene[1], sample)
    tool.labels.pick(scene[1])
    tool.form.set(budget=5.0)
    tool.run()
    qtbot.waitUntil(lambda: tool.curve.n_points > 3, timeout=60_000)
    tool.stop()
    qtbot.waitUntil(lambda: not tool.running, timeout=60_000)
    assert session.current.spec.kind == "cnn"
    assert len(session.history.versions[-1].curve) > 2
    assert "curve" not in tool.message.text()
    tool.close_tool()


def test_the_button_in_correct_begins_it(qtbot, viewer, scene, session, sample):
    workbench = WorkbenchWidget(viewer)
    qtbot.addWidget(workbench)
    workbench.show()
    places = {kind: n for n, kind in enumerate(WorkbenchWidget.rungs)}
    hand, page = (workbench.tools[places[kind]] for kind in (CorrectWidget, FineTuneWidget))
    workbench.open_step(places[CorrectWidget])
    hand.pick.pick(scene[1])
    correct(session, scene[1], sample)
    hand.more.unfold()
    assert hand.train_on_button.isVisible()
    hand.train_on_button.click()
    assert page.isVisible()
    qtbot.waitUntil(lambda: not page.running, timeout=60_000)
    assert len(session.history) == 2
    assert page.labels.layer() is scene[1]
    workbench.close_tools()


def test_without_a_model_there_is_no_button(qtbot, viewer):
    made = CorrectWidget(viewer)
    qtbot.addWidget(made)
    made.show()
    viewer.add_labels(np.ones((20, 20), int))
    assert not made.train_on_button.isVisible()
    made.close_tool()


def test_the_train_dock_remembers_what_it_learnt_from(qtbot, viewer, session, sample):
    viewer.add_image(sample.image, name="cells")
    strokes = np.zeros(sample.mask.shape, np.uint8)
    strokes[::8] = np.where(sample.mask[::8], 2, 1)
    viewer.add_labels(strokes, name="strokes")
    tool = TrainWidget(viewer)
    qtbot.addWidget(tool)
    tool.pick.pick(viewer.layers["cells"])
    run(qtbot, tool)
    (version,) = session.history.versions
    assert (version.origin, version.kind, version.parent) == ("trained", "logistic", "")
    assert (version.learnt[0].image, version.learnt[0].labels) == ("cells", "strokes")
    assert version.labelled == np.count_nonzero(strokes)
    assert version.dice == session.current.scores["dice"]
    tool.close_tool()


def test_labels_are_what_their_role_or_their_maker_says(viewer, sample, model):
    image = viewer.add_image(np.zeros((8, 8)))
    lesson = TrainingPair(sample.as_image(), sample.mask.astype(np.uint8) + np.uint8(1))
    spec = spec_of("logistic", {"sigmas": "1"})
    strokes = train(spec, [lesson], TrainOptions(validation=0.0), name="by strokes").model
    objects = viewer.add_labels(
        np.zeros((8, 8), int), metadata=marked(PREDICTED_OBJECTS, image, {})
    )
    classes = viewer.add_labels(
        np.zeros((8, 8), int), metadata=marked(PREDICTED, image, {"model": "by strokes"})
    )
    own = viewer.add_labels(np.zeros((8, 8), int))
    models = [strokes, model]
    assert kind_of(objects, model, models) == "objects"
    assert kind_of(classes, model, models) == "scribbles"
    assert kind_of(own, model, models) == "mask"
    assert kind_of(own, None, []) == "scribbles"


def test_other_layers_that_were_corrected_before_come_along(viewer, session, scene, sample, model):
    new, labels = scene
    correct(session, labels, sample)
    learnt = learnt_of(new, labels, "mask", locked=7)
    session.add_model(model, origin="trained on", learnt=[learnt])
    third = viewer.add_image(sample.image, name="third")
    more = viewer.add_labels(np.zeros(sample.mask.shape, np.uint8), name="more")
    session.locks(more)
    more.paint((5, 5), 1)
    found = fine_tune_material(viewer.layers, session, third, more, "mask", model)
    assert [one.labels for one in found.learnt] == ["more", "new classes"]
    assert len(found.corrected) == 2
    assert found.learnt[1].ink == len(session.locks(labels).pixels())


def test_it_picks_what_was_corrected_when_it_is_shown(qtbot, tool, scene, session, sample, viewer):
    new, labels = scene
    strokes = viewer.add_labels(np.zeros(labels.data.shape, np.uint8), name="strokes")
    tool.hide()
    tool.labels.pick(strokes)
    tool.show()
    assert tool.labels.layer() is strokes, "nothing was corrected yet"
    correct(session, labels, sample)
    tool.hide()
    tool.show()
    assert tool.labels.layer() is labels
    assert tool.pick.layer() is new


def test_what_reports_on_other_layers_is_not_taken_for_the_image(tool, scene, viewer):
    new, labels = scene
    tool.pick.pick(new)
    report = show_image(
        viewer.layers, labels, UNCERTAINTY, np.zeros(new.data.shape), name="u", options={}
    )
    viewer.layers.selection.active = report
    assert tool.pick.layer() is new
    viewer.layers.remove(new)
    tool.pick.pick(report)
    assert tool.pick.layer() is report, "it can be picked by hand"
