"""Column names: a column with a unit ends in it, in plain letters."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from napari_unetseg.core.image import Image
from napari_unetseg.core.units import length_in, symbol_of

# Spreadsheets guess the encoding of a file, so names use ASCII only.
_PLAIN = {"µm": "um", "Å": "angstrom", "pixel": "px"}
_UNKNOWN = "units"
_SAME = 0.01


def unit_suffix(image: Image) -> str:
    """Return the ending of columns of lengths in an image: ``um``, ``nm``, ``px``...

    The ending is ``units`` where pixels have a size but its unit is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> unit_suffix(Image.of(np.zeros((2, 2)), spacing=(0.5, 0.5), unit="micrometer"))
    'um'
    """
    if not image.calibrated:
        return "px" if all(step == 1 for step in image.spacing) else _UNKNOWN
    symbol = symbol_of(image.unit)
    name = _PLAIN.get(symbol, symbol)
    plain = "".join(c if c.isascii() and c.isalnum() else "_" for c in name).strip("_")
    return plain or _UNKNOWN


def measured_scale(labels: Image, *, flat: bool) -> Image:
    """Return labels with the scale of their table: voxels for volumes without a known Z step.

    Parameters
    ----------
    flat
        Whether planes are measured, for which the step along Z does not matter.
    """
    if flat or not labels.assumed:
        return labels
    return replace(labels, spacing=(1.0,) * len(labels.spacing), unit="pixel", assumed="")


def scale_notes(labels: Image, images: Mapping[str, Image], *, flat: bool) -> list[str]:
    """List what a user must know of the sizes in a table, as sentences.

    Parameters
    ----------
    labels
        The measured labels, after `copy_calibration`.
    images
        Images by name.
    flat
        Whether planes are measured.
    """
    notes = []
    if measured_scale(labels, flat=flat) is not labels:
        notes.append(
            "The Z step is not known, so sizes are in voxels (px). Measure planes instead."
        )
    for name, image in images.items():
        if differs := size_difference(labels, image):
            notes.append(
                f"The labels and {name} differ in pixel size ({differs}): the labels' is taken."
            )
    return notes


def size_difference(first: Image, second: Image) -> str:
    """Return how the pixel sizes of two images differ, such as ``0.5 and 0.325 µm along X``.

    Empty when they agree within 1 %, or one is not known.
    """
    steps = dict(zip(second.spatial_axes, second.spacing, strict=True))
    for axis, step in reversed(list(zip(first.spatial_axes, first.spacing, strict=True))):
        if axis in first.assumed + second.assumed or axis not in steps:
            continue
        other = length_in(steps[axis], second.unit, first.unit)
        if other is not None and abs(other / step - 1) > _SAME:
            return f"{step:.4g} and {other:.4g} {symbol_of(first.unit)} along {axis}"
    return ""


def copy_calibration(labels: Image, images: Iterable[Image]) -> Image:
    """Give uncalibrated labels the pixel size of the first calibrated image, and its time interval.

    Labels saved by other programs have usually lost their calibration.
    """
    given = list(images)
    for image in given:
        if _knows_more(image, labels):
            size: dict[str, Any] = {
                "spacing": image.spacing,
                "unit": image.unit,
                "assumed": image.assumed,
            }
            labels = replace(labels, **size)
            break
    if "T" in labels.axes and not labels.interval:
        labels = replace(
            labels, interval=next((one.interval for one in given if one.interval), 0.0)
        )
    return labels


def _knows_more(image: Image, labels: Image) -> bool:
    """Whether an image has the pixel size, or the Z step, that its labels lack."""
    if not image.calibrated or image.spatial_axes != labels.spatial_axes:
        return False
    lacks_step = bool(labels.assumed) and not image.assumed
    return not labels.calibrated or (lacks_step and not size_difference(labels, image))


__all__ = [
    "copy_calibration",
    "measured_scale",
    "scale_notes",
    "size_difference",
    "unit_suffix",
]
