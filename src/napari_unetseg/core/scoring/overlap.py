"""Which objects of two label images meet, and by how much: counted once, used by every score."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_unetseg.core.compute.parallel_rows import map_strips
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.progress import Progress, silent, track

Ids = NDArray[np.int64]
Places = NDArray[np.intp]

# So many pixels at a time are turned into 64 bit ids: they stay in the cache of the processor.
_PIXELS = 1 << 18
_PER_TELLING = 64 * _PIXELS


@dataclass(frozen=True, eq=False)
class Overlap:
    """The contingency table of two label images, without its empty places.

    Parameters
    ----------
    prediction_ids, truth_ids
        (P,) and (T,), int64: the ids that occur, sorted, without 0. Of several frames, one after
        the other, an id once for each frame that has it.
    prediction_sizes, truth_sizes
        (P,) and (T,), int64: pixels of each object.
    prediction, truth
        (N,), intp: which two objects meet, as places in the lists above.
    pixels
        (N,), int64: in how many pixels they meet.
    n_pixels
        Pixels of the images, background included.
    """

    prediction_ids: Ids
    truth_ids: Ids
    prediction_sizes: Ids
    truth_sizes: Ids
    prediction: Places
    truth: Places
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
        """Return the intersection over union of each pair that meets: (N,), above 0, at most 1."""
        sizes = self.prediction_sizes[self.prediction] + self.truth_sizes[self.truth]
        return self.pixels / (sizes - self.pixels)

    def dice(self) -> NDArray[np.float64]:
        """Return the Dice coefficient of each pair that meets: (N,), above 0, at most 1."""
        return (
            2
            * self.pixels
            / (self.prediction_sizes[self.prediction] + self.truth_sizes[self.truth])
        )

    @classmethod
    def joined(cls, several: Sequence[Self]) -> Self:
        """Return one table of several images, whose objects have nothing to do with each other."""
        predicted = np.cumsum([0, *(one.n_predicted for one in several)])
        true = np.cumsum([0, *(one.n_true for one in several)])
        none: Ids = np.zeros(0, dtype=np.int64)

        def row(parts: list[Any]) -> Any:
            return np.concatenate([none, *parts])

        return cls(
            row([one.prediction_ids for one in several]),
            row([one.truth_ids for one in several]),
            row([one.prediction_sizes for one in several]),
            row([one.truth_sizes for one in several]),
            row([one.prediction + n for one, n in zip(several, predicted, strict=False)]),
            row([one.truth + n for one, n in zip(several, true, strict=False)]),
            row([one.pixels for one in several]),
            sum(one.n_pixels for one in several),
        )


def overlap_of(
    prediction: ArrayLike,
    truth: ArrayLike,
    *,
    frame_axes: int = 0,
    progress: Progress = silent,
) -> Overlap:
    """Count in how many pixels each two objects meet.

    Parameters
    ----------
    prediction, truth
        Ids, of one shape and any number of axes: whole numbers of any type, in any order, with
        gaps, negative ones included; 0 is background. Pixels of one id are one object, connected
        or not; a mask of booleans is one object.
    frame_axes
        How many of the first axes only count frames: an id is another object in each. 1 for a time
        series, or for a stack whose planes were labelled one by one.
    progress
        Told about every 17 million pixels.

    Raises
    ------
    InputError
        When the shapes differ, or a value is no whole number.

    Notes
    -----
    One pass; memory is that of the pairs that meet. An 8192 x 8192 image takes well below a second.

    Examples
    --------
    >>> found = overlap_of([0, 1, 1, 1, 7], [0, 5, 5, 0, 0])
    >>> found.prediction_ids, found.prediction_sizes, found.pixels
    (array([1, 7]), array([3, 1]), array([2]))
    """
    said, true = ids_in(prediction), ids_in(truth)
    check_same_shape(said, true)
    frames = list(frames_in(said, true, frame_axes))
    found = [
        _overlap(one.reshape(-1), other.reshape(-1), progress if len(frames) == 1 else silent)
        for one, other in (frames if len(frames) == 1 else track(frames, progress, "comparing"))
    ]
    return found[0] if len(found) == 1 else Overlap.joined(found)


def overlap_of_parts(parts: Iterable[tuple[ArrayLike, ArrayLike]]) -> Overlap:
    """Count in how many pixels each two objects meet, in images that are given in parts.

    Parameters
    ----------
    parts
        The same part of both; together each image once. An id is one object in all of them.

    See Also
    --------
    overlap_of : what is counted.
    """
    pairs, n_pixels = [np.zeros((0, 3), dtype=np.int64)], 0
    for one, other in parts:
        said, true = ids_in(one), ids_in(other)
        check_same_shape(said, true)
        pairs.append(_pairs(said.reshape(-1), true.reshape(-1), silent))
        n_pixels += said.size
    return _from_pairs(_summed(np.concatenate(pairs)), n_pixels)


def frames_in(
    prediction: NDArray[Any], truth: NDArray[Any], frame_axes: int
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield the frames of two arrays of one shape, of which the first axes only count frames."""
    for index in np.ndindex(prediction.shape[:frame_axes]):
        yield prediction[index], truth[index]


def check_same_shape(prediction: NDArray[Any], truth: NDArray[Any]) -> None:
    """Refuse arrays of two images.

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
    """Return labels as an array of numbers; that they are whole is seen when they are counted.

    Raises
    ------
    InputError
        When they are no numbers.
    """
    array = np.asarray(labels)
    if array.dtype.kind not in "buif":
        raise InputError(f"Ids are whole numbers, not {array.dtype}. Give an image of labels.")
    return array


def as_int64(values: NDArray[Any]) -> Ids:
    """Return ids as contiguous 64 bit numbers, the same array where it is that already.

    Raises
    ------
    InputError
        When a value is no whole number.
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
    """Return rows of (id, id, pixels), a pair perhaps several times."""
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
    """Return rows of (id, id, pixels), sorted, each pair once."""
    if not len(pairs):
        return pairs
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    new = np.r_[True, np.any(pairs[1:, :2] != pairs[:-1, :2], axis=1)]
    at = np.flatnonzero(new)
    return np.column_stack([pairs[at, :2], np.add.reduceat(pairs[:, 2], at)])


def _from_pairs(pairs: Ids, n_pixels: int) -> Overlap:
    said, prediction_sizes = _sizes(pairs[:, 0], pairs[:, 2])
    true, truth_sizes = _sizes(pairs[:, 1], pairs[:, 2])
    meet = pairs[(pairs[:, 0] != 0) & (pairs[:, 1] != 0)]
    return Overlap(
        said,
        true,
        prediction_sizes,
        truth_sizes,
        np.searchsorted(said, meet[:, 0]),
        np.searchsorted(true, meet[:, 1]),
        meet[:, 2],
        n_pixels,
    )


def _sizes(ids: Ids, pixels: Ids) -> tuple[Ids, Ids]:
    found, which = np.unique(ids, return_inverse=True)
    sizes = np.zeros(len(found), dtype=np.int64)
    np.add.at(sizes, which, pixels)
    return found[found != 0], sizes[found != 0]


__all__ = [
    "Overlap",
    "as_int64",
    "check_same_shape",
    "frames_in",
    "ids_in",
    "overlap_of",
    "overlap_of_parts",
]
