"""What a correction says of the objects that were there before."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.corrections.locked_pixels import Box

Array = NDArray[Any]

_MOSTLY = 0.5


def worth_of(before: Array, after: Array, number: int) -> float:
    """Return how many true objects an object stood for, from what a person made of it.

    Parameters
    ----------
    before, after
        Labels around it, then and now.
    number
        Its id, then.

    Returns
    -------
    float
        1 when it is still one object, of whatever outline; 0 when it was deleted; n when it was
        divided into n; 1 / n when it was one of n that were merged.
    """
    old = before == number
    found = 0.0
    for new in _ids(after[old]):
        now = after == new
        shared = np.count_nonzero(now & old)
        inside = shared > _MOSTLY * np.count_nonzero(now)
        if inside or shared > _MOSTLY * np.count_nonzero(old):
            found += 1 / max(_swallowed(before, now), 1)
    return found


def drawn_in(before: Array, after: Array, window: Box) -> int:
    """Return how many objects were drawn on former background, with their middle in a window.

    Parameters
    ----------
    before, after
        Labels of the window and around it, then and now.
    window
        In these labels.
    """
    fresh = set(_ids(after[before == 0])) - set(_ids(before))
    return sum(_is_drawn(before, after == number, window) for number in fresh)


def _is_drawn(before: Array, now: NDArray[np.bool_], window: Box) -> bool:
    if np.count_nonzero(before[now]) > _MOSTLY * np.count_nonzero(now):
        return False
    middle = [float(axis.mean()) for axis in np.nonzero(now)]
    ends = zip(middle, window, strict=True)
    return all(part.start - 0.5 <= at < part.stop - 0.5 for at, part in ends)


def _swallowed(before: Array, now: NDArray[np.bool_]) -> int:
    """Return of how many former objects most lies in one of now."""
    found = 0
    for number in _ids(before[now]):
        old = before == number
        found += bool(np.count_nonzero(now & old) > _MOSTLY * np.count_nonzero(old))
    return found


def _ids(pixels: Array) -> list[int]:
    return [int(number) for number in np.unique(pixels) if number]


__all__ = ["drawn_in", "worth_of"]
