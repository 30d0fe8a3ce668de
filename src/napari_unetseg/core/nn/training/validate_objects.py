"""Validation of a network's objects on held-out pixels, and choice of the splitting depth."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_unetseg.core.annotation.annotation import Annotation
from napari_unetseg.core.annotation.training_set import TrainingSet
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_tiles import predict_maps_image
from napari_unetseg.core.inference.segmenter import Segmenter, decoder_of
from napari_unetseg.core.objects.decode import DecodeOptions, decode
from napari_unetseg.core.objects.decoders import SPLIT_DEPTH
from napari_unetseg.core.progress import Progress, silent, track
from napari_unetseg.core.scoring.object_scores import ObjectScores, object_scores
from napari_unetseg.core.scoring.overlap import Overlap, overlap_of

VALIDATION_PIXELS = 2**21
"""Largest number of pixels predicted for a validation."""

DEPTHS = (0.05, 0.1, SPLIT_DEPTH, 0.2, 0.25, 0.3, 0.4)
"""Splitting depths to choose from; see `DecodeOptions`."""

FEWEST_OBJECTS = 20
"""Smallest number of true objects from which a depth is chosen."""


@dataclass(frozen=True)
class ObjectValidation:
    """Scores of objects on the validation set, and the best splitting depth.

    Parameters
    ----------
    scores
        With that depth, over all images together.
    split_depth
        See `DecodeOptions`.
    """

    scores: ObjectScores
    split_depth: float


def validate_objects(
    segmenter: Segmenter,
    data: TrainingSet,
    *,
    progress: Progress = silent,
) -> ObjectValidation | None:
    """Score a segmenter on the held-out objects.

    Parameters
    ----------
    data
        The training set of the segmenter, with object ids.

    Returns
    -------
    ObjectValidation or None
        None when nothing was held out. Objects that reach beyond the held-out pixels are cropped
        to them, in truth and prediction alike; of an image larger than `VALIDATION_PIXELS` only a
        held-out piece is predicted. With too few objects for a choice, the depth is the
        segmenter's own.
    """
    validation = [held for held in data.held_out if held.annotation.counted.any()]
    decoder = decoder_of(segmenter)
    own = SPLIT_DEPTH if decoder is None else decoder.split_depth
    found: dict[float, list[Overlap]] = {depth: [] for depth in sorted({*DEPTHS, own})}
    room = VALIDATION_PIXELS
    for held in track(validation, progress, "validating"):
        annotation = held.annotation
        box = _piece(annotation)
        counted = annotation.counted[box]
        if annotation.objects is None or counted.size > room:
            continue
        room -= counted.size
        truth = np.where(counted, annotation.objects[box], 0)
        image = Image(held.image[:, *box], held.axes)
        maps = predict_maps_image(image, segmenter, held.scale()).asarray()
        for depth, overlaps in found.items():
            options = DecodeOptions(split_depth=depth)
            extra = maps[len(segmenter.classes) :]
            objects, _ = decode(1 - maps[0], extra, decoder, options)
            overlaps.append(overlap_of(np.where(counted, objects, 0), truth))
    if not found[own]:
        return None
    scores = {depth: object_scores(Overlap.joined(several)) for depth, several in found.items()}
    n = scores[own].matched + scores[own].missed
    if n < FEWEST_OBJECTS:
        return ObjectValidation(scores[own], own)
    best = choose_split_depth({depth: one.ap50 for depth, one in scores.items()}, n, own)
    return ObjectValidation(scores[best], best)


def choose_split_depth(
    scores: Mapping[float, float], n: float, usual: float = SPLIT_DEPTH
) -> float:
    """Choose the depth nearest to the usual one among those as good as the best.

    Scores count as equally good within the standard error of a share of `n` objects. The curve is
    flat, and its maximum may lie at a depth that suits other images badly.
    """
    top = max(scores.values())
    error = (top * (1 - top) / n) ** 0.5
    good = [depth for depth, score in scores.items() if score >= top - error]
    return min(good, key=lambda depth: abs(depth - usual))


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


__all__ = [
    "DEPTHS",
    "FEWEST_OBJECTS",
    "VALIDATION_PIXELS",
    "ObjectValidation",
    "choose_split_depth",
    "validate_objects",
]
