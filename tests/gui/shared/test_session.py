"""A result is written as one undoable step, and never over what a hand drew."""

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.training.train import train
from napari_unetseg.gui.shared import session as module
from napari_unetseg.gui.shared.session import Session


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def source(viewer):
    return viewer.add_image(np.zeros((20, 30)), name="cells", scale=(2, 3))


def put(viewer, source, data, **options):
    return Session.of(viewer).show_labels(
        viewer.layers, source, "mask", data, name="mask", options=options
    )


def labels(rng, dtype=np.uint8):
    return rng.integers(0, 3, (20, 30)).astype(dtype)


def test_one_session_a_viewer(viewer):
    assert Session.of(viewer) is Session.of(viewer)
    assert Session.of(viewer) is not Session.of(ViewerModel())


def test_a_run_can_be_undone_and_redone(viewer, source):
    rng = np.random.default_rng(0)
    first, second = labels(rng), labels(rng)
    layer, _ = put(viewer, source, first.copy())
    again, remark = put(viewer, source, second, n=2)
    assert again is layer
    assert remark == ""
    assert np.array_equal(layer.data, second)
    layer.undo()
    assert np.array_equal(layer.data, first)
    layer.redo()
    assert np.array_equal(layer.data, second)


def test_what_a_hand_drew_is_kept(viewer, source):
    layer, _ = put(viewer, source, np.zeros((20, 30), np.uint8))
    layer.paint((5, 5), 2)
    drawn = layer.data == 2
    again, remark = put(viewer, source, np.ones((20, 30), np.uint8))
    assert again is layer
    assert f"{drawn.sum()} pixels that you corrected" in remark
    assert np.array_equal(layer.data, np.where(drawn, 2, 1))
    layer.undo()
    assert np.array_equal(layer.data, np.where(drawn, 2, 0))
    layer.undo()
    assert not layer.data.any()


def test_what_was_undone_is_no_ink(viewer, source):
    layer, _ = put(viewer, source, np.zeros((20, 30), np.uint8))
    layer.paint((5, 5), 2)
    layer.undo()
    _, remark = put(viewer, source, np.ones((20, 30), np.uint8))
    assert remark == ""
    assert (layer.data == 1).all()


def test_erasing_and_filling_are_drawing_too(viewer, source):
    for edit in ("erase", "fill"):
        layer, _ = put(viewer, source, np.ones((20, 30), np.uint8))
        if edit == "erase":
            layer.paint((5, 5), 0)
        else:
            layer.fill((5, 5), 4)
        assert Session.of(viewer).locks(layer), edit
        viewer.layers.remove(layer)


def test_corrected_objects_stay_whole(viewer, source):
    before = np.zeros((20, 30), np.int32)
    before[2:6, 2:6], before[10:14, 10:14] = 1, 2
    layer, _ = put(viewer, source, before)
    layer.brush_size = 1
    layer.paint((3, 3), 2)
    layer.paint((3, 3), 1)
    layer.data_setitem((np.array([5]), np.array([6])), np.array([1]))
    after = np.zeros((20, 30), np.int32)
    after[0:4, 0:4], after[10:14, 10:20], after[16:18, 1:9] = 5, 1, 2
    Session.of(viewer).show_labels(
        viewer.layers, source, "mask", after, name="m", options={}, objects=True
    )
    assert (layer.data[2:6, 2:6] == 1).all()
    assert layer.data[5, 6] == 1
    assert (layer.data[10:14, 10:20] == 6).all()
    assert (layer.data[16:18, 1:9] == 2).all()
    assert (layer.data[:2, :4] == 5).all()


def test_corrections_of_another_shape_are_kept_aside(viewer, source):
    layer, _ = put(viewer, source, np.zeros((20, 30), np.uint8))
    layer.paint((5, 5), 2)
    drawn = layer.data.copy()
    other, remark = put(viewer, source, np.ones((10, 30), np.uint8))
    assert other is not layer
    assert "kept" in remark
    assert np.array_equal(layer.data, drawn)


def test_corrections_too_large_to_undo_go_along(viewer, source, monkeypatch):
    monkeypatch.setattr(module, "UNDOABLE_PIXELS", 100)
    layer, _ = put(viewer, source, np.zeros((20, 30), np.uint8))
    layer.paint((5, 5), 2)
    other, remark = put(viewer, source, np.ones((20, 30), np.uint8))
    assert other is not layer
    assert layer in viewer.layers
    assert "new layer" in remark
    third, _ = put(viewer, source, np.full((20, 30), 3, np.uint8))
    assert (third.data == 2).sum() == (layer.data == 2).sum()


def test_a_result_of_another_kind_replaces_an_untouched_one(viewer, source):
    layer, _ = put(viewer, source, np.ones((20, 30), np.uint8))
    other, _ = put(viewer, source, np.ones((20, 30), np.int32))
    assert other is not layer
    assert layer not in viewer.layers


def test_a_change_too_large_to_undo_says_so(viewer, source, monkeypatch):
    monkeypatch.setattr(module, "UNDOABLE_PIXELS", 100)
    put(viewer, source, np.zeros((20, 30), np.uint8))
    layer, remark = put(viewer, source, np.ones((20, 30), np.uint8))
    assert "replaced" in remark
    assert np.all(layer.data == 1)
    assert len(viewer.layers) == 2


def test_a_model_put_to_use_is_last_and_there_once():
    session = Session()
    told = []
    session.models_changed.connect(lambda: told.append(list(session.models)))
    noise = np.random.default_rng(0).random((24, 24)).astype(np.float32)
    lesson = TrainingPair(Image.of(noise), (noise > 0.5).astype(np.uint8))
    spec, options = LogisticSpec(sigmas="1"), TrainOptions(validation=0.0)
    made = train(spec, [lesson], options, name="one", labels_are="mask").model
    one, two, new = (replace(made, name=name) for name in ("one", "two", "new"))
    session.add_model(one)
    session.add_model(two)
    session.use_model(one)
    assert session.models == [two, one]
    session.use_model(new)
    assert session.models == [two, one, new]
    assert told[-2:] == [[two, one], [two, one, new]]
