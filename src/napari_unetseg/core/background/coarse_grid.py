"""Robust surface fits on a small lattice of area means.

The lattice holds area means of an image. They have little noise, so large faint objects stand out
from them, and they are few, so that iterative methods are cheap.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.background.polynomial import Basis, power_table
from napari_unetseg.core.errors import InputError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Side = Literal["none", "bright", "dark", "both"]

_CLIP = 2.5  # robust standard deviations: 1.2 % of clean background is lost
_GAUSSIAN = 1.4826  # standard deviation of a normal variable over its median absolute deviation
_SINGULAR = 1e-12  # of the Gram matrix, whose condition is the square of that of the terms
_START_ROUNDS, _CLIP_ROUNDS = 12, 10
_START_SIDE = 64
# Quantile of the first fit: where half of the pixels are objects of one kind, the background still
# lies below (above) it.
_QUANTILE = {"none": 0.5, "both": 0.5, "bright": 0.3, "dark": 0.7}


@dataclass(frozen=True)
class CoarseGrid:
    """Values on a lattice of positions, with weights.

    Parameters
    ----------
    values, weights
        (planes, rows, columns). Values of weight 0 are ignored.
    z, y, x
        Scaled positions (see `polynomial`) along each axis.
    floor
        A standard deviation below this is due to rounding alone.
    """

    values: Array
    weights: Array
    z: Array
    y: Array
    x: Array
    floor: float

    def moments(self, weights: Array, degrees: tuple[int, int, int]) -> tuple[Array, Array]:
        """Sum weights, and weighted values, times powers of z, y and x.

        Parameters
        ----------
        weights
            Weights to use instead of the grid's own.
        degrees
            Highest power of x, y and z; the sums of weights go up to twice these powers.
        """
        tables = [
            power_table(at, 2 * degree)
            for at, degree in zip((self.z, self.y, self.x), degrees[::-1], strict=True)
        ]
        lower = [table[: degree + 1] for table, degree in zip(tables, degrees[::-1], strict=True)]
        return _sums(weights, *tables), _sums(weights * self.values, *lower)

    def residuals(self, tensor: Array) -> Array:
        """Subtract the surface with these coefficients of powers of z, y, x from the values."""
        above: Array = self.values - self.surface(tensor)
        return above

    def surface(self, tensor: Array) -> Array:
        """Evaluate the surface with these coefficients of powers of z, y, x on the lattice."""
        z, y, x = (
            power_table(at, length - 1)
            for at, length in zip((self.z, self.y, self.x), tensor.shape, strict=True)
        )
        in_z = np.tensordot(z, tensor, (0, 0))
        surface: Array = np.matmul(y.T, np.matmul(in_z, x))
        return surface

    def coarsened(self, largest: int) -> "CoarseGrid":
        """Average neighbours down to at most `largest` rows and columns and 16 planes."""
        by = -(-max(self.values.shape[1:]) // largest)
        depth_step = -(-len(self.z) // 16)
        weights = self.weights[::depth_step]
        total = _pooled(weights, by)
        summed = _pooled(weights * self.values[::depth_step], by)
        means = np.divide(summed, total, out=np.zeros_like(total), where=total > 0)
        return replace(
            self,
            values=means,
            weights=total,
            z=self.z[::depth_step],
            y=averages(self.y, by),
            x=averages(self.x, by),
        )

    def thinned(self, largest: int) -> "CoarseGrid":
        """Subsample the lattice to at most `largest` rows and columns and 16 planes."""
        by = -(-max(self.values.shape[1:]) // largest)
        depth_step = -(-len(self.z) // 16)
        at = (slice(None, None, depth_step), slice(None, None, by), slice(None, None, by))
        return replace(
            self,
            values=self.values[at],
            weights=self.weights[at],
            z=self.z[::depth_step],
            y=self.y[::by],
            x=self.x[::by],
        )


@dataclass(frozen=True)
class Bounds:
    """Range of residuals that count as background, and their robust standard deviation."""

    low: float
    high: float
    deviation: float

    @classmethod
    def of(cls, residuals: Array, robust: Side, floor: float) -> "Bounds":
        """Estimate the bounds from residuals; the deviation comes from the side without objects."""
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
        """Return a mask of the residuals within the bounds."""
        inside: Mask = (residuals >= self.low) & (residuals <= self.high)
        return inside


def averages(positions: Array, by: int) -> Array:
    """Average each run of `by` positions; the last run may be shorter."""
    starts = np.arange(0, len(positions), by)
    means: Array = np.add.reduceat(positions, starts) / np.diff(np.append(starts, len(positions)))
    return means


def solve(gram: Array, values: Array) -> tuple[Array, float]:
    """Solve the normal equations; return the weights and the inverse condition of the matrix.

    Raises
    ------
    InputError
        When the positions of the pixels do not determine all terms.
    """
    scale = np.sqrt(np.diag(gram))
    if scale.min() > 0:
        scaled = gram / np.outer(scale, scale)
        try:
            # The part of each term that is independent of those before it: the smallest bounds the
            # condition.
            condition = float(np.diag(np.linalg.cholesky(scaled)).min()) ** 2
        except np.linalg.LinAlgError:
            condition = 0.0
        if condition > _SINGULAR:
            weights: Array = np.linalg.solve(scaled, values / scale) / scale
            return weights, condition
    raise InputError(
        "The pixels left to fit the background to lie too close together, or in too few rows and "
        f"columns, to determine its {len(gram)} terms. Choose fewer terms, or exclude less."
    )


def fit_grid(grid: CoarseGrid, basis: Basis, robust: Side) -> tuple[Array, Mask]:
    """Fit a surface to a lattice.

    Least absolute deviations (an off-centre quantile where the objects are on one side) on a
    lattice of at most 64 rows and columns, followed by clipping until the mask is stable.

    Parameters
    ----------
    grid, basis
        The lattice, and the functions to fit to it.
    robust
        Which values to ignore: none, those too bright, too dark, or both.

    Returns
    -------
    weights
        The weights of the functions of `basis`.
    used
        Mask of the positions used.

    Raises
    ------
    InputError
        When the positions do not determine all functions.

    Notes
    -----
    Iterated reweighting for least absolute deviations: Schlossmacher, JASA 68 (1973).
    """
    used: Mask = grid.weights > 0
    if robust == "none":
        return fit_lattice(grid, grid.weights, basis), used
    try:
        weights = fit_quantile(grid.coarsened(_START_SIDE), basis, _QUANTILE[robust])
    except InputError:
        # The full lattice has more positions, which may determine all terms.
        weights = fit_quantile(grid, basis, _QUANTILE[robust])
    present = used
    for _ in range(_CLIP_ROUNDS):
        residuals = grid.residuals(basis.tensor(weights))
        bounds = Bounds.of(residuals[present], robust, grid.floor)
        inside = present & bounds.contains(residuals)
        if np.array_equal(inside, used):
            break
        try:
            weights = fit_lattice(grid, grid.weights * inside, basis)
        except InputError:
            # Clipping further would leave too few values, so keep the last mask.
            break
        used = inside
    return weights, used


def fit_lattice(grid: CoarseGrid, weights: Array, basis: Basis) -> Array:
    """Fit the functions to a lattice by least squares, with `weights` instead of its own.

    Raises
    ------
    InputError
        When the positions do not determine all functions.
    """
    plain, valued = grid.moments(weights, basis.terms.degrees)
    return solve(basis.gram(plain), basis.project(valued))[0]


def fit_quantile(grid: CoarseGrid, basis: Basis, quantile: float) -> Array:
    """Fit the functions to a quantile of the lattice, by iterated reweighting.

    Raises
    ------
    InputError
        When the positions do not determine all functions.
    """
    weights = fit_lattice(grid, grid.weights, basis)
    residuals = grid.residuals(basis.tensor(weights))
    least = max(0.01 * float(np.median(np.abs(residuals[grid.weights > 0]))), grid.floor)
    for _ in range(_START_ROUNDS):
        size = np.maximum(np.abs(residuals), least)
        pull = np.where(residuals > 0, quantile, 1 - quantile) / size
        weights = fit_lattice(grid, grid.weights * pull, basis)
        residuals = grid.residuals(basis.tensor(weights))
    return weights


def _sums(values: Array, z: Array, y: Array, x: Array) -> Array:
    """Sum values times powers of z, y and x, axis by axis."""
    sums: Array = np.tensordot(z, np.matmul(y, np.matmul(values, x.T)), 1)
    return sums


def _pooled(values: Array, by: int) -> Array:
    rows, columns = (np.arange(0, length, by) for length in values.shape[1:])
    pooled: Array = np.add.reduceat(np.add.reduceat(values, rows, axis=1), columns, axis=2)
    return pooled


__all__ = [
    "Bounds",
    "CoarseGrid",
    "Side",
    "averages",
    "fit_grid",
    "fit_lattice",
    "fit_quantile",
    "solve",
]
