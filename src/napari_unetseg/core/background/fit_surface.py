"""Fit one smooth surface to several planes of pixels, from coarse to fine.

The area means of the planes give a first robust surface and the areas that are background (see
`coarse_grid`). Passes over all the pixels of those areas then clip objects smaller than an area.
The last pass is exact: its surface is the least-squares solution for the pixels it keeps.

This module imports numba, through `moments`, and is itself imported only for fitting.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.background.coarse_grid import (
    Bounds,
    CoarseGrid,
    Side,
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
    block_side,
    block_starts,
    clipped_moments,
    sample_positions,
)
from napari_unetseg.core.background.one_sided import LEAST_BLOCKS, OneSidedFit, fit_one_sided
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
_SETTLED = 1e-3  # in standard deviations of a pixel: far below anything visible
_ILL = 1e-6  # inverse condition below which rounding matters and the solution is refined
_LEAST_SAMPLES = 100
_LEAST_AREAS = 64  # per side: enough to follow any surface of the allowed order
_MAX_SIDE, _MAX_AREAS = 32, 1 << 20
_MAX_PLANES = 16  # planes of a stack whose blocks are looked at
_STANDS_OUT, _FEW = 3.0, 0.03  # pixels beyond so many deviations are objects if more than this
_LEAST_USED = 0.05  # share of areas that are background, below which all are searched for it


@dataclass(frozen=True)
class SurfacePlanes:
    """Planes that share one surface, with their area means.

    Parameters
    ----------
    planes
        The planes.
    heights
        For each plane its position along z, below `depth`; all 0 for a surface in x and y only.
    depth
        Number of planes along z that the surface covers.
    areas
        The area means of each plane.
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
        """Read the planes once and compute their area means.

        Parameters
        ----------
        planes
            Planes of equal shape.
        heights
            Position of each along z, for a surface that changes along z.
        progress
            Called before every plane.

        Raises
        ------
        InputError
            When no pixel is left to fit, or values exceed 1e30: results are float32.
        """
        side = _area_side(planes[0].shape, len(planes))
        read = tuple(areas(plane, side) for plane in track(planes, progress, "reading"))
        if not any(area.counts.any() for area in read):
            raise InputError(
                "No pixel is left to fit the background to: all are excluded, NaN or infinite. "
                "Exclude fewer, or choose another image."
            )
        if any(np.abs(area.means).max() > _LARGEST for area in read):
            raise InputError(
                f"The image holds numbers beyond {_LARGEST:g}, too large to fit a background to. "
                "Scale them down first."
            )
        flat = (0,) * len(planes) if heights is None else tuple(heights)
        return cls(tuple(planes), flat, max(flat) + 1, read)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes along z, rows and columns that the surface covers."""
        return (self.depth, *self.planes[0].shape)

    @property
    def n_usable(self) -> int:
        """Number of pixels that are finite and not excluded."""
        return int(sum(area.counts.sum() for area in self.areas))

    @property
    def complete(self) -> bool:
        """Whether all pixels are finite and not excluded."""
        return self.n_usable == len(self.planes) * self.shape[1] * self.shape[2]

    def grid(self) -> CoarseGrid:
        """Return the area means as a lattice, weighted by the number of usable pixels in each."""
        side = self.areas[0].side
        return CoarseGrid(
            np.stack([area.means for area in self.areas]),
            np.stack([area.counts for area in self.areas]),
            scaled_positions(self.depth)[list(self.heights)],
            averages(scaled_positions(self.shape[1]), side),
            averages(scaled_positions(self.shape[2]), side),
            self._rounding() / side,
        )

    def blocks(self) -> CoarseGrid:
        """Return the means of small blocks of at most 16 planes as a lattice."""
        side = block_side(self.planes[0].shape)
        step = -(-len(self.areas) // _MAX_PLANES)
        picked = [area.blocks for area in self.areas[::step]]
        y, x = (
            scaled_positions(length)[starts] + (side - 1) / max(length - 1, 1)
            for length, starts in (
                (length, block_starts(length, side)) for length in self.shape[1:]
            )
        )
        return CoarseGrid(
            np.stack([block.means for block in picked]),
            np.stack([block.counts for block in picked]),
            scaled_positions(self.depth)[list(self.heights[::step])],
            y,
            x,
            self._rounding() / side,
        )

    def block_samples(self) -> Array:
        """Return one pixel of each block of `blocks`; NaN where it is not usable."""
        step = -(-len(self.areas) // _MAX_PLANES)
        return np.stack([area.blocks.samples for area in self.areas[::step]])

    def samples(self, used: Mask) -> CoarseGrid:
        """Return one pixel of each area as a lattice; pixels of unused areas have weight 0."""
        side = self.areas[0].side
        values = np.stack([area.samples for area in self.areas])
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
        """Estimate the rounding error of residuals: half a grey level, or floating-point error."""
        dtype = self.planes[0].data.dtype
        largest = max(float(np.abs(area.means).max()) for area in self.areas)
        small = dtype.itemsize <= 4 and dtype.kind == "f"
        arithmetic = 8 * float(np.finfo(np.float32 if small else np.float64).eps) * largest
        return max(arithmetic, 0.5 if dtype.kind in "iu" else _TINY)


@dataclass(frozen=True)
class SurfaceFit:
    """Fitted surface and the quality of the fit.

    Parameters
    ----------
    polynomial
        The polynomial of the surface.
    n_usable, n_used
        Number of pixels that are usable, and number used by the last least-squares step.
    rms
        Root mean square residual of the pixels used.
    flatness_before, flatness_after
        Unevenness of the background before and after the surface is subtracted: the standard
        deviation of the means of its areas (of up to 32 by 32 pixels, larger in long stacks; areas
        clipped as objects are ignored) over the image's range from its 1st to its 99th percentile.
        0 is flat.
    holds
        False when too little of the image is background for the surface to be trusted.
    """

    polynomial: Polynomial
    n_usable: int
    n_used: int
    rms: float
    flatness_before: float
    flatness_after: float
    holds: bool = True


@dataclass(frozen=True)
class _Sums:
    """Normal equations of the residuals of some pixels, with the sum of squares and the count.

    `cost` is the part of the Gram matrix that is due to the stiffness of the surface.
    """

    gram: Array
    values: Array
    squares: float
    count: int
    cost: Array


def fit_surface(
    scene: SurfacePlanes,
    terms: Terms,
    robust: Side,
    *,
    passes: int = _PASSES,
    settled: float = _SETTLED,
    progress: Progress = silent,
) -> SurfaceFit:
    """Fit the weights of `terms` to planes that share one surface.

    Parameters
    ----------
    scene
        The planes to fit.
    terms
        The terms of the surface.
    robust
        Which pixels to ignore: none, those too bright, too dark, or both.
    passes
        Maximum number of passes over the pixels of a robust fit.
    settled
        Start the last pass once the surface moves by less than this many standard deviations.
    progress
        Called at every pass.

    Raises
    ------
    InputError
        When there are fewer usable pixels than terms, or their positions do not determine all
        terms.

    Notes
    -----
    Each pass reads the pixels once. Memory is that of the area means.
    """
    if scene.n_usable < len(terms):
        raise InputError(
            f"The background has {len(terms)} terms, but only {scene.n_usable} pixels are left to "
            "fit them to. Choose fewer terms, or exclude less."
        )
    basis = Basis(terms, scene.shape)
    grid = scene.grid()
    blocks = scene.blocks() if robust in ("bright", "dark") else None
    holds = True
    if blocks is not None and np.count_nonzero(blocks.weights) >= LEAST_BLOCKS:
        found = fit_one_sided(blocks, basis, robust)
        holds = found.holds
        weights, used, sums = _follow_one_side(
            scene, basis, robust, found, grid, (passes, settled), progress
        )
    elif robust == "none":
        used = grid.weights > 0
        weights, sums = _least_squares(scene, basis, grid, progress)
    else:
        start, used = fit_grid(grid, basis, robust)
        weights, sums = _clip_pixels(
            scene, basis, robust, start, used, grid, (passes, settled), progress
        )
    polynomial = Polynomial(basis, weights)
    rms = float(np.sqrt(max(sums.squares, 0.0) / max(sums.count, 1)))
    before, after = _flatness(scene, grid, basis.tensor(weights), used)
    return SurfaceFit(polynomial, scene.n_usable, sums.count, rms, before, after, holds)


def _follow_one_side(
    scene: SurfacePlanes,
    basis: Basis,
    robust: Side,
    found: OneSidedFit,
    grid: CoarseGrid,
    stop: tuple[int, float],
    progress: Progress,
) -> tuple[Array, Mask, _Sums]:
    """Complete a fit to blocks; return the weights, the areas used, and the sums of the residuals.

    Objects smaller than a block raise the blocks of background alike: only then are single pixels
    clipped. Otherwise the fit to blocks is better, as faint edges of objects stay out of it.
    """
    sign = 1.0 if robust == "bright" else -1.0
    near = grid.residuals(basis.tensor(found.weights)) * sign
    present = grid.weights > 0
    used = present & (np.abs(near) <= _STANDS_OUT * found.deviation)
    if np.count_nonzero(used) < _LEAST_USED * np.count_nonzero(present):
        used = present
    surface = scene.blocks().surface(basis.tensor(found.weights))
    above = sign * (scene.block_samples() - surface)
    above = above[np.isfinite(above) & (found.background > 0.5)]
    above -= np.median(above) if above.size else 0.0
    # About the median, since small objects lift the surface above it.
    spread = Bounds.of(above, "both", grid.floor).deviation
    if above.size and np.mean(above > _STANDS_OUT * spread) > _FEW:
        weights, sums = _clip_pixels(
            scene, basis, robust, found.weights, used, grid, stop, progress
        )
        return weights, used, sums
    limits = Bounds.of(sign * above, robust, grid.floor)
    sums = _sum_pixels(scene, basis, found.weights, limits, used, progress=progress)
    return found.weights, used, sums


def _least_squares(
    scene: SurfacePlanes, basis: Basis, grid: CoarseGrid, progress: Progress
) -> tuple[Array, _Sums]:
    """Fit all usable pixels; return the weights and the sums of the residuals."""
    weights, level = np.zeros(len(basis.terms)), 0.0
    if (0, 0, 0) in basis.terms.powers:
        level = float(np.average(grid.values, weights=grid.weights))
        weights = level * basis.from_pixels[:, basis.terms.powers.index((0, 0, 0))]
    if scene.complete:
        x, y, _ = basis.terms.degrees
        moments = (all_moments(plane, (y, x), level) for plane in scene.planes)
        sums = _collect(scene, basis, weights, moments, progress)
    else:
        sums = _sum_pixels(scene, basis, weights, progress=progress)
    weights, sums, condition = _step(weights, sums)
    if condition < _ILL:
        # Solve again for the residual, which is left by rounding.
        for _ in range(2):
            weights, sums, _ = _step(weights, _sum_pixels(scene, basis, weights))
    return weights, sums


def _clip_pixels(
    scene: SurfacePlanes,
    basis: Basis,
    robust: Side,
    weights: Array,
    used: Mask,
    grid: CoarseGrid,
    stop: tuple[int, float],
    progress: Progress,
) -> tuple[Array, _Sums]:
    """Clip single pixels in the used areas, starting from a surface near the solution.

    The Gram matrix of the areas is good enough to step by, so it is not summed at every pass. Only
    the last pass sums everything, exactly.
    """
    passes, settled = stop
    near = grid.moments(grid.weights * used, basis.terms.degrees)[0]
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
        # As the functions are orthonormal, this is the root mean square change of the surface.
        if np.linalg.norm(weights - before) < settled * bounds.deviation:
            break
    sums = _sum_pixels(scene, basis, weights, bounds, used, progress=listen)
    weights, sums, _ = _step(weights, sums)
    return weights, sums


def _scattered(scene: SurfacePlanes, grid: CoarseGrid, used: Mask) -> CoarseGrid:
    """Sample single pixels to estimate the spread; use areas where few pixels are usable at all."""
    samples = scene.samples(used)
    for lattice in (samples.thinned(128), samples):
        if np.count_nonzero(lattice.weights) >= _LEAST_SAMPLES:
            return lattice
    return replace(grid, weights=grid.weights * used, floor=samples.floor)


def _step(weights: Array, sums: _Sums) -> tuple[Array, _Sums, float]:
    """Solve the equations; return the weights, the remaining sums, and the inverse condition."""
    change, condition = solve(sums.gram, sums.values)
    left = _Sums(
        sums.gram,
        sums.values - sums.gram @ change,
        sums.squares - float(change @ (sums.values + sums.cost @ (2 * weights + change))),
        sums.count,
        sums.cost,
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
    """Sum the residuals within bounds, with the sums of weights `near` if given."""
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
    return _collect(scene, basis, weights, moments, progress, near)


def _collect(
    scene: SurfacePlanes,
    basis: Basis,
    weights: Array,
    moments: Iterable[Moments],
    progress: Progress,
    near: Array | None = None,
) -> _Sums:
    """Add up the moments of all planes."""
    x, y, z = basis.terms.degrees
    heights = power_table(scaled_positions(scene.depth), 2 * z)[:, list(scene.heights)]
    plain = np.zeros((2 * z + 1, 2 * y + 1, 2 * x + 1))
    valued = np.zeros((z + 1, y + 1, x + 1))
    squares = 0.0
    for number, sums in enumerate(moments):
        progress(number / len(scene.planes), "fitting")
        if sums.weights is not None:
            plain += heights[:, number, None, None] * sums.weights
        valued += heights[: z + 1, number, None, None] * sums.values
        squares += sums.squares
    count = round(plain[0, 0, 0])
    plain = plain if near is None else near
    cost = plain[0, 0, 0] * basis.bends
    values = basis.project(valued) - cost @ weights
    return _Sums(basis.gram(plain), values, squares, count, cost)


def _flatness(
    scene: SurfacePlanes, grid: CoarseGrid, tensor: Array, used: Mask
) -> tuple[float, float]:
    """Return the unevenness of the background areas, before and after, over the image's range."""
    samples = np.concatenate([area.samples.ravel() for area in scene.areas])
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
