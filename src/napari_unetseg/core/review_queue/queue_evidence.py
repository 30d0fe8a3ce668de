"""What speaks for and against labels: a model seen from several sides, and other labels."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
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
    """What labels are held against.

    Parameters
    ----------
    image
        What they are of.
    model
        What else to ask about the image.
    decoding
        How the model's objects are made; as suits it when missing.
    other
        Other labels of the same image, of a lower rung or another hand: (*labels).
    """

    image: Image | None = None
    model: TrainedModel | None = None
    decoding: DecodeOptions | None = None
    other: NDArray[Any] | None = None


@dataclass(eq=False)
class QueueEvidence:
    """What is known of labels.

    Parameters
    ----------
    agreement
        By the name of what they were held against: for each object the largest intersection over
        union with any of its objects, (n,), in the order of frames and ids; a row for each time.
    uncertainty
        (*labels), 0 to 1: how unsure the model is of a pixel; without one where the other labels
        differ.
    foreground
        (*labels): how sure it is that there is an object, from all that was asked.
    """

    agreement: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    uncertainty: Floats | None = None
    foreground: Floats | None = None


def gather(
    labels: NDArray[Any],
    sources: Sources,
    options: QueueOptions,
    *,
    frame_axes: int = 0,
    progress: Progress = silent,
) -> QueueEvidence:
    """Ask the model, and hold the labels against what it says and against other labels.

    Parameters
    ----------
    labels
        Ids, or classes.
    frame_axes
        How many of the first axes only count frames.

    Raises
    ------
    InputError
        When there is nothing to ask for what is wanted, or it is not of the same image.
    """
    found = QueueEvidence()
    asks = options.by in ("all", "entropy", "margin", "views")
    if asks and sources.model is not None and sources.image is not None:
        decoding = sources.decoding or sources.model.decoding
        _ask(labels, sources.image, sources.model, decoding, options, frame_axes, found, progress)
    elif options.by in ("entropy", "margin", "views"):
        raise InputError(
            f"Unsure by {options.by} needs a model and the image. Train or load a model, or "
            "choose another way."
        )
    if options.by in ("all", "other labels") and sources.other is not None:
        _compare(labels, sources.other, options, frame_axes, found)
    elif options.by == "other labels":
        raise InputError("Choose the other labels to compare with.")
    return found


def _ask(
    labels: NDArray[Any],
    image: Image,
    model: TrainedModel,
    decoding: DecodeOptions,
    options: QueueOptions,
    frame_axes: int,
    found: QueueEvidence,
    progress: Progress,
) -> None:
    wants = options.labels_are == "objects"

    def agreement(maps: Image, way: DecodeOptions, done: float) -> NDArray[np.float64]:
        # It is told no more of how far it is, but it may be cancelled.
        ids = decode_maps(model, maps, way, progress=part(progress, done, done)).asarray()
        return _agreement(labels, ids, frame_axes)

    views = views_for(model, image) if options.views or options.by == "views" else ()
    share = 1 / (1 + len(views))
    maps = predict_maps(model, image, ON_CPU, progress=part(progress, 0, share))
    mean = _proba(maps, model, labels)
    square = np.square(mean)
    if wants:
        ways = [_how(decoding, **change) for change in _otherwise(decoding)]
        found.agreement["decodings"] = [agreement(maps, way, share) for way in ways]
    asked = predict_view(model, image, views, part(progress, share, 1))
    for number, seen in enumerate(asked, start=2):
        proba = _proba(seen, model, labels)
        mean, square = mean + proba, square + proba**2
        if wants:
            again = agreement(seen, decoding, number * share)
            found.agreement.setdefault("views", []).append(again)
    n = 1 + len(views)
    mean = (mean / n).astype(np.float32)
    found.uncertainty = _unsure(mean, (square / n).astype(np.float32), options, bool(views))
    found.foreground = 1 - mean[_background(model, decoding)]


def _unsure(mean: Floats, square: Floats, options: QueueOptions, seen: bool) -> Floats:
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
    found: QueueEvidence,
) -> None:
    if other.shape != labels.shape:
        raise InputError(
            f"The other labels have the shape {other.shape} and these {labels.shape}: they are "
            "not of one image. Choose others."
        )
    if options.labels_are == "objects":
        found.agreement["other labels"] = [_agreement(labels, other, frame_axes)]
        there = (other != 0).astype(np.float32)
        known = found.foreground
        found.foreground = there if known is None else (known + there) / 2
        differs = (other != 0) != (labels != 0)
    else:
        differs = other != labels
    if found.uncertainty is None or options.labels_are == "classes":
        mixed = differs.astype(np.float32)
        known = found.uncertainty
        found.uncertainty = mixed if known is None else np.asarray((known + mixed) / 2)


def _agreement(labels: NDArray[Any], other: NDArray[Any], frame_axes: int) -> NDArray[np.float64]:
    overlap = overlap_of(labels, other, frame_axes=frame_axes)
    best = np.zeros(overlap.n_predicted)
    np.maximum.at(best, overlap.prediction, overlap.iou())
    return best


def _otherwise(decoding: DecodeOptions) -> tuple[dict[str, float], ...]:
    """Return in what ways objects may as well be made: a little more or less of everything."""
    level, depth = decoding.foreground, decoding.split_depth
    return (
        {"foreground": 0.6 * level},
        {"foreground": level + 0.4 * (1 - level)},
        {"split_depth": depth / 2},
        {"split_depth": min(2 * depth, 0.95)},
    )


def _how(decoding: DecodeOptions, **change: Any) -> DecodeOptions:
    return decoding.model_copy(update=change)


def _proba(maps: Image, model: TrainedModel, labels: NDArray[Any]) -> Floats:
    proba = np.moveaxis(maps.asarray(), maps.axes.index("C"), 0)[: len(model.classes)]
    if proba.shape[1:] != labels.shape:
        raise InputError(
            f"The image has the shape {proba.shape[1:]} without its channels and the labels "
            f"{labels.shape}: they are not of one image. Choose the image of these labels."
        )
    return proba


def _background(model: TrainedModel, decoding: DecodeOptions) -> int:
    values = list(model.values)
    return values.index(decoding.background) if decoding.background in values else 0


__all__ = ["QueueEvidence", "Sources", "gather"]
