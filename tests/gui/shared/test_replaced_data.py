"""Data that something else set or changed, before or during a run: nothing of it is lost."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Shapes

from napari_unetseg.core.corrections import Change
from napari_unetseg.gui.background.background_dock import BackgroundWidget
from napari_unetseg.gui.correct import correct_dock
from napari_unetseg.gui.correct.correct_dock import CorrectWidget
from napari_unetseg.gui.correct.correct_tools import TOOLS
from napari_unetseg.gui.measure.measure_dock import MeasureWidget
from napari_unetseg.gui.review.review_dock import ReviewWidget
from napari_unetseg.gui.shared import layers as layers_module
from napari_unetseg.gui.shared.data_versions import data_version
from napari_unetseg.gui.shared.layers import OBJECTS, REVIEW, find_layer, role_of, show_image
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.threshold.threshold_dock import ThresholdWidget

RNG = np.random.default_rng(0)
PICTURE = np.kron(RNG.integers(0, 2, (8, 9)), np.ones((8, 8))).astype(np.float32)


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def image(viewer):
    return viewer.add_image(PICTURE.copy(), name="cells")


def run_held(qtbot, tool, meanwhile):
    """Run a dock, and change something before its computation begins."""
    go_on, real = threading.Event(), tool.work

    def work(layer, options):
        compute = real(layer, options)
        return lambda report: go_on.wait(60) and compute(report)

    tool.work = work
    tool.run()
    assert tool.running, tool.message.text()
    meanwhile()
    go_on.set()
    qtbot.waitUntil(lambda: not tool.running, timeout=60_000)
    tool.work = real
    return tool.message.text()


def threshold_of(qtbot, viewer):
    tool = ThresholdWidget(viewer)
    qtbot.addWidget(tool)
    tool.form.set(result="objects")
    return tool


@pytest.mark.parametrize("dock", [ThresholdWidget, BackgroundWidget])
def test_an_image_of_another_shape_gets_no_result_of_the_old_one(qtbot, viewer, image, dock):
    tool = dock(viewer)
    qtbot.addWidget(tool)
    said = run_held(qtbot, tool, lambda: setattr(image, "data", PICTURE[:40]))
    assert "had the shape (64, 72)" in said
    assert "has (40, 72) now" in said
    assert not [one for one in viewer.layers if role_of(one)]
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=60_000)
    made = [one for one in viewer.layers if role_of(one)]
    assert made
    assert {one.data.shape for one in made} == {(40, 72)}
    tool.close_tool()


def test_an_image_that_changed_is_named(qtbot, viewer, image):
    tool = threshold_of(qtbot, viewer)
    said = run_held(qtbot, tool, lambda: setattr(image, "data", 1 - PICTURE))
    assert "'cells' was changed during the run" in said
    made = find_layer(viewer.layers, OBJECTS, image)
    assert np.array_equal(made.data > 0, PICTURE > 0)
    assert "changed during" not in run_held(qtbot, tool, lambda: None)
    tool.close_tool()


def test_edits_during_a_run_are_kept_and_locked(qtbot, viewer, image):
    tool = threshold_of(qtbot, viewer)
    run_held(qtbot, tool, lambda: None)
    made = find_layer(viewer.layers, OBJECTS, image)

    def edit():
        made.data[2:5, 3:6] = 77
        made.refresh()

    said = run_held(qtbot, tool, edit)
    assert "9 of them were changed by another plugin or the console" in said
    assert (made.data[2:5, 3:6] == 77).all()
    assert len(tool.session.locks(made).pixels()) == 9
    assert "9 pixels that you corrected" in run_held(qtbot, tool, lambda: None)
    tool.close_tool()


@pytest.mark.parametrize("shape", [(64, 72), (10, 72)])
@pytest.mark.parametrize("during", [False, True])
def test_a_result_that_was_replaced_is_kept_beside_the_new_one(qtbot, viewer, image, shape, during):
    tool = threshold_of(qtbot, viewer)
    run_held(qtbot, tool, lambda: None)
    made, other = find_layer(viewer.layers, OBJECTS, image), np.full(shape, 5, np.int32)

    def replace():
        made.data = other.copy()

    if not during:
        replace()
    said = run_held(qtbot, tool, replace if during else lambda: None)
    assert "kept as it is" in said
    assert np.array_equal(made.data, other)
    new = find_layer(viewer.layers, OBJECTS, image)
    assert new is not made
    assert np.array_equal(new.data > 0, PICTURE > 0)
    assert "kept as it is" not in run_held(qtbot, tool, lambda: None)
    assert find_layer(viewer.layers, OBJECTS, image) is new
    tool.close_tool()


def test_the_same_labels_in_another_array_are_no_change(qtbot, viewer, image):
    tool = threshold_of(qtbot, viewer)
    run_held(qtbot, tool, lambda: None)
    made = find_layer(viewer.layers, OBJECTS, image)
    made.data = made.data.copy()
    tool.form.set(min_size=100)
    assert "kept" not in run_held(qtbot, tool, lambda: None)
    assert find_layer(viewer.layers, OBJECTS, image) is made
    tool.close_tool()


def test_a_stroke_goes_on_over_the_end_of_a_run(qtbot, viewer, image):
    tool = threshold_of(qtbot, viewer)
    run_held(qtbot, tool, lambda: None)
    made = find_layer(viewer.layers, OBJECTS, image)
    before = made.data.copy()
    tool.form.set(min_size=100)
    with made.block_history():
        run_held(qtbot, tool, lambda: made.paint((4, 4), 50))
        drawn = made.data == 50
        assert drawn.sum() > 20
        assert np.array_equal(tool.session.locks(made).pixels().array(), drawn)
        made.paint((40, 40), 51)
    drawn |= made.data == 51
    assert np.array_equal(tool.session.locks(made).pixels().array(), drawn)
    for _ in range(3):
        made.undo()
    assert np.array_equal(made.data, before)
    tool.close_tool()


def test_steps_of_another_shape_are_not_undone_into_the_new_labels():
    layer, session = Labels(np.zeros((20, 30), np.uint8)), Session()
    locks = session.locks(layer)
    layer.paint((15, 25), 2)
    layer.data = np.ones((10, 12), np.uint8)
    assert locks.pixels().shape == (10, 12)
    assert not locks
    layer.undo()
    assert (layer.data == 1).all()


def test_an_image_result_that_was_replaced_is_kept(viewer, image, monkeypatch):
    told = []
    monkeypatch.setattr(layers_module, "show_info", told.append)

    def show(value):
        data = np.full(PICTURE.shape, value)
        return show_image(viewer.layers, image, "flattened", data, name="flat", options={})

    first = show(1.0)
    assert show(2.0) is first
    first.data = np.full(PICTURE.shape, 3.0)
    second = show(4.0)
    assert second is not first
    assert (first.data == 3).all()
    assert len(told) == 1
    assert show(5.0) is second
    assert len(told) == 1


def test_a_picture_of_a_review_that_was_painted_on_is_kept(qtbot, viewer, image):
    ids = np.kron(np.arange(12).reshape(3, 4), np.ones((8, 8))).astype(np.int32)
    one, two = viewer.add_labels(ids, name="one"), viewer.add_labels(ids.copy(), name="two")
    tool = ReviewWidget(viewer)
    qtbot.addWidget(tool)
    tool.pick.pick(one)
    tool.truth.pick(two)
    run_held(qtbot, tool, lambda: None)
    picture = find_layer(viewer.layers, REVIEW, one)
    run_held(qtbot, tool, lambda: None)
    assert find_layer(viewer.layers, REVIEW, one) is picture
    picture.paint((3, 3), 2)
    painted = picture.data.copy()
    run_held(qtbot, tool, lambda: None)
    assert find_layer(viewer.layers, REVIEW, one) is not picture
    assert np.array_equal(picture.data, painted)
    said = run_held(qtbot, tool, lambda: setattr(two, "data", ids[:8]))
    assert "another shape" in said
    tool.close_tool()


def test_a_table_of_labels_that_got_another_shape_is_dropped(qtbot, viewer):
    labels = viewer.add_labels(PICTURE.astype(np.uint8), name="ids")
    tool = MeasureWidget(viewer)
    qtbot.addWidget(tool)
    said = run_held(qtbot, tool, lambda: setattr(labels, "data", np.ones((5, 5), np.uint8)))
    assert "the result was dropped" in said
    assert tool.found is None
    tool.close_tool()


def test_a_correction_of_labels_that_were_edited_is_not_done(qtbot, viewer, monkeypatch):
    monkeypatch.setattr(correct_dock, "AT_ONCE", -1)
    ids = np.zeros((30, 30), np.uint8)
    ids[8:14, 8:14] = 1
    labels = viewer.add_labels(ids, name="ids")
    tool = CorrectWidget(viewer)
    qtbot.addWidget(tool)
    tool.show()
    qtbot.waitUntil(lambda: not tool.running and tool._boxes.boxes() is not None, timeout=60_000)
    scene = SimpleNamespace(kind=TOOLS[0], state=tool.session.locks(labels).state())
    scene.change = Change.of(labels.data, (slice(0, 9), slice(0, 9)), np.ones((9, 9), bool), 3)
    labels.data[4, 4] = 7
    assert "nothing was done" in tool._apply(labels, scene)
    assert labels.data[4, 4] == 7
    assert not (labels.data == 3).any()
    tool.close_tool()


def test_the_version_of_data_is_never_used_twice():
    seen = set()
    for layer in (
        ImageLayer(PICTURE),
        Labels(np.zeros((4, 4), int)),
        Shapes([[[0, 0], [1, 1], [1, 0]]], shape_type="polygon"),
    ):
        for _ in range(20):
            version = data_version(layer)
            assert data_version(layer) == version
            assert version not in seen
            seen.add(version)
            layer.data = layer.data
