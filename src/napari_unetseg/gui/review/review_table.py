"""The table of a review: one row per object, worst first."""

from collections.abc import Sequence

import numpy as np

from napari_unetseg.core.scoring.review_objects import HIT, INVENTED, KINDS, MISSED, Review
from napari_unetseg.gui.shared.object_rows import ObjectColumn, ObjectTable

COLOURS = {HIT: "#56b4e9", INVENTED: "#f0e442", MISSED: "#d55e00"}
"""The three of Okabe and Ito's colours that are most distinct for colour-blind eyes."""


class ReviewTable(ObjectTable):
    """A table of the objects of a review."""

    def show_review(self, review: Review | None) -> None:
        """Show `review`, worst first, or nothing."""
        self.show_columns([] if review is None else _columns(review))


def _columns(review: Review) -> Sequence[ObjectColumn]:
    kinds, centres = review.kind, review.spots.centre
    return [
        ObjectColumn(
            "Match",
            "Matched: in both. Missed: only in the truth. False positive: only in the prediction.",
            -kinds.astype(np.int64),
            lambda at: KINDS[int(kinds[at])],
            colour=lambda at: COLOURS[int(kinds[at])],
            words=True,
        ),
        ObjectColumn(
            "Id",
            "Id of the true object; of a false positive, its id in the prediction.",
            review.label,
            lambda at: str(review.label[at]),
        ),
        ObjectColumn(
            "IoU",
            "Intersection over union with its match, or else with the closest object.",
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
