"""The image of a run: which file, and how it is known to be the same one later."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_image
from napari_unetseg.core.io.ngff import ordered

_SAMPLED, _SIDE = 16, 64


@dataclass(frozen=True)
class Source:
    """An image file, as it is opened anywhere.

    Parameters
    ----------
    path
        Absolute.
    axes
        When the file does not say.
    level
        Which resolution.
    """

    path: str
    axes: str = ""
    level: int = 0

    def open(self) -> Image:
        """Open it, its axes in the order TCZYX.

        Raises
        ------
        InputError
            As `read_image`.
        """
        return ordered(read_image(self.path, self.axes or None, level=self.level))

    def identity(self) -> str:
        """Return a word that is another one once the file has changed."""
        return _hash({**asdict(self), "files": _files(Path(self.path))})


def identity_of(image: Image) -> str:
    """Return a word for an image that is no file, by its sides and some of its pixels."""
    digest = hashlib.sha256(f"{image.axes} {image.shape} {image.dtype}".encode())
    planes = image.indices()
    for index in planes[:: -(-len(planes) // _SAMPLED)]:
        plane = image.data[image.block_slices(index)]
        middle = tuple(slice(max(0, n // 2 - _SIDE), n // 2 + _SIDE) for n in plane.shape)
        digest.update(np.ascontiguousarray(plane[middle]).tobytes())
    return digest.hexdigest()


def _files(path: Path) -> list[Any]:
    """List name, size and time of a file, or of all files of a folder."""
    if not path.is_dir():
        found = path.stat()
        return [found.st_size, found.st_mtime_ns]
    every = []
    for place, _, names in os.walk(path):
        for name in names:
            stat = os.stat(os.path.join(place, name))
            inner = os.path.relpath(os.path.join(place, name), path)
            every.append([inner.replace(os.sep, "/"), stat.st_size, stat.st_mtime_ns])
    return sorted(every)


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


__all__ = ["Source", "identity_of"]
