"""Which gesture refines an object in the making and which begins another, without a window."""

import numpy as np
import pytest

from napari_unetseg.core.prompts.prompt import Prompt, ProposedObject
from napari_unetseg.gui.correct.click_state import (
    Candidate,
    ClickState,
    Gesture,
    cut_from,
    outline_edges,
    reaches,
    thinned,
)


def square(origin=(10, 10), side=20):
    return ProposedObject(np.ones((side, side), bool), origin, 0.9)


def click(*points, kind="more", plane=()):
    return Gesture(kind, plane, points)


@pytest.fixture
def state():
    """A square of rows and columns 10 to 29 is in the making, for a click in its middle."""
    made = ClickState()
    assert made.settle(made.begun(click((20, 20)), 0), square())
    return made


def test_nothing_is_refined_before_there_is_an_object():
    state = ClickState()
    assert not state.refines(click((5, 5)), 0)
    assert not state.refines(click((5, 5), kind="less"), 0)
    with pytest.raises(ValueError, match="no candidate"):
        state.refined(click((5, 5)))
    assert state.take() is None


@pytest.mark.parametrize(
    ("gesture", "number", "refines"),
    [
        (click((12, 12)), 0, True),
        (click((34, 20)), 0, True),
        (click((40, 20)), 0, False),
        (click((12, 12)), 7, False),
        (click((90, 90), kind="less"), 7, True),
        (click((12, 12), plane=(1,)), 0, False),
        (click((12, 12), kind="less", plane=(1,)), 0, False),
        (click((12, 12), (80, 80)), 0, True),
        (click((80, 80), (12, 12)), 0, False),
        (Gesture("more", (), ((80, 80), (12, 12)), True), 7, True),
        (Gesture("more", (1,), ((20, 20),), True), 0, False),
        (click((35, 35), (5, 5), kind="box"), 0, True),
        (click((50, 50), (70, 70), kind="box"), 0, False),
    ],
)
def test_a_gesture_in_or_next_to_the_object_refines_it(state, gesture, number, refines):
    assert state.refines(gesture, number) is refines


def test_the_reach_is_at_least_that_of_the_screen(state):
    assert state.refines(click((40, 20)), 0, reach=15)
    assert not state.refines(click((40, 20)), 0, reach=5)


def test_an_object_of_the_labels_that_is_corrected_is_refined_inside_itself(state):
    state.current = Candidate((), Prompt(((20, 20),)), 7, square())
    assert state.refines(click((12, 12)), 7)
    assert not state.refines(click((12, 12)), 8)


def test_refining_adds_to_the_prompt_and_keeps_the_earlier_proposal(state):
    more = state.refined(click((31, 20), (35, 20)))
    assert more.prompt.inside == ((20, 20), (31, 20), (35, 20))
    assert more.proposed is state.current.proposed
    less = state.refined(click((12, 12), kind="less"))
    assert less.prompt.outside == ((12, 12),)
    box = state.refined(click((35, 5), (5, 35), kind="box"))
    assert box.prompt.box == (5, 5, 35, 35)


def test_an_answer_of_nothing_leaves_the_object_as_it_was(state):
    before = state.current
    assert not state.settle(state.refined(click((31, 20))), None)
    assert state.current is before
    assert state.settle(state.refined(click((31, 20))), square(side=25))
    assert state.current.proposed.area == 625
    assert state.take().prompt.inside == ((20, 20), (31, 20))
    assert state.current is None


def test_a_click_takes_the_outline_that_was_shown_for_it():
    state = ClickState()
    asked = state.begun(click((20, 20)), 0)
    state.show(asked, square())
    taken = state.begun(click((12, 28)), 0)
    assert taken.proposed is state.hovered.proposed
    assert taken.prompt.inside == ((12, 28),)
    for other in (click((50, 50)), click((20, 20), plane=(3,)), click((20, 20), (21, 21))):
        assert state.begun(other, 0).proposed is None
    assert state.begun(click((20, 20)), 7).proposed is None
    state.show(asked, None)
    assert state.begun(click((20, 20)), 0).proposed is None


def test_a_part_is_cut_from_an_object_that_is_held_elsewhere():
    labels = np.zeros((40, 60), int)
    labels[10:30, 5:50] = 7
    part = labels[8:32, 3:55]
    made = cut_from(click((20, 45), kind="less"), part, 7, (8, 3))
    (y, x) = made.prompt.inside[0]
    assert labels[int(y), int(x)] == 7
    assert x < 25
    assert made.prompt.outside == ((20, 45),)
    assert np.array_equal(made.proposed.whole(labels.shape), labels == 7)


def test_masks_in_other_windows():
    proposed = square((5, 5), 4)
    window = (slice(0, 7), slice(6, 20))
    assert np.array_equal(proposed.within(window), proposed.whole((30, 30))[window])
    assert not proposed.within((slice(20, 25), slice(0, 9))).any()
    assert reaches(proposed, (8.4, 8.4))
    assert not reaches(proposed, (8.6, 8.4))
    assert reaches(proposed, (9.5, 8), near=2)


def test_an_outline_runs_along_the_edges_of_pixels():
    lines = outline_edges(square((10, 20), 4))
    found = {tuple(np.r_[start, start + way]) for start, way in lines}
    assert found == {
        (9.5, 19.5, 9.5, 23.5),
        (13.5, 19.5, 13.5, 23.5),
        (9.5, 19.5, 13.5, 19.5),
        (9.5, 23.5, 13.5, 23.5),
    }
    mask = np.random.default_rng(0).random((9, 12)) > 0.5
    lines = outline_edges(ProposedObject(mask, (0, 0), 1.0))
    around = np.pad(mask, 1).astype(int)
    edges = sum(np.abs(np.diff(around, axis=axis)).sum() for axis in (0, 1))
    assert np.abs(lines[:, 1]).sum() == edges


def test_long_strokes_are_thinned_evenly():
    points = [(float(k), 0.0) for k in range(100)]
    kept = thinned(points)
    assert (kept[0], kept[-1], len(kept)) == (points[0], points[-1], 12)
    assert thinned(points[:3]) == tuple(points[:3])
