"""The filter bank: the right numbers, of the right reach, the same tile by tile."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.features import FilterBankSpec, filter_bank
from napari_unetseg.core.features.filter_passes import INTEGRATION, axis_sigmas

ALL = {"laplacian": True}


def smooth_noise(*shape: int, seed: int = 0) -> NDArray[np.float64]:
    noise = np.random.default_rng(seed).normal(size=shape)
    return ndimage.gaussian_filter(noise, 1.0)


def reference(volume: NDArray[np.float64], sigmas: tuple[float, ...]) -> NDArray[np.float64]:
    """Return what sampled Gaussian derivatives give, for one scale, without intensity."""
    ndim = volume.ndim

    def derivative(*axes: int) -> NDArray[np.float64]:
        order = [axes.count(axis) for axis in range(ndim)]
        scale = np.prod([sigmas[axis] for axis in axes])
        found = ndimage.gaussian_filter(volume, sigmas, order=order, mode="reflect", truncate=5)
        return np.asarray(found * scale)

    def eigenvalues(matrix: dict[tuple[int, int], NDArray[np.float64]]) -> NDArray[np.float64]:
        full = np.array([[matrix[min(a, b), max(a, b)] for a in range(ndim)] for b in range(ndim)])
        values = np.linalg.eigvalsh(np.moveaxis(full, (0, 1), (-2, -1)))
        return np.moveaxis(values[..., ::-1], -1, 0)

    pairs = list(itertools.combinations_with_replacement(range(ndim), 2))
    slopes = [derivative(axis) for axis in range(ndim)]
    hessian = {pair: derivative(*pair) for pair in pairs}
    wide = [INTEGRATION * sigma for sigma in sigmas]
    tensor = {
        (a, b): ndimage.gaussian_filter(slopes[a] * slopes[b], wide, truncate=5) for a, b in pairs
    }
    return np.stack(
        [
            derivative(),
            np.sqrt(sum(slope**2 for slope in slopes)),
            sum(hessian[axis, axis] for axis in range(ndim)),
            *eigenvalues(hessian),
            *np.sqrt(np.maximum(eigenvalues(tensor), 0)),
        ]
    )


@pytest.mark.parametrize(
    ("shape", "spacing", "sigma"),
    [((150, 160), (), 1.5), ((150, 160), (), 3.0), ((150, 150), (1.0, 0.5), 4.0),
     ((48, 48, 50), (), 1.5), ((32, 70, 72), (2.0, 1.0, 1.0), 3.0)],
)  # fmt: skip
def test_agrees_with_gaussian_derivatives(
    shape: tuple[int, ...], spacing: tuple[float, ...], sigma: float
) -> None:
    volume = smooth_noise(*shape)
    spec = FilterBankSpec(sigmas=str(sigma), **ALL)
    found = filter_bank(volume[None], spec, spacing=spacing)
    np.testing.assert_array_equal(found[0], volume.astype(np.float32))
    expected = reference(volume, axis_sigmas(sigma, len(shape), spacing))
    inside = tuple(slice(r, -r) for r in spec.reach(len(shape), spacing))
    for name, one, other in zip(spec.names(len(shape))[1:], found[1:], expected, strict=True):
        error = np.sqrt(np.mean((one - other)[inside] ** 2) / np.mean(other[inside] ** 2))
        assert error < 0.06, name


@pytest.mark.parametrize("ndim", [2, 3])
def test_an_edge_is_reflected_as_elsewhere(ndim: int) -> None:
    volume = smooth_noise(*(24,) * ndim)
    spec = FilterBankSpec(sigmas="1.5", intensity=False, structure=False)
    found = filter_bank(volume[None], spec)
    expected = reference(volume, (1.5,) * ndim)[[0, 1]]
    np.testing.assert_allclose(found[:2], expected, atol=0.03)


def test_a_ramp_has_its_slope_and_nothing_else() -> None:
    y, x = np.mgrid[:100, :100]
    spec = FilterBankSpec(sigmas="2", intensity=False, gaussian=False, **ALL)
    found = filter_bank((3.0 * y + 4.0 * x)[None], spec)[:, 50, 50]
    slope = 5.0 * 2
    np.testing.assert_allclose(found, [slope, 0, 0, 0, slope, 0], atol=0.02)


def test_a_quadratic_has_its_curvatures() -> None:
    z, y, x = np.mgrid[:40, :40, :40] - 20.0
    spec = FilterBankSpec(sigmas="2", intensity=False, gradient=False, structure=False, **ALL)
    found = filter_bank((z**2 + 1.5 * y**2 - x**2 + x * y)[None], spec)[:, 20, 20, 20]
    curvatures = 4 * np.linalg.eigvalsh([[2, 0, 0], [0, 3, 1], [0, 1, -2]])[::-1]
    np.testing.assert_allclose(found[1:], [curvatures.sum(), *curvatures], rtol=1e-3)


@settings(max_examples=15)
@given(st.integers(0, 2**31 - 1), st.booleans())
def test_eigenvalues_are_those_of_the_matrix(seed: int, equal: bool) -> None:
    from napari_unetseg.core.features.eigenvalues import eigenvalues_3

    rng = np.random.default_rng(seed)
    full = rng.normal(size=(37, 3, 3))
    full += full.transpose(0, 2, 1)
    if equal:
        values, vectors = np.linalg.eigh(full)
        values[:, 1] = values[:, 2]
        full = vectors @ (values[..., None] * vectors.transpose(0, 2, 1))
    m = np.array([full[:, a, b] for a, b in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))])
    found = np.empty((3, 37), np.float32)
    eigenvalues_3(m.astype(np.float32), np.empty((4, 37), np.float32), *found)
    expected = np.linalg.eigvalsh(full)[:, ::-1].T
    np.testing.assert_allclose(found, expected, atol=5e-3 if equal else 2e-3)


@pytest.mark.parametrize(("ndim", "spacing"), [(2, ()), (2, (2.0, 1.0)), (3, ()), (3, (3, 1, 1))])
def test_each_filter_looks_as_far_as_it_says(ndim: int, spacing: tuple[float, ...]) -> None:
    spec = FilterBankSpec(sigmas="1, 2" if ndim == 2 else "1", **ALL)
    reach = spec.reach(ndim, spacing)
    shape = tuple(2 * r + 5 for r in reach)
    volume = smooth_noise(*shape)
    middle = tuple(n // 2 for n in shape)
    disturbed = volume.copy()
    disturbed[middle] += 100
    change = filter_bank(disturbed[None], spec, spacing=spacing) != filter_bank(
        volume[None], spec, spacing=spacing
    )
    names = iter(change)
    for one in spec.filters(ndim, spacing):
        for _ in one.names:
            changed = np.argwhere(next(names)) - middle
            assert (np.abs(changed).max(0) <= one.reach).all()
            # Its last pixel may weigh too little to tell, not its last but one.
            assert (np.abs(changed).max(0) >= np.array(one.reach) - 1).all()


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_tile_with_its_margin_equals_the_whole(data: st.DataObject) -> None:
    ndim = data.draw(st.sampled_from([2, 3]))
    chosen = {name: data.draw(st.booleans()) for name in ("gaussian", "gradient", "laplacian")}
    chosen |= {name: data.draw(st.booleans()) for name in ("hessian", "structure")}
    spec = FilterBankSpec(sigmas=data.draw(st.sampled_from(["0.7", "1, 2"])), **chosen)
    spacing = data.draw(st.sampled_from([(), (2.0, 1.0, 1.0)[-ndim:]]))
    reach = spec.reach(ndim, spacing)
    shape = tuple(data.draw(st.integers(1, 4)) + 2 * r for r in reach)
    shape = tuple(n + data.draw(st.integers(0, 9)) for n in shape)
    volume = np.random.default_rng(0).random((1, *shape), dtype=np.float32)
    whole = filter_bank(volume, spec, spacing=spacing)
    start = tuple(
        data.draw(st.integers(0, n - 2 * r - 1)) for n, r in zip(shape, reach, strict=True)
    )
    stop = tuple(
        data.draw(st.integers(a + 2 * r + 1, n))
        for a, n, r in zip(start, shape, reach, strict=True)
    )
    block = volume[(slice(None), *(slice(a, b) for a, b in zip(start, stop, strict=True)))]
    tile = filter_bank(block, spec, spacing=spacing, margin=reach)
    inner = (slice(a + r, b - r) for a, b, r in zip(start, stop, reach, strict=True))
    np.testing.assert_allclose(tile, whole[(slice(None), *inner)], rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2), (2, 3, 1)])
def test_an_image_smaller_than_its_filters(shape: tuple[int, ...]) -> None:
    found = filter_bank(smooth_noise(*shape)[None], FilterBankSpec())
    assert found.shape == (FilterBankSpec().n_features(len(shape)), *shape)
    assert np.isfinite(found).all()


def test_channels_lie_side_by_side() -> None:
    spec = FilterBankSpec(sigmas="1")
    both = smooth_noise(2, 20, 22)
    found = filter_bank(both, spec)
    half = spec.n_features(2)
    np.testing.assert_array_equal(found[half:], filter_bank(both[1:], spec))
    assert len(found) == spec.n_features(2, n_channels=2)
    assert spec.names(2, n_channels=2)[half] == "channel 1: intensity"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, bool, np.float64, ">f4"])
def test_any_numbers(dtype: str) -> None:
    volume = (smooth_noise(20, 20) * 50 + 100).astype(dtype)
    volume.flags.writeable = False
    found = filter_bank(volume[None], FilterBankSpec())
    expected = filter_bank(volume.astype(np.float32)[None], FilterBankSpec())
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_writes_where_told() -> None:
    spec = FilterBankSpec(sigmas="1")
    volume = smooth_noise(20, 20)[None]
    out = np.empty((spec.n_features(2), 20, 20), np.float32)
    assert filter_bank(volume, spec, out=out) is out
    np.testing.assert_array_equal(out, filter_bank(volume, spec))
    with pytest.raises(ValueError, match="out must be"):
        filter_bank(volume, spec, out=out[:, :10])


def test_scales_are_read_leniently() -> None:
    assert FilterBankSpec(sigmas="4; 1 2,2").sigmas == "1, 2, 4"
    assert FilterBankSpec(sigmas="1.5").scales == (1.5,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigmas": "fine, coarse"}, "not numbers"),
        ({"sigmas": " "}, "No scale"),
        ({"sigmas": "0.1"}, "between"),
        ({"sigmas": "nan"}, "between"),
        (
            dict.fromkeys(("intensity", "gaussian", "gradient", "hessian", "structure"), False),
            "No filter",
        ),
    ],
)
def test_impossible_options_get_a_sentence(options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        FilterBankSpec.checked(**options)


def test_impossible_blocks_get_a_sentence() -> None:
    spec = FilterBankSpec()
    with pytest.raises(InputError, match="2 axes"):
        filter_bank(np.zeros((5, 5)), spec)
    with pytest.raises(InputError, match="nothing left"):
        filter_bank(np.zeros((1, 5, 5)), spec, margin=(3, 3))
    with pytest.raises(InputError, match="spacing"):
        filter_bank(np.zeros((1, 5, 5)), spec, spacing=(1.0,))
