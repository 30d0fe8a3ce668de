"""Compute the uncertainty of each pixel of a prediction: 0 certain, 1 fully uncertain."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def entropy(proba: Floats) -> Floats:
    """Compute the entropy of each pixel's class probabilities, relative to its maximum.

    Parameters
    ----------
    proba
        (K, *spatial), summing to 1. For several views use their mean, so that their disagreement
        counts as well.
    """
    total = np.zeros(proba.shape[1:], np.float32)
    for class_proba in proba:
        total -= class_proba * np.log(np.maximum(class_proba, 1e-12))
    return np.clip(total / np.float32(np.log(len(proba))), 0, 1)


def margin(proba: Floats) -> Floats:
    """Compute 1 minus the lead of each pixel's likeliest class over the second."""
    if len(proba) == 2:
        return 1 - np.abs(proba[1] - proba[0])
    two = np.partition(proba, len(proba) - 2, axis=0)[-2:]
    return 1 - (two[1] - two[0])


def disagreement(mean: Floats, mean_square: Floats) -> Floats:
    """Compute the disagreement of several views at each pixel.

    Parameters
    ----------
    mean, mean_square
        (K, *spatial), means over the views of the probabilities and of their squares.

    Returns
    -------
    array (*spatial)
        Twice the standard deviation of the class that varies most: 1 if half of the views are
        certain of it and half of another class.
    """
    spread = np.sqrt(np.clip(mean_square - mean**2, 0, None)).max(axis=0)
    return np.clip(2 * spread, 0, 1)


__all__ = ["disagreement", "entropy", "margin"]
