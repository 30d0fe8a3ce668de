"""Objects of images larger than memory: block by block, and the same as at once.

A pixel's object depends on the connected piece of foreground it lies in alone, see `decode`. So a
piece that lies in one block is decoded there. Of those that go on in the next block it is noted
what is connected; afterwards each is decoded by itself, in the box that holds it. In the end all
objects get the numbers that they would have got at once.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_unetseg.core import objects as shapes
from napari_unetseg.core.decode import DecodeOptions, decode
from napari_unetseg.core.decoders import DecoderSpec
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.progress import Progress, part, silent, track

Box = tuple[slice, ...]
Floats = NDArray[np.float32]
Labels = NDArray[np.int32]

SIDES = {2: 1024, 3: 256}
"""Side of a block by the number of axes: up to 250 MB of maps, labels and what is between."""

LARGEST_PIECE = 2**26
"""Pixels of the largest box that is decoded at once, of one connected piece of foreground."""


def decode_blocks(
    maps: Any,
    behind: int,
    n_classes: int,
    decoder: DecoderSpec | None = None,
    options: DecodeOptions = DecodeOptions(),  # noqa: B008 - frozen
    *,
    out: Any,
    first: int = 1,
    spacing: Sequence[float] = (),
    side: int | None = None,
    largest: int = LARGEST_PIECE,
    progress: Progress = silent,
) -> int:
    """Write the objects of a plane or a stack, of which a block at a time is in memory.

    Parameters
    ----------
    maps
        (C, *spatial), float32, read by slices: the probability of each class, then the maps of
        `decoder`.
    behind
        Which class is the background.
    n_classes
        How many of the channels are classes.
    decoder, options, spacing
        As for `decode`.
    out
        (*spatial), int32, written and read by slices.
    first
        Id of the first object.
    side
        Of a block, in pixels; see `SIDES`.
    largest
        Pixels of the largest box around a connected piece of foreground.
    progress
        Told after each block; may cancel, which leaves a part in `out`.

    Returns
    -------
    int
        How many objects there are. They are those of `decode`, in the same order.

    Raises
    ------
    InputError
        When a connected piece of foreground is too large to be held, as a net of membranes may
        be that runs through the whole image, or as `decode`.
    """
    shape = tuple(int(length) for length in maps.shape[1:])
    blocks = Blocks(shape, (side or SIDES[len(shape)],) * len(shape))
    work = _Decoding(maps, behind, n_classes, decoder, options, tuple(spacing), out, shape)
    for place in track(list(blocks), part(progress, 0, 0.6), "finding objects"):
        work.decode_block(blocks, place)
    for piece in track(work.pieces(largest), part(progress, 0.6, 0.8), "joining objects"):
        work.decode_piece(piece)
    return work.number(blocks, first, part(progress, 0.8, 1))


@dataclass(frozen=True)
class Blocks:
    """The blocks of an image, each with the first layer of the blocks after it.

    So any two pixels that touch are in one block, and a pixel in two blocks tells which of their
    pieces are one.
    """

    shape: tuple[int, ...]
    sides: tuple[int, ...]

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        counts = [-(-length // side) for length, side in zip(self.shape, self.sides, strict=True)]
        return iter(np.ndindex(*counts))

    def box(self, place: tuple[int, ...]) -> Box:
        """Return the block itself."""
        return tuple(
            slice(at * side, min((at + 1) * side, length))
            for at, side, length in zip(place, self.sides, self.shape, strict=True)
        )

    def seen(self, place: tuple[int, ...]) -> Box:
        """Return the block with a layer of the next ones."""
        return tuple(
            slice(span.start, min(span.stop + 1, length))
            for span, length in zip(self.box(place), self.shape, strict=True)
        )

    def seams(self, place: tuple[int, ...]) -> Iterator[Box]:
        """Yield the layers of the block that another block sees too."""
        box, seen = self.box(place), self.seen(place)
        for axis, (own, wide) in enumerate(zip(box, seen, strict=True)):
            if own.start > 0:
                yield _with(seen, axis, slice(own.start, own.start + 1))
            if wide.stop > own.stop:
                yield _with(seen, axis, slice(own.stop, wide.stop))


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


@dataclass(eq=False)
class _Decoding:
    """The state of a decoding by blocks."""

    maps: Any
    behind: int
    n_classes: int
    decoder: DecoderSpec | None
    options: DecodeOptions
    spacing: tuple[float, ...]
    out: Any
    shape: tuple[int, ...]
    # Of every object: the place of its first pixel, by its passing number less 1.
    firsts: list[NDArray[np.int64]] = field(default_factory=list)
    n: int = 0
    # Of every part of a piece in a block: its box, a pixel and the part it is connected with.
    boxes: list[Box] = field(default_factory=list)
    pixels: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    # The parts that each block saw in the layers that others see too.
    layers: dict[tuple[int, ...], list[tuple[Box, NDArray[np.int64]]]] = field(default_factory=dict)

    def decode_block(self, blocks: Blocks, place: tuple[int, ...]) -> None:
        """Decode what lies in a block as a whole, and take note of the rest."""
        seen, own = blocks.seen(place), blocks.box(place)
        foreground, maps = self._read(seen)
        parts, n = shapes.label(foreground >= self.options.foreground)
        if not n:
            self.out[own] = 0
            return
        crossing = np.zeros(n + 1, bool)
        for seam in blocks.seams(place):
            crossing[np.unique(parts[_inside(seam, seen)])] = True
        crossing[0] = False
        if crossing.any():
            self._note(blocks, place, seen, parts, crossing)
            foreground = np.where(crossing[parts], np.float32(0), foreground)
        labels = self._decoded(foreground, maps, seen)
        self.out[own] = labels[tuple(slice(0, span.stop - span.start) for span in own)]

    def pieces(self, largest: int) -> list[Piece]:
        """Return the pieces that lie in several blocks, those around others last."""
        groups: dict[int, list[int]] = {}
        for number in range(len(self.parents)):
            groups.setdefault(self._root(number), []).append(number)
        found = []
        for root, numbers in groups.items():
            ends = [self.boxes[number] for number in numbers]
            box = tuple(
                slice(min(s.start for s in spans), max(s.stop for s in spans))
                for spans in zip(*ends, strict=True)
            )
            if _size(box) > largest:
                raise InputError(
                    f"A connected piece of foreground spans {' x '.join(map(str, _sides(box)))} "
                    "pixels, too many to be divided at once. Raise the foreground's probability, "
                    "or predict a part of the image."
                )
            pixel = np.unravel_index(self.pixels[root], self.shape)
            found.append(Piece(box, tuple(int(at) for at in pixel)))
        return sorted(found, key=lambda piece: _size(piece.box))

    def decode_piece(self, piece: Piece) -> None:
        """Decode one piece; what lies in its holes, where they are filled, is part of it."""
        box = tuple(
            slice(max(span.start - 1, 0), min(span.stop + 1, length))
            for span, length in zip(piece.box, self.shape, strict=True)
        )
        foreground, maps = self._read(box)
        parts, _ = shapes.label(foreground >= self.options.foreground)
        start = [span.start for span in box]
        own = (
            parts == parts[tuple(at - first for at, first in zip(piece.pixel, start, strict=True))]
        )
        if self.options.fill_holes:
            own, _ = shapes.clean(own, fill_holes=True)
        labels = self._decoded(np.where(own, foreground, np.float32(0)), maps, box)
        before = np.asarray(self.out[box])
        self.out[box] = np.where(own, labels, before)

    def number(self, blocks: Blocks, first: int, progress: Progress) -> int:
        """Give the objects their final numbers from `first` on, by their first pixels."""
        firsts = np.concatenate([np.zeros(0, np.int64), *self.firsts])
        there = np.ones(len(firsts) + 1, bool)
        if self.options.fill_holes:  # what lay in a hole was part of what is around it
            there[:] = False
            for place in blocks:
                there[np.unique(np.asarray(self.out[blocks.box(place)]))] = True
        left = np.flatnonzero(there[1:])
        new = np.zeros(len(firsts) + 1, np.int32)
        new[1 + left[np.argsort(firsts[left], kind="stable")]] = np.arange(len(left)) + first
        for place in track(list(blocks), progress, "numbering objects"):
            box = blocks.box(place)
            labels = np.asarray(self.out[box])
            if labels.any():
                self.out[box] = new[labels]
        return len(left)

    def _read(self, box: Box) -> tuple[Floats, Floats]:
        numbers = np.asarray(self.maps[(slice(None), *box)])
        return 1 - numbers[self.behind], numbers[self.n_classes :]

    def _decoded(self, foreground: Floats, maps: Floats, box: Box) -> Labels:
        """Return objects with passing numbers."""
        labels, n = decode(foreground, maps, self.decoder, self.options, spacing=self.spacing)
        if n:
            self.firsts.append(_first_pixels(labels, n, box, self.shape))
            labels[labels > 0] += np.int32(self.n)
            self.n += n
        return labels

    def _note(
        self,
        blocks: Blocks,
        place: tuple[int, ...],
        seen: Box,
        parts: Labels,
        crossing: NDArray[np.bool_],
    ) -> None:
        """Take note of the parts that go on elsewhere, and of what they are connected with."""
        numbers = np.full(len(crossing), -1, np.int64)
        locals_ = np.flatnonzero(crossing)
        numbers[locals_] = np.arange(len(locals_)) + len(self.parents)
        boxes = scipy.ndimage.find_objects(parts)
        firsts = _first_pixels(parts, len(crossing) - 1, seen, self.shape)
        for local in locals_:
            self.parents.append(len(self.parents))
            self.boxes.append(
                tuple(
                    slice(span.start + at.start, span.stop + at.start)
                    for span, at in zip(boxes[local - 1], seen, strict=True)
                )
            )
            self.pixels.append(int(firsts[local - 1]))
        layers = [(seam, numbers[parts[_inside(seam, seen)]]) for seam in blocks.seams(place)]
        for before in _neighbours(place):
            for (box, theirs), (other, ours) in itertools.product(
                self.layers.get(before, ()), layers
            ):
                self._join(box, theirs, other, ours)
        self.layers[place] = layers

    def _join(
        self, box: Box, theirs: NDArray[np.int64], other: Box, ours: NDArray[np.int64]
    ) -> None:
        common = tuple(
            slice(max(a.start, b.start), min(a.stop, b.stop))
            for a, b in zip(box, other, strict=True)
        )
        if any(span.start >= span.stop for span in common):
            return
        pairs = np.stack(
            [theirs[_inside(common, box)].ravel(), ours[_inside(common, other)].ravel()]
        )
        for one, two in np.unique(pairs[:, (pairs >= 0).all(0)], axis=1).T:
            self.parents[self._root(int(two))] = self._root(int(one))

    def _root(self, number: int) -> int:
        while self.parents[number] != number:
            self.parents[number] = self.parents[self.parents[number]]
            number = self.parents[number]
        return number


def _first_pixels(labels: Labels, n: int, box: Box, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the place in the whole image of the first pixel of each object: (n,)."""
    inner = np.unravel_index(shapes.first_pixels(labels, n), labels.shape)
    outer = [places + span.start for places, span in zip(inner, box, strict=True)]
    first: NDArray[np.int64] = np.ravel_multi_index(outer, shape).astype(np.int64)
    return first


def _neighbours(place: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield the blocks around one."""
    for step in itertools.product((-1, 0, 1), repeat=len(place)):
        if any(step):
            yield tuple(at + by for at, by in zip(place, step, strict=True))


def _with(box: Box, axis: int, span: slice) -> Box:
    return (*box[:axis], span, *box[axis + 1 :])


def _inside(box: Box, around: Box) -> Box:
    """Return a box counted from the start of one around it."""
    return tuple(
        slice(span.start - wide.start, span.stop - wide.start)
        for span, wide in zip(box, around, strict=True)
    )


def _sides(box: Box) -> tuple[int, ...]:
    return tuple(span.stop - span.start for span in box)


def _size(box: Box) -> int:
    return math.prod(_sides(box))


__all__ = ["LARGEST_PIECE", "SIDES", "decode_blocks"]
