"""Open and identify the image of a run."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_image
from napari_unetseg.core.io.ome_zarr_files import ordered
from napari_unetseg.core.recipe.finished_log import file_identity

_SAMPLED, _SIDE = 16, 64


@dataclass(frozen=True)
class RunSource:
    """Describe an image file so that any process can open it.

    Parameters
    ----------
    path
        Absolute path.
    axes
        Axes, if the file does not store them.
    level
        Resolution level; 0 is the full resolution.
    scene
        Name or number of the image, in a file of several.
    """

    path: str
    axes: str = ""
    level: int = 0
    scene: str = ""

    def open(self) -> Image:
        """Open the image, its axes in the order TCZYX.

        Raises
        ------
        InputError
            As `read_image`.
        """
        return ordered(read_image(self.path, self.axes or None, level=self.level, scene=self.scene))

    def identity(self) -> str:
        """Return a key that changes when the file changes."""
        return f"{file_identity(Path(self.path))}-{self.axes}-{self.level}{self.scene}"


def image_identity(image: Image) -> str:
    """Return a hash of an image without a file: of its axes, shape, dtype and some pixels."""
    digest = hashlib.sha256(f"{image.axes} {image.shape} {image.dtype}".encode())
    planes = image.indices()
    for index in planes[:: -(-len(planes) // _SAMPLED)]:
        plane = image.data[image.block_slices(index)]
        middle = tuple(slice(max(0, n // 2 - _SIDE), n // 2 + _SIDE) for n in plane.shape)
        digest.update(np.ascontiguousarray(plane[middle]).tobytes())
    return digest.hexdigest()


__all__ = ["RunSource", "image_identity"]
