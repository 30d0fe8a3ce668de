"""How well a network tells objects apart, on what it did not learn from."""

from collections.abc import Sequence

import numpy as np

from napari_unetseg.core.annotation import Example
from napari_unetseg.core.decode import decode
from napari_unetseg.core.holdout import split
from napari_unetseg.core.image import Image
from napari_unetseg.core.nn.prepare import sources_of
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.predict import predict_maps_image
from napari_unetseg.core.progress import Progress, silent, track
from napari_unetseg.core.scoring.objects import ObjectScores, object_scores
from napari_unetseg.core.scoring.overlap import Overlap, overlap_of
from napari_unetseg.core.segmenter import Segmenter, decoder_of
from napari_unetseg.core.training import TrainOptions

EXAM_PIXELS = 2**21
"""Most pixels that are predicted for an exam, but always an image."""


def objects_examined(
    segmenter: Segmenter,
    data: Sequence[Example],
    options: TrainOptions,
    scaling: NormalisationSpec,
    *,
    progress: Progress = silent,
) -> ObjectScores | None:
    """Return the scores of the objects that were held out, all images counted together.

    Parameters
    ----------
    data
        What the segmenter was trained on, with ids.
    options
        Of the training: they say what was held out.

    Returns
    -------
    ObjectScores or None
        None when nothing was held out. Objects cut by the edge of what was held out count as far
        as they lie in it, in truth and prediction alike.
    """
    _, held = split([e.annotation for e in data], options.validation, seed=options.seed)
    sources = sources_of(data, scaling)
    exam = [(s, h) for s, h in zip(sources, held, strict=True) if h.counted.any()]
    found: list[Overlap] = []
    room = EXAM_PIXELS
    for source, annotation in track(exam, progress, "examining"):
        ids, counted = annotation.objects, annotation.counted
        if ids is None or (found and counted.size > room):
            continue
        room -= counted.size
        image = Image(source.image, "C" + "ZYX"[1 - source.image.ndim :])
        maps = predict_maps_image(image, segmenter, source.normalisation).asarray()
        said, _ = decode(1 - maps[0], maps[len(segmenter.classes) :], decoder_of(segmenter))
        truth = np.where(counted, ids, 0)
        found.append(overlap_of(np.where(counted, said, 0), truth))
    return object_scores(Overlap.joined(found)) if found else None


__all__ = ["EXAM_PIXELS", "objects_examined"]
