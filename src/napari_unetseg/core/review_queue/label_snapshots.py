"""Keep the labels around an item as they were when its queue was made, to count its corrections."""

import base64
import binascii
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.corrections.locked_pixels import Box
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.review_queue.queue_items import Item

_MOST = 4_000_000
"""Pixels up to which the surroundings are included; of larger items only the box is."""

_REACH = {"object": 1.0, "place": 1.0, "window": 0.25}
"""Surroundings on each side, in sides of the box. A window is about four objects wide."""

_DTYPE = np.dtype("<i8")


def surroundings(item: Item, shape: Sequence[int]) -> Box:
    """Return the box of an item and its neighbours, within labels of a shape."""
    sides = [b - a for a, b in zip(item.low, item.high, strict=True)]
    share = _REACH[item.kind]
    reach = [int(np.ceil(share * side)) if side > 1 else 0 for side in sides]
    if np.prod([side + 2.0 * r for side, r in zip(sides, reach, strict=True)]) > _MOST:
        reach = [0] * len(sides)
    return tuple(
        slice(max(a - r, 0), min(b + r, n))
        for a, b, r, n in zip(item.low, item.high, reach, shape, strict=True)
    )


def pack_labels(labels: NDArray[Any]) -> str:
    """Compress labels to text."""
    return base64.b64encode(zlib.compress(labels.astype(_DTYPE).tobytes())).decode("ascii")


def unpack_labels(packed: str, box: Box) -> NDArray[np.int64]:
    """Return the labels of a box from the output of `pack_labels`.

    Raises
    ------
    InputError
        When the text is damaged, or belongs to another box.
    """
    shape = [part.stop - part.start for part in box]
    size = int(np.prod(shape)) * _DTYPE.itemsize
    try:
        # One byte more than there should be is enough to tell that there are too many.
        content = zlib.decompressobj().decompress(base64.b64decode(packed), size + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise InputError("The saved review queue is damaged. Make a new one.") from error
    if len(content) != size:
        raise InputError("The saved review queue is damaged. Make a new one.")
    return np.frombuffer(content, _DTYPE).reshape(shape).astype(np.int64)


__all__ = ["pack_labels", "surroundings", "unpack_labels"]
