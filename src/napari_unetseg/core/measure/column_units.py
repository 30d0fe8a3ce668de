"""Column names: a column with a unit ends in it, in plain letters."""

from collections.abc import Iterable
from dataclasses import replace

from napari_unetseg.core.image import Image

# Spreadsheets guess the encoding of a file, so names use ASCII only.
_PLAIN = {"µm": "um", "Å": "angstrom", "pixel": "px"}
_UNKNOWN = "units"


def unit_suffix(image: Image) -> str:
    """Return the ending of columns of lengths in an image: ``um``, ``nm``, ``px``...

    The ending is ``units`` where pixels have a size but its unit is unknown.

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


def copy_calibration(labels: Image, images: Iterable[Image]) -> Image:
    """Give uncalibrated labels the pixel size of the first calibrated image.

    Labels saved by other programs have usually lost their calibration.
    """
    if not labels.calibrated:
        for image in images:
            if image.calibrated and image.spatial_axes == labels.spatial_axes:
                return replace(labels, spacing=image.spacing, unit=image.unit)
    return labels


__all__ = ["copy_calibration", "unit_suffix"]
