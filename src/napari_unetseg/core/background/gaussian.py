"""Gaussian smoothing of planes, compiled, ignoring pixels that are not finite."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.compute.parallel_rows import map_strips

Array = NDArray[Any]
Plane = NDArray[np.float32]

_TRUNCATE = 4.0


def gaussian(plane: Array, sigma: float) -> Plane:
    """Smooth a plane with a Gaussian.

    Parameters
    ----------
    plane
        (Y, X), any dtype. NaN and infinite pixels have weight 0 and are NaN in the result.
    sigma
        Standard deviation in pixels.

    Returns
    -------
    array (Y, X), float32
        As ``scipy.ndimage.gaussian_filter``: the kernel is cut at four standard deviations, and the
        image is mirrored at its edges.

    Notes
    -----
    Two one-dimensional compiled passes in a single sweep over the rows, on all cores.
    """
    values = np.asarray(plane, dtype=np.float32)
    finite = np.isfinite(values) if plane.dtype.kind == "f" else None
    if finite is None or finite.all():
        return _convolve(values, sigma)
    weights = _convolve(finite.astype(np.float32), sigma)
    smoothed = _convolve(np.where(finite, values, np.float32(0)), sigma)
    smoothed /= np.maximum(weights, np.float32(1e-12))
    smoothed[~finite] = np.nan
    return smoothed


def kernel_radius(sigma: float) -> int:
    """Return the radius of the kernel in pixels."""
    return max(1, math.floor(_TRUNCATE * sigma + 0.5))


def _convolve(values: Plane, sigma: float) -> Plane:
    from napari_unetseg.core.features.filter_kernels import smooth_planes
    from napari_unetseg.core.features.filter_passes import half_gaussian

    reach = kernel_radius(sigma)
    kernel = half_gaussian(sigma, reach)
    source = np.pad(values, reach, mode="symmetric")[None]
    out = np.empty((1, *values.shape), dtype=np.float32)
    map_strips(
        lambda a, b: smooth_planes(source, reach, reach, kernel, kernel, out, a, b), len(values)
    )
    smoothed: Plane = out[0]
    return smoothed


__all__ = ["gaussian", "kernel_radius"]
