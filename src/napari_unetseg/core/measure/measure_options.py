"""What is measured of objects."""

from typing import Literal

from napari_unetseg.core.options import Options, option


class MeasureOptions(Options):
    """What is measured of objects besides size, place, ellipse and intensity."""

    per: Literal["stack", "plane"] = option(
        "stack",
        "Objects per",
        "Stack: objects continue through z and are measured as volumes. Plane: each plane is "
        "measured by itself, a row for each object in it. Times of a series are always apart.",
    )
    outline: bool = option(
        True,
        "Outline",
        "Perimeter and circularity; of volumes, surface and sphericity.",
    )
    hull: bool = option(
        False,
        "Hull",
        "Solidity (share of the convex hull that is filled), and the longest and shortest Feret "
        "diameter; of volumes only the longest. Takes longer on volumes.",
    )
    skeleton: bool = option(
        False,
        "Skeleton",
        "Length of the centre lines, their branches, ends and forks: for neurites, vessels, "
        "filaments. Takes longer.",
    )
    spurs: float = option(
        0.0,
        "Leave out spurs up to",
        "Ends of the skeleton that are no longer than this are dropped before counting: bumps on a "
        "rough outline grow short spurs. In the unit of lengths. Half the width of a process is "
        "a good start.",
        ge=0,
        step=0.5,
        when={"skeleton": (True,)},
    )
    median: bool = option(
        False,
        "Median",
        "Median intensity as well, which a few bright pixels do not move. Holds a stack in memory.",
    )


__all__ = ["MeasureOptions"]
