"""Thresholds: masks as scikit-image makes them, on any axes, lazy or not, cleaned as asked."""

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage import data, filters, measure

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.progress import Cancelled
from napari_unetseg.core.samples import nuclei
from napari_unetseg.core.scoring.pixel_scores import dice
from napari_unetseg.core.threshold import (
    Method,
    ThresholdOptions,
    linked_in_words,
    preview,
    smooth_plane,
    threshold,
    threshold_values,
)

GLOBAL = ("otsu", "li", "triangle", "yen", "isodata", "minimum", "mean")
METHODS = Method.__args__


@pytest.fixture(scope="module")
def coins() -> np.ndarray:
    return data.coins()[:160, :200]


def stack(n: int = 4, seed: int = 0) -> np.ndarray:
    """Return planes of bright squares, each brighter than the one before."""
    rng = np.random.default_rng(seed)
    planes = rng.normal(50, 5, (n, 60, 70))
    for k in range(n):
        planes[k, 10 + k : 30 + k, 20:40] += 60
        planes[k, 40:46, 50:60] += 60
        planes[k] *= 1 + k
    return planes.astype(np.float32)


@pytest.mark.parametrize("objects", ["bright", "dark"])
@pytest.mark.parametrize("method", GLOBAL)
def test_masks_are_those_of_scikit_image(coins, method, objects):
    options = ThresholdOptions(method=method, objects=objects)
    found = threshold(Image.of(coins), options)
    level = getattr(filters, f"threshold_{method}")(coins)
    assert found.values == ((pytest.approx(level),),)
    assert np.array_equal(found.labels, (coins > level) != (objects == "dark"))
    assert found.labels.dtype == np.uint8
    assert found.n_objects is None


def test_multi_otsu_gives_classes(coins):
    levels = filters.threshold_multiotsu(coins, 4)
    bright = threshold(Image.of(coins), ThresholdOptions(method="multiotsu", classes=4))
    assert np.array_equal(bright.labels, np.digitize(coins, levels, right=True))
    options = ThresholdOptions(method="multiotsu", classes=4, objects="dark")
    assert np.array_equal(threshold(Image.of(coins), options).labels, 3 - bright.labels)


def test_holes_of_multi_otsu_take_the_class_beside():
    plane = np.zeros((20, 20), np.uint8)
    plane[4:15, 4:15] = 100
    plane[6:12, 6:12] = 200
    plane[8, 8] = 0
    found = threshold(Image.of(plane), ThresholdOptions(method="multiotsu", fill_holes=True))
    assert found.labels[8, 8] == 1
    assert found.labels[7, 7] == 2
    assert found.n_objects == 1


def test_local_methods_are_those_of_scikit_image(coins):
    level = filters.threshold_sauvola(coins, 31, k=0.1)
    options = ThresholdOptions(method="sauvola", window=31, k=0.1)
    assert np.array_equal(threshold(Image.of(coins), options).labels, coins > level)
    level = filters.threshold_local(coins.astype(np.float32), 31, offset=-4)
    options = ThresholdOptions(method="gaussian", window=31, offset=4.0)
    found = threshold(Image.of(coins), options)
    assert np.mean(found.labels != (coins > level)) < 1e-3  # rounding of float32 sums
    assert found.values == ((),)


def test_hysteresis_is_that_of_scikit_image(coins):
    options = ThresholdOptions(method="hysteresis", value=100.0, high=150.0)
    found = threshold(Image.of(coins), options)
    assert np.array_equal(found.labels, filters.apply_hysteresis_threshold(coins, 100, 150))
    assert found.values == ((100.0, 150.0),)
    dark = threshold(Image.of(coins), options.model_copy(update={"objects": "dark"}))
    expected = filters.apply_hysteresis_threshold(-coins.astype(float), -150.5, -100.5)
    assert np.array_equal(dark.labels, expected)
    levels = threshold_values(Image.of(coins), ThresholdOptions(method="hysteresis"))
    assert levels == pytest.approx(filters.threshold_multiotsu(coins, 3))


def test_smoothing_is_that_of_scipy(coins):
    smoothed = ndimage.gaussian_filter(coins.astype(np.float32), 2.5)
    options = ThresholdOptions(sigma=2.5)
    assert np.allclose(smooth_plane(coins, options), smoothed, atol=1e-3)
    assert smooth_plane(coins, ThresholdOptions()) is coins
    found = threshold(Image.of(coins), options)
    assert np.mean(found.labels != (smoothed > filters.threshold_otsu(smoothed))) < 1e-3
    assert threshold_values(Image.of(coins), options) == found.values[0]


@given(
    st.sampled_from(["uint8", "int16", "uint32", "int64", "float32", "float64"]),
    st.floats(-400, 400, width=32),
    st.booleans(),
    st.data(),
)
def test_any_level_compares_as_numpy_does(dtype, level, dark, data):
    low = 0 if dtype.startswith("u") else -300
    values = st.integers(low, 255) if "int" in dtype else st.floats(-300, 300, width=32)
    plane = data.draw(hnp.arrays(dtype, (3, 4), elements=values))
    options = ThresholdOptions(method="manual", objects="dark" if dark else "bright")
    exact = plane.astype(np.float64)
    assert np.array_equal(
        preview(plane, options, (level,)), exact <= level if dark else exact > level
    )


@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_finite_is_never_an_object(method):
    plane = stack(1)[0]
    plane[20, 30] = np.nan
    plane[0, :3] = np.nan, np.inf, -np.inf
    for objects in ("bright", "dark"):
        for sigma in (0.0, 1.0):
            options = ThresholdOptions(
                method=method, value=80.0, high=90.0, objects=objects, sigma=sigma
            )
            labels = threshold(Image.of(plane), options).labels
            assert not labels[~np.isfinite(plane)].any()
            assert labels[12, 22] == (0 if objects == "dark" else labels.max())


def test_preview_is_what_is_found(coins):
    buffer = np.full(coins.shape, 7, np.uint8)
    for method in METHODS:
        options = ThresholdOptions(method=method, sigma=1.0)
        found = threshold(Image.of(coins), options)
        shown = preview(smooth_plane(coins, options), options, found.values[0], out=buffer)
        assert shown is buffer
        assert np.array_equal(shown, found.labels)
        assert np.array_equal(
            preview(smooth_plane(coins, options), options, found.values[0]), found.labels
        )


def test_cleaning_and_objects(coins):
    options = {"fill_holes": True, "min_size": 40, "clear_border": True}
    mask = ndimage.binary_fill_holes(coins > filters.threshold_otsu(coins))
    expected = measure.label(mask)
    sizes = np.bincount(expected.ravel())
    border = np.unique(np.concatenate([expected[[0, -1]].ravel(), expected[:, [0, -1]].ravel()]))
    mask &= (sizes >= 40)[expected] & ~np.isin(expected, border)
    classes = threshold(Image.of(coins), ThresholdOptions(**options))
    objects = threshold(Image.of(coins), ThresholdOptions(**options, result="objects"))
    assert np.array_equal(classes.labels, mask)
    assert np.array_equal(objects.labels, measure.label(mask))
    assert objects.labels.dtype == np.int32
    assert classes.n_objects == objects.n_objects == objects.labels.max() > 3


def test_split_nuclei_match_the_truth_and_unsplit_ones_do_not():
    sample = nuclei((256, 256), seed=3, unevenness=0.0)
    options = ThresholdOptions(sigma=1.0, min_size=30, fill_holes=True, result="objects")
    truth = len(np.unique(sample.objects)) - 1
    whole = threshold(Image.of(sample.image), options).n_objects
    split = threshold(Image.of(sample.image), options.model_copy(update={"split": True}))
    assert abs(split.n_objects - truth) <= 0.15 * truth
    assert whole < 0.85 * truth
    lines = threshold(
        Image.of(sample.image), options.model_copy(update={"split": True, "result": "classes"})
    )
    assert measure.label(lines.labels, connectivity=2).max() >= split.n_objects
    assert dice(lines.labels > 0, sample.objects > 0) > 0.85


def test_planes_have_their_own_levels_and_stacks_one():
    planes = stack()
    image = Image.of(planes, "TYX")
    own = threshold(image, ThresholdOptions())
    assert own.values == tuple((pytest.approx(float(filters.threshold_otsu(p))),) for p in planes)
    assert np.array_equal(own.labels[2], threshold(Image.of(planes[2])).labels)
    shared = threshold(image, ThresholdOptions(per="stack"))
    level = float(filters.threshold_otsu(planes))
    assert shared.values == ((pytest.approx(level),),)
    assert np.array_equal(shared.labels, planes > np.float32(level))


def test_objects_continue_through_z_but_not_through_time():
    planes = stack()
    options = ThresholdOptions(
        per="stack", method="manual", value=90.0, result="objects", sigma=1.0
    )
    deep = threshold(Image.of(planes, "ZYX"), options)
    smoothed = np.stack([smooth_plane(plane, options) for plane in planes])
    assert np.array_equal(deep.labels, measure.label(smoothed > 90))
    flat = threshold(Image.of(planes, "TYX"), options)
    assert flat.n_objects == sum(measure.label(p > 90).max() for p in smoothed)
    assert flat.n_objects == len(np.unique(flat.labels)) - 1 > deep.n_objects
    one = threshold(Image.of(planes[:1], "ZYX"), options.model_copy(update={"fill_holes": True}))
    assert one.n_objects == 2


@pytest.mark.parametrize("per", ["plane", "stack"])
@pytest.mark.parametrize("result", ["classes", "objects"])
@pytest.mark.parametrize("axes", ["TCZYX", "CZYX", "ZCYX", "TYX", "YXC"])
def test_every_axis_order_gives_each_channel_its_own(axes, result, per):
    rng = np.random.default_rng(0)
    lengths = {"T": 2, "C": 2, "Z": 3, "Y": 40, "X": 30}
    array = rng.normal(20, 2, [lengths[axis] for axis in axes])
    bright = np.zeros((40, 30))
    bright[5:12, 5:20] = bright[20:30, 3:9] = 30
    places = [lengths[axis] if axis in "YX" else 1 for axis in axes]
    array += bright.reshape(places)
    if "C" in axes:
        array *= np.array([1.0, 10.0]).reshape([2 if axis == "C" else 1 for axis in axes])
    image = Image.of(array, axes)
    found = threshold(image, ThresholdOptions(result=result, per=per, min_size=5))
    in_memory = np.moveaxis(found.labels, [axes.index(a) for a in "YX"], [-2, -1])
    assert (in_memory.reshape(-1, 40, 30) > 0).all(axis=0)[6, 6]
    assert np.array_equal((in_memory > 0).any(axis=tuple(range(in_memory.ndim - 2))), bright > 0)
    lazy = Image.of(da.from_array(array, chunks=[2 if a in "TCZ" else 17 for a in axes]), axes)
    again = threshold(lazy, ThresholdOptions(result=result, per=per, min_size=5))
    assert np.array_equal(again.labels, found.labels)
    assert again.n_objects == found.n_objects


@pytest.mark.parametrize("per", ["plane", "stack"])
@pytest.mark.parametrize("method", ["otsu", "multiotsu", "sauvola", "gaussian", "manual"])
@pytest.mark.parametrize("sigma", [0.0, 1.5])
def test_lazy_classes_stay_lazy_and_are_the_same(method, sigma, per):
    array = np.stack([stack(3), 2 * stack(3, 1)])
    options = ThresholdOptions(method=method, sigma=sigma, per=per, value=80.0, window=21)
    lazy = Image.of(da.from_array(array, chunks=(1, 2, 25, 70)), "CZYX")
    found = threshold(lazy, options)
    assert found.image.lazy
    assert found.image.shape == array.shape
    expected = threshold(Image.of(array, "CZYX"), options)
    assert np.array_equal(found.image.asarray(), expected.labels)
    assert np.allclose(found.values, expected.values)


def test_rgb_is_one_grey_image():
    rgb = data.astronaut()[:90, :100]
    image = Image.of(rgb)
    found = threshold(image, ThresholdOptions(channel="green"))
    assert np.array_equal(found.labels, rgb[..., 1] > filters.threshold_otsu(rgb[..., 1]))
    assert found.image.axes == "YX"
    assert threshold(image).labels.shape == (90, 100)


def test_given_values_are_used_everywhere(coins):
    image = Image.of(np.stack([coins, 255 - coins]), "TYX")
    found = threshold(image, values=(99.5,))
    assert found.values == ((99.5,), (99.5,))
    assert np.array_equal(found.labels, image.data > 99.5)


def test_a_constant_plane_among_others_stays_empty():
    planes = stack(3)
    planes[1] = 4.0
    found = threshold(Image.of(planes, "ZYX"), ThresholdOptions(objects="dark"))
    assert not found.labels[1].any()
    assert found.labels[0].any()
    assert np.isnan(found.values[1]).all()
    with pytest.raises(InputError, match="Every pixel has the value 4"):
        threshold(Image.of(planes[[1, 1]], "ZYX"))
    planes[2] = np.arange(60 * 70).reshape(60, 70)
    with pytest.raises(InputError, match=r"^Plane 2: .*two peaks"):
        threshold(Image.of(planes, "ZYX"), ThresholdOptions(method="minimum"))


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1)])
def test_tiny_images(shape):
    plane = np.zeros(shape, np.uint8)
    options = ThresholdOptions(
        method="manual", value=-1.0, result="objects", fill_holes=True, split=True, sigma=2.0
    )
    assert threshold(Image.of(plane), options).n_objects == 1
    with pytest.raises(InputError, match="Every pixel"):
        threshold(Image.of(plane))
    plane.reshape(-1)[-1] = 9
    if plane.size > 1:
        assert threshold(Image.of(plane)).labels.sum() == 1


def test_types_at_the_edge():
    booleans = np.eye(12, dtype=bool)
    assert np.array_equal(threshold(Image.of(booleans)).labels, booleans)
    for method in METHODS:
        threshold(Image.of(booleans), ThresholdOptions(method=method, classes=2))
    with pytest.raises(InputError, match="high value"):
        threshold(Image.of(booleans.astype(np.uint8)), ThresholdOptions(method="hysteresis"))
    huge = np.where(booleans, 2**64 - 1, 2**63).astype(np.uint64)
    assert np.array_equal(threshold(Image.of(huge)).labels, booleans)
    halves = booleans.astype(np.float16)
    halves.flags.writeable = False
    assert np.array_equal(threshold(Image.of(halves)).labels, booleans)


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ({}, ()),
        ({}, (1.0, 2.0)),
        ({}, (np.nan,)),
        ({"method": "hysteresis"}, (3.0, 2.0)),
        ({"method": "multiotsu"}, (3.0,)),
        ({"method": "sauvola"}, (3.0,)),
    ],
)
def test_wrong_values_are_refused(coins, options, values):
    with pytest.raises(InputError, match="takes"):
        threshold(Image.of(coins), ThresholdOptions(**options), values=values)


def test_options_say_what_is_wrong():
    with pytest.raises(InputError, match="window = 50 is even"):
        ThresholdOptions.checked(window=50)
    with pytest.raises(InputError, match="value"):
        ThresholdOptions.checked(value=float("nan"))
    with pytest.raises(InputError, match="method"):
        ThresholdOptions.checked(method="guess")


@pytest.mark.parametrize("result", ["classes", "objects"])
def test_a_run_can_be_cancelled(result):
    def refuse(fraction: float, message: str = "") -> None:
        if fraction > 0.5:
            raise Cancelled

    image = Image.of(stack(), "ZYX")
    with pytest.raises(Cancelled):
        threshold(image, ThresholdOptions(result=result), progress=refuse)


def test_objects_of_planes_are_linked_to_those_of_the_volume() -> None:
    sample = nuclei((20, 80, 80), seed=3, touching=0, noise=0, unevenness=0)
    image = Image(sample.classes * np.uint8(200), "ZYX")
    options = ThresholdOptions(result="objects", method="manual", value=100)
    apart, linked, deep = (
        threshold(image, options.model_copy(update=more))
        for more in ({"link": "none"}, {"link_iou": 0.01}, {"per": "stack"})
    )
    assert linked.n_objects == linked.labels.max() == deep.n_objects
    assert apart.n_objects is not None
    assert apart.n_objects > 4 * linked.n_objects
    pairs = np.unique(np.stack([linked.labels.ravel(), deep.labels.ravel()]), axis=1)
    assert pairs.shape[1] == linked.n_objects + 1
    said = ", linked through 20 planes"
    assert linked_in_words(linked.image, options) == said
    assert not linked_in_words(deep.image, options.model_copy(update={"per": "stack"}))
    assert not linked_in_words(Image(image.data, "TYX"), options)
    # What goes through the stack already is not linked again.
    again = threshold(image, options.model_copy(update={"per": "stack", "link": "both"}))
    np.testing.assert_array_equal(again.labels, deep.labels)
