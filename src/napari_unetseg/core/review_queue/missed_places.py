"""Find places in the background where an object may have been missed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.review_queue.queue_items import Item

_FOREGROUND = 0.3
_SMALLEST, _THINNEST = 0.15, 0.1


def missed_places(
    labels: NDArray[Any],
    foreground: NDArray[np.float32],
    typical: float,
    locked: PixelSet,
    frame_axes: int = 0,
) -> list[Item]:
    """Find connected components of the background that may be missed objects.

    Parameters
    ----------
    labels
        Ids; 0 is background.
    foreground
        (*labels), probability that a pixel belongs to an object.
    typical
        Size in pixels of a typical object: much smaller or thinner components, such as the rim of
        an object, are left out.
    locked
        Pixels erased or approved by hand: components with some are left out.
    """
    items: list[Item] = []
    for index in np.ndindex(labels.shape[:frame_axes]):
        items += _in_frame(labels[index], foreground[index], typical, locked, index)
    return items


def _in_frame(
    labels: NDArray[Any],
    foreground: NDArray[np.float32],
    typical: float,
    locked: PixelSet,
    index: tuple[int, ...],
) -> list[Item]:
    from scipy import ndimage

    components, n = ndimage.label((labels == 0) & (foreground > _FOREGROUND))
    if not n:
        return []
    ndim = labels.ndim
    numbers = np.arange(1, n + 1)
    sizes = np.bincount(components.ravel(), minlength=n + 1)[1:]
    means = ndimage.mean(foreground, components, numbers)
    # The rim of an object may have as many pixels as a small object, but it is thinner.
    thick = _THINNEST * typical ** (1 / ndim)
    items = []
    for number, box in enumerate(ndimage.find_objects(components), start=1):
        if sizes[number - 1] < _SMALLEST * typical:
            continue
        component = np.pad(components[box] == number, 1)
        if ndimage.distance_transform_edt(component).max() <= thick:
            continue
        low = (*index, *(part.start for part in box))
        high = (*(at + 1 for at in index), *(part.stop for part in box))
        locked_inside = locked.inside(tuple(map(slice, low, high))).reshape(components[box].shape)
        if (locked_inside & (components[box] == number)).any():
            continue
        score = float(means[number - 1])
        size = int(sizes[number - 1])
        items.append(Item("place", low, high, 0, size, round(score, 4), f"object {score:.2f}"))
    return items


__all__ = ["missed_places"]
