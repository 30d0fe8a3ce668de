"""The fitted background: exact where it must be, robust where there are objects, clear when not."""

import json

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, label

from napari_unetseg.core.background import BackgroundOptions, fit_background
from napari_unetseg.core.background.fit_surface import SurfacePlanes
from napari_unetseg.core.background.moments import Plane
from napari_unetseg.core.background.polynomial import Terms
from napari_unetseg.core.background.term_choice import (
    choose_terms,
    polynomials,
    smooth_surfaces,
)
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.progress import Cancelled
from napari_unetseg.core.samples import neurons


def bowl(shape=(90, 120), *, depth=50.0, level=200.0) -> np.ndarray:
    """A quadratic background, float64."""
    y, x = (np.linspace(-1, 1, length) for length in shape[-2:])
    return level + depth * (y[:, None] ** 2 + 0.5 * x**2 - 0.4 * x * y[:, None] + 0.3 * x)


def squares(shape, share: float, rng: np.random.Generator, side: int = 12) -> np.ndarray:
    """A mask of about a share of squares."""
    grid = rng.random([-(-length // side) for length in shape]) < share
    return np.kron(grid, np.ones((side, side), bool))[tuple(map(slice, shape))]


def fit(data, *, exclude=None, axes=None, **options):
    return fit_background(Image.of(data, axes), BackgroundOptions(**options), exclude=exclude)


def error(background, truth: np.ndarray) -> float:
    """Root mean square error of a surface over the truth's range, means removed."""
    surface = background.surface().data.astype(np.float64)
    off = (surface - surface.mean()) - (truth - truth.mean())
    return float(np.sqrt(np.mean(off**2)) / np.ptp(truth))


# --- exact: the textbook's least squares -------------------------------------------------------

term_texts = st.sampled_from(
    ["plane", "quadratic", "cubic", "quartic", "lecture", "1,x,y,x*y", "x,y^2", "1,x^3,x^2*y", "y"]
)


@settings(max_examples=30)
@given(
    terms=term_texts,
    shape=st.tuples(st.integers(8, 70), st.integers(8, 70)),
    dtype=st.sampled_from([np.float32, np.float64, np.uint8, np.uint16, np.int64, np.bool_]),
    kept=st.floats(0.3, 1.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_coefficients_are_those_of_lstsq(terms, shape, dtype, kept, seed) -> None:
    rng = np.random.default_rng(seed)
    data = (rng.random(shape) * (1 if dtype in (np.bool_, np.float64) else 250)).round(3)
    data = (data > 0.5) if dtype is np.bool_ else data.astype(dtype)
    exclude = rng.random(shape) > kept
    y, x = np.nonzero(~exclude)
    powers = np.array(Terms.parse(terms).powers)
    # Columns of one size: lstsq would otherwise lose the small ones.
    design = np.stack([(x / shape[1]) ** a * (y / shape[0]) ** b for a, b, _ in powers], axis=1)
    assume(len(design) > len(powers) and np.linalg.cond(design) < 1e4)
    expected = np.linalg.lstsq(design, data[~exclude].astype(np.float64), rcond=None)[0]

    background = fit(data, exclude=exclude if exclude.any() else None, terms=terms, robust="none")
    found = background.surfaces[0].polynomial.pixel_coefficients()
    scaled = found * shape[1] ** powers[:, 0].astype(float) * shape[0] ** powers[:, 1].astype(float)
    np.testing.assert_allclose(scaled, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    left = data[~exclude] - design @ expected
    assert background.surfaces[0].rms == pytest.approx(np.sqrt(np.mean(left**2)), rel=1e-6)


def test_a_large_level_costs_no_precision() -> None:
    data = (bowl((300, 400), depth=8.0, level=0) + 60_000).astype(np.float32)
    found = fit(data, terms="quadratic", robust="none").surfaces[0].polynomial.evaluate()
    np.testing.assert_allclose(found, bowl((300, 400), depth=8.0, level=60_000), atol=1e-3)


def test_the_robust_surface_is_least_squares_for_the_pixels_it_keeps(rng) -> None:
    data = (bowl() + rng.normal(0, 1, (90, 120))).astype(np.float32)
    robust = fit(data, terms="quadratic", robust="both").surfaces[0]
    plain = fit(data, terms="quadratic", robust="none").surfaces[0]
    assert 0.9 < robust.n_used / robust.n_usable < 1
    spread = np.std(robust.polynomial.evaluate() - plain.polynomial.evaluate())
    assert spread < 0.1


# --- robust: objects are not followed ----------------------------------------------------------


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize("contrast", [-60.0, 60.0, 600.0])
@pytest.mark.parametrize("share", [0.05, 0.3])
def test_objects_on_one_side_are_ignored(contrast, share, rng) -> None:
    truth = bowl((200, 240))
    data = truth + rng.normal(0, 3, truth.shape) + contrast * squares(truth.shape, share, rng)
    side = "bright" if contrast > 0 else "dark"
    floor = 0.012
    assert error(fit(data, terms="quadratic", robust=side), truth) < floor
    assert error(fit(data, terms="quadratic", robust="both"), truth) < floor
    # Negative controls: nothing ignored, or the wrong side.
    assert error(fit(data, terms="quadratic", robust="none"), truth) > floor or share < 0.1


def discs(shape, share: float, rng: np.random.Generator, radius: float = 12.0) -> np.ndarray:
    """A mask of overlapping discs that cover a share."""
    y, x = np.indices(shape)
    mask = np.zeros(shape, bool)
    while mask.mean() < share:
        at, size = rng.uniform(0, 1, 2) * shape, radius * rng.uniform(0.6, 1.4)
        mask |= (y - at[0]) ** 2 + (x - at[1]) ** 2 < size**2
    return mask


def covered(share: float, contrast: float, blur: float, noise: float = 10.0):
    """An image of discs on a bowl, and the truth of the bowl."""
    rng = np.random.default_rng(int(100 * share))
    truth = bowl((384, 384), depth=30.0)
    objects = contrast * discs(truth.shape, share, rng).astype(np.float64)
    objects = gaussian_filter(objects, blur) if blur else objects
    return (truth + objects + rng.normal(0, noise, truth.shape)).astype(np.float32), truth


@pytest.mark.parametrize("blur", [0.0, 2.5])
@pytest.mark.parametrize("contrast", [100.0, -100.0, 20.0, -20.0])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.4, 0.6])
def test_auto_finds_the_side_and_the_level_under_many_objects(share, contrast, blur) -> None:
    data, truth = covered(share, contrast, blur)
    background = fit(data, terms="quadratic")
    bias = (background.surface().data - truth).mean() / abs(contrast)
    # Edges blurred over ten pixels, under noise of half the contrast, leave next to no background.
    assert abs(bias) < (0.03 if (share, abs(contrast), blur) == (0.6, 20.0, 2.5) else 0.02)
    assert background.warning == ""
    side = ("bright" if contrast > 0 else "dark") if share else "both"
    assert background.ignored == (side,)
    assert background.describe()["ignored"] == [side]
    if share == 0.6:
        # Negative control: what both kinds would mean.
        followed = fit(data, terms="quadratic", robust="both").surface().data - truth
        assert abs(followed.mean() / contrast) > 0.5


@pytest.mark.parametrize("contrast", [100.0, -100.0, 30.0])
@pytest.mark.parametrize("share", [0.2, 0.4, 0.5, 0.6])
def test_the_defaults_choose_terms_by_the_background_alone(share, contrast) -> None:
    """Where objects cover half of the image, a median over all positions is one of theirs."""
    data, truth = covered(share, contrast, 0.0)
    background = fit(data)
    left = background.surface().data - truth
    assert abs(left.mean()) < 0.02 * abs(contrast)
    assert left.std() < 0.05 * abs(contrast)
    assert background.warning == ""


@pytest.mark.parametrize("blur", [0.0, 2.5])
@pytest.mark.parametrize("contrast", [100.0, -100.0])
def test_too_many_objects_are_warned_of(contrast, blur) -> None:
    data, _ = covered(0.8, contrast, blur)
    side = "bright" if contrast > 0 else "dark"
    assert "too little of the image" in fit(data, terms="quadratic", robust=side).warning


def test_objects_of_both_kinds_stay_at_both() -> None:
    rng = np.random.default_rng(5)
    truth = bowl((384, 384), depth=30.0)
    mask = discs(truth.shape, 0.3, rng)
    labels, count = label(mask)
    signs = rng.choice([-1.0, 1.0], count + 1)
    data = truth + 100 * mask * signs[labels] + rng.normal(0, 10, truth.shape)
    background = fit(data, terms="quadratic")
    assert background.ignored == ("both",)
    assert abs((background.surface().data - truth).mean()) < 2


def test_one_side_is_chosen_for_all_planes_of_a_channel(rng) -> None:
    bright, truth = covered(0.3, 100.0, 0.0)
    empty = (truth + rng.normal(0, 10, truth.shape)).astype(np.float32)
    background = fit(np.stack([bright, empty, bright]), terms="auto")
    assert background.ignored == ("bright",)


def test_one_side_stands_more_objects_than_background(rng) -> None:
    truth = bowl((240, 240))
    data = truth + rng.normal(0, 3, truth.shape) + 80 * squares(truth.shape, 0.55, rng)
    assert error(fit(data, terms="quadratic", robust="bright"), truth) < 0.02


def test_faint_large_objects_are_ignored(rng) -> None:
    truth = bowl((512, 512))
    data = truth + rng.normal(0, 10, truth.shape)
    data[300:500, 60:260] += 12
    ignored = error(fit(data, terms="quadratic", robust="both"), truth)
    followed = error(fit(data, terms="quadratic", robust="none"), truth)
    assert ignored < 0.01 < followed


def test_small_dense_objects_are_ignored(rng) -> None:
    truth = bowl((512, 512))
    data = truth + rng.normal(0, 2, truth.shape)
    data[rng.random(truth.shape) < 0.2] += 40
    data[:, :256][rng.random((512, 256)) < 0.1] += 40
    assert error(fit(data, terms="quadratic", robust="bright"), truth) < 0.01


def test_a_labels_layer_excludes_objects(rng) -> None:
    truth = bowl()
    objects = squares(truth.shape, 0.4, rng)
    data = truth + 500.0 * objects
    labels = objects * rng.integers(1, 9, truth.shape, dtype=np.int32)
    background = fit(data, terms="quadratic", robust="none", exclude=labels)
    assert error(background, truth) < 1e-6
    assert background.describe()["pixels_used"] == (~objects).sum()


def test_the_background_of_synthetic_neurons_is_found() -> None:
    sample = neurons(shape=(256, 320), seed=3)
    grey = sample.as_image()
    background = fit_background(grey, BackgroundOptions())
    truth = np.asarray(sample.background, dtype=np.float64)
    assert error(background, truth) < 0.06
    described = background.describe()
    assert described["flatness_after"] < 0.5 * described["flatness_before"]


def test_constant_but_for_objects(rng) -> None:
    data = np.full((100, 100), 7, np.uint8)
    data[20:40, 20:40] = 200
    for terms in ("auto", "quadratic"):
        background = fit(data, terms=terms)
        np.testing.assert_allclose(background.surface().data, 7, atol=1e-4)


# --- auto -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("power", "order"), [(0, 0), (1, 1), (2, 2), (4, 4), (6, 6)])
def test_auto_finds_the_order(power, order, rng) -> None:
    y, x = (np.linspace(-1, 1, length) for length in (200, 220))
    truth = 100 + 40 * np.polynomial.legendre.legval(x, [0] * power + [1]) + 0 * y[:, None]
    data = truth + rng.normal(0, 2, truth.shape) + 90 * squares(truth.shape, 0.15, rng)
    scene = SurfacePlanes.of([Plane(data.astype(np.float32))])
    assert choose_terms(scene, "both", polynomials(2) + smooth_surfaces(2)) == order


def test_auto_uses_one_order_for_the_planes_of_a_channel(rng) -> None:
    planes = np.stack([bowl() + k + rng.normal(0, 1, (90, 120)) for k in range(2)])
    background = fit(planes.astype(np.float32), terms="auto")
    assert len({surface.polynomial.terms for surface in background.surfaces}) == 1


# --- axes: what shares a surface -----------------------------------------------------------------


def test_planes_stacks_and_volumes(rng) -> None:
    z = np.arange(5.0)[:, None, None]
    data = (bowl() * (1 + 0.1 * z)).astype(np.float32)
    plane = fit(data, terms="quadratic", robust="none")
    stack = fit(data, terms="quadratic", robust="none", per="stack")
    volume = fit(data, terms="cubic", robust="none", per="volume")
    assert [len(found.surfaces) for found in (plane, stack, volume)] == [5, 1, 1]
    np.testing.assert_allclose(plane.flatten(Image.of(data)).data, 0, atol=1e-2)
    np.testing.assert_allclose(volume.flatten(Image.of(data)).data, 0, atol=1e-2)
    np.testing.assert_allclose(stack.surface().data, np.stack([bowl() * 1.2] * 5), atol=1e-2)
    assert plane.surfaces[3].at == {"Z": 3}


def test_every_channel_and_time_has_its_own_volume(rng) -> None:
    factors = np.array([[1.0, 2.0, 0.5], [3.0, 1.5, 4.0]])
    z = np.arange(4.0)[:, None, None]
    data = (factors[..., None, None, None] * (bowl((24, 30)) + 3 * z)).astype(np.float32)
    image = Image.of(data, "TCZYX")
    for options, n_surfaces in (
        (BackgroundOptions(terms="quadratic", per="volume"), 6),
        (BackgroundOptions(terms="quadratic", per="plane"), 24),
    ):
        background = fit_background(image, options)
        assert len(background.surfaces) == n_surfaces
        np.testing.assert_allclose(background.flatten(image).data, 0, atol=1e-2)
    assert len(fit_background(image, BackgroundOptions(per="stack")).surfaces) == 3


def test_channels_last_equal_channels_first(rng) -> None:
    data = np.stack([bowl(), 3 * bowl()]) + rng.normal(0, 1, (2, 90, 120))
    options = BackgroundOptions(terms="quadratic")
    first, last = Image.of(data, "CYX"), Image.of(np.moveaxis(data, 0, -1), "YXC")
    flat_first = fit_background(first, options).flatten(first).data
    flat_last = fit_background(last, options).flatten(last).data
    np.testing.assert_array_equal(flat_first, np.moveaxis(flat_last, -1, 0))


def test_colour_is_fitted_as_one_grey() -> None:
    grey = bowl(level=120).astype(np.uint8)
    image = Image.of(np.stack([grey] * 3, axis=-1))
    assert image.rgb
    background = fit_background(image, BackgroundOptions(terms="quadratic", channel="green"))
    assert background.flatten(image).axes == "YX"
    assert np.abs(background.residual(image).data).max() < 1


def test_spacing_and_axes_are_kept_and_enter_the_coefficients() -> None:
    y, x = np.mgrid[:40, :30]
    image = Image.of(2.0 * x + 3.0 * y + 5, spacing=(0.5, 0.25), unit="micrometer")
    background = fit_background(image, BackgroundOptions(terms="plane"))
    described = background.describe()["surfaces"][0]
    pixels, physical = described["pixel_coefficients"], described["physical_coefficients"]
    assert list(pixels) == ["1", "x", "y"]
    np.testing.assert_allclose(list(pixels.values()), [5, 2, 3], atol=1e-9)
    np.testing.assert_allclose(list(physical.values()), [5, 8, 6], atol=1e-9)
    flat = background.flatten(image)
    assert (flat.spacing, flat.unit, flat.axes) == (image.spacing, image.unit, image.axes)


# --- subtract and divide -------------------------------------------------------------------------


def test_divide_takes_out_a_gain(rng) -> None:
    gain = bowl((128, 160), depth=0.4, level=1.0)
    clean = np.where(squares(gain.shape, 0.1, rng), 500.0, 100.0)
    image = Image.of((clean * gain).astype(np.float32))
    background = fit_background(image, BackgroundOptions(terms="quadratic", mode="divide"))
    flat = background.flatten(image).data
    mean = background.surface().data.mean()
    assert background.surfaces[0].mean == pytest.approx(mean, rel=1e-6)
    for level in (100.0, 500.0):
        assert np.ptp(flat[clean == level]) / flat[clean == level].mean() < 1e-4


def test_dividing_by_a_background_below_zero_is_refused() -> None:
    with pytest.raises(InputError, match="Subtract it instead"):
        fit(bowl(level=-10), terms="quadratic", mode="divide")


def test_flattened_plus_surface_is_the_image(rng) -> None:
    image = Image.of(rng.integers(0, 60_000, (70, 600), dtype=np.uint16))
    background = fit_background(image, BackgroundOptions(terms="cubic"))
    total = background.flatten(image).data + background.surface().data
    assert background.flatten(image).dtype == background.surface().dtype == np.float32
    np.testing.assert_allclose(total, image.data, atol=0.01)


def test_another_field_of_the_same_shape_is_flattened_and_no_other() -> None:
    background = fit(bowl(), terms="quadratic")
    np.testing.assert_allclose(background.flatten(Image.of(bowl() + 7)).data, 7, atol=1e-3)
    with pytest.raises(InputError, match="this one is"):
        background.flatten(Image.of(bowl((80, 80))))


# --- lazy equals whole ---------------------------------------------------------------------------


@pytest.mark.parametrize("robust", ["none", "both", "bright", "auto"])
@pytest.mark.parametrize("chunks", [(1, 50, 33), (3, 200, 240), (2, 7, 240)])
def test_lazy_gives_the_same_pixels(robust, chunks, rng) -> None:
    data = bowl((200, 240)) + rng.normal(0, 4, (3, 200, 240))
    data = (data + 100 * squares((200, 240), 0.2, rng)).astype(np.float32)
    data[1, 3:9, 5:7] = np.nan
    exclude = squares((200, 240), 0.1, rng)
    options = BackgroundOptions(terms="cubic", robust=robust)
    whole = fit_background(Image.of(data), options, exclude=exclude)
    image = Image.of(da.from_array(data, chunks=chunks))
    lazy = fit_background(image, options, exclude=da.from_array(exclude, chunks=60))
    assert lazy.describe() == whole.describe()
    for name in ("flatten", "residual"):
        found = getattr(lazy, name)(image)
        assert found.lazy
        np.testing.assert_array_equal(found.asarray(), getattr(whole, name)(Image.of(data)).data)
    assert lazy.surface().lazy
    np.testing.assert_array_equal(lazy.surface().asarray(), whole.surface().data)


def test_zarr_is_read_in_bands_and_never_whole(rng, monkeypatch) -> None:
    data = (bowl((1024, 512)) + rng.normal(0, 2, (1024, 512))).astype(np.float32)
    store = zarr.create_array(zarr.storage.MemoryStore(), data=data, chunks=(64, 512))
    monkeypatch.setattr("napari_unetseg.core.background.moments._BAND_PIXELS", 1 << 16)
    image = Image.of(store)
    largest = [band.shape[0] for _, band, _ in Plane(image.data).bands(16)]
    assert max(largest) == 128
    options = BackgroundOptions(terms="quadratic")
    lazy, whole = fit_background(image, options), fit_background(Image.of(data), options)
    assert lazy.describe() == whole.describe()


# --- whatever comes in ---------------------------------------------------------------------------


def test_nan_and_infinity_do_not_count_and_stay(rng) -> None:
    data = bowl().astype(np.float32)
    data[10:20, 30:50] = np.nan
    data[0, 0], data[1, 1] = np.inf, -np.inf
    for robust in ("none", "both"):
        background = fit(data, terms="quadratic", robust=robust)
        assert error(background, bowl()) < 1e-5
        flat = background.flatten(Image.of(data)).data
        np.testing.assert_array_equal(np.isfinite(flat), np.isfinite(data))
    assert background.surfaces[0].n_usable == data.size - 202


@pytest.mark.parametrize("dtype", [">u2", ">f4", "f2", "i1", "u4", "i8", "f8", "g"])
def test_any_kind_of_number(dtype) -> None:
    data = bowl(level=40, depth=20).astype(dtype)
    background = fit(data, terms="quadratic")
    assert error(background, bowl(level=40, depth=20)) < 0.01


def test_single_precision_numbers_far_from_one() -> None:
    for scale in (1e-12, 1e12):
        background = fit((bowl() * scale).astype(np.float32), terms="quadratic")
        assert error(background, bowl() * scale) < 1e-5


def test_huge_integers() -> None:
    top = np.uint64(2**63)
    data = top + np.arange(40 * 50, dtype=np.uint64).reshape(40, 50) * np.uint64(2**40)
    background = fit(data, terms="plane")
    np.testing.assert_allclose(background.surface().data, data.astype(np.float64), rtol=1e-6)


def test_numbers_too_large_for_sums_get_a_sentence() -> None:
    with pytest.raises(InputError, match="too large"):
        fit(np.full((20, 20), 1e308) * np.random.default_rng(0).random((20, 20)), terms="plane")


def test_read_only_and_strided_arrays(rng) -> None:
    data = rng.random((80, 100)).astype(np.float32)
    expected = fit(data, terms="plane").describe()
    fixed = data.copy()
    fixed.flags.writeable = False
    assert fit(fixed, terms="plane").describe() == expected
    wide = np.zeros((160, 300), np.float32)
    wide[::2, ::3] = data
    assert fit(wide[::2, ::3], terms="plane").describe() == expected
    assert fit(np.asfortranarray(data), terms="plane").describe() == expected


@pytest.mark.parametrize("terms", ["auto", "1"])
def test_one_pixel_has_its_value_as_background(terms) -> None:
    background = fit(np.array([[7.0]]), terms=terms)
    assert background.surface().data.tolist() == [[7.0]]
    assert background.flatten(Image.of(np.array([[7.0]]))).data.tolist() == [[0.0]]


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.bool_])
@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("terms", ["auto", "quartic"])
def test_a_constant_image_has_itself_as_background(dtype, value, terms) -> None:
    data = np.full((50, 60), value, dtype)
    for robust in ("none", "bright", "dark", "both"):
        background = fit(data, terms=terms, robust=robust)
        np.testing.assert_allclose(background.surface().data, value, atol=1e-6)
        described = background.describe()
        assert described["flatness_before"] == described["flatness_after"] == 0


@pytest.mark.parametrize("shape", [(1, 40), (2, 3), (3, 200), (17, 16), (129, 1)])
def test_auto_fits_tiny_images(shape, rng) -> None:
    data = rng.random(shape)
    for robust in ("none", "bright", "dark", "both"):
        assert np.isfinite(fit(data, terms="auto", robust=robust).surface().data).all()


@pytest.mark.parametrize(
    ("data", "exclude", "options", "said"),
    [
        (np.full((9, 9), np.nan), None, {}, "No pixel is left"),
        (np.ones((9, 9)), np.ones((9, 9)), {}, "No pixel is left"),
        (np.ones((2, 2)), None, {"terms": "quadratic"}, "6 terms, but only 4 pixels"),
        (np.ones((1, 1)), None, {"terms": "plane"}, "3 terms, but only 1 pixels"),
        (np.ones((1, 90)), None, {"terms": "quadratic"}, "too few rows and columns"),
        (np.ones((9, 9)), np.arange(9) != 4, {"terms": "plane"}, "too few rows and columns"),
        (np.ones((9, 9)), np.ones((8, 9)), {}, "The labels to exclude have shape"),
        (np.ones((9, 9)), None, {"per": "volume"}, "needs an image with a Z axis"),
    ],
)
@pytest.mark.parametrize("robust", ["none", "both"])
def test_what_cannot_be_fitted_gets_a_sentence(data, exclude, options, said, robust) -> None:
    with pytest.raises(InputError, match=said):
        fit(data, exclude=exclude, robust=robust, **{"terms": "plane", **options})


@pytest.mark.parametrize("robust", ["none", "both"])
def test_a_few_pixels_in_a_large_image_are_enough(robust, rng) -> None:
    exclude = np.ones((700, 900), bool)
    exclude.flat[rng.choice(exclude.size, 60, replace=False)] = False
    background = fit(bowl((700, 900)), terms="quadratic", robust=robust, exclude=exclude)
    assert error(background, bowl((700, 900))) < 1e-5


def test_options_say_what_is_wrong_and_hold_in_json() -> None:
    with pytest.raises(InputError, match="is not a term"):
        BackgroundOptions.checked(terms="1,q")
    with pytest.raises(InputError, match="contains z"):
        BackgroundOptions.checked(terms="1,z")
    with pytest.raises(InputError, match="robust"):
        BackgroundOptions.checked(robust="some")
    options = BackgroundOptions(terms="1,x,z", per="volume")
    assert BackgroundOptions.model_validate_json(options.model_dump_json()) == options
    json.dumps(fit(bowl(), terms="lecture").describe())


def test_progress_rises_and_may_cancel() -> None:
    seen: list[float] = []
    image = Image.of(np.stack([bowl((40, 50))] * 2))
    fit_background(image, BackgroundOptions(), progress=lambda share, _="": seen.append(share))
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0, 1)

    def cancel(share: float, _: str = "") -> None:
        if share > 0.4:
            raise Cancelled

    with pytest.raises(Cancelled):
        fit_background(image, BackgroundOptions(), progress=cancel)


# --- real images under known surfaces ------------------------------------------------------------


def real_cases(folder):
    for entry in json.loads((folder / "manifest.json").read_text()):
        additive = entry["mode"] == "additive"
        suffix = "truth_background" if additive else "truth_gain"
        observed, truth = (
            tifffile.imread(folder / f"{entry['file']}_{part}.tif") for part in ("observed", suffix)
        )
        yield entry, additive, observed, truth.astype(np.float64)


def test_real_images_under_known_surfaces(shared_data) -> None:
    """Means are removed: the real background's own level is part of what is observed."""
    worst_quadratic, worst_auto = 0.0, 0.0
    for entry, additive, observed, truth in real_cases(shared_data / "semisynth_background"):
        if not additive:
            continue
        worst_auto = max(worst_auto, error(fit(observed, terms="auto"), truth))
        if entry["kind"] in ("linear", "quadratic"):
            followed = error(fit(observed, terms="quadratic", robust="none"), truth)
            found = error(fit(observed, terms="quadratic", robust="both"), truth)
            worst_quadratic = max(worst_quadratic, found)
            assert followed > found
    assert worst_quadratic <= 0.01
    assert worst_auto <= 0.03


def test_a_real_image_under_a_known_gain(shared_data) -> None:
    for entry, additive, observed, truth in real_cases(shared_data / "semisynth_background"):
        if not additive and entry["source"].startswith("t98g"):
            surface = fit(observed, terms="auto", mode="divide").surface().data
            off = surface / surface.mean() - truth / truth.mean()
            assert np.sqrt(np.mean(off**2)) / np.ptp(truth) < 0.02
