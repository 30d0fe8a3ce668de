"""Choice of the terms of a surface by the error on background held out of the fit."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.background.coarse_grid import CoarseGrid, Side, fit_grid, fit_lattice
from napari_unetseg.core.background.one_sided import LEAST_BLOCKS, fit_one_sided
from napari_unetseg.core.background.polynomial import Basis, Terms
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.progress import Progress, silent

if TYPE_CHECKING:
    from napari_unetseg.core.background.fit_surface import SurfacePlanes

Array = NDArray[np.float64]

MAX_ORDER = 8
"""Highest total power of the polynomials to choose from."""

SMOOTH_ORDER = 12
"""Total power of a smooth surface in x and y; in x, y and z, it is that of the polynomials."""

_STIFFNESSES = (1e-5, 1e-6, 1e-7, 1e-8, 1e-9)
_SIDE = 64
_PATCHES, _FOLDS = 8, 5
_ERRORS = 2.0  # standard errors by which a simpler surface may be worse
_BOUND = 2.5  # standard deviations at which the error of a held-out value is cut off
_GAUSSIAN = 1.4826  # standard deviation of a normal variable over its median absolute deviation


def polynomials(ndim: int) -> tuple[Terms, ...]:
    """Return the polynomials to choose from, simplest first."""
    return tuple(Terms.up_to(order, ndim) for order in range(MAX_ORDER + 1))


def smooth_surfaces(ndim: int) -> tuple[Terms, ...]:
    """Return smooth surfaces to choose from, stiffest first."""
    powers = Terms.up_to(SMOOTH_ORDER if ndim == 2 else MAX_ORDER, ndim).powers
    return tuple(Terms(powers, stiffness) for stiffness in _STIFFNESSES)


def choose_terms(
    scene: "SurfacePlanes",
    robust: Side,
    candidates: Sequence[Terms],
    *,
    progress: Progress = silent,
) -> int:
    """Choose the surface that best predicts background held out of the fit.

    Patches an eighth of a side wide are held out in turn (5 folds) on a lattice of at most 64 rows
    and columns. Squared errors are bounded at 2.5 standard deviations of the background, so that
    all objects, which no surface should follow, count alike. The first candidate whose error
    exceeds the smallest by no more than two standard errors of the difference is taken.

    Parameters
    ----------
    scene
        The planes that share the surface.
    robust
        Which values to ignore: none, those too bright, too dark, or both.
    candidates
        The surfaces to choose from, simplest first.
    progress
        Called before every candidate.

    Returns
    -------
    int
        The number of the candidate; 0 when none can be fitted.
    """
    blocks = scene.blocks()
    one_sided = robust in ("bright", "dark") and np.count_nonzero(blocks.weights) >= LEAST_BLOCKS
    grid = blocks.thinned(_SIDE) if one_sided else scene.grid().coarsened(_SIDE)
    present = grid.weights > 0
    patches, folds = _patches(grid.values.shape)
    held_out: dict[int, Array] = {}
    noise = np.inf
    for number, terms in enumerate(candidates):
        progress(number / len(candidates), "choosing terms")
        try:
            basis = Basis(terms, scene.shape)
            fit = fit_one_sided(grid, basis, robust) if one_sided else None
            background = fit.background if fit else fit_grid(grid, basis, robust)[1]
            left = _held_out(grid, basis, grid.weights * background, folds)
        except InputError:
            continue  # Too few positions for this many terms.
        held_out[number] = left
        # Where objects cover half of the image, the median residual is one of theirs.
        spread = fit.deviation if fit else _GAUSSIAN * float(np.median(left[present]))
        noise = min(noise, spread)
        if noise <= grid.floor:
            break
    bound = np.inf if robust == "none" else _BOUND * max(noise, grid.floor)
    errors = {
        number: np.bincount(patches[present], np.minimum(left, bound)[present] ** 2)
        for number, left in held_out.items()
    }
    best = min(errors.values(), key=np.sum, default=np.zeros(1))
    for number, error in errors.items():
        worse = error - best
        rounding = present.sum() * grid.floor**2
        if worse.sum() <= _ERRORS * np.sqrt(np.sum(worse**2)) + rounding:
            return number
    return 0


def _patches(shape: Sequence[int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Number the positions by patch and by fold; neighbouring patches differ in fold."""
    z, y, x = np.indices(shape)
    down, across = y // max(shape[1] // _PATCHES, 1), x // max(shape[2] // _PATCHES, 1)
    return down * (across.max() + 1) + across, (2 * down + across + z) % _FOLDS


def _held_out(grid: CoarseGrid, basis: Basis, weights: Array, folds: NDArray[np.intp]) -> Array:
    """Return the size of every residual of the fit to the weighted values of other folds."""
    left = np.zeros_like(grid.values)
    for fold in np.unique(folds):
        out = folds == fold
        fitted = fit_lattice(grid, np.where(out, 0.0, weights), basis)
        left[out] = np.abs(grid.residuals(basis.tensor(fitted)))[out]
    return left


__all__ = ["MAX_ORDER", "SMOOTH_ORDER", "choose_terms", "polynomials", "smooth_surfaces"]
