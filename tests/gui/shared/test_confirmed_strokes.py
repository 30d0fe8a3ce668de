"""To draw over pixels that have the label already is to confirm them: they are locked."""

import gc
import weakref

import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Labels

from napari_unetseg.gui.correct.locked_view import DRAWN, ERASED, LockedView
from napari_unetseg.gui.project.project_layers import contents_of
from napari_unetseg.gui.shared.layer_locks import LayerLocks
from napari_unetseg.gui.shared.session import Session


@pytest.fixture
def halves():
    """Labels of two classes, background on the left and class 1 on the right."""
    data = np.zeros((20, 30), np.uint8)
    data[:, 15:] = 1
    return data


def brush(layer, at, label):
    """Return the pixels of a dab of the brush: those that it changes on labels without any 9."""
    twin = Labels(np.full(layer.data.shape, 9, np.uint8))
    twin.brush_size, twin.n_edit_dimensions = layer.brush_size, layer.n_edit_dimensions
    layer.paint(at, label)
    twin.paint(at, label)
    return twin.data != 9


@pytest.mark.parametrize("at", [(10, 24), (10, 5), (10, 15)])
def test_a_confirming_stroke_is_one_step_that_locks(halves, at):
    layer = Labels(halves.copy())
    locks, told = LayerLocks(layer), []
    locks.changed.connect(lambda: told.append(1))
    over = brush(layer, at, int(halves[at]))
    assert len(told) == 1
    for _ in range(2):
        assert np.array_equal(locks.pixels().array(), over)
        state = locks.state()
        layer.undo()
        assert not locks
        assert locks.state() != state
        assert np.array_equal(layer.data, halves)
        layer.redo()
    assert len(layer._undo_history) == 1


def test_a_stroke_over_locked_pixels_is_no_step(halves):
    layer = Labels(halves.copy())
    locks = LayerLocks(layer)
    over = brush(layer, (10, 24), 1)
    layer.paint((10, 24), 1)
    assert len(layer._undo_history) == 1
    layer.undo()
    assert not locks
    layer.redo()
    locks.release()
    layer.paint((10, 24), 1)
    assert np.array_equal(locks.pixels().array(), over)


def test_a_drag_is_one_step(halves):
    layer = Labels(halves.copy())
    locks = LayerLocks(layer)
    layer.mode = "paint"
    over = np.zeros(halves.shape, bool)
    with layer.block_history():
        for x in range(12, 24, 3):
            over |= brush(layer, (10, x), 1)
        assert np.array_equal(locks.pixels().array(), over), "also while it is drawn"
    assert len(layer._undo_history) == 1
    layer.undo()
    assert not locks
    assert np.array_equal(layer.data, halves)


def test_the_bucket_confirms_what_it_would_fill(halves):
    halves[5:8, 3:6] = 1
    layer = Labels(halves)
    locks = LayerLocks(layer)
    layer.fill((6, 4), 1)
    assert np.array_equal(np.argwhere(locks.pixels().array()), np.argwhere(halves[:, :15]))
    layer.undo()
    layer.contiguous = False
    layer.fill((6, 4), 1)
    assert np.array_equal(locks.pixels().array(), halves == 1)


def test_the_bucket_confirms_nothing_beside_what_it_filled(halves):
    layer = Labels(halves)
    locks = LayerLocks(layer)
    layer.fill((10, 20), 3)
    layer.undo()
    with layer.block_history():  # the mouse moves while the button is down
        layer.fill((10, 5), 1)
        layer.fill((10, 20), 1)
    assert np.array_equal(locks.pixels().array()[:, 15:], np.zeros((20, 15), bool))


def test_strokes_in_planes_and_stacks_of_scaled_layers():
    data = np.zeros((5, 16, 16), np.uint8)
    data[:, :, 8:] = 2
    for depth in (2, 3):
        viewer = ViewerModel()
        layer = viewer.add_labels(data.copy(), scale=(0.5, 0.5, 0.5))
        viewer.dims.set_current_step(0, 2)
        layer.n_edit_dimensions, layer.brush_size = depth, 5
        locks = LayerLocks(layer)
        layer.paint((2, 8, 11), 2)
        found = locks.pixels().array()
        assert found[2, 8, 11]
        assert found.any((1, 2)).sum() == (5 if depth == 3 else 1)
        corners = np.array([[2, 2, 9], [2, 2, 14], [2, 7, 14], [2, 7, 9]])
        layer.n_edit_dimensions = 2
        layer.paint_polygon(corners, 2)
        assert locks.pixels().array()[2, 4, 12]
        layer.n_edit_dimensions = depth
        layer.fill((2, 0, 0), 0)
        assert np.array_equal(locks.pixels().array()[2] & (data[2] == 0), data[2] == 0)
        assert locks.pixels().array()[0, 0, 0] == (depth == 3)
        for _ in range(3):
            layer.undo()
        assert not locks
        assert np.array_equal(layer.data, data)


def test_strokes_on_labels_that_are_read_when_asked_for(halves):
    stored = zarr.array(halves)
    layer = Labels(stored)
    locks = LayerLocks(layer)
    layer.paint((10, 24), 1)
    assert locks.pixels().array()[10, 24]
    layer.undo()
    assert not locks
    assert np.array_equal(stored[:], halves)


def test_preserved_labels_are_confirmed_too(halves):
    layer = Labels(halves)
    locks = LayerLocks(layer)
    layer.preserve_labels = True
    layer.paint((10, 24), 1)
    assert locks.pixels().array()[10, 24]


def test_the_way_of_older_versions_of_napari(halves, monkeypatch):
    """Before 0.8 every stroke went through `data_setitem`."""

    def paint(layer, coord, label, refresh=True):
        y, x = (np.ravel(axis) for axis in np.mgrid[-2:3, -2:3])
        layer.data_setitem((y + coord[0], x + coord[1]), label, refresh)

    monkeypatch.delattr(Labels, "_apply_mask_to_data")
    monkeypatch.setattr(Labels, "paint", paint)
    layer = Labels(halves)
    locks = LayerLocks(layer)
    layer.paint((10, 15), 1)
    assert locks.pixels().array().sum() == 25
    assert len(layer._undo_history) == 1
    layer.undo()
    assert not locks
    layer.paint((10, 5), 0)
    assert locks.pixels().array().sum() == 25


def test_no_run_changes_confirmed_pixels_and_a_project_holds_them(halves):
    viewer = ViewerModel()
    source, session = viewer.add_image(np.zeros(halves.shape), name="cells"), Session.of(viewer)

    def run(data):
        return session.show_labels(viewer.layers, source, "mask", data, name="m", options={})

    layer, _ = run(halves.copy())
    over = brush(layer, (10, 24), 1) | brush(layer, (10, 5), 0)
    _, remark = run(1 - halves)
    assert f"{over.sum()} pixels" in remark
    assert np.array_equal(layer.data, np.where(over, halves, 1 - halves))
    (item,) = contents_of(viewer, session, lambda key, version: False).labels
    assert np.array_equal(item.ink.array(), over)


def test_the_view_of_locked_pixels_follows(qtbot, halves):
    viewer = ViewerModel()
    layer, session = viewer.add_labels(halves), Session.of(viewer)
    view = LockedView(viewer, session)
    view.show(layer)
    layer.paint((10, 24), 1)
    layer.paint((10, 5), 0)

    def shown(at, value):
        return lambda: view.layer is not None and view.layer.data[at] == value

    qtbot.waitUntil(shown((10, 24), DRAWN))
    qtbot.waitUntil(shown((10, 5), ERASED))
    layer.undo()
    qtbot.waitUntil(shown((10, 5), 0))
    layer.redo()
    qtbot.waitUntil(shown((10, 5), ERASED))
    view.hide()


def test_a_followed_layer_is_not_kept_alive(halves):
    layer = Labels(halves)
    locks = LayerLocks(layer)
    gone, other = weakref.ref(layer), weakref.ref(locks)
    del locks
    gc.collect()
    assert other() is None
    layer.paint((10, 24), 1)
    assert not layer._undo_history, "without locks the layer is as napari made it"
    del layer
    gc.collect()
    assert gone() is None
