"""Filling a stack from the Correct dock: one button, one undo step, and what was painted stays."""

import numpy as np
import pytest

from napari_unetseg.core import samples
from napari_unetseg.gui.correct.correct_dock import CorrectWidget
from napari_unetseg.gui.shared.session import Session

pytest.importorskip("torch", reason="the networks need PyTorch")


@pytest.fixture(scope="module")
def sample():
    return samples.nuclei((8, 64, 64), seed=2, touching=0.2, density=1.5)


@pytest.fixture
def painted(viewer, sample):
    """Labels on a stack, with the objects of one plane painted by hand."""
    viewer.add_image(sample.image, name="stack", scale=sample.spacing)
    layer = viewer.add_labels(np.zeros(sample.objects.shape, np.uint8), scale=sample.spacing)
    Session.of(viewer).locks(layer)
    plane = np.zeros_like(sample.objects)
    plane[4] = sample.objects[4]
    where = np.nonzero(plane)
    layer.data_setitem(where, plane[where].astype(np.uint8))
    return layer


@pytest.fixture
def tool(qtbot, viewer, painted):
    made = CorrectWidget(viewer)
    qtbot.addWidget(made)
    made.show()
    made.pick.pick(painted)
    made.fill.set(minutes=0.02)
    qtbot.waitUntil(lambda: not made.running, timeout=10000)
    yield made
    made.close_tool()
    qtbot.waitUntil(lambda: not made.running, timeout=30000)


def press(qtbot, tool):
    tool.more.unfold()
    assert tool.fill_button.isVisible()
    tool.fill_button.click()
    assert tool.running
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)


def test_a_painted_plane_fills_the_stack_in_one_undo_step(qtbot, viewer, tool, painted):
    before, n_models = painted.data.copy(), len(tool.session.models)
    press(qtbot, tool)
    assert "from 1 plane;" in tool.message.text(), tool.message.text()
    np.testing.assert_array_equal(painted.data[4], before[4])
    assert len(tool.session.models) == n_models + 1
    locked = tool.session.locks(painted).pixels().array()
    np.testing.assert_array_equal(locked, before > 0)
    first = tool.session.models[-1]
    # A correction in another plane, and again: learnt on from what was learnt.
    painted.data_setitem((np.full(9, 6), np.repeat([3, 4, 5], 3), np.tile([3, 4, 5], 3)), 200)
    press(qtbot, tool)
    assert tool.session.models[-1].parent == first.fingerprint
    assert (painted.data[6, 3:6, 3:6] == 200).all()
    np.testing.assert_array_equal(painted.data[4], before[4])
    filled = painted.data.copy()
    painted.undo()
    if (filled != painted.data).any():
        painted.redo()
    np.testing.assert_array_equal(painted.data, filled)


def test_labels_painted_meanwhile_are_left_as_they_are(qtbot, tool, painted):
    tool.fill_button.click()
    painted.data_setitem((np.array([1]), np.array([1]), np.array([1])), 9)
    after = painted.data.copy()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)
    np.testing.assert_array_equal(painted.data, after)
    assert "changed during the computation" in tool.message.text()


def test_the_button_is_for_stacks_and_cancel_changes_nothing(qtbot, viewer, tool, painted):
    before = painted.data.copy()
    tool.fill.set(minutes=10)
    tool.fill_button.click()
    tool.cancel()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)
    np.testing.assert_array_equal(painted.data, before)
    assert not tool.session.models
    viewer.add_image(np.zeros((20, 20)), name="plane")
    viewer.add_image(np.zeros((2,) * 6), name="of no tool")
    flat = viewer.add_labels(np.zeros((20, 20), np.uint8), name="flat")
    tool.pick.pick(flat)
    assert not tool.fill_button.isVisible()
    assert not tool.fill.page.isVisible()


def test_what_was_painted_elsewhere_counts_too_also_lazily_and_at_one_time(qtbot, viewer, tool):
    da = pytest.importorskip("dask.array")
    sample = samples.nuclei((8, 64, 64), seed=2, touching=0.2, density=1.5)
    ids = np.zeros((1, *sample.objects.shape), np.uint8)
    ids[0, 2] = sample.objects[2]
    viewer.layers.clear()
    axes = {"axis_labels": ("t", "z", "y", "x")}
    viewer.add_image(sample.image[None], name="movie", **axes)
    layer = viewer.add_labels(ids.copy(), name="opened", **axes)
    tool.pick.pick(layer)
    qtbot.waitUntil(lambda: not tool.running, timeout=10000)
    layer.data_setitem((np.zeros(9, int), np.full(9, 5), *np.indices((3, 3)).reshape(2, 9)), 99)
    press(qtbot, tool)
    assert "from 2 planes" in tool.message.text(), tool.message.text()
    np.testing.assert_array_equal(layer.data[0, 2], ids[0, 2])
    assert (layer.data[0, 5, :3, :3] == 99).all()
    viewer.layers.remove(layer)
    lazy = viewer.add_labels(da.from_array(ids), name="lazy", **axes)
    tool.pick.pick(lazy)
    press(qtbot, tool)
    assert "in the new layer 'movie objects'" in tool.message.text(), tool.message.text()
    np.testing.assert_array_equal(viewer.layers["movie objects"].data[0, 2], ids[0, 2])
