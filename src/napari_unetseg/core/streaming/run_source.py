"""The image of a run: which file, and how it is known to be the same one later."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_image
from napari_unetseg.core.io.ome_zarr_files import ordered
from napari_unetseg.core.recipe.finished_log import identity_of_image as file_identity

_SAMPLED, _SIDE = 16, 64


@dataclass(frozen=True)
class RunSource:
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
        return f"{file_identity(Path(self.path))}-{self.axes}-{self.level}"


def identity_of_source(image: Image) -> str:
    """Return a word for an image that is no file, by its sides and some of its pixels."""
    digest = hashlib.sha256(f"{image.axes} {image.shape} {image.dtype}".encode())
    planes = image.indices()
    for index in planes[:: -(-len(planes) // _SAMPLED)]:
        plane = image.data[image.block_slices(index)]
        middle = tuple(slice(max(0, n // 2 - _SIDE), n // 2 + _SIDE) for n in plane.shape)
        digest.update(np.ascontiguousarray(plane[middle]).tobytes())
    return digest.hexdigest()


__all__ = ["RunSource", "identity_of_source"]
