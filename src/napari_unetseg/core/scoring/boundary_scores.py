"""Boundary scores: Hausdorff distances, and precision and recall within a tolerance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.progress import Progress, part, silent, track
from napari_unetseg.core.scoring.overlap import check_same_shape, frames_in, ids_in

Distances = NDArray[np.float32]
Points = NDArray[np.float64]

_ROBUST = 95
_AT_ONCE = 2**18
"""Points compared before a cancel is heard."""


@dataclass(frozen=True)
class BoundaryScores:
    """Agreement of the boundaries of two label images.

    Parameters
    ----------
    hausdorff
        The largest distance from a boundary pixel of either image to the other's boundary.
    hausdorff95
        The same without the farthest 5 percent: the 95th percentile of the distances of each
        image's boundary pixels, the larger of both images.
    boundary_precision
        Fraction of the predicted boundary within the tolerance of the true one.
    boundary_recall
        Fraction of the true boundary within the tolerance of the predicted one.
    boundary_f1
        Their harmonic mean.

    Notes
    -----
    Two images without a boundary agree: distances are 0, fractions 1. Where only one has a boundary
    the distances are infinite and the fractions 0.
    """

    hausdorff: float
    hausdorff95: float
    boundary_precision: float
    boundary_recall: float
    boundary_f1: float


def boundary_scores(
    prediction: ArrayLike,
    truth: ArrayLike,
    *,
    tolerance: float = 2.0,
    spacing: Sequence[float] | None = None,
    frame_axes: int = 0,
    progress: Progress = silent,
) -> BoundaryScores:
    """Compare the boundaries of objects.

    Parameters
    ----------
    prediction, truth
        Ids or masks of equal shape, in two or three dimensions besides the frames.
    tolerance
        Largest distance at which boundaries count as equal, in the unit of `spacing`.
    spacing
        Size of a pixel along each axis that is not a frame axis; 1 for each when missing, which
        gives distances in pixels.
    frame_axes
        Number of leading axes that count frames; each frame is scored separately.
    progress
        Called after every frame.

    Raises
    ------
    InputError
        When the shapes differ, `spacing` does not match them, or `tolerance` is negative.

    See Also
    --------
    mark_boundary : the definition of the boundary.

    Notes
    -----
    Distances are between centres of pixels, by a k-d tree of boundary pixels, which takes most of
    the time: a second for about a million of them, and 50 bytes for each.

    Examples
    --------
    >>> predicted, true = np.zeros((2, 9, 9), dtype=np.uint8)
    >>> predicted[2:7, 2:7], true[2:7, 2:6] = 1, 1
    >>> boundary_scores(predicted, true, tolerance=0.5).hausdorff
    1.0
    """
    predicted, true = ids_in(prediction), ids_in(truth)
    check_same_shape(predicted, true)
    steps = _steps(spacing, predicted.ndim - frame_axes)
    if not tolerance >= 0:
        raise InputError(f"The tolerance is a distance, 0 or more, not {tolerance:g}.")
    pairs = list(frames_in(predicted, true, frame_axes))
    distances = []
    for number, pair in enumerate(pairs):
        share = part(progress, number / len(pairs), (number + 1) / len(pairs))
        distances.append(_distances(*pair, steps, share))
    nothing: Distances = np.zeros(0, dtype=np.float32)
    forth = np.concatenate([nothing, *(pair[0] for pair in distances)])
    back = np.concatenate([nothing, *(pair[1] for pair in distances)])
    return _scores(forth, back, tolerance)


def mark_boundary(labels: ArrayLike) -> NDArray[np.bool_]:
    """Mark the pixels of objects that share a side with another object or with background.

    Notes
    -----
    The image's edge is not a boundary, as an object that is cut off there may continue beyond it.
    """
    ids = ids_in(labels)
    edge = np.zeros(ids.shape, dtype=bool)
    for axis in range(ids.ndim):
        after = (slice(None),) * axis + (slice(1, None),)
        before = (slice(None),) * axis + (slice(None, -1),)
        differ = ids[after] != ids[before]
        edge[after] |= differ
        edge[before] |= differ
    edge &= ids != 0
    return edge


def _steps(spacing: Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    if ndim not in (2, 3):
        raise InputError(
            f"Outlines are compared in 2 or 3 dimensions, not in {ndim}. Take a part of the labels."
        )
    steps = tuple(float(step) for step in spacing) if spacing is not None else (1.0,) * ndim
    if len(steps) != ndim or not all(0 < step < np.inf for step in steps):
        raise InputError(f"The spacing {steps} must be {ndim} positive numbers, one for each axis.")
    return steps


def _distances(
    predicted: NDArray[Any], true: NDArray[Any], steps: tuple[float, ...], progress: Progress
) -> tuple[Distances, Distances]:
    """Compute the distance from each boundary pixel of either image to the other's boundary."""
    ours, theirs = (
        np.multiply(np.argwhere(mark_boundary(ids)), steps, dtype=np.float64)
        for ids in (predicted, true)
    )
    return _to(theirs, ours, part(progress, 0, 0.5)), _to(ours, theirs, part(progress, 0.5, 1))


def _to(target: Points, at: Points, progress: Progress) -> Distances:
    """Compute the distance from each point of `at` to the nearest of `target`."""
    from scipy.spatial import KDTree

    if not len(target):
        return np.full(len(at), np.inf, dtype=np.float32)
    # Balanced trees take far longer to build and answer no faster.
    tree = KDTree(target, compact_nodes=False, balanced_tree=False)
    found = np.empty(len(at), np.float32)
    for start in track(range(0, len(at), _AT_ONCE), progress, "outlines"):
        few = slice(start, start + _AT_ONCE)
        found[few] = tree.query(at[few], workers=-1)[0]
    return found


def _scores(forth: Distances, back: Distances, tolerance: float) -> BoundaryScores:
    if not len(forth) and not len(back):
        return BoundaryScores(0.0, 0.0, 1.0, 1.0, 1.0)
    if not len(forth) or not len(back):
        return BoundaryScores(np.inf, np.inf, 0.0, 0.0, 0.0)
    # Distances are 32-bit: one equal to the tolerance must not be excluded by its last digit.
    near = np.float32(tolerance) * np.float32(1 + 1e-6)
    precision, recall = float(np.mean(forth <= near)), float(np.mean(back <= near))
    total = precision + recall
    return BoundaryScores(
        float(max(forth.max(), back.max())),
        max(_reached(forth), _reached(back)),
        precision,
        recall,
        2 * precision * recall / total if total else 0.0,
    )


def _reached(distances: Distances) -> float:
    return float(np.percentile(distances, _ROBUST, method="inverted_cdf"))


__all__ = ["BoundaryScores", "boundary_scores", "mark_boundary"]
