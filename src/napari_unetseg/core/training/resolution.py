"""Lower resolutions: images and annotations shrunk for networks that need no single pixels.

What is several pixels wide is found as well in an image of half the sides, in a quarter of the
time and with twice the surroundings in view; averaging takes noise away besides.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_unetseg.core.model.network_specs import ConvolutionalSpec, ModelSpec, Resolution
from napari_unetseg.core.objects.masks import cut_apart
from napari_unetseg.core.training.annotation import IGNORED, Annotation

Sizes = tuple[int, ...]

HALF_FROM, QUARTER_FROM = 24.0, 32.0
"""Breadth in pixels from which half and quarter resolution are chosen."""


def settle_resolution(
    spec: ModelSpec, annotations: Sequence[Annotation], *, like: ModelSpec | None = None
) -> ModelSpec:
    """Return the spec with an automatic resolution settled by what is annotated.

    Parameters
    ----------
    annotations
        Of planes or stacks.
    like
        The spec of a network to continue from: its resolution is kept.

    Returns
    -------
    ModelSpec
        Strokes say nothing of how broad things are: for them it is the full resolution.
    """
    if not isinstance(spec, ConvolutionalSpec) or spec.resolution != "auto":
        return spec
    if isinstance(like, ConvolutionalSpec):
        # A network that was never told its resolution works at the full one.
        chosen: Resolution = "full" if like.resolution == "auto" else like.resolution
    else:
        chosen = _suited(annotations)
    return spec.model_copy(update={"resolution": chosen})


def breadth(annotations: Sequence[Annotation]) -> float:
    """Return how broad the finest class is, in pixels; infinite where nothing is to be measured.

    The median over the ridges of each plane's foreground of twice the distance to its edge: the
    width of a line, the diameter of a disc.

    Parameters
    ----------
    annotations
        Masks; at most twenty planes are looked at.
    """
    widths: list[NDArray[np.float64]] = []
    planes = [plane for a in annotations for plane in zip(*map(_planes, _parts(a)), strict=True)]
    for targets, insides in planes[:: max(1, len(planes) // 20)]:
        classes = np.unique(targets[(targets != IGNORED) & (targets > 0)])
        widths.extend(_ridges((targets == k) & insides) for k in classes)
    found = np.concatenate(widths) if widths else np.zeros(0)
    return float(np.median(found)) if len(found) else float("inf")


def shrunken(shape: Sequence[int], shrink: Sizes) -> Sizes:
    """Return the sides after shrinking; what is left of a box at the end becomes a pixel."""
    return tuple(-(-side // step) for side, step in zip(shape, shrink, strict=True))


def shrunken_image(image: NDArray[Any], shrink: Sizes) -> NDArray[Any]:
    """Return (C, *spatial) with the mean of every box, as float32; itself if nothing is shrunk."""
    if set(shrink) == {1}:
        return image
    return np.stack([_boxes(channel, shrink, "edge").mean(-1, np.float32) for channel in image])


def shrunken_annotation(annotation: Annotation, shrink: Sizes) -> Annotation:
    """Return the annotation with the commonest class of every box that holds any, without ids."""
    if set(shrink) == {1}:
        return annotation
    if annotation.weights is not None:
        return _weightiest_of_boxes(annotation, annotation.weights, shrink)
    targets = likeliest_of_boxes(annotation.targets, annotation.n_classes, shrink)
    return replace(annotation, targets=targets, objects=None)


def likeliest_of_boxes(
    targets: NDArray[np.uint8], n_classes: int, shrink: Sizes
) -> NDArray[np.uint8]:
    """Return the commonest class of every box, the last of several, `IGNORED` for none.

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
    """Return of every box the class that counts most in it, with the mean weight of its pixels."""
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


def _suited(annotations: Sequence[Annotation]) -> Resolution:
    if not annotations[0].dense:
        return "full"
    width = breadth(annotations)
    if not np.isfinite(width) or width < HALF_FROM:
        return "full"
    return "half" if width < QUARTER_FROM else "quarter"


def _ridges(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return twice the distance to the edge where it is the largest around."""
    if not mask.any() or mask.all():
        return np.zeros(0)
    distance = scipy.ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1]
    ridge = mask & (distance == scipy.ndimage.maximum_filter(distance, 3))
    return np.asarray(2 * distance[ridge])


def _parts(annotation: Annotation) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the targets, and what is left when objects that touch are cut apart."""
    ids = annotation.objects
    insides = np.ones(annotation.shape, np.bool_) if ids is None else cut_apart(ids)
    return annotation.targets, insides


def _planes(targets: NDArray[Any]) -> list[NDArray[Any]]:
    return [targets] if targets.ndim == 2 else list(targets)


def _boxes(array: NDArray[Any], shrink: Sizes, mode: Any) -> NDArray[Any]:
    """Return (*shrunken, pixels of a box)."""
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


__all__ = [
    "breadth",
    "likeliest_of_boxes",
    "settle_resolution",
    "shrunken",
    "shrunken_annotation",
    "shrunken_image",
]
