"""Images larger than memory: which they are, and what comes of predicting one.

Apart from `slide`, which predicts them and loads all that takes: a dock opens without it.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unetseg.core.compute.memory_limit import allowed
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import What

_AT_ONCE_BYTES = 40
"""Memory of a pixel that is predicted at once: the image, what is said of it, labels."""


@dataclass(frozen=True, eq=False)
class Written:
    """What came of a large image: the file, its levels, and how many objects are in it."""

    path: Path
    what: What
    levels: list[Any]
    n_objects: int | None


def is_larger_than_memory(image: Image) -> bool:
    """Whether an image is read when asked for, and would not fit in memory with its result."""
    return image.lazy and math.prod(image.shape) * _AT_ONCE_BYTES > allowed()


__all__ = ["Written", "is_larger_than_memory"]
