"""Conversion between the layers of a viewer and the items of a project folder."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError, decoding
from napari_unetseg.core.project import Contents, ImageItem, LabelsItem
from napari_unetseg.gui.shared.data_versions import data_version
from napari_unetseg.gui.shared.layers import (
    CHOSEN_AXES,
    FILE_AXES,
    KEY,
    KEY_OF,
    METADATA_KEY,
    claim_key,
    find_layer,
    geometry_of_file,
    image_of,
    is_by_product,
    layer_key,
)
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.track_layers import TRACKS, is_tracks

_TYPES = "feature_types"
"""Entry of the `place` of a layer: types of its columns that numpy does not have."""

_TRACKED = "tracks"
"""Entry of the `place` of a layer: whether the paths of its objects are shown."""

_FARTHEST = 1e15

_GEOMETRY = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
_LOOK = ("visible", "opacity", "blending")
_IMAGE_LOOK = (*_LOOK, "gamma", "contrast_limits", "colormap")


def version_of(layer: Layer, session: Session) -> tuple[Any, ...]:
    """Return a key that changes whenever a layer's pixels change."""
    if isinstance(layer, Labels):
        return session.locks(layer).state()
    return (data_version(layer),)


def contents_of(
    viewer: Any, session: Session, unchanged: Callable[[str, tuple[Any, ...]], bool]
) -> Contents:
    """Return the contents to save, with copies of data that may change meanwhile.

    Parameters
    ----------
    unchanged
        Whether an item of this key and version is already saved, so its pixels are not copied.
    """
    keys = {str(layer.unique_id): layer_key(layer) for layer in viewer.layers}
    images, labels, left_out = [], [], []
    for order, layer in enumerate(viewer.layers):
        if is_by_product(layer):
            continue
        common: dict[str, Any] = {
            "key": layer_key(layer),
            "name": layer.name,
            "version": version_of(layer, session),
            "place": {**_place(layer), "order": order},
            "mark": _mark(layer, keys),
        }
        if isinstance(layer, Labels) and not layer.multiscale:
            saved = unchanged(common["key"], common["version"])
            data = np.asarray(layer.data) if saved else np.array(layer.data)
            table, types = _table(layer)
            common["place"] |= {_TYPES: types} if types else {}
            if find_layer(viewer.layers, TRACKS, layer) is not None:
                common["place"][_TRACKED] = True
            ink = session.locks(layer).pixels()
            labels.append(LabelsItem(labels=data, ink=ink, table=table, **common))
        elif isinstance(layer, ImageLayer) and not isinstance(layer, Labels):
            try:
                image = image_of(layer, whole=True)
            except InputError as error:
                left_out.append(f"Not saved: {error}")
                continue
            images.append(ImageItem(image=image, path=_path(layer), **common))
        elif not is_tracks(layer):  # the tracks can be made again, and their mothers are kept
            kind = "pyramid of labels" if isinstance(layer, Labels) else type(layer).__name__
            left_out.append(f"Not saved: {layer.name!r}, for projects hold no {kind} layers.")
    # Models of other programs stay in their own files.
    models = tuple(session.models)
    return Contents(
        images=tuple(images),
        labels=tuple(labels),
        models=models,
        history=session.history.versions,
        missing=tuple(left_out),
    )


def layers_from_contents(contents: Contents) -> tuple[list[Layer], list[str]]:
    """Make the layers of a project, lowest first, and a list of problems."""
    made: list[tuple[float, Layer]] = []
    problems = list(contents.missing)
    for item in contents.items:
        kind: Any = Labels if isinstance(item, LabelsItem) else ImageLayer
        data = item.labels if isinstance(item, LabelsItem) else item.image.data
        metadata = {METADATA_KEY: {**item.mark, KEY: item.key}}
        place = _known(item.place, kind)
        try:
            with decoding(item.name, failed="is shown without its stored position and look"):
                layer = kind(data, name=item.name, metadata=metadata, **place)
                _check_extent(layer)
        except InputError as error:
            layer = kind(data, name=item.name, metadata=metadata)
            problems.append(str(error))
        if isinstance(item, LabelsItem) and item.table:
            problems += _set_features(layer, item)
        order = item.place.get("order", 0)
        made.append((order if isinstance(order, int | float) else 0, layer))
    return [layer for _, layer in sorted(made, key=lambda pair: pair[0])], problems


def adopt(viewer: Any, session: Session, contents: Contents) -> list[Labels]:
    """Restore the sources and locked pixels of opened layers, and the models.

    Returns
    -------
    list of Labels
        The layers whose tracks were shown when the project was saved.
    """
    tracked = []
    by_key = {item.key: claim_key(viewer.layers, item.key) for item in contents.items}
    for item in contents.items:
        layer = by_key.get(item.key)
        if layer is None:
            continue
        mark = dict(layer.metadata.get(METADATA_KEY, {}))
        source = by_key.get(str(mark.get("source", "")))
        if source is not None:
            mark["source"] = str(source.unique_id)
            layer.metadata = {**layer.metadata, METADATA_KEY: mark}
        if isinstance(item, LabelsItem) and isinstance(layer, Labels):
            locks = session.locks(layer)
            if item.ink is not None and not locks:
                locks.restore(item.ink)
            if item.place.get(_TRACKED) is True:
                tracked.append(layer)
    session.adopt_models(contents.models, contents.history)
    return tracked


def _path(layer: Layer) -> Path | None:
    """Return the file of a layer, if the layer still shows the content of the file."""
    path = getattr(layer.source, "path", None)
    mark = layer.metadata.get(METADATA_KEY, {})
    if path is None or (isinstance(mark, Mapping) and mark.get("role")):
        return None
    return (
        Path(path) if Path(path).exists() and not (Path(path) / "project.json").exists() else None
    )


def _mark(layer: Layer, keys: Mapping[str, str]) -> dict[str, Any]:
    mark = layer.metadata.get(METADATA_KEY, {})
    if not isinstance(mark, Mapping):
        return {}
    kept = {name: _plain(value) for name, value in mark.items() if name not in (KEY, KEY_OF)}
    if kept.get(FILE_AXES):
        # Projects hold images as their files do.
        kept[CHOSEN_AXES] = kept.pop(FILE_AXES)
    if "source" in kept:
        kept["source"] = keys.get(str(kept["source"]), str(kept["source"]))
    return kept


def _place(layer: Layer) -> dict[str, Any]:
    """Return the position and look of a layer as plain values for JSON."""
    found = geometry_of_file(layer)
    if "affine" in found:
        found["affine"] = np.asarray(layer.affine.affine_matrix)
    if "units" in found:
        found["units"] = [str(unit) for unit in found["units"]]
    image = isinstance(layer, ImageLayer) and not isinstance(layer, Labels)
    rgb = bool(getattr(layer, "rgb", False))
    for name in _IMAGE_LOOK if image else _LOOK:
        if not (rgb and name in ("colormap", "contrast_limits")):
            found[name] = getattr(layer, name)
    if "colormap" in found:
        found["colormap"] = layer.colormap.name
    if image:
        found["rgb"] = rgb
    return {name: _plain(value) for name, value in found.items()}


def _known(place: Mapping[str, Any], kind: type[Layer]) -> dict[str, Any]:
    """Select the valid layer arguments, since the file may come from anyone."""
    look = _LOOK if kind is Labels else (*_IMAGE_LOOK, "rgb")
    return {name: place[name] for name in (*_GEOMETRY, *look) if name in place}


def _table(layer: Labels) -> tuple[dict[str, NDArray[Any]] | None, dict[str, str]]:
    """Return the features of a layer as arrays, and the types that numpy does not have."""
    features: Any = layer.features
    if not len(features.columns) or not len(features):
        return None, {}
    table: dict[str, NDArray[Any]] = {}
    types: dict[str, str] = {}
    for name, column in features.items():
        if isinstance(column.dtype, np.dtype) and column.dtype.kind != "O":
            table[str(name)] = column.to_numpy(copy=True)
        else:
            types |= {} if isinstance(column.dtype, np.dtype) else {str(name): str(column.dtype)}
            missing = column.isna().to_numpy()
            cells = np.array(column.to_numpy(object), object)
            floats = np.array([isinstance(cell, float) for cell in cells], bool)
            cells[missing & ~floats] = None
            table[str(name)] = cells
    return table, types


def _set_features(layer: Labels, item: LabelsItem) -> list[str]:
    """Set the features of a layer from its table; return sentences about problems."""
    types = item.place.get(_TYPES)
    try:
        with decoding(item.name, failed="is shown without its table"):
            layer.features = dict(item.table or {})
            for name, kind in types.items() if isinstance(types, Mapping) else ():
                old = layer.features[name]
                new = old.astype(kind)
                if new.isna().equals(old.isna()):
                    layer.features[name] = new
    except InputError as error:
        return [str(error)]
    return []


def _check_extent(layer: Layer) -> None:
    """Raise unless a layer has a place in the viewer, which has numbers of limited size."""
    corners = np.asarray(layer.extent.world, np.float64)
    if not np.isfinite(corners).all() or np.abs(corners).max(initial=0) > _FARTHEST:
        raise InputError(
            f"{layer.name} is shown without its stored position, which lies outside of any window."
        )


def _plain(value: Any) -> Any:
    """Convert a value to plain types for JSON."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


__all__ = ["adopt", "contents_of", "layers_from_contents", "version_of"]
