"""What a review queue is made of."""

from typing import Literal

from napari_unetseg.core.options import Options, option

Order = Literal["unsure first", "random sample"]

Measure = Literal["all", "entropy", "margin", "views", "other labels", "shape"]


class QueueOptions(Options):
    """What comes first in a review queue, and how much comes."""

    order: Order = option(
        "unsure first",
        "Order",
        "Unsure first: where looking changes most. Random sample: objects and windows drawn by "
        "lot, from which the true number of objects follows with an error bar.",
    )
    labels_are: Literal["objects", "classes"] = option(
        "objects",
        "Labels are",
        "Objects: every object has its own number, and the queue goes through objects and places "
        "where one may be missed. Classes: it goes through windows.",
        advanced=True,
    )
    by: Measure = option(
        "all",
        "Unsure by",
        "Entropy or margin of the model's probabilities; views: whether it finds the same in "
        "mirrored and turned images, and when objects are made otherwise; other labels: whether "
        "they have the same objects; shape: how unlike the others an object is. All: the mean of "
        "what there is.",
        when={"order": ("unsure first",)},
    )
    views: bool = option(
        True,
        "Mirror and turn",
        "Ask the model about mirrored and turned images too: four times slower, finds more.",
        when={"order": ("unsure first",), "by": ("all", "entropy", "margin")},
    )
    diversity: float = option(
        0.3,
        "Diversity",
        "How much what lies near or looks like what came just before has to wait: 0 not at all.",
        when={"order": ("unsure first",)},
        ge=0.0,
        le=1.0,
        step=0.05,
        slider=True,
    )
    n: int = option(100, "Items", "How many to go through at most.", ge=1, le=2000, step=10)
    per: Literal["stack", "plane"] = option(
        "stack",
        "Objects per",
        "Stack: objects continue through z. Plane: every plane was labelled by itself, so an id is "
        "another object in each.",
    )
    enough: float = option(
        0.1,
        "Enough below",
        "The queue says that little is to be gained when less than this share of the last 20 "
        "items had to be changed.",
        when={"order": ("unsure first",)},
        ge=0.01,
        le=0.5,
        step=0.01,
        advanced=True,
    )
    seed: int = option(
        0,
        "Draw",
        "Another number draws another random sample.",
        when={"order": ("random sample",)},
        ge=0,
        le=10**6,
        advanced=True,
    )


__all__ = ["Measure", "Order", "QueueOptions"]
