"""Layers of images in files, with their pixel size, units and axes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer

from napari_unetseg.core.image import AXES, Image
from napari_unetseg.core.io import (
    file_contents,
    keeps_calibration,
    read_image,
    read_lazily,
    stem_of,
)
from napari_unetseg.gui.shared.layers import FILE_CHANNEL, METADATA_KEY, axes_of, image_place

# napari takes images of these for labels, when it opens a file itself.
_LABELS = (np.int32, np.uint32, np.int64, np.uint64)
_OURS = "napari-unetseg"


def image_layers(image: Image, name: str, coarser: Sequence[Image] = ()) -> list[Layer]:
    """Return a layer for each channel of an image; one of a colour picture.

    Parameters
    ----------
    coarser
        The image at lower resolutions, the finest first.
    """
    levels = (image, *coarser)
    if image.rgb:
        axes = image.axes.replace("C", "")
        order = [image.axes.index(axis) for axis in axes + "C"]
        data = [level.data.transpose(order) for level in levels]
        return [ImageLayer(_pyramid(data), name=name, rgb=True, **image_place(image, axes))]
    if "C" not in image.axes:
        data = [level.data for level in levels]
        return [ImageLayer(_pyramid(data), name=name, **image_place(image, image.axes))]
    made: list[Layer] = []
    for number in range(image.n_channels):
        one = image.channel(number)
        data = [level.channel(number).data for level in levels]
        several = str(number) * (image.n_channels > 1)
        channel_name = image.channel_names[number] if image.channel_names else several
        look: dict[str, Any] = {} if number == 0 else {"blending": "additive"}
        if image.n_channels > 1:
            look |= {"metadata": {METADATA_KEY: {FILE_CHANNEL: _choice_of(image, number)}}}
        place = image_place(one, one.axes)
        made.append(
            ImageLayer(_pyramid(data), name=f"{name} {channel_name}".strip(), **look, **place)
        )
    return made


def file_layers(path: str | Path, scene: int = 0) -> list[Layer]:
    """Return the layers of one image of a file; labels where napari would take it for labels.

    Parameters
    ----------
    scene
        Number of the image, in a file of several.

    Raises
    ------
    InputError
        When the file cannot be read.
    """
    names, levels = file_contents(path)
    chosen = str(scene) if len(names) > 1 else ""
    image = read_image(path, scene=chosen)
    coarser = [read_lazily(path, level=k, scene=chosen) for k in range(1, levels[scene])]
    name = f"{stem_of(path)} {names[scene] or scene}" if chosen else stem_of(path)
    if image.dtype in _LABELS and "C" not in image.axes:
        return [Labels(image.data, name=name, **image_place(image, image.axes))]
    return image_layers(image, name, coarser)


def calibrate(layer: Layer) -> tuple[str, ...] | None:
    """Give a layer that another reader has opened the pixel size, units and axes of its file.

    napari's own reader leaves them out, and so do some plugins. Only metadata are read.

    Returns
    -------
    tuple of str or None
        The notes on the file; None if the layer is left as it is: not from such a file, of another
        shape than the image in it, or already scaled.

    Raises
    ------
    InputError
        When the file is damaged, or one of several of which one is missing.
    """
    path, plugin = layer.source.path, layer.source.reader_plugin
    if plugin in (None, _OURS) or not is_plain(layer) or not isinstance(path, str):
        return None
    if not keeps_calibration(path):
        return None
    image = read_lazily(path)
    axes = _axes_over(layer, image)
    if not axes:
        return None
    _put(layer, image_place(image, axes))
    return image.notes


def _axes_over(layer: Layer, image: Image) -> str:
    """Return the axes of a layer that shows an image, or one of its channels; else nothing.

    It may have more axes of length 1.
    """
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    rgb = bool(getattr(layer, "rgb", False))
    axes = image.axes.removesuffix("C") if rgb else image.axes
    if tuple(data.shape) == image.shape and len(axes) == layer.ndim:
        return axes
    if not 2 <= layer.ndim <= len(AXES):
        return ""
    named = axes_of(layer)
    lengths = dict(zip(named, data.shape, strict=False))
    axes = axes if "C" in named else axes.replace("C", "")
    same = all(lengths.get(axis, 1) == image.length(axis) for axis in axes)
    single = all(lengths[axis] == 1 for axis in named if axis not in axes)
    return named if same and single else ""


def is_plain(layer: Layer) -> bool:
    """Whether a layer has no scale, units or position of its own."""
    units = getattr(layer, "units", None) or ()
    whole = np.asarray(layer.affine.affine_matrix)
    return (
        bool(np.all(layer.scale == 1) and not np.any(layer.translate))
        and all(str(unit) == "pixel" for unit in units)
        and np.array_equal(whole, np.eye(len(whole)))
    )


def calibrate_like(layer: Layer, source: Layer) -> None:
    """Give a layer in pixels the scale and units of the last axes of another."""
    last = slice(source.ndim - layer.ndim, None)
    found: dict[str, Any] = {"scale": source.scale[last]}
    if getattr(source, "units", None) is not None:
        found |= {"units": source.units[last], "axis_labels": source.axis_labels[last]}
    _put(layer, found)


def _choice_of(image: Image, number: int) -> str:
    """Return a channel as `Image.channels` takes it: its name, if that is one of its own."""
    names = image.channel_names
    own = bool(names) and names.count(names[number]) == 1 and "," not in names[number]
    return names[number] if own and not names[number].isdecimal() else str(number)


def _put(layer: Layer, place: dict[str, Any]) -> None:
    for name, value in place.items():
        if hasattr(layer, name):
            setattr(layer, name, value)


def _pyramid(levels: list[Any]) -> Any:
    return levels if len(levels) > 1 else levels[0]


__all__ = ["calibrate", "calibrate_like", "file_layers", "image_layers", "is_plain"]
