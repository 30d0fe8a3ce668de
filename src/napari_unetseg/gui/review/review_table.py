"""The table of a review: one row per object, worst first."""

from collections.abc import Sequence

import numpy as np
from qtpy.QtCore import QSize
from qtpy.QtWidgets import QHeaderView

from napari_unetseg.core.scoring.review_objects import HIT, INVENTED, KINDS, MISSED, Review
from napari_unetseg.gui.shared.object_rows import ObjectColumn, ObjectTable

COLOURS = {HIT: "#56b4e9", INVENTED: "#f0e442", MISSED: "#d55e00"}
"""The three of Okabe and Ito's colours that are most distinct for colour-blind eyes."""


_SQUARE = 8
"""Side of the square of a colour, in pixels."""


class ReviewTable(ObjectTable):
    """A table of the objects of a review, as narrow as a dock."""

    def __init__(self) -> None:
        super().__init__()
        # The square of a colour; an icon is larger.
        self.setIconSize(QSize(_SQUARE, _SQUARE))
        across = self.horizontalHeader()
        if across is not None:
            across.setStretchLastSection(False)

    def show_review(self, review: Review | None) -> None:
        """Show `review`, worst first, or nothing."""
        self.show_columns([] if review is None else _columns(review))
        across = self.horizontalHeader()
        if across is not None and across.count():
            across.setSectionResizeMode(across.count() - 1, QHeaderView.ResizeMode.Stretch)


def _columns(review: Review) -> Sequence[ObjectColumn]:
    kinds = review.kind
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
            "Id of the true object; of a false positive, its id in the prediction. The tooltip of "
            "a row has its place, and its match or the closest object.",
            review.label,
            lambda at: str(review.label[at]),
            more=lambda at: _place(review, at),
        ),
        ObjectColumn(
            "IoU",
            "Intersection over union with its match, or else with the closest object.",
            review.iou,
            lambda at: f"{review.iou[at]:.2f}",
        ),
        ObjectColumn("Size", "In pixels.", review.pixels, lambda at: f"{review.pixels[at]:,}"),
    ]


def _place(review: Review, at: int) -> str:
    """Return where an object is, and which of the other layer is its match or the closest."""
    centre = ", ".join(f"{value:.0f}" for value in review.spots.centre[at])
    partner = review.partner[at]
    return f"At {centre}" + (f"; object {partner} in the other layer" if partner else "")


__all__ = ["COLOURS", "ReviewTable"]
