"""Gains and losses of a training on all annotations: a check for forgetting."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import AnnotatedImage, Annotation
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.open_segmenter import open_segmenter
from napari_unetseg.core.inference.predict_tiles import likeliest, predict_maps_image
from napari_unetseg.core.inference.prediction import (
    decode_maps,
)
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.progress import Progress, silent, to_the_end, track
from napari_unetseg.core.scoring.object_scores import best_of
from napari_unetseg.core.scoring.overlap import overlap_of

CHECK_PIXELS = 2**23
"""Largest number of pixels that each of both models predicts in a check."""

RIGHT = 0.5
"""Intersection over union from which an object counts as found."""

FEWEST_OBJECTS = 10
"""Smallest number of objects for which a share is meaningful."""

_Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Counts:
    """Numbers of annotated pixels or objects that two models predict correctly.

    Parameters
    ----------
    total
        Number of all.
    before, after
        Numbers predicted correctly by the old and by the new model.
    forgotten
        Number predicted correctly by the old model, but not by the new one.
    """

    total: int = 0
    before: int = 0
    after: int = 0
    forgotten: int = 0

    @property
    def share(self) -> float:
        """Forgotten share of the old model's correct predictions."""
        return self.forgotten / self.before if self.before else 0.0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.total + other.total,
            self.before + other.before,
            self.after + other.after,
            self.forgotten + other.forgotten,
        )

    @classmethod
    def of(cls, old: _Mask, new: _Mask) -> "Counts":
        """Count the correct predictions of two models, given as booleans of equal shape."""
        return cls(
            old.size,
            int(np.count_nonzero(old)),
            int(np.count_nonzero(new)),
            int(np.count_nonzero(old & ~new)),
        )


@dataclass(frozen=True)
class Check:
    """Correct predictions before and after a training.

    Parameters
    ----------
    pixels
        Counts of pixels that a person annotated: strokes, masks, corrections.
    objects
        Counts of annotated whole objects, for models of objects: correct when a predicted one
        overlaps with an IoU of at least `RIGHT`.
    """

    pixels: Counts = Counts()
    objects: Counts = Counts()

    @property
    def forgotten(self) -> float:
        """The larger forgotten share, of pixels or of objects.

        With fewer than `FEWEST_OBJECTS` objects it is that of pixels.
        """
        return self._worse()[0].share

    def __add__(self, other: "Check") -> "Check":
        return Check(self.pixels + other.pixels, self.objects + other.objects)

    def describe(self, old: str, new: str) -> str:
        """Describe the counts before and after in a sentence."""
        n = self.pixels.total
        sentence = f"{old!r} has {_share(self.pixels.before, n)} and {new!r} "
        sentence += f"{_share(self.pixels.after, n)} of {n:,} annotated pixels right"
        if self.objects.total:
            n = self.objects.total
            sentence += f"; of {n:,} objects {self.objects.before:,} and {self.objects.after:,}"
        return f"{sentence}."

    def alarm(self, old: str, new: str, limit: float) -> str:
        """Describe the forgotten share in a sentence; empty up to the limit."""
        counts, things = self._worse()
        if self.forgotten <= limit:
            return ""
        return (
            f"It forgot: of {counts.before:,} {things} that {old!r} had right, {new!r} has "
            f"{counts.forgotten:,} wrong ({_share(counts.forgotten, counts.before)})."
        )

    def _worse(self) -> tuple[Counts, str]:
        enough = self.objects.before >= FEWEST_OBJECTS
        if enough and self.objects.share > self.pixels.share:
            return self.objects, "objects"
        return self.pixels, "pixels"


def check_forgetting(
    old: TrainedModel,
    new: TrainedModel,
    examples: Sequence[AnnotatedImage],
    *,
    progress: Progress = silent,
) -> Check:
    """Compare the predictions of two models with the annotations.

    Parameters
    ----------
    old, new
        Models for the same images, compared by the labels they write.
    examples
        Planes or stacks with annotations. Those beyond `CHECK_PIXELS` are left out, the last
        first.
    progress
        May cancel. `StopEarly` is ignored, since half a check cannot be compared.
    """
    some = _within(examples)
    segmenters = [open_segmenter(model) for model in (old, new)]
    found = Check()
    for example in track(some, to_the_end(progress), "checking what was forgotten"):
        predictions = [
            _predict(model, segmenter, example)
            for model, segmenter in zip((old, new), segmenters, strict=True)
        ]
        found += _compared(example.annotation.certain(), *predictions)
    return found


def _within(examples: Sequence[AnnotatedImage]) -> list[AnnotatedImage]:
    room, kept = CHECK_PIXELS, list[AnnotatedImage]()
    for example in examples:
        certain = example.annotation.certain().counted
        if not certain.any() or (kept and certain.size > room):
            continue
        room -= certain.size
        kept.append(example)
    return kept


def _predict(
    model: TrainedModel, segmenter: Any, example: AnnotatedImage
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Predict labels with a model, and objects if it learnt them."""
    axes = "C" + "ZYX"[-model.ndim :]
    image = Image(example.image, axes)
    scaling = example.scale(model.normalisation)
    maps = predict_maps_image(image, segmenter, scaling)
    classes = maps.asarray()[: len(model.classes)]
    labels = np.array(model.values)[likeliest(classes)]
    found = decode_maps(model, maps).asarray() if model.labels_are == "objects" else None
    return labels, found


def _compared(
    annotation: Annotation,
    old: tuple[NDArray[Any], NDArray[Any] | None],
    new: tuple[NDArray[Any], NDArray[Any] | None],
) -> Check:
    counted = annotation.counted
    truth = np.array(annotation.values)[annotation.targets[counted]]
    pixels = Counts.of(old[0][counted] == truth, new[0][counted] == truth)
    if annotation.objects is None or old[1] is None or new[1] is None:
        return Check(pixels)
    true = np.where(counted, annotation.objects, 0)
    return Check(pixels, Counts.of(_found(old[1], true), _found(new[1], true)))


def _found(predicted: NDArray[Any], true: NDArray[Any]) -> _Mask:
    """Return for each true object whether it is found: (objects,)."""
    overlap = overlap_of(predicted, true)
    return best_of(overlap.truth, overlap.iou(), overlap.n_true) >= RIGHT


def _share(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.1f} %"


__all__ = ["CHECK_PIXELS", "RIGHT", "Check", "Counts", "check_forgetting"]
