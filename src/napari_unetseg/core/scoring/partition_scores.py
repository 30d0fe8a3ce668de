"""Partition scores: adapted Rand error and variation of information, as in connectomics."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.scoring.overlap import Overlap

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class PartitionScores:
    """Agreement of two partitions of the pixels that are labelled in the truth.

    Parameters
    ----------
    rand_error
        Adapted Rand error: 1 minus the harmonic mean of `rand_precision` and `rand_recall`; from 0
        (identical partitions) to 1.
    rand_precision
        Fraction of the pairs of pixels in one predicted segment that are in one true segment. False
        merges lower it.
    rand_recall
        Fraction of the pairs of pixels in one true segment that are in one predicted segment. False
        splits lower it.
    vi_split
        H(prediction | truth), in bits: the part of the variation of information due to false
        splits.
    vi_merge
        H(truth | prediction), in bits: the part due to false merges.
    """

    rand_error: float
    rand_precision: float
    rand_recall: float
    vi_split: float
    vi_merge: float


def partition_scores(overlap: Overlap) -> PartitionScores:
    """Compute the adapted Rand error and the variation of information.

    Parameters
    ----------
    overlap
        See `napari_unetseg.core.scoring.overlap.overlap_of`.

    Notes
    -----
    Pixels whose truth is 0 (membranes, unlabelled) are ignored, as is usual; among the others, the
    prediction's 0 is a segment like any other. If the truth has no labels, the scores are perfect.
    Segments of one pixel contain no pairs, so their ratios are 1.

    Adapted Rand error: Arganda-Carreras et al., Frontiers in Neuroanatomy 9:142, 2015. Variation of
    information: Meila, Journal of Multivariate Analysis 98, 2007. scikit-image computes the same
    numbers, but its `adapted_rand_error` calls precision the recall of this function, and the
    reverse.

    Examples
    --------
    >>> from napari_unetseg.core.scoring.overlap import overlap_of
    >>> partition_scores(overlap_of([1, 1, 2, 2], [3, 3, 3, 3])).vi_split
    1.0
    """
    true = overlap.truth_sizes.astype(np.float64)
    uncovered = true.copy()
    np.subtract.at(uncovered, overlap.truth, overlap.pixels)
    # One segment more than there are predicted objects: the background counts as well.
    segments = np.bincount(overlap.prediction, overlap.pixels, overlap.n_predicted)
    segments = np.append(segments, uncovered.sum())
    together = np.concatenate([overlap.pixels, uncovered])
    precision = _share(_pairs(together), _pairs(segments))
    recall = _share(_pairs(together), _pairs(true))
    # All three entropies are over the same pixels, so conditional ones are differences.
    joint = _entropy(together)
    return PartitionScores(
        1 - _share(2 * precision * recall, precision + recall, nothing=0.0),
        precision,
        recall,
        max(joint - _entropy(true), 0.0),
        max(joint - _entropy(segments), 0.0),
    )


def _pairs(sizes: NDArray[Any]) -> float:
    """Return twice the number of pairs of pixels within one segment."""
    values = np.asarray(sizes, dtype=np.float64)
    return float(values @ values - values.sum())


def _entropy(sizes: NDArray[Any]) -> float:
    values = np.asarray(sizes, dtype=np.float64)
    values = values[values > 0]
    shares = values / values.sum()
    return float(-(shares @ np.log2(shares)))


def _share(part: float, whole: float, *, nothing: float = 1.0) -> float:
    return part / whole if whole else nothing


__all__ = ["PartitionScores", "partition_scores"]
