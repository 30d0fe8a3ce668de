"""The Correct dock on a bare viewer model: every tool by mouse and key, undo, redo and ink."""

from types import SimpleNamespace

import dask.array
import numpy as np
import pytest
from napari.qt import get_stylesheet
from napari.utils._proxies import ReadOnlyWrapper
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)
from napari.utils.key_bindings import coerce_keybinding
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtWidgets import QPushButton

from napari_unetseg.core.corrections import find_boxes
from napari_unetseg.core.corrections.locked_pixels import merge_objects
from napari_unetseg.gui.correct import canvas_hint
from napari_unetseg.gui.correct.click_panel import CLICK_KEY
from napari_unetseg.gui.correct.correct_dock import LOCKED_KEY
from napari_unetseg.gui.correct.correct_tools import TOOLS
from napari_unetseg.gui.correct.locked_view import DRAWN, ERASED
from napari_unetseg.gui.review.review_dock import NEXT_KEY
from napari_unetseg.gui.shared import layer_boxes
from napari_unetseg.gui.shared.layer_boxes import LayerBoxes
from napari_unetseg.gui.shared.layers import MASK, marked
from napari_unetseg.gui.shared.preview import is_preview
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.undone_message import UNDONE

CALLBACKS = {
    "mouse_press": mouse_press_callbacks,
    "mouse_move": mouse_move_callbacks,
    "mouse_release": mouse_release_callbacks,
}
KINDS = {kind.name: kind for kind in TOOLS}


def example(shape=(60, 80)):
    """Object 3 touches 4; 7 has a hole; 9 is in two parts; 5 is small; 8 is at the border."""
    labels = np.zeros(shape, np.int32)
    labels[..., 5:25, 5:25], labels[..., 5:25, 25:40] = 3, 4
    labels[..., 30:50, 5:25] = 7
    labels[..., 37:42, 12:17] = 0
    labels[..., 30:40, 40:50] = labels[..., 45:50, 40:50] = 9
    labels[..., 10:13, 55:58] = 5
    labels[..., 50:60, 60:80] = 8
    return labels


@pytest.fixture
def layer(viewer, tool):
    return viewer.add_labels(example(), name="cells", scale=(0.5, 0.5), translate=(3, 4))


class Mouse:
    """Press, move and release at places of a layer, as the canvas tells them."""

    def __init__(self, viewer, layer):
        self.viewer, self.layer = viewer, layer

    def event(self, kind, place):
        world = np.zeros(self.viewer.dims.ndim)
        world[-self.layer.ndim :] = self.layer.data_to_world(place)
        return SimpleNamespace(
            type=kind,
            position=tuple(world),
            pos=np.asarray(place, float)[-2:] * 8,
            button=1,
            modifiers=(),
            dims_displayed=list(self.viewer.dims.displayed),
            view_direction=None,
            is_dragging=kind == "mouse_move",
        )

    def stroke(self, *places):
        pressed = ReadOnlyWrapper(self.event("mouse_press", places[0]))
        mouse_press_callbacks(self.layer, pressed)
        for place in places[1:]:
            mouse_move_callbacks(self.layer, self.event("mouse_move", place))
        mouse_release_callbacks(self.layer, self.event("mouse_release", places[-1]))

    click = stroke


@pytest.fixture
def mouse(viewer, layer):
    return Mouse(viewer, layer)


def press_key(layer, key):
    layer.keymap[coerce_keybinding(key)](layer)


def ids(layer):
    return np.setdiff1d(layer.data, 0).tolist()


def inked(tool, layer):
    return tool.session.locks(layer).pixels().array()


def count(layer):
    return len(layer._undo_history)


def steps(tool, layer, act):
    """Do something, and check that it is one step that goes back and forth, ink and all."""
    before, ink, n = layer.data.copy(), inked(tool, layer), count(layer)
    act()
    assert count(layer) == n + 1, tool.message.text()
    after, ink_after = layer.data.copy(), inked(tool, layer)
    for _ in range(2):
        layer.undo()
        assert np.array_equal(layer.data, before)
        assert np.array_equal(inked(tool, layer), ink)
        layer.redo()
        assert np.array_equal(layer.data, after)
        assert np.array_equal(inked(tool, layer), ink_after)
    boxes = tool._boxes.boxes()
    assert boxes.ids().tolist() == ids(layer)
    return before, after


BY_CLICK = {
    "merge": ((10, 10), (10, 30)),
    "apart": ((35, 45),),
    "delete": ((10, 10),),
    "fill": ((32, 8),),
    "smooth": ((10, 10),),
    "grow": ((10, 30),),
    "shrink": ((10, 30),),
    "approve": ((10, 30),),
}


@pytest.mark.parametrize("name", BY_CLICK)
def test_clicks_are_one_undo_step_and_ink(tool, layer, mouse, name):
    press_key(layer, KINDS[name].key)
    assert tool.kind is KINDS[name]
    assert tool.panel.buttons[name].isChecked()
    assert tool.message.text() == KINDS[name].hint

    def click():
        for place in BY_CLICK[name]:
            mouse.click(place)

    before, after = steps(tool, layer, click)
    number = before[BY_CLICK[name][0]]
    ink = inked(tool, layer)
    assert ink[before != after].all()
    assert ink[(before == number) & (after == number)].all()
    assert set(np.unique(before[ink])) <= {0, *(before[at] for at in BY_CLICK[name])}
    assert KINDS[name].hint in tool.message.text()
    assert tool.kind is KINDS[name]
    # The next prediction keeps it: every object that was touched, and nothing comes back.
    merged = merge_objects(after, np.full_like(after, 77), tool.session.locks(layer).pixels())
    assert np.array_equal(merged[ink], after[ink])
    press_key(layer, "Escape")
    assert "Next: Measure" in tool.message.text()
    assert tool.kind is None
    assert coerce_keybinding("Escape") not in layer.keymap


def test_what_they_do(tool, layer, mouse):
    tool.press(KINDS["merge"])
    mouse.stroke((10, 10), (10, 20), (10, 35))
    assert ids(layer) == [3, 5, 7, 8, 9]
    tool.press(KINDS["apart"])
    mouse.click((35, 45))
    assert ids(layer) == [3, 5, 7, 8, 9, 10]
    tool.press(KINDS["fill"])
    mouse.click((32, 8))
    assert (layer.data[30:50, 5:25] == 7).all()
    tool.press(KINDS["delete"])
    mouse.click((11, 56))
    assert 5 not in ids(layer)
    tool.press(KINDS["renumber"])
    assert ids(layer) == [1, 2, 3, 4, 5]
    assert "Renumbered" in tool.message.text()


@pytest.mark.parametrize("name", ["delete", "approve"])
def test_what_is_said_of_a_correction_goes_with_it(tool, layer, mouse, name):
    tool.press(KINDS[name])
    mouse.click((10, 10))
    first = tool.message.text()
    mouse.click((10, 30))
    done = tool.message.text()
    assert done != first
    layer.undo()
    assert tool.message.text() == f"{UNDONE} {KINDS[name].hint}"
    layer.undo()
    assert tool.message.text() == f"{UNDONE} {KINDS[name].hint}"
    layer.redo()
    layer.redo()
    assert tool.message.text() == done
    tool.say("Of something else.")
    layer.undo()
    assert tool.message.text() == "Of something else."


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_key_of_the_armed_tool_is_legible(tool, viewer, layer, theme):
    viewer.theme = theme
    tool.setStyleSheet(get_stylesheet(theme))
    tool.press(KINDS["delete"])
    for name in ("delete", "merge"):
        button = tool.panel.buttons[name]
        assert button.isChecked() is (name == "delete")
        key = button.rect().adjusted(button.width() - 16, 5, -4, -5)
        assert contrast(button.grab(key).toImage()) > 4.5, name


def contrast(picture):
    """Return the ratio of luminance of the lightest and the darkest pixel, as in WCAG."""
    found = []
    for y in range(picture.height()):
        for x in range(picture.width()):
            parts = [part / 255 for part in picture.pixelColor(x, y).getRgb()[:3]]
            linear = [p / 12.92 if p <= 0.04 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
            found.append(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    return (max(found) + 0.05) / (min(found) + 0.05)


@pytest.mark.parametrize("name", ["delete", "approve"])
def test_a_stroke_takes_every_object_on_its_way_as_one_step(tool, layer, mouse, name):
    tool.press(KINDS[name])
    before, after = steps(tool, layer, lambda: mouse.stroke((10, 10), (2, 20), (10, 30)))
    met = [int(before[10, 10]), int(before[10, 30])]
    assert inked(tool, layer)[np.isin(before, met)].all()
    assert np.array_equal(
        after, np.where(np.isin(before, met), 0, before) if name == "delete" else before
    )
    assert str(met[1]) in tool.message.text()
    mouse.stroke((1, 20), (1, 21))
    assert count(layer) == 1
    assert "no object there" in tool.message.text()


def test_cutting_by_a_line(tool, layer, mouse):
    press_key(layer, "K")
    steps(tool, layer, lambda: mouse.stroke((15, 2), (15, 15), (15, 44)))
    assert sorted(np.unique(layer.data[5:25, 5:40])) == [3, 4, 10, 11]
    tool_ink = inked(tool, layer)
    assert tool_ink[5:25, 5:40].all()
    mouse.stroke((32, 2), (32, 12))
    assert "across" in tool.message.text()
    mouse.click((10, 10))
    assert tool.message.text() == KINDS["line"].hint


def test_dividing_by_seeds(tool, layer, mouse):
    press_key(layer, "S")
    press_key(layer, "Enter")
    assert "at least two" in tool.message.text()
    mouse.click((32, 8))
    mouse.click((10, 10))
    assert "This is object 3; the first point is in object 7" in tool.message.text()
    assert not tool.finish_button.isEnabled()
    mouse.click((48, 22))
    assert tool.finish_button.isEnabled()
    steps(tool, layer, lambda: press_key(layer, "Enter"))
    assert layer.data[32, 8] != layer.data[48, 22]
    assert 10 in ids(layer)
    assert not [other for other in tool.viewer.layers if is_preview(other)]


def test_the_selected_object(tool, layer):
    layer.selected_label = 7
    steps(tool, layer, lambda: press_key(layer, "Delete"))
    assert 7 not in ids(layer)
    press_key(layer, "Delete")
    assert "no object 7" in tool.message.text()


def test_small_and_cut_off_ones_go_but_not_approved_ones(tool, layer, mouse):
    tool.form.set(size=200)
    tool.press(KINDS["approve"])
    mouse.click((11, 56))
    tool.leave()
    steps(tool, layer, lambda: tool.press(KINDS["border"]))
    assert ids(layer) == [3, 4, 5, 7, 9]
    assert "1 object" in tool.message.text()
    steps(tool, layer, lambda: press_key(layer, "Shift-D"))
    assert "Deleted 1 object. One corrected object was kept." in tool.message.text()
    assert ids(layer) == [3, 4, 5, 7]
    press_key(layer, "Shift-D")
    assert "nothing to do. One corrected object was kept." in tool.message.text()
    assert not tool.message.property("problem"), "it is no problem"
    tool.form.set(spare=False)
    steps(tool, layer, lambda: press_key(layer, "Shift-D"))
    assert ids(layer) == [3, 4, 7]


@pytest.mark.parametrize("name", ["fill", "smooth", "grow", "shrink", "apart"])
def test_every_object_but_those_of_the_hand(tool, layer, mouse, name):
    tool.press(KINDS["approve"])
    mouse.click((10, 10))
    tool.form.set(target="every object")
    before, after = steps(tool, layer, lambda: tool.press(KINDS[name]))
    assert tool.kind is None
    assert not tool.panel.buttons[name].isChecked()
    assert np.array_equal(before == 3, after == 3)
    assert not np.array_equal(before, after)


def test_approving_what_is_on_screen(tool, layer):
    steps(tool, layer, lambda: press_key(layer, "Shift-A"))
    assert np.array_equal(inked(tool, layer), layer.data > 0)
    assert "6 objects" in tool.message.text()
    layer.undo()
    layer.corner_pixels = np.array([[0, 0], [20, 30]])
    tool.press(KINDS["view"])
    assert np.array_equal(inked(tool, layer), np.isin(layer.data, [3, 4]))


@pytest.mark.parametrize("name", ["view", "renumber", "selected", "next"])
def test_what_is_done_at_once_or_refused_leaves_no_button_lit(tool, layer, name):
    tool.panel.buttons[name].click()
    assert tool.kind is None
    assert not any(button.isChecked() for button in tool.panel.buttons.values())


def test_shapes_become_objects(tool, viewer, layer):
    tool.press(KINDS["shapes"])
    assert "Choose a Shapes layer" in tool.message.text()
    # The same place in the world, whatever the scale of either.
    corners = np.array([[2, 60], [2, 70], [8, 70], [8, 60]])
    world = np.array([layer.data_to_world(corner) for corner in corners])
    shapes = viewer.add_shapes([world / 2], shape_type="polygon", scale=(2, 2))
    shapes.add([world[:2] / 2], shape_type="line")
    viewer.layers.selection.active = layer
    assert tool.pick.layer() is layer
    assert tool.shapes.layer() is shapes
    steps(tool, layer, lambda: tool.press(KINDS["shapes"]))
    assert (layer.data[3:8, 61:70] == 10).all()
    assert abs((layer.data == 10).sum() - 77) < 20
    tool.press(KINDS["shapes"])
    assert "None of the shapes" in tool.message.text()


@pytest.fixture
def stack(viewer, tool):
    labels = np.zeros((7, 60, 80), np.int32)
    labels[:, 5:25, 5:25] = 3
    labels[1, 30:40, 30:40] = labels[5, 30:40, 34:44] = 6
    return viewer.add_labels(labels, name="stack", scale=(2, 0.5, 0.5))


def test_a_plane_or_the_whole_stack(tool, viewer, stack):
    mouse = Mouse(viewer, stack)
    viewer.dims.set_point(0, 8)
    tool.press(KINDS["delete"])
    steps(tool, stack, lambda: mouse.click((4, 10, 10)))
    assert not stack.data[4].any()
    assert (stack.data[[0, 1, 2, 3, 5, 6], 10, 10] == 3).all()
    tool.extent.setCurrentIndex(1)
    tool.extent.activated.emit(1)
    assert stack.n_edit_dimensions == 3
    viewer.dims.set_point(0, 4)
    steps(tool, stack, lambda: mouse.click((2, 10, 10)))
    assert ids(stack) == [6]
    stack.n_edit_dimensions = 2
    assert tool.extent.currentText() == "the plane on screen"


def test_from_plane_to_plane(tool, viewer, stack):
    mouse = Mouse(viewer, stack)
    viewer.dims.set_point(0, 2)
    press_key(stack, "I")
    steps(tool, stack, lambda: mouse.click((1, 35, 35)))
    assert [int((stack.data[z] == 6).sum()) for z in range(7)] == [0, 100, 100, 100, 100, 100, 0]
    assert (stack.data[3, 30:40, 32:42] == 6).all()
    press_key(stack, "Escape")
    press_key(stack, "Shift-C")
    steps(tool, stack, lambda: mouse.click((1, 35, 35)))
    assert viewer.dims.point[0] == 0
    assert (stack.data[0] == 6).sum() == 100
    mouse.click((0, 35, 35))
    assert "no further plane" in tool.message.text()
    viewer.dims.set_point(0, 10)
    press_key(stack, "C")
    mouse.click((5, 35, 35))
    assert viewer.dims.point[0] == 12
    assert (stack.data[6] == 6).sum() == 100


def test_cutting_a_stack_through_or_one_plane(tool, viewer, stack):
    mouse = Mouse(viewer, stack)
    viewer.dims.set_point(0, 4)
    tool.press(KINDS["line"])
    mouse.stroke((2, 15, 0), (2, 15, 30))
    assert set(np.unique(stack.data[2, 5:25, 5:25])) == {3, 7}
    assert set(np.unique(stack.data[3, 5:25, 5:25])) == {3}
    stack.undo()
    stack.n_edit_dimensions = 3
    steps(tool, stack, lambda: mouse.stroke((2, 15, 0), (2, 15, 30)))
    for plane in stack.data:
        assert set(np.unique(plane[5:25, 5:25])) == {3, 7}


def test_the_3d_view(tool, viewer, stack):
    tool.press(KINDS["line"])
    viewer.dims.ndisplay = 3
    assert tool.kind is None
    assert "2D view" in tool.message.text()
    for name in ("line", "seeds", "next", "interpolate", "shapes"):
        tool.press(KINDS[name])
        assert tool.kind is None
        assert "2D view" in tool.message.text()
    tool.press(KINDS["delete"])
    mouse = Mouse(viewer, stack)
    real = mouse.event

    def looking(kind, place):
        event = real(kind, place)
        event.view_direction = np.array([1.0, 0, 0])
        return event

    mouse.event = looking
    steps(tool, stack, lambda: mouse.click((-20, 10, 10)))
    assert ids(stack) == [6]
    mouse.click((-20, 50, 70))
    assert "no object" in tool.message.text()


def test_a_turned_view(tool, viewer, stack):
    viewer.dims.order = (1, 2, 0)
    viewer.dims.set_point(1, 5)
    mouse = Mouse(viewer, stack)
    tool.press(KINDS["delete"])
    steps(tool, stack, lambda: mouse.click((3, 10, 10)))
    assert not stack.data[:, 10].any()
    assert stack.data[:, 11].any()


def test_keys_are_free_and_given_back(qtbot, tool, viewer, layer):
    tools = [kind.key for kind in TOOLS if not kind.planes]
    ours = {coerce_keybinding(key) for key in (*tools, LOCKED_KEY, CLICK_KEY)}
    assert len({kind.key for kind in TOOLS} | {LOCKED_KEY, CLICK_KEY}) == len(TOOLS) + 2
    # napari's own come in this order: the viewer's, those of Labels, then those of other layers.
    names = list(default_shortcuts)
    concerned = names[: names.index("napari:activate_points_add_mode")]
    taken = {key for name in concerned for key in default_shortcuts[name]}
    assert any(name.startswith("napari:activate_labels") for name in concerned)
    assert not ours & (taken | {coerce_keybinding(NEXT_KEY)})
    assert set(layer.keymap) == ours
    tool.press(KINDS["seeds"])
    assert set(layer.keymap) == ours | {coerce_keybinding("Escape"), coerce_keybinding("Enter")}
    tool.hide()
    assert not layer.keymap
    assert tool.kind is None
    tool.show()
    qtbot.waitUntil(tool.isVisible)
    assert set(layer.keymap) == ours
    tool.close_tool()
    assert not layer.keymap


def test_a_key_that_somebody_has_is_left_alone(qtbot, tool, layer):
    tool.hide()
    done = []
    layer.bind_key("D", done.append)
    tool.show()
    qtbot.waitUntil(tool.isVisible)
    assert "Key" not in tool.panel.buttons["delete"].toolTip()
    assert tool.panel.buttons["delete"].key == ""
    assert tool.panel.buttons["merge"].key == "J"
    assert tool.panel.buttons["small"].key.endswith("D")
    assert "Key over the canvas: Shift+D" in tool.panel.buttons["small"].toolTip()
    tool.hide()
    assert list(layer.keymap) == [coerce_keybinding("D")]


@pytest.mark.parametrize("how", ["mode", "other layer", "hide", "remove", "close"])
def test_the_mouse_is_given_back(tool, viewer, layer, how):
    tool.press(KINDS["line"])
    assert not layer.mouse_pan
    assert len(layer.mouse_drag_callbacks) == 1
    if how == "mode":
        layer.mode = "paint"
    elif how == "other layer":
        viewer.add_image(np.zeros((4, 4)))
    elif how == "hide":
        tool.hide()
    elif how == "remove":
        viewer.layers.remove(layer)
    else:
        tool.close_tool()
    assert tool.kind is None
    ours = tool.hand._on_press
    assert ours not in layer.mouse_drag_callbacks
    assert layer.mouse_pan == (how != "mode")


def test_show_ink(qtbot, tool, viewer, layer, mouse):
    press_key(layer, LOCKED_KEY)
    assert tool.show_locked.isChecked()
    shown = tool.locked_view.layer
    assert is_preview(shown)
    assert not shown.data.any()
    assert viewer.layers.selection.active is layer
    assert np.array_equal(shown.scale, layer.scale)
    assert tool.pick.count() == 1
    tool.press(KINDS["shrink"])
    mouse.click((10, 30))
    qtbot.waitUntil(lambda: tool.locked_view.layer.data.any())
    picture = tool.locked_view.layer.data
    assert np.array_equal(picture == DRAWN, layer.data == 4)
    assert np.array_equal(picture == ERASED, (example() == 4) & (layer.data == 0))
    layer.undo()
    qtbot.waitUntil(lambda: not tool.locked_view.layer.data.any())
    layer.redo()
    qtbot.waitUntil(lambda: tool.locked_view.layer.data.any())
    tool.hide()
    assert tool.locked_view.layer is None
    assert tool.show_locked.isChecked()
    tool.show()
    qtbot.waitUntil(lambda: tool.locked_view.layer is not None)
    press_key(layer, LOCKED_KEY)
    assert not [other for other in viewer.layers if is_preview(other)]


def test_ink_in_a_stack_follows_the_plane(qtbot, tool, viewer, stack):
    tool.show_locked.setChecked(True)
    viewer.dims.set_point(0, 4)
    tool.press(KINDS["approve"])
    Mouse(viewer, stack).click((2, 10, 10))
    qtbot.waitUntil(lambda: bool((tool.locked_view.layer.data == DRAWN).sum() == 400))
    viewer.dims.set_point(0, 6)
    qtbot.waitUntil(lambda: not tool.locked_view.layer.data.any())
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: tool.locked_view.layer.data.ndim == 3)
    assert tool.locked_view.layer.data.sum() == 400


def test_large_labels_are_searched_in_another_thread(qtbot, tool, viewer, monkeypatch):
    monkeypatch.setattr(layer_boxes, "AT_ONCE", 100)
    monkeypatch.setattr("napari_unetseg.gui.correct.correct_dock.AT_ONCE", 100)
    layer = viewer.add_labels(example())
    qtbot.waitUntil(lambda: not tool.running and tool._boxes._boxes is not None)
    mouse = Mouse(viewer, layer)
    tool.press(KINDS["delete"])
    tool._boxes.forget()
    mouse.click((10, 10))
    assert tool.running
    assert not tool.panel.is_ready()
    mouse.click((10, 30))
    qtbot.waitUntil(lambda: not tool.running and 3 not in ids(layer))
    assert count(layer) == 1
    assert "Deleted object 3" in tool.message.text()
    # A stroke that comes in while it computes wins.
    mouse.click((10, 30))
    layer.paint((0, 0), 1)
    qtbot.waitUntil(lambda: not tool.running)
    assert "changed during" in tool.message.text()
    assert 4 in ids(layer)
    mouse.click((10, 30))
    tool.cancel()
    qtbot.waitUntil(lambda: not tool.running)
    assert 4 in ids(layer)


def test_a_layer_removed_in_mid_run(qtbot, tool, viewer, monkeypatch):
    monkeypatch.setattr("napari_unetseg.gui.correct.correct_dock.AT_ONCE", 100)
    layer = viewer.add_labels(example())
    tool.press(KINDS["delete"])
    Mouse(viewer, layer).click((10, 10))
    viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: not tool.running)
    assert ids(layer) == [3, 4, 5, 7, 8, 9]
    assert "removed" in tool.message.text() or "no labels" in tool.message.text()


def test_too_much_to_undo_is_refused(tool, layer, monkeypatch):
    monkeypatch.setattr("napari_unetseg.gui.correct.correct_dock.UNDOABLE_PIXELS", 50)
    layer.selected_label = 3
    tool.press(KINDS["selected"])
    assert "more than can be undone" in tool.message.text()
    assert 3 in ids(layer)


def test_what_cannot_be_corrected_is_said(tool, viewer):
    assert "Press Click objects" in tool.message.text()
    assert not tool.panel.is_ready()
    viewer.add_labels(dask.array.from_array(example()), name="lazy")
    assert "'lazy' is not in memory (dask)" in tool.message.text()
    viewer.add_labels([example(), example()[::2, ::2]], multiscale=True, name="pyramid")
    assert "'pyramid' is a pyramid" in tool.message.text()
    assert not tool.panel.is_ready()
    plain = viewer.add_labels(np.zeros((20, 30), np.uint8), name="empty")
    assert tool.panel.is_ready()
    assert tool.message.text() == ""
    for name in ("small", "border", "view", "renumber"):
        tool.press(KINDS[name])
        assert tool.message.text()
        assert count(plain) == 0
    tool.press(KINDS["next"])
    assert "needs a stack" in tool.message.text()
    plain.visible = False
    tool.press(KINDS["delete"])
    assert "hidden" in tool.message.text()


def test_a_full_type_is_said(tool, viewer):
    layer = viewer.add_labels(np.where(example() == 3, 255, example()).astype(np.uint8))
    tool.press(KINDS["line"])
    Mouse(viewer, layer).stroke((15, 2), (15, 24), (15, 26))
    assert "uint8" in tool.message.text()


def test_edits_by_other_means_are_seen(tool, viewer, layer, mouse):
    tool.press(KINDS["delete"])
    mouse.click((11, 56))
    tool.leave()
    layer.paint((2, 70), 3)
    layer.data[8, 8] = 0  # napari is not told
    layer.data[55, 5:9] = 7
    tool.press(KINDS["delete"])
    mouse.click((10, 10))
    mouse.click((55, 6))
    assert ids(layer) == [4, 8, 9]
    layer.data = example().copy()
    mouse.click((10, 10))
    assert ids(layer) == [4, 5, 7, 8, 9], tool.message.text()


def test_boxes_follow_the_hand_through_undo_and_redo():
    from napari.layers import Labels

    for limit in (3, 100):
        for seed in range(5):
            rng = np.random.default_rng(seed)
            layer = Labels(example())
            layer._history_limit = limit
            layer._reset_history()
            boxes = LayerBoxes(layer)
            boxes.boxes()
            for _ in range(25):
                at = tuple(int(rng.integers(n)) for n in layer.data.shape)
                layer.brush_size = int(rng.integers(1, 9))
                act = rng.choice(["paint", "fill", "undo", "redo", "items", "block"])
                if act == "items":
                    places = tuple(rng.choice(n, 5, replace=False) for n in layer.data.shape)
                    layer.data_setitem(places, rng.integers(0, 12, 5))
                elif act == "block":
                    with layer.block_history():
                        layer.paint(at, 2)
                        layer.paint((at[0], 0), 0)
                elif act in ("undo", "redo"):
                    for _ in range(int(rng.integers(1, 4))):
                        getattr(layer, act)()
                else:
                    getattr(layer, act)(at, int(rng.integers(0, 12)))
                if rng.random() < 0.5:
                    assert boxes.boxes().ids().tolist() == ids(layer)
            fresh = find_boxes(layer.data)
            for number in ids(layer):
                assert boxes.boxes().size(number) == fresh.size(number)
                assert boxes.holds(number)


def test_the_ink_outlives_the_dock(tool, viewer, layer, mouse):
    tool.press(KINDS["approve"])
    mouse.click((10, 10))
    tool.close_tool()
    assert Session.of(viewer).locks(layer).pixels().array().sum() == 400


def test_no_tool_is_clipped_in_a_narrow_dock(qtbot, tool, layer):
    tool.more.unfold()

    def is_whole(button):
        words = button.fontMetrics().horizontalAdvance
        key = words(button.key) if button.key else 0
        return button.width() >= button.iconSize().width() + words(button.text()) + key

    for width in (290, 900, 290):
        tool.resize(width, 900)
        qtbot.waitUntil(
            lambda: all(is_whole(one) for one in tool.panel.buttons.values() if one.isVisible())
        )
        assert all(not one.icon().isNull() for one in tool.panel.buttons.values())


def in_sight(tool, kind):
    return [one for one in tool.findChildren(kind) if one.isVisible()]


def test_few_controls_are_at_first_sight_and_those_of_stacks_only_on_stacks(qtbot, viewer, tool):
    viewer.add_labels(example(), name="cells")
    beside = {tool.more.button, tool.reset_button}
    buttons = [one for one in in_sight(tool, QPushButton) if one not in beside]
    assert [one.text() for one in buttons if one.text() != "Help"] == [
        "Click objects",
        "Delete",
        "Merge",
        "Cut",
    ]
    tool.more.unfold()
    assert not tool.panel.buttons["next"].isVisible()
    assert not tool.panel.buttons["shapes"].isVisible()
    assert not tool.carry_panel.isVisible()
    assert tool.similar.isVisible()
    viewer.add_image(np.zeros((3, 60, 80)))
    stack = viewer.add_labels(np.stack([example()] * 3), name="stack")
    assert tool.pick.layer() is stack
    assert tool.panel.buttons["next"].isVisible()
    assert tool.carry_panel.isVisible()
    viewer.add_shapes([np.array([[0, 0], [0, 5], [5, 5]])], shape_type="polygon")
    assert tool.panel.buttons["shapes"].isVisible()


def test_the_armed_tool_shows_on_the_canvas(viewer, tool, layer, mouse):
    assert tool.hint.text == ""
    tool.press(KINDS["delete"])
    assert layer.cursor == "cross", "a drag draws a stroke"
    assert tool.hint.text.startswith("Delete: Click the object")
    tool.press(KINDS["fill"])
    assert layer.cursor == "pointing"
    tool.press(KINDS["line"])
    assert layer.cursor == "cross"
    assert "Drag a line" in tool.hint.text
    tool.leave()
    assert layer.cursor == "standard"
    assert tool.hint.text == ""
    layer.mode = "paint"
    brush = layer.cursor
    tool.press(KINDS["delete"])
    layer.mode = "paint"
    assert tool.kind is None
    assert layer.cursor == brush
    # A small canvas is narrower than the longest hint.
    tool.press(KINDS["merge"])
    assert tool.hint.text.startswith("Merge: ")
    assert max(map(len, tool.hint.text.splitlines())) <= 56
    tool.leave()
    # What the user writes on the canvas stays.
    overlay = canvas_hint._overlay_of(viewer)
    overlay.text, overlay.visible = "mine", True
    tool.press(KINDS["delete"])
    assert overlay.text == "mine"
    tool.leave()
    assert overlay.text == "mine"
    assert overlay.visible


@pytest.mark.parametrize(
    ("name", "place", "words"),
    [
        ("fill", (10, 10), "no hole"),
        ("apart", (10, 10), "in one piece"),
        ("selected", None, "no object 99"),
        ("small", None, "nothing to do"),
    ],
)
def test_nothing_to_do_is_no_problem(tool, layer, mouse, name, place, words):
    tool.form.set(size=2)
    layer.selected_label = 99
    tool.press(KINDS[name])
    if place is not None:
        mouse.click(place)
    assert words in tool.message.text()
    assert not tool.message.property("problem")


def right_click(viewer, mouse, *places):
    """Press, move and release the right button."""
    kinds = ["mouse_press", *("mouse_move" for _ in places[1:]), "mouse_release"]
    for kind, place in zip(kinds, [*places, places[-1]], strict=True):
        event = mouse.event(kind, place)
        event.button = 2
        given = ReadOnlyWrapper(event) if kind == "mouse_press" else event
        for each in (viewer, mouse.layer):
            CALLBACKS[kind](each, given)


def actions(tool):
    return {one.objectName(): one for one in tool.menu.menu.actions() if one.objectName()}


def test_a_right_click_opens_the_menu_of_the_object(viewer, tool, layer, mouse):
    image = viewer.add_image(np.zeros((60, 80)), scale=(0.5, 0.5), translate=(3, 4))
    tool.pick.pick(layer)
    right_click(viewer, mouse, (10, 10))
    assert "Object 3" in tool.menu.menu.actions()[0].text()
    assert not {"unlock", "next", "interpolate"} & set(actions(tool))
    steps(tool, layer, lambda: actions(tool)["approve"].trigger())
    right_click(viewer, mouse, (10, 10))
    assert "approve" not in actions(tool)
    actions(tool)["unlock"].trigger()
    assert not inked(tool, layer).any()
    right_click(viewer, mouse, (10, 10))
    actions(tool)["merge"].trigger()
    assert tool.kind is KINDS["merge"]
    steps(tool, layer, lambda: mouse.click((10, 30)))
    assert ids(layer) == [3, 5, 7, 8, 9]
    tool.leave()
    right_click(viewer, mouse, (32, 8))
    steps(tool, layer, lambda: actions(tool)["delete"].trigger())
    assert ids(layer) == [3, 5, 8, 9]
    right_click(viewer, mouse, (35, 45))
    actions(tool)["paint"].trigger()
    assert (layer.selected_label, layer.mode) == (9, "paint")
    assert viewer.layers.selection.active is layer
    assert image.visible


def test_a_right_drag_the_background_and_other_tools_are_left_to_napari(viewer, tool, layer, mouse):
    right_click(viewer, mouse, (2, 2))
    right_click(viewer, mouse, (10, 10), (14, 14))
    layer.mode = "polygon"
    right_click(viewer, mouse, (10, 10))
    layer.mode = "pan_zoom"
    viewer.add_shapes([np.array([[0, 0], [0, 5], [5, 5]])], shape_type="polygon")
    right_click(viewer, mouse, (10, 10))
    viewer.layers.selection.active = layer
    layer.visible = False
    right_click(viewer, mouse, (10, 10))
    layer.visible = True
    tool.hide()
    right_click(viewer, mouse, (10, 10))
    assert tool.menu.menu is None
    assert tool.menu._on_press not in viewer.mouse_drag_callbacks


def test_classes_become_objects_on_one_click_and_no_tool_takes_a_whole_class(qtbot, viewer, tool):
    source = viewer.add_image(np.zeros((40, 60)), name="photo")
    classes = np.zeros((40, 60), np.uint8)
    classes[2:8, 2:8] = classes[20:30, 20:30] = 1
    layer = viewer.add_labels(classes, name="mask", metadata=marked(MASK, source, {}))
    tool.pick.pick(layer)
    before = layer.data.copy()
    tool.press(KINDS["delete"])
    assert tool.kind is None
    assert "Make objects" in tool.message.text()
    tool.press(KINDS["border"])
    np.testing.assert_array_equal(layer.data, before)
    tool.objects_button.click()
    qtbot.waitUntil(lambda: not tool.running, timeout=30_000)
    made = tool.pick.layer()
    assert made is not layer
    assert made.data[4, 4] != made.data[25, 25] != 0
    assert "2 objects" in tool.message.text()
    assert tool.objects_button.isHidden()
    assert not layer.visible
    tool.press(KINDS["delete"])
    assert tool.kind is KINDS["delete"]


def test_what_was_approved_together_is_unlocked_one_by_one(tool, layer, mouse):
    steps(tool, layer, lambda: tool.press(KINDS["view"]))
    assert inked(tool, layer)[layer.data > 0].all()
    tool.press(KINDS["unlock"])
    mouse.click((10, 10))
    assert "Unlocked object 3" in tool.message.text()
    locked = inked(tool, layer)
    assert not locked[layer.data == 3].any()
    assert locked[layer.data == 4].all()
