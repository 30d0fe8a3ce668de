"""Histograms count every finite pixel once, whatever the type, the layout and the chunks."""

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import filters

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.progress import Cancelled
from napari_unetseg.core.threshold.histogram import (
    BlankError,
    compute_histogram,
    distinct_values,
    sum_above,
)
from napari_unetseg.core.threshold.levels import _best_levels, automatic_levels, guess_objects

METHODS = ("otsu", "li", "triangle", "yen", "isodata", "minimum", "mean", "multiotsu")
TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float32", "float64")


def two_populations(dtype: str, seed: int = 1) -> np.ndarray:
    """Return a plane of dark and fewer bright pixels in the range of a type."""
    rng = np.random.default_rng(seed)
    pixels = np.concatenate([rng.normal(60, 12, 6000), rng.normal(150, 20, 3000)])
    pixels = pixels.clip(0, 255).reshape(90, 100)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return (pixels / 37).astype(kind)
    if kind.itemsize == 1:
        return (pixels - 128 * (kind.kind == "i")).astype(kind)
    return (pixels * 3 - 300 * (kind.kind == "i")).astype(kind)


@given(
    hnp.arrays(
        st.sampled_from(["uint8", "int8", "uint16", "int16", "int32", "uint64", "bool"]),
        hnp.array_shapes(min_dims=2, max_dims=3, max_side=12),
    )
)
def test_integers_are_counted_level_by_level(array):
    counted = compute_histogram(array)
    if counted.exact:
        levels, counts = np.unique(array, return_counts=True)
        used = counted.counts > 0
        assert np.array_equal(counted.centers[used], levels.astype(np.int64))
        assert np.array_equal(counted.counts[used], counts)
        assert counted.counts[0] > 0
        assert counted.counts[-1] > 0
    elif array.min() == array.max():
        # numpy spreads a range of one around it, which has no room in numbers beyond 2**52.
        assert np.array_equal(counted.counts, [array.size])
    else:
        counts, _ = np.histogram(array.astype(np.float64), 256)
        assert np.array_equal(counted.counts, counts)
    assert counted.total == array.size
    assert counted.mean == pytest.approx(float(array.mean(dtype=np.float64)), rel=1e-9)


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=20),
        elements=st.floats(-1000, 1000, width=32, allow_subnormal=False),
    ),
    st.integers(2, 300),
)
def test_floats_are_binned_as_numpy_does(array, bins):
    low, high = float(array.min()), float(array.max())
    if low < high and (high - low) < 1e-3 * max(abs(low), abs(high)):
        return  # numpy refuses bins too fine for float32
    counted = compute_histogram(array, bins)
    if low == high:
        assert counted.constant
        assert counted.total == array.size
        return
    counts, edges = np.histogram(array, bins)
    assert np.array_equal(counted.counts, counts)
    assert np.array_equal(counted.edges, edges)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("layout", ["fortran", "strided", "big-endian", "read-only", "lazy"])
def test_layout_changes_nothing(dtype, layout):
    array = np.random.default_rng(0).integers(0, 200, (3, 40, 50)).astype(dtype)
    expected = compute_histogram(array.copy())
    if layout == "fortran":
        array = np.asfortranarray(array)
    elif layout == "strided":
        wide = np.zeros((3, 80, 150), dtype)
        wide[:, ::2, ::3] = array
        array = wide[:, ::2, ::3]
    elif layout == "big-endian":
        array = array.astype(array.dtype.newbyteorder(">"))
    elif layout == "read-only":
        array.flags.writeable = False
    else:
        array = da.from_array(array, chunks=(2, 16, 50))
    counted = compute_histogram(Image.of(array, "ZYX"))
    assert np.array_equal(counted.counts, expected.counts)
    assert np.array_equal(counted.edges, expected.edges)
    assert counted.mean == pytest.approx(expected.mean)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_nan_and_infinity_are_ignored(dtype):
    clean = two_populations("float32").astype(np.float16)
    dirty = clean.astype(dtype)
    flat = dirty.reshape(-1)
    keep = np.ones(flat.size, bool)
    keep[::7] = False
    flat[~keep] = np.resize([np.nan, np.inf, -np.inf], (~keep).sum())
    expected = compute_histogram(clean.reshape(-1)[keep].astype(dtype)[None])
    counted = compute_histogram(dirty)
    assert np.array_equal(counted.counts, expected.counts)
    assert counted.mean == pytest.approx(expected.mean, rel=1e-6)


def test_huge_integers_are_told_apart_as_floats():
    array = np.array([[0, 2**63, 2**64 - 1]], dtype=np.uint64)
    counted = compute_histogram(array)
    assert not counted.exact
    assert counted.total == 3
    assert counted.counts[[0, 128, -1]].tolist() == [1, 1, 1]


def test_what_cannot_be_counted_is_said():
    with pytest.raises(BlankError, match="finite"):
        compute_histogram(np.full((3, 4), np.nan))
    with pytest.raises(InputError, match="Rescale"):
        compute_histogram(np.array([[-1e308, 1e308]]))
    with pytest.raises(InputError, match="Rescale"):
        compute_histogram(np.array([[1.0, np.nextafter(1.0, 2.0)]]))


def test_coarse_joins_bins_and_keeps_counts():
    array = np.random.default_rng(0).integers(0, 5000, (100, 100)).astype(np.uint16)
    counted = compute_histogram(array)
    coarse = counted.coarse(200)
    assert 100 < len(coarse.counts) <= 200
    assert coarse.total == counted.total
    assert len(coarse.edges) == len(coarse.counts) + 1
    assert np.array_equal(np.histogram(array, coarse.edges)[0], coarse.counts)
    assert compute_histogram(array.astype(np.uint8)).coarse(256).exact


def test_reading_can_be_cancelled():
    def refuse(fraction, message=""):
        if fraction > 0:
            raise Cancelled

    with pytest.raises(Cancelled):
        compute_histogram(Image.of(da.zeros((400, 50, 50), chunks=(1, 50, 50))), progress=refuse)


@given(hnp.arrays(np.float32, (5, 7), elements=st.floats(-9, 9, width=32)), st.floats(-9, 9))
def test_sums_above_a_level(array, level):
    total, number = sum_above(array, level)
    above = array[array > np.float32(level)]
    assert number == len(above)
    assert total == pytest.approx(float(above.sum(dtype=np.float64)), abs=1e-9)


def test_distinct_values_skip_what_is_not_finite():
    assert distinct_values(np.array([[2.0, np.nan, 1.0, np.inf, 2.0]])).tolist() == [1.0, 2.0]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("method", METHODS)
def test_levels_are_those_of_scikit_image(method, dtype):
    plane = two_populations(dtype)
    # Differences of int8 wrap around in scikit-image's Li.
    wide = plane.astype(np.int16) if dtype == "int8" else plane
    expected = np.atleast_1d(getattr(filters, f"threshold_{method}")(wide))
    found = automatic_levels(Image.of(plane), method)
    assert found == pytest.approx(expected, rel=1e-6)
    lazy = automatic_levels(Image.of(da.from_array(plane, chunks=(31, 40))), method)
    assert lazy == pytest.approx(found, rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_levels_of_few_float_values_are_those_of_scikit_image(method):
    plane = (two_populations("uint8") / np.float32(255)).astype(np.float32)
    expected = np.atleast_1d(getattr(filters, f"threshold_{method}")(plane))
    assert automatic_levels(Image.of(plane), method) == pytest.approx(expected, rel=1e-5)


@given(st.lists(st.integers(0, 60), min_size=3, max_size=30))
def test_triangle_is_that_of_scikit_image_for_any_histogram(counts):
    plane = np.repeat(np.arange(len(counts), dtype=np.uint8), counts)[None]
    if len(np.unique(plane)) < 2:
        return
    assert automatic_levels(Image.of(plane), "triangle") == (filters.threshold_triangle(plane),)


@pytest.mark.parametrize("method", ["otsu", "li", "yen", "triangle", "isodata", "mean"])
def test_levels_of_wide_integers_are_those_of_floats(method):
    rng = np.random.default_rng(0)
    dark, light = rng.normal(100_000, 20_000, 4000), rng.normal(300_000, 30_000, 2000)
    plane = np.concatenate([dark, light]).astype(np.int32).reshape(60, 100)
    expected = getattr(filters, f"threshold_{method}")(plane.astype(np.float64))
    assert automatic_levels(Image.of(plane), method) == pytest.approx((expected,), rel=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_long_histograms_get_the_same_multi_otsu(classes):
    counted = compute_histogram(two_populations("uint8"))
    expected = automatic_levels(Image.of(two_populations("uint8")), "multiotsu", classes=classes)
    assert _best_levels(counted, classes) == pytest.approx(expected)


def test_multi_otsu_of_sixteen_bits_and_many_classes():
    rng = np.random.default_rng(0)
    middles = np.array([2000, 15000, 28000, 41000, 54000])
    plane = rng.normal(middles[rng.integers(0, 5, (60, 60))], 600).astype(np.uint16)
    levels = automatic_levels(Image.of(plane), "multiotsu", classes=5)
    assert np.array_equal(np.digitize(middles, levels), np.arange(5))


def test_booleans_are_separated_by_a_half():
    plane = np.eye(9, dtype=bool)
    assert automatic_levels(Image.of(plane), "li") == (0.5,)
    assert automatic_levels(Image.of(plane), "multiotsu", classes=2) == (0.0,)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("plane", [np.full((8, 8), 7, np.uint8), np.full((8, 8), 0.1, np.float32)])
def test_a_constant_image_has_no_level(method, plane):
    with pytest.raises(BlankError, match="Every pixel"):
        automatic_levels(Image.of(plane), method)


def test_methods_that_fail_say_what_to_use_instead():
    ramp = Image.of(np.arange(64, dtype=np.uint8).reshape(8, 8))
    with pytest.raises(InputError, match="two peaks"):
        automatic_levels(ramp, "minimum")
    with pytest.raises(InputError, match="too few for 3 classes"):
        automatic_levels(Image.of(np.eye(8, dtype=np.uint8)), "multiotsu")


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_objects_are_guessed_on_the_longer_tail(dtype):
    rng = np.random.default_rng(0)
    image = rng.normal(1000, 20, (100, 100))
    image[20:50, 30:60] += 300
    assert guess_objects(compute_histogram(image.astype(dtype))) == "bright"
    assert guess_objects(compute_histogram((2000 - image).astype(dtype))) == "dark"
