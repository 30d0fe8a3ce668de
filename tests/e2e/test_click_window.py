"""Clicking objects in a real window: every gesture with the mouse and the keys over the canvas."""

from itertools import pairwise

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_unetseg.gui.correct.correct_dock import CorrectWidget
from napari_unetseg.gui.shared.navigate import camera_of
from napari_unetseg.gui.shared.preview import is_preview

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier

DISCS = {"a": (60, 50, 18), "b": (60, 130, 18), "c": (140, 90, 25)}
"""Row, column and radius."""


def truth(name, shape=(200, 200)):
    y, x, radius = DISCS[name]
    rows, columns = np.indices(shape)
    return np.hypot(rows - y, columns - x) <= radius


def picture():
    noise = np.random.default_rng(0).normal(0, 0.04, (200, 200))
    return (noise + sum(truth(name) for name in DISCS)).astype(np.float32)


def overlap(mask, name):
    return (mask & truth(name)).sum() / (mask | truth(name)).sum()


class Mouse:
    """The mouse and the keys over places of the labels."""

    def __init__(self, hand, tool):
        self.hand, self.qtbot, self.viewer, self.tool = hand, hand.qtbot, hand.viewer, tool
        self.native = self.viewer.window._qt_viewer.canvas.native
        self.native.setFocus()

    @property
    def layer(self):
        return self.tool._layer

    @property
    def current(self):
        return self.tool.clicks.state.current

    def at(self, place):
        camera = camera_of(self.viewer)
        world = np.array(self.layer.data_to_world(place))[-2:]
        y, x = (world - np.array(camera.center)[-2:]) * camera.zoom
        return QPoint(round(self.native.width() / 2 + x), round(self.native.height() / 2 + y))

    def move(self, place, buttons=Qt.MouseButton.NoButton, keys=NONE):
        point = self.at(place)
        event = QMouseEvent(
            QMouseEvent.Type.MouseMove,
            QPointF(point),
            QPointF(self.native.mapToGlobal(point)),
            Qt.MouseButton.NoButton,
            buttons,
            keys,
        )
        QApplication.sendEvent(self.native, event)
        self.qtbot.wait(10)

    def click(self, place, keys=NONE):
        self.move(place)
        self.qtbot.mouseClick(self.native, LEFT, keys, self.at(place))
        self.settle()

    def drag(self, *places, keys=NONE):
        self.move(places[0])
        self.qtbot.mousePress(self.native, LEFT, keys, self.at(places[0]))
        for start, stop in pairwise(places):
            for share in np.linspace(0, 1, 6)[1:]:
                self.move(np.array(start) + share * np.subtract(stop, start), LEFT, keys)
        self.qtbot.mouseRelease(self.native, LEFT, keys, self.at(places[-1]))
        self.settle()

    def settle(self):
        clicks = self.tool.clicks
        self.hand.wait(lambda: not clicks.busy and not clicks._queue)

    def key(self, key, keys=NONE):
        self.qtbot.keyClick(self.native, key, keys)

    def outline(self):
        return self.current.proposed.whole(self.layer.data.shape[-2:])


@pytest.fixture
def correct(hand):
    tools = hand.workbench.tools
    number = next(k for k, tool in enumerate(tools) if isinstance(tool, CorrectWidget))
    hand.turn_to(number)
    return tools[number]


@pytest.fixture
def mouse(hand, correct):
    hand.viewer.add_image(picture(), name="discs", scale=(0.5, 0.5), rotate=5)
    hand.viewer.reset_view()
    hand.click(correct.click_panel.button)
    made = Mouse(hand, correct)
    made.settle()
    return made


def middle(name):
    return DISCS[name][:2]


def test_every_gesture(mouse, hand, correct):
    layer, clicks = mouse.layer, correct.clicks
    mouse.move(middle("a"))
    hand.wait(lambda: clicks.overlay.layer.visible)
    assert overlap(clicks.state.hovered.proposed.whole(layer.data.shape), "a") > 0.6
    assert not layer.data.any()

    mouse.click(middle("a"))
    assert overlap(mouse.outline(), "a") > 0.6
    assert clicks.overlay.layer.visible
    y, x, _ = DISCS["a"]
    mouse.click((y - 12, x), SHIFT)
    assert len(mouse.current.prompt.outside) == 1
    mouse.click((y + 12, x))
    assert len(mouse.current.prompt.inside) == 2
    mouse.drag((y + 5, x - 8), (y + 5, x + 8), keys=CONTROL)
    assert len(mouse.current.prompt.inside) > 3
    assert not layer.data.any()

    mouse.click(middle("b"))
    assert layer.data[middle("a")] == 1
    assert overlap(mouse.outline(), "b") > 0.6
    mouse.key(Qt.Key.Key_Return)
    assert layer.data[middle("b")] == 2
    locked = hand.workbench.tools[0].session.locks(layer).pixels().array()
    assert locked[layer.data > 0].all()

    y, x, radius = DISCS["c"]
    mouse.drag((y - radius, x - radius), (y + radius, x + radius))
    assert overlap(mouse.outline(), "c") > 0.6
    mouse.key(Qt.Key.Key_Escape)
    assert mouse.current is None
    assert not layer.data[middle("c")]

    mouse.click((y, x))
    mouse.click((190, 190))
    assert layer.data[y, x] == 3
    for left in (2, 1, 0):
        mouse.key(Qt.Key.Key_Z, CONTROL)
        assert len(np.unique(layer.data)) == left + 1
    mouse.key(Qt.Key.Key_Escape)
    mouse.key(Qt.Key.Key_Escape)
    assert clicks.layer is None
    assert not [one for one in hand.viewer.layers if is_preview(one)]


def test_wheel_and_space_move_the_view_and_the_mode_off_leaves_napari_as_it_is(
    mouse, hand, correct
):
    camera = camera_of(hand.viewer)
    before, zoom = camera.center, camera.zoom
    mouse.drag((100, 100), (120, 130))
    mouse.key(Qt.Key.Key_Escape)
    # The camera follows the canvas when that is drawn.
    hand.qtbot.wait(100)
    assert camera.center == before
    hand.qtbot.keyPress(mouse.native, Qt.Key.Key_Space)
    mouse.drag((100, 100), (120, 130))
    hand.qtbot.keyRelease(mouse.native, Qt.Key.Key_Space)
    hand.wait(lambda: camera.center != before)
    assert mouse.current is None
    point = QPointF(mouse.at((100, 100)))
    wheel = QWheelEvent(
        point,
        QPointF(mouse.native.mapToGlobal(point.toPoint())),
        QPoint(0, 0),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        NONE,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(mouse.native, wheel)
    hand.wait(lambda: camera.zoom > zoom)
    mouse.click(middle("b"))
    assert mouse.current is not None
    mouse.key(Qt.Key.Key_Escape)
    mouse.key(Qt.Key.Key_Q)
    assert correct.clicks.layer is None
    moved = camera.center
    mouse.drag((100, 100), (120, 130))
    hand.wait(lambda: camera.center != moved)
    assert not mouse.layer.data.any()
    mouse.key(Qt.Key.Key_2)
    assert str(mouse.layer.mode) == "paint"


def test_from_the_start_page(hand, tmp_path, monkeypatch):
    start = hand.workbench.start
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: ([], ""))
    hand.click(start.click_button)
    assert not hand.viewer.layers
    path = tmp_path / "discs.npy"
    np.save(path, picture())
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: ([str(path)], ""))
    hand.click(start.click_button)
    correct = next(tool for tool in hand.workbench.tools if isinstance(tool, CorrectWidget))
    assert correct.isVisible()
    assert correct.clicks.layer is hand.viewer.layers["discs objects"]
    mouse = Mouse(hand, correct)
    mouse.settle()
    mouse.click(middle("a"))
    hand.workbench.open_start()
    assert correct.clicks.layer is None
    assert hand.viewer.layers["discs objects"].data[middle("a")] == 1
    hand.click(start.click_button)
    assert correct.clicks.layer is hand.viewer.layers["discs objects"]
