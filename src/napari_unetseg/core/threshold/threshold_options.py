"""How an image becomes a mask: the options of `napari_unetseg.core.threshold`."""

from typing import Literal

from pydantic import field_validator

from napari_unetseg.core.image import RgbChannel
from napari_unetseg.core.objects.linking import (
    Link,
    When,
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
"""Methods that compare each pixel with its neighbourhood: there is no value to drag."""

_OBJECTS: When = {"result": ("objects",)}


class ThresholdOptions(Options):
    """How an image becomes a mask."""

    method: Method = option(
        "otsu",
        "Method",
        "How the level is found. Otsu suits most images; li and triangle find few or faint "
        "objects; sauvola and gaussian compare each pixel with its surroundings; manual takes "
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
        "Upper level of hysteresis. Parts between the two levels count where they touch a part "
        "beyond both. Equal levels are replaced by those of Otsu's method for three classes.",
        when={"method": ("hysteresis",)},
        allow_inf_nan=False,
    )
    classes: int = option(
        3,
        "Classes",
        "How many classes of grey levels there are, background included.",
        when={"method": ("multiotsu",)},
        ge=2,
        le=8,
    )
    window: int = option(
        51,
        "Window",
        "Width in pixels of the neighbourhood a pixel is compared with, odd. Take about twice "
        "the width of an object.",
        when={"method": LOCAL_METHODS},
        ge=3,
        le=2001,
        step=2,
    )
    k: float = option(
        0.2,
        "Sauvola's k",
        "How far below the local mean the level lies where there is no contrast, as a share of "
        "it. 0.2 suits dark objects on a bright background; take -0.2 for bright ones on a dark "
        "background.",
        when={"method": ("sauvola",)},
        ge=-1.0,
        le=1.0,
        step=0.05,
    )
    offset: float = option(
        0.0,
        "Offset",
        "How far beyond the local mean a pixel must be, in the units of the image. Raise it "
        "against specks in the background.",
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
        "Raise it against noise.",
        ge=0.0,
        le=50.0,
        step=0.5,
    )
    min_size: int = option(
        0,
        "Smallest size",
        "Objects of fewer pixels are dropped.",
        ge=0,
        le=1_000_000_000,
    )
    fill_holes: bool = option(
        False, "Fill holes", "Close background that an object surrounds on all sides."
    )
    clear_border: bool = option(
        False, "Clear border", "Drop objects that the border of the image cuts off."
    )
    split: bool = option(
        False,
        "Split touching",
        "Divide objects at their waists. As classes, a line of background separates the parts.",
    )
    split_depth: float = option(
        SPLIT_DEPTH,
        "Waist",
        "How much narrower than the smaller of two objects their waist must be to be cut, as a "
        "share of its width. Lower it to cut more.",
        when={"split": (True,)},
        gt=0.0,
        lt=1.0,
        step=0.05,
        slider=True,
    )
    result: Literal["classes", "objects"] = option(
        "classes",
        "Result",
        "Classes: 1 on objects, or 1, 2, ... from multi-Otsu. Objects: every object its own "
        "number.",
        flag="as",
    )
    per: Literal["plane", "stack"] = option(
        "plane",
        "Level per",
        "Plane: every plane has its own level and its own objects. Stack: one level for all "
        "planes of a channel, and objects continue through z.",
    )
    link: Link = link_option(_OBJECTS)
    link_iou: float = link_iou_option(_OBJECTS)
    link_gap: int = link_gap_option(_OBJECTS)
    channel: RgbChannel = option(
        "luminance",
        "RGB channel",
        "What of a colour picture is compared.",
        advanced=True,
    )

    @field_validator("window")
    @classmethod
    def _odd(cls, window: int) -> int:
        if window % 2 == 0:
            raise ValueError(f"window = {window} is even. Take {window - 1} or {window + 1}.")
        return window


__all__ = ["LOCAL_METHODS", "Method", "ThresholdOptions"]
