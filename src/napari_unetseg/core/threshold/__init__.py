"""Threshold: automatic levels from a histogram, and masks or objects from levels."""

from napari_unetseg.core.threshold.apply_threshold import (
    LOCAL_METHODS,
    Method,
    Thresholded,
    ThresholdOptions,
    check_values,
    classify_block,
    group_number,
    group_values,
    linked_in_words,
    needs_whole_objects,
    preview,
    smooth_plane,
    smoothed_image,
    threshold,
    threshold_values,
)

__all__ = [
    "LOCAL_METHODS",
    "Method",
    "ThresholdOptions",
    "Thresholded",
    "check_values",
    "classify_block",
    "group_number",
    "group_values",
    "linked_in_words",
    "needs_whole_objects",
    "preview",
    "smooth_plane",
    "smoothed_image",
    "threshold",
    "threshold_values",
]
