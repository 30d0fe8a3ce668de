"""Objects of a plane or stack processed block by block, equal to those of the whole.

The objects of a pixel depend only on the connected component of foreground that contains it. So a
component within one block is split there. For components that continue in other blocks, the block
records how they connect; afterwards each is split separately, in its own bounding box. Finally all
objects are numbered as if the whole image had been processed at once.

Blocks are independent of each other and may be processed in any order, in any process.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.objects import masks as shapes

Box = tuple[slice, ...]
BlockIndex = tuple[int, ...]
Labels = NDArray[np.int32]
Mask = NDArray[np.bool_]
Numbers = NDArray[np.int64]
Read = Callable[[Box], Any]
"""Function that reads the maps of a box, in the format its `ObjectBuilder` expects."""

LARGEST_COMPONENT = 2**26
"""Maximum number of pixels in the bounding box of one component, which is processed at once."""


class ObjectBuilder(Protocol):
    """Builder of objects from maps; it treats each connected component independently."""

    @property
    def fill_holes(self) -> bool:
        """Whether the holes of a component are filled."""

    def mask(self, maps: Any) -> Mask:
        """Return the foreground mask."""

    def objects(self, maps: Any, own: Mask, box: Box, shape: tuple[int, ...]) -> tuple[Labels, int]:
        """Label the objects in a box on the pixels of the mask `own`, numbered from 1.

        Parameters
        ----------
        shape
            Shape of the whole plane or stack that contains the box.
        """


@dataclass(frozen=True)
class Blocks:
    """Blocks of an image, each extended by the first layer of the next blocks.

    So any two touching pixels lie in one extended block, and pixels shared by two blocks show which
    components are connected.
    """

    shape: tuple[int, ...]
    sides: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of blocks along each axis."""
        return tuple(-(-n // side) for n, side in zip(self.shape, self.sides, strict=True))

    def __len__(self) -> int:
        return math.prod(self.counts)

    def __iter__(self) -> Iterator[BlockIndex]:
        return iter(np.ndindex(*self.counts))

    def box(self, index: BlockIndex) -> Box:
        """Return the box of the block itself."""
        return tuple(
            slice(at * side, min((at + 1) * side, length))
            for at, side, length in zip(index, self.sides, self.shape, strict=True)
        )

    def extended_box(self, index: BlockIndex) -> Box:
        """Return the box of the block extended by one layer of the next blocks."""
        return tuple(
            slice(span.start, min(span.stop + 1, length))
            for span, length in zip(self.box(index), self.shape, strict=True)
        )

    def seams(self, index: BlockIndex) -> Iterator[Box]:
        """Yield the layers of the extended block that it shares with other blocks."""
        box, extended = self.box(index), self.extended_box(index)
        for axis, (own, wide) in enumerate(zip(box, extended, strict=True)):
            if own.start > 0:
                yield _with(extended, axis, slice(own.start, own.start + 1))
            if wide.stop > own.stop:
                yield _with(extended, axis, slice(own.stop, wide.stop))


@dataclass(frozen=True, eq=False)
class Crossing:
    """Components of a block that continue in other blocks.

    Parameters
    ----------
    boxes
        (n, ndim, 2): start and stop of each component's box in the image.
    pixels
        (n,): flat index in the image of one pixel of each, in row-major order.
    layers
        Labels of the shared layers, in the order of `Blocks.seams`: index of the component, or -1.
    """

    boxes: Numbers
    pixels: Numbers
    layers: tuple[NDArray[np.int32], ...]


@dataclass(frozen=True, eq=False)
class BlockObjects:
    """Objects and crossing components of one block.

    Parameters
    ----------
    labels
        Labels of the block itself: the objects that lie wholly in it, from 1.
    firsts
        (n,): flat index in the image of the first pixel of each object.
    crossing
        Components that continue in other blocks.
    """

    labels: Labels
    firsts: Numbers
    crossing: Crossing


@dataclass(frozen=True)
class CrossingComponent:
    """Connected component of foreground that extends over more than one block.

    Parameters
    ----------
    box
        The bounding box.
    pixel
        A pixel of the component.
    """

    box: Box
    pixel: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ComponentObjects:
    """Objects of one crossing component: its box, its mask, labels and first pixels."""

    box: Box
    own: Mask
    labels: Labels
    firsts: Numbers


def split_block(
    read: Read, builder: ObjectBuilder, blocks: Blocks, index: BlockIndex
) -> BlockObjects:
    """Split the components that lie wholly in a block, and record those that continue elsewhere."""
    extended, own = blocks.extended_box(index), blocks.box(index)
    maps = read(extended)
    parts, n = shapes.label(builder.mask(maps))
    crossing = np.zeros(n + 1, bool)
    for seam in blocks.seams(index):
        crossing[np.unique(parts[box_within(seam, extended)])] = True
    crossing[0] = False
    labels, n = builder.objects(maps, ~crossing[parts], extended, blocks.shape)
    return BlockObjects(
        labels[box_within(own, extended)],
        _first_pixels(labels, n, extended, blocks.shape),
        _crossing(blocks, index, parts, crossing),
    )


def join_components(
    blocks: Blocks, crossings: Mapping[BlockIndex, Crossing], *, largest: int = LARGEST_COMPONENT
) -> list[CrossingComponent]:
    """Join the components that extend over several blocks, enclosing components last.

    Parameters
    ----------
    crossings
        The crossing components of every block.
    largest
        Maximum number of pixels in the bounding box of a component.

    Raises
    ------
    InputError
        When a component is larger, such as a network of membranes through the whole image.
    """
    work = _Joining(blocks)
    for index in blocks:
        work.add(index, crossings[index])
    components = work.components()
    for component in components:
        if _size(component.box) > largest:
            sides = " x ".join(map(str, _sides(component.box)))
            raise InputError(
                f"A connected region of foreground spans {sides} pixels, too many to be split at "
                "once. Raise the foreground's probability or the level, allow more memory, or work "
                "on a part of the image."
            )
    return components


def split_component(
    read: Read, builder: ObjectBuilder, component: CrossingComponent, shape: tuple[int, ...]
) -> ComponentObjects:
    """Split one component into objects; filled holes are part of it."""
    box = tuple(
        slice(max(span.start - 1, 0), min(span.stop + 1, length))
        for span, length in zip(component.box, shape, strict=True)
    )
    maps = read(box)
    parts, _ = shapes.label(builder.mask(maps))
    at = tuple(pixel - span.start for pixel, span in zip(component.pixel, box, strict=True))
    own = parts == parts[at]
    if builder.fill_holes:
        own, _ = shapes.clean(own, fill_holes=True)
    labels, n = builder.objects(maps, own, box, shape)
    return ComponentObjects(box, own, labels, _first_pixels(labels, n, box, shape))


def number_objects(firsts: Numbers, remain: Mask, first: int) -> Labels:
    """Number the objects in the order of their first pixels, with 0 for those removed.

    Parameters
    ----------
    firsts
        (n,): flat index of each object's first pixel.
    remain
        (n,): which objects remain; those in a filled hole do not.
    first
        Number of the first object.
    """
    left = np.flatnonzero(remain)
    numbers = np.zeros(len(firsts), np.int32)
    numbers[left[np.argsort(firsts[left], kind="stable")]] = np.arange(len(left)) + first
    return numbers


def box_within(box: Box, around: Box) -> Box:
    """Return a box relative to the start of an enclosing one."""
    return tuple(
        slice(span.start - wide.start, span.stop - wide.start)
        for span, wide in zip(box, around, strict=True)
    )


@dataclass(eq=False)
class _Joining:
    """Union-find over the components of all blocks."""

    blocks: Blocks
    boxes: list[Numbers] = field(default_factory=list)
    pixels: list[int] = field(default_factory=list)
    # Pairs of connected parts, (2, n) each.
    pairs: list[Numbers] = field(default_factory=list)
    # Labels of the shared layers of each block, as numbers over all blocks.
    layers: dict[BlockIndex, list[tuple[Box, NDArray[np.int32]]]] = field(default_factory=dict)

    def add(self, index: BlockIndex, crossing: Crossing) -> None:
        """Add the next block, in order, and join it with its neighbours before it."""
        start = len(self.pixels)
        self.boxes.extend(crossing.boxes)
        self.pixels.extend(crossing.pixels.tolist())
        own = [
            (seam, np.where(layer < 0, -1, layer + start).astype(np.int32))
            for seam, layer in zip(self.blocks.seams(index), crossing.layers, strict=True)
        ]
        for before in _neighbours(index):
            for (box, theirs), (other, ours) in itertools.product(self.layers.get(before, ()), own):
                self._join(box, theirs, other, ours)
        self.layers[index] = own

    def components(self) -> list[CrossingComponent]:
        """Return all joined components, the smallest box first."""
        n = len(self.pixels)
        if n == 0:
            return []
        one, two = np.concatenate([np.zeros((2, 0), np.int64), *self.pairs], axis=1)
        graph = scipy.sparse.coo_array((np.ones(len(one)), (one, two)), shape=(n, n))
        _, component_of = scipy.sparse.csgraph.connected_components(graph, directed=False)
        order = np.argsort(component_of, kind="stable")
        components = []
        for numbers in np.split(order, np.flatnonzero(np.diff(component_of[order])) + 1):
            ends = np.stack([self.boxes[number] for number in numbers])
            low, high = ends[..., 0].min(0).tolist(), ends[..., 1].max(0).tolist()
            pixel = np.unravel_index(self.pixels[numbers[0]], self.blocks.shape)
            box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            components.append(CrossingComponent(box, tuple(int(at) for at in pixel)))
        return sorted(components, key=lambda component: _size(component.box))

    def _join(
        self, box: Box, theirs: NDArray[np.int32], other: Box, ours: NDArray[np.int32]
    ) -> None:
        common = tuple(
            slice(max(a.start, b.start), min(a.stop, b.stop))
            for a, b in zip(box, other, strict=True)
        )
        if any(span.start >= span.stop for span in common):
            return
        pairs = np.stack(
            [theirs[box_within(common, box)].ravel(), ours[box_within(common, other)].ravel()]
        )
        self.pairs.append(np.unique(pairs[:, (pairs >= 0).all(0)], axis=1))


def _crossing(blocks: Blocks, index: BlockIndex, parts: Labels, crossing: Mask) -> Crossing:
    """Record the components that continue in other blocks, with the layers shared with these."""
    extended, ndim = blocks.extended_box(index), len(blocks.shape)
    crossing_parts = np.flatnonzero(crossing)
    numbers = np.full(len(crossing), -1, np.int32)
    numbers[crossing_parts] = np.arange(len(crossing_parts))
    boxes = np.zeros((len(crossing_parts), ndim, 2), np.int64)
    spans_of_parts = scipy.ndimage.find_objects(parts) if len(crossing_parts) else []
    start = np.array([span.start for span in extended])
    for row, part in enumerate(crossing_parts):
        spans = spans_of_parts[part - 1]
        boxes[row] = start[:, None] + [(span.start, span.stop) for span in spans]
    firsts = _first_pixels(parts, len(crossing) - 1, extended, blocks.shape)
    layers = tuple(numbers[parts[box_within(seam, extended)]] for seam in blocks.seams(index))
    return Crossing(boxes, firsts[crossing_parts - 1], layers)


def _first_pixels(labels: Labels, n: int, box: Box, shape: tuple[int, ...]) -> Numbers:
    """Return the flat index in the whole image of the first pixel of each object: (n,)."""
    if n == 0:
        return np.zeros(0, np.int64)
    inner = np.unravel_index(shapes.first_pixels(labels, n), labels.shape)
    outer = [indices + span.start for indices, span in zip(inner, box, strict=True)]
    first: Numbers = np.ravel_multi_index(outer, shape).astype(np.int64)
    return first


def _neighbours(index: BlockIndex) -> Iterator[BlockIndex]:
    """Yield the neighbours of a block."""
    for step in itertools.product((-1, 0, 1), repeat=len(index)):
        if any(step):
            yield tuple(at + by for at, by in zip(index, step, strict=True))


def _with(box: Box, axis: int, span: slice) -> Box:
    return (*box[:axis], span, *box[axis + 1 :])


def _sides(box: Sequence[slice]) -> tuple[int, ...]:
    return tuple(span.stop - span.start for span in box)


def _size(box: Box) -> int:
    return math.prod(_sides(box))


__all__ = [
    "LARGEST_COMPONENT",
    "BlockIndex",
    "BlockObjects",
    "Blocks",
    "Box",
    "ComponentObjects",
    "Crossing",
    "CrossingComponent",
    "ObjectBuilder",
    "box_within",
    "join_components",
    "number_objects",
    "split_block",
    "split_component",
]
