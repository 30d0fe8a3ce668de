"""Robust surfaces on a small lattice of values, and how many terms a surface can bear.

The lattice holds area means of an image. They have little noise, so large faint objects stand out
from them, and they are few, so that anything may be tried on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.background.polynomial import Basis, Terms, power_table
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.progress import Progress, silent

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Robust = Literal["none", "bright", "dark", "both"]

MAX_ORDER = 8
"""The highest total power that `choose_order` tries."""

_CLIP = 2.5  # robust standard deviations: 1.2 % of clean background is lost
_GAUSSIAN = 1.4826  # standard deviation of a normal variable over its median absolute deviation
_SINGULAR = 1e-12  # of the Gram matrix, whose condition is the square of the terms' own
_START_ROUNDS, _CLIP_ROUNDS = 12, 10
_START_SIDE = 64
# The quantile that the first surface follows: where half of the pixels are objects of one kind,
# the background is still to be found below (above) it.
_QUANTILE = {"none": 0.5, "both": 0.5, "bright": 0.3, "dark": 0.7}


@dataclass(frozen=True)
class CoarseGrid:
    """Values on a lattice of positions, with weights.

    Parameters
    ----------
    values, weights
        (planes, rows, columns). What has no weight has no say.
    z, y, x
        Scaled positions (see `polynomial`) along each axis.
    floor
        A standard deviation below this is nothing but rounding.
    """

    values: Array
    weights: Array
    z: Array
    y: Array
    x: Array
    floor: float

    def moments(self, weights: Array, degrees: tuple[int, int, int]) -> tuple[Array, Array]:
        """Return sums of weights, and of weighted values, times powers of z, y and x.

        Parameters
        ----------
        weights
            Weights to use in place of the grid's own.
        degrees
            Highest power of x, y and z; the sums of weights go up to twice as high.
        """
        tables = [
            power_table(at, 2 * degree)
            for at, degree in zip((self.z, self.y, self.x), degrees[::-1], strict=True)
        ]
        lower = [table[: degree + 1] for table, degree in zip(tables, degrees[::-1], strict=True)]
        return _sums(weights, *tables), _sums(weights * self.values, *lower)

    def residuals(self, tensor: Array) -> Array:
        """Return the values above the surface of coefficients of powers of z, y, x."""
        z, y, x = (
            power_table(at, length - 1)
            for at, length in zip((self.z, self.y, self.x), tensor.shape, strict=True)
        )
        in_z = np.tensordot(z, tensor, (0, 0))
        above: Array = self.values - np.matmul(y.T, np.matmul(in_z, x))
        return above

    def coarsened(self, largest: int) -> "CoarseGrid":
        """Return means of neighbours: at most `largest` rows and columns, of at most 16 planes."""
        by = -(-max(self.values.shape[1:]) // largest)
        every = -(-len(self.z) // 16)
        weights = self.weights[::every]
        total = _pooled(weights, by)
        summed = _pooled(weights * self.values[::every], by)
        means = np.divide(summed, total, out=np.zeros_like(total), where=total > 0)
        return replace(
            self,
            values=means,
            weights=total,
            z=self.z[::every],
            y=averages(self.y, by),
            x=averages(self.x, by),
        )

    def thinned(self, largest: int) -> "CoarseGrid":
        """Return every so manieth position: at most `largest` rows and columns, 16 planes."""
        by = -(-max(self.values.shape[1:]) // largest)
        every = -(-len(self.z) // 16)
        at = (slice(None, None, every), slice(None, None, by), slice(None, None, by))
        return replace(
            self,
            values=self.values[at],
            weights=self.weights[at],
            z=self.z[::every],
            y=self.y[::by],
            x=self.x[::by],
        )


@dataclass(frozen=True)
class Bounds:
    """Between which residuals a value is background, and their robust standard deviation."""

    low: float
    high: float
    deviation: float

    @classmethod
    def of(cls, residuals: Array, robust: Robust, floor: float) -> "Bounds":
        """Take the bounds from residuals; the deviation from the side that has no objects."""
        if robust == "bright":
            residuals = residuals[residuals < 0]
        elif robust == "dark":
            residuals = residuals[residuals > 0]
        median = float(np.median(np.abs(residuals))) if residuals.size else 0.0
        deviation = max(_GAUSSIAN * median, floor)
        low = -_CLIP * deviation if robust in ("dark", "both") else -np.inf
        high = _CLIP * deviation if robust in ("bright", "both") else np.inf
        return cls(low, high, deviation)

    def contains(self, residuals: Array) -> Mask:
        """Return which residuals are within the bounds."""
        inside: Mask = (residuals >= self.low) & (residuals <= self.high)
        return inside


def averages(positions: Array, by: int) -> Array:
    """Return the mean of each run of `by` positions; the last run may be shorter."""
    starts = np.arange(0, len(positions), by)
    means: Array = np.add.reduceat(positions, starts) / np.diff(np.append(starts, len(positions)))
    return means


def solve(gram: Array, values: Array) -> tuple[Array, float]:
    """Solve the normal equations; return the weights and an inverse condition of the matrix.

    Raises
    ------
    InputError
        When the pixels cannot tell the terms apart.
    """
    scale = np.sqrt(np.diag(gram))
    if scale.min() > 0:
        scaled = gram / np.outer(scale, scale)
        try:
            # What is new in each term beyond those before it: the smallest bounds the condition.
            condition = float(np.diag(np.linalg.cholesky(scaled)).min()) ** 2
        except np.linalg.LinAlgError:
            condition = 0.0
        if condition > _SINGULAR:
            weights: Array = np.linalg.solve(scaled, values / scale) / scale
            return weights, condition
    raise InputError(
        "The pixels left to fit the background to lie too close together, or in too few rows and "
        f"columns, to tell its {len(gram)} terms apart. Choose fewer terms, or exclude less."
    )


def fit_grid(grid: CoarseGrid, basis: Basis, robust: Robust) -> tuple[Array, Mask]:
    """Fit a surface to a lattice.

    Least absolute deviations (an off-centre quantile where the objects are on one side) on a
    lattice of at most 64 rows and columns, then clipping until nothing changes.

    Parameters
    ----------
    grid, basis
        What to fit, and the functions to fit.
    robust
        Which values to ignore.

    Returns
    -------
    weights
        Of the functions of `basis`.
    used
        Which positions were not ignored.

    Raises
    ------
    InputError
        When the positions cannot tell the terms apart.

    Notes
    -----
    Iterated reweighting for least absolute deviations: Schlossmacher, JASA 68 (1973).
    """
    used: Mask = grid.weights > 0
    if robust == "none":
        return _fit(grid, grid.weights, basis), used
    try:
        weights = _fit_quantile(grid.coarsened(_START_SIDE), basis, _QUANTILE[robust])
    except InputError:
        # The few values are further apart on the lattice itself.
        weights = _fit_quantile(grid, basis, _QUANTILE[robust])
    present = used
    for _ in range(_CLIP_ROUNDS):
        residuals = grid.residuals(basis.tensor(weights))
        bounds = Bounds.of(residuals[present], robust, grid.floor)
        inside = present & bounds.contains(residuals)
        if np.array_equal(inside, used):
            break
        try:
            weights = _fit(grid, grid.weights * inside, basis)
        except InputError:
            # Clipping any further would leave too little: what was found before stands.
            break
        used = inside
    return weights, used


def choose_order(
    grid: CoarseGrid,
    shape: tuple[int, int, int],
    robust: Robust,
    *,
    ndim: int = 2,
    progress: Progress = silent,
) -> int:
    """Return the total power at which a surface best predicts background it has not seen.

    Patches an eighth of a side wide are held out in turn (5 folds) on a lattice of at most 64 rows
    and columns. The error is that of the better predicted 60 % of the values, so that objects,
    which no surface should follow, have no say; when not robust, of all. The lowest order within
    5 % of the smallest error is taken.

    Parameters
    ----------
    grid
        Area means of the image.
    shape
        Planes, rows and columns of the image.
    robust
        Which values to ignore.
    ndim
        3 to let the surface change along z.
    progress
        Told before every order.
    """
    small = grid.coarsened(_START_SIDE)
    folds = _folds(small.values.shape)
    errors: list[float] = []
    for order in range(MAX_ORDER + 1):
        progress(order / (MAX_ORDER + 1), "choosing terms")
        try:
            basis = Basis(Terms.up_to(order, ndim), shape)
            errors.append(_held_out_error(small, basis, robust, folds))
        except InputError:
            # Too few places for so many terms, and no higher order can do with fewer.
            break
        if errors[-1] <= grid.floor:
            break
    if not errors:
        return 0
    enough = 1.05 * min(errors) + grid.floor
    return next(order for order, error in enumerate(errors) if error <= enough)


def _held_out_error(
    grid: CoarseGrid, basis: Basis, robust: Robust, folds: NDArray[np.intp]
) -> float:
    held_out = np.zeros_like(grid.values)
    for fold in range(int(folds.max()) + 1):
        out = folds == fold
        weights, _ = fit_grid(
            replace(grid, weights=np.where(out, 0.0, grid.weights)), basis, robust
        )
        held_out[out] = grid.residuals(basis.tensor(weights))[out]
    sizes = np.sort(np.abs(held_out[grid.weights > 0]))
    if robust != "none":
        sizes = sizes[: max(int(0.6 * len(sizes)), 1)]
    return float(np.sqrt(np.mean(sizes**2)))


def _folds(shape: Sequence[int]) -> NDArray[np.intp]:
    """Return the fold of every position: patches, no two neighbours of one fold."""
    z, y, x = np.indices(shape)
    folds: NDArray[np.intp] = (
        2 * (y // max(shape[1] // 8, 1)) + x // max(shape[2] // 8, 1) + z
    ) % 5
    return folds


def _fit(grid: CoarseGrid, weights: Array, basis: Basis) -> Array:
    plain, valued = grid.moments(weights, basis.terms.degrees)
    return solve(basis.gram(plain), basis.project(valued))[0]


def _fit_quantile(grid: CoarseGrid, basis: Basis, quantile: float) -> Array:
    weights = _fit(grid, grid.weights, basis)
    residuals = grid.residuals(basis.tensor(weights))
    least = max(0.01 * float(np.median(np.abs(residuals[grid.weights > 0]))), grid.floor)
    for _ in range(_START_ROUNDS):
        size = np.maximum(np.abs(residuals), least)
        pull = np.where(residuals > 0, quantile, 1 - quantile) / size
        weights = _fit(grid, grid.weights * pull, basis)
        residuals = grid.residuals(basis.tensor(weights))
    return weights


def _sums(values: Array, z: Array, y: Array, x: Array) -> Array:
    """Return the sums of values times powers of z, y and x, axis by axis."""
    sums: Array = np.tensordot(z, np.matmul(y, np.matmul(values, x.T)), 1)
    return sums


def _pooled(values: Array, by: int) -> Array:
    rows, columns = (np.arange(0, length, by) for length in values.shape[1:])
    pooled: Array = np.add.reduceat(np.add.reduceat(values, rows, axis=1), columns, axis=2)
    return pooled


__all__ = [
    "MAX_ORDER",
    "Bounds",
    "CoarseGrid",
    "Robust",
    "averages",
    "choose_order",
    "fit_grid",
    "solve",
]
