"""Corrections: edits of objects by hand, as sparse changes of their labels.

Every function reads labels, (Y, X) or (Z, Y, X), in the boxes of the objects to edit, modifies
nothing, and returns a `Change`. None copies the labels. A plane of a stack is corrected through a
view of it, see `LabelsView`.
"""

from napari_unetseg.core.corrections.between_planes import copy_to_plane, interpolate
from napari_unetseg.core.corrections.change import Change, LabelsView, Parts
from napari_unetseg.core.corrections.drawn_outlines import draw_outlines, ellipse_outline
from napari_unetseg.core.corrections.every_object import (
    at_border,
    collect_pixels,
    fill_every,
    grow_every,
    renumber,
    separate_every,
    shrink_every,
    smaller_than,
    smooth_every,
)
from napari_unetseg.core.corrections.object_boxes import ObjectBoxes, find_boxes
from napari_unetseg.core.corrections.reshape import fill_holes, grow, shrink, smooth
from napari_unetseg.core.corrections.split_object import separate, split_by_line, split_by_seeds
from napari_unetseg.core.corrections.whole_objects import along, approve, delete, ids_along, merge

__all__ = [
    "Change",
    "LabelsView",
    "ObjectBoxes",
    "Parts",
    "along",
    "approve",
    "at_border",
    "collect_pixels",
    "copy_to_plane",
    "delete",
    "draw_outlines",
    "ellipse_outline",
    "fill_every",
    "fill_holes",
    "find_boxes",
    "grow",
    "grow_every",
    "ids_along",
    "interpolate",
    "merge",
    "renumber",
    "separate",
    "separate_every",
    "shrink",
    "shrink_every",
    "smaller_than",
    "smooth",
    "smooth_every",
    "split_by_line",
    "split_by_seeds",
]
