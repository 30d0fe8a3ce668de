"""Gains and losses of a training on all annotations: a check for forgetting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.special
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

FEWEST = {"pixels": 50, "objects": 10}
"""Smallest numbers predicted correctly before for which a loss is meaningful."""

CONFIDENCE = 0.95
"""Probability that all intervals of the losses of a check hold."""

_PARTS = {"pixels": 32, "objects": 128}  # side of a part, the sampling unit, in pixels
_CELL = 16  # side of the cells of a part, which alternate between its halves
_MOST_LOST = 0.5  # a loss in a single part, which has no interval, counts from here
_ALL, _BEFORE, _AFTER, _FORGOTTEN = range(4)

_Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Loss:
    """Loss of one model against another, as a share of what the other predicted correctly.

    Parameters
    ----------
    share
        From -inf, for a gain, to 1.
    margin
        Half of the interval; infinite when all lies in a single part of an image.
    places
        Number of parts of images that it was estimated from.
    """

    share: float = 0.0
    margin: float = np.inf
    places: int = 0

    @property
    def certain(self) -> bool:
        """Whether it is a loss even at the lower end of its interval."""
        return self.share > (self.margin if self.places > 1 else _MOST_LOST)

    def __str__(self) -> str:
        share = f"{100 * self.share:.1f} %"
        if not np.isfinite(self.margin):
            return f"{share}, in {self.places} place, so without an interval"
        low, high = (100 * (self.share + sign * self.margin) for sign in (-1, 1))
        return f"{share}, interval {max(low, 0):.1f} to {min(high, 100):.1f} %"


@dataclass(frozen=True, eq=False)
class Counts:
    """Numbers of annotated pixels or objects that two models predict correctly.

    Parameters
    ----------
    parts
        (parts, 2, 4) integers: for both halves of each part of the images the number of all, of
        those predicted correctly by the old and by the new model, and of those by the old model
        only. The halves are interleaved, as the colours of a chessboard.
    """

    parts: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2, 4), np.int64))

    @classmethod
    def of(cls, old: _Mask, new: _Mask, part: Any, half: Any, n_parts: int) -> "Counts":
        """Count the correct predictions of two models.

        Parameters
        ----------
        old, new
            Whether each pixel or object is predicted correctly: (n,).
        part, half
            Index of its part, and of the half of that: (n,) integers.
        n_parts
            Number of parts.
        """
        index = 2 * part + half
        kinds = [np.ones_like(old), old, new, old & ~new]
        counts = [np.bincount(index[kind], minlength=2 * n_parts) for kind in kinds]
        return cls(np.stack(counts, -1).reshape(n_parts, 2, 4).astype(np.int64))

    @property
    def total(self) -> int:
        """Number of all."""
        return self._sum(_ALL)

    @property
    def before(self) -> int:
        """Number predicted correctly by the old model."""
        return self._sum(_BEFORE)

    @property
    def after(self) -> int:
        """Number predicted correctly by the new model."""
        return self._sum(_AFTER)

    @property
    def forgotten(self) -> int:
        """Number predicted correctly by the old model, but not by the new one."""
        return self._sum(_FORGOTTEN)

    def net_loss(self, confidence: float = CONFIDENCE) -> Loss:
        """Estimate the loss, less what was gained."""
        return _ratio(self._lost.sum(1), self.parts[..., _BEFORE].sum(1), confidence)

    def local_loss(self, confidence: float = CONFIDENCE) -> Loss:
        """Estimate the loss in those parts that got worse, whatever others gained.

        Notes
        -----
        Some parts always get worse by chance. So one half of a part decides whether it got worse,
        and the loss is counted in the other half, where it is zero on average if the first was
        chance.
        """
        worse = self._lost[:, ::-1] > 0
        lost = np.where(worse, self._lost, 0).sum(1)
        return _ratio(lost, self.parts[..., _BEFORE].sum(1), confidence)

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(np.concatenate([self.parts, other.parts]))

    @property
    def _lost(self) -> NDArray[np.int64]:
        return self.parts[..., _BEFORE] - self.parts[..., _AFTER]

    def _sum(self, kind: int) -> int:
        return int(self.parts[..., kind].sum())


def _ratio(lost: NDArray[np.int64], known: NDArray[np.int64], confidence: float) -> Loss:
    """Estimate a ratio of sums over parts with its interval, by the variance between parts.

    The degrees of freedom are those of the effective number of parts, since few large ones say
    less than many equal ones.
    """
    some = (known != 0) | (lost != 0)
    lost, known = lost[some].astype(float), known[some].astype(float)
    n, whole = len(known), known.sum()
    if not whole:
        return Loss(places=n)
    share = lost.sum() / whole
    freedom = whole**2 / (known**2).sum() - 1
    if n < 2 or freedom <= 0:
        return Loss(share, places=1)
    spread = np.sqrt(n / (n - 1) * ((lost - share * known) ** 2).sum()) / whole
    factor = scipy.special.stdtrit(freedom, (1 + confidence) / 2)
    return Loss(share, float(factor * spread) if spread > 0 else 0.0, n)


@dataclass(frozen=True, eq=False)
class Check:
    """Correct predictions before and after a training.

    Parameters
    ----------
    classes
        Counts by class name of pixels that a person annotated: strokes, masks, corrections. All
        classes have the same parts.
    objects
        Counts of annotated whole objects, for models of objects: correct when a predicted one
        overlaps with an IoU of at least `RIGHT`.
    """

    classes: Mapping[str, Counts] = field(default_factory=dict)
    objects: Counts = Counts()

    @property
    def pixels(self) -> Counts:
        """Counts of the pixels of all classes."""
        several = [counts.parts for counts in self.classes.values()]
        return Counts(np.sum(several, axis=0)) if several else Counts()

    @property
    def forgotten(self) -> float:
        """The largest share of `losses`; 0 without one."""
        return max((found.loss.share for found in self.losses()), default=0.0)

    def losses(self) -> "list[Forgotten]":
        """List the losses beyond their intervals: the largest first.

        Net losses of each class and of objects, and local losses of pixels and of objects. Their
        intervals hold together (Bonferroni).
        """
        asked = [Forgotten(name, "pixels", counts) for name, counts in self.classes.items()]
        asked.append(Forgotten("objects", "objects", self.objects))
        asked += [
            Forgotten("", things, counts, local=True)
            for things, counts in (("pixels", self.pixels), ("objects", self.objects))
        ]
        known = [one for one in asked if one.counts.before >= FEWEST[one.things]]
        each = 1 - (1 - CONFIDENCE) / max(len(known), 1)
        measured = [one.measured(each) for one in known]
        certain = [one for one in measured if one.loss.certain]
        return sorted(certain, key=lambda one: -one.loss.share)

    def __add__(self, other: "Check") -> "Check":
        names = self.classes if self.classes else other.classes
        classes = {
            name: self.classes.get(name, Counts()) + other.classes.get(name, Counts())
            for name in names
        }
        return Check(classes, self.objects + other.objects)

    def describe(self, old: str, new: str, *, earlier: bool = False) -> str:
        """Describe the counts before and after in a sentence.

        Parameters
        ----------
        earlier
            Whether the labels of earlier trainings are among them.
        """
        n = self.pixels.total
        sentence = f"{old!r} has {_share(self.pixels.before, n)} and {new!r} "
        sentence += f"{_share(self.pixels.after, n)} of {n:,} annotated pixels right"
        sentence += ", earlier labels included" * earlier
        if self.objects.total:
            n, before, after = self.objects.total, self.objects.before, self.objects.after
            sentence += f"; of {n:,} object{'s' * (n != 1)} {before:,} and {after:,}"
        return f"{sentence}."

    def alarm(self, old: str, new: str, limit: float) -> str:
        """Describe the losses above a limit; empty when there is none."""
        return " ".join(
            found.describe(old, new) for found in self.losses() if found.loss.share > limit
        )


@dataclass(frozen=True, eq=False)
class Forgotten:
    """A loss of a model, with the counts it was estimated from.

    Parameters
    ----------
    name
        The class, or objects.
    things
        Pixels or objects.
    counts
        Their counts.
    local
        Whether it is the loss in places that got worse, of all classes, instead of the net loss.
    loss
        The loss, once measured.
    """

    name: str
    things: str
    counts: Counts
    local: bool = False
    loss: Loss = Loss()

    def measured(self, confidence: float) -> "Forgotten":
        """Return it with its loss, whose interval holds with a probability."""
        estimate = self.counts.local_loss if self.local else self.counts.net_loss
        return replace(self, loss=estimate(confidence))

    def describe(self, old: str, new: str) -> str:
        """Describe it in a sentence."""
        counts = self.counts
        if self.local:
            return (
                f"It forgot some places, whatever it learnt in others: of {counts.before:,} "
                f"{self.things} that {old!r} had right, {new!r} has {counts.forgotten:,} wrong, "
                f"and where it got worse it lost {self.loss}."
            )
        classes = self.name != self.things
        name = repr(self.name) if classes else self.name
        whole = f"its {counts.total:,} pixels" if classes else f"{counts.total:,} objects"
        return (
            f"It forgot {name}: of {whole}, {old!r} had {counts.before:,} right and {new!r} has "
            f"{counts.after:,}, a loss of {self.loss}."
        )


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
    targets = annotation.targets[counted]
    truth = np.array(annotation.values)[targets]
    right = [labels[counted] == truth for labels in (old[0], new[0])]
    where = np.nonzero(counted)
    part, n_parts = _part_of(where, annotation.shape, _PARTS["pixels"])
    half = np.sum([axis // _CELL for axis in where], 0) % 2
    of_class = {name: targets == k for k, name in enumerate(annotation.names)}
    classes = {
        name: Counts.of(right[0][own], right[1][own], part[own], half[own], n_parts)
        for name, own in of_class.items()
    }
    if annotation.objects is None or old[1] is None or new[1] is None:
        return Check(classes)
    true = np.where(counted, annotation.objects, 0)
    found = (_found(old[1], true), _found(new[1], true))
    _, first = np.unique(true, return_index=True)
    corners = np.unravel_index(first[len(first) - len(found[0]) :], true.shape)
    part, n_parts = _part_of(corners, true.shape, _PARTS["objects"])
    return Check(classes, Counts.of(found[0], found[1], part, np.arange(len(part)) % 2, n_parts))


def _part_of(
    where: tuple[NDArray[np.intp], ...], shape: tuple[int, ...], side: int
) -> tuple[NDArray[np.intp], int]:
    """Return the index of the part of an image that each position lies in, and their number."""
    sides = tuple(-(-length // side) for length in shape)
    index = np.ravel_multi_index(tuple(axis // side for axis in where), sides)
    found, part = np.unique(index, return_inverse=True)
    return part, len(found)


def _found(predicted: NDArray[Any], true: NDArray[Any]) -> _Mask:
    """Return for each true object whether it is found: (objects,)."""
    overlap = overlap_of(predicted, true)
    return best_of(overlap.truth, overlap.iou(), overlap.n_true) >= RIGHT


def _share(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.1f} %"


__all__ = ["CHECK_PIXELS", "RIGHT", "Check", "Counts", "Loss", "check_forgetting"]
