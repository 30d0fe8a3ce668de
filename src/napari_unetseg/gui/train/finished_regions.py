"""Fully labelled regions, painted as labels or drawn as shapes."""

from typing import Any

import numpy as np
from napari.layers import Labels, Layer, Shapes
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.gui.shared.layer_choice import LayerChoice
from napari_unetseg.gui.shared.layers import is_input, labels_over

_AREAS = ("rectangle", "polygon", "ellipse")
_CORNERS_OF_AN_ELLIPSE = 64
_REGION_HELP = (
    "Regions in which 0 means background: inside the shapes of a Shapes layer, or where another "
    "Labels layer is painted. Elsewhere 0 is unknown and not used for training."
)


def marks_regions(layer: Layer) -> bool:
    """Whether a layer can mark fully labelled regions."""
    return isinstance(layer, (Labels, Shapes)) and is_input(layer)


def region_choice(viewer: Any) -> LayerChoice:
    """Make the box for the layer that marks fully labelled regions."""
    choice = LayerChoice(
        viewer,
        marks_regions,
        follow=lambda layer: False,
        nothing="the whole image",
        images=True,
    )
    choice.setObjectName("region")
    choice.setStatusTip(_REGION_HELP)
    return choice


def chosen_region(
    marks: Layer | None, labels: Layer | None, image: Layer, shape: tuple[int, ...]
) -> NDArray[np.bool_] | None:
    """Return the mask of the region that `marks` is chosen to mark, or None for everywhere.

    Raises
    ------
    InputError
        If it is the layer of the labels themselves.
    """
    if marks is None:
        return None
    if marks is labels:
        raise InputError(
            "The labels cannot mark their own fully labelled regions. Choose the whole image, a "
            "Shapes layer, or another Labels layer painted over those regions."
        )
    return region_of(marks, image, shape)


def region_of(layer: Layer, image: Layer, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the mask of the region that `layer` marks as fully labelled.

    Parameters
    ----------
    layer
        Labels, which mark all pixels above 0, or shapes, which mark their inside. With fewer axes
        than the image, they apply to all its planes.
    shape
        Shape of the image without its channels.
    """
    if isinstance(layer, Labels):
        painted = labels_over(layer, image) > 0
        fits = painted.shape == shape[-painted.ndim :]
        return np.broadcast_to(painted, shape) if fits else painted
    from skimage.draw import polygon2mask

    region = np.zeros(shape, np.bool_)
    for corners, kind in zip(_corners(layer, image), layer.shape_type, strict=True):
        if kind not in _AREAS:
            continue
        outline = _ellipse(corners) if kind == "ellipse" else corners
        inside = polygon2mask(shape[-2:], outline[:, -2:])
        region[_planes(corners, layer.ndim, shape)] |= inside
    return region


def _corners(layer: Any, image: Layer) -> list[NDArray[np.float64]]:
    """Return the corners of each shape in the pixels of the image."""
    return [
        np.array([image.world_to_data(layer.data_to_world(corner)) for corner in corners])
        for corners in layer.data
    ]


def _planes(corners: NDArray[np.float64], ndim: int, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Return the index of the plane of a shape, with full slices along axes it lacks."""
    lead = len(shape) - 2
    at = np.round(corners[0, :lead]).astype(int)
    own_axes = ndim - 2
    return tuple(
        slice(None) if axis < lead - own_axes else int(np.clip(at[axis], 0, shape[axis] - 1))
        for axis in range(lead)
    )


def _ellipse(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return an outline of the ellipse within four corners."""
    middle = corners.mean(0)
    turn = np.linspace(0, 2 * np.pi, _CORNERS_OF_AN_ELLIPSE, endpoint=False)[:, None]
    across, along = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    outline: NDArray[np.float64] = middle + np.cos(turn) * across + np.sin(turn) * along
    return outline


__all__ = ["chosen_region", "marks_regions", "region_choice", "region_of"]
