"""Ink: what a hand drew is known through undo and redo, and no run ever changes it."""

import gc
import os
import weakref
from functools import partial

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.gui.shared.layer_locks import LayerLocks
from napari_unetseg.gui.shared.session import Session

SHAPE = (11, 13)
SEQUENCES = int(os.environ.get("INK_SEQUENCES", "60"))
"""How many to play; thousands take minutes."""


@pytest.fixture
def layer():
    return Labels(np.zeros(SHAPE, np.int32))


class Oracle:
    """What ink should be, told the plain way: by comparing the pixels before and after."""

    def __init__(self, layer):
        self.layer = layer
        self.ink = np.zeros(SHAPE, bool)
        self.done, self.undone = [], []

    def step(self, act, by_hand):
        before, ink = self.layer.data.copy(), self.ink.copy()
        act()
        changed = self.layer.data != before
        if changed.any():
            self.done.append((before, ink))
            del self.done[: -self.layer._history_limit]
            self.undone.clear()
            if by_hand:
                self.ink = ink | changed

    def undo(self):
        self._back(self.layer.undo, self.done, self.undone)

    def redo(self):
        self._back(self.layer.redo, self.undone, self.done)

    def _back(self, act, source, target):
        now = self.layer.data.copy(), self.ink
        act()
        if source:
            target.append(now)
            labels, self.ink = source.pop()
            assert np.array_equal(self.layer.data, labels)


def hand(layer, rng):
    kind = rng.integers(4)
    at = tuple(int(rng.integers(n)) for n in SHAPE)
    layer.brush_size = int(rng.integers(1, 5))
    if kind == 0:
        layer.paint(at, int(rng.integers(0, 5)))
    elif kind == 1:
        layer.fill(at, int(rng.integers(0, 5)))
    elif kind == 2:
        places = rng.integers(0, np.array(SHAPE)[:, None], (2, 5))
        layer.data_setitem(tuple(places), rng.integers(0, 5, 5))
    else:
        with layer.block_history():
            for k in range(3):
                layer.paint((at[0], min(at[1] + k, SHAPE[1] - 1)), 0)


def predicted(rng):
    data = np.zeros(SHAPE, np.int32)
    for number in range(1, int(rng.integers(1, 6))):
        y, x = (int(rng.integers(n - 3)) for n in SHAPE)
        data[y : y + 4, x : x + int(rng.integers(2, 7))] = number
    return data


def run(session, viewer, source, data, kind):
    return session.show_labels(
        viewer.layers, source, "mask", data, name="m", options={}, objects=kind == "objects"
    )


def follow(session, viewer, source, seed):
    """Play one random sequence and check after every step."""
    rng = np.random.default_rng(seed)
    layer, _ = run(session, viewer, source, predicted(rng), "objects")
    oracle = Oracle(layer)
    for _ in range(int(rng.integers(4, 14))):
        act = rng.choice(["hand", "undo", "redo", "classes", "objects"])
        before, new = layer.data.copy(), predicted(rng)
        if act == "hand":
            oracle.step(partial(hand, layer, rng), by_hand=True)
        elif act in ("undo", "redo"):
            getattr(oracle, act)()
        else:
            oracle.step(partial(run, session, viewer, source, new, act), by_hand=False)
            ink = oracle.ink
            assert np.array_equal(layer.data[ink], before[ink])
            if act == "classes":
                assert np.array_equal(layer.data[~ink], new[~ink])
            else:
                for number in np.setdiff1d(before[ink], 0):
                    assert np.array_equal(layer.data == number, before == number)
        assert np.array_equal(session.locks(layer).pixels().array(), oracle.ink), act
    viewer.layers.remove(layer)


@pytest.mark.parametrize("limit", [3, 100])
def test_no_ink_pixel_ever_differs(limit, monkeypatch):
    """Random sequences of paint, fill, erase, undo, redo and predictions of both kinds."""
    monkeypatch.setattr(Labels, "_history_limit", limit)
    viewer = ViewerModel()
    source = viewer.add_image(np.zeros(SHAPE), name="cells")
    for seed in range(SEQUENCES):
        follow(Session(), viewer, source, seed)


def test_the_check_finds_a_run_that_forgets_the_ink(layer):
    """The negative control of the test above."""
    oracle = Oracle(layer)
    oracle.step(lambda: layer.paint((5, 5), 3), by_hand=True)
    before = layer.data.copy()
    LayerLocks(layer).write(np.nonzero(before == 3), np.ones((before == 3).sum(), np.int32))
    assert not np.array_equal(layer.data[oracle.ink], before[oracle.ink])


def test_approved_and_restored_pixels_are_ink_until_let_go(layer):
    ink, told = LayerLocks(layer), []
    ink.changed.connect(lambda: told.append(1))
    assert not ink
    ink.approve((slice(2, 4), slice(1, 3)))
    # Ink does not keep its layer alive.
    beside = Labels(np.zeros(SHAPE, np.int32))
    other = LayerLocks(beside)
    other.restore(ink.pixels())
    assert len(other.pixels()) == 4
    ink.release()
    assert not ink
    assert len(other.pixels()) == 4
    assert len(told) == 2


def test_a_correction_and_what_it_approves_are_one_undo_step(layer):
    ink, told = LayerLocks(layer), []
    ink.changed.connect(lambda: told.append(1))
    approved = PixelSet(SHAPE)
    approved.add((slice(0, 2), slice(0, 3)))
    where = (np.array([5, 6]), np.array([7, 7]))
    expected = approved.array()
    expected[where] = True
    ink.correct(where, np.array([3, 4], np.int32), approved)
    assert len(told) == 1
    for _ in range(3):
        assert np.array_equal(ink.pixels().array(), expected)
        assert layer.data[where].tolist() == [3, 4]
        layer.undo()
        assert not ink
        assert not layer.data.any()
        layer.redo()
    ink.correct((np.zeros(0, int),) * 2, np.zeros(0, np.int32), ink.pixels())
    assert len(layer._undo_history) == 2
    state = ink.state()
    layer.undo()
    assert ink.state() != state
    assert np.array_equal(ink.pixels().array(), expected)


def test_approvals_outlive_the_undo_history(monkeypatch):
    monkeypatch.setattr(Labels, "_history_limit", 3)
    layer = Labels(np.zeros(SHAPE, np.int32))
    ink, approved = LayerLocks(layer), PixelSet(SHAPE)
    approved.add((slice(0, 2), slice(0, 3)))
    ink.correct((np.zeros(0, int),) * 2, np.zeros(0, np.int32), approved)
    for k in range(6):
        layer.paint((8, 2 * k), 1)
    assert approved.array()[ink.pixels().array()].sum() == 6


def test_polygons_in_stacks_are_ink():
    layer = Labels(np.zeros((4, 20, 20), np.uint8))
    ink = LayerLocks(layer)
    corners = np.array([[1, 2, 2], [1, 2, 12], [1, 12, 12], [1, 12, 2]])
    layer.paint_polygon(corners, 3)
    assert np.array_equal(ink.pixels().array(), layer.data == 3)


def test_ink_does_not_keep_a_layer_alive():
    session, layer = Session(), Labels(np.zeros(SHAPE, np.uint8))
    session.locks(layer)
    gone = weakref.ref(layer)
    del layer
    gc.collect()
    assert gone() is None
