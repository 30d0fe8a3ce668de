"""Validation of a network's objects on held-out pixels, and choice of how they are made."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from napari_unetseg.core.annotation.annotation import AnnotatedImage, Annotation
from napari_unetseg.core.annotation.training_set import TrainingSet
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_tiles import predict_maps_image
from napari_unetseg.core.inference.segmenter import Segmenter, decoder_of
from napari_unetseg.core.objects.choose_decoding import (
    DecodingChoice,
    KnownObjects,
    choose_decoding,
)
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.progress import Progress, part, silent, track

VALIDATION_PIXELS = 2**21
"""Largest number of pixels predicted for a validation."""

_PREDICTING_SHARE = 0.5


def validate_objects(
    segmenter: Segmenter,
    data: TrainingSet,
    usual: DecodeOptions = DecodeOptions(),  # noqa: B008 - frozen
    *,
    progress: Progress = silent,
) -> DecodingChoice | None:
    """Choose how objects are made by the held-out objects, and score a segmenter on them.

    Parameters
    ----------
    data
        The training set of the segmenter, with object ids or masks.
    usual
        Options for making objects to start from.

    Returns
    -------
    DecodingChoice or None
        None when nothing was held out. Objects that reach beyond the held-out pixels are cropped
        to them, in truth and prediction alike; of an image larger than `VALIDATION_PIXELS` only a
        held-out piece is predicted.
    """
    held_out = [held for held in data.held_out if held.annotation.counted.any()]
    known = known_objects(
        segmenter, held_out, VALIDATION_PIXELS, part(progress, 0, _PREDICTING_SHARE)
    )
    return choose_decoding(
        known, decoder_of(segmenter), usual, progress=part(progress, _PREDICTING_SHARE, 1)
    )


def known_objects(
    segmenter: Segmenter,
    images: Sequence[AnnotatedImage],
    room: int,
    progress: Progress = silent,
) -> list[KnownObjects]:
    """Predict annotated images, up to `room` pixels in all, beside their true objects."""
    known = []
    for image in track(images, progress, "validating"):
        box = _piece(image.annotation)
        counted = image.annotation.counted[box]
        if counted.size > room:
            continue
        room -= counted.size
        given = Image(image.image[:, *box], image.axes)
        maps = predict_maps_image(given, segmenter, image.scale()).asarray()
        truth = np.where(counted, image.annotation.object_ids()[box], 0)
        extra = maps[len(segmenter.classes) :]
        known.append(KnownObjects(1 - maps[0], extra, truth, counted, image.spacing))
    return known


def _piece(held: Annotation) -> tuple[slice, ...]:
    """Return the box to predict: the image, or of a large one a held-out tile."""
    shape = held.shape
    if held.counted.size <= VALIDATION_PIXELS:
        return tuple(slice(0, side) for side in shape)
    tiles, _ = held.tiles()
    boxes = [box for box in ndimage.find_objects(tiles) if box is not None]
    box = max(boxes, key=lambda one: int(held.counted[one].sum()))
    side = int(VALIDATION_PIXELS ** (1 / len(shape)))
    return tuple(slice(part.start, min(part.stop, part.start + side)) for part in box)


__all__ = ["VALIDATION_PIXELS", "known_objects", "validate_objects"]
