"""Equal numbers and units from Python, command line, recipe and a napari layer."""

import csv

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from napari.layers import Image as ImageLayer
from napari.layers import Labels

import napari_unetseg as seg
from napari_unetseg.cli import main
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import write_image, write_labels
from napari_unetseg.core.measure import MeasureOptions
from napari_unetseg.core.recipe import Batch, MeasurementStep, Recipe, ThresholdStep, run_batch
from napari_unetseg.core.threshold import ThresholdOptions, threshold
from napari_unetseg.gui.measure.measured_objects import measure_copy
from napari_unetseg.gui.shared.layers import image_of, image_place

LENGTHS = {"T": 2, "Z": 3, "Y": 7, "X": 9}
RECIPE = """format: napari-unetseg recipe
version: 4
threshold: {result: objects}
measurement: {outline: false}
"""
OPTIONS = MeasureOptions(outline=False)
# Lengths that napari and files have a name for; "pixel" is no calibration.
UNITS = ("µm", "nm", "mm", "Å", "pixel")


@st.composite
def images(draw):
    axes = draw(st.sampled_from(["YX", "ZYX", "TYX", "TZYX", "ZTYX"]))
    shape = tuple(LENGTHS[axis] for axis in axes)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    labels = (rng.random(shape) > 0.6).astype(draw(st.sampled_from(["uint8", "uint16", "uint32"])))
    labels *= rng.integers(1, 4, shape).astype(labels.dtype)
    dtype = draw(st.sampled_from(["uint8", "uint16", "int16", "float32", "float64"]))
    unit = draw(st.sampled_from(UNITS))
    spatial = [axis for axis in axes if axis in "ZYX"]
    steps = [draw(st.sampled_from([0.1, 0.325, 1.0, 2.5, 40.0])) for _ in spatial]
    if unit == "pixel":
        steps = [1.0 for _ in spatial]
    assumed = "Z" * ("Z" in axes and unit != "pixel" and draw(st.booleans()))
    if assumed:
        steps[0] = steps[-1]
    interval = draw(st.sampled_from([0.0, 0.25, 60.0])) if "T" in axes else 0.0
    known = {"spacing": tuple(steps), "unit": unit, "interval": interval, "assumed": assumed}
    values = (rng.random(shape) * 100).astype(dtype)
    return Image(labels, axes, **known), Image(values, axes, **known)


def equal(first, second):
    assert list(first) == list(second)
    for name, column in first.items():
        found = np.array(
            [
                float(cell in ("True", True))
                if cell in ("True", "False", True, False)
                else float(cell)
                for cell in second[name]
            ]
        )
        np.testing.assert_allclose(found, np.asarray(column, float), rtol=1e-9, err_msg=name)


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] or "nan" for row in rows] for name in rows[0]}


@given(images(), st.sampled_from([".tif", ".zarr"]))
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_python_command_line_and_layer(tmp_path, pair, suffix):
    labels, values = pair
    expected = seg.measure(labels, values, outline=False)
    # A layer keeps its axes in any order; a file puts Z before or after T as its format does.
    placed = [image_place(image, image.axes) for image in pair]
    layers = Labels(labels.data, **placed[0]), ImageLayer(values.data, **placed[1])
    table, _, _ = measure_copy(
        image_of(layers[0]), {"v": image_of(layers[1])}, OPTIONS, lambda *a: None
    )
    equal(expected, table)
    write_labels(tmp_path / f"l{suffix}", labels)
    write_image(tmp_path / f"v{suffix}", values)
    names = [str(tmp_path / f"{name}{suffix}") for name in "lv"]
    out = tmp_path / "t.csv"
    assert main(["measure", *names, "-o", str(out), "--no-outline"]) == 0
    equal(expected, rows_of(out))


@pytest.mark.parametrize("units", [("nm", "um", "um"), ("um", "nm", "um"), ("pixel", "um", "um")])
def test_units_of_a_layer_do_not_change_sizes(units):
    nanometres = {"nm": 1000.0, "um": 1.0, "pixel": 1.0}
    scale = [step * nanometres[unit] for step, unit in zip((2.0, 0.25, 0.5), units, strict=True)]
    ids = np.zeros((4, 20, 30), np.int32)
    ids[1:3, 5:15, 5:25] = 1
    table, _, notes = measure_copy(
        image_of(Labels(ids, scale=scale, units=units)), {}, OPTIONS, lambda *a: None
    )
    if "pixel" in units:
        assert table["volume_px3"].tolist() == [400]
        assert "Z step is not known" in notes[0]
    else:
        assert table["volume_um3"].tolist() == pytest.approx([100.0])
        assert notes == ()


@given(images(), st.sampled_from([".ome.tif", ".zarr"]))
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_recipe_gives_the_same_as_python_and_a_moved_layer(tmp_path, pair, suffix):
    _, image = pair
    # Files put T before Z, in which order objects are numbered.
    assume(image.axes != "ZTYX")
    made = seg.threshold(image, result="objects")
    expected = seg.measure(made, image, outline=False)
    place = image_place(image, image.axes) | {"translate": range(1, image.ndim + 1)}
    layer = image_of(ImageLayer(image.data, **place))
    found = threshold(layer, ThresholdOptions(result="objects"))
    table, _, _ = measure_copy(found.image, {"v": layer}, OPTIONS, lambda *a: None)
    equal(expected, table)
    path, out = tmp_path / f"a{suffix}", tmp_path / "out"
    write_image(path, image)
    recipe = Recipe(
        threshold=ThresholdStep(result="objects"), measurement=MeasurementStep(outline=False)
    )
    (row,) = run_batch(Batch(recipe, (path,), out), resume=False)
    assert row.state == "done", row.message
    equal(expected, rows_of(out / "tables" / "a.csv"))


def test_a_recipe_gives_the_same(tmp_path):
    values = np.zeros((2, 3, 30, 40), np.uint16)
    values[:, 1:, 5:15, 5:25] = 900
    image = Image(values, "TZYX", (1500.0, 325.0, 325.0), "nm", interval=2.0)
    write_image(tmp_path / "a.ome.tif", image)
    (tmp_path / "r.yaml").write_text(RECIPE, encoding="utf-8")
    run = [
        "run",
        str(tmp_path / "r.yaml"),
        str(tmp_path / "a.ome.tif"),
        "-o",
        str(tmp_path / "out"),
    ]
    assert main(run) == 0
    made = seg.threshold(image, result="objects")
    expected = seg.measure(made, image, outline=False)
    (table,) = (tmp_path / "out" / "tables").glob("a.csv")
    equal(expected, rows_of(table))
    assert expected["time_s"].tolist() == [0.0, 2.0]
    assert expected["volume_nm3"][0] == pytest.approx(400 * 1500 * 325 * 325)
