"""Watershed of heights: basins from peaks, joined where the saddle between them is shallow.

The entry is `split_touching` in `napari_unetseg.core.objects.masks`. This module imports numba and
is itself imported only when objects are split.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.compute.compilation import compiled
from napari_unetseg.core.compute.union_find import find_root

Array = NDArray[Any]

_compiled: Any = compiled()

_STEPS = 32


def basins(
    distance: NDArray[np.float32],
    depth: float,
    least: float,
    *,
    seed: float = 0.0,
    steps: int = _STEPS,
) -> NDArray[np.int32]:
    """Split the pixels of nonzero distance into the basins of its peaks.

    Pixels are visited from the highest distance down. A pixel without a visited neighbour is the
    peak of a new basin. Any other belongs to the basin of its highest neighbour, which it joins
    with each other basin beside it if the lower of both peaks is not high enough above this saddle.
    So every basin is connected, diagonals included.

    Parameters
    ----------
    distance
        (Y, X) or (Z, Y, X); 0 is background.
    depth, least
        Basins stay apart when the lower of their peaks is at least ``depth`` of its own height and
        at least `least` above the saddle.
    seed
        Peaks lower than this get no basin of their own where they touch a higher one.
    steps
        Number of steps per unit of distance to which it is quantised for sorting.

    Returns
    -------
    array of the same shape, int32
        Basins numbered from 1 by their first pixels; 0 is background.

    Notes
    -----
    Watershed by flooding with dynamics (Grimaud 1992), as a union-find over sorted pixels.
    About 150 ns for each pixel of an object.
    """
    shape = distance.shape
    volume = np.ascontiguousarray(distance).reshape((-1, *shape[-2:]))
    index = np.int32 if volume.size < 2**31 else np.int64
    order = np.empty(np.count_nonzero(volume), dtype=index)
    _sort(volume.reshape(-1), steps, order)
    parent = np.full(volume.size, -1, dtype=index)
    _flood(volume, order, parent, depth, least, seed)
    # Large images have no memory to spare for what is not needed any more.
    del distance, volume, order
    labels = np.zeros(parent.size, dtype=np.int32)
    _number(parent, labels)
    return labels.reshape(shape)


def grow_seeds(seeds: NDArray[np.int32], mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Assign every pixel of a mask to the seed that is the fewest steps away within it.

    Parameters
    ----------
    seeds
        (Y, X) or (Z, Y, X), of the shape of the mask: ids, 0 for no seed.
    mask
        Pixels without a path to a seed get no id.

    Returns
    -------
    array of the same shape, int32

    Notes
    -----
    Steps go to any neighbour, diagonals included. Of a seed in several pieces only the largest, the
    first among equals, grows, so that every id is connected. About 80 ns for each pixel of the
    mask.
    """
    inside = _largest_pieces(np.where(mask, seeds, 0).astype(np.int32))
    labels = inside.reshape((-1, *seeds.shape[-2:]))
    queue = np.empty(np.count_nonzero(mask), dtype=np.int64)
    _grow(labels, np.ascontiguousarray(mask).reshape(labels.shape), queue)
    return labels.reshape(seeds.shape)


def _largest_pieces(seeds: NDArray[np.int32]) -> NDArray[np.int32]:
    """Keep only the largest connected piece of each id, the first among equals."""
    from skimage.measure import label

    pieces = label(seeds, connectivity=seeds.ndim)
    sizes = np.bincount(pieces.reshape(-1))
    ids = np.zeros(len(sizes), np.int32)
    ids[pieces] = seeds
    sizes[0] = 0
    order = np.lexsort((-sizes, ids))
    first = np.diff(ids[order], prepend=-1) != 0
    kept = np.zeros_like(ids)
    kept[order[first]] = ids[order[first]]
    largest: NDArray[np.int32] = kept[pieces]
    return largest


@_compiled
def _sort(distance: Array, steps: int, order: Array) -> None:
    """Set `order` to the pixels of nonzero distance, the highest first (counting sort)."""
    top = 0
    for value in distance:
        top = max(top, int(value * steps))
    ends = np.zeros(top + 2, np.int64)
    for value in distance:
        if value > 0:
            ends[top - int(value * steps) + 1] += 1
    for k in range(top + 1):
        ends[k + 1] += ends[k]
    for at in range(distance.size):
        value = distance[at]
        if value > 0:
            k = top - int(value * steps)
            order[ends[k]] = at
            ends[k] += 1


@_compiled
def _flood(
    volume: Array, order: Array, parent: Array, depth: float, least: float, seed: float
) -> None:
    """Set `parent` so that every pixel leads to the peak of its basin."""
    n_planes, height, width = volume.shape
    distance = volume.reshape(-1)
    beside = np.empty(26, parent.dtype)
    for at in order:
        z, rest = divmod(at, height * width)
        y, x = divmod(rest, width)
        parent[at] = at
        own, n, highest = -1, 0, np.float32(0)
        for k in range(max(z - 1, 0), min(z + 2, n_planes)):
            for j in range(max(y - 1, 0), min(y + 2, height)):
                for i in range(max(x - 1, 0), min(x + 2, width)):
                    near = (k * height + j) * width + i
                    if near == at or parent[near] < 0:
                        continue
                    other = find_root(parent, near)
                    if n == 0 or beside[n - 1] != other:
                        beside[n] = other
                        n += 1
                    if distance[near] > highest:
                        own, highest = other, distance[near]
        if n == 0:
            continue
        # Basins are joined through a pixel of their own, so that each stays connected: those beside
        # the pixel are joined with the one that it belongs to, and not with each other.
        for other in beside[:n]:
            low, high = own, find_root(parent, other)
            if low == high:
                continue
            if distance[low] > distance[high]:
                low, high = high, low
            peak = distance[low]
            if peak < seed or peak - distance[at] < max(depth * peak, least):
                parent[low] = high
                own = high
        parent[at] = own


@_compiled
def _number(parent: Array, labels: Array) -> None:
    n = 0
    for at in range(parent.size):
        if parent[at] < 0:
            continue
        root = find_root(parent, at)
        if labels[root] == 0:
            n += 1
            labels[root] = n
        labels[at] = labels[root]


@_compiled
def _grow(volume: Array, mask: Array, queue: Array) -> None:
    """Fill the zeros of `volume` within the mask, breadth first."""
    n_planes, height, width = volume.shape
    labels, inside = volume.reshape(-1), mask.reshape(-1)
    last = 0
    for at in range(labels.size):
        if labels[at]:
            queue[last] = at
            last += 1
    first = 0
    while first < last:
        at = queue[first]
        first += 1
        z, rest = divmod(at, height * width)
        y, x = divmod(rest, width)
        for k in range(max(z - 1, 0), min(z + 2, n_planes)):
            for j in range(max(y - 1, 0), min(y + 2, height)):
                for i in range(max(x - 1, 0), min(x + 2, width)):
                    near = (k * height + j) * width + i
                    if inside[near] and not labels[near]:
                        labels[near] = labels[at]
                        queue[last] = near
                        last += 1


__all__ = ["basins", "grow_seeds"]
