"""New Labels layers over an image, for strokes or for objects, and the names of classes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from napari.layers import Labels, Layer

from napari_unetseg.core.annotation.annotation import MAX_CLASSES
from napari_unetseg.core.label_image import LARGEST_CLASS
from napari_unetseg.gui.shared.layers import (
    METADATA_KEY,
    geometry_of,
    mark_again,
    options_of_layer,
    plain_shape,
    put_channels_first,
    role_of,
    source_of_layer,
)
from napari_unetseg.gui.shared.navigate import camera_of

CLASS_NAMES = "class_names"
"""Key, in the plugin's metadata of a layer, of the names of its classes, by their number."""

LABELS_ARE = "labels_are"
"""Key of a layer's metadata for the meaning of its numbers, as samples have it."""

_FIRST_NAMES = {1: "background", 2: "object"}
_LONGEST_NAME = 60
# A brush of so many screen pixels, and its limits in pixels of the image.
_BRUSH, _THINNEST, _THICKEST = 12, 3, 40


def strokes_of(layers: Any, image: Layer) -> Labels | None:
    """Return the newest layer that was made for strokes on an image, if there is one."""
    found = [
        layer
        for layer in layers
        if isinstance(layer, Labels)
        and source_of_layer(layer) == str(image.unique_id)
        and not role_of(layer)
        and layer.metadata.get(LABELS_ARE) != "objects"
    ]
    return found[-1] if found else None


def add_stroke_layer(viewer: Any, image: Layer) -> Labels:
    """Add an empty Labels layer over an image, without its channels where they can be left out.

    Raises
    ------
    MemoryError
        If the image is too large for labels in memory.
    """
    names = {str(value): name for value, name in _FIRST_NAMES.items()}
    layer = _empty_labels(viewer, image, np.uint8, "strokes", {CLASS_NAMES: names})
    zoom = float(camera_of(viewer).zoom) * abs(float(image.scale[-1]))
    layer.brush_size = int(np.clip(round(_BRUSH / max(zoom, 1e-9)), _THINNEST, _THICKEST))
    viewer.layers.append(layer)
    return layer


def add_object_layer(viewer: Any, image: Layer) -> Labels:
    """Add an empty Labels layer for objects over an image; see `add_stroke_layer`."""
    layer = _empty_labels(viewer, image, np.uint16, "objects", {})
    layer.metadata = {**layer.metadata, LABELS_ARE: "objects"}
    viewer.layers.append(layer)
    return layer


def arm_brush(viewer: Any, layer: Labels, value: int) -> None:
    """Select a Labels layer and one of its classes, and take up the brush."""
    mode = layer.mode if layer.mode in ("polygon", "fill") else "paint"
    viewer.layers.selection.active = layer
    layer.visible = True
    layer.selected_label = value
    layer.mode = mode


def class_names(layer: Labels) -> dict[int, str]:
    """Return the classes that were listed for a layer, by their number, and their names.

    They may come from a file: a number that the labels cannot hold is ignored.
    """
    names = list(options_of_layer(layer, CLASS_NAMES).items())[:MAX_CLASSES]
    numbered = [(int(value), str(name)) for value, name in names if str(value).isdecimal()]
    most = min(np.iinfo(layer.dtype).max, LARGEST_CLASS)
    return {value: name[:_LONGEST_NAME] for value, name in numbered if 0 < value <= most}


def set_class_names(layer: Labels, names: Mapping[int, str]) -> None:
    """Keep names of classes with a layer; empty ones list a class without a name."""
    kept = {str(value): names[value].strip()[:_LONGEST_NAME] for value in sorted(names)}
    mark_again(layer, {METADATA_KEY: {CLASS_NAMES: kept}})


def _empty_labels(
    viewer: Any, image: Layer, dtype: Any, name: str, mark: Mapping[str, Any]
) -> Labels:
    """Make a Labels layer with the transform of an image."""
    flat = put_channels_first(image, viewer.layers)
    data = image.data[0] if getattr(image, "multiscale", False) else image.data
    shape = plain_shape(image) if flat else tuple(data.shape[: image.ndim])
    return Labels(
        np.zeros(shape, dtype),
        name=f"{image.name} {name}",
        metadata={METADATA_KEY: {"source": str(image.unique_id), **mark}},
        **geometry_of(image, ndim=len(shape)),
    )


__all__ = [
    "CLASS_NAMES",
    "LABELS_ARE",
    "add_object_layer",
    "add_stroke_layer",
    "arm_brush",
    "class_names",
    "set_class_names",
    "strokes_of",
]
