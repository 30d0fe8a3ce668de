"""Objects of a whole image: predicted, decoded and linked, one plane or stack after another.

What a segmenter says of a plane takes several times the memory of the plane. So it is decoded
before the next plane is looked at, a plane too large for memory lies in a temporary file
meanwhile, and is decoded block by block.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.compute.scratch_arrays import Scratch, scratch_part, zeros
from napari_unetseg.core.image import Image, Index
from napari_unetseg.core.inference.predict_tiles import (
    channels_first,
    matched,
    predicted_tiles,
    with_maps,
)
from napari_unetseg.core.inference.segmenter import Segmenter, decoder_of
from napari_unetseg.core.inference.tiles import Tile, TileGrid
from napari_unetseg.core.normalisation import Normalisation
from napari_unetseg.core.objects.decode import DecodeOptions, background_class, decode
from napari_unetseg.core.objects.decode_blocks import LARGEST_COMPONENT, decode_blocks
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.objects.linking import check_linking, link_objects, links_time
from napari_unetseg.core.progress import Progress, part, silent, to_the_end

AT_ONCE = 2**20
"""Pixels of a plane or stack above which blocks are decoded: faster then, in a tenth of memory."""

_DECODED_SHARE = 0.95
_MAPS_SHARE = 0.9
_AXES = {2: "YX", 3: "ZYX"}


def predict_objects_image(
    image: Image,
    segmenter: Segmenter,
    normalisation: Normalisation,
    values: Sequence[int],
    options: DecodeOptions = DecodeOptions(),  # noqa: B008 - frozen
    *,
    tile: int | None = None,
    out: Any = None,
    progress: Progress = silent,
) -> Image:
    """Return the objects of an image of any size, keeping no more than a plane or stack of maps.

    Parameters
    ----------
    image, segmenter, normalisation, tile
        As for `predict_proba_image`.
    values
        Label value of each class.
    options
        How objects are made.
    out
        As for `decode_image`.
    progress
        May cancel, or stop early: then what is not finished is 0.

    Returns
    -------
    Image
        As `decode_image` gives it of what `predict_maps_image` gives.

    Raises
    ------
    InputError
        As those two; and when the disk has no room for what is computed on the way.
    """
    given = matched(image, segmenter)
    block, whole = _AXES[segmenter.ndim], with_maps(segmenter)
    axes = "".join(axis for axis in given.axes if axis not in "C" + block) + block
    spacing = given.spacing[-segmenter.ndim :]
    work = _Objects(_labels_to(out, given, axes), axes, values, decoder_of(segmenter), options)
    shape = (len(whole.classes), *(given.length(axis) for axis in block))
    maps = zeros(shape, np.float32)
    indices = given.indices("C" + block)
    finishing, found = part(progress, 0, _DECODED_SHARE), 0
    try:
        plane = _Plane(maps, background_class(values, options.background))
        for index, grid, one, numbers in predicted_tiles(
            given, whole, normalisation, tile=tile, share=_MAPS_SHARE, progress=finishing
        ):
            plane.put(index, grid, one, numbers)
            if plane.missing:
                continue
            share = (found + _MAPS_SHARE) / len(indices), (found + 1) / len(indices)
            work.decode(index, maps, spacing, to_the_end(part(finishing, *share)))
            found += 1
        if plane.missing:
            plane.fill()
            work.decode(plane.index, maps, spacing, to_the_end(part(finishing, 1, 1)))
    finally:
        if isinstance(maps, Scratch):
            maps.close()
    work.link(given, block, to_the_end(part(progress, _DECODED_SHARE, 1)))
    return work.image(given)


def decode_image(
    maps: Image,
    values: Sequence[int],
    decoder: DecoderSpec | None = None,
    options: DecodeOptions = DecodeOptions(),  # noqa: B008 - frozen
    *,
    ndim: int = 2,
    out: Any = None,
    progress: Progress = silent,
) -> Image:
    """Return the objects of an image, plane by plane or stack by stack, linked as asked.

    Parameters
    ----------
    maps
        What `predict_maps_image` or `predict_proba_image` gave: C holds the probability of each
        class, then the maps of `decoder`.
    values
        Label value of each class.
    decoder
        Of the model; None for one that learnt classes.
    ndim
        2 for objects within planes, 3 for objects that go through a stack.
    out
        Where to write, if not to memory: anything with slices, of the result's shape and int32.
        When missing, what is too large for memory is in a temporary file, and lazy.

    Returns
    -------
    Image
        int32, the axes without C; no id occurs twice, but for objects that are linked.

    Raises
    ------
    InputError
        As `decode`, and when there is no such background class.
    """
    block, axes = _AXES[ndim], maps.axes.replace("C", "")
    work = _Objects(_labels_to(out, maps, axes), axes, values, decoder, options)
    indices = maps.indices("C" + block)
    for done, index in enumerate(indices):
        here = part(progress, done / len(indices), (done + 1) / len(indices))
        numbers = channels_first(maps, index, "C" + block)
        work.decode(index, numbers, maps.spacing[-ndim:], part(here, 0, _DECODED_SHARE))
    work.link(maps, block, part(progress, _DECODED_SHARE, 1))
    return work.image(maps)


def unseen_as_background(
    maps: Image,
    values: Sequence[int],
    options: DecodeOptions = DecodeOptions(),  # noqa: B008
) -> Image:
    """Return maps that a stop left unfinished, with background where nothing was predicted.

    Parameters
    ----------
    maps, values, options
        As for `decode_image`; the maps in memory.

    Raises
    ------
    InputError
        When there is no such background class.
    """
    numbers = np.moveaxis(maps.asarray().copy(), maps.axes.index("C"), 0)
    unseen = ~numbers[: len(values)].any(0)
    numbers[background_class(values, options.background)][unseen] = 1
    return maps.with_data(np.moveaxis(numbers, 0, maps.axes.index("C")))


class _Plane:
    """The maps of a plane or stack under way, and which tiles are still to come."""

    def __init__(self, maps: Any, behind: int) -> None:
        self.maps, self.behind = maps, behind
        self.index: Index = ()
        self.missing: list[Tile] = []

    def put(self, index: Index, grid: TileGrid, tile: Tile, numbers: NDArray[np.float32]) -> None:
        """Put what was said of the next tile in its place."""
        if not self.missing:
            self.index, self.missing = index, list(grid)
        grid.paste(self.maps, tile, numbers)
        del self.missing[0]

    def fill(self) -> None:
        """Make background of what was not predicted."""
        for tile in self.missing:
            self.maps[(slice(None), *tile.region)] = 0
            self.maps[(self.behind, *tile.region)] = 1


class _Objects:
    """The objects of an image that grows plane by plane, or stack by stack."""

    def __init__(
        self,
        labels: Any,
        axes: str,
        values: Sequence[int],
        decoder: DecoderSpec | None,
        options: DecodeOptions,
    ) -> None:
        self.labels, self.axes, self.options, self.decoder = labels, axes, options, decoder
        self.n_classes, self.behind = len(values), background_class(values, options.background)
        self.n = 0
        self.parents: dict[int, int] = {}
        check_linking(axes, options)

    def decode(
        self, index: Index, maps: Any, spacing: tuple[float, ...], progress: Progress
    ) -> None:
        """Write the objects of one plane or stack, of which these are the maps."""
        progress(0.0, "finding objects")
        rest, block = iter(index), _AXES[len(spacing)]
        at = tuple(slice(None) if axis in block else next(rest) for axis in self.axes)
        out, how = scratch_part(self.labels, at), (self.decoder, self.options)
        if (size := math.prod(out.shape)) > AT_ONCE:
            self.n += decode_blocks(
                maps,
                self.behind,
                self.n_classes,
                *how,
                out=out,
                first=self.n + 1,
                spacing=spacing,
                largest=max(LARGEST_COMPONENT, size)
                if isinstance(maps, np.ndarray)
                else LARGEST_COMPONENT,
                progress=progress,
            )
            return
        numbers = np.asarray(maps)
        labels, found = decode(
            1 - numbers[self.behind], numbers[self.n_classes :], *how, spacing=spacing
        )
        labels[labels > 0] += np.int32(self.n)
        out[(slice(None),) * labels.ndim] = labels
        self.n += found

    def link(self, given: Image, whole: str, progress: Progress) -> None:
        """Link those of planes or stacks, whichever they are, as asked."""
        self.n = link_objects(
            self.labels,
            self.axes,
            self.n,
            self.options,
            whole=whole,
            spacing=given.spacing,
            parents=self.parents,
            progress=progress,
        )
        progress(1.0, "finding objects")

    def image(self, given: Image) -> Image:
        """Return the labels with the calibration of the image that they are made from."""
        scratch = isinstance(self.labels, Scratch)
        made = given.like(
            Image.of(self.labels, self.axes).data if scratch else self.labels, self.axes
        )
        linked = links_time(self.axes, self.options)
        return replace(made, parents=self.parents) if linked else made


def _labels_to(out: Any, image: Image, axes: str) -> Any:
    if out is not None:
        return out
    return zeros([image.length(axis) for axis in axes], np.int32)


__all__ = ["AT_ONCE", "decode_image", "predict_objects_image", "unseen_as_background"]
