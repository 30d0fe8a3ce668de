"""Labels in the types that people have them in: floats, grey colours, soft edges, negative numbers.

Every door reads labels by these rules, so that a file or layer means the same in each tool. Pixels
below 0 are left out everywhere: they are no object, are not learnt from and are not compared.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image

Note = Callable[[str], None]
"""Receives sentences about a change that the user should know of."""

LARGEST_CLASS = 2**31 - 1
"""Largest class value that a label image of a model can hold."""

LARGEST_ID = 2**62
"""Largest id of an object, so that there are numbers left for others."""

_FAR = 8
_NEAR_ENDS = 0.9
"""Smallest share of a soft mask's pixels in the lowest and the highest eighth of its range."""

_FEWEST_STEPS = 4
"""Fewest values between the ends of a soft mask."""

_MOST_REPEATS = 0.5
"""Largest share of those pixels that have the value of the next one, as classes and objects do."""


def no_note(sentence: str) -> None:
    """Drop a sentence."""


def label_image(
    image: Image, name: str = "The label image", *, lossy: bool = False, note: Note = no_note
) -> Image:
    """Convert an image to labels: integers or booleans, without channels.

    Parameters
    ----------
    image
        Integers and booleans as they are; floats that are whole numbers, with NaN for 0; colours
        with equal red, green and blue. A channel axis of length 1 is dropped.
    name
        Begins the sentences.
    lossy
        Whether the file was compressed with loss, which keeps no number exactly: a mask is taken at
        half of its highest value.
    note
        Receives a sentence about changed or left-out pixels. Of lazy labels, pixels below 0 are
        not counted.

    Raises
    ------
    InputError
        When the image holds colours or fractions, or a lossy file is no mask.
    """
    image = _one_channel(image, name, lossy)
    if image.dtype.kind == "f":
        image = image.with_data(whole_numbers(image.data, name, note))
    if lossy:
        image = image.with_data(_half(image.asarray(), name, note))
    if image.dtype.kind == "i" and not image.lazy:
        below = int(np.count_nonzero(image.data < 0))
        if below:
            note(f"{name} has {below} pixels below 0, which are left out.")
    return image


def whole_numbers(data: Any, name: str = "The label image", note: Note = no_note) -> Any:
    """Convert floats that are whole numbers to integers, and NaN to 0.

    Parameters
    ----------
    data
        A numpy or dask array of floats.
    name, note
        See `label_image`.

    Raises
    ------
    InputError
        When a number is a fraction, infinite or too large to be exact.
    """
    missing = np.isnan(data)
    n = int(missing.sum())
    if n:
        note(f"{name} has {n} pixels that are NaN, taken as 0.")
        data = np.where(missing, 0, data)
    if bool(np.isinf(data).any()):
        raise InputError(
            f"{name} holds infinite numbers; labels are whole numbers, 0 for background. Replace "
            "them, or make a mask of it with Threshold."
        )
    # Floats hold whole numbers exactly up to 2 to the power of 53.
    if bool(((np.floor(data) != data) | (abs(data) > 2**53)).any()):
        raise InputError(
            f"{name} holds fractions ({data.dtype}); labels are whole numbers, 0 for background. "
            "Make a mask of it with Threshold first, or save whole numbers."
        )
    low, high = int(data.min()), int(data.max())
    return data.astype(np.int64 if low < 0 else np.min_scalar_type(high))


def hard_mask(mask: NDArray[Any], name: str = "The mask", note: Note = no_note) -> NDArray[Any]:
    """Take a mask with soft edges at half of its highest value; return any other unchanged.

    Parameters
    ----------
    mask
        Integers. Those with soft edges have many values, nearly all at either end of the range, and
        the values in between rarely repeat from a pixel to the next.
    name, note
        See `label_image`.
    """
    if not _is_soft(mask):
        return mask
    return _halved(mask, name, note)


def without_single_axes(image: Image, keep: str = "YX") -> Image:
    """Drop axes of length 1, other than those to keep."""
    single = [axis not in keep and image.length(axis) == 1 for axis in image.axes]
    if not any(single):
        return image
    axes = "".join(axis for axis, drop in zip(image.axes, single, strict=True) if not drop)
    data = image.data[tuple(0 if drop else slice(None) for drop in single)]
    names = image.channel_names if "C" in axes else ()
    return image.like(data, axes, rgb=image.rgb, channel_names=names)


def labels_like(labels: Image, image: Image) -> Image:
    """Return labels with the axes of an image, where the two differ in axes of length 1 only."""
    axes = image.axes.replace("C", "")
    shape = tuple(image.length(axis) for axis in axes)
    if labels.shape == shape or without_single_axes(labels).shape != tuple(
        length for axis, length in zip(axes, shape, strict=True) if length > 1 or axis in "YX"
    ):
        return labels
    return image.like(labels.data.reshape(shape), axes)


def has_below_zero(labels: Image) -> bool:
    """Whether labels have numbers below 0; of lazy ones, whether their type has."""
    return labels.dtype.kind == "i" and (labels.lazy or bool(labels.data.min() < 0))


def known_labels(labels: Image) -> Image:
    """Return labels with 0 in place of numbers below 0."""
    if not has_below_zero(labels):
        return labels
    return labels.with_data(labels.data.clip(0))


def check_id(highest: int) -> None:
    """Check that the highest id of labels leaves room for new objects.

    Raises
    ------
    InputError
        When it is too large.
    """
    if highest > LARGEST_ID:
        raise InputError(
            f"The labels have the id {highest}, which is too large. Number the objects from 1."
        )


def comparable(*labels: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return label arrays with 0 wherever one of them is below 0; of several shapes as given."""
    if len({one.shape for one in labels}) > 1:
        return labels
    signed = [one < 0 for one in labels if one.dtype.kind in "if"]
    left_out = np.logical_or.reduce(signed) if signed else np.False_
    if not left_out.any():
        return labels
    return tuple(np.where(left_out, one.dtype.type(0), one) for one in labels)


def _one_channel(image: Image, name: str, lossy: bool) -> Image:
    if "C" not in image.axes:
        return image
    if image.n_channels == 1:
        return without_single_axes(image, image.axes.replace("C", ""))
    if not image.rgb:
        return image
    # Chroma is rounded in a lossy file.
    most = 8 if lossy else 0
    first, *others = (image.channel(k) for k in range(3))
    for other in others:
        difference = first.data.astype(np.float64) - other.data
        if bool((abs(difference) > most).any()):
            raise InputError(
                f"{name} holds colours that are not grey, which have no order. Save the labels "
                "with one whole number a pixel."
            )
    return first


def _half(array: NDArray[Any], name: str, note: Note) -> NDArray[Any]:
    """Take a mask of a lossy file at half of its highest value."""
    if not array.any() or array.dtype.kind == "b":
        return array
    if _ends(array) < _NEAR_ENDS or int(array.max()) < 128:
        raise InputError(
            f"{name} is a JPEG, which changes numbers, and it is no mask of black and white: its "
            "labels are lost. Save them as PNG or TIFF from their source."
        )
    return _halved(array, name, note)


def _halved(array: NDArray[Any], name: str, note: Note) -> NDArray[Any]:
    top = int(array.max())
    note(f"{name} has soft edges (values from 0 to {top}): it is taken as a mask at half.")
    return (array > top / 2).astype(np.uint8)


def _ends(array: NDArray[Any]) -> float:
    """Return the share of pixels in the lowest or the highest part of the range."""
    top = int(array.max())
    return float(((array <= top / _FAR) | (array >= top - top / _FAR)).mean())


def _is_soft(array: NDArray[Any]) -> bool:
    """Whether an array of 8-bit numbers is a mask with soft edges, rather than classes or ids."""
    if array.dtype != np.uint8 or not array.size:
        return False
    top = int(array.max())
    between = (array > 0) & (array < top)
    counts = np.bincount(array[between], minlength=1)
    high = array >= top - top // _FAR
    if (
        top < 128
        or np.count_nonzero(counts) < _FEWEST_STEPS
        or not (high & (array < top)).any()
        or 2 * np.count_nonzero(high) < np.count_nonzero(array > top // _FAR)
        or _ends(array) < _NEAR_ENDS
    ):
        return False
    same = between[..., 1:] & (array[..., 1:] == array[..., :-1])
    return bool(np.count_nonzero(same) < _MOST_REPEATS * np.count_nonzero(between))


__all__ = [
    "LARGEST_CLASS",
    "Note",
    "comparable",
    "hard_mask",
    "has_below_zero",
    "known_labels",
    "label_image",
    "labels_like",
    "no_note",
    "whole_numbers",
    "without_single_axes",
]
