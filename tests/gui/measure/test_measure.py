"""The Measure dock on a bare viewer model: what it measures, links, colours and writes."""

import csv
import json

import numpy as np
import pytest
import roifile
from napari.components import ViewerModel
from qtpy.QtCore import Qt

from napari_unetseg.gui.measure import measure_dock as module
from napari_unetseg.gui.measure.colouring import colours_of, scale_of
from napari_unetseg.gui.measure.measure_dock import PLAIN, MeasureWidget
from napari_unetseg.gui.measure.measured_objects import object_columns


def camera(viewer):
    return getattr(viewer, "scene", viewer).camera


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def tool(qtbot, viewer):
    made = MeasureWidget(viewer)
    qtbot.addWidget(made)
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


@pytest.fixture
def colour(qtbot, tool):
    def by(name):
        tool.colour.setCurrentText(name)
        qtbot.waitUntil(lambda: not tool._painter.busy)

    return by


def objects(shape=(40, 60)):
    found = np.zeros(shape, np.int32)
    found[..., 2:6, 2:6], found[..., 20:30, 40:52], found[..., 34:36, 3:30] = 4, 7, 90
    return found


@pytest.fixture
def labels(viewer):
    place = {"scale": (0.5, 0.5), "translate": (3, 4), "units": ("um", "um")}
    viewer.add_image(np.arange(2400.0).reshape(40, 60), name="dapi", **place)
    return viewer.add_labels(objects(), name="cells", **place)


def cells(table, row):
    model = table.rows
    return {
        model.headerData(column, Qt.Orientation.Horizontal): model.data(model.index(row, column))
        for column in range(model.columnCount())
    }


def test_it_says_what_it_needs(tool, viewer):
    viewer.add_image(np.zeros((4, 4)))
    assert "no labels yet" in tool.message.text()
    assert not tool.run_button.isEnabled()
    viewer.add_labels(np.zeros((4, 4), int))
    assert tool.run_button.isEnabled()


def test_what_it_shows(tool, labels, run):
    table = run()
    assert "3 objects, median area 13.5 µm²" in tool.message.text()
    shown = cells(tool.table, 1)
    assert (shown["label"], shown["pixels"], shown["area_um2"]) == ("7", "120", "30.00")
    assert shown["touches_border"] == "no"
    assert shown["mean"] == f"{table['mean'][1]:.0f}"
    features = labels.features
    assert list(features["index"]) == [4, 7, 90]
    assert list(features["area_um2"]) == [4, 30, 13.5]


def test_images_that_fit_can_be_ticked(tool, viewer, labels, run):
    viewer.add_image(np.zeros((7, 7)), name="other size")
    gfp = viewer.add_image(np.ones((40, 60)), name="gfp")
    colours = viewer.add_image(np.zeros((40, 60, 3), np.uint8), name="rgb", rgb=True)
    assert [tool.ticks.item(k).text() for k in range(tool.ticks.count())] == ["dapi", "gfp", "rgb"]
    tool.ticks.tick(colours, on=False)
    assert {"mean_dapi", "mean_gfp"} <= set(run())
    gfp.name = "green"
    assert tool.ticks.layers()[1] is gfp
    assert colours not in tool.ticks.layers()
    viewer.layers.remove(gfp)
    assert "mean" in run()
    tool.ticks.tick(viewer.layers["dapi"], on=False)
    assert not {"mean", "mean_dapi"} & set(run())


def test_the_truth_of_a_sample_is_not_measured_unasked(tool, viewer, labels):
    viewer.add_image(np.zeros(labels.data.shape), name="light", metadata={"truth": True})
    seen = viewer.add_image(np.zeros(labels.data.shape), name="seen")
    assert tool.ticks.layers() == [viewer.layers["dapi"], seen]


def test_a_row_leads_to_its_object_and_back(tool, viewer, labels, run):
    run()
    labels.name = "renamed"
    tool.table.setCurrentIndex(tool.table.rows.index(1, 2))
    assert camera(viewer).center[-2:] == pytest.approx((3 + 24.5 / 2, 4 + 45.5 / 2))
    assert labels.selected_label == 7
    before = camera(viewer).center
    labels.selected_label = 90
    assert tool.table.currentIndex().row() == 2
    assert camera(viewer).center == before
    tool.table.sortByColumn(1, Qt.SortOrder.DescendingOrder)
    labels.selected_label = 4
    assert cells(tool.table, tool.table.currentIndex().row())["label"] == "4"
    labels.selected_label = 5  # no such object
    assert cells(tool.table, tool.table.currentIndex().row())["label"] == "4"


def test_sorting_by_every_column(tool, labels, run):
    table = run()
    names = sorted(table, key=lambda name: name != "label")
    for number, name in enumerate(names):
        tool.table.sortByColumn(number, Qt.SortOrder.AscendingOrder)
        rows = [tool.table.rows.object_at(row) for row in range(3)]
        assert list(table[name][rows]) == sorted(table[name])


def test_colours_and_back(tool, labels, run, colour):
    run()
    plain = labels.colormap
    colour("area_um2")
    low, high = labels.get_color(4), labels.get_color(7)
    assert low[2] > low[1]  # viridis begins violet and ends yellow
    assert high[1] > high[2]
    assert tool.bar_of_colours.ends() == ("4", "30")
    assert not tool.bar_of_colours.isHidden()
    colour("extent")
    assert np.allclose(labels.get_color(4), labels.get_color(7))
    run()
    assert tool.colour.currentText() == "extent"
    colour(PLAIN)
    assert labels.colormap is plain
    assert tool.bar_of_colours.isHidden()


def test_large_ids_and_missing_values_have_colours():
    for ids in (np.array([1, 5, 9]), np.array([1, 5, 10**8])):
        values = np.array([0.0, np.nan, 2.0])
        colours = colours_of(ids, values, scale_of("x", values))
        shown = colours.map(np.array([0, *ids, 77]))
        assert shown[0, 3] == 0
        assert np.allclose(shown[2], shown[4])  # grey: no value, no object
        assert len(np.unique(shown.round(3), axis=0)) == 4
    many = scale_of("x", np.concatenate([np.zeros(500), np.linspace(0, 1, 500), [1e9]]))
    assert many.high < 2
    assert many.above


def test_features_of_others_stay(tool, labels, run):
    labels.features = {"index": [4, 7, 200], "class": ["a", "b", "c"]}
    run()
    kept = labels.features.set_index("index")
    assert kept["class"].to_dict()[7] == "b"
    assert kept["class"].to_dict()[200] == "c"
    assert kept["area_um2"].to_dict()[90] == 13.5
    tool.form.set(outline=False)
    run()
    assert "perimeter_um" not in labels.features
    assert "class" in labels.features


def test_edits_are_told_undo_included(tool, labels, run):
    run()
    labels.data_setitem((np.array([20]), np.array([20])), 3)
    assert "have changed" in tool.message.text()
    assert tool.run_button.text() == "Measure again"
    run()
    assert tool.run_button.text() == "Measure"
    assert "4 objects" in tool.message.text()
    labels.undo()
    assert tool.stale


def test_edits_in_mid_run_are_told(qtbot, tool, labels, monkeypatch):
    real, go = module.measure_copy, []

    def slowly(*given):
        while not go:
            given[-1](0.1)
        return real(*given)

    monkeypatch.setattr(module, "measure_copy", slowly)
    tool.run()
    labels.data_setitem((np.array([20]), np.array([20])), 3)
    go.append(True)
    qtbot.waitUntil(lambda: not tool.running)
    assert "have changed" in tool.message.text()


def test_a_series_shows_what_is_on_screen(qtbot, tool, viewer, run, colour):
    film = objects((3, 2, 40, 60))
    film[1, :, 20:30, 40:46] = 0
    layer = viewer.add_labels(film)
    run()
    assert "9 rows" in tool.message.text()
    assert list(tool.found["t"]) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    viewer.dims.set_point(0, 0)
    qtbot.waitUntil(lambda: dict(layer.features[["index", "pixels"]].values)[7] == 240)
    tool.table.setCurrentIndex(tool.table.rows.index(4, 0))
    assert viewer.dims.current_step[0] == 1
    qtbot.waitUntil(lambda: dict(layer.features[["index", "pixels"]].values)[7] == 120)
    layer.selected_label = 90
    assert tool.table.currentIndex().row() == 5
    tool.form.widget("per").value = "plane"
    assert list(run())[:3] == ["t", "z", "label"]
    assert "18 rows" in tool.message.text()


@pytest.mark.parametrize("when", ["during", "after"])
def test_a_layer_that_is_removed(qtbot, tool, viewer, labels, run, colour, when):
    if when == "after":
        run()
        colour("area_um2")
    else:
        tool.run()
    viewer.layers.remove(labels)
    qtbot.waitUntil(lambda: not tool.running and not tool._painter.busy)
    assert tool.found is None
    assert tool.table.rows.rowCount() == 0
    assert not any(button.isEnabled() for button in tool.save_buttons.values())


def test_other_labels_leave_the_first_as_they_were(tool, viewer, labels, run, colour):
    run()
    plain = labels.colormap
    colour("area_um2")
    second = viewer.add_labels(objects()[:20], name="second")
    run()
    assert labels.colormap is plain
    labels.data_setitem((np.array([20]), np.array([20])), 3)
    assert not tool.stale
    second.data_setitem((np.array([10]), np.array([10])), 3)
    assert tool.stale


def test_no_objects_and_one(tool, viewer, run):
    viewer.add_labels(np.zeros((6, 6), int))
    run()
    assert "no objects" in tool.message.text()
    assert not tool.colour.isEnabled()
    viewer.add_labels(np.ones((6, 6), int))
    run()
    assert "convert it to objects first" in tool.message.text()


def test_cancel_leaves_the_table(qtbot, tool, labels, run, monkeypatch):
    before = run()

    def forever(*given):
        while True:
            given[-1](0.1)

    monkeypatch.setattr(module, "measure_copy", forever)
    tool.run()
    tool.cancel()
    qtbot.waitUntil(lambda: not tool.running)
    assert tool.found is before


@pytest.fixture
def save(qtbot, tool, tmp_path):
    def write(kind, name):
        tool.save(kind, tmp_path / name)
        qtbot.waitUntil(lambda: tool._saving is None, timeout=30000)
        return tmp_path / name

    return write


def test_files(tool, labels, run, save):
    table = run()
    with open(save("table", "t.csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["area_um2"]) for row in rows] == list(table["area_um2"])
    names = [roi.name for roi in roifile.roiread(save("rois", "r.zip"))]
    assert names == ["000004", "000007", "000090"]
    features = json.loads(save("geojson", "g.geojson").read_text())["features"]
    assert [f["properties"]["measurements"]["area_um2"] for f in features] == [4, 30, 13.5]
    assert features[0]["properties"]["image"] == "cells"


def test_files_that_cannot_be(tool, labels, run, save):
    run()
    assert not save("table", "t.xls").exists()
    assert ".csv or .tsv" in tool.message.text()
    labels.data_setitem((np.array([20]), np.array([20])), 3)
    assert not save("geojson", "g.geojson").exists()
    assert "Measure again" in tool.message.text()


def test_pixels_below_0_are_no_object(run, tool, labels):
    labels.data[0:2] = -1
    labels.refresh()
    assert list(run()["label"]) == [4, 7, 90]
    assert "Pixels below 0 are left out." in tool.message.text()


def test_a_range_of_the_histogram_filters_table_and_canvas(run, viewer, tool, labels, colour):
    table = run()
    assert tool._histogram_place.isHidden()
    area = next(name for name in table if name.startswith("area"))
    colour(area)
    assert not tool._histogram_place.isHidden()
    plot, sizes = tool.histogram, table[area]
    assert plot.chosen is None
    plot.choose(float(sizes.min()), float(np.sort(sizes)[1]))
    colour(area)
    assert tool.table.rows.rowCount() == 2
    assert "2 of 3 objects" in tool.message.text()
    largest = int(table["label"][np.argmax(sizes)])
    assert labels.colormap.map(np.array([largest]))[0, 3] == 0
    others = [int(n) for n in table["label"] if n != largest]
    assert (labels.colormap.map(np.array(others))[:, 3] == 1).all()
    tool.table.sortByColumn(0, Qt.SortOrder.DescendingOrder)
    assert tool.table.rows.rowCount() == 2
    # An object that is filtered away has no row to go to.
    tool._show_row_of(largest)
    plot.mouseDoubleClickEvent(None)
    assert tool.table.rows.rowCount() == 3
    colour(PLAIN)
    assert tool._histogram_place.isHidden()


def test_whole_numbers_are_shown_as_such_and_pixels_once():
    areas, means = np.array([826.0, 1527.0, np.nan]), np.array([826.0, 1527.25, 0.5])
    table = {"label": np.array([1, 2, 3]), "pixels": np.array([826, 1527, 0])}
    table |= {"area_px2": areas, "mean": means, "sum": 1e9 + areas}
    texts = [[column.text(row) for row in range(3)] for column in object_columns(table)]
    assert texts == [
        ["1", "2", "3"],
        ["826", "1527", ""],
        ["826.0", "1527", "0.500"],
        ["1.000e+09", "1.000e+09", ""],
    ]
