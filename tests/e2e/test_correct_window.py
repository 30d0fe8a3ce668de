"""Every tool of the Correct dock in a real window, with the mouse and the keys."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_unetseg.gui.correct.correct_dock import CorrectWidget
from napari_unetseg.gui.correct.correct_tools import TOOLS
from napari_unetseg.gui.shared.navigate import camera_of
from napari_unetseg.gui.shared.preview import is_preview

LEFT = Qt.MouseButton.LeftButton
KEYS = {
    kind.name: (
        getattr(Qt.Key, f"Key_{kind.key.removeprefix('Shift-')}"),
        Qt.KeyboardModifier.ShiftModifier
        if kind.key.startswith("Shift-")
        else Qt.KeyboardModifier.NoModifier,
    )
    for kind in TOOLS
}


@pytest.fixture
def correct(hand):
    tools = hand.workbench.tools
    number = next(k for k, tool in enumerate(tools) if isinstance(tool, CorrectWidget))
    hand.turn_to(number)
    tools[number].more.unfold()
    return tools[number]


class Canvas:
    """The mouse and the keys over places of a layer."""

    def __init__(self, qtbot, viewer, tool, layer):
        self.qtbot, self.viewer, self.tool, self.layer = qtbot, viewer, tool, layer
        self.native = viewer.window._qt_viewer.canvas.native
        self.native.setFocus()

    def at(self, place):
        camera = camera_of(self.viewer)
        world = np.array(self.layer.data_to_world(place))[-2:]
        y, x = (world - np.array(camera.center)[-2:]) * camera.zoom
        return QPoint(round(self.native.width() / 2 + x), round(self.native.height() / 2 + y))

    def key(self, name):
        key, modifier = KEYS[name]
        self.qtbot.keyClick(self.native, key, modifier)

    def plain(self, key, modifier=Qt.KeyboardModifier.NoModifier):
        self.qtbot.keyClick(self.native, key, modifier)

    def click(self, place):
        self.qtbot.mouseMove(self.native, self.at(place))
        self.qtbot.mouseClick(self.native, LEFT, pos=self.at(place))

    def drag(self, start, stop, look=None):
        self.qtbot.mouseMove(self.native, self.at(start))
        self.qtbot.mousePress(self.native, LEFT, pos=self.at(start))
        for share in np.linspace(0, 1, 8):
            between = np.array(start) + share * (np.array(stop) - np.array(start))
            self.qtbot.mouseMove(self.native, self.at(between))
            self.qtbot.wait(10)
        if look is not None:
            look()
        self.qtbot.mouseRelease(self.native, LEFT, pos=self.at(stop))

    def undo_and_redo(self, before):
        """The keys of napari take back one step and bring it again."""
        after = self.layer.data.copy()
        control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
        self.plain(Qt.Key.Key_Z, control)
        assert np.array_equal(self.layer.data, before)
        self.plain(Qt.Key.Key_Z, control | shift)
        assert np.array_equal(self.layer.data, after)

    def does(self, act):
        """Act, and return the labels before."""
        before, n = self.layer.data.copy(), len(self.layer._undo_history)
        act()
        self.qtbot.waitUntil(lambda: len(self.layer._undo_history) == n + 1, timeout=5000)
        self.undo_and_redo(before)
        return before


def plane():
    labels = np.zeros((120, 160), np.int32)
    labels[10:50, 10:50], labels[10:50, 50:80] = 3, 4
    labels[60:100, 10:50] = 7
    labels[75:84, 25:34] = 0
    labels[60:80, 90:100] = labels[90:100, 90:100] = 9
    labels[20:26, 110:116] = 5
    labels[100:120, 120:160] = 8
    return labels


def ids(layer):
    return np.setdiff1d(layer.data, 0).tolist()


def test_every_tool_of_a_plane(hand, correct, qtbot):
    viewer = hand.viewer
    viewer.add_image(np.zeros((120, 160)), name="cells")
    layer = viewer.add_labels(plane(), name="objects", scale=(0.5, 0.5), rotate=8)
    viewer.reset_view()
    canvas = Canvas(qtbot, viewer, correct, layer)
    hand.click(correct.show_locked)
    assert is_preview(correct.locked_view.layer)

    canvas.key("line")
    seen = []
    look = lambda: seen.append([x for x in viewer.layers if x.name == "correcting"])  # noqa: E731
    canvas.does(lambda: canvas.drag((30, 4), (30, 90), look))
    assert len(seen[0]) == 1
    assert sorted(np.unique(layer.data[10:50, 10:80])) == [3, 4, 10, 11]
    assert [other.name for other in viewer.layers if other.name == "correcting"] == []

    canvas.key("merge")
    canvas.does(lambda: (canvas.click((15, 20)), canvas.click((45, 20))))
    canvas.does(lambda: canvas.drag((15, 70), (45, 70)))
    assert len(np.unique(layer.data[10:50, 10:50])) == len(np.unique(layer.data[10:50, 50:80])) == 1

    canvas.key("seeds")
    canvas.click((65, 15))
    canvas.click((95, 45))
    canvas.does(lambda: canvas.plain(Qt.Key.Key_Return))
    assert layer.data[65, 15] != layer.data[95, 45]

    canvas.key("apart")
    canvas.does(lambda: canvas.click((65, 95)))
    assert layer.data[65, 95] != layer.data[95, 95]
    hand.click(correct.panel.buttons["merge"])
    canvas.native.setFocus()
    canvas.does(lambda: (canvas.click((65, 15)), canvas.click((95, 45))))
    for name, place in (
        ("fill", (65, 15)),
        ("smooth", (70, 95)),
        ("grow", (23, 113)),
        ("shrink", (30, 70)),
    ):
        canvas.key(name)
        canvas.does(lambda place=place: canvas.click(place))
        assert correct.kind.name == name
    assert layer.data[80, 30] == layer.data[65, 15]

    canvas.plain(Qt.Key.Key_Escape)
    assert correct.kind is None
    correct.form.set(size=150)
    canvas.key("approve")
    canvas.does(lambda: canvas.click((95, 95)))
    canvas.key("small")
    assert "kept" in correct.message.text()
    canvas.does(lambda: canvas.key("border"))
    canvas.key("delete")
    canvas.does(lambda: canvas.click((23, 113)))
    assert 5 not in ids(layer)
    layer.selected_label = int(layer.data[30, 70])
    canvas.does(lambda: canvas.key("selected"))
    canvas.does(lambda: canvas.key("renumber"))
    assert ids(layer) == list(range(1, len(ids(layer)) + 1))

    corner = np.array([[10, 120], [10, 150], [40, 150], [40, 120]])
    world = np.array([layer.data_to_world(place) for place in corner])
    viewer.add_shapes([world], shape_type="ellipse")
    viewer.layers.selection.active = layer
    canvas.native.setFocus()
    canvas.does(lambda: canvas.key("shapes"))
    assert abs((layer.data == layer.data[25, 135]).sum() - np.pi * 225) < 60

    canvas.does(lambda: canvas.key("view"))
    ink = hand.workbench.tools[0].session.locks(layer).pixels().array()
    assert ink[layer.data > 0].all()
    hand.wait(lambda: (correct.locked_view.layer.data > 0).sum() == ink.sum())
    canvas.native.setFocus()
    canvas.plain(Qt.Key.Key_W)
    assert correct.locked_view.layer is None


def test_a_stack_and_the_3d_view(hand, correct, qtbot):
    viewer = hand.viewer
    labels = np.zeros((7, 60, 80), np.int32)
    labels[1, 20:40, 20:40] = labels[5, 20:40, 30:50] = 6
    labels[2:5, 5:15, 60:70] = 2
    layer = viewer.add_labels(labels, name="objects", scale=(2, 1, 1))
    viewer.dims.set_point(0, 2)
    canvas = Canvas(qtbot, viewer, correct, layer)
    canvas.key("interpolate")
    canvas.does(lambda: canvas.click((1, 30, 30)))
    assert (layer.data[3, 20:40, 25:45] == 6).all()
    canvas.key("previous")
    canvas.does(lambda: canvas.click((1, 30, 30)))
    assert viewer.dims.current_step[0] == 0
    viewer.dims.set_point(0, 10)
    canvas.key("next")
    canvas.does(lambda: canvas.click((5, 30, 40)))
    assert (layer.data[6, 20:40, 30:50] == 6).all()

    viewer.dims.ndisplay = 3
    assert "2D view" in correct.message.text()
    canvas.key("line")
    assert correct.kind is None
    canvas.key("delete")
    middle = QPoint(canvas.native.width() // 2, canvas.native.height() // 2)
    viewer.dims.set_point(0, 6)
    camera_of(viewer).center = tuple(layer.data_to_world((3, 10, 65)))
    qtbot.wait(50)
    qtbot.mouseMove(canvas.native, middle)
    canvas.does(lambda: qtbot.mouseClick(canvas.native, LEFT, pos=middle))
    assert ids(layer) == [6]


def test_the_next_prediction_keeps_what_was_corrected(hand, correct, qtbot):
    viewer = hand.viewer
    image = viewer.add_image(np.zeros((120, 160)), name="cells")
    session = correct.session
    layer, _ = session.show_labels(
        viewer.layers, image, "objects", plane(), name="m", options={}, objects=True
    )
    viewer.reset_view()
    canvas = Canvas(qtbot, viewer, correct, layer)
    canvas.key("merge")
    canvas.does(lambda: (canvas.click((30, 30)), canvas.click((30, 65))))
    canvas.key("delete")
    canvas.does(lambda: canvas.click((70, 15)))
    shown, remark = session.show_labels(
        viewer.layers, image, "objects", plane(), name="m", options={}, objects=True
    )
    assert shown is layer
    assert "kept" in remark
    assert (layer.data[10:50, 10:80] == 3).all()
    assert not layer.data[60:100, 10:50].any()
    assert (layer.data[100:120, 120:160] > 0).all()
