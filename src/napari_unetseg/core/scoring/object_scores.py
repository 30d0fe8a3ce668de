"""Object scores: matching of predicted and true objects, and the scores derived from it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.scoring.overlap import Overlap

THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
"""The IoU thresholds of the mean AP: 0.5 to 0.95 in steps of 0.05."""

# Above this threshold no object has two candidates, so no assignment is needed.
_CERTAIN = 0.5


@dataclass(frozen=True, eq=False)
class Matching:
    """Matching of predicted and true objects.

    Parameters
    ----------
    threshold
        Minimum intersection over union of a match.
    prediction, truth
        (M,), intp: the matched objects, as indices into the lists of the `Overlap`; each at most
        once.
    iou
        (M,): intersection over union of each match.
    n_predicted, n_true
        Number of objects.

    Notes
    -----
    Matched objects are true positives, other predicted objects false positives, other true objects
    false negatives. A ratio of nothing is 1 where neither image has an object, and 0 otherwise.
    """

    threshold: float
    prediction: NDArray[np.intp]
    truth: NDArray[np.intp]
    iou: NDArray[np.float64]
    n_predicted: int
    n_true: int

    @property
    def n_matched(self) -> int:
        """Number of true positives."""
        return len(self.iou)

    @property
    def n_missed(self) -> int:
        """Number of false negatives: true objects without a match."""
        return self.n_true - self.n_matched

    @property
    def n_invented(self) -> int:
        """Number of false positives: predicted objects without a match."""
        return self.n_predicted - self.n_matched

    @property
    def precision(self) -> float:
        """Fraction of the predicted objects that are matched."""
        return self._share(self.n_matched, self.n_predicted)

    @property
    def recall(self) -> float:
        """Fraction of the true objects that are matched."""
        return self._share(self.n_matched, self.n_true)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall: TP / (TP + (FP + FN) / 2)."""
        return self._share(2 * self.n_matched, self.n_predicted + self.n_true)

    @property
    def ap(self) -> float:
        """TP / (TP + FP + FN): called average precision in Cellpose and accuracy in StarDist.

        It is not the area under a precision-recall curve, as objects have no confidence here.
        """
        return self._share(self.n_matched, self.n_predicted + self.n_true - self.n_matched)

    @property
    def mean_iou(self) -> float:
        """Mean intersection over union of the matches: the segmentation quality."""
        return self._share(float(self.iou.sum()), self.n_matched)

    @property
    def panoptic_quality(self) -> float:
        """`f1` times `mean_iou` (Kirillov et al., Panoptic segmentation, CVPR 2019)."""
        return self._share(2 * float(self.iou.sum()), self.n_predicted + self.n_true)

    def _share(self, part: float, whole: float) -> float:
        if whole:
            return part / whole
        return 0.0 if self.n_predicted or self.n_true else 1.0


def match(overlap: Overlap, threshold: float = 0.5) -> Matching:
    """Match each object to at most one whose intersection over union reaches a threshold.

    Parameters
    ----------
    overlap
        See `napari_unetseg.core.scoring.overlap.overlap_of`.
    threshold
        Above 0, at most 1. Pairs at exactly the threshold match, as in StarDist and Cellpose.

    Raises
    ------
    InputError
        When the threshold is out of range.

    Notes
    -----
    Above 0.5 an object has at most one candidate, so no choice is needed. At lower thresholds the
    matching has the largest possible number of pairs and, among those, the largest sum of IoU: an
    assignment problem, solved on the sparse graph of the competing candidates. StarDist and
    Cellpose solve it on the full matrix.
    """
    if not 0 < threshold <= 1:
        raise InputError(f"An IoU threshold is above 0 and at most 1, not {threshold:g}.")
    iou = overlap.iou()
    candidates = np.flatnonzero(iou >= threshold)
    if threshold <= _CERTAIN:
        # One more pair outweighs all differences in IoU.
        worth = 1 + iou[candidates] / (2 * max(len(candidates), 1))
        candidates = candidates[
            best_pairs(overlap.prediction[candidates], overlap.truth[candidates], worth)
        ]
    return Matching(
        threshold,
        overlap.prediction[candidates],
        overlap.truth[candidates],
        iou[candidates],
        overlap.n_predicted,
        overlap.n_true,
    )


def best_pairs(
    first: NDArray[np.int64], second: NDArray[np.int64], worth: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Select disjoint pairs among candidates such that their total worth is largest.

    Parameters
    ----------
    first, second
        (N,): the candidates, as numbers from 0; each pair once.
    worth
        (N,), above 0.

    Returns
    -------
    array (M,), intp
        Indices of the selected pairs, ascending.

    Notes
    -----
    An assignment problem, solved on the sparse graph of the competing candidates.
    """
    free = (np.bincount(first, minlength=1)[first] == 1) & (
        np.bincount(second, minlength=1)[second] == 1
    )
    disputed = np.flatnonzero(~free)
    if not len(disputed):
        return np.flatnonzero(free)
    rows, row = np.unique(first[disputed], return_inverse=True)
    columns, column = np.unique(second[disputed], return_inverse=True)
    n, m = len(rows), len(columns)
    # Each row gets an extra column of negligible worth, for staying unpaired: the solver requires a
    # partner for every row.
    entries = np.concatenate([worth[disputed], np.full(n, 1e-12)])
    at = (np.concatenate([row, np.arange(n)]), np.concatenate([column, m + np.arange(n)]))
    graph = scipy.sparse.csr_array((entries, at), shape=(n, m + n))
    which, partner = scipy.sparse.csgraph.min_weight_full_bipartite_matching(graph, maximize=True)
    chosen = np.full(n, -1)
    chosen[which] = partner
    return np.sort(np.concatenate([np.flatnonzero(free), disputed[chosen[row] == column]]))


@dataclass(frozen=True)
class ObjectScores:
    """Agreement of objects, each from 0 (none) to 1 (identical).

    Parameters
    ----------
    precision, recall, f1
        For objects matched at an IoU of 0.5.
    ap50, ap75
        TP / (TP + FP + FN) at an IoU of 0.5 and 0.75, see `Matching.ap`.
    map
        Mean AP over `THRESHOLDS`, from 0.5 to 0.95.
    mean_iou
        Mean IoU of the objects matched at 0.5.
    panoptic_quality
        Panoptic quality at 0.5.
    sbd
        Symmetric best Dice, see `symmetric_best_dice`.
    matched, missed, invented
        Numbers of objects at 0.5: true positives, false negatives, false positives.

    Notes
    -----
    Two images without objects agree: all ratios are 1. Where only one has objects, all are 0.
    """

    precision: float
    recall: float
    f1: float
    ap50: float
    ap75: float
    map: float
    mean_iou: float
    panoptic_quality: float
    sbd: float
    matched: float
    missed: float
    invented: float


def object_scores(overlap: Overlap) -> ObjectScores:
    """Compute all object scores.

    Examples
    --------
    >>> from napari_unetseg.core.scoring.overlap import overlap_of
    >>> found = object_scores(overlap_of([1, 1, 0, 2, 2, 3], [4, 4, 4, 5, 5, 0]))
    >>> found.f1, round(found.ap50, 3), found.invented
    (0.8, 0.667, 1)
    """
    at_half = match(overlap, 0.5)
    curve = ap_curve(overlap)
    return ObjectScores(
        at_half.precision,
        at_half.recall,
        at_half.f1,
        curve[0.5],
        curve[0.75],
        float(np.mean(list(curve.values()))),
        at_half.mean_iou,
        at_half.panoptic_quality,
        symmetric_best_dice(overlap),
        at_half.n_matched,
        at_half.n_missed,
        at_half.n_invented,
    )


def ap_curve(overlap: Overlap, thresholds: Iterable[float] = THRESHOLDS) -> dict[float, float]:
    """Compute `Matching.ap` at each threshold."""
    return {threshold: match(overlap, threshold).ap for threshold in thresholds}


def symmetric_best_dice(overlap: Overlap) -> float:
    """Compute the mean Dice of each object with its best match, the smaller of both directions.

    Returns
    -------
    float
        From 0 to 1; 1 when neither image has objects, 0 when only one has.

    Notes
    -----
    SBD of the leaf segmentation challenge (Scharr et al., Machine Vision and Applications 27,
    2016). An object may be the best match of several, but as both directions count, this is not as
    lenient as it seems.
    """
    if not overlap.n_predicted or not overlap.n_true:
        return float(overlap.n_predicted == overlap.n_true)
    dice = overlap.dice()
    return min(
        _mean_best(overlap.prediction, dice, overlap.n_predicted),
        _mean_best(overlap.truth, dice, overlap.n_true),
    )


def best_of(which: NDArray[Any], values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return the largest of `values` for each of `n` objects, 0 for those without a value."""
    best = np.zeros(n)
    np.maximum.at(best, which, values)
    return best


def _mean_best(which: NDArray[np.intp], values: NDArray[np.float64], n: int) -> float:
    return float(best_of(which, values, n).mean())


__all__ = [
    "THRESHOLDS",
    "Matching",
    "ObjectScores",
    "ap_curve",
    "best_of",
    "best_pairs",
    "match",
    "object_scores",
    "symmetric_best_dice",
]
