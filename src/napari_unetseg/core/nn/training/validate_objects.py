"""How well a network tells objects apart, on what it did not learn from."""

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

EXAM_PIXELS = 2**21
"""Most pixels that are predicted for an exam."""

DEPTHS = (0.05, 0.1, SPLIT_DEPTH, 0.2, 0.25, 0.3, 0.4)
"""How deep a pass may have to be to be cut."""

FEWEST_OBJECTS = 20
"""Of fewer true objects no best depth is sought."""


@dataclass(frozen=True)
class ObjectValidation:
    """How objects were told apart, and how deep a pass is best cut to that end.

    Parameters
    ----------
    scores
        With that depth, all images counted together.
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
    """Examine a segmenter on the objects that were held out.

    Parameters
    ----------
    data
        What the segmenter was trained on, with ids.

    Returns
    -------
    Exam or None
        None when nothing was held out. Objects cut by the edge of what was held out count as far
        as they lie in it, in truth and prediction alike; of an image larger than `EXAM_PIXELS` a
        held-out piece is seen alone. Few objects say nothing of the depth: the segmenter's own is
        left as it is.
    """
    exam = [held for held in data.held_out if held.annotation.counted.any()]
    decoder = decoder_of(segmenter)
    own = SPLIT_DEPTH if decoder is None else decoder.split_depth
    found: dict[float, list[Overlap]] = {depth: [] for depth in sorted({*DEPTHS, own})}
    room = EXAM_PIXELS
    for held in track(exam, progress, "examining"):
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
            how = DecodeOptions(split_depth=depth)
            extra = maps[len(segmenter.classes) :]
            said, _ = decode(1 - maps[0], extra, decoder, how)
            overlaps.append(overlap_of(np.where(counted, said, 0), truth))
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
    """Return the depth nearest to the usual one of those that are as good as the best.

    As good is what chance alone may part: the standard error of a share of `n` objects. The curve
    is flat, and its very top may lie at a depth that suits other images ill.
    """
    top = max(scores.values())
    chance = (top * (1 - top) / n) ** 0.5
    good = [depth for depth, score in scores.items() if score >= top - chance]
    return min(good, key=lambda depth: abs(depth - usual))


def _piece(held: Annotation) -> tuple[slice, ...]:
    """Return what is to be seen of an image: all, or of a large one a tile that was held out."""
    shape = held.shape
    if held.counted.size <= EXAM_PIXELS:
        return tuple(slice(0, side) for side in shape)
    tiles, _ = held.tiles()
    boxes = [box for box in ndimage.find_objects(tiles) if box is not None]
    box = max(boxes, key=lambda one: int(held.counted[one].sum()))
    side = int(EXAM_PIXELS ** (1 / len(shape)))
    return tuple(slice(part.start, min(part.stop, part.start + side)) for part in box)


__all__ = [
    "DEPTHS",
    "EXAM_PIXELS",
    "FEWEST_OBJECTS",
    "ObjectValidation",
    "choose_split_depth",
    "validate_objects",
]
