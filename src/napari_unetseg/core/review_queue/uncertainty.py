"""How unsure a model is of each pixel: 0 when it is certain, 1 when it knows nothing."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def entropy(proba: Floats) -> Floats:
    """Return the entropy of each pixel's classes, as a share of the largest there can be.

    Parameters
    ----------
    proba
        (K, *spatial), summing to 1. Of several views their mean: then what they disagree in
        counts as well.
    """
    total = np.zeros(proba.shape[1:], np.float32)
    for one in proba:
        total -= one * np.log(np.maximum(one, 1e-12))
    return np.clip(total / np.float32(np.log(len(proba))), 0, 1)


def margin(proba: Floats) -> Floats:
    """Return by how little the likeliest class of each pixel leads: 1 less its lead."""
    if len(proba) == 2:
        return 1 - np.abs(proba[1] - proba[0])
    two = np.partition(proba, len(proba) - 2, axis=0)[-2:]
    return 1 - (two[1] - two[0])


def disagreement(mean: Floats, mean_square: Floats) -> Floats:
    """Return how far the views of each pixel lie apart.

    Parameters
    ----------
    mean, mean_square
        (K, *spatial), over the views, of the probabilities and of their squares.

    Returns
    -------
    array (*spatial)
        Twice the standard deviation of the class that varies most: 1 when half of the views are
        certain of it and half of another.
    """
    spread = np.sqrt(np.clip(mean_square - mean**2, 0, None)).max(axis=0)
    return np.clip(2 * spread, 0, 1)


__all__ = ["disagreement", "entropy", "margin"]
