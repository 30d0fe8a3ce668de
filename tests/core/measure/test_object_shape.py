"""Shapes: against scikit-image's, and against bodies whose size is known."""

import math

import numpy as np
import pytest
from skimage.draw import ellipsoid
from skimage.measure import label, regionprops, regionprops_table

from napari_unetseg.core.image import Image
from napari_unetseg.core.measure import MeasureOptions, measure, unit_suffix

ALL = MeasureOptions(hull=True, median=True)


def blobs(shape, seed=0, sigma=2.0, level=0.55):
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(seed).random(shape), sigma)
    return label(noise > np.quantile(noise, level))


def disc(radius, spacing=(1.0, 1.0)):
    sides = [int(radius / step) + 2 for step in spacing]
    y, x = np.ogrid[-sides[0] : sides[0] + 1, -sides[1] : sides[1] + 1]
    return (((y * spacing[0]) ** 2 + (x * spacing[1]) ** 2) <= radius**2).astype(np.uint8)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.65, 0.2)])
def test_planes_equal_scikit_image(spacing):
    objects = blobs((90, 110))
    values = np.random.default_rng(1).normal(1e6, 1, objects.shape)
    table = measure(Image.of(objects, spacing=spacing, unit="µm"), Image.of(values), ALL)
    names = (
        "area",
        "area_convex",
        "axis_major_length",
        "axis_minor_length",
        "eccentricity",
        "orientation",
        "extent",
        "intensity_std",
        "intensity_median",
    )
    expected = regionprops_table(objects, values, properties=names, spacing=spacing)
    np.testing.assert_allclose(table["area_um2"], expected["area"])
    np.testing.assert_allclose(table["solidity"], expected["area"] / expected["area_convex"])
    np.testing.assert_allclose(table["axis_major_um"], expected["axis_major_length"], atol=1e-6)
    np.testing.assert_allclose(table["axis_minor_um"], expected["axis_minor_length"], atol=1e-6)
    np.testing.assert_allclose(table["eccentricity"], expected["eccentricity"], atol=1e-6)
    np.testing.assert_allclose(table["extent"], expected["extent"])
    np.testing.assert_allclose(table["sd"], expected["intensity_std"], atol=1e-6)
    np.testing.assert_allclose(table["median"], expected["intensity_median"])
    # An orientation is the same half a turn on, and none where both axes are as long.
    long = expected["axis_major_length"] > 1.01 * expected["axis_minor_length"]
    turn = np.radians(table["orientation_deg"]) - expected["orientation"]
    assert np.abs(np.sin(turn[long])).max() < 1e-6


def test_perimeters_and_ferets_equal_scikit_image():
    objects = blobs((90, 110))
    table = measure(Image.of(objects), options=ALL)
    regions = regionprops(objects)
    np.testing.assert_allclose(table["perimeter_px"], [one.perimeter_crofton for one in regions])
    theirs = np.array([one.feret_diameter_max for one in regions])
    assert np.abs(table["feret_max_px"] - theirs).max() < 0.75
    assert (table["feret_min_px"] <= table["feret_max_px"]).all()


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 0.4)])
def test_a_disc_is_a_disc_whatever_the_pixels(spacing):
    table = measure(Image.of(disc(30, spacing), spacing=spacing), options=ALL)
    (suffix,) = {name.rpartition("_")[2] for name in table if name.startswith("perimeter")}
    assert table[f"perimeter_{suffix}"] == pytest.approx([2 * math.pi * 30], rel=0.02)
    assert table["circularity"] == pytest.approx([1], abs=0.03)
    for name in ("feret_max", "feret_min", "axis_major", "axis_minor"):
        assert table[f"{name}_{suffix}"] == pytest.approx([60], rel=0.03)


def test_a_square_and_a_line_have_their_ferets():
    objects = np.zeros((30, 40), int)
    objects[2:12, 3:13], objects[20, 5:30] = 1, 2
    table = measure(Image.of(objects, spacing=(2, 2), unit="nm"), options=ALL)
    assert table["feret_min_nm"] == pytest.approx([20, 2])
    assert table["feret_max_nm"] == pytest.approx([20 * math.sqrt(2), 50], rel=0.06)
    assert table["solidity"] == pytest.approx([1, 1])
    assert table["extent"] == pytest.approx([1, 1])


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 0.5, 0.5)])
def test_volumes_equal_scikit_image(spacing):
    objects = blobs((14, 30, 34), seed=2, sigma=1.5, level=0.85)
    table = measure(Image.of(objects, spacing=spacing, unit="µm"), options=ALL)
    regions = regionprops(objects, spacing=spacing)
    np.testing.assert_allclose(table["volume_um3"], [one.area for one in regions])
    # scikit-image takes the root of a rounding error below 0 for a flat object, so of large ones.
    large = [k for k, one in enumerate(regions) if min(one.image.shape) > 2]
    assert len(large) > 4
    for k in large:
        assert table["axis_major_um"][k] == pytest.approx(regions[k].axis_major_length)
        assert table["axis_minor_um"][k] == pytest.approx(regions[k].axis_minor_length)
        assert table["solidity"][k] == pytest.approx(regions[k].solidity)
        assert table["extent"][k] == pytest.approx(regions[k].extent)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 0.7, 1.0)])
def test_an_ellipsoid_has_its_surface_and_axes(spacing):
    body = ellipsoid(12, 12, 12, spacing=spacing)
    table = measure(Image.of(body, spacing=spacing, unit="µm"), options=ALL)
    assert table["surface_um2"] == pytest.approx([4 * math.pi * 12**2], rel=0.03)
    assert table["sphericity"] == pytest.approx([1], abs=0.03)
    for name in ("axis_major", "axis_middle", "axis_minor", "feret_max", "equivalent_diameter"):
        assert table[f"{name}_um"] == pytest.approx([24], rel=0.09)
    assert table["solidity"][0] > 0.9


def test_a_cross_is_not_solid():
    body = np.zeros((9, 9, 9), np.uint8)
    body[4, 4, :] = body[4, :, 4] = body[:, 4, 4] = 1
    assert measure(Image.of(body), options=ALL)["solidity"][0] < 0.35


def test_objects_at_the_border_are_marked():
    objects = np.zeros((5, 8, 8), int)
    objects[0, 3, 3], objects[2, 3, 3], objects[2, 7, 4] = 1, 2, 3
    assert list(measure(Image.of(objects))["touches_border"]) == [True, False, True]
    flat = measure(Image.of(objects), options=MeasureOptions(per="plane"))
    assert list(flat["touches_border"]) == [False, False, True]


def test_planes_are_measured_by_themselves():
    objects = blobs((2, 3, 40, 40), seed=4)
    image = Image.of(np.random.default_rng(0).random(objects.shape))
    options = MeasureOptions(per="plane", hull=True, median=True)
    table = measure(Image.of(objects, spacing=(3, 0.5, 0.5), unit="µm"), image, options)
    assert list(table)[:3] == ["t", "z", "label"]
    for t in range(2):
        for z in range(3):
            here = (table["t"] == t) & (table["z"] == z)
            alone = measure(
                Image.of(objects[t, z], spacing=(0.5, 0.5), unit="µm"),
                Image.of(image.data[t, z]),
                options,
            )
            for name, column in alone.items():
                np.testing.assert_allclose(table[name][here], column)


def test_pixels_that_are_no_number_are_left_out():
    values = np.array([[1.0, 3.0, np.nan, np.nan]])
    objects = np.array([[1, 1, 1, 2]])
    table = measure(Image.of(objects), Image.of(values), ALL)
    assert (table["mean"][0], table["sum"][0], table["median"][0]) == (2, 4, 2)
    assert np.isnan([table[name][1] for name in ("mean", "min", "max", "sd", "median")]).all()


def test_several_images_by_name():
    objects = np.ones((4, 4), int)
    one, two = Image.of(np.full((4, 4), 3)), Image.of(np.full((2, 4, 4), 5), "CYX")
    table = measure(Image.of(objects), {"dapi": one, "other": two})
    assert {"mean_dapi", "mean_other_0", "sum_other_1"} <= set(table)
    assert "mean" in measure(Image.of(objects), {"dapi": one})


@pytest.mark.parametrize(
    ("facts", "suffix"),
    [
        ({}, "px"),
        ({"spacing": (0.5, 0.5)}, "units"),
        ({"spacing": (0.5, 0.5), "unit": "µm"}, "um"),
        ({"spacing": (0.5, 0.5), "unit": "Å"}, "angstrom"),
        ({"unit": "light year"}, "light_year"),
    ],
)
def test_units_are_spelt_in_plain_letters(facts, suffix):
    assert unit_suffix(Image.of(np.zeros((2, 2)), **facts)) == suffix
