"""Review of objects: each true object is a hit or missed, other predicted objects are invented."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_unetseg.core.compute.label_runs import add_positions, label_runs
from napari_unetseg.core.compute.parallel_rows import map_strips
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.progress import Progress, part, silent, track
from napari_unetseg.core.scoring.object_scores import Matching, ap_curve, match
from napari_unetseg.core.scoring.overlap import (
    Ids,
    Overlap,
    as_int64,
    check_same_shape,
    frames_in,
    ids_in,
    overlap_of,
)

HIT, INVENTED, MISSED = 1, 2, 3
"""Kinds of objects. Where several overlap, the review image shows the largest number."""

KINDS = {HIT: "matched", INVENTED: "false positive", MISSED: "missed"}

_ROWS = 256
_PIXELS = 1 << 18


@dataclass(frozen=True, eq=False)
class Spots:
    """Locations of objects, in pixels from the centre of the first pixel, axes as in the array.

    Parameters
    ----------
    centre
        (n, ndim), float64: mean of an object's pixels; the index along frame axes.
    low, high
        (n, ndim), int64: first and last index of its box, both inclusive.
    """

    centre: NDArray[np.float64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Counted:
    """Overlaps and locations of the objects of two label images, before matching.

    Parameters
    ----------
    overlap
        Overlaps of all frames.
    prediction, truth
        Locations of the objects, in the order of `overlap`.
    frames
        Numbers of predicted and of true objects in each frame.
    frame_axes
        Number of leading axes that count frames.
    """

    overlap: Overlap
    prediction: Spots
    truth: Spots
    frames: tuple[tuple[int, int], ...]
    frame_axes: int


@dataclass(frozen=True, eq=False)
class Review:
    """All objects with their kind and match, the worst first.

    Parameters
    ----------
    kind
        (n,), uint8: `HIT` for a matched true object, `MISSED` for an unmatched one, `INVENTED` for
        an unmatched predicted object. A matched pair is one row.
    label
        (n,), int64: the id; for an invented object in the prediction, otherwise in the truth.
    partner
        (n,), int64: the id of the match, or of the closest object in the other image; 0 for none.
    iou
        (n,): IoU of the match, or with the closest object.
    pixels
        (n,), int64: size of the object.
    spots
        Location of each object.
    matching
        The matches.
    ap50, map
        See `napari_unetseg.core.scoring.object_scores.ObjectScores`.
    prediction_kind, truth_kind
        (P,) and (T,), uint8: the kind to paint each object with, in the order of the overlap.
    """

    kind: NDArray[np.uint8]
    label: Ids
    partner: Ids
    iou: NDArray[np.float64]
    pixels: Ids
    spots: Spots
    matching: Matching
    ap50: float
    map: float
    prediction_kind: NDArray[np.uint8]
    truth_kind: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.kind)


def count_objects(
    prediction: ArrayLike,
    truth: ArrayLike,
    *,
    frame_axes: int = 0,
    progress: Progress = silent,
) -> Counted:
    """Count the overlaps of objects and find their locations.

    Parameters
    ----------
    prediction, truth, frame_axes
        See `napari_unetseg.core.scoring.overlap.overlap_of`; two or three dimensions besides the
        frames.
    progress
        Called after every part.

    Raises
    ------
    InputError
        When the two differ in shape, hold no ids, or have other numbers of dimensions.

    Notes
    -----
    No copy is made: labels that are edited meanwhile give counts of before and after, but no error.
    """
    predicted, true = ids_in(prediction), ids_in(truth)
    check_same_shape(predicted, true)
    if predicted.ndim - frame_axes not in (2, 3):
        raise InputError(
            f"Objects are reviewed in 2 or 3 dimensions, not in {predicted.ndim - frame_axes}. "
            "Take a part of the labels."
        )
    indices = list(np.ndindex(predicted.shape[:frame_axes]))
    overlaps, spots = [], []
    pairs = list(zip(indices, frames_in(predicted, true, frame_axes), strict=True))
    for number, (index, (prediction_frame, truth_frame)) in enumerate(pairs):
        share = part(progress, number / len(pairs), (number + 1) / len(pairs))
        overlap = overlap_of(prediction_frame, truth_frame, progress=part(share, 0, 0.3))
        overlaps.append(overlap)
        spots.append(
            (
                _spots(prediction_frame, overlap.prediction_ids, index, part(share, 0.3, 0.65)),
                _spots(truth_frame, overlap.truth_ids, index, part(share, 0.65, 1)),
            )
        )
    return Counted(
        Overlap.joined(overlaps),
        _together([predicted_spots for predicted_spots, _ in spots], predicted.ndim),
        _together([true_spots for _, true_spots in spots], predicted.ndim),
        tuple((overlap.n_predicted, overlap.n_true) for overlap in overlaps),
        frame_axes,
    )


def review_objects(counted: Counted, threshold: float = 0.5) -> Review:
    """Match the objects and list them, the worst first.

    Parameters
    ----------
    counted
        See `count_objects`.
    threshold
        See `napari_unetseg.core.scoring.object_scores.match`.

    Returns
    -------
    Review
        Misses and inventions come first, then lower IoU, then larger objects.
    """
    overlap = counted.overlap
    matching = match(overlap, threshold)
    curve = ap_curve(overlap)
    iou, back = overlap.iou(), overlap.truth_ids[overlap.truth]
    alone = np.ones(overlap.n_predicted, dtype=bool)
    alone[matching.prediction] = False
    truth_kind = np.full(overlap.n_true, MISSED, dtype=np.uint8)
    truth_kind[matching.truth] = HIT
    best, partner = _closest(
        overlap.truth, overlap.prediction_ids[overlap.prediction], iou, overlap.n_true
    )
    best[matching.truth] = matching.iou
    partner[matching.truth] = overlap.prediction_ids[matching.prediction]
    near, neighbour = _closest(overlap.prediction, back, iou, overlap.n_predicted)
    prediction_kind = np.where(alone, INVENTED, HIT).astype(np.uint8)
    kind = np.concatenate([truth_kind, prediction_kind[alone]])
    ious = np.concatenate([best, near[alone]])
    pixels = np.concatenate([overlap.truth_sizes, overlap.prediction_sizes[alone]])
    order = np.lexsort((-pixels, ious, kind == HIT))
    return Review(
        kind[order],
        np.concatenate([overlap.truth_ids, overlap.prediction_ids[alone]])[order],
        np.concatenate([partner, neighbour[alone]])[order],
        ious[order],
        pixels[order],
        _chosen(counted.truth, counted.prediction, alone, order),
        matching,
        curve[0.5],
        float(np.mean(list(curve.values()))),
        prediction_kind,
        truth_kind,
    )


def paint_review(
    counted: Counted,
    review: Review,
    prediction: ArrayLike,
    truth: ArrayLike,
    *,
    progress: Progress = silent,
) -> NDArray[np.uint8]:
    """Paint every object with its kind.

    Parameters
    ----------
    prediction, truth
        The labels that were counted. Objects added since are left out.

    Returns
    -------
    ndarray
        uint8, of the shape of the labels: 0, `HIT`, `INVENTED` or `MISSED`. Where a predicted and a
        true object overlap, the worse kind is shown; elsewhere each shows its own.
    """
    predicted, true = ids_in(prediction), ids_in(truth)
    check_same_shape(predicted, true)
    out = np.zeros(predicted.shape, dtype=np.uint8)
    pairs = list(zip(frames_in(predicted, true, counted.frame_axes), counted.frames, strict=True))
    first = [0, 0]
    overlap = counted.overlap
    kinds = (review.prediction_kind, review.truth_kind)
    ids = (overlap.prediction_ids, overlap.truth_ids)
    canvases = [out[index] for index in np.ndindex(out.shape[: counted.frame_axes])]
    for number, (images, numbers) in enumerate(track(pairs, progress, "colouring")):
        for side in (0, 1):
            rows = slice(first[side], first[side] + numbers[side])
            _paint(images[side], ids[side][rows], kinds[side][rows], canvases[number])
            first[side] = rows.stop
    return out


def _paint(labels: NDArray[Any], ids: Ids, kinds: NDArray[np.uint8], out: NDArray[Any]) -> None:
    from napari_unetseg.core.compute.label_kernels import paint_ids

    pixels, canvas = labels.reshape(-1), out.reshape(-1)

    def work(start: int, stop: int) -> None:
        paint_ids(as_int64(pixels[start:stop]), ids, kinds, canvas[start:stop])

    map_strips(work, len(pixels), rows=_PIXELS)


def _spots(labels: NDArray[Any], ids: Ids, index: tuple[int, ...], progress: Progress) -> Spots:
    """Find the locations of the objects of one frame."""
    planes = labels if labels.ndim == 3 else labels[None]
    origin = np.zeros((len(ids), 3), dtype=np.int64)
    sums = np.zeros((len(ids), 10))
    low = np.full((len(ids), 3), np.iinfo(np.int64).max)
    high = np.zeros((len(ids), 3), dtype=np.int64)
    rows = [(z, y) for z in range(planes.shape[0]) for y in range(0, planes.shape[1], _ROWS)]
    for z, y in track(rows, progress, "measuring"):
        runs = label_runs(as_int64(planes[z, y : y + _ROWS]), ids)
        add_positions(runs, z, y, origin, sums, low, high)
    # If labels are edited meanwhile, an object may have disappeared since it was counted.
    low[sums[:, 0] == 0] = 0
    centre = origin + sums[:, 1:4] / np.maximum(sums[:, :1], 1)
    keep = slice(3 - labels.ndim, 3)
    lead = np.tile(np.array(index, dtype=np.int64), (len(ids), 1))
    return Spots(
        np.column_stack([lead, centre[:, keep]]),
        np.column_stack([lead, low[:, keep]]),
        np.column_stack([lead, high[:, keep]]),
    )


def _together(several: Sequence[Spots], ndim: int) -> Spots:
    whole: Ids = np.zeros((0, ndim), dtype=np.int64)
    return Spots(
        np.concatenate([whole.astype(np.float64), *(spots.centre for spots in several)]),
        np.concatenate([whole, *(spots.low for spots in several)]),
        np.concatenate([whole, *(spots.high for spots in several)]),
    )


def _closest(
    which: NDArray[np.intp], other: Ids, iou: NDArray[np.float64], n: int
) -> tuple[NDArray[np.float64], Ids]:
    """Return the largest IoU for each of `n` objects, and the object it is with."""
    best, partner = np.zeros(n), np.zeros(n, dtype=np.int64)
    order = np.argsort(iou, kind="stable")
    # When an index is assigned several times, the last value stays.
    best[which[order]] = iou[order]
    partner[which[order]] = other[order]
    return best, partner


def _chosen(
    true: Spots, predicted: Spots, alone: NDArray[np.bool_], order: NDArray[np.intp]
) -> Spots:
    return Spots(
        np.concatenate([true.centre, predicted.centre[alone]])[order],
        np.concatenate([true.low, predicted.low[alone]])[order],
        np.concatenate([true.high, predicted.high[alone]])[order],
    )


__all__ = [
    "HIT",
    "INVENTED",
    "KINDS",
    "MISSED",
    "Counted",
    "Review",
    "Spots",
    "count_objects",
    "paint_review",
    "review_objects",
]
