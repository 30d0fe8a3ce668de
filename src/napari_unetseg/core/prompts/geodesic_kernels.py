"""Compiled geodesic distances: the cheapest way from a seed to each pixel.

This module imports numba and is itself imported only for prompts.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.compute.compilation import compiled

_compiled: Any = compiled()


@_compiled
def spread(
    cost: NDArray[np.float32], distance: NDArray[np.float32], passes: int
) -> NDArray[np.float32]:
    """Lower distances (Y, X) in place to those along the cheapest ways, and return them.

    Parameters
    ----------
    cost
        Of a step of one pixel.
    distance
        0 at seeds, large elsewhere.
    passes
        Sweeps over the image, there and back; fewer are done when nothing changes.
    """
    height, width = cost.shape
    diagonal = np.float32(1.41421356)
    for _ in range(passes):
        changed = False
        for y in range(height):
            for x in range(width):
                best, here = distance[y, x], cost[y, x]
                if x > 0:
                    best = min(best, distance[y, x - 1] + here)
                if y > 0:
                    best = min(best, distance[y - 1, x] + here)
                    if x > 0:
                        best = min(best, distance[y - 1, x - 1] + diagonal * here)
                    if x + 1 < width:
                        best = min(best, distance[y - 1, x + 1] + diagonal * here)
                if best < distance[y, x]:
                    distance[y, x] = best
                    changed = True
        for y in range(height - 1, -1, -1):
            for x in range(width - 1, -1, -1):
                best, here = distance[y, x], cost[y, x]
                if x + 1 < width:
                    best = min(best, distance[y, x + 1] + here)
                if y + 1 < height:
                    best = min(best, distance[y + 1, x] + here)
                    if x > 0:
                        best = min(best, distance[y + 1, x - 1] + diagonal * here)
                    if x + 1 < width:
                        best = min(best, distance[y + 1, x + 1] + diagonal * here)
                if best < distance[y, x]:
                    distance[y, x] = best
                    changed = True
        if not changed:
            break
    return distance
