"""Small pictures of models: a piece of an image with the objects outlined."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.image import Image

Picture = NDArray[np.uint8]

OUTLINE = (255, 176, 0)
"""Colour of outlines, legible on grey, on black and on stained tissue."""

_CONTRAST = (0.5, 99.7)


def draw_picture(
    image: Image,
    labels: NDArray[np.integer[Any]] | None,
    side: int,
    view: tuple[slice, slice] | None = None,
) -> Picture:
    """Draw a square of a plane as a picture, with outlines of labels.

    Parameters
    ----------
    image
        A plane; of several channels the first, except of colours.
    labels
        (Y, X): classes or objects of the plane; None for the image alone.
    side
        Of the picture, in pixels.
    view
        Rows and columns of the square; its middle when missing.

    Returns
    -------
    array (side, side, 3), uint8
        Intensities are scaled by the whole plane.
    """
    from skimage.transform import resize

    colours = _colours(image)
    shown = view or _middle(*colours.shape[:2])
    small = resize(colours[shown], (side, side), order=1, anti_aliasing=True)
    picture = np.round(255 * np.clip(small, 0, 1)).astype(np.uint8)
    if labels is not None:
        cut = labels[shown]
        rows, columns = (np.arange(side) * n // side for n in cut.shape)
        picture[edge_pixels(cut[np.ix_(rows, columns)])] = OUTLINE
    return picture


def edge_pixels(labels: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Return the pixels of classes or objects (Y, X) that touch a pixel of another value."""
    edges = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        numbers, marks = np.moveaxis(labels, axis, 0), np.moveaxis(edges, axis, 0)
        differ = numbers[1:] != numbers[:-1]
        marks[1:] |= differ
        marks[:-1] |= differ
    return edges & (labels > 0)


def _middle(height: int, width: int) -> tuple[slice, slice]:
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return slice(top, top + side), slice(left, left + side)


def _colours(image: Image) -> NDArray[np.float32]:
    """Return a plane as colours from 0 to 1, (Y, X, 3)."""
    numbers = image.asarray()
    if not image.rgb:
        grey = numbers if "C" not in image.axes else np.take(numbers, 0, image.axes.index("C"))
        numbers = grey[..., None]
    else:
        numbers = np.moveaxis(numbers, image.axes.index("C"), -1)[..., :3]
    numbers = np.nan_to_num(numbers.astype(np.float32), posinf=0.0, neginf=0.0)
    low, high = np.percentile(numbers, _CONTRAST) if numbers.size else (0.0, 1.0)
    scaled = (numbers - low) / max(high - low, 1e-12)
    return np.broadcast_to(scaled, (*numbers.shape[:2], 3))


__all__ = ["OUTLINE", "Picture", "draw_picture", "edge_pixels"]
