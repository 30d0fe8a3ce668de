"""Garbage collections leave out what was imported, and free what is removed all the same."""

import gc
import sys
from types import ModuleType
from weakref import ref

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QObject

from napari_unetseg.gui.workbench.frozen_heap import FrozenHeap


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    viewer.add_image(np.zeros((8, 8)), name="early")
    return viewer


@pytest.fixture
def heap(qapp, viewer):
    parent = QObject()
    heap = FrozenHeap(viewer, parent)
    yield heap
    heap.close()
    assert not gc.get_freeze_count()


def assert_freed(layer, viewer):
    """Check that a removed layer is gone; napari keeps the last one until another comes."""
    viewer.add_image(np.zeros((8, 8)), name="next")
    gc.collect()
    assert layer() is None


def test_layers_that_come_later_leave_all_frozen(heap, viewer):
    heap.freeze()
    frozen = gc.get_freeze_count()
    assert frozen > 10_000
    later = ref(viewer.add_image(np.zeros((8, 8)), name="late"))
    viewer.layers.remove("late")
    assert gc.get_freeze_count() > 0.9 * frozen
    assert_freed(later, viewer)


def test_an_earlier_layer_is_freed_and_the_rest_is_frozen_again(heap, viewer, qtbot):
    heap.freeze()
    early = ref(viewer.layers["early"])
    viewer.layers.remove("early")
    assert not gc.get_freeze_count()
    assert_freed(early, viewer)
    qtbot.waitUntil(lambda: gc.get_freeze_count() > 10_000)


def test_torch_is_frozen_once_it_is_there(heap, qtbot, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    heap.freeze()
    before = gc.get_freeze_count()
    kept = [[] for _ in range(1000)]
    heap.freeze_torch()
    qtbot.wait(1100)
    assert gc.get_freeze_count() <= before
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    heap.freeze_torch()
    qtbot.waitUntil(lambda: gc.get_freeze_count() > before + len(kept) / 2)
