"""The preview of the Threshold dock shows the pixels that its run finds."""

import numpy as np
import pytest

from napari_unetseg.core import samples
from napari_unetseg.core.image import Image
from napari_unetseg.core.threshold import ThresholdOptions, threshold
from napari_unetseg.gui.shared.layers import MASK, OBJECTS, find_layer
from napari_unetseg.gui.shared.navigate import camera_of
from napari_unetseg.gui.shared.preview import outlined
from napari_unetseg.gui.threshold import threshold_preview
from napari_unetseg.gui.threshold.threshold_dock import ThresholdWidget


def discs(shape=(64, 80)):
    """Two touching discs, one at the border, one with a hole, one speck, on a dark background."""
    rows, columns = np.indices(shape)
    image = np.random.default_rng(0).normal(0, 5, shape) + 100
    for y, x, radius in ((20, 20, 9), (20, 35, 9), (62, 60, 8), (45, 20, 9), (10, 60, 1.5)):
        image[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = 200
    image[44:47, 19:22] = 100
    return image


@pytest.fixture
def tool(open_page, viewer):
    return open_page(ThresholdWidget(viewer))


def settle(qtbot, tool):
    """Wait until the preview is up to date."""
    tool.look_later()
    qtbot.waitUntil(lambda: not tool._timer.isActive() and not tool.latest.busy, timeout=20000)


def choose(qtbot, tool, **options):
    tool.form.set(**options)
    settle(qtbot, tool)
    return None if tool.preview.layer is None else tool.preview.layer.data


def run(qtbot, tool):
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=20000)
    role = OBJECTS if tool.form.options.result == "objects" else MASK
    return np.asarray(find_layer(tool.viewer.layers, role, tool.pick.layer()).data)


CLEANING = [
    {"min_size": 20},
    {"fill_holes": True},
    {"clear_border": True},
    {"split": True, "min_size": 20},
    {"method": "hysteresis"},
    {"method": "multiotsu", "min_size": 20},
    {"method": "sauvola", "window": 31, "k": -0.2, "min_size": 20, "sigma": 1.0},
]


@pytest.mark.parametrize("options", CLEANING, ids=str)
def test_the_preview_of_classes_is_the_run(qtbot, viewer, tool, options):
    viewer.add_image(discs())
    picture = choose(qtbot, tool, **options)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, run(qtbot, tool))


@pytest.mark.parametrize("per", ["plane", "stack"])
def test_the_preview_of_objects_in_a_stack_is_the_run(qtbot, viewer, tool, per):
    stack = np.stack([np.full((64, 80), 100.0), discs(), discs() + 10, np.full((64, 80), 100.0)])
    stack[0, :2], stack[3, :2] = 140, 140
    viewer.add_image(stack)
    viewer.dims.set_current_step(0, 2)
    picture = choose(
        qtbot, tool, result="objects", split=True, per=per, min_size=60, clear_border=True
    )
    tool.outlines.setChecked(True)
    outlines = choose(qtbot, tool)
    labels = run(qtbot, tool)[2]
    assert labels.any()
    assert np.array_equal(picture > 0, labels > 0)
    assert np.array_equal(outlines > 0, outlined(labels) > 0)
    assert (outlines > 0).sum() < (picture > 0).sum()


def test_a_dragged_line_shows_its_level_at_once_and_then_the_outcome(qtbot, viewer, tool):
    image = viewer.add_image(discs())
    choose(qtbot, tool, min_size=20)
    tool.plot.dragged.emit((120.0,))
    assert tool.preview.layer.data is image.data
    settle(qtbot, tool)
    assert tool.form.options.method == "manual"
    assert np.array_equal(tool.preview.layer.data, run(qtbot, tool))


def test_the_outcome_follows_the_plane_and_ends_with_the_tick_and_the_page(qtbot, viewer, tool):
    viewer.add_image(np.stack([discs(), discs()[::-1]]))
    viewer.dims.set_current_step(0, 0)
    first = choose(qtbot, tool, min_size=20)
    viewer.dims.set_current_step(0, 1)
    settle(qtbot, tool)
    assert np.array_equal(tool.preview.layer.data, first[::-1])
    tool.live.setChecked(False)
    assert tool.preview.layer is None
    tool.live.setChecked(True)
    settle(qtbot, tool)
    assert tool.preview.layer is not None
    tool.hide()
    assert tool.preview.layer is None


def test_the_outcome_is_shown_over_a_pyramid(qtbot, viewer, tool):
    image = discs((128, 160))
    viewer.add_image([image, image[::2, ::2]])
    settle(qtbot, tool)
    picture = choose(qtbot, tool, min_size=20)
    assert not tool.preview.layer.multiscale
    assert np.array_equal(picture, run(qtbot, tool))
    assert tool.preview.layer is None or tool.preview.layer.ndim == 2


@pytest.mark.parametrize("shape", [(64, 80), (48, 100)])
def test_the_preview_follows_other_pixels_of_its_layer(qtbot, viewer, tool, shape):
    layer = viewer.add_image(discs())
    choose(qtbot, tool, min_size=20)
    layer.data = 3 * discs(shape).T[::-1].T + 1000
    qtbot.waitUntil(lambda: not tool._timer.isActive() and not tool.latest.busy, timeout=20000)
    low, high = tool._previewed.histogram.range
    assert 1000 < low < high
    assert np.array_equal(tool.preview.layer.data, run(qtbot, tool))


def test_nothing_lies_over_planes_that_are_turned(qtbot, viewer, tool):
    viewer.add_image(np.stack([discs()] * 3))
    choose(qtbot, tool, min_size=20)
    viewer.dims.order = (1, 0, 2)
    qtbot.waitUntil(lambda: not tool._timer.isActive() and not tool.latest.busy, timeout=20000)
    shown = tool.preview.layer
    assert shown is None or shown.ndim == 3


def test_what_would_take_long_is_bounded_and_says_so(qtbot, viewer, tool, monkeypatch):
    image = viewer.add_image(discs())
    monkeypatch.setattr(threshold_preview, "MOST_SPLIT", 2000)
    image.corner_pixels = np.array([[0, 0], [63, 79]])
    whole = choose(qtbot, tool, split=True, min_size=20)
    assert tool.message.text() == threshold_preview.ZOOM_IN
    assert whole[20, 20:36].all()
    image.corner_pixels = np.array([[5, 5], [35, 45]])
    camera_of(viewer).zoom *= 1.5
    qtbot.waitUntil(lambda: not tool._timer.isActive() and not tool.latest.busy)
    near = tool.preview.layer.data
    assert tool.message.text() == ""
    assert not near[20, 20:36].all()
    assert not near[36:].any()
    assert np.array_equal(near[5:36], run(qtbot, tool)[5:36])
    monkeypatch.setattr(threshold_preview, "MOST_PIXELS", 2000)
    level = choose(qtbot, tool, min_size=21)
    assert level is image.data
    assert tool.message.text() == threshold_preview.TOO_LARGE
    choose(qtbot, tool, min_size=0, split=False)
    assert tool.message.text() == ""


@pytest.mark.parametrize("result", ["classes", "objects"])
def test_splitting_in_a_field_gives_its_pixels_of_the_whole(result):
    image = Image.of(samples.nuclei((160, 180), seed=1).image)
    options = ThresholdOptions(split=True, min_size=5, result=result)
    field = (slice(30, 70), slice(40, 90))
    whole = np.asarray(threshold(image, options).labels)[field]
    part = np.asarray(threshold(image, options, field=field).labels)
    assert np.array_equal(part[field] > 0, whole > 0)
    assert np.array_equal(outlined(part[field]) > 0, outlined(whole) > 0)
    assert (part > 0).sum() < (np.asarray(threshold(image, options).labels) > 0).sum()
