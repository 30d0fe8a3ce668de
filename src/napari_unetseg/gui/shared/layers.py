"""Conversion of layers to images and of results to layers, which are found by their role."""

from collections.abc import Mapping
from dataclasses import replace
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

CHOSEN_AXES, CHOSEN_CHANNEL, FILE_AXES = "axes", "channel", "file_axes"
"""Keys, in that entry, of the axes and channels that were chosen for a layer, and of the axes that
its file has, if they are in another order."""

FILE_CHANNEL = "file_channel"
"""Key, in that entry, of the channel of its file that a layer shows alone."""

BY_HAND = "axes_by_hand"
"""Key, in that entry, of whether the user named the axes."""

IMAGE_AXES, IMAGE_CHANNEL = "image_axes", "image_channel"
"""Keys of the provenance of a layer's axes and channels; see `steps_before`."""

GIVEN_NAME = "given_name"
"""Key, in that entry, of the name that a run gave a layer: another run gives it another one, unless
the user has changed it."""

LayerList: TypeAlias = Any  # napari.components.LayerList, or the proxy a plugin is handed

_NOT_PLANE = str.maketrans("", "", "TCZ")

# The attributes that place pixels in the world; a result has those of its source.
_GEOMETRY = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


FLATTENED, MASK, OBJECTS = "flattened", "mask", "objects"
"""Roles of the layers that Background and Threshold make."""

PARENTS = "parents"
"""Key, in that entry, of the mothers of objects that are linked over time; see `Image`."""

BEFORE, MEASURED = "before", "measured"
"""Keys of the provenance of a layer's source and of the layer's measurement."""

PROBABILITIES, UNCERTAINTY, FEATURE_MAPS = "probabilities", "uncertainty", "feature maps"
"""Roles (or their beginnings) of image layers that report on others and are not processed."""

PREVIEW, SURFACE, REVIEW = "preview", "surface", "review"
"""Roles of layers that no tool works on: what is shown in passing, a background surface, and the
comparison with the truth."""


def is_input(layer: Layer) -> bool:
    """Whether tools work on a layer: not on previews, surfaces, reviews and a sample's truth."""
    return role_of(layer) not in (PREVIEW, SURFACE, REVIEW) and not is_truth(layer)


def is_truth(layer: Layer) -> bool:
    """Whether a layer is the truth of a sample."""
    return bool(layer.metadata.get("truth"))


def is_by_product(layer: Layer) -> bool:
    """Whether a layer can be computed again from others at any time, and is not kept."""
    kinds = (PREVIEW, SURFACE, REVIEW, UNCERTAINTY, FEATURE_MAPS)
    return role_of(layer).startswith(kinds)


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


def give_name(layer: Layer, name: str) -> None:
    """Name a result by its maker, unless the user has named it."""
    given = _mark(layer).get(GIVEN_NAME)
    if given is None or given == layer.name:
        if given is not None:
            layer.name = name
        mark_again(layer, {METADATA_KEY: {GIVEN_NAME: layer.name}})


def family_of(layers: LayerList, layer: Layer) -> str:
    """Return the id of the first image that a layer was made from, which may be gone: its own if it
    was made from none."""
    made, seen = {str(one.unique_id): source_of_layer(one) for one in layers}, set()
    found = str(layer.unique_id)
    while made.get(found) and found not in seen:
        seen.add(found)
        found = made[found]
    return found


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


def image_of(layer: Layer, *, whole: bool = False) -> Image:
    """Convert a layer to an `Image`; a pyramid at its full resolution.

    The axes are in the order of the file, and the channels are those that were chosen for the
    layer. Labels have no channels: what is painted on any of them counts.

    Parameters
    ----------
    whole
        Return all channels.

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
    image = Image.of(data, axes, rgb=rgb, **calibration_of(axes, steps, units))
    image = replace(image, channel_names=_channel_names(layer, image))
    if isinstance(layer, Labels):
        parents = _parents(layer) if "T" in axes else None
        return replace(without_channels(image), parents=parents)
    moved = str(_mark(layer).get(FILE_AXES, ""))
    if sorted(moved) == sorted(axes) and moved != axes and not rgb:
        data = image.data.transpose([axes.index(axis) for axis in moved])
        image = replace(image, data=data, axes=moved)
    chosen = "" if whole else channel_choice(layer)
    return image.channels(chosen) if chosen else image


def without_channels(labels: Image) -> Image:
    """Return labels that were painted over channels without their axis: the largest id of all."""
    if labels.n_channels == 1:
        return labels.channel(0)
    data = labels.data.max(labels.axes.index("C"))
    axes = labels.axes.replace("C", "")
    return labels.like(data, axes)


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


def _parents(layer: Labels) -> dict[int, int] | None:
    """Return the mothers of a layer's objects, from this session or a project file."""
    known = _mark(layer).get(PARENTS)
    if not isinstance(known, Mapping):
        return None
    pairs = [(str(daughter), str(mother)) for daughter, mother in known.items()]
    return {int(d): int(m) for d, m in pairs if d.isdecimal() and m.isdecimal()}


def labels_of(layer: Labels) -> NDArray[Any]:
    """Copy the ids of a Labels layer, since a computation must not see later strokes.

    See `image_of` for labels with channels.
    """
    data = layer.data[0] if layer.multiscale else layer.data
    if 2 <= data.ndim <= len(AXES) and "C" in axes_of(layer):
        return np.array(image_of(layer).data)
    return np.array(data)


def geometry_of(layer: Layer, *, ndim: int | None = None) -> dict[str, Any]:
    """Return the arguments that put a new layer where `layer` is.

    Parameters
    ----------
    ndim
        Number of axes to keep: 2 for a plane of a stack; one less than the layer for results
        without channels. All when missing.
    """
    keep = layer.ndim if ndim is None else ndim
    if keep == layer.ndim:
        found = {name: getattr(layer, name, None) for name in _GEOMETRY}
        return {name: value for name, value in found.items() if value is not None}
    if keep > layer.ndim:
        return _with_more_axes(layer, keep - layer.ndim)
    axes = axes_of(layer) if 2 <= layer.ndim <= len(AXES) else ""
    if keep == layer.ndim - 1 and "C" in axes:
        last = [k for k, axis in enumerate(axes) if axis != "C"]
    else:
        last = [k for k, axis in enumerate(axes) if axis in "YX"][-keep:]
        last = last if len(last) == keep else list(range(layer.ndim - keep, layer.ndim))
    square = np.ix_(last, last)
    affine = np.eye(keep + 1)
    whole = np.asarray(layer.affine.affine_matrix)
    affine[:-1, :-1] = whole[:-1, :-1][square]
    affine[:-1, -1] = whole[:-1, -1][last]
    found = {
        "scale": np.asarray(layer.scale)[last],
        "translate": np.asarray(layer.translate)[last],
        "affine": affine,
        "rotate": np.asarray(layer.rotate)[square],
    }
    if getattr(layer, "units", None) is not None:
        found["units"] = tuple(layer.units[k] for k in last)
    if getattr(layer, "axis_labels", None) is not None and keep == layer.ndim - 1:
        found["axis_labels"] = tuple(layer.axis_labels[k] for k in last)
    return found


def _with_more_axes(layer: Layer, n: int) -> dict[str, Any]:
    """Return the arguments that put a layer with `n` more leading axes over another."""
    affine = np.eye(layer.ndim + n + 1)
    affine[n:, n:] = layer.affine.affine_matrix
    found: dict[str, Any] = {
        "scale": (*(1.0,) * n, *layer.scale),
        "translate": (*(0.0,) * n, *layer.translate),
        "affine": affine,
    }
    if getattr(layer, "units", None) is not None:
        found["units"] = (*("pixel",) * n, *layer.units)
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


def plane_index(layer: Layer, point: tuple[float, ...]) -> tuple[int, ...]:
    """Return the index of the plane of `layer` that the viewer shows, for its leading axes.

    Parameters
    ----------
    point
        The viewer's point along each of its axes, in world units. Its steps are those of the finest
        layer, and count from the first plane of all layers.
    """
    lengths = layer.data[0].shape if getattr(layer, "multiscale", False) else layer.data.shape
    lead = layer.ndim - 2
    # As napari, without what a rotation adds along the rows and columns.
    world = (*point[len(point) - layer.ndim :][:lead], 0.0, 0.0)
    at = np.rint(layer.world_to_data(world)[:lead])
    return tuple(np.clip(at, 0, np.array(lengths[:lead]) - 1).astype(int).tolist())


def labels_over(labels: Labels, image: Layer, *, copy: bool = True) -> NDArray[Any]:
    """Return the ids of a Labels layer that was painted over an image layer, without channels.

    Parameters
    ----------
    copy
        Whether to copy them, since a computation must not see later strokes.
    """
    data = labels.data[0] if labels.multiscale else labels.data
    axes = axes_of(image) if image.ndim == data.ndim <= len(AXES) else ""
    if "C" not in axes:
        return labels_of(labels) if copy or "C" in _named(labels) else np.asarray(data)
    # New Labels of napari have the axes of the image, its channels, too.
    return np.array(without_channels(Image(data, axes)).data)


def _named(layer: Layer) -> str:
    return axes_of(layer) if 2 <= layer.ndim <= len(AXES) else ""


def has_planes(layer: Layer) -> bool:
    """Whether a layer is a stack of planes, along Z."""
    return "Z" in _named(layer)


def plain_shape(layer: Layer) -> tuple[int, ...]:
    """Return the shape of a layer without channels and colours: that of labels of it."""
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    lengths = map(int, data.shape[: layer.ndim])
    axes = _named(layer).ljust(layer.ndim)
    return tuple(n for n, axis in zip(lengths, axes, strict=True) if axis != "C")


def axes_of(layer: Layer) -> str:
    """Return a letter of `AXES` for each axis of a layer, without that of colours."""
    return _axes(layer, layer.ndim)


def choose_axes(layer: Layer, axes: str) -> None:
    """Keep other axes with a layer, for every tool; its sliders are named by them.

    Raises
    ------
    InputError
        If the layer cannot have these axes.
    """
    axes = axes.upper()
    # An image of one pixel is enough to check them.
    Image(np.empty((1,) * layer.ndim), axes)
    mark_again(layer, {METADATA_KEY: {CHOSEN_AXES: axes, FILE_AXES: "", BY_HAND: True}})
    layer.axis_labels = tuple(axes.lower())


def channel_choice(layer: Layer) -> str:
    """Return the channels that were chosen for a layer, as `Image.channels` takes them, or ``""``.

    A choice that does not exist any more is none.
    """
    return str(_mark(layer).get(CHOSEN_CHANNEL, ""))


def choose_channel(layer: Layer, channel: str) -> None:
    """Keep the channels that all tools see with a layer; ``""`` for all.

    Raises
    ------
    InputError
        If the layer has no such channels.
    """
    if channel:
        image_of(layer, whole=True).channels(channel)
    mark_again(layer, {METADATA_KEY: {CHOSEN_CHANNEL: channel}})


def put_channels_first(layer: Layer, layers: LayerList) -> bool:
    """Put the channels of an image layer before all other axes, if that is needed and possible.

    napari lays the last axes of two layers over each other, so a result without channels would be
    out of step with T, C, Z, Y, X. The numbers are not copied, and `image_of` still has the order
    of the file.

    Parameters
    ----------
    layers
        All layers; nothing is moved if another one has these axes, too, or the layer is turned.

    Returns
    -------
    bool
        Whether results without channels lie over the layer.
    """
    if not isinstance(layer, ImageLayer) or layer.rgb or not 2 <= layer.ndim <= len(AXES):
        return True
    axes = axes_of(layer)
    at = axes.find("C")
    if at < 1:
        return True
    reaching = [one for one in layers if one is not layer and one.ndim >= layer.ndim - at]
    others = [one for one in reaching if source_of_layer(one) != str(layer.unique_id)]
    straight = np.allclose(layer.rotate, np.eye(layer.ndim)) and np.allclose(layer.shear, 0)
    straight = straight and np.allclose(layer.affine.affine_matrix, np.eye(layer.ndim + 1))
    if not straight or any(one.ndim == layer.ndim for one in others):
        return False
    order = [at, *(k for k in range(layer.ndim) if k != at)]
    placed = {name: getattr(layer, name, None) for name in ("scale", "translate", "units")}
    ours = is_as_written(layer)
    levels = [one.transpose(order) for one in layer.data] if layer.multiscale else None
    layer.data = layer.data.transpose(order) if levels is None else levels
    for name, value in placed.items():
        if value is not None:
            setattr(layer, name, tuple(value[k] for k in order))
    if ours:
        note_written(layer)
    moved = "".join(axes[k] for k in order)
    mark_again(layer, {METADATA_KEY: {CHOSEN_AXES: moved, FILE_AXES: axes}})
    layer.axis_labels = tuple(moved.lower())
    return True


def geometry_of_file(layer: Layer) -> dict[str, Any]:
    """Return `geometry_of` a layer, with the axes in the order of its file; see `image_of`."""
    found, axes, moved = geometry_of(layer), "", str(_mark(layer).get(FILE_AXES, ""))
    if moved:
        axes = axes_of(layer)
    if sorted(moved) != sorted(axes) or moved == axes:
        return found
    order = [axes.index(axis) for axis in moved]
    kept = ("scale", "translate", "units", "axis_labels")
    return {name: tuple(found[name][k] for k in order) for name in kept if name in found}


def over_layer(layer: Layer, data: Any) -> Any:
    """Transpose data with all axes of `image_of` a layer to the order of the layer."""
    moved, axes = str(_mark(layer).get(FILE_AXES, "")), axes_of(layer)
    if data.ndim != layer.ndim or sorted(moved) != sorted(axes):
        return data
    return data.transpose([moved.index(axis) for axis in axes])


def long_axes(image: Image) -> str:
    """Return the axes of an image that are longer than 1."""
    return "".join(axis for axis in image.axes if image.length(axis) > 1)


def index_along(layer: Layer, axes: str, index: tuple[int, ...]) -> tuple[int, ...]:
    """Return an index of the leading axes of a layer for an image with other axes or order.

    Parameters
    ----------
    axes
        Axes of the image; those the layer lacks get 0.
    index
        As `plane_index` of the layer.
    """
    lead = (axis for axis in axes_of(layer) if axis not in "YX")
    at = dict(zip(lead, index, strict=True))
    return tuple(at.get(axis, 0) for axis in axes if axis not in "YX")


def plane_image(
    image: Image, index: tuple[int, ...], *, channels: bool = False, stack: bool = False
) -> Image:
    """Return one plane of an image, read into memory: YX, or YXC of a colour picture.

    Parameters
    ----------
    index
        Of all axes but Y, X and colour, as from `index_along`.
    channels
        Return all channels, not only that of the index.
    stack
        Return the whole stack of that plane, if there is one: ZYX.
    """
    kept = ("YXC" if image.rgb or channels else "YX") + "Z" * stack
    lead = [axis for axis in image.axes if axis not in "YX" and not (image.rgb and axis == "C")]
    at = dict(zip(lead, index, strict=False))
    axes = "".join(axis for axis in image.axes if axis in kept)
    # An index of the layer may be of a channel that was not chosen.
    where = (min(at[axis], image.length(axis) - 1) for axis in image.axes if axis not in kept)
    block = image.block(tuple(where), axes)
    names = image.channel_names if "C" in axes else ()
    return image.like(block, axes, rgb=image.rgb, channel_names=names)


def over_axes(layer: Layer, place: Any) -> NDArray[np.float64]:
    """Return a place in `image_of` a Labels layer as one of the layer, in its first channel."""
    axes, given = axes_of(layer), np.asarray(place, float)
    return given if len(given) == len(axes) else np.insert(given, axes.index("C"), 0.0)


def field_of(layer: Layer, image: Image, index: tuple[int, ...]) -> Image:
    """Return a plane of `image_of` a layer with all its channels; see `plane_index`."""
    return plane_image(image, index_along(layer, image.grey().axes, index), channels=True)


def channel_on_screen(
    layer: Layer, image: Image, index: tuple[int, ...] | None
) -> tuple[Image, str]:
    """Return the channel of an image that is on screen, the first if none is; colours stay.

    Parameters
    ----------
    image
        `image_of` the layer.
    index
        As `plane_index` of the layer, or None.

    Returns
    -------
    image, choice
        The image of one channel, and the choice that gives it, as `channel_choice`.
    """
    chosen = channel_choice(layer)
    if image.rgb or "C" not in image.axes:
        return image, chosen
    if image.n_channels == 1:
        return image.channel(0), chosen
    at = 0 if index is None else index_along(layer, "C", index)[0]
    at = min(at, image.n_channels - 1)
    listed = chosen.split(",") if chosen else [str(number) for number in range(at + 1)]
    return image.channel(at), listed[at].strip()


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
    data = over_layer(source, data)
    old = find_layer(layers, role, source)
    if old is not None and not is_as_written(old):
        show_info(kept_as_it_is(old))
    elif isinstance(old, ImageLayer) and old.data.shape == data.shape:
        old.data = data
        note_written(old)
        mark_again(old, metadata)
        # The numbers may have another range now (subtract, then divide).
        old.reset_contrast_limits()
        for place, value in geometry_of(source, ndim=old.ndim).items():
            setattr(old, place, value)
        return old
    where = geometry_of(source, ndim=min(np.ndim(data), source.ndim))
    layer = ImageLayer(data, name=name, metadata=metadata, **where, **look)
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
    place = geometry_of(source, ndim=np.ndim(data))
    layer = Labels(data, name=name, metadata=metadata, **place, **look)
    layers.append(layer)
    give_name(layer, name)
    return layer


def take_hidden(layers: LayerList, role: str) -> list[Layer]:
    """Remove and return the hidden layers with a role that hold nothing but what a run wrote."""
    made = [layer for layer in layers if role_of(layer) == role]
    taken = [layer for layer in made if not layer.visible and is_as_written(layer)]
    for layer in taken:
        layers.remove(layer)
    return taken


def _insert_above(layers: LayerList, source: Layer, layer: Layer) -> None:
    layers.insert(layers.index(source) + 1, layer)


def steps_before(source: Layer) -> dict[str, Any]:
    """Return the axes and channels chosen for a source, and, of a result, its role and options."""
    seen = _seen(source)
    if not role_of(source):
        return seen
    plain = (bool, int, float, str)
    options = {
        n: value for n, value in options_of_layer(source).items() if isinstance(value, plain)
    }
    earlier = options_of_layer(source, BEFORE)
    first = {key: earlier[key] for key in (IMAGE_AXES, IMAGE_CHANNEL) if key in earlier}
    return {**first, **seen, "role": role_of(source), **options}


def _seen(layer: Layer) -> dict[str, str]:
    """Return the axes named by hand, in the order of the file, and the channels of a layer."""
    mark = _mark(layer)
    axes = str(mark.get(FILE_AXES) or mark.get(CHOSEN_AXES, "")) if mark.get(BY_HAND) else ""
    channel = channel_choice(layer) or str(mark.get(FILE_CHANNEL, ""))
    found = {IMAGE_AXES: axes, IMAGE_CHANNEL: channel}
    return {key: value for key, value in found.items() if value}


def _mark(layer: Layer) -> Mapping[str, Any]:
    mark = layer.metadata.get(METADATA_KEY, {})
    return mark if isinstance(mark, Mapping) else {}


def _axes(layer: Layer, ndim: int) -> str:
    """Name a layer's axes as chosen, by its axis labels if they are known letters, or by number."""
    chosen = str(_mark(layer).get(CHOSEN_AXES, ""))
    if len(chosen) == ndim:
        return chosen
    labels = "".join(str(label)[:1].upper() for label in getattr(layer, "axis_labels", ()) or ())
    named = len(labels) == ndim and len(set(labels)) == ndim and set(labels) <= set(AXES)
    if named and "YX" in labels.translate(_NOT_PLANE) and labels.find("Z") < labels.index("Y"):
        return labels
    guessed = {2: "YX", 3: "ZYX", 4: "TZYX", 5: "TCZYX"}.get(ndim)
    if guessed is None:
        raise InputError(
            f"{layer.name!r} has {ndim} axes; 2 to 5 are supported. Extract a part of it first."
        )
    return guessed


def _channel_names(layer: Layer, image: Image) -> tuple[str, ...]:
    """Return the names of channels that a reader left with a layer, if they are as many."""
    names = layer.metadata.get("channel_names") or ()
    fits = isinstance(names, list | tuple) and len(names) == image.n_channels and not image.rgb
    return tuple(map(str, names)) if fits else ()


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
