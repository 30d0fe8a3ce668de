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
        self.settled = np.zeros(layer.data.shape, bool)
        self.done, self.undone = [], []

    @property
    def ink(self):
        return np.any([self.settled, *(ink for _, _, _, ink in self.done)], axis=0)

    def step(self, act, by_hand):
        """Do something that is one step; it may return the pixels that the hand went over."""
        before, ink = self.layer.data.copy(), self.ink
        over = act()
        changed = self.layer.data != before
        if not by_hand:
            over = np.zeros_like(changed)
        elif over is None:
            over = changed
        if changed.any() or (over & ~ink).any():
            self.done.append((changed, before, self.layer.data.copy(), over | (changed & by_hand)))
            self.undone.clear()
        for *_, old in self.done[: -self.layer._history_limit]:
            self.settled |= old
        del self.done[: -self.layer._history_limit]

    def undo(self):
        self._move(self.layer.undo, self.done, self.undone, 1)

    def redo(self):
        self._move(self.layer.redo, self.undone, self.done, 2)

    def _move(self, act, source, target, wanted):
        labels = self.layer.data.copy()
        if source:
            step = source.pop()
            labels[step[0]] = step[wanted][step[0]]
            target.append(step)
        act()
        assert np.array_equal(self.layer.data, labels)


UNUSED = 99


def touched(layer, act, empty):
    """Which pixels an act goes over: on labels without locks it changes all of them."""
    twin = Labels(np.full_like(layer.data, UNUSED) if empty else layer.data.copy())
    twin.brush_size, twin.contiguous = layer.brush_size, layer.contiguous
    before = twin.data.copy()
    act(twin)
    return twin.data != before


def hand(layer, rng):
    """Draw at random, often over what is there already, and return where the hand went."""
    kind = rng.integers(5)
    shape = layer.data.shape
    at = tuple(int(rng.integers(n)) for n in shape)
    label = int(layer.data[at]) if rng.random() < 0.4 else int(rng.integers(0, 5))
    layer.brush_size = int(rng.integers(1, 5))
    layer.contiguous = bool(rng.random() < 0.7)
    if kind == 0:
        over = touched(layer, lambda twin: twin.paint(at, label), True)
        layer.paint(at, label)
    elif kind == 1:
        over = touched(layer, lambda twin: twin.fill(at, UNUSED), False)
        layer.fill(at, label)
    elif kind == 2:
        places = tuple(rng.integers(0, np.array(shape)[:, None], (2, 5)))
        over = np.zeros(shape, bool)
        over[places] = True
        layer.data_setitem(places, rng.integers(0, 5, 5))
    elif kind == 3:
        corners = rng.integers(0, np.array(shape), (4, 2))
        over = touched(layer, lambda twin: twin.paint_polygon(corners, label), True)
        layer.paint_polygon(corners, label)
    else:
        along = [(at[0], min(at[1] + k, shape[1] - 1)) for k in range(3)]
        over = touched(layer, lambda twin: [twin.paint(one, label) for one in along], True)
        with layer.block_history():
            for one in along:
                layer.paint(one, label)
    return over


def predicted(rng, shape=SHAPE):
    data = np.zeros(shape, np.int32)
    for number in range(1, int(rng.integers(1, 6))):
        y, x = (int(rng.integers(n - 3)) for n in shape)
        data[y : y + 4, x : x + int(rng.integers(2, 7))] = number
    return data


def run(session, viewer, source, data, kind):
    return session.show_labels(
        viewer.layers, source, "mask", data, name="m", options={}, objects=kind == "objects"
    )


SHARES = {
    "hand": 0.35,
    "undo": 0.2,
    "redo": 0.1,
    "run": 0.18,
    "run in a stroke": 0.05,
    "edit": 0.07,
    "replace": 0.05,
}


def follow(session, viewer, source, seed):
    """Play one random sequence, check after every step, and return how many steps there were."""
    rng = np.random.default_rng(seed)
    layer, _ = run(session, viewer, source, predicted(rng), "objects")
    oracle = Oracle(layer)
    n = int(rng.integers(4, 14))
    for _ in range(n):
        act = rng.choice(list(SHARES), p=list(SHARES.values()))
        if act == "hand":
            oracle.step(partial(hand, layer, rng), by_hand=True)
        elif act in ("undo", "redo"):
            getattr(oracle, act)()
        elif act == "run":
            run_again(session, viewer, source, oracle, rng)
        elif act == "run in a stroke":
            with layer.block_history():
                oracle.step(partial(hand, layer, rng), by_hand=True)
                run_again(session, viewer, source, oracle, rng)
                oracle.step(partial(hand, layer, rng), by_hand=True)
        elif act == "edit":
            before = layer.data.copy()
            layer.data[tuple(int(rng.integers(k)) for k in layer.data.shape)] = 7
            changed = layer.data != before
            run_again(session, viewer, source, oracle, rng, changed)
        else:
            layer = replace(session, viewer, source, oracle, rng)
            oracle = Oracle(layer)
        assert np.array_equal(session.locks(layer).pixels().array(), oracle.ink), act
    viewer.layers.remove(layer)
    return n


def run_again(session, viewer, source, oracle, rng, edited=False):
    """Let a run write into the layer; `edited` pixels were changed in place before it."""
    layer, new = oracle.layer, predicted(rng)
    kind = rng.choice(["classes", "objects"])
    before, ink = layer.data.copy(), oracle.ink | edited
    oracle.settled |= edited
    oracle.step(lambda: run(session, viewer, source, new, kind), by_hand=False)
    assert np.array_equal(layer.data[ink], before[ink])
    if kind == "classes":
        assert np.array_equal(layer.data[~ink], new[~ink])
    else:
        for number in np.setdiff1d(before[ink], 0):
            assert np.array_equal(layer.data == number, before == number)


def replace(session, viewer, source, oracle, rng):
    """Set other labels, perhaps of another shape, and return the layer that the next run wrote."""
    layer, before = oracle.layer, oracle.layer.data
    other = predicted(rng, (SHAPE[0] + int(rng.integers(2)), SHAPE[1]))
    if rng.random() < 0.3:
        other = before.astype(np.int64)
    layer.data, known = other, before.copy()
    if other.shape != before.shape:
        oracle.settled, oracle.done, oracle.undone = np.zeros(other.shape, bool), [], []
    if rng.random() < 0.5:
        for changed, old, *_ in oracle.done[-1:]:
            known[changed] = old[changed]
        oracle.undo()
    assert np.array_equal(session.locks(layer).pixels().array(), oracle.ink)
    shown, new = layer.data.copy(), predicted(rng)
    made, remark = run(session, viewer, source, new, "classes")
    if other.dtype == before.dtype and not np.array_equal(shown, known):
        assert made is not layer
        assert "kept as it is" in remark
        assert np.array_equal(layer.data, shown)
        assert np.array_equal(made.data, new)
    for old in [one for one in viewer.layers if one is not source]:
        viewer.layers.remove(old)
    return run(session, viewer, source, predicted(rng), "objects")[0]


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
