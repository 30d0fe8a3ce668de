"""What a training made better and what it unlearnt, on everything that a hand annotated."""

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
"""Most pixels that are predicted to check a training, by each of both models."""

RIGHT = 0.5
"""Intersection over union from which an object counts as found."""

FEWEST_OBJECTS = 10
"""Of how many objects a share says something."""

_Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Counts:
    """How many annotated pixels or objects two models have right.

    Parameters
    ----------
    total
        All of them.
    before, after
        Right by the old model and by the new one.
    forgotten
        Right by the old one, and not by the new one.
    """

    total: int = 0
    before: int = 0
    after: int = 0
    forgotten: int = 0

    @property
    def share(self) -> float:
        """Part of what the old model had right that the new one has wrong."""
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
        """Count what is right by two models."""
        return cls(
            old.size,
            int(np.count_nonzero(old)),
            int(np.count_nonzero(new)),
            int(np.count_nonzero(old & ~new)),
        )


@dataclass(frozen=True)
class Check:
    """Before and after.

    Parameters
    ----------
    pixels
        Annotated by hand: strokes, masks, ink. What no hand touched is not among them.
    objects
        Annotated by hand and whole, for models of objects: right when one that overlaps by
        `RIGHT` or more is found.
    """

    pixels: Counts = Counts()
    objects: Counts = Counts()

    @property
    def forgotten(self) -> float:
        """The larger share of what was right before and is wrong now, of pixels or objects.

        Of fewer than `FEWEST_OBJECTS` objects one more or less is chance: then it is of pixels.
        """
        return self._worse()[0].share

    def __add__(self, other: "Check") -> "Check":
        return Check(self.pixels + other.pixels, self.objects + other.objects)

    def told(self, old: str, new: str) -> str:
        """Return before and after in a sentence."""
        n = self.pixels.total
        said = f"{old!r} has {_share(self.pixels.before, n)} and {new!r} "
        said += f"{_share(self.pixels.after, n)} of {n:,} annotated pixels right"
        if self.objects.total:
            n = self.objects.total
            said += f"; of {n:,} objects {self.objects.before:,} and {self.objects.after:,}"
        return f"{said}."

    def alarm(self, old: str, new: str, limit: float) -> str:
        """Return what was forgotten in a sentence; nothing when it is no more than the limit."""
        counts, what = self._worse()
        if self.forgotten <= limit:
            return ""
        return (
            f"It forgot: of {counts.before:,} {what} that {old!r} had right, {new!r} has "
            f"{counts.forgotten:,} wrong ({_share(counts.forgotten, counts.before)})."
        )

    def _worse(self) -> tuple[Counts, str]:
        enough = self.objects.before >= FEWEST_OBJECTS
        if enough and self.objects.share > self.pixels.share:
            return self.objects, "objects"
        return self.pixels, "pixels"


def checked(
    old: TrainedModel,
    new: TrainedModel,
    examples: Sequence[AnnotatedImage],
    *,
    progress: Progress = silent,
) -> Check:
    """Return what two models have right of what was annotated by hand.

    Parameters
    ----------
    old, new
        Of the same images; what they say is compared by the labels they write.
    examples
        Planes or stacks with annotations. Those beyond `CHECK_PIXELS` are left out, the last
        first.
    progress
        May cancel. Stopping early does not end it, for half a check says nothing.
    """
    told = to_the_end(progress)
    some = _within(examples)
    segmenters = [open_segmenter(model) for model in (old, new)]
    found = Check()
    for example in track(some, told, "checking what was forgotten"):
        answers = [
            _answer(model, segmenter, example)
            for model, segmenter in zip((old, new), segmenters, strict=True)
        ]
        found += _compared(example.annotation.certain(), answers[0], answers[1])
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


def _answer(
    model: TrainedModel, segmenter: Any, example: AnnotatedImage
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return the label a model writes into each pixel, and the objects it finds, if it does."""
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


def _found(said: NDArray[Any], true: NDArray[Any]) -> _Mask:
    """Return which true objects are found: (objects,)."""
    overlap = overlap_of(said, true)
    return best_of(overlap.truth, overlap.iou(), overlap.n_true) >= RIGHT


def _share(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.1f} %"


__all__ = ["CHECK_PIXELS", "RIGHT", "Check", "Counts", "checked"]
