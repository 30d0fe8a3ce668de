"""Where the blocks of an image are: how large, in which plane or stack, of which chunks."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from napari_unetseg.core.compute.rounding import round_up
from napari_unetseg.core.image import Index
from napari_unetseg.core.io.pyramid import CHUNK, DEPTH
from napari_unetseg.core.objects.cross_block_objects import Blocks, Box, Place

Job = tuple[Index, Place]
"""A block: of which plane or stack, and which of its blocks."""

_LARGEST = {2: 2048, 3: 256}
_SMALLEST = {2: 64, 3: 32}
_STACK_CHUNK = 128


@dataclass(frozen=True)
class BlockGrid:
    """The blocks of all planes, or all stacks, of an image.

    Parameters
    ----------
    axes, shape
        Of the labels: the image's without channels.
    block_axes
        ``"YX"`` for blocks of planes, ``"ZYX"`` for blocks of stacks.
    sides
        Of a block, along `block_axes`.
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
        """The position of each plane or stack along the other axes."""
        return list(itertools.product(*(range(self.length(axis)) for axis in self.loops)))

    @cached_property
    def jobs(self) -> list[Job]:
        """All blocks, in order."""
        return [(index, place) for index in self.indices for place in self.blocks]

    @property
    def loops(self) -> str:
        """The axes along which planes or stacks follow each other."""
        return "".join(axis for axis in self.axes if axis not in self.block_axes)

    def length(self, axis: str) -> int:
        """Return the length of an axis."""
        return self.shape[self.axes.index(axis)]

    def at(self, index: Index, box: Box) -> tuple[Any, ...]:
        """Return what to index an array on `axes` with to get a box of a plane or stack."""
        found: Mapping[str, Any] = {
            **dict(zip(self.loops, index, strict=True)),
            **dict(zip(self.block_axes, box, strict=True)),
        }
        return tuple(found[axis] for axis in self.axes)


def sides_for(
    shape: Sequence[int], memory: float, per_pixel: float, multiple: Sequence[int]
) -> tuple[int, ...]:
    """Return the sides of the largest blocks that memory allows, made of whole chunks.

    Parameters
    ----------
    shape
        Of a plane or a stack.
    memory, per_pixel
        Bytes in all, and bytes that a pixel of a block takes at most.
    multiple
        What the place of a block must divide by, per axis.
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


def halved(sides: Sequence[int], multiple: Sequence[int]) -> tuple[int, ...] | None:
    """Return sides half as long; nothing when they are as short as can be."""
    if sides[-1] // 2 < _SMALLEST[len(sides)]:
        return None
    return tuple(round_up(n // 2, by) for n, by in zip(sides, multiple, strict=True))


def chunks_for(ndim: int, multiple: Sequence[int]) -> tuple[int, ...]:
    """Return the sides of chunks that blocks are best made of."""
    usual = (CHUNK, CHUNK) if ndim == 2 else (DEPTH, _STACK_CHUNK, _STACK_CHUNK)
    return tuple(round_up(n, by) for n, by in zip(usual, multiple, strict=True))


def chunk_of(sides: Sequence[int]) -> tuple[int, ...]:
    """Return the sides of chunks that such blocks are made of: the usual where it fits."""
    usual = chunks_for(len(sides), (1,) * len(sides))
    return tuple(
        wish if side % wish == 0 else side for side, wish in zip(sides, usual, strict=True)
    )


__all__ = ["BlockGrid", "Job", "chunk_of", "chunks_for", "halved", "sides_for"]
