"""Build a review queue from labels and the evidence for and against them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
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
    appearance_features,
    has_locked_pixels,
    object_item,
    paint_scores,
    score_parts,
    size_weight,
)
from napari_unetseg.core.review_queue.label_snapshots import pack_labels, surroundings
from napari_unetseg.core.review_queue.missed_places import missed_places
from napari_unetseg.core.review_queue.queue_evidence import QueueEvidence, Sources, gather_evidence
from napari_unetseg.core.review_queue.queue_items import Item
from napari_unetseg.core.review_queue.queue_options import QueueOptions
from napari_unetseg.core.review_queue.queue_order import (
    diverse_order,
    draw_random_items,
    split_into_windows,
)
from napari_unetseg.core.review_queue.queue_state import Queue
from napari_unetseg.core.scoring.score_summary import frame_axes_of

_WINDOW, _LEAST_WINDOWS = 4.0, 25


@dataclass(frozen=True, eq=False)
class BuiltQueue:
    """Hold a queue and, where computed, the uncertainty of each pixel: (*labels), 0 to 1."""

    queue: Queue
    uncertainty: NDArray[np.float32] | None = None


def make_queue(
    labels: Image,
    sources: Sources,
    options: QueueOptions,
    *,
    locked: PixelSet | None = None,
    progress: Progress = silent,
) -> BuiltQueue:
    """Build a review queue.

    Parameters
    ----------
    labels
        Objects or classes.
    sources
        The image, the model and the other labels to compare the labels with.
    locked
        Pixels drawn or approved by hand: objects with some are not reviewed again.
    progress
        May cancel.

    Raises
    ------
    InputError
        When there is nothing to compare with, or it belongs to another image.

    Notes
    -----
    An object's score is the mean of its parts: one minus the mean intersection over union with the
    model's objects in each view and for other decoding options; the mean uncertainty of its
    pixels; one minus the intersection over union with other labels; and, with half the weight,
    the deviation of its size and shape from the others'. The score of a place is the mean
    probability of an object there.
    """
    frame_axes = frame_axes_of(labels, options.per)
    ids = labels.asarray(part(progress, 0, 0))
    locked = PixelSet(ids.shape) if locked is None else locked
    if options.order == "random sample":
        return BuiltQueue(_random_sample(labels, ids, locked, options, frame_axes, progress))
    share = part(progress, 0, 0.8)
    evidence = gather_evidence(ids, sources, options, frame_axes=frame_axes, progress=share)
    remaining = part(progress, 0.8, 1)
    if options.labels_are == "classes":
        if evidence.uncertainty is None:
            raise InputError(
                "Finding uncertain windows of classes needs a model and the image, or other "
                "labels. Train or load a model, or choose other labels."
            )
        queue = _queue_of_windows(labels, evidence.uncertainty, locked, options, frame_axes)
        return BuiltQueue(queue, evidence.uncertainty)
    return _queue_of_objects(labels, ids, evidence, sources, locked, options, frame_axes, remaining)


def _queue_of_objects(
    labels: Image,
    ids: NDArray[Any],
    evidence: QueueEvidence,
    sources: Sources,
    locked: PixelSet,
    options: QueueOptions,
    frame_axes: int,
    progress: Progress,
) -> BuiltQueue:
    measures = MeasureOptions(per=options.per)
    table = measure(labels, _grey_image(labels, sources.image), measures, progress=progress)
    centre, low, high = find_positions(table, labels)
    parts = score_parts(ids, table, evidence, options, frame_axes)
    weights = {name: WEIGHTS.get(name, 1.0) for name in parts}
    total = sum(weights.values())
    score = sum(weights[name] * part for name, part in parts.items()) / total
    unlocked = ~has_locked_pixels(table, ids, locked, frame_axes)
    items = [
        object_item(table, low, high, parts, score, int(at)) for at in np.flatnonzero(unlocked)
    ]
    features = appearance_features(table)
    centres, looks = [*centre[unlocked]], [*features[unlocked]]
    typical = float(np.median(table["pixels"])) if len(table["label"]) else 1.0
    if evidence.foreground is not None:
        for place in missed_places(ids, evidence.foreground, typical, locked, frame_axes):
            items.append(place)
            centres.append(np.array(place.centre))
            looks.append(np.full(features.shape[1], np.nan))
    steps = _physical_steps(labels)
    order = diverse_order(
        [item.score * size_weight(item, typical) for item in items],
        np.array(centres).reshape(len(items), ids.ndim) * steps,
        np.array(looks).reshape(len(items), features.shape[1]),
        n=options.n,
        diversity=options.diversity,
    )
    uncertainty = evidence.uncertainty
    if uncertainty is None:
        uncertainty = paint_scores(ids, table, score, frame_axes)
    queue = Queue(options.order, tuple(items[at] for at in order), enough=options.enough)
    return BuiltQueue(queue, uncertainty)


def _grey_image(labels: Image, image: Image | None) -> Image | None:
    """Return the image in grey if its axes fit the labels, to measure intensities; else None."""
    if image is None:
        return None
    grey = image.grey()
    return grey if grey.axes.replace("C", "") == labels.axes else None


def _queue_of_windows(
    labels: Image,
    uncertainty: NDArray[np.float32],
    locked: PixelSet,
    options: QueueOptions,
    frame_axes: int,
) -> Queue:
    """Build a queue of the windows of classes with the most uncertain pixels."""
    side = max(min(labels.spatial_shape[-2:]) / 12, 16.0)
    low, high = split_into_windows(
        uncertainty.shape, frame_axes, _window_sides(labels, frame_axes, side)
    )
    items = []
    for a, b in zip(low.tolist(), high.tolist(), strict=True):
        box = tuple(map(slice, a, b))
        free = ~locked.inside(box)
        unsure = float(uncertainty[box].mean(where=free)) if free.any() else 0.0
        item = Item(
            "window", tuple(a), tuple(b), score=round(unsure, 4), why=f"unsure {unsure:.2f}"
        )
        if unsure > 0:
            items.append(item)
    centres = np.array([item.centre for item in items]).reshape(len(items), labels.ndim)
    scores = [item.score for item in items]
    order = diverse_order(
        scores, centres * _physical_steps(labels), n=options.n, diversity=options.diversity
    )
    return Queue(options.order, tuple(items[at] for at in order), enough=options.enough)


def _random_sample(
    labels: Image,
    ids: NDArray[Any],
    locked: PixelSet,
    options: QueueOptions,
    frame_axes: int,
    progress: Progress,
) -> Queue:
    if options.labels_are == "classes":
        raise InputError("Only objects can be counted. Choose a layer of objects.")
    measures = MeasureOptions(per=options.per, outline=False)
    table = measure(labels, None, measures, progress=progress)
    _, first, last = find_positions(table, labels)
    unlocked = np.flatnonzero(~has_locked_pixels(table, ids, locked, frame_axes))
    frame = ids.shape[frame_axes:]
    n_frames = int(np.prod(ids.shape[:frame_axes]))
    most = (float(np.prod(frame)) * n_frames / _LEAST_WINDOWS) ** (1 / len(frame))
    typical = np.median(table["pixels"]) ** (1 / len(frame)) if len(unlocked) else most
    sides = _window_sides(labels, frame_axes, min(_WINDOW * float(typical), most))
    low, high = split_into_windows(ids.shape, frame_axes, sides)
    nothing: Any = np.zeros(len(table["label"]))
    make: dict[str, Callable[[int], Item]] = {
        "object": lambda at: object_item(table, first, last, {}, nothing, int(unlocked[at])),
        "window": lambda at: Item("window", tuple(low[at].tolist()), tuple(high[at].tolist())),
    }
    drawn = draw_random_items(len(unlocked), len(low), n=options.n, seed=options.seed)
    items = [make[kind](at) for kind, at in drawn]
    return Queue(
        options.order,
        tuple(
            replace(item, before=pack_labels(ids[surroundings(item, ids.shape)])) for item in items
        ),
        population=len(unlocked),
        windows=len(low),
        certain=len(table["label"]) - len(unlocked),
    )


def _physical_steps(labels: Image) -> NDArray[np.float64]:
    """Return the physical step along each axis; frames get the smallest pixel spacing."""
    spacing = dict(zip(labels.spatial_axes, labels.spacing, strict=True))
    return np.array([spacing.get(axis, min(labels.spacing)) for axis in labels.axes])


def _window_sides(labels: Image, frame_axes: int, side: float) -> list[int]:
    """Return the sides in pixels of a window with equal physical sides."""
    steps = _physical_steps(labels)[frame_axes:]
    # The volume of a window equals that of `side` pixels along each axis.
    mean = float(np.exp(np.log(steps).mean()))
    return [max(round(side * mean / step), 1) for step in steps]


__all__ = ["BuiltQueue", "make_queue"]
