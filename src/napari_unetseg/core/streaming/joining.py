"""What one process does with what was found in all blocks: join, number, group to measure."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.linking import link_objects
from napari_unetseg.core.pieces import joined, numbered
from napari_unetseg.core.progress import Progress, part, track
from napari_unetseg.core.streaming.folder import Arrays, RunFolder
from napari_unetseg.core.streaming.grid import Grid
from napari_unetseg.core.streaming.work import RAW, Work

_ENDLESS = 2**40
_GIANT = 2
"""Blocks wide or high: objects larger than this are measured by themselves."""


def join(work: Work, number: int, largest: int, progress: Progress) -> Arrays:
    """Divide the pieces that lie in several blocks of a plane or stack, and number its objects.

    Parameters
    ----------
    number
        Of the plane or stack.
    largest
        Pixels of the largest box around a piece.

    Returns
    -------
    dict
        ``own``: the number of each object that lies in one block, block after block, from 1 and 0
        of those that turned out to lie in a hole; ``counts``: how many there are in each block;
        ``pieces``: of those that lie in several; ``n``: the number of all.
    """
    grid, folder = work.grid, work.folder
    index, blocks = grid.indices[number], grid.blocks
    first = number * len(blocks)
    found = {place: folder.found("objects", first + at) for at, place in enumerate(blocks)}
    pieces = joined(
        blocks, {place: work.crossing(one) for place, one in found.items()}, largest=largest
    )
    counts = np.array([len(one["firsts"]) for one in found.values()])
    firsts = [one["firsts"] for one in found.values()]
    del found
    raw, n = folder.array(RAW), 0
    for piece in track(pieces, part(progress, 0, 0.8), "joining objects"):
        one = work.piece(index, piece)
        at = grid.at(index, one.box)
        passing = np.where(one.labels > 0, -(one.labels + np.int32(n)), 0)
        raw[at] = np.where(one.own, passing, np.asarray(raw[at]))
        firsts.append(one.firsts)
        n += len(one.firsts)
    places = np.concatenate([np.zeros(0, np.int64), *firsts])
    there = np.ones(len(places), bool)
    if work.evidence.maker().fill_holes:  # what lay in a hole was part of what is around it
        there = _left(work, index, counts, n, part(progress, 0.8, 1))
    numbers = numbered(places, there, 1)
    total = int(counts.sum())
    return {
        "own": numbers[:total],
        "counts": counts,
        "pieces": numbers[total:],
        "n": np.array(int(there.sum())),
    }


def _left(
    work: Work, index: tuple[int, ...], counts: NDArray[np.int64], n: int, progress: Progress
) -> NDArray[np.bool_]:
    """Return which objects still have a pixel: those of blocks in order, then those of pieces."""
    raw, blocks = work.folder.array(RAW), work.grid.blocks
    starts = np.concatenate([[0], np.cumsum(counts)])
    there = np.zeros(starts[-1] + n, bool)
    for number, place in enumerate(track(list(blocks), progress, "joining objects")):
        ids = np.unique(np.asarray(raw[work.grid.at(index, blocks.box(place))]))
        there[starts[number] + ids[ids > 0] - 1] = True
        there[starts[-1] - 1 - ids[ids < 0]] = True
    return there


def numbers_of(grid: Grid, folder: RunFolder, todo: Sequence[int]) -> Iterator[tuple[int, Arrays]]:
    """Yield for each block what its objects are called in the end."""
    n, per = 0, len(grid.blocks)
    wanted = set(todo)
    for number in range(len(grid.indices)):
        kept = folder.found("joined", number)
        stops = np.cumsum(kept["counts"])
        pieces = _raised(kept["pieces"], n)
        for at, stop in enumerate(stops):
            if number * per + at in wanted:
                own = kept["own"][stop - kept["counts"][at] : stop]
                yield number * per + at, {"own": _raised(own, n), "pieces": pieces}
        n += int(kept["n"])


def count_of(grid: Grid, folder: RunFolder) -> int:
    """Return how many objects there are before any are linked."""
    return sum(int(folder.found("joined", k)["n"]) for k in range(len(grid.indices)))


def link(work: Work, labels: Any, n: int, progress: Progress) -> int:
    """Link objects of neighbouring planes or times, as the recipe says; return how many are left.

    Not to be left and begun again: ids change in place.
    """
    how: Any = work.recipe.threshold
    if work.model is not None:
        how = work.recipe.decoding(work.model)
    grid = work.grid
    return link_objects(labels, grid.axes, n, how, whole=grid.block_axes, progress=progress)


def parts_to_measure(work: Work, n_jobs: int) -> list[Arrays]:
    """Return which objects are measured together, and the box that holds them.

    Each object is measured once, as a whole, with those that begin in the same block.
    """
    grid, folder = work.grid, work.folder
    found = [folder.found("places", number) for number in range(n_jobs)]
    frames = [_frame(work, index) for index, _ in grid.jobs]
    keys = np.repeat(frames, [len(one["ids"]) for one in found])
    ids = np.concatenate([one["ids"] for one in found])
    low = np.concatenate([one["low"] for one in found])
    high = np.concatenate([one["high"] for one in found])
    if not len(ids):
        return []
    order = np.lexsort((ids, keys))
    keys, ids, low, high = keys[order], ids[order], low[order], high[order]
    new = np.append(True, (np.diff(keys) != 0) | (np.diff(ids) != 0))
    starts = np.flatnonzero(new)
    low = np.minimum.reduceat(low, starts)
    high = np.maximum.reduceat(high, starts)
    return list(_groups(work, keys[starts], ids[starts], low, high))


def _groups(
    work: Work,
    keys: NDArray[np.int64],
    ids: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
) -> Iterator[Arrays]:
    known = dict(zip(work.grid.block_axes, work.sides, strict=True))
    sides = np.array([known.get(axis, _ENDLESS) for axis in "ZYX"])
    blocks = low // sides
    giant = ((high - low) > _GIANT * sides).any(1)
    own = np.where(giant, np.arange(1, len(ids) + 1), 0)
    order = np.lexsort((own, blocks[:, 2], blocks[:, 1], blocks[:, 0], keys))
    table = np.column_stack([keys, blocks, own])[order]
    cuts = np.flatnonzero((np.diff(table, axis=0) != 0).any(1)) + 1
    for rows in np.split(order, cuts):
        first = low[rows].min(0), high[rows].max(0)
        yield {"ids": ids[rows], **_box(work, int(keys[rows[0]]), *first)}


def _box(work: Work, key: int, low: NDArray[np.int64], high: NDArray[np.int64]) -> Arrays:
    """Return first and last index along each axis of the labels."""
    ends = []
    for places in (low, high):
        at = dict(zip("ZYX", places.tolist(), strict=True))
        at |= dict(zip(_apart(work), _frames(work)[key], strict=True))
        ends.append(np.array([at[axis] for axis in work.grid.axes]))
    return {"low": ends[0], "high": ends[1]}


def _apart(work: Work) -> str:
    """Return the axes from block to block along which objects are measured apart."""
    step = work.recipe.measurement
    apart = "TZ" if step is not None and step.per == "plane" else "T"
    return "".join(axis for axis in work.grid.loops if axis in apart)


def _frames(work: Work) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(work.grid.length(axis)) for axis in _apart(work))))


def _frame(work: Work, index: tuple[int, ...]) -> int:
    """Return which of the frames that are measured apart a plane or stack is in."""
    at = dict(zip(work.grid.loops, index, strict=True))
    lengths = [work.grid.length(axis) for axis in _apart(work)]
    if not lengths:
        return 0
    return int(np.ravel_multi_index([at[axis] for axis in _apart(work)], lengths))


def _raised(numbers: NDArray[np.int32], by: int) -> NDArray[np.int32]:
    return np.where(numbers > 0, numbers + np.int32(by), 0).astype(np.int32)


__all__ = ["count_of", "join", "link", "numbers_of", "parts_to_measure"]
