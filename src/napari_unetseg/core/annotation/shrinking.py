"""Images and annotations shrunk for networks that work at a lower resolution."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import IGNORED, Annotation

Sizes = tuple[int, ...]


def shrunken(shape: Sequence[int], shrink: Sizes) -> Sizes:
    """Return the sides after shrinking; an incomplete box at the end becomes a pixel."""
    return tuple(-(-side // step) for side, step in zip(shape, shrink, strict=True))


def shrunken_image(image: NDArray[Any], shrink: Sizes) -> NDArray[Any]:
    """Average every box of an image (C, *spatial), as float32; unchanged for factors of 1."""
    if set(shrink) == {1}:
        return image
    return np.stack([_boxes(channel, shrink, "edge").mean(-1, np.float32) for channel in image])


def shrunken_annotation(annotation: Annotation, shrink: Sizes) -> Annotation:
    """Return the annotation with the most frequent class of every annotated box, without ids."""
    if set(shrink) == {1}:
        return annotation
    if annotation.weights is not None:
        return _weightiest_of_boxes(annotation, annotation.weights, shrink)
    targets = likeliest_of_boxes(annotation.targets, annotation.n_classes, shrink)
    return replace(annotation, targets=targets, objects=None)


def likeliest_of_boxes(
    targets: NDArray[np.uint8], n_classes: int, shrink: Sizes
) -> NDArray[np.uint8]:
    """Return the most frequent class of every box, the last of several, `IGNORED` for none.

    Parameters
    ----------
    targets
        (*spatial), uint8: class or `IGNORED`.
    """
    if set(shrink) == {1}:
        return targets
    best = np.full(shrunken(targets.shape, shrink), IGNORED, np.uint8)
    most = np.ones(best.shape, np.uint8)
    for k in range(n_classes):
        count = _boxes(targets == k, shrink, "constant").sum(-1, dtype=np.uint8)
        best[count >= most] = k
        np.maximum(most, count, out=most)
    return best


def _weightiest_of_boxes(
    annotation: Annotation, weights: NDArray[Any], shrink: Sizes
) -> Annotation:
    """Return the class of the largest weight in every box, with the mean weight of its pixels."""
    best = np.full(shrunken(annotation.shape, shrink), IGNORED, np.uint8)
    most, mean = np.zeros(best.shape, np.float32), np.zeros(best.shape, np.float32)
    for k in range(annotation.n_classes):
        there = annotation.targets == k
        total = _boxes(np.where(there, weights, 0), shrink, "constant").sum(-1, dtype=np.float32)
        count = _boxes(there, shrink, "constant").sum(-1, dtype=np.float32)
        wins = (count > 0) & (total >= most)
        best[wins] = k
        mean[wins] = total[wins] / count[wins]
        np.maximum(most, total, out=most)
    return replace(annotation, targets=best, objects=None, weights=mean)


def _boxes(array: NDArray[Any], shrink: Sizes, mode: Any) -> NDArray[Any]:
    """Reshape an array to (*shrunken, pixels of a box), padded at its ends."""
    ends = [(0, -side % step) for side, step in zip(array.shape, shrink, strict=True)]
    if any(end for _, end in ends):
        array = np.pad(array, ends, mode=mode)
    n = array.ndim
    sides = [
        length
        for side, step in zip(array.shape, shrink, strict=True)
        for length in (side // step, step)
    ]
    split = array.reshape(sides).transpose(*range(0, 2 * n, 2), *range(1, 2 * n, 2))
    return split.reshape(*split.shape[:n], -1)


__all__ = ["likeliest_of_boxes", "shrunken", "shrunken_annotation", "shrunken_image"]
