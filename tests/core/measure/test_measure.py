"""The table of objects, against scikit-image's and against known shapes."""

import math
import subprocess
import sys

import dask.array as da
import numpy as np
import pytest
from skimage.measure import label, regionprops_table

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.measure import (
    MeasureOptions,
    find_positions,
    is_flat,
    measure,
    scale_notes,
    stacked_tables,
)
from napari_unetseg.core.progress import Cancelled


@pytest.fixture
def scene():
    rng = np.random.default_rng(3)
    objects = label(rng.random((6, 40, 50)) > 0.7, connectivity=1)
    return objects * 3, rng.random(objects.shape, dtype=np.float32)


@pytest.mark.parametrize("ndim", [2, 3])
def test_equals_scikit_image(scene, ndim):
    objects, values = (array if ndim == 3 else array[0] for array in scene)
    table = measure(Image.of(objects), Image.of(values))
    names = ("label", "area", "centroid", "bbox", "intensity_mean", "intensity_min")
    expected = regionprops_table(objects, values, properties=(*names, "intensity_max"))
    np.testing.assert_array_equal(table["label"], expected["label"])
    np.testing.assert_array_equal(table["pixels"], expected["area"])
    for at, axis in enumerate("zyx"[-ndim:]):
        np.testing.assert_allclose(table[f"centroid_{axis}_px"], expected[f"centroid-{at}"])
        np.testing.assert_array_equal(table[f"first_{axis}"], expected[f"bbox-{at}"])
        np.testing.assert_array_equal(table[f"last_{axis}"], expected[f"bbox-{at + ndim}"] - 1)
    np.testing.assert_allclose(table["mean"], expected["intensity_mean"], rtol=1e-6)
    np.testing.assert_allclose(table["min"], expected["intensity_min"])
    np.testing.assert_allclose(table["max"], expected["intensity_max"])


def test_lengths_are_physical():
    objects = np.zeros((4, 10, 10), dtype=np.uint16)
    objects[1:3, 2:6, 3:8] = 7
    table = measure(Image.of(objects, spacing=(2.0, 0.5, 0.25), unit="µm"))
    volume = 2 * 4 * 5 * 2.0 * 0.5 * 0.25
    assert table["volume_um3"] == pytest.approx([volume])
    assert table["equivalent_diameter_um"] == pytest.approx([(6 * volume / math.pi) ** (1 / 3)])
    centroid = [table[f"centroid_{axis}_um"][0] for axis in "zyx"]
    assert centroid == [1.5 * 2.0, 3.5 * 0.5, 5.0 * 0.25]


def test_a_disc_has_its_own_diameter():
    y, x = np.mgrid[-60:61, -60:61]
    table = measure(Image.of(y**2 + x**2 <= 50**2))
    assert table["equivalent_diameter_px"] == pytest.approx([100], rel=0.01)


def test_frames_are_measured_apart():
    objects = np.zeros((2, 8, 8), dtype=np.uint8)
    objects[0, :2, :2] = 1
    objects[1, :3, :3] = 1
    objects[1, 6, 6] = 200
    table = measure(Image.of(objects, "TYX"))
    assert list(table["t"]) == [0, 1, 1]
    assert list(table["label"]) == [1, 1, 200]
    assert list(table["pixels"]) == [4, 9, 1]


def test_every_channel_has_its_intensities_by_name():
    objects = np.eye(6, dtype=np.uint8)
    values = np.stack([np.full((6, 6), 3), np.full((6, 6), 5)])
    image = Image.of(values, "CYX", channel_names=("dapi", "gfp"))
    table = measure(Image.of(objects), image)
    assert (table["mean_dapi"][0], table["max_gfp"][0]) == (3, 5)
    unnamed = measure(Image.of(objects), Image.of(values, "CYX"))
    assert unnamed["min_1"][0] == 5


def test_colour_counts_as_luminance():
    colour = np.zeros((6, 6, 3), dtype=np.uint8)
    colour[..., 1] = 100
    table = measure(Image.of(np.ones((6, 6), dtype=np.uint8)), Image.of(colour))
    assert table["mean"] == pytest.approx([71.54])


def test_lazy_labels_and_images_measure_the_same(scene):
    objects, values = scene
    lazy = [Image.of(da.from_array(array, chunks=(2, 20, 20))) for array in scene]
    eager = measure(Image.of(objects), Image.of(values))
    for name, column in measure(*lazy).items():
        np.testing.assert_array_equal(column, eager[name])


@pytest.mark.parametrize("dtype", [bool, np.uint16])
def test_nothing_gives_an_empty_table(dtype):
    table = measure(Image.of(np.zeros((5, 5), dtype)), Image.of(np.zeros((5, 5))))
    assert {len(column) for column in table.values()} == {0}
    assert {"label", "area_px2", "mean", "touches_border"} <= set(table)


@pytest.mark.parametrize(
    ("labels", "image", "words"),
    [
        (Image.of(np.full((5, 5), 0.5)), None, "whole numbers"),
        (Image.of(np.ones((2, 5, 5), int), "CYX"), None, "no channels"),
        (Image.of(np.ones((5, 5), int)), Image.of(np.ones((5, 6))), "do not fit"),
        (Image.of(np.ones((3, 5, 5), int)), Image.of(np.ones((5, 5))), "do not fit"),
    ],
)
def test_what_cannot_be_measured_is_refused(labels, image, words):
    with pytest.raises(InputError, match=words):
        measure(labels, image)


def test_it_can_be_cancelled():
    def stop(fraction, message=""):
        raise Cancelled

    with pytest.raises(Cancelled):
        measure(Image.of(np.ones((3, 5, 5), int)), progress=stop)


def test_places_are_pixels_of_the_array():
    objects = np.zeros((2, 3, 20, 30), np.uint8)
    objects[1, 1:3, 4:9, 10:20] = 5
    image = Image.of(objects, spacing=(2.0, 0.5, 0.25), unit="µm")
    centre, low, high = find_positions(measure(image), image)
    assert centre.tolist() == [[1, 1.5, 6, 14.5]]
    assert (low.tolist(), high.tolist()) == ([[1, 1, 4, 10]], [[1, 2, 8, 19]])
    centre, low, high = find_positions(measure(image, options=MeasureOptions(per="plane")), image)
    assert centre.tolist() == [[1, 1, 6, 14.5], [1, 2, 6, 14.5]]
    assert low[:, 1].tolist() == [1, 2]


def test_tables_in_other_units_keep_columns_of_their_own():
    objects = np.eye(3, dtype=int)
    tables = {
        "a": measure(Image.of(objects)),
        "b": measure(Image.of(objects, spacing=(2, 2), unit="nm")),
    }
    both = stacked_tables(tables)
    assert both["image"] == ["a", "b"]
    np.testing.assert_array_equal(both["area_px2"], [3, np.nan])
    np.testing.assert_array_equal(both["area_nm2"], [np.nan, 12])
    assert both["label"].dtype.kind == "i"


def test_a_stack_of_one_plane_has_areas() -> None:
    """Many files have a Z axis of length 1: a plane has no volume."""
    ids = np.zeros((2, 1, 6, 8), np.int32)
    ids[:, 0, 1:4, 2:6] = 3
    made = measure(Image.of(ids, "TZYX", spacing=(1.0, 0.5, 0.5), unit="um"))
    flat = measure(Image.of(ids[:, 0], "TYX", spacing=(0.5, 0.5), unit="um"))
    assert made["area_um2"].tolist() == flat["area_um2"].tolist() == [3.0, 3.0]
    assert not [name for name in made if "volume" in name]
    unknown = Image(ids, "TZYX", (0.5, 0.5, 0.5), "um", assumed="Z")
    assert scale_notes(unknown, {}, flat=is_flat(unknown, MeasureOptions())) == []


def test_the_usual_columns_load_no_compiler():
    code = (
        "import sys, numpy as np\n"
        "from napari_unetseg.core.image import Image\n"
        "from napari_unetseg.core.measure import measure\n"
        "labels = Image.of(np.eye(8, dtype=np.int32))\n"
        "assert list(measure(labels, labels)['pixels']) == [8]\n"
        "assert 'numba' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_intensities_may_be_missing_or_infinite():
    labels = np.array([[1, 1, 0, 2], [1, 3, 3, 2]])
    values = np.array([[np.nan, 2.0, 9.0, np.inf], [4.0, np.nan, np.nan, 1.0]])
    table = measure(Image.of(labels), Image.of(values))
    assert list(table["mean"][[0, 2]][:1]) == [3.0]
    assert np.isnan(table["mean"][2])
    assert list(table["max"][:2]) == [4.0, np.inf]
    assert list(table["min"][:2]) == [2.0, 1.0]
