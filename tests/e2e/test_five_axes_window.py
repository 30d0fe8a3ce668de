"""An OME-Zarr of T, C, Z, Y, X, in mixed units, goes through the docks of a real window."""

import numpy as np
import pytest
import zarr

from napari_unetseg.core.io import read_labels
from napari_unetseg.core.samples import nuclei
from napari_unetseg.gui.shared.layers import image_of
from napari_unetseg.gui.workbench.dock_registry import TITLES

SAMPLE = nuclei((3, 64, 72), seed=3)
UNITS = {"t": "second", "z": "nanometer", "y": "micrometer", "x": "micrometer"}
TYPES = {"t": "time", "c": "channel"}


def five_axes(path, channels):
    """Write a movie of two times, in which the objects move by two pixels."""
    planes = np.stack([SAMPLE.image, np.roll(SAMPLE.image, 2, -1)])
    data = np.stack([planes * 4000, *(planes[:, ::-1] * 900,) * (channels - 1)], 1)
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    group.create_array("0", data=data.astype(np.uint16), chunks=(1, 1, 1, 64, 72))
    axes = [
        {"name": axis, "type": TYPES.get(axis, "space")}
        | ({"unit": UNITS[axis]} if axis in UNITS else {})
        for axis in "tczyx"
    ]
    scale = [{"type": "scale", "scale": [3.0, 1.0, 1500.0, 0.5, 0.5]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    if channels > 1:
        group.attrs["omero"] = {"channels": [{"label": name} for name in ("DAPI", "GFP")]}


def turn(hand, title):
    hand.turn_to(TITLES.index(title))
    return hand.tool(TITLES.index(title))


@pytest.mark.parametrize("channels", [1, 2])
def test_every_tool_that_needs_no_network(hand, tmp_path, channels):
    path = tmp_path / "in" / "five.zarr"
    path.parent.mkdir()
    five_axes(path, channels)
    first, *others = hand.viewer.open(str(path), plugin="napari-unetseg")
    names = ["five DAPI", "five GFP"] if channels == 2 else ["five"]
    assert [layer.name for layer in (first, *others)] == names
    image = image_of(first)
    assert (image.axes, image.spacing, image.unit) == ("TZYX", (1.5, 0.5, 0.5), "µm")
    assert image.interval == 3.0
    hand.viewer.layers.selection.active = first

    tool = turn(hand, "Background")
    hand.run(tool)
    assert "Flattened" in tool.message.text()
    tool = turn(hand, "Threshold")
    tool.form.set(result="objects", min_size=20)
    hand.wait(lambda: len(tool.plot.values) == 1)
    hand.run(tool)
    found = hand.viewer.layers.selection.active
    assert found.data.shape == (2, 3, 64, 72)

    measure = turn(hand, "Measure")
    hand.run(measure)
    assert "volume_um3" in measure.found
    assert set(measure.found["time_s"]) == {0.0, 3.0}
    queue = turn(hand, "Queue")
    hand.run(queue)
    assert len(queue.review.queue) == len(measure.found["label"])
    truth = np.stack([SAMPLE.objects, np.roll(SAMPLE.objects, 2, -1)])
    hand.viewer.add_labels(truth, name="truth", scale=found.scale, units=found.units)
    hand.viewer.layers.selection.active = found
    review = turn(hand, "Review")
    hand.run(review)
    assert "matched" in review.message.text()

    batch = turn(hand, "Batch")
    hand.wait(lambda: not batch.busy)
    batch.add([path.parent])
    hand.wait(lambda: not batch.busy)
    hand.wait(lambda: "five.zarr: axes T C Z Y X" in batch.page.axes_line.text.text())
    assert ("channel: DAPI" in batch.editor.text.toPlainText()) == (channels == 2)
    hand.click(batch.page.buttons["run"])
    hand.wait(lambda: not batch.busy)
    assert "1 of 1 image done" in batch.page.message.text()
    made = read_labels(tmp_path / "in results" / "labels" / "five.tif")
    np.testing.assert_array_equal(made.data, found.data)
