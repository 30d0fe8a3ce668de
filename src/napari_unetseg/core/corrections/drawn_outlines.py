"""Objects from outlines drawn as shapes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_unetseg.core.corrections.change import Array, Change, check_id_fits
from napari_unetseg.core.errors import InputError


def draw_outlines(plane: Array, outlines: Sequence[ArrayLike], *, first: int) -> Change:
    """Make an object of each outline, on background only.

    Parameters
    ----------
    plane
        Ids, (Y, X); 0 is background.
    outlines
        (n, 2) each: corners in pixels, at least three, in order along the outline.
    first
        The id of the first object; later ones count up from it.

    Returns
    -------
    Change
        Where outlines overlap, the first one gets the pixels.

    Raises
    ------
    InputError
        When no outline contains any background.
    """
    from skimage.draw import polygon

    flat: list[NDArray[np.intp]] = []
    values: list[NDArray[np.int64]] = []
    number = first
    for outline in outlines:
        rows, columns = polygon(*np.asarray(outline, dtype=float).T, shape=plane.shape)
        free = plane[rows, columns] == 0
        pixels = np.ravel_multi_index((rows[free], columns[free]), plane.shape)
        if len(pixels):
            flat.append(np.asarray(pixels, np.intp))
            values.append(np.full(len(pixels), number, np.int64))
            number += 1
    if not flat:
        raise InputError(
            "None of the shapes covers any background of these labels, so nothing was drawn. "
            "Draw them where there is no object yet."
        )
    return _first_come(plane, np.concatenate(flat), np.concatenate(values))


def ellipse_outline(corners: ArrayLike, n: int = 64) -> NDArray[np.float64]:
    """Return the outline of an ellipse inscribed in four corners: (n, ndim)."""
    box = np.asarray(corners, dtype=float)
    centre = box.mean(0)
    along, across = (box[1] - box[0]) / 2, (box[3] - box[0]) / 2
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)[:, None]
    outline: NDArray[np.float64] = centre + np.cos(angle) * along + np.sin(angle) * across
    return outline


def _first_come(plane: Array, flat: NDArray[np.intp], values: NDArray[np.int64]) -> Change:
    pixels, earliest = np.unique(flat, return_index=True)
    after = values[earliest]
    check_id_fits(plane.dtype, int(after.max()))
    index = np.unravel_index(pixels, plane.shape)
    return Change(tuple(index), plane[index], after.astype(plane.dtype))


__all__ = ["draw_outlines", "ellipse_outline"]
