"""Normalisation: the whole image's own numbers, however it is stored."""

import json

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.normalisation import (
    Normalisation,
    NormalisationSpec,
    check_finite,
    fit_normalisation,
)
from napari_unetseg.core.progress import Cancelled

NOISE = np.random.default_rng(0).normal(100, 20, size=(3, 40, 50)).astype(np.float32)


def test_percentiles_become_zero_and_one() -> None:
    image = Image.of(NOISE, "ZYX")
    scaled = fit_normalisation(image, NormalisationSpec()).apply(NOISE)
    low, high = np.percentile(scaled, [1, 99.8])
    assert (low, high) == pytest.approx((0, 1), abs=1e-5)
    assert scaled.dtype == np.float32


def test_mean_and_deviation() -> None:
    spec = NormalisationSpec(method="mean-std")
    scaled = fit_normalisation(Image.of(NOISE, "ZYX"), spec).apply(NOISE[None])
    assert (scaled.mean(), scaled.std()) == pytest.approx((0, 1), abs=1e-4)


def test_none_changes_nothing() -> None:
    fitted = fit_normalisation(Image.of(NOISE, "ZYX"), NormalisationSpec(method="none"))
    np.testing.assert_array_equal(fitted.apply(NOISE[None])[0], NOISE)


@settings(max_examples=20)
@given(st.floats(0.01, 1e4), st.floats(-1e4, 1e4), st.sampled_from(["percentile", "mean-std"]))
def test_gain_and_offset_do_not_matter(gain: float, offset: float, method: str) -> None:
    spec = NormalisationSpec.checked(method=method)
    plain, changed = NOISE.astype(float), NOISE.astype(float) * gain + offset
    one, other = (
        fit_normalisation(Image.of(data, "ZYX"), spec).apply(data[None])
        for data in (plain, changed)
    )
    np.testing.assert_allclose(one, other, atol=0.02)


def test_channels_apart_or_together() -> None:
    both = np.stack([NOISE[0], NOISE[0] * 10])
    image = Image.of(both, "CYX")
    apart = fit_normalisation(image, NormalisationSpec())
    assert apart.offset[1] == pytest.approx(10 * apart.offset[0], rel=1e-5)
    together = fit_normalisation(image, NormalisationSpec(per="image"))
    assert together.offset[0] == together.offset[1]
    assert together.scale[0] == together.scale[1]


def test_colour_counts_as_channels() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    fitted = fit_normalisation(Image.of(rgb), NormalisationSpec(method="mean-std"))
    assert fitted.offset == pytest.approx(rgb.mean((0, 1)))


@pytest.mark.parametrize("method", ["percentile", "mean-std"])
def test_lazy_gives_the_same_numbers(method: str) -> None:
    stack = np.random.default_rng(0).integers(0, 60000, (70, 2, 30, 40), dtype=np.uint16)
    spec = NormalisationSpec.checked(method=method)
    lazy = Image.of(da.from_array(stack, chunks=(1, 2, 16, 16)), "TCYX")
    assert fit_normalisation(lazy, spec) == fit_normalisation(Image.of(stack, "TCYX"), spec)


def test_a_large_image_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_unetseg.core.normalisation._PIXELS", 2000)
    large = np.random.default_rng(0).normal(5, 2, (300, 300))
    fitted = fit_normalisation(Image.of(large), NormalisationSpec(method="mean-std"))
    assert (fitted.offset[0], 1 / fitted.scale[0]) == pytest.approx((5, 2), abs=0.3)


@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.floats(0, 99), st.booleans())
@settings(max_examples=40)
def test_percentiles_of_short_integers_are_those_of_numpy(
    seed: int, size: int, low: float, short: bool
) -> None:
    kind = np.uint8 if short else np.uint16
    values = np.random.default_rng(seed).integers(0, np.iinfo(kind).max, (1, size)).astype(kind)
    spec = NormalisationSpec(low=low, high=99.5)
    found = fit_normalisation(Image.of(values, axes="YX"), spec)
    offset, top = np.percentile(values, [low, 99.5])
    assert found.offset == (float(offset),)
    assert found.scale == (float(1 / (top - offset)) if top > offset else 1.0,)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.float32])
def test_colour_is_scaled_in_its_own_order_of_memory(dtype: type) -> None:
    interleaved = np.random.default_rng(1).integers(0, 120, (90, 70, 3)).astype(dtype)
    scaling = Normalisation((3.0, 5.5, 7.0), (0.5, 0.25, 2.0))
    block = np.moveaxis(interleaved, -1, 0)
    scaled = scaling.apply(block)
    assert scaled.dtype == np.float32
    assert np.moveaxis(scaled, 0, -1).flags.c_contiguous
    assert np.array_equal(scaled, scaling.apply(np.ascontiguousarray(block)))
    expected = (block - np.reshape(scaling.offset, (3, 1, 1))) * np.reshape(
        scaling.scale, (3, 1, 1)
    )
    np.testing.assert_allclose(scaled, expected, rtol=1e-6)


def test_survives_json() -> None:
    fitted = fit_normalisation(Image.of(NOISE, "ZYX"), NormalisationSpec())
    assert Normalisation.from_dict(json.loads(json.dumps(fitted.to_dict()))) == fitted


@pytest.mark.parametrize("value", [0, 7.5, np.nan])
def test_an_image_of_one_value(value: float) -> None:
    flat = np.full((10, 10), value)
    scaled = fit_normalisation(Image.of(flat), NormalisationSpec()).apply(flat[None])
    assert (scaled == 0).all()


def test_holes_do_not_count() -> None:
    holes = NOISE[0].copy()
    holes[:5] = np.nan
    holes[5, 0] = np.inf
    fitted = fit_normalisation(Image.of(holes), NormalisationSpec())
    expected = np.percentile(holes[np.isfinite(holes)], 1)
    assert fitted.offset[0] == pytest.approx(expected)
    assert np.isfinite(fitted.apply(holes[None])).all()


def test_large_integers_keep_their_differences() -> None:
    large = (np.arange(100, dtype=np.uint32) + 4_000_000_000).reshape(10, 10)
    scaled = fit_normalisation(Image.of(large), NormalisationSpec()).apply(large[None])
    assert len(np.unique(scaled)) == 100


def test_percentiles_in_the_wrong_order() -> None:
    with pytest.raises(InputError, match="must be below"):
        NormalisationSpec.checked(low=90.0, high=10.0)


def test_can_be_cancelled() -> None:
    def cancel(fraction: float, message: str = "", /) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        fit_normalisation(Image.of(NOISE, "ZYX"), NormalisationSpec(), progress=cancel)


def test_an_image_without_a_number_is_refused():
    holes = np.full((2, 8, 9), np.nan, np.float32)
    holes[1, 3] = np.inf
    with pytest.raises(InputError, match="Every pixel of the image is NaN or infinite"):
        check_finite(Image(holes, "ZYX"))
    holes[1, 3, 4] = 7
    check_finite(Image(holes, "ZYX"))
    check_finite(Image(np.zeros((8, 9), bool), "YX"))
