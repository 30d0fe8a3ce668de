"""Objects of a plane or a stack of which a block at a time is in memory, the same as at once.

What a pixel's object is depends on the connected piece of foreground it lies in alone. So a piece
that lies in one block is divided there. Of those that go on in the next block it is noted what is
connected; afterwards each is divided by itself, in the box that holds it. In the end all objects
get the numbers that they would have got at once.

Each block is done without knowledge of the others, in any order, in any process.
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
Place = tuple[int, ...]
Labels = NDArray[np.int32]
Mask = NDArray[np.bool_]
Numbers = NDArray[np.int64]
Read = Callable[[Box], Any]
"""Returns what is known of the pixels in a box, in whatever form its `Maker` takes."""

LARGEST_PIECE = 2**26
"""Pixels of the largest box that is worked on at once, of one connected piece of foreground."""


class Maker(Protocol):
    """What makes objects of what is known of some pixels, of each connected piece by itself."""

    @property
    def fill_holes(self) -> bool:
        """Whether what lies in the holes of a piece belongs to it."""

    def mask(self, known: Any) -> Mask:
        """Return which pixels may belong to objects."""

    def objects(
        self, known: Any, own: Mask, box: Box, shape: tuple[int, ...]
    ) -> tuple[Labels, int]:
        """Return the objects of the pixels in a box that are `own`, numbered from 1.

        Parameters
        ----------
        shape
            Of the whole plane or stack that the box is a part of.
        """


@dataclass(frozen=True)
class Blocks:
    """The blocks of an image, each with the first layer of the blocks after it.

    So any two pixels that touch are in one block, and a pixel in two blocks tells which of their
    pieces are one.
    """

    shape: tuple[int, ...]
    sides: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of blocks along each axis."""
        return tuple(-(-n // side) for n, side in zip(self.shape, self.sides, strict=True))

    def __len__(self) -> int:
        return math.prod(self.counts)

    def __iter__(self) -> Iterator[Place]:
        return iter(np.ndindex(*self.counts))

    def box(self, place: Place) -> Box:
        """Return the block itself."""
        return tuple(
            slice(at * side, min((at + 1) * side, length))
            for at, side, length in zip(place, self.sides, self.shape, strict=True)
        )

    def seen(self, place: Place) -> Box:
        """Return the block with a layer of the next ones."""
        return tuple(
            slice(span.start, min(span.stop + 1, length))
            for span, length in zip(self.box(place), self.shape, strict=True)
        )

    def seams(self, place: Place) -> Iterator[Box]:
        """Yield the layers of the block that another block sees too."""
        box, seen = self.box(place), self.seen(place)
        for axis, (own, wide) in enumerate(zip(box, seen, strict=True)):
            if own.start > 0:
                yield _with(seen, axis, slice(own.start, own.start + 1))
            if wide.stop > own.stop:
                yield _with(seen, axis, slice(own.stop, wide.stop))


@dataclass(frozen=True, eq=False)
class Crossing:
    """The parts of a block's foreground that go on in other blocks.

    Parameters
    ----------
    boxes
        (n, ndim, 2): first index of each part, and the one after the last, in the image.
    pixels
        (n,): place in the image of one pixel of each, counted row by row.
    layers
        What the block saw where others see too, in the order of `Blocks.seams`: -1, or which part.
    """

    boxes: Numbers
    pixels: Numbers
    layers: tuple[NDArray[np.int32], ...]


@dataclass(frozen=True, eq=False)
class BlockObjects:
    """What was found in one block.

    Parameters
    ----------
    labels
        Of the block itself: the objects that lie in it as a whole, from 1.
    firsts
        (n,): place in the image of the first pixel of each.
    crossing
        What goes on elsewhere.
    """

    labels: Labels
    firsts: Numbers
    crossing: Crossing


@dataclass(frozen=True)
class Piece:
    """A connected piece of foreground that lies in more than one block.

    Parameters
    ----------
    box
        The smallest that holds it.
    pixel
        One of its pixels.
    """

    box: Box
    pixel: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class PieceObjects:
    """The objects of one piece: where they are, which pixels are the piece's, ids and firsts."""

    box: Box
    own: Mask
    labels: Labels
    firsts: Numbers


def objects_of_block(read: Read, maker: Maker, blocks: Blocks, place: Place) -> BlockObjects:
    """Divide what lies in a block as a whole, and take note of the rest."""
    seen, own = blocks.seen(place), blocks.box(place)
    known = read(seen)
    parts, n = shapes.label(maker.mask(known))
    crossing = np.zeros(n + 1, bool)
    for seam in blocks.seams(place):
        crossing[np.unique(parts[box_within(seam, seen)])] = True
    crossing[0] = False
    labels, n = maker.objects(known, ~crossing[parts], seen, blocks.shape)
    return BlockObjects(
        labels[box_within(own, seen)],
        _first_pixels(labels, n, seen, blocks.shape),
        _crossing(blocks, place, parts, crossing),
    )


def joined(
    blocks: Blocks, found: Mapping[Place, Crossing], *, largest: int = LARGEST_PIECE
) -> list[Piece]:
    """Return the pieces that lie in several blocks, those around others last.

    Parameters
    ----------
    found
        Of every block.
    largest
        Pixels of the largest box around a piece.

    Raises
    ------
    InputError
        When a piece is larger, as a net of membranes may be that runs through the whole image.
    """
    work = _Joining(blocks)
    for place in blocks:
        work.add(place, found[place])
    pieces = work.pieces()
    for piece in pieces:
        if _size(piece.box) > largest:
            raise InputError(
                f"A connected piece of foreground spans {' x '.join(map(str, _sides(piece.box)))} "
                "pixels, too many to be divided at once. Raise the foreground's probability or the "
                "level, allow more memory, or work on a part of the image."
            )
    return pieces


def objects_of_piece(
    read: Read, maker: Maker, piece: Piece, shape: tuple[int, ...]
) -> PieceObjects:
    """Divide one piece; what lies in its holes, where they are filled, is part of it."""
    box = tuple(
        slice(max(span.start - 1, 0), min(span.stop + 1, length))
        for span, length in zip(piece.box, shape, strict=True)
    )
    known = read(box)
    parts, _ = shapes.label(maker.mask(known))
    at = tuple(pixel - span.start for pixel, span in zip(piece.pixel, box, strict=True))
    own = parts == parts[at]
    if maker.fill_holes:
        own, _ = shapes.clean(own, fill_holes=True)
    labels, n = maker.objects(known, own, box, shape)
    return PieceObjects(box, own, labels, _first_pixels(labels, n, box, shape))


def numbered(firsts: Numbers, there: Mask, first: int) -> Labels:
    """Return the number of each object in the order of their first pixels, 0 of those not there.

    Parameters
    ----------
    firsts
        (n,): place of each object's first pixel.
    there
        (n,): which are left; what lay in a hole that was filled is not.
    first
        Number of the first.
    """
    left = np.flatnonzero(there)
    numbers = np.zeros(len(firsts), np.int32)
    numbers[left[np.argsort(firsts[left], kind="stable")]] = np.arange(len(left)) + first
    return numbers


def box_within(box: Box, around: Box) -> Box:
    """Return a box counted from the start of one around it."""
    return tuple(
        slice(span.start - wide.start, span.stop - wide.start)
        for span, wide in zip(box, around, strict=True)
    )


@dataclass(eq=False)
class _Joining:
    """Which parts of all blocks are connected."""

    blocks: Blocks
    boxes: list[Numbers] = field(default_factory=list)
    pixels: list[int] = field(default_factory=list)
    # Pairs of parts that are one, (2, n) each.
    pairs: list[Numbers] = field(default_factory=list)
    # The parts that each block saw in the layers that others see too, by passing numbers.
    layers: dict[Place, list[tuple[Box, NDArray[np.int32]]]] = field(default_factory=dict)

    def add(self, place: Place, crossing: Crossing) -> None:
        """Take in the next block, in order, and join it with those before."""
        start = len(self.pixels)
        self.boxes.extend(crossing.boxes)
        self.pixels.extend(crossing.pixels.tolist())
        own = [
            (seam, np.where(layer < 0, -1, layer + start).astype(np.int32))
            for seam, layer in zip(self.blocks.seams(place), crossing.layers, strict=True)
        ]
        for before in _neighbours(place):
            for (box, theirs), (other, ours) in itertools.product(self.layers.get(before, ()), own):
                self._join(box, theirs, other, ours)
        self.layers[place] = own

    def pieces(self) -> list[Piece]:
        """Return all pieces, the smallest box first."""
        n = len(self.pixels)
        if n == 0:
            return []
        one, two = np.concatenate([np.zeros((2, 0), np.int64), *self.pairs], axis=1)
        graph = scipy.sparse.coo_array((np.ones(len(one)), (one, two)), shape=(n, n))
        _, piece_of = scipy.sparse.csgraph.connected_components(graph, directed=False)
        order = np.argsort(piece_of, kind="stable")
        found = []
        for numbers in np.split(order, np.flatnonzero(np.diff(piece_of[order])) + 1):
            ends = np.stack([self.boxes[number] for number in numbers])
            low, high = ends[..., 0].min(0).tolist(), ends[..., 1].max(0).tolist()
            pixel = np.unravel_index(self.pixels[numbers[0]], self.blocks.shape)
            box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            found.append(Piece(box, tuple(int(at) for at in pixel)))
        return sorted(found, key=lambda piece: _size(piece.box))

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


def _crossing(blocks: Blocks, place: Place, parts: Labels, crossing: Mask) -> Crossing:
    """Take note of the parts that go on elsewhere, and of where others see them."""
    seen, ndim = blocks.seen(place), len(blocks.shape)
    known = np.flatnonzero(crossing)
    numbers = np.full(len(crossing), -1, np.int32)
    numbers[known] = np.arange(len(known))
    boxes = np.zeros((len(known), ndim, 2), np.int64)
    found = scipy.ndimage.find_objects(parts) if len(known) else []
    start = np.array([span.start for span in seen])
    for row, part in enumerate(known):
        spans = found[part - 1]
        boxes[row] = start[:, None] + [(span.start, span.stop) for span in spans]
    firsts = _first_pixels(parts, len(crossing) - 1, seen, blocks.shape)
    layers = tuple(numbers[parts[box_within(seam, seen)]] for seam in blocks.seams(place))
    return Crossing(boxes, firsts[known - 1], layers)


def _first_pixels(labels: Labels, n: int, box: Box, shape: tuple[int, ...]) -> Numbers:
    """Return the place in the whole image of the first pixel of each object: (n,)."""
    if n == 0:
        return np.zeros(0, np.int64)
    inner = np.unravel_index(shapes.first_pixels(labels, n), labels.shape)
    outer = [places + span.start for places, span in zip(inner, box, strict=True)]
    first: Numbers = np.ravel_multi_index(outer, shape).astype(np.int64)
    return first


def _neighbours(place: Place) -> Iterator[Place]:
    """Yield the blocks around one."""
    for step in itertools.product((-1, 0, 1), repeat=len(place)):
        if any(step):
            yield tuple(at + by for at, by in zip(place, step, strict=True))


def _with(box: Box, axis: int, span: slice) -> Box:
    return (*box[:axis], span, *box[axis + 1 :])


def _sides(box: Sequence[slice]) -> tuple[int, ...]:
    return tuple(span.stop - span.start for span in box)


def _size(box: Box) -> int:
    return math.prod(_sides(box))


__all__ = [
    "LARGEST_PIECE",
    "BlockObjects",
    "Blocks",
    "Box",
    "Crossing",
    "Maker",
    "Piece",
    "PieceObjects",
    "Place",
    "box_within",
    "joined",
    "numbered",
    "objects_of_block",
    "objects_of_piece",
]
