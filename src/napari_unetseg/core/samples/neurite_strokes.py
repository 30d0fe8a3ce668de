"""Tapering strokes: grown as branching random walks, drawn with one distance transform."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unetseg.core.samples.scene import Doubles, Floats, Ints

MARGIN = 32
"""How far outside the image strokes are still drawn, in pixels."""


@dataclass(frozen=True, eq=False)
class Strokes:
    """Points along strokes: position (y, x) and radius in pixels, owner from 1."""

    points: Doubles
    radii: Doubles
    owners: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Tips:
    """Growing ends of strokes: position, direction, curvature, thickness and remaining length."""

    at: Doubles
    heading: Doubles
    bend: Doubles
    girth: Doubles
    base: Doubles
    length: Doubles
    walked: Doubles
    owner: NDArray[np.int32]

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> "Tips":
        """Select some of the tips."""
        return Tips(
            self.at[which],
            self.heading[which],
            self.bend[which],
            self.girth[which],
            self.base[which],
            self.length[which],
            self.walked[which],
            self.owner[which],
        )


def grow_strokes(
    rng: np.random.Generator, tips: Tips, *, branching: float, step: float = 0.7
) -> Strokes:
    """Grow every tip to the end of its length, with random branching.

    Parameters
    ----------
    branching
        Mean number of branches per 100 pixels of a stroke.

    Notes
    -----
    All tips advance together, one step at a time, so the cost is that of the longest. The curvature
    of a path is a first-order autoregression: it meanders and keeps its direction. Its radius falls
    from `base` near the root and then slowly from `girth`, with swellings.
    """
    points, radii, owners = [], [], []
    while len(tips.at):
        swelling = 1 + 0.18 * np.sin(tips.walked / 4.5 + 5 * tips.owner)
        fall = 1 - 0.62 * tips.walked / (tips.walked + tips.length)
        radius = tips.girth * fall * swelling + tips.base * np.exp(-tips.walked / 7)
        points.append(tips.at)
        radii.append(np.maximum(radius, 0.75))
        owners.append(tips.owner)
        tips = _branched(rng, _walked(rng, tips, step), branching * step / 100)
    return Strokes(np.concatenate(points), np.concatenate(radii), np.concatenate(owners))


def draw_strokes(shape: tuple[int, int], strokes: Strokes) -> tuple[Floats, Floats, Ints]:
    """Draw strokes: return their relative depth, radius and owner at each pixel.

    Returns
    -------
    depth
        1 on the centre line of a stroke, 0 on its edge and outside.
    radius
        Radius of the nearest stroke, in pixels; 0 outside.
    owner
        Id of the nearest stroke, 0 outside.

    Notes
    -----
    Each pixel looks up the nearest pixel on a centre line, by one Euclidean feature transform, and
    measures its distance to the exact point there.
    """
    padded = (shape[0] + 2 * MARGIN, shape[1] + 2 * MARGIN)
    pixel = np.rint(strokes.points).astype(np.intp) + MARGIN
    inside = np.all((pixel >= 0) & (pixel < padded), axis=1)
    # The thickest come last, and where a pixel is assigned twice the last value stays.
    order = np.flatnonzero(inside)[np.argsort(strokes.radii[inside], kind="stable")]
    if not order.size:
        nothing = np.zeros(shape, np.float32)
        return nothing, nothing.copy(), np.zeros(shape, np.int32)
    which = np.full(padded, -1, np.int32)
    which[tuple(pixel[order].T)] = order
    nearest = ndimage.distance_transform_edt(which < 0, return_distances=False, return_indices=True)
    inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
    index = which[tuple(nearest)][inner]
    y, x = np.ogrid[: shape[0], : shape[1]]
    dy = y - strokes.points[:, 0].astype(np.float32)[index]
    dx = x - strokes.points[:, 1].astype(np.float32)[index]
    radius = strokes.radii.astype(np.float32)[index]
    depth = np.clip(1 - np.hypot(dy, dx) / radius, 0, None)
    inside = depth > 0
    owner = np.where(inside, strokes.owners[index], 0).astype(np.int32)
    return depth.astype(np.float32), np.where(inside, radius, 0).astype(np.float32), owner


def _walked(rng: np.random.Generator, tips: Tips, step: float) -> Tips:
    bend = 0.93 * tips.bend + 0.0075 * rng.standard_normal(len(tips.bend))
    heading = tips.heading + step * bend
    at = tips.at + step * np.stack([np.sin(heading), np.cos(heading)], axis=1)
    walked = tips.walked + step
    moved = Tips(at, heading, bend, tips.girth, tips.base, tips.length, walked, tips.owner)
    return moved.take(walked < tips.length)


def _branched(rng: np.random.Generator, tips: Tips, chance: float) -> Tips:
    draws = rng.uniform(size=len(tips.at))
    forks = np.flatnonzero((draws < chance) & (tips.walked > 12))
    if not forks.size:
        return tips
    parent = tips.take(forks)
    side = rng.choice([-1.0, 1.0], forks.size)
    child = Tips(
        parent.at,
        parent.heading + side * rng.uniform(0.5, 1.0, forks.size),
        -side * 0.008,
        0.75 * parent.girth,
        np.zeros(forks.size),
        rng.uniform(0.4, 0.9, forks.size) * (parent.length - parent.walked) + 6,
        np.zeros(forks.size),
        parent.owner,
    )
    heading = tips.heading.copy()
    heading[forks] -= 0.3 * side
    return Tips(
        np.concatenate([tips.at, child.at]),
        np.concatenate([heading, child.heading]),
        np.concatenate([tips.bend, child.bend]),
        np.concatenate([tips.girth, child.girth]),
        np.concatenate([tips.base, child.base]),
        np.concatenate([tips.length, child.length]),
        np.concatenate([tips.walked, child.walked]),
        np.concatenate([tips.owner, child.owner]),
    )
