"""The preview of a threshold: its levels at once, and then its outcome on the visible plane."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Layer
from numpy.typing import NDArray

from napari_unetseg.core.image import Image
from napari_unetseg.core.objects.masks import reaching_into
from napari_unetseg.core.progress import Progress
from napari_unetseg.core.threshold import (
    LOCAL_METHODS,
    ThresholdOptions,
    needs_whole_objects,
    preview,
    smooth_plane,
    threshold,
    threshold_values,
)
from napari_unetseg.core.threshold.histogram import Histogram, compute_histogram
from napari_unetseg.gui.shared.layers import plane_image
from napari_unetseg.gui.shared.preview import object_colours, outlined

MOST_PIXELS = 2**26
"""Pixels of a plane or stack up to which the outcome is previewed: about 0.4 s without splitting
and smoothing, on two cores."""

MOST_SPLIT = 2**22
"""Pixels in which touching objects are split for a preview, about 1 s."""

TOO_LARGE = "The preview shows the level alone: this is too large to clean while you wait."
ZOOM_IN = "The preview does not split this much. Zoom in on objects to see them split."


@dataclass(frozen=True)
class LevelPreview:
    """The histogram and levels of a layer with given options.

    Parameters
    ----------
    version
        `data_version` of the layer.
    dragged
        The levels that the user dragged, if any.
    plane
        Values of the visible plane to compare with the levels; None for the layer's own.
    """

    layer: Layer
    options: ThresholdOptions
    channel: str
    version: int
    dragged: tuple[float, ...] | None
    histogram: Histogram
    values: tuple[float, ...]
    plane: Any


@dataclass(frozen=True, eq=False)
class OutcomePreview:
    """The outcome of a run on the visible plane.

    Parameters
    ----------
    index
        The plane.
    picture
        (Y, X), uint8: classes, or colours of objects; None if it would take long.
    n_classes
        Number of classes; 0 for objects.
    remark
        A sentence if the preview does less than the run, else ``""``.
    """

    layer: Layer
    options: ThresholdOptions
    index: tuple[int, ...]
    picture: NDArray[np.uint8] | None
    n_classes: int
    remark: str


def level_preview(
    layer: Layer,
    n_axes: int,
    image: Image,
    index: tuple[int, ...] | None,
    options: ThresholdOptions,
    channel: str,
    version: int,
    histogram: Histogram | None,
    values: tuple[float, ...] | None,
    progress: Progress,
) -> LevelPreview:
    """Compute the levels of an image; `layer`, with its `n_axes`, is passed through."""
    grey, dragged = image.grey(options.channel), values
    if histogram is None:
        histogram = compute_histogram(grey)
    shown = None if index is None else plane_image(image, index).grey(options.channel)
    if values is None:
        source = grey if shown is None or options.per == "stack" else shown
        values = threshold_values(source, options, progress=progress)
    plane = None
    whole = image.grey().ndim == n_axes
    if shown is not None and (
        not whole or image.rgb or options.sigma > 0 or options.method in LOCAL_METHODS
    ):
        plane = smooth_plane(shown.asarray(), options)
        if options.method in LOCAL_METHODS:
            plane = preview(plane, options, values)
    return LevelPreview(layer, options, channel, version, dragged, histogram, values, plane)


def has_outcome(options: ThresholdOptions, *, outlines: bool) -> bool:
    """Whether a preview of levels would differ from the outcome."""
    return outlines or needs_whole_objects(options)


def depends_on_view(image: Image, options: ThresholdOptions) -> bool:
    """Whether the outcome is previewed in the part on screen alone."""
    return options.split and _pixels(image, options) > MOST_SPLIT


def outcome_preview(
    levels: LevelPreview,
    image: Image,
    index: tuple[int, ...],
    field: tuple[slice, slice],
    *,
    outlines: bool,
    progress: Progress,
) -> OutcomePreview:
    """Run the threshold on the visible plane, or on its stack.

    Parameters
    ----------
    levels
        The levels, with the options.
    index
        Of the plane, as for `plane_image`.
    field
        The part on screen: slices of Y and X.
    outlines
        Whether to keep the edges of what is found only.
    """
    options, remark = levels.options, ""
    if _pixels(image, options) > MOST_PIXELS:
        return OutcomePreview(levels.layer, options, index, None, 0, TOO_LARGE)
    deep = _is_deep(image, options)
    part = plane_image(image, index, stack=deep)
    # One plane or stack has nothing to link its objects to.
    alone = options.model_copy(update={"link": "none"})
    view = field if depends_on_view(image, options) else None
    if view is not None and not _is_small(part, alone, levels.values, view, progress):
        alone, view, remark = alone.model_copy(update={"split": False}), None, ZOOM_IN
    found = threshold(part, alone, values=levels.values, field=view, progress=progress)
    labels = np.asarray(found.labels)
    if deep:
        labels = labels[index[image.grey().axes.index("Z")]]
    objects = options.result == "objects"
    progress(0.9)
    picture = object_colours(labels) if objects else labels
    if outlines:
        picture = np.where(outlined(labels) > 0, picture, 0).astype(np.uint8)
    n_classes = 0 if objects else max(len(levels.values), 1)
    if options.method == "hysteresis":
        n_classes = min(n_classes, 1)
    return OutcomePreview(levels.layer, levels.options, index, picture, n_classes, remark)


def _is_small(
    image: Image,
    options: ThresholdOptions,
    values: tuple[float, ...],
    field: tuple[slice, slice],
    progress: Progress,
) -> bool:
    """Whether the objects that reach into a field, with all they are joined to, are split soon."""
    if np.prod([part.stop - part.start for part in field]) > MOST_SPLIT:
        return False
    whole = options.model_copy(update={"split": False, "result": "classes"})
    mask = np.asarray(threshold(image, whole, values=values, progress=progress).labels) > 0
    return reaching_into(mask, field)[0].size <= 2 * MOST_SPLIT


def _is_deep(image: Image, options: ThresholdOptions) -> bool:
    return options.per == "stack" and image.length("Z") > 1


def _pixels(image: Image, options: ThresholdOptions) -> int:
    axes = "ZYX" if _is_deep(image, options) else "YX"
    return int(np.prod([image.length(axis) for axis in axes]))


__all__ = [
    "MOST_PIXELS",
    "MOST_SPLIT",
    "TOO_LARGE",
    "ZOOM_IN",
    "LevelPreview",
    "OutcomePreview",
    "depends_on_view",
    "has_outcome",
    "level_preview",
    "outcome_preview",
]
