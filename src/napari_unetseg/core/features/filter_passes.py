"""Passes of the filter bank: which compiled kernel runs over which region.

All features are computed from one smoothed copy of the image per scale. It is somewhat larger than
the result, so that differences, and the smoothed products of differences that make the structure
tensor, are exact up to the edge of the result.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.compute.parallel_rows import map_strips
from napari_unetseg.core.errors import InputError

FloatArray = NDArray[np.float32]

TRUNCATE = 3.0
"""Radius at which a Gaussian kernel is cut, in standard deviations."""

INTEGRATION = 1.0
"""Scale of the averaging of the structure tensor, relative to that of its gradients."""

DIFFERENCE_REACH = 2
"""Radius of the difference filters, in pixels."""


class Bank:
    """Filter bank of one channel: arrays as volumes (Z, Y, X), and scratch reused between scales.

    Parameters
    ----------
    source
        (*spatial), the channel with a margin of `reach`, contiguous.
    out
        (F, *spatial), written.
    reach
        Margin along each spatial axis: at least the reach of every filter.
    spacing
        Physical pixel size along each spatial axis.
    intensity
        Whether the first feature is the intensity itself.
    chosen
        Whether to compute Gaussian, gradient, Laplacian, Hessian and structure.
    """

    def __init__(
        self,
        source: FloatArray,
        out: FloatArray,
        reach: tuple[int, ...],
        spacing: Sequence[float],
        intensity: bool,
        chosen: tuple[bool, ...],
    ) -> None:
        self.ndim = source.ndim
        self.source = source if self.ndim == 3 else source[None]
        self.out = out if self.ndim == 3 else out[:, None]
        self.reach = (0,) * (3 - self.ndim) + reach
        self.spacing = spacing
        self.intensity = intensity
        self.gaussian, self.structure = chosen[0], chosen[4]
        self.derived = any(chosen[1:])
        numbers = (1, 1, 1, self.ndim, self.ndim)
        self.counts = tuple(n if use else 0 for n, use in zip(numbers, chosen, strict=True))
        self.scratch: dict[str, FloatArray] = {}

    def run(self, scales: Sequence[float]) -> None:
        """Compute the features of all scales, in order."""
        if self.intensity:
            self.out[0] = _inside(self.source, self.reach)
        for number, sigma in enumerate(scales):
            self._scale(sigma, int(self.intensity) + number * sum(self.counts))

    def _scale(self, sigma: float, feature: int) -> None:
        """Compute the features of one scale, starting at index `feature`."""
        along = axis_sigmas(sigma, self.ndim, self.spacing)
        widths = (0.0,) * (3 - self.ndim) + along
        at = self._places(feature)
        if not self.derived:
            self._smooth(widths, (0, 0, 0), self.out[at[0]])
            return
        integration = tuple(INTEGRATION * s for s in widths)
        edge = tuple(radius(s) if self.structure and s else 0 for s in integration)
        beyond = tuple(e + DIFFERENCE_REACH if s else 0 for e, s in zip(edge, widths, strict=True))
        shape = tuple(n + 2 * b for n, b in zip(self.out.shape[1:], beyond, strict=True))
        smooth = self._smooth(widths, beyond, self._take("smooth", shape))
        if self.gaussian:
            self.out[at[0]] = _inside(smooth, beyond)
        products = self._derive(smooth, widths, edge, at[1:4])
        if self.structure:
            self._structure(products, integration, at[4])

    def _places(self, feature: int) -> tuple[int, ...]:
        """Return the index of the first feature of each filter, -1 for filters not chosen."""
        starts = feature + np.cumsum((0, *self.counts[:-1]))
        return tuple(int(start) if n else -1 for start, n in zip(starts, self.counts, strict=True))

    def _smooth(
        self, widths: tuple[float, ...], beyond: tuple[int, ...], out: FloatArray
    ) -> FloatArray:
        """Write the smoothed volume, extended by `beyond` on each side, to `out`; return it."""
        from napari_unetseg.core.features.filter_kernels import smooth_planes, smooth_slices

        shift = tuple(r - b for r, b in zip(self.reach, beyond, strict=True))
        kernels = tuple(kernel(s) for s in widths)
        source = self.source
        if self.ndim == 3:
            middle = self._take("middle", (len(out), *source.shape[1:]))
            _on_lines(smooth_slices, middle, source, shift[0], kernels[0], middle)
            source = middle
        _on_lines(smooth_planes, out, source, *shift[1:], *kernels[1:], out)
        return out

    def _derive(
        self,
        smooth: FloatArray,
        widths: tuple[float, ...],
        edge: tuple[int, ...],
        at: tuple[int, ...],
    ) -> FloatArray:
        """Write the features from differences; return the products for the structure tensor."""
        from napari_unetseg.core.features.filter_kernels import derive_plane, derive_volume

        n_products = {2: 3, 3: 6}[self.ndim]
        region = tuple(n + 2 * e for n, e in zip(self.out.shape[1:], edge, strict=True))
        if self.structure:
            products = self._take("products", (n_products, *region))
        else:
            products = np.empty((n_products, 0, 0, 0), np.float32)
        derive = derive_plane if self.ndim == 2 else derive_volume
        edges, indices = np.array(edge), np.array(at)
        scale = np.array(widths, np.float32)
        _on_region(derive, region, smooth, edges, scale, self.out, indices, products)
        return products

    def _structure(self, products: FloatArray, widths: tuple[float, ...], at: int) -> None:
        from napari_unetseg.core.features.filter_kernels import (
            smooth_planes,
            smooth_slices,
            structure_plane,
            structure_volume,
        )

        kernels = tuple(kernel(s) for s in widths)
        shape = self.out.shape[1:]
        if self.ndim == 2:
            _on_region(structure_plane, shape, products, *kernels[1:], self.out, at)
            return
        tensor = self._take("tensor", (len(products), *shape))
        middle = self._take("middle", (shape[0], *products.shape[2:]))
        reach = tuple(len(weights) - 1 for weights in kernels)
        for product, target in zip(products, tensor, strict=True):
            _on_lines(smooth_slices, middle, product, reach[0], kernels[0], middle)
            _on_lines(smooth_planes, target, middle, *reach[1:], *kernels[1:], target)
        _on_region(structure_volume, shape, tensor, self.out, at)

    def _take(self, name: str, shape: tuple[int, ...]) -> FloatArray:
        """Return a scratch array of `shape`, reusing memory of an earlier scale if large enough."""
        size = math.prod(shape)
        held = self.scratch.get(name)
        if held is None or held.size < size:
            held = self.scratch[name] = np.empty(size, np.float32)
        return held[:size].reshape(shape)


def _on_lines(function: Any, target: FloatArray, *arguments: Any) -> None:
    """Run a compiled pass on all lines of `target`."""
    _on_region(function, target.shape, *arguments)


def _on_region(function: Any, shape: tuple[int, ...], *arguments: Any) -> None:
    """Run a compiled pass on all lines of a (Z, Y, X) region."""
    map_strips(lambda start, stop: function(*arguments, start, stop), shape[0] * shape[1])


def _inside(volume: FloatArray, edge: tuple[int, ...]) -> FloatArray:
    """Crop `edge` pixels from each side."""
    return volume[tuple(slice(e, n - e) for e, n in zip(edge, volume.shape, strict=True))]


def axis_sigmas(sigma: float, ndim: int, spacing: Sequence[float]) -> tuple[float, ...]:
    """Convert a scale to pixels of each axis.

    Parameters
    ----------
    sigma
        In pixels of the finest axis.
    ndim
        Number of spatial axes.
    spacing
        Physical pixel size along each axis; isotropic when empty.

    Raises
    ------
    InputError
        When the length of `spacing` differs from the number of axes.
    """
    steps = tuple(spacing) if len(spacing) else (1.0,) * ndim
    if len(steps) != ndim:
        raise InputError(
            f"The spacing {steps} has {len(steps)} numbers for {ndim} spatial axes. "
            "Give one for each."
        )
    return tuple(sigma * min(steps) / step for step in steps)


def radius(sigma: float) -> int:
    """Return the radius of a Gaussian kernel in pixels: at least one."""
    return max(math.ceil(TRUNCATE * sigma - 1e-9), 1)


def kernel(sigma: float) -> FloatArray:
    """Return the weights of a sampled Gaussian of sum 1, from its centre outwards."""
    return half_gaussian(sigma, radius(sigma)) if sigma else np.ones(1, np.float32)


def half_gaussian(sigma: float, reach: int) -> FloatArray:
    """Return the weights of a Gaussian that is cut `reach` pixels from its centre: (reach + 1,)."""
    weights = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    kernel: FloatArray = (weights / (2 * weights.sum() - weights[0])).astype(np.float32)
    return kernel
