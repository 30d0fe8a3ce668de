"""Places outside of all objects where one may be missed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.review_queue.queue_items import Item

_HALF_SEEN = 0.3
_SMALLEST, _THINNEST = 0.15, 0.1


def missed_places(
    labels: NDArray[Any],
    foreground: NDArray[np.float32],
    typical: float,
    ink: PixelSet,
    frame_axes: int = 0,
) -> list[Item]:
    """Return the connected pieces of background that may be an object.

    Parameters
    ----------
    labels
        Ids; 0 is background.
    foreground
        (*labels): probability that a pixel belongs to an object.
    typical
        Pixels of a usual object: what is much smaller or thinner, such as the rim of an object, is
        no place.
    ink
        Where a hand erased or approved, nothing is missed.
    """
    found: list[Item] = []
    for index in np.ndindex(labels.shape[:frame_axes]):
        found += _in_frame(labels[index], foreground[index], typical, ink, index)
    return found


def _in_frame(
    labels: NDArray[Any],
    foreground: NDArray[np.float32],
    typical: float,
    ink: PixelSet,
    index: tuple[int, ...],
) -> list[Item]:
    from scipy import ndimage

    pieces, n = ndimage.label((labels == 0) & (foreground > _HALF_SEEN))
    if not n:
        return []
    ndim = labels.ndim
    numbers = np.arange(1, n + 1)
    sizes = np.bincount(pieces.ravel(), minlength=n + 1)[1:]
    means = ndimage.mean(foreground, pieces, numbers)
    # The rim of an object has as many pixels as a small object, but is nowhere so thick.
    thick = _THINNEST * typical ** (1 / ndim)
    found = []
    for number, box in enumerate(ndimage.find_objects(pieces), start=1):
        if sizes[number - 1] < _SMALLEST * typical:
            continue
        piece = np.pad(pieces[box] == number, 1)
        if ndimage.distance_transform_edt(piece).max() <= thick:
            continue
        low = (*index, *(part.start for part in box))
        high = (*(at + 1 for at in index), *(part.stop for part in box))
        inked = ink.inside(tuple(map(slice, low, high))).reshape(pieces[box].shape)
        if (inked & (pieces[box] == number)).any():
            continue
        score = float(means[number - 1])
        size = int(sizes[number - 1])
        found.append(Item("place", low, high, 0, size, round(score, 4), f"object {score:.2f}"))
    return found


__all__ = ["missed_places"]
