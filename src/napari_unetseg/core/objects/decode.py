"""From what a model says of each pixel to objects, every one with an id of its own.

What a pixel's object is depends on the connected piece of foreground it lies in and on nothing
else: a piece with a pixel around it, cut out of its image, gives the same objects as in it. So maps
that were predicted once can be decoded again with other options, and part by part.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.objects import masks as shapes
from napari_unetseg.core.objects.decoders import SPLIT_DEPTH, DecoderSpec
from napari_unetseg.core.objects.linking import Link, link_gap_option, link_iou_option, link_option
from napari_unetseg.core.options import Options, option

Floats = NDArray[np.float32]
Labels = NDArray[np.int32]

Split = Literal["auto", "learnt", "shape", "probability", "none"]

_HEIGHT_STEPS = 1024
_LEAST_HEIGHT = 1e-3


class DecodeOptions(Options):
    """How the foreground becomes objects."""

    split: Split = option(
        "auto",
        "Split touching",
        "Divide what touches: as the model learnt it from objects, at waists of the shape, where "
        "the probability dips, or not at all. Automatic is as learnt, and by shape for models "
        "that learnt no objects.",
    )
    split_depth: float = option(
        SPLIT_DEPTH,
        "Waist",
        "How much lower than two middles the pass between them must be to be cut: on the model's "
        "scale from 0 at the edge of an object to 1 in its middle; by shape, as a share of the "
        "smaller one's width. Lower it to cut more.",
        when={"split": ("auto", "learnt", "shape", "probability")},
        gt=0.0,
        lt=1.0,
        step=0.05,
        slider=True,
    )
    seed_height: float = option(
        0.0,
        "Seed height",
        "Middles lower than this on the model's scale make no object beside a higher one.",
        when={"split": ("auto", "learnt", "probability")},
        ge=0.0,
        le=1.0,
        step=0.05,
        slider=True,
    )
    foreground: float = option(
        0.5,
        "Foreground",
        "Probability from which a pixel belongs to an object. Lower it for larger objects.",
        gt=0.0,
        lt=1.0,
        step=0.05,
        slider=True,
    )
    min_size: int = option(
        0, "Smallest size", "Objects of fewer pixels are dropped.", ge=0, le=1_000_000_000
    )
    fill_holes: bool = option(
        False, "Fill holes", "Close background that an object surrounds on all sides."
    )
    background: int = option(
        0,
        "Background class",
        "Label value of the class that is background; 0 for the first class. All other classes "
        "together are foreground.",
        ge=0,
        le=2**31 - 1,
        advanced=True,
    )
    link: Link = link_option()
    link_iou: float = link_iou_option()
    link_gap: int = link_gap_option()


def decode(
    foreground: Floats,
    maps: Floats | None = None,
    decoder: DecoderSpec | None = None,
    options: DecodeOptions = DecodeOptions(),  # noqa: B008 - frozen
    *,
    spacing: Sequence[float] = (),
) -> tuple[Labels, int]:
    """Return the objects of a plane or a stack.

    Parameters
    ----------
    foreground
        (*spatial): probability that a pixel belongs to any object.
    maps
        (maps, *spatial): what a model that learnt objects says besides.
    decoder
        What the maps mean.
    spacing
        Physical size of a pixel along each axis, for splitting by shape.

    Returns
    -------
    labels : array (*spatial), int32
        Numbered from 1 in the order of their first pixels; 0 is background.
    n : int
        How many objects there are.

    Raises
    ------
    InputError
        When it is to be split as learnt and no objects were learnt, or the axes are not two or
        three.

    Notes
    -----
    Watershed of the model's heights in each connected piece of foreground, holes closed first
    where that is wished, with basins joined by the depth of the pass between them (dynamics,
    Grimaud 1992). The depth is not taken relative to the peaks, as it is by shape: low peaks are
    where a network is unsure, and their ripples no objects. About 0.2 s for a plane of 1024×1024
    pixels that is half objects.
    """
    split = _settled(options.split, decoder)
    mask, n = shapes.clean(
        foreground >= options.foreground, fill_holes=options.fill_holes, min_size=options.min_size
    )
    if split == "none" or n == 0:
        return shapes.label(mask)
    if split == "shape":
        return shapes.split_touching(
            mask, depth=options.split_depth, spacing=spacing, min_size=options.min_size
        )
    core = 0.0
    if split == "learnt" and maps is not None and decoder is not None:
        heights, core = decoder.decoder.heights(foreground, maps), decoder.decoder.core
    else:
        heights = (foreground - options.foreground) / (1 - options.foreground)
    return _flooded(mask, heights, core, options)


def _settled(split: Split, decoder: DecoderSpec | None) -> str:
    if split == "auto":
        return "shape" if decoder is None else "learnt"
    if split == "learnt" and decoder is None:
        raise InputError(
            "The model learnt classes, not how to split objects. Split by shape or probability, "
            "or train a UNet or CNN on labels that are objects."
        )
    return split


def background_class(values: Sequence[int], asked: int) -> int:
    """Return the place of the background among the classes; 0 asks for the first.

    Raises
    ------
    InputError
        When there is no such class.
    """
    if not asked:
        return 0
    if asked not in values:
        raise InputError(
            f"There is no class {asked} to be the background; the model has "
            f"{', '.join(map(str, values))}."
        )
    return list(values).index(asked)


def _flooded(
    mask: NDArray[np.bool_], heights: Floats, core: float, options: DecodeOptions
) -> tuple[Labels, int]:
    from napari_unetseg.core.objects.watershed import basins, grow_seeds

    # Every pixel of the mask belongs to an object, so none may have no height.
    inside = np.where(mask, np.maximum(heights, _LEAST_HEIGHT), 0).astype(np.float32)
    labels = basins(inside, 0.0, options.split_depth, seed=options.seed_height, steps=_HEIGHT_STEPS)
    if core:
        peaks = np.zeros(int(labels.max()) + 1, np.float32)
        np.maximum.at(peaks, labels[mask], inside[mask])
        labels = grow_seeds(np.where(inside >= core * peaks[labels], labels, 0), mask)
        labels = shapes.in_order(labels, len(peaks) - 1)
    return shapes.keep_large(labels, options.min_size)


__all__ = ["DecodeOptions", "Split", "background_class", "decode"]
