"""Overlap of the objects of two label images: counted once, used by every score."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_unetseg.core.compute.parallel_rows import map_strips
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.progress import Progress, silent, track

Ids = NDArray[np.int64]
Indices = NDArray[np.intp]

# Number of pixels converted to 64-bit ids at a time: they stay in the processor's cache.
_PIXELS = 1 << 18
_PER_TELLING = 64 * _PIXELS


@dataclass(frozen=True, eq=False)
class Overlap:
    """Sparse contingency table of two label images.

    Parameters
    ----------
    prediction_ids, truth_ids
        (P,) and (T,), int64: the ids present, sorted, without 0. For several frames, one frame
        after the other, with an id repeated for each frame that contains it.
    prediction_sizes, truth_sizes
        (P,) and (T,), int64: pixels of each object.
    prediction, truth
        (N,), intp: pairs of overlapping objects, as indices into the lists above.
    pixels
        (N,), int64: number of shared pixels.
    n_pixels
        Number of pixels of the images, background included.
    """

    prediction_ids: Ids
    truth_ids: Ids
    prediction_sizes: Ids
    truth_sizes: Ids
    prediction: Indices
    truth: Indices
    pixels: Ids
    n_pixels: int

    @property
    def n_predicted(self) -> int:
        """Number of predicted objects."""
        return len(self.prediction_ids)

    @property
    def n_true(self) -> int:
        """Number of true objects."""
        return len(self.truth_ids)

    def iou(self) -> NDArray[np.float64]:
        """Compute the intersection over union of each overlapping pair: (N,), in (0, 1]."""
        sizes = self.prediction_sizes[self.prediction] + self.truth_sizes[self.truth]
        return self.pixels / (sizes - self.pixels)

    def dice(self) -> NDArray[np.float64]:
        """Compute the Dice coefficient of each overlapping pair: (N,), above 0, at most 1."""
        return (
            2
            * self.pixels
            / (self.prediction_sizes[self.prediction] + self.truth_sizes[self.truth])
        )

    @classmethod
    def joined(cls, several: Sequence[Self]) -> Self:
        """Join the tables of several images, whose objects are independent."""
        predicted = np.cumsum([0, *(overlap.n_predicted for overlap in several)])
        true = np.cumsum([0, *(overlap.n_true for overlap in several)])
        none: Ids = np.zeros(0, dtype=np.int64)

        def row(parts: list[Any]) -> Any:
            return np.concatenate([none, *parts])

        return cls(
            row([overlap.prediction_ids for overlap in several]),
            row([overlap.truth_ids for overlap in several]),
            row([overlap.prediction_sizes for overlap in several]),
            row([overlap.truth_sizes for overlap in several]),
            row([overlap.prediction + n for overlap, n in zip(several, predicted, strict=False)]),
            row([overlap.truth + n for overlap, n in zip(several, true, strict=False)]),
            row([overlap.pixels for overlap in several]),
            sum(overlap.n_pixels for overlap in several),
        )


def overlap_of(
    prediction: ArrayLike,
    truth: ArrayLike,
    *,
    frame_axes: int = 0,
    progress: Progress = silent,
) -> Overlap:
    """Count the pixels shared by each pair of objects.

    Parameters
    ----------
    prediction, truth
        Ids, of equal shape and any number of axes: integers of any dtype, in any order, with gaps,
        including negative ids; 0 is background. Pixels of one id are one object, connected or not;
        a boolean mask is one object.
    frame_axes
        Number of leading axes that count frames: an id is another object in each frame. 1 for a
        time series, or for a stack whose planes were labelled one by one.
    progress
        Called after about every 17 million pixels.

    Raises
    ------
    InputError
        When the shapes differ, or a value is not an integer.

    Notes
    -----
    One pass; memory is that of the overlapping pairs. An 8192 x 8192 image takes well below a
    second.

    Examples
    --------
    >>> found = overlap_of([0, 1, 1, 1, 7], [0, 5, 5, 0, 0])
    >>> found.prediction_ids, found.prediction_sizes, found.pixels
    (array([1, 7]), array([3, 1]), array([2]))
    """
    predicted, true = ids_in(prediction), ids_in(truth)
    check_same_shape(predicted, true)
    frames = list(frames_in(predicted, true, frame_axes))
    overlaps = [
        _overlap(one.reshape(-1), other.reshape(-1), progress if len(frames) == 1 else silent)
        for one, other in (frames if len(frames) == 1 else track(frames, progress, "comparing"))
    ]
    return overlaps[0] if len(overlaps) == 1 else Overlap.joined(overlaps)


def overlap_of_parts(parts: Iterable[tuple[ArrayLike, ArrayLike]]) -> Overlap:
    """Count the pixels shared by each pair of objects, in images given in parts.

    Parameters
    ----------
    parts
        The same part of both images; together the parts cover each image once. An id is one object
        over all parts.

    See Also
    --------
    overlap_of : the counts.
    """
    pairs, n_pixels = [np.zeros((0, 3), dtype=np.int64)], 0
    for prediction, truth in parts:
        predicted, true = ids_in(prediction), ids_in(truth)
        check_same_shape(predicted, true)
        pairs.append(_pairs(predicted.reshape(-1), true.reshape(-1), silent))
        n_pixels += predicted.size
    return _from_pairs(_summed(np.concatenate(pairs)), n_pixels)


def frames_in(
    prediction: NDArray[Any], truth: NDArray[Any], frame_axes: int
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield the frames of two arrays of equal shape, whose leading axes count frames."""
    for index in np.ndindex(prediction.shape[:frame_axes]):
        yield prediction[index], truth[index]


def check_same_shape(prediction: NDArray[Any], truth: NDArray[Any]) -> None:
    """Raise `InputError` for arrays of different shapes.

    Raises
    ------
    InputError
        When the shapes differ.
    """
    if prediction.shape != truth.shape:
        raise InputError(
            f"Labels of the shapes {prediction.shape} and {truth.shape} cannot be compared. "
            "Give two of the same image."
        )


def ids_in(labels: ArrayLike) -> NDArray[Any]:
    """Convert labels to an array of numbers; whether they are integers is checked when counting.

    Raises
    ------
    InputError
        When they are not numbers.
    """
    array = np.asarray(labels)
    if array.dtype.kind not in "buif":
        raise InputError(f"Ids are whole numbers, not {array.dtype}. Give an image of labels.")
    return array


def as_int64(values: NDArray[Any]) -> Ids:
    """Convert ids to contiguous 64-bit integers, without a copy where possible.

    Raises
    ------
    InputError
        When a value is not an integer.
    """
    with np.errstate(invalid="ignore"):
        whole: Ids = np.ascontiguousarray(values, dtype=np.int64)
    if values.dtype.kind == "f" and not np.array_equal(whole, values):
        wrong = float(values[whole != values][0])
        raise InputError(f"Ids are whole numbers, but {wrong:g} is among them. Give labels.")
    return whole


def _overlap(prediction: NDArray[Any], truth: NDArray[Any], progress: Progress) -> Overlap:
    return _from_pairs(_summed(_pairs(prediction, truth, progress)), len(prediction))


def _pairs(prediction: NDArray[Any], truth: NDArray[Any], progress: Progress) -> Ids:
    """Return rows of (id, id, pixels), possibly with repeated pairs."""
    from napari_unetseg.core.compute.label_kernels import count_pairs

    def count(start: int, stop: int) -> Any:
        return count_pairs(as_int64(prediction[start:stop]), as_int64(truth[start:stop]))

    parts = [np.zeros((0, 3), dtype=np.int64)]
    n = len(prediction)
    for begin in track(range(0, n, _PER_TELLING), progress, "comparing"):
        end = min(begin + _PER_TELLING, n)
        parts += map_strips(
            lambda start, stop, begin=begin: count(begin + start, begin + stop),  # type: ignore[misc]
            end - begin,
            rows=_PIXELS,
        )
    return np.concatenate(parts)


def _summed(pairs: Ids) -> Ids:
    """Sum rows of (id, id, pixels), sorted, with each pair once."""
    if not len(pairs):
        return pairs
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    new = np.r_[True, np.any(pairs[1:, :2] != pairs[:-1, :2], axis=1)]
    at = np.flatnonzero(new)
    return np.column_stack([pairs[at, :2], np.add.reduceat(pairs[:, 2], at)])


def _from_pairs(pairs: Ids, n_pixels: int) -> Overlap:
    predicted, prediction_sizes = _sizes(pairs[:, 0], pairs[:, 2])
    true, truth_sizes = _sizes(pairs[:, 1], pairs[:, 2])
    meet = pairs[(pairs[:, 0] != 0) & (pairs[:, 1] != 0)]
    return Overlap(
        predicted,
        true,
        prediction_sizes,
        truth_sizes,
        np.searchsorted(predicted, meet[:, 0]),
        np.searchsorted(true, meet[:, 1]),
        meet[:, 2],
        n_pixels,
    )


def _sizes(ids: Ids, pixels: Ids) -> tuple[Ids, Ids]:
    present, which = np.unique(ids, return_inverse=True)
    sizes = np.zeros(len(present), dtype=np.int64)
    np.add.at(sizes, which, pixels)
    return present[present != 0], sizes[present != 0]


__all__ = [
    "Overlap",
    "as_int64",
    "check_same_shape",
    "frames_in",
    "ids_in",
    "overlap_of",
    "overlap_of_parts",
]
