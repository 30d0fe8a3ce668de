"""Reading of PNG, JPEG, BMP and GIF pictures, as images and as labels."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image

_PNG = b"\x89PNG"
_SCALED_BY = {2: 85, 4: 17}
"""Factor by which pillow multiplies grey values of 2 and of 4 bits."""


def read_picture(path: Path, axes: str | None = None) -> Image:
    """Read a common picture format; several frames become the Z axis.

    Numbers are those in the file, of up to 16 bits. The colours of a palette are looked up; alpha
    is no intensity and is left out.
    """
    import imageio.v3 as imageio

    depth, samples = _png_layout(path)
    if depth == 16 and samples > 1:
        # Pillow has no type for these and keeps 8 bits.
        from imagecodecs import png_decode

        data: NDArray[Any] = png_decode(path.read_bytes())
    else:
        with _pillow_limits():
            data = imageio.imread(path, plugin="pillow")
        if samples == 1 and depth in _SCALED_BY:
            data = data // np.uint8(_SCALED_BY[depth])
    return _image_of(data, axes)


def read_indices(path: Path) -> Image | None:
    """Read the indices of a picture of one frame with a palette; None for any other picture."""
    import PIL.Image

    with _pillow_limits(), PIL.Image.open(path) as picture:
        if picture.mode != "P" or getattr(picture, "n_frames", 1) > 1:
            return None
        return Image(np.array(picture), "YX")


def is_jpeg(path: Path) -> bool:
    """Return whether a file is a JPEG, by its content."""
    with path.open("rb") as file:
        return file.read(3) == b"\xff\xd8\xff"


def _image_of(data: NDArray[Any], axes: str | None) -> Image:
    samples = data.shape[-1] if data.ndim > 2 and data.shape[-1] <= 4 else 0
    if samples == 2 and axes is None:
        data, samples = data[..., 0], 0
    guessed = {2: "YX", 3: "YXC" if samples else "ZYX", 4: "ZYXC"}.get(data.ndim)
    return Image.of(data, axes or guessed, rgb=samples in (3, 4) and axes is None)


def _png_layout(path: Path) -> tuple[int, int]:
    """Return the bits and the samples of a pixel in a PNG, without palette; zeros for others."""
    with path.open("rb") as file:
        head = file.read(26)
    if len(head) < 26 or not head.startswith(_PNG):
        return 0, 0
    return head[24], {0: 1, 2: 3, 4: 2, 6: 4}.get(head[25], 0)


@contextmanager
def _pillow_limits() -> Iterator[None]:
    """Allow large pictures: the limit protects servers; here the user chose the file."""
    from PIL.Image import DecompressionBombError, DecompressionBombWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DecompressionBombWarning)
        try:
            yield
        except DecompressionBombError as error:
            raise InputError("the picture is too large for its format; save it as TIFF") from error


__all__ = ["is_jpeg", "read_indices", "read_picture"]
