"""Pixel scores of a mask, or of a map of classes, against the truth."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_unetseg.core.errors import InputError

Areas = tuple[int, int, int]
"""Pixels of the intersection, of the prediction and of the truth."""


@dataclass(frozen=True)
class Scores:
    """Agreement of a mask with the truth, each from 0 (none) to 1 (identical).

    Parameters
    ----------
    dice
        See `dice`.
    iou
        See `iou`.
    precision
        Fraction of the predicted pixels that are true.
    recall
        Fraction of the true pixels that are predicted.

    Notes
    -----
    Two empty masks agree: all are 1. Otherwise a ratio of nothing is 0.
    """

    dice: float
    iou: float
    precision: float
    recall: float

    @classmethod
    def of_areas(cls, both: int, predicted: int, true: int) -> Self:
        """Compute the scores from the pixel counts of both masks, the prediction and the truth."""
        if not predicted and not true:
            return cls(1.0, 1.0, 1.0, 1.0)
        return cls(
            2 * both / (predicted + true),
            both / (predicted + true - both),
            both / predicted if predicted else 0.0,
            both / true if true else 0.0,
        )


def scores(prediction: ArrayLike, truth: ArrayLike) -> Scores:
    """Compute all scores of a mask.

    Parameters
    ----------
    prediction, truth
        Arrays of equal shape; nonzero pixels belong to the mask.

    Raises
    ------
    InputError
        When the shapes differ.
    """
    return Scores.of_areas(*count_areas(prediction, truth))


def class_scores(
    prediction: ArrayLike, truth: ArrayLike, values: Sequence[int]
) -> dict[int, Scores]:
    """Compute the scores of each class of a class map.

    Parameters
    ----------
    prediction, truth
        Arrays of equal shape, a class value for each pixel.
    values
        The classes to score: for a foreground mean, all but the background.

    Returns
    -------
    dict
        By class value. A class in neither map is left out.

    Raises
    ------
    InputError
        When the shapes differ.

    Examples
    --------
    >>> found = class_scores([0, 1, 2, 2], [0, 1, 1, 2], (1, 2, 3))
    >>> {value: round(score.dice, 3) for value, score in found.items()}
    {1: 0.667, 2: 0.667}
    """
    predicted, true = np.asarray(prediction), np.asarray(truth)
    areas = {value: count_areas(predicted == value, true == value) for value in values}
    return {
        value: Scores.of_areas(*counts) for value, counts in areas.items() if counts[1] or counts[2]
    }


def pool_areas(several: Iterable[Mapping[int, Areas]]) -> dict[int, Scores]:
    """Compute the scores of each class over the pixels of all images together.

    Parameters
    ----------
    several
        For each image the areas of its classes, by class value.
    """
    totals: dict[int, Areas] = {}
    for areas in several:
        for value, counts in areas.items():
            both, predicted, true = totals.get(value, (0, 0, 0))
            totals[value] = (both + counts[0], predicted + counts[1], true + counts[2])
    return {value: Scores.of_areas(*counts) for value, counts in totals.items() if any(counts[1:])}


def mean_scores(several: Iterable[Scores]) -> Scores:
    """Average each score; full agreement for no masks, as for two empty masks."""
    table = [astuple(each) for each in several]
    return Scores(*map(float, np.mean(table, axis=0))) if table else Scores.of_areas(0, 0, 0)


def dice(prediction: ArrayLike, truth: ArrayLike) -> float:
    """Compute the Dice coefficient of two masks: twice the overlap over the sum of the areas.

    Parameters
    ----------
    prediction, truth
        Arrays of equal shape; nonzero pixels belong to the mask.

    Returns
    -------
    float
        From 0 (no overlap) to 1 (identical). Two empty masks agree: 1.

    Raises
    ------
    InputError
        When the shapes differ.

    Notes
    -----
    The F1 score of the pixels (Dice, Ecology 26, 1945). With `iou`, ``dice = 2 iou / (1 + iou)``.

    Examples
    --------
    >>> dice([1, 1, 0, 0], [1, 0, 0, 0])
    0.6666666666666666
    """
    return scores(prediction, truth).dice


def iou(prediction: ArrayLike, truth: ArrayLike) -> float:
    """Compute the intersection over union of two masks, also called the Jaccard index.

    Parameters
    ----------
    prediction, truth
        Arrays of equal shape; nonzero pixels belong to the mask.

    Returns
    -------
    float
        From 0 (no overlap) to 1 (identical). Two empty masks agree: 1.

    Raises
    ------
    InputError
        When the shapes differ.
    """
    return scores(prediction, truth).iou


def count_areas(prediction: ArrayLike, truth: ArrayLike) -> Areas:
    """Count the pixels of the intersection, of the prediction and of the truth."""
    first, second = _mask(prediction), _mask(truth)
    if first.shape != second.shape:
        raise InputError(
            f"Masks of the shapes {first.shape} and {second.shape} cannot be compared. "
            "Give two of the same image."
        )
    both = np.count_nonzero(first & second)
    return int(both), int(np.count_nonzero(first)), int(np.count_nonzero(second))


def _mask(values: ArrayLike) -> NDArray[Any]:
    array = np.asarray(values)
    return array if array.dtype == bool else array != 0


__all__ = [
    "Areas",
    "Scores",
    "class_scores",
    "count_areas",
    "dice",
    "iou",
    "mean_scores",
    "pool_areas",
    "scores",
]
