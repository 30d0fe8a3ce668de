"""Decoding: from the probabilities and maps of a model to labelled objects.

The objects of a pixel depend only on the connected component of foreground that contains it: a
component with a margin of one pixel, cut out of the image, gives the same objects as in the whole.
So stored predictions can be decoded again with other options, and part by part.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.objects import masks as shapes
from napari_unetseg.core.objects.decoders import SPLIT_DEPTH, DecoderSpec
from napari_unetseg.core.objects.linking import (
    Link,
    LinkBy,
    link_by_option,
    link_distance_option,
    link_divisions_option,
    link_gap_option,
    link_iou_option,
    link_option,
)
from napari_unetseg.core.options import Options, option

Floats = NDArray[np.float32]
Labels = NDArray[np.int32]

Split = Literal["auto", "learnt", "shape", "probability", "none"]

_HEIGHT_STEPS = 1024
_LEAST_HEIGHT = 1e-3


class DecodeOptions(Options):
    """Options for turning the foreground into objects."""

    split: Split = option(
        "auto",
        "Split touching",
        "How to split touching objects: as learnt from objects, at waists of the shape, where "
        "the probability dips, or not at all. Automatic is as learnt, or by shape for models "
        "trained on classes.",
    )
    split_depth: float = option(
        SPLIT_DEPTH,
        "Waist",
        "How far the saddle between two peaks must lie below the lower one to be cut: on the "
        "model's scale from 0 at the edge of an object to 1 in its middle; by shape, as a "
        "fraction of the smaller object's width. Lower it to cut more.",
        when={"split": ("auto", "learnt", "shape", "probability")},
        gt=0.0,
        lt=1.0,
        step=0.05,
        slider=True,
    )
    seed_height: float = option(
        0.0,
        "Seed height",
        "Peaks lower than this, on the model's scale from 0 to 1, do not become an object of "
        "their own next to a higher peak.",
        when={"split": ("auto", "learnt", "probability")},
        ge=0.0,
        le=1.0,
        step=0.05,
        slider=True,
    )
    foreground: float = option(
        0.5,
        "Foreground",
        "Minimum probability of the pixels of an object. Lower it for larger objects.",
        gt=0.0,
        lt=1.0,
        step=0.05,
        slider=True,
    )
    min_size: int = option(
        0,
        "Smallest size",
        "Remove objects with fewer pixels than this. 0 is as trained: the size that the model was "
        "given, scaled with the image; 1 removes none.",
        ge=0,
        le=1_000_000_000,
    )
    min_score: float = option(
        0.0,
        "Lowest score",
        "Remove objects with a lower score: their mean probability times the height of their peak, "
        "on the model's scale from 0 to 1.",
        ge=0.0,
        lt=1.0,
        step=0.05,
        slider=True,
    )
    fill_holes: bool = option(
        False, "Fill holes", "Fill background that an object surrounds on all sides."
    )
    background: int = option(
        0,
        "Background class",
        "Label value of the background class; 0 for the first class. All other classes together "
        "are foreground.",
        ge=0,
        le=2**31 - 1,
        advanced=True,
    )
    link: Link = link_option()
    link_by: LinkBy = link_by_option()
    link_distance: float = link_distance_option()
    link_divisions: bool = link_divisions_option()
    link_iou: float = link_iou_option()
    link_gap: int = link_gap_option()


LEARNT = ("split", "split_depth", "seed_height", "foreground", "min_size", "min_score")
"""Options that a model may have of its own, as trained."""


def decode(
    foreground: Floats,
    maps: Floats | None = None,
    decoder: DecoderSpec | None = None,
    options: DecodeOptions = DecodeOptions(),  # noqa: B008 - frozen
    *,
    spacing: Sequence[float] = (),
) -> tuple[Labels, int]:
    """Decode the foreground and the maps of a plane or stack into objects.

    Parameters
    ----------
    foreground
        (*spatial): probability that a pixel belongs to any object.
    maps
        (maps, *spatial): the additional outputs of a model trained on objects.
    decoder
        The meaning of the maps.
    spacing
        Physical size of a pixel along each axis, for splitting by shape.

    Returns
    -------
    labels : array (*spatial), int32
        Numbered from 1 in the order of their first pixels; 0 is background.
    n : int
        Number of objects.

    Raises
    ------
    InputError
        When the split is as learnt but the model was not trained on objects, or there are not two
        or three axes.

    Notes
    -----
    Watershed of the model's heights in each connected component of foreground, after filling holes
    if requested, with basins joined by the depth of the saddle between them (dynamics, Grimaud
    1992). The depth is not relative to the peaks, as it is by shape: peaks are low where a network
    is uncertain, and their ripples are not objects. About 0.2 s for a plane of 1024×1024 pixels
    with half of it objects.
    """
    labels, n = _split(foreground, maps, decoder, options, spacing)
    if n == 0 or options.min_score == 0:
        return labels, n
    scores = object_certainty(labels, n, foreground, maps, decoder, level=options.foreground)
    return shapes.keep_objects(labels, scores >= options.min_score)


def object_certainty(
    labels: Labels,
    n: int,
    foreground: Floats,
    maps: Floats | None = None,
    decoder: DecoderSpec | None = None,
    *,
    level: float = 0.5,
) -> NDArray[np.float64]:
    """Compute the score of each object: its mean probability times the height of its peak.

    Parameters
    ----------
    labels, n
        (*spatial): ids from 1 to `n`, all present.
    foreground, maps, decoder
        As for `decode`. Without maps the height is the probability.
    level
        Pixels below it, in filled holes, do not count in the mean.

    Returns
    -------
    array (n,), float64, from 0 to 1
    """
    heights = foreground
    if maps is not None and decoder is not None:
        heights = decoder.decoder.heights(foreground, maps)
    inside = (labels > 0) & (foreground >= level)
    ids = labels[inside]
    # Sums run over the pixels of an object in their order, so that a part of an image gives the
    # same score.
    counts = np.bincount(ids, minlength=n + 1)
    sums = np.bincount(ids, foreground[inside], minlength=n + 1)
    peaks = np.zeros(n + 1, np.float32)
    np.maximum.at(peaks, ids, heights[inside])
    scores: NDArray[np.float64] = sums[1:] / np.maximum(counts[1:], 1) * peaks[1:]
    return scores


def _split(
    foreground: Floats,
    maps: Floats | None,
    decoder: DecoderSpec | None,
    options: DecodeOptions,
    spacing: Sequence[float],
) -> tuple[Labels, int]:
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
            "The model learnt classes, not how to split objects. Split by shape or probability, or "
            "train a UNet or CNN on labels that are objects."
        )
    return split


def background_class(values: Sequence[int], asked: int) -> int:
    """Return the index of the background among the classes; 0 asks for the first.

    Raises
    ------
    InputError
        When the class does not exist.
    """
    if not asked:
        return 0
    if asked not in values:
        raise InputError(
            f"The model has no class {asked} to use as the background; it has "
            f"{', '.join(map(str, values))}."
        )
    return list(values).index(asked)


def _flooded(
    mask: NDArray[np.bool_], heights: Floats, core: float, options: DecodeOptions
) -> tuple[Labels, int]:
    from napari_unetseg.core.objects.watershed import basins, grow_seeds

    # Every pixel of the mask belongs to an object, so all need a height above 0.
    inside = np.where(mask, np.maximum(heights, _LEAST_HEIGHT), 0).astype(np.float32)
    labels = basins(inside, 0.0, options.split_depth, seed=options.seed_height, steps=_HEIGHT_STEPS)
    if core:
        peaks = np.zeros(int(labels.max()) + 1, np.float32)
        np.maximum.at(peaks, labels[mask], inside[mask])
        labels = grow_seeds(np.where(inside >= core * peaks[labels], labels, 0), mask)
        labels = shapes.relabel_in_order(labels, len(peaks) - 1)
    return shapes.keep_large(labels, options.min_size)


__all__ = ["LEARNT", "DecodeOptions", "Split", "background_class", "decode", "object_certainty"]
