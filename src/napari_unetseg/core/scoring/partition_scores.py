"""Agreement of partitions: what electron microscopy asks of neurons, where every pixel counts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.scoring.overlap import Overlap

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class PartitionScores:
    """Agreement of two partitions of the pixels that the truth labels.

    Parameters
    ----------
    rand_error
        Adapted Rand error: 1 minus the harmonic mean of `rand_precision` and `rand_recall`; from
        0, the same partition, to 1.
    rand_precision
        Share of the pairs of pixels in one predicted segment that are in one true segment. False
        merges lower it.
    rand_recall
        Share of the pairs of pixels in one true segment that are in one predicted segment. False
        splits lower it.
    vi_split
        H(prediction | truth), in bits: what false splits add to the variation of information.
    vi_merge
        H(truth | prediction), in bits: what false merges add.
    """

    rand_error: float
    rand_precision: float
    rand_recall: float
    vi_split: float
    vi_merge: float


def partition_scores(overlap: Overlap) -> PartitionScores:
    """Return the adapted Rand error and the variation of information.

    Parameters
    ----------
    overlap
        See `napari_unetseg.core.scoring.overlap.overlap_of`.

    Notes
    -----
    Pixels whose truth is 0 (membranes, unlabelled) are left out, as the field does; of the rest,
    the prediction's 0 is a segment like any other. Where the truth labels nothing there is nothing
    to judge, so nothing is wrong. Of segments of one pixel each there are no pairs, of which every
    share is 1.

    Adapted Rand error: Arganda-Carreras et al., Frontiers in Neuroanatomy 9:142, 2015. Variation
    of information: Meila, Journal of Multivariate Analysis 98, 2007. scikit-image computes the
    same numbers, but in `adapted_rand_error` calls precision what is recall here, and the reverse.

    Examples
    --------
    >>> from napari_unetseg.core.scoring.overlap import overlap_of
    >>> partition_scores(overlap_of([1, 1, 2, 2], [3, 3, 3, 3])).vi_split
    1.0
    """
    true = overlap.truth_sizes.astype(np.float64)
    uncovered = true.copy()
    np.subtract.at(uncovered, overlap.truth, overlap.pixels)
    # One more segment than there are predicted objects: the background among them.
    said = np.bincount(overlap.prediction, overlap.pixels, overlap.n_predicted)
    said = np.append(said, uncovered.sum())
    together = np.concatenate([overlap.pixels, uncovered])
    precision = _share(_pairs(together), _pairs(said))
    recall = _share(_pairs(together), _pairs(true))
    # All three entropies are of the same pixels, so the conditional ones are differences.
    joint = _entropy(together)
    return PartitionScores(
        1 - _share(2 * precision * recall, precision + recall, nothing=0.0),
        precision,
        recall,
        max(joint - _entropy(true), 0.0),
        max(joint - _entropy(said), 0.0),
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
