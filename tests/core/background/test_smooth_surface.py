"""Surfaces of high order that are held back from bending, for spots and vignettes."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_unetseg.core.background import BackgroundOptions, fit_background
from napari_unetseg.core.background.coarse_grid import CoarseGrid, fit_lattice
from napari_unetseg.core.background.fit_surface import SurfacePlanes, fit_surface
from napari_unetseg.core.background.linear_unit import LinearUnit
from napari_unetseg.core.background.moments import Plane
from napari_unetseg.core.background.polynomial import Basis, Terms
from napari_unetseg.core.background.stored_background import background_from_data, surfaces_to_data
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.pixel_specs import LogisticSpec

SHAPE = (160, 200)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def positions() -> tuple[np.ndarray, np.ndarray]:
    y, x = (np.linspace(-1, 1, length) for length in SHAPE)
    return y[:, None], x[None]


def spot() -> np.ndarray:
    """An off-centre Gaussian spot of light."""
    y, x = positions()
    return 500 + 100 * np.exp(-((y - 0.3) ** 2 + (x + 0.4) ** 2) / (2 * 0.45**2))


def vignette() -> np.ndarray:
    """The fall-off of a lens about a point beside the centre."""
    y, x = positions()
    return 500 + 100 / (1 + 0.7 * ((y + 0.2) ** 2 + (x - 0.1) ** 2)) ** 2


def under_discs(light: np.ndarray, rng: np.random.Generator, *, halo: float = 0.0) -> np.ndarray:
    """Put bright discs, with dark halos of a depth, and noise on the light."""
    mask = np.zeros(SHAPE)
    rows, columns = np.indices(SHAPE)
    for _ in range(30):
        y, x = rng.uniform(0, SHAPE[0]), rng.uniform(0, SHAPE[1])
        mask[(rows - y) ** 2 + (columns - x) ** 2 < 64] = 1
    halos = gaussian_filter(mask, 5) * (1 - mask)
    return light + 120 * mask - halo * halos + rng.normal(0, 2, SHAPE)


def error(background, truth: np.ndarray) -> float:
    """Root mean square error of a surface over the truth's range, means removed."""
    off = background.surface().data.astype(np.float64) - truth
    return float(off.std() / np.ptp(truth))


@pytest.mark.parametrize("terms", ["auto", "smooth"])
@pytest.mark.parametrize("light", [spot, vignette])
@pytest.mark.parametrize("halo", [0.0, 20.0])
def test_spots_and_vignettes_are_followed_under_objects_and_halos(terms, light, halo, rng) -> None:
    data = under_discs(light(), rng, halo=halo).astype(np.float32)
    assert error(fit_background(Image.of(data), BackgroundOptions(terms=terms)), light()) < 0.03


def test_bends_cost_the_mean_square_of_the_third_derivatives() -> None:
    u = np.linspace(-1, 1, 20)
    basis = Basis(Terms.up_to(4), (1, 20, 20))
    stiff = Basis(Terms(basis.terms.powers, 2.0), (1, 20, 20))
    y, x = u[None, :, None], u[None, None, :]
    # The derivatives xxx of x^3 are 6, those of x y^2 in all three orders of x, y, y are 2.
    for values, cost in ((x**3 + 0 * y, 36.0), (x * y**2, 12.0), (x * y + y**2, 0.0)):
        grid = CoarseGrid(values, np.ones((1, 20, 20)), np.zeros(1), u, u, 1e-9)
        weights = fit_lattice(grid, grid.weights, basis)
        assert weights @ stiff.bends @ weights == pytest.approx(2 * cost, abs=1e-9)


@pytest.mark.parametrize("robust", ["none", "both", "bright"])
@pytest.mark.parametrize("hole", [False, True])
def test_a_rigid_surface_is_the_quadratic_one(robust, hole, rng) -> None:
    data = under_discs(spot(), rng)
    data[40:60, 50:90] = np.nan if hole else data[40:60, 50:90]
    scene = SurfacePlanes.of([Plane(data)])
    rigid = fit_surface(scene, Terms(Terms.up_to(8).powers, 1e5), robust)
    quadratic = fit_surface(scene, Terms.up_to(2), robust)
    np.testing.assert_allclose(
        rigid.polynomial.evaluate(), quadratic.polynomial.evaluate(), atol=0.05
    )
    assert rigid.rms == pytest.approx(quadratic.rms, rel=1e-3)


def test_a_smooth_surface_of_a_lazy_image_is_that_in_memory(rng) -> None:
    import dask.array

    data = under_discs(spot(), rng).astype(np.float32)
    options = BackgroundOptions(terms="smooth", robust="bright")
    lazy = Image.of(dask.array.from_array(data, chunks=(64, 70)))
    there = fit_background(Image.of(data), options).surface().data
    np.testing.assert_array_equal(fit_background(lazy, options).surface().asarray(), there)


def test_a_smooth_volume_changes_along_z(rng) -> None:
    data = np.stack([spot() + 5 * z + rng.normal(0, 1, SHAPE) for z in range(4)])
    options = BackgroundOptions(terms="smooth", per="volume", robust="none")
    surface = fit_background(Image.of(data.astype(np.float32), "ZYX"), options).surface().data
    np.testing.assert_allclose(surface.mean((1, 2)), data.mean((1, 2)), atol=0.2)
    assert np.std(surface[2] - spot()) < 3


def test_a_smooth_surface_is_a_linear_unit_exactly_but_no_start_for_training(rng) -> None:
    data = under_discs(spot(), rng)
    fitted = fit_background(Image.of(data), BackgroundOptions(terms="smooth", robust="bright"))
    unit = LinearUnit.from_background(fitted.polynomial()[0], 40.0)
    assert np.mean(unit.mask(data) != (fitted.flatten(data).data > 40.0)) < 1e-4
    order = max(map(sum, unit.scaled_weights()))
    with pytest.raises(InputError, match="Fit the background with other terms, such as quartic"):
        LogisticSpec().with_position_order(order)


def test_surfaces_stored_by_an_older_version_lack_the_objects_ignored(rng) -> None:
    image = Image.of(under_discs(spot(), rng))
    options = BackgroundOptions(terms="smooth")
    fitted = fit_background(image, options)
    stored = surfaces_to_data(fitted)
    for surface in stored:
        del surface["ignored"], surface["doubt"], surface["stiffness"]
    again = background_from_data(stored, image, options)
    np.testing.assert_array_equal(again.surface().data, fitted.surface().data)
    assert (again.ignored, again.warning) == (("none",), "")
