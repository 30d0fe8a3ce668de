"""Growing of an object from a click without any training: edges, and ways that avoid them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.prompts.crops import SIDE, Crop
from napari_unetseg.core.prompts.prompt import Prompt

FloatArray = NDArray[np.float32]

RADIUS = 2.0
"""Of the disc of a click, in pixels of a crop."""

FAR = np.float32(1e6)
FLAT = 0.03
"""Cost of a step without any edge, beside 1 for the strongest edges."""


@dataclass(frozen=True, eq=False)
class GrownObject:
    """An object in a crop.

    Parameters
    ----------
    field
        float32 (SIDE, SIDE): the object where above 0.5.
    score
        Expected intersection over union.
    """

    field: FloatArray
    score: float


def edges_of(crop: Crop) -> FloatArray:
    """Return the strength of edges (SIDE, SIDE), about 1 at the strongest."""
    from scipy import ndimage

    strength = np.zeros((SIDE, SIDE), np.float32)
    for channel in crop.pixels:
        strength = np.maximum(strength, ndimage.gaussian_gradient_magnitude(channel, 1.0))
        if np.array_equal(crop.pixels[0], crop.pixels[-1]):
            break
    return scaled_edges(strength, crop)


def scaled_edges(strength: FloatArray, crop: Crop) -> FloatArray:
    """Return the strength of edges of a crop, scaled to about 1 at the strongest."""
    within = crop.valid > 0.5
    usual = float(np.percentile(strength[within], 95)) if within.any() else 0.0
    strength = np.minimum(strength / max(usual, 1e-6), 1.0)
    strength[~within] = 1.0
    return strength


def discs(points: NDArray[np.float64], radius: float = RADIUS) -> NDArray[np.bool_]:
    """Return the mask (SIDE, SIDE) of discs around points of a crop."""
    mask = np.zeros((SIDE, SIDE), bool)
    y, x = np.ogrid[:SIDE, :SIDE]
    for row, column in points:
        mask |= (y - row) ** 2 + (x - column) ** 2 <= radius**2
    return mask


def distances(cost: FloatArray, seeds: NDArray[np.bool_]) -> FloatArray:
    """Return the cheapest way from the seeds to each pixel."""
    from napari_unetseg.core.prompts.geodesic_kernels import spread

    return np.asarray(spread(cost, np.where(seeds, np.float32(0), FAR), 6))


def seeds_of(crop: Crop, prompt: Prompt) -> NDArray[np.int32] | None:
    """Return where a crop is surely of the object (1), and surely not (2); else 0.

    Returns
    -------
    int32 (SIDE, SIDE) or None
        None where no point lies in the crop.
    """
    points = prompt.inside or ((prompt.anchor,) if prompt.anchor else ())
    inside = discs(crop.window.crop_points(points), 1.5)
    if not inside.any():
        return None
    outside = np.ones((SIDE, SIDE), bool)
    outside[1:-1, 1:-1] = False
    if prompt.box is not None:
        first, last = np.round(crop.window.crop_points([prompt.box[:2], prompt.box[2:]])).astype(
            int
        )
        outside[:] = True
        outside[max(first[0], 0) : last[0] + 1, max(first[1], 0) : last[1] + 1] = False
    outside |= discs(crop.window.crop_points(prompt.outside), 1.5)
    return np.where(inside, 1, np.where(outside, 2, 0)).astype(np.int32)


def grown(crop: Crop, prompt: Prompt, edges: FloatArray | None = None) -> GrownObject | None:
    """Grow an object from the points of a prompt: edges are flooded from these and from outside.

    Parameters
    ----------
    edges
        Those of the crop if None, see `edges_of`.

    Returns
    -------
    GrownObject or None
        None where no point lies in the crop.
    """
    from skimage.segmentation import watershed

    seeds = seeds_of(crop, prompt)
    if seeds is None:
        return None
    edges = edges_of(crop) if edges is None else edges
    region = watershed(edges, seeds) == 1
    boxed = prompt.box is not None
    return GrownObject(region.astype(np.float32), edge_score(edges, region, crop, boxed=boxed))


def edge_score(edges: FloatArray, region: NDArray[np.bool_], crop: Crop, *, boxed: bool) -> float:
    """Rate a region by the strength of the edges around it, beside those within it."""
    from scipy import ndimage

    filled = ndimage.binary_fill_holes(region)
    inner = ndimage.binary_erosion(filled, border_value=1)
    rim = ndimage.binary_dilation(filled) & ~inner
    if not rim.any():
        return 0.0
    around = float(edges[rim].mean())
    within = float(edges[inner].mean()) if inner.any() else 0.0
    at_end = np.zeros_like(region)
    at_end[[0, -1]] = at_end[:, [0, -1]] = True
    cut = np.count_nonzero(filled & at_end & (crop.valid > 0.5)) / np.count_nonzero(rim)
    score = around * (around - 0.7 * within) / max(around, 1e-6) * (1 - min(3 * cut, 1.0))
    if boxed:
        score *= 0.5 + 0.5 * np.count_nonzero(filled) / region.size
    return float(np.clip(score, 0, 1))


__all__ = [
    "GrownObject",
    "discs",
    "distances",
    "edge_score",
    "edges_of",
    "grown",
    "scaled_edges",
    "seeds_of",
]
