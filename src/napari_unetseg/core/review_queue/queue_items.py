"""What a queue goes through: objects, places where one may be missed, and windows."""

from dataclasses import dataclass
from typing import Literal

from napari_unetseg.core.corrections.locked_pixels import Box

Kind = Literal["object", "place", "window"]

Verdict = Literal["", "accepted", "fixed", "rejected", "gone"]
"""What became of an item: nothing yet, right, mended, deleted, or no longer there."""

JUDGED = ("accepted", "fixed", "rejected", "gone")


@dataclass(frozen=True)
class Item:
    """One thing to look at.

    Parameters
    ----------
    kind
        An object; a place outside of all objects, where the model half sees one; a window, to
        look at everything in it.
    low, high
        First pixel of its box and the one after its last, along each axis of the labels.
    number
        Id of an object.
    pixels
        Size of an object.
    score
        From 0 to 1, how much is likely to be wrong with it.
    why
        What the score is made of, in words for people.
    """

    kind: Kind
    low: tuple[int, ...]
    high: tuple[int, ...]
    number: int = 0
    pixels: int = 0
    score: float = 0.0
    why: str = ""

    @property
    def box(self) -> Box:
        """Its box, as slices."""
        return tuple(slice(a, b) for a, b in zip(self.low, self.high, strict=True))

    @property
    def centre(self) -> tuple[float, ...]:
        """The middle of its box, in pixels."""
        return tuple((a + b - 1) / 2 for a, b in zip(self.low, self.high, strict=True))

    @property
    def who(self) -> tuple[object, ...]:
        """What tells it from all others, also in another queue."""
        return (self.kind, self.number, self.low if self.kind != "object" else ())


__all__ = ["JUDGED", "Item", "Kind", "Verdict"]
