"""Define the options of a review queue."""

from typing import Literal

from napari_unetseg.core.options import Options, option

Order = Literal["unsure first", "random sample"]

Measure = Literal["all", "entropy", "margin", "views", "other labels", "shape"]


class QueueOptions(Options):
    """Set the order and length of a review queue."""

    order: Order = option(
        "unsure first",
        "Order",
        "Unsure first: the items most likely to be wrong. Random sample: randomly drawn objects "
        "and windows, to estimate the true number of objects with a confidence interval.",
    )
    labels_are: Literal["objects", "classes"] = option(
        "objects",
        "Labels are",
        "Objects: every object has its own number, and the queue lists objects and places where "
        "one may be missed. Classes: the queue lists windows.",
        advanced=True,
    )
    by: Measure = option(
        "all",
        "Unsure by",
        "Entropy or margin: of the model's probabilities. Views: agreement with predictions of "
        "the mirrored and transposed image and with other decoding options. Other labels: "
        "agreement with their objects. Shape: how unusual the size and shape of an object are. "
        "All: the mean of those available.",
        when={"order": ("unsure first",)},
    )
    views: bool = option(
        True,
        "Mirror and turn",
        "Also predict the mirrored and transposed image: four times slower, finds more errors.",
        when={"order": ("unsure first",), "by": ("all", "entropy", "margin")},
    )
    diversity: float = option(
        0.3,
        "Diversity",
        "How far items near or similar to the previous ones are moved back; 0: not at all.",
        when={"order": ("unsure first",)},
        ge=0.0,
        le=1.0,
        step=0.05,
        slider=True,
    )
    n: int = option(100, "Items", "Maximum number of items.", ge=1, le=2000, step=10)
    per: Literal["stack", "plane"] = option(
        "stack",
        "Objects per",
        "Stack: objects continue through z. Plane: every plane was labelled separately, so an id "
        "is a different object in each plane.",
    )
    enough: float = option(
        0.1,
        "Enough below",
        "The queue suggests stopping when less than this share of the last 20 items had to be "
        "changed.",
        when={"order": ("unsure first",)},
        ge=0.01,
        le=0.5,
        step=0.01,
        advanced=True,
    )
    seed: int = option(
        0,
        "Draw",
        "Seed of the random sample: another number draws another sample.",
        when={"order": ("random sample",)},
        ge=0,
        le=10**6,
        advanced=True,
    )


__all__ = ["Measure", "Order", "QueueOptions"]
