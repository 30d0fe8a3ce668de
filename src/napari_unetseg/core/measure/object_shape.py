"""Object shape: ellipses from second moments, outlines from crossings, hulls and skeletons."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.progress import Progress, track

Floats = NDArray[np.float64]


def covariances(sums: Floats, spacing: Sequence[float]) -> Floats:
    """Compute the covariance matrix of each object's pixel positions.

    Parameters
    ----------
    sums
        (n, 10), see `napari_unetseg.core.compute.label_kernels`.
    spacing
        Physical size of a pixel along the last axes.

    Returns
    -------
    ndarray
        (n, ndim, ndim), axes in the order of `spacing`.
    """
    n = np.maximum(sums[:, 0], 1)
    mean = sums[:, 1:4] / n[:, None]
    whole = np.empty((len(sums), 3, 3))
    products = {(0, 0): 4, (1, 1): 5, (2, 2): 6, (0, 1): 7, (0, 2): 8, (1, 2): 9}
    for (a, b), column in products.items():
        whole[:, a, b] = whole[:, b, a] = sums[:, column] / n - mean[:, a] * mean[:, b]
    ndim = len(spacing)
    scale = np.asarray(spacing)
    moments: Floats = whole[:, 3 - ndim :, 3 - ndim :] * scale[:, None] * scale
    return moments


def ellipses(moments: Floats) -> dict[str, Floats]:
    """Compute the axes of the ellipse or ellipsoid with the same second moments.

    Parameters
    ----------
    moments
        (n, ndim, ndim), see `covariances`.

    Returns
    -------
    dict of str to ndarray
        ``major`` and ``minor``, for volumes also ``middle``: full lengths. For planes
        ``eccentricity`` (0 for a circle) and ``orientation`` (degrees from the row axis to the
        major axis, counter-clockwise, from -90 to 90), as in scikit-image.
    """
    spread = np.clip(np.linalg.eigvalsh(moments), 0, None)
    if moments.shape[-1] == 3:
        minor, middle, major = (np.sqrt(20 * spread[:, axis]) for axis in range(3))
        return {"major": major, "middle": middle, "minor": minor}
    small, large = spread[:, 0], spread[:, 1]
    ratio = np.divide(small, large, out=np.ones_like(small), where=large > 0)
    rows, columns, both = moments[:, 0, 0], moments[:, 1, 1], moments[:, 0, 1]
    return {
        "major": 4 * np.sqrt(large),
        "minor": 4 * np.sqrt(small),
        "eccentricity": np.sqrt(1 - ratio),
        "orientation": np.degrees(0.5 * np.arctan2(2 * both, rows - columns)),
    }


def directions(spacing: Sequence[float]) -> tuple[NDArray[np.int64], Floats]:
    """Return the directions of the test lines, and the weight of a crossing along each.

    Returns
    -------
    steps : (k, 3), int64
        In z, y, x: 4 directions for a plane, 13 for a volume.
    worth : (k,)
        Length or area of outline represented by one crossing along each direction.

    Notes
    -----
    Crofton's formula: the number of crossings of lines with an outline, averaged over all
    directions, is proportional to its length (area). Each direction represents all that are closer
    to it than to the others, so voxels may be anisotropic. D. Legland, K. Kiêu and M.-F. Devaux,
    Image Analysis & Stereology 26 (2007) 83.
    """
    ndim = len(spacing)
    grid = np.array(list(np.ndindex((3,) * ndim))) - 1
    half = grid[len(grid) // 2 + 1 :]
    real = half * np.asarray(spacing)
    lengths = np.linalg.norm(real, axis=1)
    share = _angle_shares(real / lengths[:, None])
    between = math.prod(spacing) / lengths
    steps = np.zeros((len(half), 3), dtype=np.int64)
    steps[:, 3 - ndim :] = half
    return steps, share * between * (math.pi / 2 if ndim == 2 else 2.0)


def _angle_shares(unit: Floats) -> Floats:
    """Compute the share of all directions closest to each given one; opposites count as one."""
    if unit.shape[1] == 2:
        angle = np.arctan2(unit[:, 0], unit[:, 1]) % math.pi
        order = np.argsort(angle)
        ahead = np.diff(angle[order], append=angle[order[0]] + math.pi)
        share = np.empty(len(unit))
        share[order] = (ahead + np.roll(ahead, 1)) / 2
        return share / math.pi
    from scipy.spatial import SphericalVoronoi

    areas = SphericalVoronoi(np.concatenate([unit, -unit])).calculate_areas()
    shares: Floats = areas[: len(unit)] / (2 * math.pi)
    return shares


def volume_hulls(
    volume: NDArray[Any],
    ids: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    spacing: Sequence[float],
    progress: Progress,
) -> Floats:
    """Measure the convex hull of each object of a volume.

    Parameters
    ----------
    volume
        (Z, Y, X), integers.
    ids, low, high
        (n,) and (n, 3): the objects and their boxes, both ends inclusive.

    Returns
    -------
    ndarray
        (n, 2): number of voxels whose centre is in the hull of the midpoints of all voxel faces,
        and the longest Feret diameter.
    """
    facts = np.zeros((len(ids), 2))
    for k in track(range(len(ids)), progress, "hulls"):
        box = tuple(slice(a, b + 1) for a, b in zip(low[k], high[k], strict=True))
        facts[k] = _hull_of(volume[box] == ids[k], spacing)
    return facts


def _hull_of(mask: NDArray[np.bool_], spacing: Sequence[float]) -> tuple[float, float]:
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist

    any_x = mask.any(axis=2)
    z, y = np.nonzero(any_x)
    if not len(z):
        return 0.0, 0.0
    first = mask.argmax(axis=2)[any_x]
    last = mask.shape[2] - 1 - mask[:, :, ::-1].argmax(axis=2)[any_x]
    ends = np.concatenate([np.column_stack([z, y, x]) for x in (first, last)]).astype(float)
    faces = np.concatenate([np.eye(3), -np.eye(3)]) / 2
    hull = ConvexHull((ends[:, None] + faces).reshape(-1, 3))
    corners = hull.points[hull.vertices] * np.asarray(spacing)
    return float(_voxels_inside(hull.equations, mask.shape)), float(pdist(corners).max())


def _voxels_inside(planes: Floats, shape: tuple[int, ...]) -> int:
    """Count the voxels of a box on the inner side of all planes, (m, 4): normal and offset."""
    at = np.stack(np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij"), -1)
    rest = -(at.reshape(-1, 2) @ planes[:, :2].T + planes[:, 3])  # upper limit of slope times x
    slope = planes[:, 2]
    level = np.abs(slope) < 1e-12
    rising, falling = (slope > 0) & ~level, (slope < 0) & ~level
    high = (rest[:, rising] / slope[rising]).min(axis=1, initial=shape[2] - 1)
    low = (rest[:, falling] / slope[falling]).max(axis=1, initial=0)
    lengths = np.floor(high + 1e-9) - np.ceil(low - 1e-9) + 1
    lengths[(rest[:, level] < -1e-9).any(axis=1)] = 0
    return int(np.clip(lengths, 0, None).sum())


def skeletons(
    block: NDArray[Any],
    ids: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    spacing: Sequence[float],
    spurs: float,
    progress: Progress,
) -> Floats:
    """Measure the skeleton of each object of a plane or volume.

    Parameters
    ----------
    block
        (Y, X) or (Z, Y, X), integers.
    ids, low, high
        (n,) and (n, 3): the objects and their boxes.
    spurs
        End branches up to this length are removed.

    Returns
    -------
    ndarray
        (n, 4): length, branches, end points, branch points.
    """
    from skimage.morphology import skeletonize

    from napari_unetseg.core.measure.skeleton_kernels import STEPS, skeleton_facts

    ndim = block.ndim
    steps = np.ones(3)
    steps[3 - ndim :] = spacing
    facts = np.zeros((len(ids), 4))
    for k in track(range(len(ids)), progress, "skeletons"):
        box = tuple(slice(a, b + 1) for a, b in zip(low[k][-ndim:], high[k][-ndim:], strict=True))
        thin = skeletonize(np.pad(block[box] == ids[k], 1))
        pixels = np.argwhere(thin.reshape((1,) * (3 - ndim) + thin.shape))
        if len(pixels):
            facts[k] = skeleton_facts(pixels + 1, STEPS, steps, spurs)
    return facts


__all__ = [
    "covariances",
    "directions",
    "ellipses",
    "skeletons",
    "volume_hulls",
]
