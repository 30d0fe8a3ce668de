"""The score of a model on its validation set, with the amount of labels it rests on."""

from collections.abc import Mapping
from typing import Any

LEAST = 50
"""Smallest number of held-out pixels of a class for which a score is shown."""

TOO_LITTLE = "too little held out for a score"
"""Shown in place of a score on fewer pixels than `LEAST`."""

_LONGEST = 60


def is_shown(held_out_least: float | None) -> bool:
    """Return whether a score is shown that rests on so many pixels of the smallest class.

    True for None, an unknown number.
    """
    return held_out_least is None or held_out_least >= LEAST


def shown_dice(scores: Mapping[str, Any]) -> float | None:
    """Return the Dice to show of a model's scores; None without one or on too little."""
    return _number(scores, "dice") if is_shown(_number(scores, "held_out_least")) else None


def describe_score(scores: Mapping[str, Any]) -> str:
    """Describe a validation score in a sentence; empty without one.

    Parameters
    ----------
    scores
        ``dice``, and ``ap50`` for objects; ``held_out_pixels``, and ``held_out_least`` of them, of
        the class with the fewest; ``held_out``, such as ``"3 strokes"``; and ``chosen_from``, the
        number of validations of which the model is the best, 0 when it was not chosen by them. All
        but ``dice`` may be missing. They may come from a file: anything but numbers is ignored.
    """
    dice, ap50 = _number(scores, "dice"), _number(scores, "ap50")
    if dice is None:
        return ""
    pixels, least = _number(scores, "held_out_pixels"), _number(scores, "held_out_least")
    held_out = scores.get("held_out")
    places = f" in {held_out[:_LONGEST]}" if isinstance(held_out, str) else ""
    if not is_shown(least):
        amount = f"{pixels:,} pixels{places}, " if pixels else ""
        return (
            f"Too little was held out for a score: {amount}only {least} of a class. Annotate more "
            "to get one."
        )
    objects = "" if ap50 is None else f", AP@0.5 {ap50:.3f}"
    where = f"{pixels:,} held-out pixels{places}" if pixels else "held-out labels"
    chosen = _number(scores, "chosen_from") or 0
    by_choice = (
        f", the best of {chosen} validations on them, so a little optimistic" if chosen > 1 else ""
    )
    return f"Dice {dice:.3f}{objects} on {where}{by_choice}."


def _number(scores: Mapping[str, Any], name: str) -> float | None:
    value = scores.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


__all__ = ["LEAST", "TOO_LITTLE", "describe_score", "is_shown", "shown_dice"]
