"""Class balance: weights of rare classes and small images in training.

Classes are weighted in three places: in the loss of a network (`class_weights`), in the fit of a
model over given features (`pixel_weights`), and in the draw of a network's training patches
(`patch_odds`, `image_shares`). The options are `TrainOptions.balances` and `PixelSpec.balance`.
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
        0: every pixel has the same weight. 1: every class has. Values between interpolate.

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
    """Return the weight of each labelled pixel in a fit: (n,), with the sum 1.

    Parameters
    ----------
    targets, counts
        (n,): class of each pixel, and number of pixels that it represents.
    of_classes
        (classes,): number of labelled pixels of each class.
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
    """Return the probability of a patch around each class of each image: (images, classes).

    Parameters
    ----------
    annotations
        Annotations of the images that patches are drawn from.
    times
        See `AnnotatedImage`.
    by_class
        Whether the class is drawn first, with equal odds; otherwise any labelled pixel.
    shares
        Relative frequency of each image; by default in proportion to its labelled pixels.
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
    """Return the relative frequency of each image, or None for in proportion to its pixels.

    Parameters
    ----------
    objects
        Whether objects are learnt.
    """
    # Weighted pixels are drawn by weight; see `fine_tune`, which sets the shares of old and new.
    if any(annotation.weights is not None for annotation in annotations):
        return None
    # In proportion to pixels, a few large objects would fill nearly all patches.
    if objects:
        return [annotation.n_objects + 1.0 for annotation in annotations]
    # Images with masks are drawn equally often: in proportion to pixels, those with few labels
    # would hardly be drawn. Strokes are drawn in proportion to their length.
    return [1.0] * len(annotations) if annotations[0].dense else None


__all__ = ["class_weights", "image_shares", "patch_odds", "pixel_weights"]
