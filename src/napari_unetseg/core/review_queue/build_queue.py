"""From labels and what speaks for and against them to a queue."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.measure import MeasureOptions, find_positions, measure
from napari_unetseg.core.progress import Progress, part, silent
from napari_unetseg.core.review_queue.item_scores import (
    WEIGHTS,
    is_inked,
    looks_of,
    object_item,
    painted,
    score_parts,
    weight_of,
)
from napari_unetseg.core.review_queue.missed_places import missed_places
from napari_unetseg.core.review_queue.queue_evidence import QueueEvidence, Sources, gather
from napari_unetseg.core.review_queue.queue_items import Item
from napari_unetseg.core.review_queue.queue_options import QueueOptions
from napari_unetseg.core.review_queue.queue_order import diverse_order, shuffled, windows_in
from napari_unetseg.core.review_queue.queue_state import Queue
from napari_unetseg.core.scoring.score_summary import frame_axes_of

_WINDOW, _LEAST_WINDOWS = 4.0, 25


@dataclass(frozen=True, eq=False)
class BuiltQueue:
    """A queue, and how unsure each pixel is: (*labels), 0 to 1, where that was asked for."""

    queue: Queue
    uncertainty: NDArray[np.float32] | None = None


def make_queue(
    labels: Image,
    sources: Sources,
    options: QueueOptions,
    *,
    ink: PixelSet | None = None,
    progress: Progress = silent,
) -> BuiltQueue:
    """Make a review queue.

    Parameters
    ----------
    labels
        Objects, or classes.
    sources
        What they are held against.
    ink
        What a hand drew or approved: it is not asked about again.
    progress
        May cancel.

    Raises
    ------
    InputError
        When there is nothing to go by, or it is not of one image.

    Notes
    -----
    An object's score is the mean of what is known of it: one less the mean intersection over union
    with what the model finds in each view and with other ways to make its objects; the mean
    uncertainty of its pixels; one less the intersection over union with other labels; and with
    half the weight how far its size and shape lie from the others'. The score of a place is the
    mean probability that there is an object.
    """
    frame_axes = frame_axes_of(labels, options.per)
    ids = labels.asarray()
    inked = PixelSet(ids.shape) if ink is None else ink
    if options.order == "random sample":
        return BuiltQueue(_sample(labels, ids, inked, options, frame_axes, progress))
    share = part(progress, 0, 0.8)
    evidence = gather(ids, sources, options, frame_axes=frame_axes, progress=share)
    rest = part(progress, 0.8, 1)
    if options.labels_are == "classes":
        if evidence.uncertainty is None:
            raise InputError(
                "Which windows of classes are unsure, a model of the image or other labels can "
                "tell. Train or load a model, or choose other labels."
            )
        queue = _of_windows(labels, evidence.uncertainty, inked, options, frame_axes)
        return BuiltQueue(queue, evidence.uncertainty)
    return _of_objects(labels, ids, evidence, sources, inked, options, frame_axes, rest)


def _of_objects(
    labels: Image,
    ids: NDArray[Any],
    evidence: QueueEvidence,
    sources: Sources,
    ink: PixelSet,
    options: QueueOptions,
    frame_axes: int,
    progress: Progress,
) -> BuiltQueue:
    how = MeasureOptions(per=options.per)
    table = measure(labels, _fitting(labels, sources.image), how, progress=progress)
    centre, low, high = find_positions(table, labels)
    parts = score_parts(ids, table, evidence, options, frame_axes)
    weights = {name: WEIGHTS.get(name, 1.0) for name in parts}
    total = sum(weights.values())
    score = sum(weights[name] * part for name, part in parts.items()) / total
    left = ~is_inked(table, ids, ink, frame_axes)
    items = [object_item(table, low, high, parts, score, int(at)) for at in np.flatnonzero(left)]
    known = looks_of(table)
    centres, looks = [*centre[left]], [*known[left]]
    typical = float(np.median(table["pixels"])) if len(table["label"]) else 1.0
    if evidence.foreground is not None:
        for place in missed_places(ids, evidence.foreground, typical, ink, frame_axes):
            items.append(place)
            centres.append(np.array(place.centre))
            looks.append(np.full(known.shape[1], np.nan))
    steps = _steps(labels)
    order = diverse_order(
        [item.score * weight_of(item, typical) for item in items],
        np.array(centres).reshape(len(items), ids.ndim) * steps,
        np.array(looks).reshape(len(items), known.shape[1]),
        n=options.n,
        diversity=options.diversity,
    )
    uncertainty = evidence.uncertainty
    if uncertainty is None:
        uncertainty = painted(ids, table, score, frame_axes)
    queue = Queue(options.order, tuple(items[at] for at in order), enough=options.enough)
    return BuiltQueue(queue, uncertainty)


def _fitting(labels: Image, image: Image | None) -> Image | None:
    """Return the image, in grey, where intensities can be measured in it."""
    if image is None:
        return None
    grey = image.grey()
    return grey if grey.axes.replace("C", "") == labels.axes else None


def _of_windows(
    labels: Image,
    uncertainty: NDArray[np.float32],
    ink: PixelSet,
    options: QueueOptions,
    frame_axes: int,
) -> Queue:
    """Return the windows of classes in which pixels are most unsure."""
    side = max(min(labels.spatial_shape[-2:]) / 12, 16.0)
    low, high = windows_in(uncertainty.shape, frame_axes, _sides(labels, frame_axes, side))
    items = []
    for a, b in zip(low.tolist(), high.tolist(), strict=True):
        box = tuple(map(slice, a, b))
        free = ~ink.inside(box)
        unsure = float(uncertainty[box].mean(where=free)) if free.any() else 0.0
        item = Item(
            "window", tuple(a), tuple(b), score=round(unsure, 4), why=f"unsure {unsure:.2f}"
        )
        if unsure > 0:
            items.append(item)
    centres = np.array([item.centre for item in items]).reshape(len(items), labels.ndim)
    scores = [item.score for item in items]
    order = diverse_order(
        scores, centres * _steps(labels), n=options.n, diversity=options.diversity
    )
    return Queue(options.order, tuple(items[at] for at in order), enough=options.enough)


def _sample(
    labels: Image,
    ids: NDArray[Any],
    ink: PixelSet,
    options: QueueOptions,
    frame_axes: int,
    progress: Progress,
) -> Queue:
    if options.labels_are == "classes":
        raise InputError("Only objects can be counted. Choose a layer of objects.")
    how = MeasureOptions(per=options.per, outline=False)
    table = measure(labels, None, how, progress=progress)
    _, first, last = find_positions(table, labels)
    left = np.flatnonzero(~is_inked(table, ids, ink, frame_axes))
    frame = ids.shape[frame_axes:]
    n_frames = int(np.prod(ids.shape[:frame_axes]))
    most = (float(np.prod(frame)) * n_frames / _LEAST_WINDOWS) ** (1 / len(frame))
    typical = np.median(table["pixels"]) ** (1 / len(frame)) if len(left) else most
    sides = _sides(labels, frame_axes, min(_WINDOW * float(typical), most))
    low, high = windows_in(ids.shape, frame_axes, sides)
    nothing: Any = np.zeros(len(table["label"]))
    make: dict[str, Callable[[int], Item]] = {
        "object": lambda at: object_item(table, first, last, {}, nothing, int(left[at])),
        "window": lambda at: Item("window", tuple(low[at].tolist()), tuple(high[at].tolist())),
    }
    drawn = shuffled(len(left), len(low), n=options.n, seed=options.seed)
    return Queue(
        options.order,
        tuple(make[kind](at) for kind, at in drawn),
        population=len(left),
        windows=len(low),
        certain=len(table["label"]) - len(left),
    )


def _steps(labels: Image) -> NDArray[np.float64]:
    """Return the physical size of a step along each axis; frames are as far apart as pixels."""
    known = dict(zip(labels.spatial_axes, labels.spacing, strict=True))
    return np.array([known.get(axis, min(labels.spacing)) for axis in labels.axes])


def _sides(labels: Image, frame_axes: int, side: float) -> list[int]:
    """Return the sides of a window as long in every direction, in pixels."""
    steps = _steps(labels)[frame_axes:]
    # The volume of a window is to be that of `side` pixels along each axis.
    mean = float(np.exp(np.log(steps).mean()))
    return [max(round(side * mean / step), 1) for step in steps]


__all__ = ["BuiltQueue", "make_queue"]
