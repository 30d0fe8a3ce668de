"""Conversion of layers to images and of results to layers, which are found by their role."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from napari.utils.notifications import show_info
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import AXES, Image
from napari_unetseg.core.units import calibration_of, long_name_of, metres_of, symbol_of
from napari_unetseg.gui.shared.data_versions import is_as_written, note_written

METADATA_KEY = "napari-unetseg"
"""Key of the plugin's entry in `layer.metadata`."""

KEY, KEY_OF = "project_key", "project_key_of"
"""Keys, in that entry, of the identity of a layer in its project, and of the layer that owns it: a
duplicate has the same metadata, but is another layer."""

LayerList: TypeAlias = Any  # napari.components.LayerList, or the proxy a plugin is handed

# The attributes that place pixels in the world; a result has those of its source.
_GEOMETRY = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


FLATTENED, MASK, OBJECTS = "flattened", "mask", "objects"
"""Roles of the layers that Background and Threshold make."""

BEFORE, MEASURED = "before", "measured"
"""Keys of the provenance of a layer's source and of the layer's measurement."""

PROBABILITIES, UNCERTAINTY, FEATURE_MAPS = "probabilities", "uncertainty", "feature maps"
"""Roles (or their beginnings) of image layers that report on others and are not processed."""


def is_report(layer: Layer) -> bool:
    """Whether a layer of the plugin reports on others, and is used only if picked by hand."""
    return role_of(layer).startswith((PROBABILITIES, UNCERTAINTY, FEATURE_MAPS))


def role_of(layer: Layer) -> str:
    """Return the role of a layer made by this plugin (``"flattened"``...), or ``""``."""
    return str(_mark(layer).get("role", ""))


def source_of_layer(layer: Layer) -> str:
    """Return the id of the source of a layer made by this plugin, or ``""``."""
    return str(_mark(layer).get("source", ""))


def layer_key(layer: Layer) -> str:
    """Return the key of a layer in its project: the one it was opened with, or its own id."""
    mark, own = _mark(layer), str(layer.unique_id)
    return str(mark[KEY]) if KEY in mark and mark.get(KEY_OF) == own else own


def claim_key(layers: LayerList, key: str) -> Layer | None:
    """Let the layer that was read with `key` have it alone; None when there is no such layer."""
    read = [layer for layer in layers if _mark(layer).get(KEY) == key]
    if not read:
        return None
    # A project that is opened twice: the layers that were just added are the project's.
    for layer in read:
        owner = str(layer.unique_id) if layer is read[-1] else ""
        mark_again(layer, {METADATA_KEY: {KEY_OF: owner}})
    return read[-1]


def options_of_layer(layer: Layer, part: str = "options") -> Mapping[str, Any]:
    """Return the options stored in a layer made by this plugin; empty for other layers.

    Parameters
    ----------
    part
        The entry to read; `BEFORE` or `MEASURED` for those options.
    """
    options = _mark(layer).get(part, {})
    return options if isinstance(options, Mapping) else {}


def marked(
    role: str,
    source: Layer,
    options: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the metadata of a result: its role, its source and its options.

    Parameters
    ----------
    before
        `steps_before` of the source when the run began; by default those of now.
    """
    mark = {
        "role": role,
        "source": str(source.unique_id),
        "source_name": source.name,
        "options": dict(options),
        # The source may be gone when this is read.
        BEFORE: steps_before(source) if before is None else dict(before),
    }
    return {METADATA_KEY: mark}


def noted(part: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata with one more entry, for `mark_again`."""
    return {METADATA_KEY: {part: dict(options)}}


def mark_again(layer: Layer, metadata: Mapping[str, Any]) -> None:
    """Update the metadata of a layer; other entries stay, such as its review queue."""
    mark = {**_mark(layer), **metadata[METADATA_KEY]}
    layer.metadata = {**layer.metadata, METADATA_KEY: mark}


def find_layer(layers: LayerList, role: str, source: Layer) -> Layer | None:
    """Return the newest layer with `role` made from `source`, whatever its name."""
    wanted = (role, str(source.unique_id))
    found = [layer for layer in layers if (role_of(layer), source_of_layer(layer)) == wanted]
    return found[-1] if found else None


def image_of(layer: Layer) -> Image:
    """Convert a layer to an `Image`; a pyramid at its full resolution.

    Raises
    ------
    InputError
        If the layer has axes that an `Image` cannot have.
    """
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    rgb = bool(getattr(layer, "rgb", False))
    axes = _axes(layer, int(data.ndim) - rgb) + ("C" if rgb else "")
    letters = axes[: layer.ndim]
    sizes = [_size_along(layer, k) for k in range(layer.ndim)]
    steps = {axis: step for axis, (step, _) in zip(letters, sizes, strict=True)}
    units = {axis: unit for axis, (_, unit) in zip(letters, sizes, strict=True)}
    return Image.of(data, axes, rgb=rgb, **calibration_of(axes, steps, units))


def image_place(image: Image, axes: str) -> dict[str, Any]:
    """Return scale, units and names of the axes of a layer that shows an image.

    Parameters
    ----------
    axes
        Those of the layer: of the image, without that of colours.
    """
    steps = dict(zip(image.spatial_axes, image.spacing, strict=True))
    # napari knows the usual units only. A step that is unknown has none.
    unit = long_name_of(symbol_of(image.unit)) or "pixel"
    units = {axis: "pixel" if axis in image.assumed else unit for axis in steps}
    if image.interval:
        steps["T"], units["T"] = image.interval, "second"
    return {
        "scale": tuple(steps.get(axis, 1.0) for axis in axes),
        "units": tuple(units.get(axis, "pixel") for axis in axes),
        "axis_labels": tuple(axes.lower()),
    }


def labels_of(layer: Labels) -> NDArray[Any]:
    """Copy the ids of a Labels layer, since a computation must not see later strokes."""
    data = layer.data[0] if layer.multiscale else layer.data
    return np.array(data)


def geometry_of(layer: Layer, *, ndim: int | None = None) -> dict[str, Any]:
    """Return the arguments that put a new layer where `layer` is.

    Parameters
    ----------
    ndim
        Number of the last axes to keep: 2 for a plane of a stack. All when missing.
    """
    keep = layer.ndim if ndim is None else ndim
    if keep == layer.ndim:
        found = {name: getattr(layer, name, None) for name in _GEOMETRY}
        return {name: value for name, value in found.items() if value is not None}
    last = slice(layer.ndim - keep, None)
    affine = np.eye(keep + 1)
    whole = np.asarray(layer.affine.affine_matrix)
    affine[:-1, :-1] = whole[:-1, :-1][last, last]
    affine[:-1, -1] = whole[:-1, -1][last]
    found = {
        "scale": layer.scale[last],
        "translate": layer.translate[last],
        "affine": affine,
        "rotate": np.asarray(layer.rotate)[last, last],
    }
    if getattr(layer, "units", None) is not None:
        found["units"] = layer.units[last]
    return found


def reduced_geometry(
    layer: Layer, step: tuple[int, ...], lead: tuple[int, ...], *, channels: bool = True
) -> dict[str, Any]:
    """Return the arguments that place coarser data over one plane or stack of `layer`.

    Parameters
    ----------
    step
        Pixels of the layer that share a value, along each of its last axes.
    lead
        Index of the plane or stack along the axes before those; each becomes an axis of length 1.
    channels
        Whether the new layer has an axis of channels before all others.

    Returns
    -------
    dict
        An affine map of all axes of the new layer, and their units where layers have them.
    """
    ndim = layer.ndim
    corner = np.asarray(layer.data_to_world((0,) * ndim), float)
    columns = [np.asarray(layer.data_to_world(unit)) - corner for unit in np.eye(ndim)]
    along = np.array([*(1,) * len(lead), *step], float)
    # A value is at the centre of the pixels that share it.
    start = np.array([*lead, *((each - 1) / 2 for each in step)], float)
    world = np.stack(columns, 1)
    affine = np.eye(ndim + 1)
    affine[:-1, :-1] = world * along
    affine[:-1, -1] = corner + world @ start
    if channels:
        wide = np.eye(ndim + 2)
        wide[1:, 1:] = affine
        affine = wide
    found: dict[str, Any] = {"affine": affine}
    if getattr(layer, "units", None) is not None:
        # napari warns if the units of layers differ, and then ignores all units.
        found["units"] = (*(("pixel",) if channels else ()), *layer.units)
    return found


def plane_index(layer: Layer, step: tuple[int, ...]) -> tuple[int, ...]:
    """Return the index of the plane of `layer` that the viewer shows, for its leading axes.

    Parameters
    ----------
    step
        The viewer's current step along each of its axes (world, in steps).
    """
    lengths = layer.data[0].shape if getattr(layer, "multiscale", False) else layer.data.shape
    lead = layer.ndim - 2
    last_steps = step[len(step) - layer.ndim :][:lead]
    return tuple(
        int(np.clip(at, 0, length - 1))
        for at, length in zip(last_steps, lengths[:lead], strict=True)
    )


def plane_image(image: Image, index: tuple[int, ...]) -> Image:
    """Return one plane of an image, read into memory: YX, or YXC of a colour picture."""
    axes = "YXC" if image.rgb else "YX"
    block = image.block(index, axes)
    return image.like(block, axes, rgb=image.rgb)


def show_image(
    layers: LayerList,
    source: Layer,
    role: str,
    data: Any,
    *,
    name: str,
    options: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
    **look: Any,
) -> ImageLayer:
    """Show an image result above its source, in the layer with that role or a new one.

    A layer whose data something else has set is kept as it is, which a notification says.

    Parameters
    ----------
    layers
        The viewer's layer list.
    before
        See `marked`.
    look
        Arguments for a new layer (colormap, visible...). In an existing layer the user's
        choice is kept.
    """
    metadata = marked(role, source, options, before)
    old = find_layer(layers, role, source)
    if old is not None and not is_as_written(old):
        show_info(kept_as_it_is(old))
    elif isinstance(old, ImageLayer) and old.data.shape == data.shape:
        old.data = data
        note_written(old)
        mark_again(old, metadata)
        # The numbers may have another range now (subtract, then divide).
        old.reset_contrast_limits()
        for place, value in geometry_of(source).items():
            setattr(old, place, value)
        return old
    layer = ImageLayer(data, name=name, metadata=metadata, **geometry_of(source), **look)
    note_written(layer)
    # Above an earlier one, so that the next run finds it.
    _insert_above(layers, source if old is None else old, layer)
    return layer


def kept_as_it_is(layer: Layer) -> str:
    """Return a sentence about a layer that is not written over, since it holds more than a run."""
    return (
        f"{layer.name!r} was changed by hand, by another plugin or in the console since a run "
        "wrote it, so it was kept as it is and the result is in a new layer."
    )


def new_labels(
    layers: LayerList,
    source: Layer,
    role: str,
    data: Any,
    *,
    name: str,
    options: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
    **look: Any,
) -> Labels:
    """Add a label result as a new layer at the top of the list; see `marked` for `before`."""
    metadata = marked(role, source, options, before)
    layer = Labels(data, name=name, metadata=metadata, **geometry_of(source), **look)
    layers.append(layer)
    return layer


def _insert_above(layers: LayerList, source: Layer, layer: Layer) -> None:
    layers.insert(layers.index(source) + 1, layer)


def steps_before(source: Layer) -> dict[str, Any]:
    """Return the role and options of a source that is a result itself."""
    if not role_of(source):
        return {}
    plain = (bool, int, float, str)
    options = {
        n: value for n, value in options_of_layer(source).items() if isinstance(value, plain)
    }
    return {"role": role_of(source), **options}


def _mark(layer: Layer) -> Mapping[str, Any]:
    mark = layer.metadata.get(METADATA_KEY, {})
    return mark if isinstance(mark, Mapping) else {}


def _axes(layer: Layer, ndim: int) -> str:
    """Name a layer's axes by its axis labels if these are known letters, else by their number."""
    labels = "".join(str(label)[:1].upper() for label in getattr(layer, "axis_labels", ()) or ())
    named = len(labels) == ndim and len(set(labels)) == ndim and set(labels) <= set(AXES)
    if named and labels.endswith("YX"):
        return labels
    guessed = {2: "YX", 3: "ZYX", 4: "TZYX", 5: "TCZYX"}.get(ndim)
    if guessed is None:
        raise InputError(
            f"{layer.name!r} has {ndim} axes; 2 to 5 are supported. Extract a part of it first."
        )
    return guessed


def _size_along(layer: Layer, axis: int) -> tuple[float, str]:
    """Return the step of a layer along an axis, and its unit."""
    step = abs(float(layer.scale[axis]))
    units = getattr(layer, "units", None)
    if not units:
        return step, "pixel"
    unit = units[axis]
    if not hasattr(unit, "dimensionality"):
        return step, symbol_of(unit)
    # The letter of micro is one of two, by the version of the library behind napari's units.
    symbol = symbol_of(f"{unit:~}")
    if metres_of(symbol) is None and unit.dimensionality == {"[length]": 1}:
        # A length that files do not use, such as a foot: by that library.
        return float((step * unit).to("micrometer").magnitude), "µm"
    return step, symbol
