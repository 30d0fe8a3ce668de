"""Options of the measurement."""

from typing import Literal

from napari_unetseg.core.options import Options, option


class MeasureOptions(Options):
    """Options for measuring objects, in addition to size, position, ellipse and intensity."""

    per: Literal["stack", "plane"] = option(
        "stack",
        "Objects per",
        "Stack: objects continue through z and are measured as volumes. Plane: each plane is "
        "measured separately, with a row for each object in it. Times of a series are always "
        "measured separately.",
    )
    outline: bool = option(
        True,
        "Outline",
        "Measure perimeter and circularity; for volumes, surface and sphericity.",
    )
    hull: bool = option(
        False,
        "Hull",
        "Measure solidity (the fraction of the convex hull that is filled), and the longest and "
        "shortest Feret diameter; for volumes only the longest. Slower for volumes.",
    )
    skeleton: bool = option(
        False,
        "Skeleton",
        "Measure the length of the skeleton and its numbers of branches, end points and branch "
        "points, for neurites, vessels and filaments. Slower.",
    )
    spurs: float = option(
        0.0,
        "Ignore spurs up to",
        "End branches of the skeleton up to this length are removed before counting, since rough "
        "outlines cause short spurs. In the unit of the measured lengths. Start with half the "
        "width of a process.",
        ge=0,
        step=0.5,
        when={"skeleton": (True,)},
    )
    median: bool = option(
        False,
        "Median",
        "Also measure the median intensity, which is robust against a few bright pixels. Keeps a "
        "stack in memory.",
    )


__all__ = ["MeasureOptions"]
