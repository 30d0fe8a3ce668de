"""Options of `napari_unetseg.core.threshold`."""

from typing import Literal

from pydantic import field_validator

from napari_unetseg.core.image import RgbChannel
from napari_unetseg.core.objects.linking import (
    Link,
    LinkBy,
    When,
    link_by_option,
    link_distance_option,
    link_divisions_option,
    link_gap_option,
    link_iou_option,
    link_option,
)
from napari_unetseg.core.objects.masks import SPLIT_DEPTH
from napari_unetseg.core.options import Options, option

Method = Literal[
    "otsu",
    "li",
    "triangle",
    "yen",
    "isodata",
    "minimum",
    "mean",
    "multiotsu",
    "sauvola",
    "gaussian",
    "hysteresis",
    "manual",
]

LOCAL_METHODS = ("sauvola", "gaussian")
"""Methods that compare each pixel with its neighbourhood: they have no level to drag."""

_OBJECTS: When = {"result": ("objects",)}


class ThresholdOptions(Options):
    """Options for thresholding an image."""

    method: Method = option(
        "otsu",
        "Method",
        "How the level is computed. Otsu suits most images; li and triangle find few or faint "
        "objects; sauvola and gaussian compare each pixel with its surroundings; manual uses "
        "your value.",
    )
    value: float = option(
        0.0,
        "Value",
        "Level in the units of the image: bright objects are above it. For hysteresis, the lower "
        "one.",
        when={"method": ("manual", "hysteresis")},
        allow_inf_nan=False,
    )
    high: float = option(
        0.0,
        "High value",
        "Upper level of hysteresis. Regions between the two levels count where they touch a "
        "region beyond both. If the two levels are equal, those of Otsu's method for three "
        "classes are used.",
        when={"method": ("hysteresis",)},
        allow_inf_nan=False,
    )
    classes: int = option(
        3,
        "Classes",
        "Number of grey-level classes, including the background.",
        when={"method": ("multiotsu",)},
        ge=2,
        le=8,
    )
    window: int = option(
        51,
        "Window",
        "Width in pixels of the neighbourhood each pixel is compared with; an odd number. Use "
        "about twice the width of an object.",
        when={"method": LOCAL_METHODS},
        ge=3,
        le=2001,
        step=2,
    )
    k: float = option(
        0.2,
        "Sauvola's k",
        "How far below the local mean the level lies where there is no contrast, as a fraction "
        "of the mean. 0.2 suits dark objects on a bright background; use -0.2 for bright objects "
        "on a dark background.",
        when={"method": ("sauvola",)},
        ge=-1.0,
        le=1.0,
        step=0.05,
    )
    offset: float = option(
        0.0,
        "Offset",
        "How far beyond the local mean a pixel must be, in the units of the image. Raise it to "
        "suppress specks in the background.",
        when={"method": ("gaussian",)},
        allow_inf_nan=False,
    )
    objects: Literal["bright", "dark"] = option(
        "bright", "Objects", "Whether objects are brighter or darker than the background."
    )
    sigma: float = option(
        0.0,
        "Smoothing",
        "Standard deviation of a Gaussian blur before the comparison, in pixels; 0 for none. "
        "Raise it for noisy images.",
        ge=0.0,
        le=50.0,
        step=0.5,
    )
    min_size: int = option(
        0,
        "Smallest size",
        "Remove objects with fewer pixels than this.",
        ge=0,
        le=1_000_000_000,
    )
    fill_holes: bool = option(
        False, "Fill holes", "Fill background that an object surrounds on all sides."
    )
    clear_border: bool = option(
        False, "Clear border", "Remove objects that are cut off by the border of the image."
    )
    split: bool = option(
        False,
        "Split touching",
        "Split objects at their narrowest points. With classes as the result, a line of "
        "background separates the parts.",
    )
    split_depth: float = option(
        SPLIT_DEPTH,
        "Waist",
        "How much narrower than the smaller of two objects their waist (the narrow part between "
        "them) must be to be cut, as a fraction of that object's width. Lower it to cut more.",
        when={"split": (True,)},
        gt=0.0,
        lt=1.0,
        step=0.05,
        slider=True,
    )
    result: Literal["classes", "objects"] = option(
        "classes",
        "Result",
        "Classes: 1 for objects, or 1, 2, ... with multi-Otsu. Objects: a separate number for "
        "each object.",
        flag="as",
    )
    per: Literal["plane", "stack"] = option(
        "plane",
        "Level per",
        "Plane: each plane has its own level and its own objects. Stack: one level for all "
        "planes of a channel, and objects continue through z.",
    )
    link: Link = link_option(_OBJECTS)
    link_by: LinkBy = link_by_option(_OBJECTS)
    link_distance: float = link_distance_option(_OBJECTS)
    link_divisions: bool = link_divisions_option(_OBJECTS)
    link_iou: float = link_iou_option(_OBJECTS)
    link_gap: int = link_gap_option(_OBJECTS)
    channel: RgbChannel = option(
        "luminance",
        "RGB channel",
        "Which channel to use: its weighted mean (luminance) or one colour, of an RGB image.",
        advanced=True,
    )

    @field_validator("window")
    @classmethod
    def _odd(cls, window: int) -> int:
        if window % 2 == 0:
            raise ValueError(f"window = {window} is even. Take {window - 1} or {window + 1}.")
        return window


__all__ = ["LOCAL_METHODS", "Method", "ThresholdOptions"]
