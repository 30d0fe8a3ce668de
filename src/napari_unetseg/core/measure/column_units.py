"""Names of columns: every one that has a unit ends in it, in plain letters."""

from collections.abc import Iterable
from dataclasses import replace

from napari_unetseg.core.image import Image

# Spreadsheets open files without asking for their encoding, so names keep to ASCII.
_PLAIN = {"µm": "um", "Å": "angstrom", "pixel": "px"}
_UNKNOWN = "units"


def unit_suffix(image: Image) -> str:
    """Return how the columns of lengths in an image end: ``um``, ``nm``, ``px``...

    Where the pixel has a size but its unit is not known, it is ``units``.

    Examples
    --------
    >>> import numpy as np
    >>> unit_suffix(Image.of(np.zeros((2, 2)), spacing=(0.5, 0.5), unit="µm"))
    'um'
    """
    if not image.calibrated:
        return "px" if all(step == 1 for step in image.spacing) else _UNKNOWN
    name = _PLAIN.get(image.unit, image.unit)
    plain = "".join(c if c.isascii() and c.isalnum() else "_" for c in name).strip("_")
    return plain or _UNKNOWN


def calibrated_by(labels: Image, images: Iterable[Image]) -> Image:
    """Return labels with the pixel size of the first image that knows it, if they do not.

    Labels that other programs saved have usually lost it.
    """
    if not labels.calibrated:
        for image in images:
            if image.calibrated and image.spatial_axes == labels.spatial_axes:
                return replace(labels, spacing=image.spacing, unit=image.unit)
    return labels


__all__ = ["calibrated_by", "unit_suffix"]
