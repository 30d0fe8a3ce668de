"""Growing of an object from a click without any training: geodesic distance and edge contrast."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unetseg.core.prompts.crops import SIDE, Crop
from napari_unetseg.core.prompts.prompt import Prompt

FloatArray = NDArray[np.float32]

RADIUS = 2.0
"""Of the disc of a click, in pixels of a crop."""

FAR = np.float32(1e6)
FLAT = 0.03
"""Cost of a step without any edge, beside 1 for the strongest edges."""

LEVELS = 28
"""Sizes that are tried."""

SMALLEST_SHARE, LARGEST_SHARE = 0.004, 0.6
"""Of the pixels of a crop, in an object."""


@dataclass(frozen=True, eq=False)
class Grown:
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
    strength = np.zeros((SIDE, SIDE), np.float32)
    for channel in crop.pixels:
        strength = np.maximum(strength, ndimage.gaussian_gradient_magnitude(channel, 1.0))
        if np.array_equal(crop.pixels[0], crop.pixels[-1]):
            break
    return np.minimum(strength / max(float(np.percentile(strength, 95)), 1e-6), 1.0)


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


def grown(crop: Crop, prompt: Prompt) -> Grown | None:
    """Grow an object from the points of a prompt in a crop, as far as its edges are strongest.

    Returns
    -------
    Grown or None
        None where no size has an edge around it.
    """
    edges = edges_of(crop)
    cost = np.float32(FLAT) + edges
    points = prompt.inside or ((prompt.anchor,) if prompt.anchor else ())
    inside = discs(crop.window.crop_points(points), 1.5)
    if not inside.any():
        return None
    away = distances(cost, inside)
    allowed = crop.valid > 0.5
    if prompt.box is not None:
        corners = crop.window.crop_points([prompt.box[:2], prompt.box[2:]])
        y, x = np.ogrid[:SIDE, :SIDE]
        allowed &= (y >= corners[0, 0]) & (y <= corners[1, 0])
        allowed &= (x >= corners[0, 1]) & (x <= corners[1, 1])
    if prompt.outside:
        outside = discs(crop.window.crop_points(prompt.outside), 1.5) & ~inside
        if outside.any():
            allowed &= away < distances(cost, outside)
    away = np.where(allowed, away, FAR)
    order = np.sort(away[allowed])
    areas = np.unique(np.geomspace(SMALLEST_SHARE, LARGEST_SHARE, LEVELS) * SIDE**2).astype(int)
    levels = [float(order[area]) for area in areas if area < len(order)]
    if prompt.box is not None and len(order):
        levels.append(float(order[-1]))
    best: Grown | None = None
    for level in levels:
        score = _edge_score(edges, away <= level, crop, boxed=prompt.box is not None)
        if best is None or score > best.score:
            width = max(0.15 * level, 1e-6)
            field = 1 / (1 + np.exp(np.clip((away - level) / width, -30, 30)))
            best = Grown(field.astype(np.float32), score)
    return best


def _edge_score(edges: FloatArray, region: NDArray[np.bool_], crop: Crop, *, boxed: bool) -> float:
    """Rate a region by the strength of the edges around it, beside those within it."""
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


__all__ = ["Grown", "discs", "distances", "edges_of", "grown"]
