"""Nuclei and cells in the Measure dock: paired layers, a row a cell, and nothing lost."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unetseg.core.image import Image
from napari_unetseg.core.measure import CellMeasureOptions, measure_cells
from napari_unetseg.core.objects.compartments import CellOptions, find_compartments
from napari_unetseg.core.samples import cells as draw_cells
from napari_unetseg.gui.measure.measure_dock import MeasureWidget
from napari_unetseg.gui.measure.nuclei_choice import PAIRED
from napari_unetseg.gui.shared.layers import METADATA_KEY, PARENTS, image_of, role_of
from napari_unetseg.gui.shared.track_layers import is_tracks

SAMPLE = draw_cells((110, 130), seed=3, binucleate=0.3, anucleate=0.2)


@pytest.fixture
def viewer():
    made = ViewerModel()
    place = {"scale": SAMPLE.spacing, "units": (SAMPLE.unit,) * 2}
    for number, name in enumerate(("dapi", "actin")):
        made.add_image(SAMPLE.image[number], name=name, **place)
    made.add_labels(SAMPLE.nuclei.copy(), name="nuclei", **place)
    made.add_labels(SAMPLE.objects.copy(), name="cells", **place)
    return made


@pytest.fixture
def tool(qtbot, viewer):
    made = MeasureWidget(viewer)
    qtbot.addWidget(made)
    made.pick.pick(viewer.layers["cells"])
    yield made
    made.close_tool()
    qtbot.waitUntil(lambda: not made.running and not made._painter.busy)


@pytest.fixture
def run(qtbot, tool):
    def go():
        tool.run()
        qtbot.waitUntil(lambda: not tool.running, timeout=60000)
        qtbot.waitUntil(lambda: not tool._painter.busy)
        return tool.found

    return go


def paired(viewer):
    return {role_of(layer): layer for layer in viewer.layers if role_of(layer) in PAIRED.values()}


@pytest.mark.parametrize("method", ["objects", "mask", "grow"])
def test_the_dock_gives_what_python_gives(viewer, tool, run, method):
    tool.nuclei.layer.pick(viewer.layers["nuclei"])
    tool.nuclei.form.set(method=method)
    table = run()
    options = CellMeasureOptions(method=method)
    found = find_compartments(
        Image(SAMPLE.nuclei, "YX", SAMPLE.spacing, "µm"), Image.of(SAMPLE.objects), options
    )
    channels = {"dapi": SAMPLE.image[0], "actin": SAMPLE.image[1]}
    direct = measure_cells(found, {name: Image.of(one) for name, one in channels.items()}, options)
    assert set(table) == set(direct)
    for name, column in direct.items():
        assert np.array_equal(table[name], column, equal_nan=column.dtype.kind == "f"), name
    layers = paired(viewer)
    for name, role in PAIRED.items():
        assert np.array_equal(layers[role].data, getattr(found, name).data)
        assert np.allclose(layers[role].scale, SAMPLE.spacing)
    assert found.summary() in tool.message.text()
    assert not tool.stale
    assert np.array_equal(viewer.layers["nuclei"].data, SAMPLE.nuclei)
    assert np.array_equal(viewer.layers["cells"].data, SAMPLE.objects)
    assert tool.pick.layer() is viewer.layers["cells"], "the next run takes the same labels"


def test_without_nuclei_nothing_is_paired(viewer, tool, run):
    assert not tool.nuclei.isVisibleTo(tool)
    assert "area_um2" in run()
    assert not paired(viewer)


def test_another_run_writes_the_same_layers(viewer, tool, run):
    tool.nuclei.layer.pick(viewer.layers["nuclei"])
    run()
    n = len(viewer.layers)
    first = paired(viewer)
    viewer.layers["nuclei"].data_setitem(np.nonzero(SAMPLE.nuclei == 1), 0)
    tool._look_for_edits()
    assert tool.stale
    table = run()
    assert len(viewer.layers) == n
    assert paired(viewer) == first
    assert not tool.stale
    assert table["n_nuclei"].sum() == SAMPLE.nuclei.max() - 1


def test_corrections_of_the_result_are_kept_and_said(viewer, tool, run):
    tool.nuclei.layer.pick(viewer.layers["nuclei"])
    run()
    cells = paired(viewer)[PAIRED["cells"]]
    cells.data_setitem((np.array([0, 1]), np.array([0, 0])), np.array([77, 77]))
    run()
    assert cells.data[0, 0] == 77
    assert tool.stale
    assert "2 pixels that you corrected were kept" in tool.message.text()


def test_cells_that_are_followed_keep_their_mothers_tracks_and_pixel_size(qtbot, viewer):
    pytest.importorskip("laptrack")
    viewer.layers.clear()
    axes = {"axis_labels": ("t", "y", "x")}
    cells = np.stack([SAMPLE.objects, SAMPLE.objects])
    cells[0][cells[0] == 2] = 0
    movie = viewer.add_labels(np.stack([SAMPLE.nuclei, SAMPLE.nuclei]), name="nuclei", **axes)
    own = {"metadata": {METADATA_KEY: {PARENTS: {2: 1}}}}
    place = {"scale": (1, 0.5, 0.5), "units": ("pixel", "um", "um")}
    layer = viewer.add_labels(cells, name="cells", **axes, **own, **place)
    tool = MeasureWidget(viewer)
    qtbot.addWidget(tool)
    tool.pick.pick(layer)
    tool.nuclei.layer.pick(movie)
    tool.run()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)
    qtbot.waitUntil(lambda: not tool._painter.busy)
    table = tool.found
    assert table["parent"][table["label"] == 2].tolist() == [1]
    assert "cell_area_um2" in table, "only the cells have a pixel size"
    shown = paired(viewer)[PAIRED["cells"]]
    assert image_of(shown).parents == {2: 1}
    (tracks,) = (one for one in viewer.layers if is_tracks(one))
    assert tracks.graph == {2: [1]}
    assert not tool.save_buttons["tracks"].isHidden()
    tool.close_tool()


def test_labels_are_not_their_own_nuclei(viewer, tool, run):
    tool.nuclei.layer.pick(viewer.layers["cells"])
    tool.run()
    assert "as the nuclei and as the labels" in tool.message.text()
    assert not paired(viewer)
    tool.nuclei.form.set(method="grow")
    assert (run()["n_nuclei"] == 1).all()


def test_boundaries_are_followed_in_the_chosen_channel(viewer, tool, run):
    tool.nuclei.layer.pick(viewer.layers["nuclei"])
    assert not tool.nuclei.image.isVisibleTo(tool)
    tool.nuclei.form.put_back(CellOptions(method="mask", boundary="dark"))
    assert tool.nuclei.image.isVisibleTo(tool)
    tool.nuclei.image.pick(viewer.layers["actin"])
    run()
    found = find_compartments(
        Image(SAMPLE.nuclei, "YX", SAMPLE.spacing, "µm"),
        Image.of(SAMPLE.objects),
        CellMeasureOptions(method="mask", boundary="dark"),
        image=Image.of(SAMPLE.image[1]),
    )
    assert np.array_equal(paired(viewer)[PAIRED["cells"]].data, found.cells.data)


def test_a_cancelled_run_changes_nothing(qtbot, viewer, tool):
    tool.nuclei.layer.pick(viewer.layers["nuclei"])
    tool.run()
    tool.cancel()
    qtbot.waitUntil(lambda: not tool.running, timeout=60000)
    assert not paired(viewer)
    assert tool.found is None
