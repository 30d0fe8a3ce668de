"""Inputs of the network for prompts: the pixels of a crop, and maps of the prompt."""

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.prompts.crops import SIDE, Crop
from napari_unetseg.core.prompts.grow_region import FLAT, discs, distances, edges_of

FloatArray = NDArray[np.float32]
Points = NDArray[np.float64]

RADIUS = 2.5
"""Of the disc of a click, in pixels of a crop."""

REACH = 4.0
"""Cost of the way from a click at which its closeness has fallen to a third."""


def maps_of(
    crop: Crop,
    inside: Points,
    outside: Points,
    box: Points | None,
    previous: FloatArray | None,
    edges: FloatArray | None = None,
) -> FloatArray:
    """Return the channels of a prompt in a crop.

    Parameters
    ----------
    crop
        Where it is.
    inside, outside
        (n, 2): rows and columns of points in pixels of the crop.
    box
        (2, 2): first and last corner, or None.
    previous
        (SIDE, SIDE): probability of the object so far, or None.
    edges
        Those of the crop, if known.

    Returns
    -------
    float32 (10, SIDE, SIDE)
        The three colours; how much they differ from those at the points inside; closeness by the
        cheapest way from these; discs of the points inside and outside; the box; the object so
        far; the image.
    """
    maps = np.zeros((10, SIDE, SIDE), np.float32)
    maps[:3] = crop.pixels
    seeds = discs(inside, RADIUS)
    if seeds.any():
        usual = crop.pixels[:, seeds].mean(1)
        maps[3] = np.minimum(np.abs(crop.pixels - usual[:, None, None]).mean(0), 4)
        edges = edges_of(crop) if edges is None else edges
        maps[4] = np.exp(distances(np.float32(FLAT) + edges, seeds) / np.float32(-REACH))
    maps[5] = seeds
    maps[6] = discs(outside, RADIUS)
    if box is not None:
        y, x = np.ogrid[:SIDE, :SIDE]
        rows = (y >= box[0, 0] - 0.5) & (y <= box[1, 0] + 0.5)
        maps[7] = rows & (x >= box[0, 1] - 0.5) & (x <= box[1, 1] + 0.5)
    if previous is not None:
        maps[8] = previous
    maps[9] = crop.valid
    return maps


__all__ = ["RADIUS", "maps_of"]
