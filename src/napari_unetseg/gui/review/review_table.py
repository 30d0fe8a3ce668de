"""The table of a review: one row an object, the worst first."""

from collections.abc import Sequence

import numpy as np

from napari_unetseg.core.scoring.review_objects import HIT, INVENTED, KINDS, MISSED, Review
from napari_unetseg.gui.shared.object_rows import ObjectColumn, ObjectTable

COLOURS = {HIT: "#56b4e9", INVENTED: "#f0e442", MISSED: "#d55e00"}
"""Of Okabe and Ito's colours the three that every kind of colour vision tells apart best."""


class ReviewTable(ObjectTable):
    """The objects of a review."""

    def show_review(self, review: Review | None) -> None:
        """Show `review`, the worst first, or nothing."""
        self.show_columns([] if review is None else _columns(review))


def _columns(review: Review) -> Sequence[ObjectColumn]:
    kinds, centres = review.kind, review.spots.centre
    return [
        ObjectColumn(
            "Match",
            "Hit: in both. Missed: in the truth alone. Invented: in the prediction alone.",
            -kinds.astype(np.int64),
            lambda at: KINDS[int(kinds[at])],
            colour=lambda at: COLOURS[int(kinds[at])],
            words=True,
        ),
        ObjectColumn(
            "Id",
            "Of the true object; of an invented one, in the prediction.",
            review.label,
            lambda at: str(review.label[at]),
        ),
        ObjectColumn(
            "IoU",
            "Intersection over union with its match, or with the closest object.",
            review.iou,
            lambda at: f"{review.iou[at]:.2f}",
        ),
        ObjectColumn("Size", "In pixels.", review.pixels, lambda at: f"{review.pixels[at]:,}"),
        ObjectColumn(
            "Centre",
            "In pixels, in the order of the axes.",
            centres,
            lambda at: ", ".join(f"{value:.0f}" for value in centres[at]),
        ),
        ObjectColumn(
            "With",
            "Id of its match, or of the closest object, in the other layer.",
            review.partner,
            lambda at: str(review.partner[at]) if review.partner[at] else "",
        ),
    ]


__all__ = ["COLOURS", "ReviewTable"]
