"""Masks and ids that were opened as images, offered where labels are asked for."""

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from napari.utils.notifications import show_info, show_warning
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.label_image import label_image
from napari_unetseg.gui.shared.layers import LayerList, geometry_of, image_of, is_input, role_of

_MOST = 1_000_000
_REPEATS = 0.8
"""Smallest share of pixels that have the value of the next one, in an image that may be labels."""


def may_be_labels(layer: Layer) -> bool:
    """Whether an image layer holds whole numbers in areas, as masks and ids do.

    Pictures have another number at nearly every pixel. Looks at a plane in memory; lazy images are
    not read for it.
    """
    if not isinstance(layer, ImageLayer) or isinstance(layer, Labels) or layer.multiscale:
        return False
    data = layer.data
    if not is_input(layer) or role_of(layer) or not isinstance(data, np.ndarray):
        return False
    known = _KNOWN.get(layer)
    if known is None or known[0] is not data:
        known = _KNOWN[layer] = (data, _in_areas(data, rgb=bool(layer.rgb)))
    return known[1]


def convert_to_labels(layers: LayerList, layer: Layer) -> Labels | None:
    """Replace an image layer by a Labels layer of its numbers; a notification says so.

    Returns
    -------
    Labels or None
        The new layer; None if the image holds no labels, of which a notification says why.
    """
    notes: list[str] = []
    try:
        labels = label_image(image_of(layer, whole=True), repr(layer.name), note=notes.append)
    except InputError as error:
        show_warning(str(error))
        return None
    data = labels.asarray()
    if data.dtype.kind == "b":
        data = data.astype(np.uint8)
    place = geometry_of(layer, ndim=data.ndim)
    made = Labels(data, name=layer.name, metadata=dict(layer.metadata), **place)
    at = layers.index(layer)
    # In before out: a box that shows the labels never has none.
    layers.insert(at, made)
    layers.remove(layer)
    made.name = layer.name
    layers.selection.active = made
    n = len(np.unique(data[data > 0]))
    show_info(
        " ".join([f"The image {layer.name!r} is a Labels layer now, with {n} numbers.", *notes])
    )
    return made


def _in_areas(data: NDArray[Any], *, rgb: bool) -> bool:
    if data.dtype.kind not in "biu" or data.ndim < 2 + rgb or not data.size:
        return False
    if rgb:
        data = data[..., :3]
        plane = data[(0,) * (data.ndim - 3)]
        if not (plane == plane[..., :1]).all():
            return False
        data = data[..., 0]
    # The middle plane: the first ones of a stack may be empty.
    plane = data[tuple(n // 2 for n in data.shape[:-2])]
    plane = plane[: max(1, _MOST // plane.shape[1])]
    flat = plane[:, 1:] == plane[:, :-1]
    return bool(plane.min() < plane.max() and flat.mean() >= _REPEATS)


_KNOWN: "WeakKeyDictionary[Layer, tuple[Any, bool]]" = WeakKeyDictionary()

__all__ = ["convert_to_labels", "may_be_labels"]
