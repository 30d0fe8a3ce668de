"""Lay out the blocks of an image: their size, their plane or stack, and their chunks."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from napari_unetseg.core.compute.rounding import round_up
from napari_unetseg.core.image import Index
from napari_unetseg.core.io.pyramid import CHUNK, DEPTH
from napari_unetseg.core.objects.cross_block_objects import BlockIndex, Blocks, Box

Job = tuple[Index, BlockIndex]
"""A block, as the index of its plane or stack and its position in the grid there."""

_LARGEST = {2: 2048, 3: 256}
_SMALLEST = {2: 64, 3: 32}
_STACK_CHUNK = 128


@dataclass(frozen=True)
class BlockGrid:
    """Describe the blocks of all planes, or all stacks, of an image.

    Parameters
    ----------
    axes, shape
        Axes and shape of the labels: those of the image without channels.
    block_axes
        ``"YX"`` for blocks of planes, ``"ZYX"`` for blocks of stacks.
    sides
        Sides of a block in pixels, along `block_axes`.
    """

    axes: str
    shape: tuple[int, ...]
    block_axes: str
    sides: tuple[int, ...]

    @cached_property
    def blocks(self) -> Blocks:
        """The blocks of one plane or stack."""
        return Blocks(tuple(self.length(axis) for axis in self.block_axes), self.sides)

    @cached_property
    def indices(self) -> list[Index]:
        """The index of each plane or stack along the other axes."""
        return list(itertools.product(*(range(self.length(axis)) for axis in self.loops)))

    @cached_property
    def jobs(self) -> list[Job]:
        """All blocks, in order."""
        return [(index, position) for index in self.indices for position in self.blocks]

    @property
    def loops(self) -> str:
        """The axes that are looped over: all except `block_axes`."""
        return "".join(axis for axis in self.axes if axis not in self.block_axes)

    def length(self, axis: str) -> int:
        """Return the length of an axis."""
        return self.shape[self.axes.index(axis)]

    def at(self, index: Index, box: Box) -> tuple[Any, ...]:
        """Return the index into an array on `axes` that selects a box of a plane or stack."""
        index_of_axis: Mapping[str, Any] = {
            **dict(zip(self.loops, index, strict=True)),
            **dict(zip(self.block_axes, box, strict=True)),
        }
        return tuple(index_of_axis[axis] for axis in self.axes)


def sides_for(
    shape: Sequence[int], memory: float, per_pixel: float, multiple: Sequence[int]
) -> tuple[int, ...]:
    """Return the sides of the largest blocks of whole chunks that fit in memory.

    Parameters
    ----------
    shape
        Shape of a plane or a stack.
    memory, per_pixel
        Available memory in bytes, and peak bytes per pixel of a block.
    multiple
        Number that block offsets must be a multiple of, per axis.
    """
    ndim, limit = len(shape), memory / per_pixel
    step = list(chunks_for(ndim, multiple))
    while math.prod(step) > limit and step[-1] // 2 >= _SMALLEST[ndim]:
        step = [round_up(n // 2, by) for n, by in zip(step, multiple, strict=True)]
    sides = list(step)
    while True:
        axis = min(range(ndim), key=lambda a: (sides[a] >= shape[a], sides[a]))
        wider = [n + (step[a] if ndim == 3 and a == axis else 0) for a, n in enumerate(sides)]
        if ndim == 2:
            wider = [n + by for n, by in zip(sides, step, strict=True)]
        done = all(n >= length for n, length in zip(sides, shape, strict=True))
        if done or math.prod(wider) > limit or max(wider) > max(_LARGEST[ndim], *step):
            return tuple(sides)
        sides = wider


def halve_sides(sides: Sequence[int], multiple: Sequence[int]) -> tuple[int, ...] | None:
    """Return sides half as long; None when they are as short as allowed."""
    if sides[-1] // 2 < _SMALLEST[len(sides)]:
        return None
    return tuple(round_up(n // 2, by) for n, by in zip(sides, multiple, strict=True))


def chunks_for(ndim: int, multiple: Sequence[int]) -> tuple[int, ...]:
    """Return the preferred chunk sides for blocks."""
    usual = (CHUNK, CHUNK) if ndim == 2 else (DEPTH, _STACK_CHUNK, _STACK_CHUNK)
    return tuple(round_up(n, by) for n, by in zip(usual, multiple, strict=True))


def chunk_of(sides: Sequence[int]) -> tuple[int, ...]:
    """Return the chunk sides for blocks: the preferred ones, where they divide the block's."""
    usual = chunks_for(len(sides), (1,) * len(sides))
    return tuple(
        best if side % best == 0 else side for side, best in zip(sides, usual, strict=True)
    )


__all__ = ["BlockGrid", "Job", "chunk_of", "chunks_for", "halve_sides", "sides_for"]
