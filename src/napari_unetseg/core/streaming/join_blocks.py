"""Combine the results of all blocks in one process: join, number and group objects.

The joining itself is in `napari_unetseg.core.objects.cross_block_objects`.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.objects.cross_block_objects import join_components, number_objects
from napari_unetseg.core.objects.linking import link_objects
from napari_unetseg.core.progress import Progress
from napari_unetseg.core.recipe import Recipe
from napari_unetseg.core.streaming.block_grid import BlockGrid
from napari_unetseg.core.streaming.block_work import Work
from napari_unetseg.core.streaming.run_folder import Arrays, RunFolder

_WIDE = 2
"""Sides in blocks above which a component is divided on its own."""

_ENDLESS = 2**40
_GIANT = 2
"""Sides in blocks above which an object is measured on its own."""


def plan_pieces(work: Work, number: int, largest: int) -> Arrays:
    """Find the components of a plane or stack that span several blocks, and group them.

    Parameters
    ----------
    number
        Number of the plane or stack.
    largest
        Largest bounding box of a component, in pixels.

    Returns
    -------
    dict
        ``boxes``, ``pixels`` and ``group`` of each component, those around others last:
        components that begin in the same block share a group, those of wide boxes are alone.
    """
    grid, folder = work.grid, work.folder
    blocks = grid.blocks
    first = number * len(blocks)
    crossing = {
        position: work.crossing(folder.found("objects", first + at))
        for at, position in enumerate(blocks)
    }
    components = join_components(blocks, crossing, largest=largest)
    ndim = len(blocks.shape)
    boxes = np.array(
        [[(s.start, s.stop) for s in component.box] for component in components], np.int64
    )
    boxes = boxes.reshape(-1, ndim, 2)
    sides = np.array(grid.sides)
    wide = ((boxes[..., 1] - boxes[..., 0]) > _WIDE * sides).any(1)
    alone = np.where(wide, np.arange(1, len(boxes) + 1), 0)
    keys = np.column_stack([boxes[..., 0] // sides, alone])
    _, group = np.unique(keys, axis=0, return_inverse=True)
    pixels = np.array([component.pixel for component in components], np.int64).reshape(-1, ndim)
    return {"boxes": boxes, "pixels": pixels, "group": group.reshape(-1)}


def groups_to_join(grid: BlockGrid, folder: RunFolder) -> list[Arrays]:
    """Return the spanning components of all planes or stacks by group; each is divided alone."""
    groups = []
    for number, index in enumerate(grid.indices):
        plan = folder.found("joined", number)
        for group in range(int(plan["group"].max(initial=-1)) + 1):
            rows = np.flatnonzero(plan["group"] == group)
            groups.append(
                {
                    "index": np.array(index, np.int64),
                    "boxes": plan["boxes"][rows],
                    "pixels": plan["pixels"][rows],
                    "ranks": rows,
                }
            )
    return groups


class Numbering:
    """Assign the final ids to the objects of a plane or stack.

    Parameters
    ----------
    work
        The work whose blocks and spanning components are done.
    number
        Number of the plane or stack.
    groups
        From `groups_to_join`.
    """

    def __init__(self, work: Work, number: int, groups: Sequence[Arrays]) -> None:
        grid, folder = work.grid, work.folder
        self._index, self._blocks = grid.indices[number], grid.blocks
        self.jobs = range(number * len(grid.blocks), (number + 1) * len(grid.blocks))
        own = [folder.found("objects", job, "firsts")["firsts"] for job in self.jobs]
        self._stops = np.cumsum([len(firsts) for firsts in own])
        index = list(self._index)
        self._groups = [k for k, one in enumerate(groups) if one["index"].tolist() == index]
        found = [folder.found("pieces", group, "firsts", "boxes") for group in self._groups]
        counts = [len(one["firsts"]) for one in found]
        self._offsets = np.cumsum([0, *counts])
        self._ranks = [groups[group]["ranks"] for group in self._groups]
        ends = [one["boxes"] for one in found]
        self._low = np.array([box[..., 0].min(0) for box in ends])
        self._high = np.array([box[..., 1].max(0) for box in ends])
        self.n_pieces = int(sum(counts))
        firsts = [one["firsts"] for one in found]
        self._firsts = np.concatenate([np.zeros(0, np.int64), *own, *firsts])
        self._numbers = np.zeros(0, np.int32)
        self.n = 0

    def settle(self, there: Sequence[NDArray[np.int32]] | None, first: int) -> None:
        """Number the objects, beginning with `first`.

        Parameters
        ----------
        there
            The provisional ids left in each block, if holes were filled: an object in a hole
            became part of the one around it.
        """
        left = np.ones(len(self._firsts), bool)
        if there is not None:
            left[:] = False
            total = len(self._firsts) - self.n_pieces
            for at, ids in enumerate(there):
                left[self._start(at) + ids[ids > 0] - 1] = True
                left[total - 1 - ids[ids < 0]] = True
        self._numbers = number_objects(self._firsts, left, first)
        self.n = int(left.sum())

    def pieces_in(self, at: int) -> Arrays:
        """Return the groups of spanning components that reach into a block."""
        box = self._blocks.box(list(self._blocks)[at])
        low, high = np.array([s.start for s in box]), np.array([s.stop for s in box])
        near = np.zeros(0, np.int64)
        if self._groups:
            near = np.flatnonzero(((self._low < high) & (self._high > low)).all(1))
        ranks = [self._ranks[k] for k in near]
        return {
            "groups": np.array([self._groups[k] for k in near], np.int64),
            "offsets": self._offsets[near],
            "ranks": np.concatenate([np.zeros(0, np.int64), *ranks]),
            "sizes": np.array([len(one) for one in ranks], np.int64),
        }

    def numbers_in(self, at: int) -> Arrays:
        """Return the final ids for the objects of a block, by provisional id."""
        total = len(self._firsts) - self.n_pieces
        own = self._numbers[self._start(at) : self._stops[at]]
        return {"own": own, "pieces": self._numbers[total:], **self.pieces_in(at)}

    def _start(self, at: int) -> int:
        return int(self._stops[at - 1]) if at else 0


def linking_of(recipe: Recipe, model: TrainedModel | None) -> Any:
    """Return the options of a recipe that its objects are linked by."""
    return recipe.threshold if model is None else recipe.decoding(model)


def link(work: Work, labels: Any, n: int, parents: dict[int, int], progress: Progress) -> int:
    """Link objects of neighbouring planes or times as the recipe sets; return the number left.

    `parents` receives the mothers, as in `link_objects`.

    Cannot be resumed half-way: ids change in place.
    """
    grid = work.grid
    return link_objects(
        labels,
        grid.axes,
        n,
        linking_of(work.recipe, work.model),
        whole=grid.block_axes,
        spacing=work.evidence.image.spacing,
        parents=parents,
        progress=progress,
    )


def parts_to_measure(work: Work, n_jobs: int) -> list[Arrays]:
    """Group the objects to measure together, with the bounding box of each group.

    Each object is measured once, as a whole, together with those that begin in the same block.
    """
    grid, folder = work.grid, work.folder
    found = [folder.found("places", number) for number in range(n_jobs)]
    frames = [_frame(work, index) for index, _ in grid.jobs]
    keys = np.repeat(frames, [len(block["ids"]) for block in found])
    ids = np.concatenate([block["ids"] for block in found])
    low = np.concatenate([block["low"] for block in found])
    high = np.concatenate([block["high"] for block in found])
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
    side_of_axis = dict(zip(work.grid.block_axes, work.sides, strict=True))
    sides = np.array([side_of_axis.get(axis, _ENDLESS) for axis in "ZYX"])
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
    """Return the first and last index along each label axis."""
    ends = []
    for corners in (low, high):
        at = dict(zip("ZYX", corners.tolist(), strict=True))
        at |= dict(zip(_apart(work), _frames(work)[key], strict=True))
        ends.append(np.array([at[axis] for axis in work.grid.axes]))
    return {"low": ends[0], "high": ends[1]}


def _apart(work: Work) -> str:
    """Return the looped axes along which objects are measured separately."""
    step = work.recipe.measurement
    apart = "TZ" if step is not None and step.per == "plane" else "T"
    return "".join(axis for axis in work.grid.loops if axis in apart)


def _frames(work: Work) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(work.grid.length(axis)) for axis in _apart(work))))


def _frame(work: Work, index: tuple[int, ...]) -> int:
    """Return the number of the separately measured frame that holds a plane or stack."""
    at = dict(zip(work.grid.loops, index, strict=True))
    lengths = [work.grid.length(axis) for axis in _apart(work)]
    if not lengths:
        return 0
    return int(np.ravel_multi_index([at[axis] for axis in _apart(work)], lengths))


__all__ = ["Numbering", "groups_to_join", "link", "linking_of", "parts_to_measure", "plan_pieces"]
