"""Layers with any axes and channels in the docks, on a bare viewer model."""

from itertools import permutations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels

import napari_unetseg as seg
from napari_unetseg.core import samples
from napari_unetseg.core.image import AXES, Image
from napari_unetseg.core.io import read_image
from napari_unetseg.gui.measure.measure_dock import MeasureWidget
from napari_unetseg.gui.predict.predict_dock import PredictWidget
from napari_unetseg.gui.shared.axes_line import AxesLine, axes_for, use_in_words
from napari_unetseg.gui.shared.layer_provenance import draft_of
from napari_unetseg.gui.shared.layers import (
    axes_of,
    choose_axes,
    choose_channel,
    image_of,
    labels_over,
    put_channels_first,
)
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.threshold.threshold_dock import ThresholdWidget
from napari_unetseg.gui.train.train_dock import TrainWidget

NUCLEI = samples.nuclei((72, 80), seed=3)
WAIT_MS = 60_000


def orders():
    """Return all orders of axes that an image can have."""
    found = []
    for n in range(4):
        for lead in permutations("TCZ", n):
            for at in range(n + 1):
                axes = "".join((*lead[:at], "YX", *lead[at:]))
                if "Z" not in axes or axes.index("Z") < axes.index("Y"):
                    found.append(axes)
    return sorted(set(found))


def _layer(axes, lengths, rng, **more):
    shape = tuple(lengths[axis] for axis in axes)
    data = rng.integers(0, 1000, shape).astype(np.uint16)
    scale = [{"Z": 2.0, "Y": 0.5, "X": 0.5}.get(axis, 1.0) for axis in axes]
    units = ["micrometer" if axis in "ZYX" else "pixel" for axis in axes]
    return ImageLayer(data, axis_labels=tuple(axes.lower()), scale=scale, units=units, **more)


@pytest.mark.parametrize("axes", orders())
def test_the_dock_and_the_command_read_the_same_image(axes, tmp_path):
    rng = np.random.default_rng(len(axes) * 1000 + sum(map(ord, axes)))
    lengths = dict(zip("TCZYX", rng.integers(1, 5, 5), strict=True))
    layer = _layer(axes, lengths, rng)
    np.save(tmp_path / "image.npy", layer.data)
    read = read_image(tmp_path / "image.npy", axes)
    for moved in (False, True):
        if moved:
            assert put_channels_first(layer, [layer])
        found = image_of(layer)
        assert found.axes == read.axes
        assert np.array_equal(found.data, read.data)
        steps = {"Z": 2.0, "Y": 0.5, "X": 0.5}
        assert found.spacing == tuple(steps[axis] for axis in found.spatial_axes)
    if "C" in axes:
        choose_channel(layer, "0")
        alone = read_image(tmp_path / "image.npy", axes, channel=0)
        assert image_of(layer).axes == alone.axes
        assert np.array_equal(image_of(layer).data, alone.data)


@pytest.mark.parametrize("axes", [one for one in orders() if "C" in one])
def test_labels_of_an_image_have_no_channels(axes):
    rng = np.random.default_rng(7)
    lengths = {"T": 2, "C": 3, "Z": 2, "Y": 5, "X": 6}
    layer = _layer(axes, lengths, rng)
    painted = np.zeros(layer.data.shape, np.uint8)
    painted[(0,) * len(axes)] = 2
    plain = labels_over(Labels(painted), layer)
    assert plain.shape == tuple(lengths[axis] for axis in axes if axis != "C")
    assert plain.flat[0] == 2
    assert np.count_nonzero(plain) == 1


@pytest.mark.parametrize("axes", [one for one in orders() if "C" in one[1:]])
def test_channels_come_first_so_that_results_lie_over_the_image(axes):
    lengths = {"T": 3, "C": 2, "Z": 2, "Y": 5, "X": 6}
    layer = _layer(axes, lengths, np.random.default_rng(1))
    before = layer.data
    translate = layer.translate = np.arange(len(axes), dtype=float)
    assert put_channels_first(layer, [layer])
    rest = axes.replace("C", "")
    assert axes_of(layer) == f"C{rest}"
    assert np.shares_memory(layer.data, before)
    order = [axes.index(axis) for axis in f"C{rest}"]
    assert np.array_equal(layer.data, before.transpose(order))
    assert list(layer.translate) == [translate[k] for k in order]
    assert layer.axis_labels == tuple(f"c{rest.lower()}")


def test_channels_are_not_moved_under_another_layer():
    rng = np.random.default_rng(2)
    lengths = {"T": 3, "C": 2, "Z": 1, "Y": 5, "X": 6}
    layer, other = _layer("TCYX", lengths, rng), Labels(np.zeros((3, 2, 5, 6), int))
    assert not put_channels_first(layer, [layer, other])
    assert axes_of(layer) == "TCYX"


def test_axes_for_layers_are_axes_of_images():
    for ndim in (3, 4, 5):
        for axes in axes_for(ndim):
            assert len(axes) == ndim
            Image(np.zeros((1,) * ndim), axes)
    assert axes_for(5)[0] == AXES


def test_the_use_of_axes_in_words():
    assert use_in_words("TZYX", "YX", "") == "each plane of T and Z on its own"
    assert use_in_words("TZYX", "ZYX", "") == "each volume of T on its own, Z as volume"
    assert use_in_words("CYX", "YX", "all channels together") == "all channels together"
    assert use_in_words("YX", "YX", "") == ""


# In the docks


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def dock(qtbot, viewer):
    made = []

    def make(kind):
        tool = kind(viewer)
        qtbot.addWidget(tool)
        made.append(tool)
        return tool

    yield make
    for tool in made:
        tool.close_tool()


def _run(qtbot, tool):
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=WAIT_MS)
    assert not tool.message.property("problem"), tool.message.text()


def _add(viewer, axes, n_channels, n_times=1):
    """Add the nuclei in the last channel of an image, of which the others are noise."""
    rng = np.random.default_rng(0)
    planes = [rng.integers(0, 9, NUCLEI.image.shape) for _ in range(n_channels - 1)]
    data = np.stack([*planes, NUCLEI.image]).astype(np.float32)
    lengths = {"T": n_times, "C": n_channels, "Z": 1}
    data = np.broadcast_to(data[None, :, None], (n_times, n_channels, 1, *NUCLEI.image.shape))
    data = (
        data.transpose(["TCZYX".index(axis) for axis in axes])
        if len(axes) == 5
        else (data[0, :, 0] if axes == "CYX" else np.moveaxis(data[0, :, 0], 0, -1))
    )
    assert all(data.shape[axes.index(axis)] == n for axis, n in lengths.items() if axis in axes)
    scale = [{"Y": 0.3, "X": 0.3, "Z": 0.9}.get(axis, 1.0) for axis in axes]
    layer = viewer.add_image(
        data,
        name="cells",
        axis_labels=tuple(axes.lower()),
        scale=scale,
        rgb=False,
        translate=[5.0 if axis in "YX" else 0.0 for axis in axes],
        units=["micrometer" if axis in "ZYX" else "pixel" for axis in axes],
    )
    viewer.layers.selection.active = layer
    return layer


def _check_place(viewer, layer, axes):
    made = viewer.layers[-1]
    assert isinstance(made, Labels)
    rest = axes.replace("C", "")
    source = axes_of(layer)
    assert made.axis_labels == tuple(rest.lower())
    for name in ("scale", "translate", "units"):
        expected = [getattr(layer, name)[source.index(axis)] for axis in rest]
        assert list(getattr(made, name)) == expected
    # napari lays the last axes of two layers over each other.
    assert source == f"C{rest}"
    return made


@pytest.mark.parametrize(
    ("axes", "n_channels", "n_times"),
    [
        ("TCZYX", 1, 1),
        ("TCZYX", 1, 2),
        ("TCZYX", 2, 2),
        ("CYX", 1, 1),
        ("CYX", 2, 1),
        ("YXC", 2, 1),
    ],
)
def test_threshold_and_measure(qtbot, viewer, dock, axes, n_channels, n_times):
    layer = _add(viewer, axes, n_channels, n_times)
    tool = dock(ThresholdWidget)
    viewer.dims.set_current_step(axes_of(layer).index("C"), n_channels - 1)
    tool.form.set(result="objects", min_size=10)
    _run(qtbot, tool)
    labels = _check_place(viewer, layer, axes)
    expected = seg.threshold(NUCLEI.image.astype(np.float32), result="objects", min_size=10)
    found = labels.data.reshape(-1, *expected.shape)
    assert np.array_equal(found[0] > 0, expected > 0)
    assert draft_of(labels, tool.session).image.channel == ("1" if n_channels > 1 else "")
    choose_channel(layer, str(n_channels - 1))
    measure = dock(MeasureWidget)
    measure.pick.pick(labels)
    _run(qtbot, measure)
    assert len(measure.found["label"]) == labels.data.max()
    assert "area_um2" in measure.found or "volume_um3" in measure.found


@pytest.mark.parametrize(
    ("axes", "n_channels", "n_times"), [("TCZYX", 1, 1), ("TCZYX", 2, 2), ("CYX", 2, 1)]
)
def test_train_and_predict(qtbot, viewer, dock, axes, n_channels, n_times):
    layer = _add(viewer, axes, n_channels, n_times)
    train = dock(TrainWidget)
    strokes = np.zeros(layer.data.shape, np.uint8)
    strokes[..., 4::8, :] = np.where(NUCLEI.mask[4::8], 2, 1)
    painted = viewer.add_labels(strokes, name="strokes", axis_labels=layer.axis_labels)
    train.labels.pick(painted)
    train.pick.pick(layer)
    _run(qtbot, train)
    model = Session.of(viewer).current
    assert model.n_channels == n_channels
    viewer.layers.remove(painted)
    predict = dock(PredictWidget)
    predict.pick.pick(layer)
    for extent in ("visible plane", "everything"):
        predict.form.set(extent=extent, what="auto")
        _run(qtbot, predict)
    labels = _check_place(viewer, layer, axes)
    expected = seg.predict(image_of(layer), model)
    assert np.array_equal(labels.data, expected.data)
    assert np.mean((labels.data == 2) == NUCLEI.mask) > 0.9


def test_the_line_changes_axes_and_channels(qtbot, viewer, dock):
    layer = viewer.add_image(np.random.default_rng(0).random((2, 40, 50)), name="two")
    tool = dock(ThresholdWidget)
    line = tool.axes_line
    assert line.text.text().startswith("Axes: Z Y X. Each plane of Z on its own")
    assert line.channel.isHidden()
    line.axes.setCurrentIndex(line.axes.findData("CYX"))
    line.axes.activated.emit(line.axes.currentIndex())
    assert axes_of(layer) == "CYX"
    assert layer.axis_labels == ("c", "y", "x")
    assert "the channel on screen alone" in line.text.text().lower()
    line.channel.setCurrentIndex(2)
    line.channel.activated.emit(2)
    assert image_of(layer).axes == "YX"
    assert np.array_equal(image_of(layer).data, layer.data[1])
    assert "channel 1 alone" in line.text.text().lower()
    tool.form.set(result="objects")
    _run(qtbot, tool)
    step = draft_of(viewer.layers[-1], tool.session).image
    assert (step.axes, step.channel) == ("CYX", "1")


def test_another_tool_sees_what_was_chosen(qtbot, viewer, dock):
    layer = viewer.add_image(np.random.default_rng(0).random((2, 40, 50)), name="two")
    tool = dock(PredictWidget)
    tool.show()
    tool.hide()
    choose_axes(layer, "cyx")
    tool.show()
    assert "Axes: C Y X" in tool.axes_line.text.text()
    assert isinstance(tool.axes_line, AxesLine)
