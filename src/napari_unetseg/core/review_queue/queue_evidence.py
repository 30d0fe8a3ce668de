"""Gather evidence for and against labels: predictions of several views, and other labels."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import settle_decoding
from napari_unetseg.core.inference.prediction import decode_maps, predict_maps
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.progress import Progress, part, silent
from napari_unetseg.core.review_queue.augmented_views import ON_CPU, predict_view, views_for
from napari_unetseg.core.review_queue.queue_options import QueueOptions
from napari_unetseg.core.review_queue.uncertainty import disagreement, entropy, margin
from napari_unetseg.core.scoring.overlap import overlap_of

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Sources:
    """Hold the sources of evidence on labels.

    Parameters
    ----------
    image
        The image of the labels.
    model
        The model that predicts the image again.
    decoding
        How objects are made from the model's maps; the model's own options if None.
    other
        Other labels of the same image, by a lower rung or another person: (*labels).
    """

    image: Image | None = None
    model: TrainedModel | None = None
    decoding: DecodeOptions | None = None
    other: NDArray[Any] | None = None


@dataclass(eq=False)
class QueueEvidence:
    """Hold the evidence on labels.

    Parameters
    ----------
    agreement
        By the name of the comparison: for each object the largest intersection over union with
        any object of the comparison, (n,), in the order of frames and ids; one row per comparison.
    uncertainty
        (*labels), 0 to 1: uncertainty of the model per pixel; without a model, where the other
        labels differ.
    foreground
        (*labels): probability of an object, averaged over all sources.
    """

    agreement: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    uncertainty: Floats | None = None
    foreground: Floats | None = None


def gather_evidence(
    labels: NDArray[Any],
    sources: Sources,
    options: QueueOptions,
    *,
    frame_axes: int = 0,
    progress: Progress = silent,
) -> QueueEvidence:
    """Predict the image and its views, and compare the labels with the result and other labels.

    Parameters
    ----------
    labels
        Ids or classes.
    frame_axes
        Number of leading axes that are frames.

    Raises
    ------
    InputError
        When a source that the options need is missing, or belongs to another image.
    """
    evidence = QueueEvidence()
    predicts = options.by in ("all", "entropy", "margin", "views")
    if predicts and sources.model is not None and sources.image is not None:
        # Labels of another origin may be objects that touch, which a model of masks joins.
        parted = DecodeOptions(split="auto")
        decoding = sources.decoding or settle_decoding(sources.model, parted)
        _predict_views(
            labels, sources.image, sources.model, decoding, options, frame_axes, evidence, progress
        )
    elif options.by in ("entropy", "margin", "views"):
        raise InputError(
            f"Unsure by {options.by} needs a model and the image. Train or load a model, or "
            "choose another measure."
        )
    if options.by in ("all", "other labels") and sources.other is not None:
        _compare(labels, sources.other, options, frame_axes, evidence)
    elif options.by == "other labels":
        raise InputError("Choose the other labels to compare with.")
    return evidence


def _predict_views(
    labels: NDArray[Any],
    image: Image,
    model: TrainedModel,
    decoding: DecodeOptions,
    options: QueueOptions,
    frame_axes: int,
    evidence: QueueEvidence,
    progress: Progress,
) -> None:
    has_objects = options.labels_are == "objects"

    def agreement(maps: Image, variant: DecodeOptions, done: float) -> NDArray[np.float64]:
        # Decoding reports no progress of its own, but can be cancelled.
        ids = decode_maps(model, maps, variant, progress=part(progress, done, done)).asarray()
        return _agreement(labels, ids, frame_axes)

    views = views_for(model, image) if options.views or options.by == "views" else ()
    share = 1 / (1 + len(views))
    maps = predict_maps(model, image, ON_CPU, progress=part(progress, 0, share))
    mean = _proba(maps, model, labels)
    square = np.square(mean)
    if has_objects:
        variants = [_with_change(decoding, **change) for change in _variants(decoding)]
        evidence.agreement["decodings"] = [agreement(maps, variant, share) for variant in variants]
    predictions = predict_view(model, image, views, part(progress, share, 1))
    for number, view_maps in enumerate(predictions, start=2):
        proba = _proba(view_maps, model, labels)
        mean, square = mean + proba, square + proba**2
        if has_objects:
            again = agreement(view_maps, decoding, number * share)
            evidence.agreement.setdefault("views", []).append(again)
    n = 1 + len(views)
    mean = (mean / n).astype(np.float32)
    evidence.uncertainty = _uncertainty(mean, (square / n).astype(np.float32), options, bool(views))
    evidence.foreground = 1 - mean[_background(model, decoding)]


def _uncertainty(mean: Floats, square: Floats, options: QueueOptions, seen: bool) -> Floats:
    if options.by == "margin":
        return margin(mean)
    if options.by == "views" and seen:
        return disagreement(mean, square)
    return entropy(mean)


def _compare(
    labels: NDArray[Any],
    other: NDArray[Any],
    options: QueueOptions,
    frame_axes: int,
    evidence: QueueEvidence,
) -> None:
    if other.shape != labels.shape:
        raise InputError(
            f"The other labels have the shape {other.shape} and these {labels.shape}, so they "
            "belong to different images. Choose other labels."
        )
    if options.labels_are == "objects":
        evidence.agreement["other labels"] = [_agreement(labels, other, frame_axes)]
        other_mask = (other != 0).astype(np.float32)
        previous = evidence.foreground
        evidence.foreground = other_mask if previous is None else (previous + other_mask) / 2
        differs = (other != 0) != (labels != 0)
    else:
        differs = other != labels
    if evidence.uncertainty is None or options.labels_are == "classes":
        mixed = differs.astype(np.float32)
        previous = evidence.uncertainty
        evidence.uncertainty = mixed if previous is None else np.asarray((previous + mixed) / 2)


def _agreement(labels: NDArray[Any], other: NDArray[Any], frame_axes: int) -> NDArray[np.float64]:
    overlap = overlap_of(labels, other, frame_axes=frame_axes)
    best = np.zeros(overlap.n_predicted)
    np.maximum.at(best, overlap.prediction, overlap.iou())
    return best


def _variants(decoding: DecodeOptions) -> tuple[dict[str, float], ...]:
    """Return plausible variants of the decoding: slightly lower and higher options."""
    level, depth = decoding.foreground, decoding.split_depth
    return (
        {"foreground": 0.6 * level},
        {"foreground": level + 0.4 * (1 - level)},
        {"split_depth": depth / 2},
        {"split_depth": min(2 * depth, 0.95)},
    )


def _with_change(decoding: DecodeOptions, **change: Any) -> DecodeOptions:
    return decoding.model_copy(update=change)


def _proba(maps: Image, model: TrainedModel, labels: NDArray[Any]) -> Floats:
    proba = np.moveaxis(maps.asarray(), maps.axes.index("C"), 0)[: len(model.classes)]
    if proba.shape[1:] != labels.shape:
        raise InputError(
            f"The image has the shape {proba.shape[1:]} without its channels and the labels "
            f"{labels.shape}. Choose the image of these labels."
        )
    return proba


def _background(model: TrainedModel, decoding: DecodeOptions) -> int:
    values = list(model.values)
    return values.index(decoding.background) if decoding.background in values else 0


__all__ = ["QueueEvidence", "Sources", "gather_evidence"]
