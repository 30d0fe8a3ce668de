"""Robust surface fits for objects of one kind, bright or dark, that may cover most of an image.

The background is one end of the intensities: all pixels below it (for bright objects) are noise
alone. The residuals of small blocks of pixels are modelled as a mixture of a Gaussian, the
background, and a uniform tail on the side of the objects, which stands for objects and their
edges. Expectation maximisation gives each block a probability of being background, and the surface
is the least-squares fit with these weights. It starts from a low quantile of the intensities, so
objects may cover more than half of the image.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.background.coarse_grid import (
    CoarseGrid,
    Side,
    fit_lattice,
    fit_quantile,
)
from napari_unetseg.core.background.polynomial import Basis, Terms
from napari_unetseg.core.errors import InputError

Array = NDArray[np.float64]
Shape = tuple[int, int, int]

LEAST_BLOCKS = 256
"""Number of usable blocks below which there are too few for a mixture to be told apart."""

STARTS = (0.2, 0.07)
"""Quantiles to start from: the second where objects cover more than the first allows."""

_REACH = 3.0  # standard deviations of the background that the uniform tail covers
_ROUNDS, _SETTLED = 60, 2e-3
_START_SIDE = 48
_FAR, _FEW_FAR = 3.0, 0.02  # share of blocks far on the empty side that outliers may make up
_APART = 0.05  # between the cumulative distributions of the residuals and of the mixture
_LEAST_SHARE = 0.135  # of blocks that are background: that of objects covering about 65 %
_ALIKE = 1.6  # ratio of two standard deviations up to which they do not tell which is background
_CONVEX, _CLEARLY_CONVEX = 0.02, 0.4
_SIDE_ORDER = 3  # order of the surface under which the kind of objects is judged
_BLUR = 0.6  # blocks, before outlines are traced
_ROOT_TWO_PI = float(np.sqrt(2 * np.pi))


@dataclass(frozen=True, eq=False)
class OneSidedFit:
    """Surface fitted to blocks, and the blocks that are background.

    Parameters
    ----------
    weights
        The weights of the functions of the basis.
    background
        Probability of each block to be background, of the shape of the lattice.
    deviation
        Standard deviation of a block of background.
    share
        Share of the usable blocks that are background.
    sound
        Whether the blocks are distributed as the mixture says.
    """

    weights: Array
    background: Array
    deviation: float
    share: float
    sound: bool

    @property
    def holds(self) -> bool:
        """Whether enough background was found to trust the surface."""
        return self.sound and self.share >= _LEAST_SHARE


@dataclass(frozen=True)
class Ignored:
    """The objects that a fit ignores, and whether that is certain.

    Parameters
    ----------
    side
        The kind of objects.
    certain
        False when another level of the image may be the background just as well.
    """

    side: Side
    certain: bool = True


def fit_one_sided(
    grid: CoarseGrid, basis: Basis, side: Side, *, starts: tuple[float, ...] = STARTS
) -> OneSidedFit:
    """Fit a surface to the blocks that are background, with objects on one side of it.

    Parameters
    ----------
    grid, basis
        The lattice of blocks, and the functions to fit to it.
    side
        ``"bright"`` or ``"dark"``.
    starts
        Quantiles of the intensities to start from, until a fit is sound; for dark objects, they
        count from the brightest.

    Raises
    ------
    InputError
        When the positions of the blocks do not determine all functions.

    Notes
    -----
    A mixture of a Gaussian and a uniform tail, by expectation maximisation: Dempster, Laird and
    Rubin, J. R. Statist. Soc. B 39 (1977).
    """
    fits = []
    for quantile in starts:
        fits.append(_mixture(grid, basis, side, quantile))
        if fits[-1].sound:
            return fits[-1]
    return fits[0]


def choose_side(grid: CoarseGrid, shape: Shape, terms: Terms | None, ndim: int) -> Ignored:
    """Choose the kind of objects to ignore from the blocks of an image.

    A surface is fitted as if all objects were bright, and one as if all were dark. The sound one
    of the two wins. If both are, and differ, the image has two levels that may be the background:
    the one whose blocks spread much less is the background; or else the one that the other level's
    parts bulge into, since objects are mostly convex.

    Parameters
    ----------
    grid
        The lattice of blocks.
    shape
        Planes, rows and columns of the image.
    terms
        Terms of the surface; None if they are not chosen yet.
    ndim
        3 to let the surface change along z.
    """
    if np.count_nonzero(grid.weights) < LEAST_BLOCKS:
        return Ignored("both")
    basis = Basis(Terms.up_to(_SIDE_ORDER, ndim) if terms is None else terms, shape)
    try:
        bright, dark = (
            fit_one_sided(grid, basis, side, starts=STARTS[:1]) for side in ("bright", "dark")
        )
        if not (bright.sound or dark.sound):
            return Ignored("both")
        # The background may be what little the objects leave.
        if not bright.sound:
            bright = fit_one_sided(grid, basis, "bright", starts=STARTS[1:])
        if not dark.sound:
            dark = fit_one_sided(grid, basis, "dark", starts=STARTS[1:])
    except InputError:
        return Ignored("both")
    if not dark.sound:
        return Ignored("bright")
    if not bright.sound:
        return Ignored("dark")
    low, high = (grid.surface(basis.tensor(fit.weights)) for fit in (bright, dark))
    gap = high - low
    noise = max(bright.deviation, dark.deviation)
    if dark.deviation > _ALIKE * bright.deviation:
        return Ignored("bright")
    if bright.deviation > _ALIKE * dark.deviation:
        return Ignored("dark")
    if float(np.median(gap)) < noise:
        return Ignored("both")
    height = np.clip((grid.values - low) / np.maximum(gap, grid.floor), 0.0, 1.0)
    bulge = convexity(np.where(grid.weights > 0, height, 0.0))
    side: Side = "bright" if bulge > 0 else "dark"
    share = (bright if side == "bright" else dark).share
    # Convex objects that cover little are apart from each other, and their outlines clearly convex.
    certain = abs(bulge) > (_CLEARLY_CONVEX if share > 0.5 else _CONVEX)
    return Ignored(side, certain)


def convexity(height: Array) -> float:
    """Return how much of the outlines between 0 and 1 bulges towards 0, less how much towards 1.

    Parameters
    ----------
    height
        (planes, rows, columns).

    Returns
    -------
    float
        1 if all outlines around high parts are convex, -1 if those around low parts are.
    """
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(height, (0, _BLUR, _BLUR))
    y, x = np.gradient(smooth, axis=(1, 2))
    (yy, yx), xx = np.gradient(y, axis=(1, 2)), np.gradient(x, axis=2)
    steep = x * x + y * y
    bend = 2 * yx * x * y - xx * y * y - yy * x * x
    # Halfway up the edges, where noise bends the outlines least.
    pull = steep * np.clip(1 - 4 * (smooth - 0.5) ** 2, 0, None)
    total = float(pull.sum())
    return float((pull * np.sign(bend)).sum()) / total if total > 0 else 0.0


def _mixture(grid: CoarseGrid, basis: Basis, side: Side, quantile: float) -> OneSidedFit:
    from scipy.special import ndtr

    sign = 1.0 if side == "bright" else -1.0
    present = grid.weights > 0
    count = max(int(np.count_nonzero(present)), 1)
    start = quantile if side == "bright" else 1 - quantile
    try:
        weights = fit_quantile(grid.thinned(_START_SIDE), basis, start)
    except InputError:
        weights = fit_quantile(grid, basis, start)
    above = sign * grid.residuals(basis.tensor(weights))
    below = above[present & (above < 0)]
    # A little wide: a start that is too narrow can shrink onto single blocks.
    deviation = 1.25 * float(np.sqrt(np.mean(below**2))) if below.size else 0.0
    prior, background = 0.5, present.astype(np.float64)
    for _ in range(_ROUNDS):
        deviation = max(deviation, grid.floor)
        scaled = above / deviation
        inside = present & (scaled < _REACH)
        gauss = prior / _ROOT_TWO_PI * np.exp(-0.5 * np.minimum(scaled**2, 1400.0))
        tail = (1 - prior) / _REACH * ndtr(scaled)
        total = gauss + tail
        background = np.divide(gauss, total, out=np.zeros_like(gauss), where=inside & (total > 0))
        prior = float(background.sum()) / max(int(np.count_nonzero(inside)), 1)
        before = weights
        weights = fit_lattice(grid, grid.weights * background, basis)
        above = sign * grid.residuals(basis.tensor(weights))
        last, squares = deviation, float((background * above**2).sum())
        deviation = float(np.sqrt(squares / max(float(background.sum()), 1e-300)))
        moved = float(np.linalg.norm(weights - before))
        if moved <= _SETTLED * last and abs(deviation - last) <= _SETTLED * last:
            break
    deviation = max(deviation, grid.floor)
    return OneSidedFit(
        weights,
        background,
        deviation,
        share=float(background.sum()) / count,
        sound=_is_sound(above[present] / deviation, prior),
    )


def _is_sound(scaled: Array, prior: float) -> bool:
    """Return whether residuals in standard deviations are distributed as the mixture says.

    Few may lie far on the side without objects, and the largest difference of the two cumulative
    distributions, as in the test of Kolmogorov and Smirnov, must be small.
    """
    from scipy.special import ndtr

    if np.mean(scaled < -_FAR) > _FEW_FAR:
        return False
    inside = np.sort(scaled[scaled < _REACH])
    if not len(inside):
        return False
    gauss = np.exp(-0.5 * inside**2) / _ROOT_TWO_PI
    expected = prior * ndtr(inside) + (1 - prior) * (inside * ndtr(inside) + gauss) / _REACH
    found = (np.arange(len(inside)) + 0.5) / len(inside)
    apart = float(np.abs(found - expected)[inside < 1.0].max(initial=0.0))
    return apart <= _APART + 1.2 / float(np.sqrt(len(inside)))


__all__ = [
    "LEAST_BLOCKS",
    "Ignored",
    "OneSidedFit",
    "choose_side",
    "convexity",
    "fit_one_sided",
]
