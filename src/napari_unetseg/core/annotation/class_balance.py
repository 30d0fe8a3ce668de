"""Class balance: how rare classes and small images are kept from being overlooked.

Three places weigh classes: the loss of a network (`class_weights`), the fit of a model over given
features (`pixel_weights`), and the patches that a network is shown (`patch_odds`, `image_shares`).
What the options ask for is told by `TrainOptions.balances` and `PixelSpec.balance`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import Annotation

_POWER = {"pixels": 0.0, "root": 0.5, "equal": 1.0}


def class_weights(annotations: Sequence[Annotation], power: float = 0.5) -> NDArray[np.float32]:
    """Return the weight of a pixel of each class in a loss: (classes,).

    Parameters
    ----------
    power
        0: every pixel weighs the same. 1: every class weighs the same. Between: both a little.

    Returns
    -------
    array (classes,)
        Scaled so that the mean over the annotated pixels is 1; 0 for a class without pixels.
    """
    counts = np.sum([annotation.masses() for annotation in annotations], axis=0)
    weights = np.where(counts > 0, np.maximum(counts, 1) ** -power, 0)
    weights *= counts.sum() / max(float((weights * counts).sum()), 1e-30)
    return weights.astype(np.float32)


def pixel_weights(
    targets: NDArray[np.uint8],
    counts: NDArray[np.float64],
    of_classes: NDArray[np.float64],
    balance: str,
) -> NDArray[np.float64]:
    """Return how much each labelled pixel counts in a fit: (n,), adding to 1.

    Parameters
    ----------
    targets, counts
        (n,): class of each pixel, and how many it stands for.
    of_classes
        (classes,): how many labelled pixels each class has.
    balance
        See `PixelSpec.balance`.
    """
    each = np.maximum(of_classes, 1e-30) ** -_POWER[balance]
    weights = counts * each[targets]
    total: NDArray[np.float64] = weights / weights.sum()
    return total


def patch_odds(
    annotations: Sequence[Annotation],
    times: Sequence[float],
    *,
    by_class: bool,
    shares: Sequence[float] | None = None,
) -> NDArray[np.float64]:
    """Return how likely a patch is drawn around each class of each image: (images, classes).

    Parameters
    ----------
    annotations
        Of the images that patches are drawn from.
    times
        See `AnnotatedImage`.
    by_class
        Choose the class first, each as often; otherwise any labelled pixel.
    shares
        How often each image is drawn beside the others; as often as it has labelled pixels when
        missing.
    """
    counts: NDArray[Any] = np.array([annotation.masses() for annotation in annotations])
    if shares is not None:
        parts = counts > 0 if by_class else counts / np.maximum(counts.sum(1, keepdims=True), 1)
        counts = parts * np.array(shares, float)[:, None]
    counts = counts * np.array([[each] for each in times])
    present = counts.sum(0) > 0
    if by_class:
        counts = counts / np.maximum(counts.sum(0), 1) * present
    odds: NDArray[np.float64] = counts / counts.sum()
    return odds


def image_shares(annotations: Sequence[Annotation], *, objects: bool) -> list[float] | None:
    """Return how often each image is drawn beside the others, or None for as its pixels say.

    Parameters
    ----------
    objects
        Whether objects are told apart.
    """
    # What weighs is drawn by its weight; see `fine_tune`, which gives old and new their shares.
    if any(annotation.weights is not None for annotation in annotations):
        return None
    # By their pixels, a few large objects would be nearly all that is seen.
    if objects:
        return [annotation.n_objects + 1.0 for annotation in annotations]
    # Of masks every image counts as much as the next: by their pixels, those with little in them
    # would hardly be seen. Strokes are drawn as often as they are long.
    return [1.0] * len(annotations) if annotations[0].dense else None


__all__ = ["class_weights", "image_shares", "patch_odds", "pixel_weights"]
