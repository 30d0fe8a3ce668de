"""Fit one smooth surface to some planes of pixels, from coarse to fine.

The area means of the planes give a first robust surface and the areas that are background (see
`coarse`). Passes over all the pixels of those areas then clip what is smaller than an area. The
last pass is exact: its surface is the least-squares solution for the pixels it keeps.

This module imports numba, by way of `moments`, and is itself imported only to fit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.background.coarse_grid import (
    Bounds,
    CoarseGrid,
    Robust,
    averages,
    fit_grid,
    solve,
)
from napari_unetseg.core.background.moments import (
    Areas,
    Moments,
    Plane,
    all_moments,
    areas,
    clipped_moments,
    sample_positions,
)
from napari_unetseg.core.background.polynomial import (
    Basis,
    Polynomial,
    Terms,
    power_table,
    scaled_positions,
)
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.progress import Progress, part, silent, track

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_PASSES = 6
_TINY, _LARGEST = 1e-30, 1e30
_SETTLED = 1e-3  # of a pixel's standard deviation: far below what any pixel shows
_ILL = 1e-6  # inverse condition below which rounding shows and the solution is refined
_LEAST_SAMPLES = 100
_LEAST_AREAS = 64  # a side: enough to follow any surface there is
_MAX_SIDE, _MAX_AREAS = 32, 1 << 20


@dataclass(frozen=True)
class SurfacePlanes:
    """Planes that share one surface, with their area means.

    Parameters
    ----------
    planes
        The planes.
    heights
        For each plane its position along z among `depth`; all 0 for a surface in x and y alone.
    depth
        Planes along z that the surface extends over.
    areas
        For each plane its area means.
    """

    planes: tuple[Plane, ...]
    heights: tuple[int, ...]
    depth: int
    areas: tuple[Areas, ...]

    @classmethod
    def of(
        cls,
        planes: Sequence[Plane],
        *,
        heights: Sequence[int] | None = None,
        progress: Progress = silent,
    ) -> "SurfacePlanes":
        """Read the planes once.

        Parameters
        ----------
        planes
            Planes of one shape.
        heights
            Position of each along z, for a surface that changes along z.
        progress
            Told before every plane.

        Raises
        ------
        InputError
            When no pixel counts, or numbers are beyond 1e30: results are float32.
        """
        side = _area_side(planes[0].shape, len(planes))
        read = tuple(areas(plane, side) for plane in track(planes, progress, "reading"))
        if not any(found.counts.any() for found in read):
            raise InputError(
                "No pixel is left to fit the background to: all are excluded, NaN or infinite. "
                "Exclude fewer, or choose another image."
            )
        if any(np.abs(found.means).max() > _LARGEST for found in read):
            raise InputError(
                f"The image holds numbers beyond {_LARGEST:g}, too large to fit a background to. "
                "Scale them down first."
            )
        flat = (0,) * len(planes) if heights is None else tuple(heights)
        return cls(tuple(planes), flat, max(flat) + 1, read)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes along z, rows and columns that the surface extends over."""
        return (self.depth, *self.planes[0].shape)

    @property
    def n_usable(self) -> int:
        """How many pixels are finite and not excluded."""
        return int(sum(found.counts.sum() for found in self.areas))

    @property
    def complete(self) -> bool:
        """Whether every pixel counts."""
        return self.n_usable == len(self.planes) * self.shape[1] * self.shape[2]

    def grid(self) -> CoarseGrid:
        """Return the area means as a lattice, weighted by how many pixels count in each."""
        side = self.areas[0].side
        return CoarseGrid(
            np.stack([found.means for found in self.areas]),
            np.stack([found.counts for found in self.areas]),
            scaled_positions(self.depth)[list(self.heights)],
            averages(scaled_positions(self.shape[1]), side),
            averages(scaled_positions(self.shape[2]), side),
            self._rounding() / side,
        )

    def samples(self, used: Mask) -> CoarseGrid:
        """Return one pixel of each area as a lattice; those of areas not used have no weight."""
        side = self.areas[0].side
        values = np.stack([found.samples for found in self.areas])
        weights = np.isfinite(values) & used
        rows, columns = (sample_positions(length, side) for length in self.shape[1:])
        return CoarseGrid(
            np.where(weights, values, 0.0),
            weights.astype(np.float64),
            scaled_positions(self.depth)[list(self.heights)],
            scaled_positions(self.shape[1])[rows],
            scaled_positions(self.shape[2])[columns],
            self._rounding(),
        )

    def _rounding(self) -> float:
        """Return the size of residuals that mean nothing: half a step, or arithmetic's own."""
        dtype = self.planes[0].data.dtype
        largest = max(float(np.abs(found.means).max()) for found in self.areas)
        small = dtype.itemsize <= 4 and dtype.kind == "f"
        arithmetic = 8 * float(np.finfo(np.float32 if small else np.float64).eps) * largest
        return max(arithmetic, 0.5 if dtype.kind in "iu" else _TINY)


@dataclass(frozen=True)
class SurfaceFit:
    """A fitted surface and how well it fits.

    Parameters
    ----------
    polynomial
        The surface.
    n_usable, n_used
        Pixels that could be used, and that the last least-squares step did use.
    rms
        Root of the mean squared residual of those used.
    flatness_before, flatness_after
        Unevenness of the background before and after the surface is subtracted: the standard
        deviation of the means of its areas (of up to 32 by 32 pixels, larger in long stacks; areas
        clipped as objects do not count) over the image's range from its 1st to its 99th
        percentile. 0 is flat.
    """

    polynomial: Polynomial
    n_usable: int
    n_used: int
    rms: float
    flatness_before: float
    flatness_after: float


@dataclass(frozen=True)
class _Sums:
    """The normal equations of some pixels' residuals, with the squares and the number of them."""

    gram: Array
    values: Array
    squares: float
    count: int


def fit_surface(
    scene: SurfacePlanes,
    terms: Terms,
    robust: Robust,
    *,
    passes: int = _PASSES,
    settled: float = _SETTLED,
    progress: Progress = silent,
) -> SurfaceFit:
    """Fit the weights of `terms` to the planes of a scene.

    Parameters
    ----------
    scene
        What to fit to.
    terms
        The terms of the surface.
    robust
        Which pixels to ignore: none, those too bright, too dark, or both.
    passes
        At most this many passes over the pixels when robust.
    settled
        Go to the last pass once the surface moves less than this many standard deviations.
    progress
        Told at every pass.

    Raises
    ------
    InputError
        When fewer pixels count than there are terms, or they lie where the terms cannot be told
        apart.

    Notes
    -----
    A pass reads the pixels once. The memory it takes is that of the area means.
    """
    if scene.n_usable < len(terms):
        raise InputError(
            f"The background has {len(terms)} terms, but only {scene.n_usable} pixels are left to "
            "fit them to. Choose fewer terms, or exclude less."
        )
    basis = Basis(terms, scene.shape)
    grid = scene.grid()
    if robust == "none":
        used: Mask = grid.weights > 0
        weights, sums = _least_squares(scene, basis, grid, progress)
    else:
        start, used = fit_grid(grid, basis, robust)
        weights, sums = _clip_pixels(
            scene, basis, robust, start, used, grid, (passes, settled), progress
        )
    polynomial = Polynomial(basis, weights)
    rms = float(np.sqrt(max(sums.squares, 0.0) / sums.count))
    before, after = _flatness(scene, grid, basis.tensor(weights), used)
    return SurfaceFit(polynomial, scene.n_usable, sums.count, rms, before, after)


def _least_squares(
    scene: SurfacePlanes, basis: Basis, grid: CoarseGrid, progress: Progress
) -> tuple[Array, _Sums]:
    """Fit to every pixel that counts; return the weights and the sums of what they leave."""
    weights, level = np.zeros(len(basis.terms)), 0.0
    if (0, 0, 0) in basis.terms.powers:
        level = float(np.average(grid.values, weights=grid.weights))
        weights = level * basis.from_pixels[:, basis.terms.powers.index((0, 0, 0))]
    if scene.complete:
        x, y, _ = basis.terms.degrees
        sums = _collect(
            scene, basis, (all_moments(plane, (y, x), level) for plane in scene.planes), progress
        )
    else:
        sums = _sum_pixels(scene, basis, weights, progress=progress)
    weights, sums, condition = _step(weights, sums)
    if condition < _ILL:
        # What rounding has left of the solution is solved for in turn.
        for _ in range(2):
            weights, sums, _ = _step(weights, _sum_pixels(scene, basis, weights))
    return weights, sums


def _clip_pixels(
    scene: SurfacePlanes,
    basis: Basis,
    robust: Robust,
    weights: Array,
    used: Mask,
    grid: CoarseGrid,
    stop: tuple[int, float],
    progress: Progress,
) -> tuple[Array, _Sums]:
    """Clip single pixels in the areas used, starting from a surface near the solution.

    The Gram matrix of the areas is good enough to step by, and so is not summed at every pass.
    Only the last one sums everything, exactly.
    """
    passes, settled = stop
    near = basis.gram(grid.moments(grid.weights * used, basis.terms.degrees)[0])
    samples = _scattered(scene, grid, used)
    for number in range(passes):
        listen = part(progress, number / passes, (number + 1) / passes)
        above = samples.residuals(basis.tensor(weights))[samples.weights > 0]
        bounds = Bounds.of(above, robust, samples.floor)
        if number == passes - 1:
            break
        sums = _sum_pixels(scene, basis, weights, bounds, used, near=near, progress=listen)
        before = weights
        weights, _, _ = _step(weights, sums)
        # The functions are orthonormal: this is the root mean square change of the surface.
        if np.linalg.norm(weights - before) < settled * bounds.deviation:
            break
    sums = _sum_pixels(scene, basis, weights, bounds, used, progress=listen)
    weights, sums, _ = _step(weights, sums)
    return weights, sums


def _scattered(scene: SurfacePlanes, grid: CoarseGrid, used: Mask) -> CoarseGrid:
    """Return single pixels to measure the spread of; areas where few pixels count at all."""
    samples = scene.samples(used)
    for found in (samples.thinned(128), samples):
        if np.count_nonzero(found.weights) >= _LEAST_SAMPLES:
            return found
    return replace(grid, weights=grid.weights * used, floor=samples.floor)


def _step(weights: Array, sums: _Sums) -> tuple[Array, _Sums, float]:
    """Return the weights that solve the equations, what they leave, and the inverse condition."""
    change, condition = solve(sums.gram, sums.values)
    left = _Sums(
        sums.gram,
        sums.values - sums.gram @ change,
        sums.squares - float(change @ sums.values),
        sums.count,
    )
    return weights + change, left, condition


def _sum_pixels(
    scene: SurfacePlanes,
    basis: Basis,
    weights: Array,
    bounds: Bounds | None = None,
    used: Mask | None = None,
    *,
    near: Array | None = None,
    progress: Progress = silent,
) -> _Sums:
    """Return the sums of the residuals within bounds; with `near` in place of the Gram matrix."""
    x, y, _ = basis.terms.degrees
    surface = Polynomial(basis, weights)
    low, high = (bounds.low, bounds.high) if bounds else (-np.inf, np.inf)
    moments = (
        clipped_moments(
            plane,
            surface.row_coefficients(height),
            (y, x),
            low=low,
            high=high,
            keep_areas=None if used is None else used[number],
            side=scene.areas[0].side,
            exact=near is None,
        )
        for number, (plane, height) in enumerate(zip(scene.planes, scene.heights, strict=True))
    )
    return _collect(scene, basis, moments, progress, near)


def _collect(
    scene: SurfacePlanes,
    basis: Basis,
    moments: Iterable[Moments],
    progress: Progress,
    near: Array | None = None,
) -> _Sums:
    """Add up the moments of the planes."""
    x, y, z = basis.terms.degrees
    heights = power_table(scaled_positions(scene.depth), 2 * z)[:, list(scene.heights)]
    plain = np.zeros((2 * z + 1, 2 * y + 1, 2 * x + 1))
    valued = np.zeros((z + 1, y + 1, x + 1))
    squares = 0.0
    for number, found in enumerate(moments):
        progress(number / len(scene.planes), "fitting")
        if found.weights is not None:
            plain += heights[:, number, None, None] * found.weights
        valued += heights[: z + 1, number, None, None] * found.values
        squares += found.squares
    gram = basis.gram(plain) if near is None else near
    return _Sums(gram, basis.project(valued), squares, round(plain[0, 0, 0]))


def _flatness(
    scene: SurfacePlanes, grid: CoarseGrid, tensor: Array, used: Mask
) -> tuple[float, float]:
    """Return the unevenness of the background's areas, before and after, over the image's range."""
    samples = np.concatenate([found.samples.ravel() for found in scene.areas])
    samples = samples[np.isfinite(samples)]
    low, high = np.percentile(samples, (1, 99)) if samples.size else (0.0, 0.0)
    if not used.any() or high <= low:
        return 0.0, 0.0
    weights = grid.weights[used]
    spreads = []
    for values in (grid.values[used], grid.residuals(tensor)[used]):
        middle = np.average(values, weights=weights)
        spreads.append(float(np.sqrt(np.average((values - middle) ** 2, weights=weights))))
    return spreads[0] / float(high - low), spreads[1] / float(high - low)


def _area_side(shape: tuple[int, int], n_planes: int) -> int:
    side = min(max(min(shape) // _LEAST_AREAS, 1), _MAX_SIDE)
    while n_planes * -(-shape[0] // side) * -(-shape[1] // side) > _MAX_AREAS:
        side *= 2
    return side


__all__ = ["SurfaceFit", "SurfacePlanes", "fit_surface"]
