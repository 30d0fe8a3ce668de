"""Clicking objects on a bare viewer model: gestures, protection, undo, late answers, bad input."""

import threading
from types import SimpleNamespace

import dask.array
import numpy as np
import pytest
from napari.utils._proxies import ReadOnlyWrapper
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)
from napari.utils.key_bindings import coerce_keybinding
from scipy import ndimage

from napari_unetseg.core.prompts.grown_prompts import GrownPrompts
from napari_unetseg.core.prompts.prompt import ProposedObject, pixel_of
from napari_unetseg.gui.correct import click_objects
from napari_unetseg.gui.correct.click_objects import DROPPED, HINT, NOTHING, OFF, OUTLINING, REFINE
from napari_unetseg.gui.correct.click_panel import CLICK_KEY
from napari_unetseg.gui.correct.correct_dock import CorrectWidget
from napari_unetseg.gui.correct.correct_tools import TOOLS
from napari_unetseg.gui.measure.measure_dock import MeasureWidget
from napari_unetseg.gui.shared.layers import geometry_of
from napari_unetseg.gui.shared.navigate import camera_of
from napari_unetseg.gui.shared.preview import is_preview
from napari_unetseg.gui.shared.undone_message import UNDONE

MIDDLES = {"a": (20, 20), "b": (20, 50), "c": (50, 35)}
"""Middles of the bright squares of the picture, each 21 pixels wide."""


def picture(shape=(70, 90)):
    image = np.zeros(shape, np.float32)
    for y, x in MIDDLES.values():
        image[..., y - 10 : y + 11, x - 10 : x + 11] = 1
    return image


class Bright:
    """A segmenter of bright squares: every click takes its own, a box what is bright in it."""

    opened = 0
    seen = ()
    gate = None
    fault = None
    sizes = ()

    def __init__(self, image):
        Bright.opened += 1
        Bright.seen = (image.axes, image.shape)
        grey = image.grey() if image.rgb else image.channel(0)
        self.pixels = np.asarray(grey.data) > 0.5

    def prepare(self, point=None):
        pass

    def propose(self, prompt, *, previous=None, taken=None, size=None, cancelled=lambda: False):
        Bright.sizes = (*Bright.sizes, size)
        if Bright.gate is not None:
            Bright.gate.wait(10)
        if Bright.fault is not None:
            raise Bright.fault
        free = self.pixels.copy()
        if taken is not None:
            whole = tuple(slice(0, n) for n in free.shape)
            free &= ~taken(whole)
        pieces, _ = ndimage.label(free)
        mask = np.zeros_like(free)
        if prompt.box is not None:
            y0, x0, y1, x1 = (round(at) for at in prompt.box)
            mask[y0 : y1 + 1, x0 : x1 + 1] = free[y0 : y1 + 1, x0 : x1 + 1]
        for point in prompt.inside:
            at = pixel_of(point)
            if pieces[at]:
                mask |= pieces == pieces[at]
        for y, x in map(pixel_of, prompt.outside):
            mask[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4] = False
        if not mask.any():
            return None
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        return ProposedObject(mask[part], (int(rows[0]), int(columns[0])), 0.9)


@pytest.fixture(autouse=True)
def segmenter(monkeypatch):
    monkeypatch.setattr(click_objects, "open_prompts", Bright)
    Bright.opened, Bright.gate, Bright.fault, Bright.sizes = 0, None, None, ()
    return Bright


class Person:
    """The mouse and the keys over a layer, in pixels of it, and the patience to wait."""

    def __init__(self, qtbot, viewer, tool):
        self.qtbot, self.viewer, self.tool = qtbot, viewer, tool
        self.clicks = tool.clicks

    @property
    def layer(self):
        return self.tool._layer

    def event(self, kind, place, keys=(), drag=False):
        index = () if len(place) == self.layer.ndim else self.lead()
        place = (*index, *place)
        world = np.zeros(self.viewer.dims.ndim)
        world[-self.layer.ndim :] = self.layer.data_to_world(place)
        return SimpleNamespace(
            type=kind,
            position=tuple(world),
            pos=np.asarray(place, float)[-2:] * 8,
            button=1,
            modifiers=tuple(SimpleNamespace(name=key) for key in keys),
            dims_displayed=list(self.viewer.dims.displayed),
            view_direction=None,
            is_dragging=drag,
        )

    def lead(self):
        here = np.rint(self.layer.world_to_data(self.viewer.dims.point))
        return tuple(here[:-2])

    def drag(self, *places, keys=()):
        self.press(*places, keys=keys)
        self.release(places[-1], keys=keys)

    def press(self, *places, keys=()):
        pressed = ReadOnlyWrapper(self.event("mouse_press", places[0], keys))
        mouse_press_callbacks(self.layer, pressed)
        for place in places[1:]:
            mouse_move_callbacks(self.layer, self.event("mouse_move", place, keys, drag=True))

    def release(self, place, keys=()):
        mouse_release_callbacks(self.layer, self.event("mouse_release", place, keys))
        self.settle()

    click = drag

    def hover(self, place):
        mouse_move_callbacks(self.layer, self.event("mouse_move", place))
        self.qtbot.waitUntil(lambda: not self.clicks._pause.isActive())
        self.settle()

    def settle(self):
        if Bright.gate is None:
            idle = lambda: not self.clicks._latest.busy and not self.clicks._queue  # noqa: E731
            self.qtbot.waitUntil(idle, timeout=10000)

    def key(self, key):
        self.layer.keymap[coerce_keybinding(key)](self.layer)

    def begin(self):
        self.qtbot.waitUntil(lambda: not self.tool.running)
        self.tool.click_panel.button.click()
        assert self.clicks.layer is self.layer, self.said()
        self.settle()
        return self.layer

    def said(self):
        return self.tool.message.text()

    @property
    def outline(self):
        """The mask of the object in the making, in the plane."""
        return self.clicks.state.current.proposed.whole(self.layer.data.shape[-2:])

    def outlined(self):
        """First and last row and column of the lines on screen."""
        lines = self.clicks.overlay.layer
        if not lines.visible:
            return None
        ends = np.concatenate([lines.data[:, 0], lines.data.sum(1)])[:, -2:]
        return (*ends.min(0), *ends.max(0))

    def locked(self):
        return self.tool.session.locks(self.layer).pixels().array()


@pytest.fixture
def person(qtbot, viewer, tool):
    return Person(qtbot, viewer, tool)


@pytest.fixture
def clicking(viewer, person):
    """The mode is on, over a picture of three squares, with new labels."""
    viewer.add_image(picture(), name="cells", scale=(0.5, 0.5), translate=(3, 4))
    person.begin()
    return person


def around(name, half=10):
    y, x = MIDDLES[name]
    return slice(y - half, y + half + 1), slice(x - half, x + half + 1)


def previews(viewer):
    return [layer for layer in viewer.layers if is_preview(layer)]


def test_the_mode_makes_labels_and_leaves_no_trace(clicking, viewer, tool):
    layer = clicking.layer
    assert layer.name == "cells objects"
    assert layer.data.dtype == np.uint16
    assert np.allclose(layer.translate, (3, 4))
    assert not layer.data.any()
    assert HINT in clicking.said()
    assert tool.click_panel.button.isChecked()
    assert tool.click_panel.options.isVisible()
    assert len(previews(viewer)) == 1
    assert not layer.mouse_pan
    tool.click_panel.button.click()
    assert tool.clicks.layer is None
    assert not tool.click_panel.button.isChecked()
    assert not previews(viewer)
    assert layer.mouse_pan
    assert not layer.mouse_move_callbacks
    assert not layer.mouse_drag_callbacks
    for key in ("Escape", "Enter", "Space"):
        assert coerce_keybinding(key) not in layer.keymap
    assert viewer.layers.selection.active is layer


def test_a_click_proposes_and_enter_keeps(clicking, viewer):
    clicking.click(MIDDLES["a"])
    layer = clicking.layer
    assert not layer.data.any()
    assert not layer._undo_history
    assert not clicking.locked().any()
    overlay = clicking.clicks.overlay.layer
    assert clicking.outlined() == (9.5, 9.5, 30.5, 30.5)
    assert np.allclose(overlay.data_to_world((5, 6)), layer.data_to_world((5, 6)))
    assert len(overlay.data) == 4
    clicking.key("Enter")
    assert (layer.data[around("a")] == 1).all()
    assert np.count_nonzero(layer.data) == 441
    assert np.array_equal(clicking.locked(), layer.data == 1)
    assert len(layer._undo_history) == 1
    assert clicking.clicks.ids == [1]
    assert not overlay.visible
    layer.undo()
    assert not layer.data.any()
    assert not clicking.locked().any()
    layer.redo()
    assert np.array_equal(clicking.locked(), layer.data == 1)


def test_the_next_object_is_expected_to_have_the_size_of_the_kept_ones(clicking):
    clicking.click(MIDDLES["a"])
    clicking.key("Enter")
    assert set(Bright.sizes) == {None}
    Bright.sizes = ()
    clicking.click(MIDDLES["b"])
    assert Bright.sizes == (pytest.approx(2 * np.sqrt(441 / np.pi)),)
    # Nothing of that size: then any other.
    clicking.key("Enter")
    Bright.sizes = ()
    clicking.click((1, 1))
    assert [size is None for size in Bright.sizes] == [False, True]


def test_a_click_elsewhere_keeps_and_begins_the_next(clicking):
    clicking.click(MIDDLES["a"])
    clicking.click(MIDDLES["b"])
    assert np.unique(clicking.layer.data).tolist() == [0, 1]
    clicking.click(MIDDLES["c"])
    clicking.tool.click_panel.keep_button.click()
    assert [clicking.layer.data[at] for at in MIDDLES.values()] == [1, 2, 3]
    assert clicking.clicks.ids == [1, 2, 3]
    for left in (2, 1, 0):
        clicking.layer.undo()
        assert len(np.unique(clicking.layer.data)) == left + 1


def test_a_click_on_background_says_what_became_of_the_object_before(clicking):
    clicking.click(MIDDLES["a"])
    clicking.click((1, 1))
    assert np.unique(clicking.layer.data).tolist() == [0, 1]
    assert clicking.said() == f"Object 1 is kept and locked; Ctrl+Z takes it back. {NOTHING}"
    assert not clicking.tool.message.property("problem")
    clicking.click((1, 1))
    assert clicking.said() == NOTHING


def test_what_is_said_of_a_kept_object_goes_with_it(clicking):
    clicking.click(MIDDLES["a"])
    clicking.key("Enter")
    kept = clicking.said()
    assert kept.startswith("Object 1 is kept")
    clicking.layer.undo()
    assert clicking.said() == f"{UNDONE} {HINT}"
    clicking.layer.redo()
    assert clicking.said() == kept


def test_clicks_that_come_fast_are_all_done(clicking, segmenter):
    segmenter.gate = threading.Event()
    for at in MIDDLES.values():
        clicking.click(at)
    assert clicking.clicks.busy
    clicking.key("Enter")
    assert not clicking.layer.data.any()
    segmenter.gate.set()
    segmenter.gate = None
    clicking.settle()
    assert [clicking.layer.data[at] for at in MIDDLES.values()] == [1, 2, 3]


def test_a_double_click_is_two_clicks_and_does_not_zoom(clicking, viewer):
    zoom = camera_of(viewer).zoom
    clicking.click(MIDDLES["a"])
    for one in (*clicking.layer.mouse_double_click_callbacks, *viewer.mouse_double_click_callbacks):
        one(clicking.layer, clicking.event("mouse_double_click", (12, 12)))
    clicking.settle()
    assert camera_of(viewer).zoom == zoom
    assert clicking.clicks.state.current.prompt.inside == ((20, 20), (12, 12))
    clicking.key("Escape")
    clicking.key("Escape")
    assert not clicking.layer.mouse_double_click_callbacks
    assert len(viewer.mouse_double_click_callbacks) == 1


def test_shift_click_takes_away_and_a_click_adds(clicking):
    clicking.click((20, 12), keys=["Shift"])
    assert "nothing to take away" in clicking.said()
    clicking.click(MIDDLES["a"])
    clicking.click((12, 12), keys=["Shift"])
    assert clicking.clicks.state.current.prompt.outside == ((12, 12),)
    assert np.count_nonzero(clicking.outline) == 441 - 36
    clicking.click((26, 26))
    assert len(clicking.clicks.state.current.prompt.inside) == 2
    clicking.click((60, 80), keys=["Shift"])
    assert np.count_nonzero(clicking.outline) == 441 - 36
    assert not clicking.layer.data.any()


def test_a_box_and_a_stroke(clicking, viewer):
    clicking.press((5, 5), (20, 20), (35, 64))
    assert clicking.outlined() == (5, 5, 35, 64)
    clicking.release((35, 64))
    assert clicking.clicks.state.current.prompt.box == (5, 5, 35, 64)
    assert np.count_nonzero(clicking.outline) == 2 * 441
    clicking.key("Escape")
    clicking.drag((20, 20), (20, 35), (20, 50), keys=["Control"])
    assert len(clicking.clicks.state.current.prompt.inside) == 3
    assert np.count_nonzero(clicking.outline) == 2 * 441
    assert len(previews(viewer)) == 1
    clicking.click(MIDDLES["c"], keys=["Control"])
    assert np.count_nonzero(clicking.outline) == 3 * 441
    clicking.key("Escape")
    clicking.drag((20, 20), (20, 35), (20, 50), keys=["Control"])
    clicking.drag((30, 4), (4, 66))
    assert clicking.clicks.state.current.prompt.box == (4, 4, 30, 66)
    assert len(clicking.clicks.state.current.prompt.inside) == 3
    clicking.drag((35, 20), (69, 89))
    assert np.unique(clicking.layer.data).tolist() == [0, 1]
    assert np.array_equal(clicking.outline[around("c")], np.ones((21, 21), bool))


def test_a_box_that_leaves_the_image_is_cut(clicking):
    clicking.drag((-20, -30), (20, 20), (45, 35))
    assert clicking.clicks.state.current.prompt.box == (0, 0, 45, 35)


def test_escape_drops_and_then_leaves(clicking):
    clicking.click(MIDDLES["a"])
    clicking.key("Escape")
    assert clicking.clicks.state.current is None
    assert clicking.outlined() is None
    assert clicking.clicks.layer is not None
    clicking.click(MIDDLES["a"])
    clicking.tool.click_panel.drop_button.click()
    clicking.key("Escape")
    assert clicking.clicks.layer is None
    assert not clicking.layer.data.any()
    assert not clicking.layer._undo_history
    assert not clicking.locked().any()


def test_escape_drops_what_is_computed(clicking, segmenter):
    segmenter.gate = threading.Event()
    clicking.click(MIDDLES["a"])
    clicking.click(MIDDLES["b"])
    clicking.key("Escape")
    segmenter.gate.set()
    segmenter.gate = None
    clicking.settle()
    assert clicking.clicks.state.current is None
    assert clicking.clicks.layer is not None
    assert not clicking.layer.data.any()


def test_hovering_shows_what_a_click_takes(clicking, segmenter):
    clicking.hover(MIDDLES["a"])
    assert clicking.outlined() == (9.5, 9.5, 30.5, 30.5)
    faint = clicking.clicks.overlay.layer.edge_color.copy()
    shown = clicking.clicks.state.hovered.proposed
    segmenter.fault = RuntimeError("not asked again")
    clicking.click((25, 25))
    assert clicking.clicks.state.current.proposed is shown
    assert clicking.outlined() == (9.5, 9.5, 30.5, 30.5)
    assert (clicking.clicks.overlay.layer.edge_color[:, 3] > faint[:, 3]).all()
    segmenter.fault = None
    clicking.hover((20, 21))
    assert clicking.clicks.state.hovered is None
    clicking.hover(MIDDLES["b"])
    assert clicking.clicks.state.hovered is not None
    assert clicking.clicks.state.current.proposed is shown
    assert clicking.outlined() == (9.5, 9.5, 30.5, 60.5)
    clicking.hover((2, 2))
    assert clicking.outlined() == (9.5, 9.5, 30.5, 30.5)
    assert not clicking.layer.data.any()


def test_no_hint_stays_when_the_mode_is_off(clicking, viewer, segmenter):
    clicking.click(MIDDLES["a"])
    clicking.tool.click_panel.button.click()
    assert clicking.said() == "Object 1 is kept and locked; Ctrl+Z takes it back."
    clicking.tool.click_panel.button.click()
    segmenter.gate = threading.Event()
    clicking.click(MIDDLES["b"])
    assert clicking.said() == OUTLINING
    clicking.layer.mode = "paint"
    assert clicking.said() == OFF
    segmenter.gate.set()


@pytest.mark.parametrize("change", ["plane", "image"])
def test_a_click_that_is_outdated_when_it_is_computed_says_so(viewer, person, segmenter, change):
    image = viewer.add_image(np.stack([picture()] * 3), axis_labels=("z", "y", "x"))
    person.begin()
    segmenter.gate = threading.Event()
    person.click(MIDDLES["a"])
    if change == "plane":
        viewer.dims.set_current_step(0, (viewer.dims.current_step[0] + 1) % 3)
    else:
        image.data = image.data[::-1]
    segmenter.gate.set()
    segmenter.gate = None
    person.settle()
    assert person.said() == DROPPED
    assert person.clicks.state.current is None
    person.click(MIDDLES["b"])
    assert person.clicks.state.current is not None
    assert REFINE in person.said()


def test_leaving_the_mode_keeps_as_a_click_elsewhere_does(clicking, tool):
    clicking.click(MIDDLES["a"])
    tool.press(TOOLS[0])
    assert tool.clicks.layer is None
    assert tool.kind is TOOLS[0]
    assert clicking.layer.data[MIDDLES["a"]] == 1
    tool.click_objects()
    assert tool.kind is None
    clicking.settle()
    clicking.click(MIDDLES["b"])
    clicking.layer.mode = "paint"
    assert tool.clicks.layer is None
    assert clicking.layer.data[MIDDLES["b"]] == 2


def test_the_mode_shows_on_the_canvas(clicking, tool):
    assert tool.hint.text.startswith("Click objects: ")
    clicking.click(MIDDLES["a"])
    assert "Enter: keep" in tool.hint.text
    clicking.key("Enter")
    assert tool.hint.text.startswith("Click objects: ")
    delete = next(kind for kind in TOOLS if kind.name == "delete")
    tool.press(delete)
    assert tool.hint.text.startswith("Delete: ")
    tool.leave()
    assert tool.hint.text == ""


def test_an_object_has_its_menu_in_the_mode(clicking, tool):
    clicking.click(MIDDLES["a"])
    clicking.key("Enter")
    clicking.click(MIDDLES["a"])
    assert "choose Unlock" in clicking.said()
    clicking.click(MIDDLES["b"])
    layer = clicking.layer
    right = clicking.event("mouse_press", MIDDLES["a"])
    right.button = 2
    press = tool.menu._on_press(tool.viewer, right)
    next(press)
    right.type = "mouse_release"
    next(press, None)
    chosen = next(one for one in tool.menu.menu.actions() if one.objectName() == "unlock")
    chosen.trigger()
    # The object in the making is kept, the mode goes on, and the unlocked one is outlined again.
    assert np.unique(layer.data).tolist() == [0, 1, 2]
    assert not clicking.locked()[layer.data == 1].any()
    assert clicking.clicks.layer is layer
    clicking.click(MIDDLES["a"])
    assert clicking.clicks.state.current.target == 1


def test_outlines_come_back_after_their_layer_was_removed(clicking, viewer):
    viewer.layers.remove("clicked object")
    clicking.click(MIDDLES["a"])
    assert clicking.outlined() == (9.5, 9.5, 30.5, 30.5)
    assert viewer.layers.selection.active is clicking.layer


def test_the_space_key_moves_the_view(clicking):
    layer = clicking.layer
    held = layer.keymap[coerce_keybinding("Space")](layer)
    next(held)
    assert layer.mouse_pan
    clicking.drag((5, 5), (20, 20), (40, 40))
    assert clicking.clicks.state.current is None
    next(held, None)
    assert not layer.mouse_pan
    clicking.click(MIDDLES["a"])
    assert clicking.clicks.state.current is not None


def test_a_key_over_the_canvas_turns_it_on(viewer, tool, person):
    viewer.add_image(picture())
    tool.new_objects()
    person.qtbot.waitUntil(lambda: not tool.running)
    person.key(CLICK_KEY)
    assert tool.clicks.layer is person.layer
    assert CLICK_KEY in tool.click_panel.button.toolTip()


class TestProtection:
    @pytest.fixture
    def there(self, viewer, person):
        """Object 5 covers the left half of square a and reaches below it; 6 is a part of b."""
        viewer.add_image(picture(), name="cells")
        labels = np.zeros((70, 90), np.int32)
        labels[10:40, 8:20] = 5
        labels[15:25, 55:61] = 6
        viewer.add_labels(labels, name="there")
        person.begin()
        return person

    def test_objects_that_are_there_are_not_overwritten(self, there):
        before = there.layer.data.copy()
        there.click((20, 25))
        assert not there.outline[before > 0].any()
        there.key("Enter")
        assert np.array_equal(there.layer.data[before > 0], before[before > 0])
        assert there.layer.data[20, 25] == 7

    def test_unless_that_is_wanted_and_they_are_not_locked(self, there):
        there.tool.click_panel.spare.click()
        there.click((20, 25))
        there.key("Enter")
        assert (there.layer.data[around("a")] == 7).all()
        assert there.layer.data[35, 10] == 5
        there.tool.session.locks(there.layer).approve((slice(15, 16), slice(60, 61)))
        there.click((20, 45))
        there.key("Enter")
        assert np.count_nonzero(there.layer.data == 6) == 60
        assert there.layer.data[20, 45] == 8

    def test_not_even_if_their_locked_pixels_are_elsewhere(self, there):
        there.tool.click_panel.spare.click()
        there.tool.session.locks(there.layer).approve((slice(38, 39), slice(9, 10)))
        before = there.layer.data == 5
        there.drag((9, 12), (30, 31))
        there.key("Enter")
        assert np.array_equal(there.layer.data == 5, before)

    def test_a_click_in_an_object_corrects_it(self, there):
        before = there.layer.data.copy()
        there.click((20, 12))
        assert there.clicks.state.current.target == 5
        assert there.outlined() == (9.5, 7.5, 39.5, 30.5)
        assert len(np.unique(there.clicks.overlay.layer.edge_color, axis=0)) == 2
        there.key("Enter")
        assert "corrected" in there.said()
        assert (there.layer.data[around("a")] == 5).all()
        assert np.count_nonzero(there.layer.data == 5) == 441
        changed = before != there.layer.data
        assert there.locked()[changed].all()
        assert there.locked()[there.layer.data == 5].all()
        there.layer.undo()
        assert np.array_equal(there.layer.data, before)
        assert not there.locked().any()

    def test_shift_click_takes_away_from_an_object(self, there):
        there.click((37, 10), keys=["Shift"])
        current = there.clicks.state.current
        assert current.target == 5
        assert current.prompt.outside == ((37, 10),)
        assert current.prompt.inside

    def test_a_locked_object_is_refused(self, there):
        there.tool.session.locks(there.layer).approve((slice(38, 39), slice(9, 10)))
        there.hover((20, 12))
        assert there.clicks.state.hovered is None
        for keys in ((), ("Shift",)):
            there.click((20, 12), keys=keys)
            assert "Object 5 is locked" in there.said()
            assert there.clicks.state.current is None
        before = there.layer.data == 5
        there.click((20, 25))
        there.key("Enter")
        assert np.array_equal(there.layer.data == 5, before)

    def test_pixels_that_were_erased_stay_empty(self, there):
        there.tool.session.locks(there.layer).approve((slice(10, 31), slice(27, 31)))
        there.click((20, 24))
        there.key("Enter")
        assert not there.layer.data[10:31, 27:31].any()
        assert there.layer.data[20, 24] == 7

    def test_what_is_painted_meanwhile_is_kept(self, there):
        there.click((20, 25))
        there.layer.data_setitem((np.array([20]), np.array([22])), 9)
        there.key("Enter")
        assert there.layer.data[20, 22] == 9
        assert there.layer.data[20, 24] == 10

    def test_all_of_it_is_painted_meanwhile(self, there):
        there.click((20, 25))
        index = np.nonzero(there.outline)
        there.layer.data_setitem(index, 9)
        there.click(MIDDLES["c"])
        assert "protected now" in there.said()
        there.key("Escape")
        there.click(MIDDLES["c"])
        there.key("Enter")
        assert there.layer.data[MIDDLES["c"]] == 10


KINDS = {
    "stack": ((4, 70, 90), {"scale": (3, 0.5, 0.5)}, (2,)),
    "time and stack": ((2, 3, 70, 90), {}, (1, 2)),
    "turned": ((70, 90), {"rotate": 30, "scale": (0.5, 0.25)}, ()),
    "sheared": ((70, 90), {"shear": [0.3], "translate": (5, -7)}, ()),
    "affine": ((70, 90), {"affine": [[0.8, 0.2, 3], [-0.1, 1.5, 4], [0, 0, 1]]}, ()),
    "tilted stack": ((4, 70, 90), {"affine": np.diag((2.0, 0.5, 0.5, 1.0)), "translate": 9}, (3,)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_layers_of_many_kinds(viewer, person, kind):
    shape, place, plane = KINDS[kind]
    data = np.zeros(shape, np.float32)
    data[plane] = picture()
    place = {"translate": (9,) * len(shape)} | place if kind == "tilted stack" else place
    if kind == "tilted stack":
        place["translate"] = (9, 9, 9)
    viewer.add_image(data, name="cells", **place)
    layer = person.begin()
    assert layer.data.shape == shape
    for axis, at in enumerate(plane):
        world = layer.data_to_world((*plane, 0, 0))
        viewer.dims.set_point(axis, world[axis])
        assert person.lead()[axis] == at
    person.hover((*plane, 20, 20))
    assert person.clicks.state.hovered is not None
    assert person.outlined() == (9.5, 9.5, 30.5, 30.5)
    lines = person.clicks.overlay.layer
    assert (lines.data[:, 0, :-2] == plane).all()
    at = (*plane, 10, 10)
    assert np.allclose(lines.data_to_world(at), layer.data_to_world(at))
    person.click((*plane, 21, 20))
    person.click((*plane, 50, 35))
    person.key("Enter")
    assert layer.data[(*plane, 20, 20)] == 1
    assert layer.data[(*plane, 50, 35)] == 2
    assert np.count_nonzero(layer.data) == 2 * 441


@pytest.mark.parametrize("lazy", [False, True])
def test_colours_channels_lazy_and_pyramids(viewer, person, segmenter, lazy):
    wrap = dask.array.from_array if lazy else np.asarray
    grey = np.zeros((70, 90), np.uint8)
    grey[around("a")] = 200
    colour = viewer.add_image(wrap(np.stack([grey] * 3, -1)), rgb=True, name="colour")
    layer = person.begin()
    assert layer.data.shape == (70, 90)
    person.click((20, 20))
    person.key("Enter")
    assert np.count_nonzero(layer.data) == 441
    assert segmenter.seen == ("YXC", (70, 90, 3))
    viewer.layers.remove(layer)
    viewer.layers.remove(colour)
    levels = [wrap(picture()), wrap(picture()[::2, ::2])]
    pyramid = viewer.add_image(levels, name="pyramid", multiscale=True)
    layer = person.begin()
    assert layer.data.shape == (70, 90)
    person.click((20, 20))
    assert segmenter.seen == ("YX", (70, 90))
    person.key("Enter")
    assert np.count_nonzero(layer.data) == 441
    viewer.layers.remove(layer)
    viewer.layers.remove(pyramid)
    channels = np.stack([picture()[None], np.zeros((1, 70, 90), np.float32)], 0)
    viewer.add_image(wrap(channels), name="channels", axis_labels=("c", "z", "y", "x"))
    layer = person.begin()
    assert layer.data.shape == (1, 70, 90)
    person.click((0, 20, 20))
    assert segmenter.seen == ("CYX", (2, 70, 90))
    person.key("Enter")
    assert np.count_nonzero(layer.data) == 441


class TestLate:
    """Answers that come when they are no longer wanted."""

    @pytest.fixture
    def late(self, viewer, person, segmenter):
        """A click is being computed, on plane 1 of a stack."""
        viewer.add_image(np.stack([picture()] * 3), name="cells")
        person.begin()
        viewer.dims.set_point(0, 1)
        segmenter.gate = threading.Event()
        person.click((1, 20, 20))

        def arrive():
            segmenter.gate.set()
            segmenter.gate = None
            if person.layer is not None:
                person.settle()
            else:
                person.qtbot.waitUntil(lambda: not person.clicks._latest.busy)

        person.arrive = arrive
        return person

    def test_another_plane(self, late, viewer):
        viewer.dims.set_point(0, 2)
        late.arrive()
        assert late.clicks.state.current is None
        late.click((2, 20, 20))
        assert late.clicks.state.current.plane == (2,)

    def test_mode_off(self, late, tool, viewer):
        layer = late.layer
        tool.click_panel.button.click()
        late.arrive()
        assert not layer.data.any()
        assert not previews(viewer)

    def test_labels_deleted(self, late, viewer):
        viewer.layers.remove(late.layer)
        late.arrive()
        assert late.clicks.layer is None
        assert not previews(viewer)

    def test_image_deleted(self, late, viewer):
        viewer.layers.remove(viewer.layers["cells"])
        late.arrive()
        assert late.clicks.state.current is None
        late.click((1, 20, 20))
        assert "Open an image" in late.said()

    def test_image_changed(self, late, viewer):
        viewer.layers["cells"].data = np.zeros((3, 70, 90), np.float32)
        late.arrive()
        assert late.clicks.state.current is None
        late.click((1, 20, 20))
        assert late.said() == NOTHING

    def test_labels_changed_in_shape(self, late):
        late.layer.data = np.zeros((1, 30, 40), np.int32)
        late.arrive()
        late.key("Enter")
        assert not late.layer.data.any()

    def test_dock_closed(self, late, tool, viewer):
        layer = late.layer
        tool.close_tool()
        late.arrive()
        assert not layer.data.any()
        assert not previews(viewer)


def test_a_plane_keeps_its_object_until_a_click_elsewhere(viewer, person):
    viewer.add_image(np.stack([picture()] * 3), name="cells")
    layer = person.begin()
    viewer.dims.set_point(0, 1)
    person.click((1, 20, 20))
    viewer.dims.set_point(0, 2)
    assert not layer.data.any()
    person.click((2, 20, 20))
    assert layer.data[1, 20, 20] == 1
    assert not layer.data[2].any()
    person.key("Enter")
    assert layer.data[2, 20, 20] == 2


class TestBadInput:
    def test_background_and_outside(self, clicking):
        clicking.click((2, 2))
        assert clicking.said() == NOTHING
        clicking.click((-9, 20))
        assert "outside" in clicking.said()
        clicking.click(MIDDLES["a"])
        clicking.click((2, 2))
        assert clicking.layer.data[MIDDLES["a"]] == 1
        assert clicking.said().endswith(NOTHING)

    def test_no_image(self, viewer, tool):
        assert not tool.click_panel.button.isEnabled()
        viewer.add_labels(np.zeros((9, 9), int))
        tool.click_objects()
        assert tool.clicks.layer is None
        assert "Open an image" in tool.message.text()

    @pytest.mark.parametrize(
        ("labels", "words"),
        [
            (np.zeros((30, 90), int), "planes of 70 x 90"),
            (dask.array.zeros((70, 90), dtype=int), "not in memory"),
        ],
    )
    def test_labels_that_do_not_fit(self, viewer, tool, qtbot, labels, words):
        viewer.add_image(picture(), name="cells")
        viewer.add_labels(labels)
        qtbot.waitUntil(lambda: not tool.running)
        tool.click_objects()
        assert tool.clicks.layer is None
        assert words in tool.message.text()
        assert not previews(viewer)

    # napari itself divides by the length of an axis.
    @pytest.mark.filterwarnings("ignore::RuntimeWarning")
    def test_labels_without_pixels(self, viewer, tool, qtbot):
        viewer.add_image(picture(), name="cells")
        viewer.add_labels(np.zeros((0, 70, 90), int))
        qtbot.waitUntil(lambda: not tool.running)
        tool.click_objects()
        assert "no pixels" in tool.message.text()

    def test_labels_at_another_place(self, viewer, tool, qtbot):
        viewer.add_image(picture(), name="cells", scale=(2, 2))
        viewer.add_labels(np.zeros((70, 90), int))
        qtbot.waitUntil(lambda: not tool.running)
        tool.click_objects()
        assert "different places" in tool.message.text()
        tool.begin_clicks()
        assert tool.clicks.layer is viewer.layers["cells objects"]

    def test_classes(self, viewer, tool, qtbot):
        from napari_unetseg.gui.shared.layers import MASK, new_labels

        image = viewer.add_image(picture(), name="cells")
        mask = (picture() > 0).astype(np.uint8)
        new_labels(viewer.layers, image, MASK, mask, name="mask", options={})
        qtbot.waitUntil(lambda: not tool.running)
        tool.click_objects()
        assert "classes, not objects" in tool.message.text()
        tool.click_panel.new_button.click()
        tool.click_objects()
        assert tool.clicks.layer.name == "cells objects"

    def test_views_that_do_not_show_rows_and_columns(self, clicking, viewer, tool):
        clicking.click(MIDDLES["a"])
        viewer.dims.ndisplay = 3
        assert tool.clicks.layer is None
        assert "2D view" in clicking.said()
        assert clicking.layer.data[MIDDLES["a"]] == 1
        tool.click_objects()
        assert tool.clicks.layer is None
        viewer.dims.ndisplay = 2
        tool.click_objects()
        viewer.dims.order = (1, 0)
        assert tool.clicks.layer is None

    def test_hidden_labels(self, clicking):
        clicking.layer.visible = False
        clicking.click(MIDDLES["a"])
        assert "is hidden" in clicking.said()

    def test_no_more_ids(self, viewer, person):
        viewer.add_image(picture(), name="cells")
        labels = np.zeros((70, 90), np.uint8)
        labels[0, 0] = 255
        viewer.add_labels(labels)
        person.begin()
        person.click(MIDDLES["a"])
        person.key("Enter")
        assert "255" in person.said()
        assert person.clicks.state.current is not None
        assert not person.layer.data[around("a")].any()

    def test_during_a_run(self, clicking, tool, monkeypatch):
        monkeypatch.setattr(CorrectWidget, "running", property(lambda self: True))
        clicking.click(MIDDLES["a"])
        assert "still running" in clicking.said()
        assert clicking.clicks.state.current is None
        monkeypatch.undo()

    def test_a_fault_does_not_end_the_mode(self, clicking, segmenter, qtbot):
        segmenter.fault = RuntimeError("broken")
        with qtbot.capture_exceptions() as faults:
            clicking.click(MIDDLES["a"])
        assert [str(fault[1]) for fault in faults] == ["broken"]
        segmenter.fault = None
        assert not clicking.clicks.busy
        clicking.click(MIDDLES["a"])
        assert clicking.clicks.state.current is not None

    def test_nan_and_a_constant_image(self, viewer, person, monkeypatch):
        monkeypatch.setattr(click_objects, "open_prompts", GrownPrompts)
        image = picture()
        image[30:40] = np.nan
        image[20, 20] = np.nan
        viewer.add_image(image, name="cells")
        person.begin()
        person.click((22, 22))
        person.click((35, 35))
        viewer.layers["cells"].data = np.zeros((70, 90), np.float32)
        person.click((50, 50))
        viewer.layers["cells"].data = np.full((70, 90), np.nan, np.float32)
        person.click((50, 50))
        assert person.clicks.layer is not None


def test_the_outlines_are_offered_nowhere_and_saved_nowhere(clicking, viewer, tool, qtbot):
    measure = MeasureWidget(viewer)
    qtbot.addWidget(measure)
    clicking.click(MIDDLES["a"])
    clicking.hover(MIDDLES["b"])
    names = {layer.name for layer in previews(viewer)}
    assert len(names) == 1
    for box in (tool.pick, tool.shapes, tool.click_panel.image, measure.pick):
        assert not names & {box.itemText(k) for k in range(box.count())}
    measure.close_tool()


def test_new_labels_are_not_taken_for_strokes(clicking, viewer):
    from napari_unetseg.gui.shared.stroke_layer import strokes_of

    assert strokes_of(viewer.layers, viewer.layers["cells"]) is None
    place = geometry_of(viewer.layers["cells"])
    assert np.allclose(place["scale"], clicking.layer.scale)
