"""Define the items of a queue: objects, places where one may be missed, and windows."""

from dataclasses import dataclass
from typing import Literal

from napari_unetseg.core.corrections.locked_pixels import Box

Kind = Literal["object", "place", "window"]

Verdict = Literal["", "accepted", "fixed", "rejected", "gone"]
"""Review result of an item: none yet, correct, corrected, deleted, or no longer there."""

JUDGED = ("accepted", "fixed", "rejected", "gone")


@dataclass(frozen=True)
class Item:
    """Describe one item to review.

    Parameters
    ----------
    kind
        An object; a place in the background where the model is undecided; or a window in which
        everything is reviewed.
    low, high
        Start (inclusive) and stop (exclusive) of its bounding box, along each label axis.
    number
        Id of an object.
    pixels
        Size of an object.
    score
        How likely it is wrong, from 0 to 1.
    why
        The parts of the score, as text.
    before
        The labels around it when the queue was made, for an item of a random sample; see
        `napari_unetseg.core.review_queue.label_snapshots`.
    """

    kind: Kind
    low: tuple[int, ...]
    high: tuple[int, ...]
    number: int = 0
    pixels: int = 0
    score: float = 0.0
    why: str = ""
    before: str = ""

    @property
    def box(self) -> Box:
        """Its bounding box, as slices."""
        return tuple(slice(a, b) for a, b in zip(self.low, self.high, strict=True))

    @property
    def centre(self) -> tuple[float, ...]:
        """The centre of its bounding box, in pixels."""
        return tuple((a + b - 1) / 2 for a, b in zip(self.low, self.high, strict=True))

    @property
    def key(self) -> tuple[object, ...]:
        """The key that identifies it, also in another queue."""
        return (self.kind, self.number, self.low if self.kind != "object" else ())


__all__ = ["JUDGED", "Item", "Kind", "Verdict"]
