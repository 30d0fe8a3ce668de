"""The score of a model on its validation set, with the amount of labels it rests on."""

import re
from collections.abc import Mapping
from typing import Any

LEAST = 50
"""Smallest number of held-out pixels of a class for which a score is shown."""

LEAST_STROKES = 2
"""Smallest number of held-out strokes of a class for which a score is shown: neighbouring pixels of
a stroke are nearly equal, so a single one is right or wrong as a whole."""

TOO_LITTLE = "too little held out for a score"
"""Shown in place of a score on fewer pixels than `LEAST`, or fewer strokes."""

_LONGEST = 60
_SAME_IMAGES = re.compile(r"\b(tile|stroke)s?$")


def is_shown(held_out_least: float | None, held_out_strokes: float | None = None) -> bool:
    """Return whether a score is shown that rests on so many pixels and strokes of a class.

    Parameters
    ----------
    held_out_least, held_out_strokes
        Pixels and strokes of the class with the fewest; None for an unknown number, or where the
        labels are no strokes.
    """
    enough = held_out_least is None or held_out_least >= LEAST
    return enough and (held_out_strokes is None or held_out_strokes >= LEAST_STROKES)


def shown_dice(scores: Mapping[str, Any]) -> float | None:
    """Return the Dice to show of a model's scores; None without one or on too little."""
    amount = (_number(scores, name) for name in ("held_out_least", "held_out_strokes"))
    return _number(scores, "dice") if is_shown(*amount) else None


def describe_score(scores: Mapping[str, Any]) -> str:
    """Describe a validation score in a sentence or two; empty without one.

    Parameters
    ----------
    scores
        ``dice``, and ``ap50`` for objects; ``held_out_pixels``, and ``held_out_least`` of them, of
        the class with the fewest; ``held_out``, such as ``"3 strokes"``, and ``held_out_strokes``
        of the class with the fewest; ``chosen_from``, the number of validations of which the model
        is the best, 0 when it was not chosen by them; and ``chosen_apart``, whether the Dice leaves
        out what was gained by that choice. All but ``dice`` may be missing. They may come from a
        file: anything but numbers is ignored.
    """
    dice, ap50 = _number(scores, "dice"), _number(scores, "ap50")
    if dice is None:
        return ""
    pixels, least = _number(scores, "held_out_pixels"), _number(scores, "held_out_least")
    held_out = scores.get("held_out")
    places = f" in {held_out[:_LONGEST]}" if isinstance(held_out, str) else ""
    if shown_dice(scores) is None:
        amount = f"{pixels:,} pixels{places}, " if pixels else ""
        few = f"{least} pixels" if not is_shown(least) else "one stroke"
        return (
            f"Too little was held out for a score: {amount}only {few} of a class. Look at the "
            "picture, and annotate more to get one."
        )
    objects = "" if ap50 is None else f", AP@0.5 {ap50:.3f}"
    where = f"{pixels:,} held-out pixels{places}" if pixels else "held-out labels"
    chosen = _number(scores, "chosen_from") or 0
    elsewhere = " New images can differ." if _SAME_IMAGES.search(places) else ""
    if chosen < 2:
        return f"Dice {dice:.3f}{objects} on {where}.{elsewhere}"
    if scores.get("chosen_apart") is True:
        return (
            f"Dice {dice:.3f}{objects} on {where}, without what the choice of the best of {chosen} "
            f"validations gained.{elsewhere}"
        )
    return (
        f"Dice {dice:.3f}{objects} on {where}, the best of {chosen} validations on them: expect "
        "less on new images."
    )


def _number(scores: Mapping[str, Any], name: str) -> float | None:
    value = scores.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


__all__ = [
    "LEAST",
    "LEAST_STROKES",
    "TOO_LITTLE",
    "describe_score",
    "is_shown",
    "shown_dice",
]
