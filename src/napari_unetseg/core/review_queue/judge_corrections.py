"""Count the true objects behind a corrected object or window."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.corrections.locked_pixels import Box, PixelSet
from napari_unetseg.core.review_queue.label_snapshots import surroundings, unpack_labels
from napari_unetseg.core.review_queue.queue_items import Item

Array = NDArray[Any]

_MOSTLY = 0.5


def count_corrected(item: Item, labels: Any, locked: PixelSet) -> float | None:
    """Count the true objects behind an item of a random sample, from all corrections so far.

    Parameters
    ----------
    item
        An object, or a window, for which the missed objects are counted.
    labels
        All labels as they are now, an array or lazy.
    locked
        Pixels drawn, erased or approved by hand: changes of others are those of a run.

    Returns
    -------
    float or None
        None if it was not corrected since the queue was made, whichever item was on screen.
    """
    around = surroundings(item, labels.shape)
    by_hand = locked.inside(around)
    if not item.before or not by_hand.any():
        return None
    before = unpack_labels(item.before, around)
    after = np.where(by_hand, np.asarray(labels[around]), before)
    if item.kind == "object":
        own = (before == item.number) | (after == item.number)
        changed = (before != after) & own
        return count_true_objects(before, after, item.number) if changed.any() else None
    return count_drawn_objects(before, after, window_within(item, around)) or None


def window_within(item: Item, around: Box) -> Box:
    """Return the box of an item relative to the start of its surroundings."""
    return tuple(
        slice(a.start - b.start, a.stop - b.start) for a, b in zip(item.box, around, strict=True)
    )


def count_true_objects(before: Array, after: Array, number: int) -> float:
    """Count the true objects that a predicted object stood for, from its correction.

    Parameters
    ----------
    before, after
        Labels around the object, before and after the correction.
    number
        The object's id before the correction.

    Returns
    -------
    float
        1 if it is still one object, with any outline; 0 if it was deleted; n if it was split into
        n; 1 / n if it was one of n that were merged.
    """
    old = before == number
    count = 0.0
    for new in _ids(after[old]):
        now = after == new
        shared = np.count_nonzero(now & old)
        inside = shared > _MOSTLY * np.count_nonzero(now)
        if inside or shared > _MOSTLY * np.count_nonzero(old):
            count += 1 / max(_count_merged(before, now), 1)
    return count


def count_drawn_objects(before: Array, after: Array, window: Box) -> int:
    """Count the objects drawn on former background whose centre lies in a window.

    Parameters
    ----------
    before, after
        Labels of the window and around it, before and after the correction.
    window
        The window, as slices of these labels.
    """
    fresh = set(_ids(after[before == 0])) - set(_ids(before))
    return sum(_is_drawn(before, after == number, window) for number in fresh)


def _is_drawn(before: Array, now: NDArray[np.bool_], window: Box) -> bool:
    if np.count_nonzero(before[now]) > _MOSTLY * np.count_nonzero(now):
        return False
    middle = [float(axis.mean()) for axis in np.nonzero(now)]
    ends = zip(middle, window, strict=True)
    return all(part.start - 0.5 <= at < part.stop - 0.5 for at, part in ends)


def _count_merged(before: Array, now: NDArray[np.bool_]) -> int:
    """Count the old objects whose larger part lies in one new object."""
    count = 0
    for number in _ids(before[now]):
        old = before == number
        count += bool(np.count_nonzero(now & old) > _MOSTLY * np.count_nonzero(old))
    return count


def _ids(pixels: Array) -> list[int]:
    return [int(number) for number in np.unique(pixels) if number]


__all__ = ["count_corrected", "count_drawn_objects", "count_true_objects", "window_within"]
