"""Decoding of images larger than memory, block by block; see `cross_block_objects`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.objects.cross_block_objects import (
    LARGEST_COMPONENT,
    Blocks,
    Box,
    join_components,
    number_objects,
    split_block,
    split_component,
)
from napari_unetseg.core.objects.decode import DecodeOptions, decode
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.progress import Progress, part, silent, track

Floats = NDArray[np.float32]
Labels = NDArray[np.int32]

SIDES = {2: 1024, 3: 256}
"""Side of a block by the number of axes: up to 250 MB of maps, labels and temporaries."""


@dataclass(frozen=True)
class DecodeObjectBuilder:
    """Object builder for model outputs: its maps are the foreground and the maps of `decoder`.

    Parameters
    ----------
    decoder, options, spacing
        As in `decode`.
    """

    decoder: DecoderSpec | None
    options: DecodeOptions
    spacing: tuple[float, ...] = ()

    @property
    def fill_holes(self) -> bool:
        return self.options.fill_holes

    def mask(self, maps: tuple[Floats, Floats]) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = maps[0] >= self.options.foreground
        return mask

    def objects(
        self,
        maps: tuple[Floats, Floats],
        own: NDArray[np.bool_],
        box: Box,
        shape: tuple[int, ...],
    ) -> tuple[Labels, int]:
        foreground = np.where(own, maps[0], np.float32(0))
        return decode(foreground, maps[1], self.decoder, self.options, spacing=self.spacing)


def decode_blocks(
    maps: Any,
    background: int,
    n_classes: int,
    decoder: DecoderSpec | None = None,
    options: DecodeOptions = DecodeOptions(),  # noqa: B008 - frozen
    *,
    out: Any,
    first: int = 1,
    spacing: Sequence[float] = (),
    side: int | None = None,
    largest: int = LARGEST_COMPONENT,
    progress: Progress = silent,
) -> int:
    """Write the objects of a plane or a stack, reading one block at a time.

    Parameters
    ----------
    maps
        (C, *spatial), float32, read by slices: the probability of each class, then the maps of
        `decoder`.
    background
        Index of the background class.
    n_classes
        Number of channels that are classes.
    decoder, options, spacing
        As in `decode`.
    out
        (*spatial), int32, written and read by slices.
    first
        Id of the first object.
    side
        Side of a block in pixels; see `SIDES`.
    largest
        Maximum number of pixels in the bounding box of a connected component.
    progress
        Called after each block; may cancel, which leaves `out` incomplete.

    Returns
    -------
    int
        Number of objects. They are those of `decode`, in the same order.

    Raises
    ------
    InputError
        When a connected component of foreground is too large for memory, such as a network of
        membranes through the whole image, or as in `decode`.
    """
    shape = tuple(int(length) for length in maps.shape[1:])
    blocks = Blocks(shape, (side or SIDES[len(shape)],) * len(shape))
    builder = DecodeObjectBuilder(decoder, options, tuple(spacing))

    def read(box: Box) -> tuple[Floats, Floats]:
        numbers = np.asarray(maps[(slice(None), *box)])
        return 1 - numbers[background], numbers[n_classes:]

    crossing, firsts, n = {}, [np.zeros(0, np.int64)], 0
    for index in track(list(blocks), part(progress, 0, 0.6), "finding objects"):
        block = split_block(read, builder, blocks, index)
        out[blocks.box(index)] = _shifted(block.labels, n)
        crossing[index] = block.crossing
        firsts.append(block.firsts)
        n += len(block.firsts)
    components = join_components(blocks, crossing, largest=largest)
    for component in track(components, part(progress, 0.6, 0.8), "joining objects"):
        objects = split_component(read, builder, component, shape)
        before = np.asarray(out[objects.box])
        out[objects.box] = np.where(objects.own, _shifted(objects.labels, n), before)
        firsts.append(objects.firsts)
        n += len(objects.firsts)
    return _number(out, blocks, builder, np.concatenate(firsts), first, part(progress, 0.8, 1))


def _number(
    out: Any,
    blocks: Blocks,
    builder: DecodeObjectBuilder,
    firsts: NDArray[np.int64],
    first: int,
    progress: Progress,
) -> int:
    """Give the objects their final numbers from `first` on, ordered by their first pixels."""
    remain = np.ones(len(firsts), bool)
    if builder.fill_holes:  # objects in a hole became part of the surrounding one
        present = np.zeros(len(firsts) + 1, bool)
        for index in blocks:
            present[np.unique(np.asarray(out[blocks.box(index)]))] = True
        remain = present[1:]
    numbers = np.append(np.int32(0), number_objects(firsts, remain, first))
    for index in track(list(blocks), progress, "numbering objects"):
        box = blocks.box(index)
        labels = np.asarray(out[box])
        if labels.any():
            out[box] = numbers[labels]
    return int(remain.sum())


def _shifted(labels: Labels, by: int) -> Labels:
    return np.where(labels > 0, labels + np.int32(by), 0).astype(np.int32)


__all__ = ["LARGEST_COMPONENT", "SIDES", "DecodeObjectBuilder", "decode_blocks"]
