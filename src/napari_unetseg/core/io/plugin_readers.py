"""Readers of installed napari plugins, used without napari, and of bioio where it is installed."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from napari_unetseg.core.errors import InputError, decoding, reading_fields
from napari_unetseg.core.image import AXES, Image
from napari_unetseg.core.io.stored_arrays import chosen_scene, lazily
from napari_unetseg.core.units import calibration_of

_KINDS = ("image", "labels")
# Our own reader opens projects and models; napari's opens tables, and images that are read
# directly.
_NOT_ASKED = ("napari-unetseg", "napari")
# Pattern of plugins that accept any file, which says nothing about a folder's images.
_ANY = ("*", "*.*")


def read_with_plugin(path: Path, axes: str | None, scene: str = "") -> Image:
    """Read a file with the first napari plugin that accepts it and does not fail.

    Parameters
    ----------
    axes, scene
        See `napari_unetseg.core.io.image_files.read_image`.

    Returns
    -------
    Image
        An image or labels from the plugin: that of `scene`, or the first with a note. One layer per
        channel becomes one image of several channels. Times, planes and channels of length one are
        dropped.

    Raises
    ------
    InputError
        When no plugin accepts the file, all fail, or it contains no image.
    """
    parts = _images_in(path)
    with reading_fields("what its napari reader gives"):
        notes: tuple[str, ...] = ()
        if _are_channels(parts) and axes is None:
            image = _joined([_of_layer(data, options, None) for data, options in parts], parts)
        else:
            at, notes = chosen_scene(dict(enumerate(_names(parts))), scene)
            data, options = parts[at]
            image = _of_layer(data, options, axes)
        if not image.calibrated:
            notes += ("its napari reader gives no pixel size, so sizes are in pixels",)
        image = replace(image, notes=(*notes, *image.notes))
    return replace(image, data=lazily(image.data, path)) if image.lazy else image


def scenes_of_plugin(path: Path) -> list[str]:
    """Return the names of the images in a file, as `read_with_plugin` takes them; one may be empty.

    Raises
    ------
    InputError
        As `read_with_plugin`.
    """
    parts = _images_in(path)
    return [""] if _are_channels(parts) else _names(parts)


def _images_in(path: Path) -> list[tuple[Any, dict[str, Any]]]:
    """Return the data and options of the images in a file."""
    given = _layers_of(path)
    with reading_fields("what its napari reader gives"):
        parts = [one for one in map(_parts_of, given) if one is not None]
    if not parts:
        raise InputError("its napari reader gives no image; open it in napari to see its content")
    return parts


def _names(parts: Sequence[tuple[Any, Mapping[str, Any]]]) -> list[str]:
    return [str(options.get("name", "")) for _, options in parts]


def _layers_of(path: Path) -> list[Any]:
    """Return the layers of the first reader that reads a file: one may be broken, or refuse it."""
    import npe2

    failures = []
    # Plugins built on bioio lose the pixel size, so it is asked first.
    if bioio_knows(path):
        try:
            with decoding(path, failed="cannot be read by bioio"):
                return _layers_of_bioio(path)
        except InputError as error:
            failures.append(str(error))
    for plugin in _plugins_for(path):
        try:
            with decoding(path, failed=f"cannot be read by the plugin {plugin}"):
                return list(npe2.read([str(path)], stack=False, plugin_name=plugin))
        except InputError as error:
            failures.append(str(error))
    # A refusal has no reason; one that fails has.
    reasons = [text for text in failures if "refused the file" not in text]
    if reasons:
        raise InputError(reasons[0])
    raise InputError(
        "no reader knows this kind of file; give TIFF, OME-Zarr, .npy, PNG or JPEG, "
        "or install a package of bioio or a napari plugin that reads it"
    )


def bioio_knows(path: Path) -> bool:
    """Whether bioio is installed with a reader for such files, other than one that needs Java."""
    if not find_spec("bioio"):
        return False
    from bioio.plugins import get_plugins

    return any(
        entry.entrypoint.name != "bioio-bioformats"
        for suffix, entries in get_plugins(use_cache=True).items()
        if path.name.lower().endswith(suffix)
        for entry in entries
    )


def _layers_of_bioio(path: Path) -> list[Any]:
    """Return every scene of a file as bioio reads it: T, C, Z, Y, X, with pixel sizes and names."""
    from bioio import BioImage

    image = BioImage(path)
    layers = []
    for scene in image.scenes:
        image.set_scene(scene)
        axes = "TCZYXS" if "S" in image.dims.order else "TCZYX"
        sizes, interval = image.physical_pixel_sizes, image.time_interval
        seconds = interval.total_seconds() if isinstance(interval, timedelta) else interval or 0.0
        named = [getattr(image.dimension_properties, axis).unit for axis in "ZYX"]
        options = {
            "name": scene,
            "axis_labels": tuple("tczyx"),
            "scale": (seconds, 1.0, *(size or 0.0 for size in sizes)),
            "units": ("second", "pixel", *(str(unit or "micrometer") for unit in named)),
            "rgb": "S" in axes,
            "channel_names": [] if "S" in axes else list(map(str, image.channel_names or ())),
        }
        layers.append((image.get_image_dask_data(axes), options, "image"))
    return layers


def _plugins_for(path: Path) -> list[str]:
    """Return the names of the plugins that claim a file, napari's own last."""
    claims = _discover().iter_compatible_readers([str(path)])
    names = dict.fromkeys(reader.plugin_name for reader in claims)
    names.pop(_NOT_ASKED[0], None)
    return sorted(names, key=lambda name: name == "napari")


def plugin_patterns() -> tuple[str, ...]:
    """List the file name patterns of installed napari plugins, in lower case.

    Takes a second on the first call.
    """
    manager = _discover()
    patterns = {
        pattern.lower()
        for manifest in manager.iter_manifests(disabled=False)
        if manifest.name not in _NOT_ASKED
        for reader in manifest.contributions.readers or ()
        for pattern in reader.filename_patterns
        if pattern not in _ANY
    }
    return tuple(sorted(patterns))


def _discover() -> Any:
    import npe2

    manager = npe2.PluginManager.instance()
    manager.discover()
    return manager


def _parts_of(layer: Sequence[Any]) -> tuple[Any, dict[str, Any]] | None:
    """Return the data and options of an image or labels layer, or None."""
    data, options, kind = (*layer, {}, "image")[:3] if len(layer) < 3 else layer
    return (data, dict(options or {})) if kind in _KINDS else None


def _are_channels(layers: Sequence[tuple[Any, Mapping[str, Any]]]) -> bool:
    """Return whether layers are the channels of one image: of equal shape and position."""
    if len(layers) < 2:
        return False
    shapes = {np.shape(data) for data, _ in layers}
    over = all(
        options.get("blending") == "additive" or "colormap" in options for _, options in layers
    )
    plain = not any(options.get("channel_axis") or options.get("rgb") for _, options in layers)
    return over and plain and len(shapes) == 1


def _joined(images: Sequence[Image], layers: Sequence[tuple[Any, Mapping[str, Any]]]) -> Image:
    """Join the channels of one image."""
    first = images[0]
    at = first.axes.index(first.spatial_axes[0])
    if any(image.lazy for image in images):
        import dask.array

        data: Any = dask.array.stack([image.data for image in images], axis=at)
    else:
        data = np.stack([image.data for image in images], axis=at)
    names = tuple(str(options.get("name", "")) for _, options in layers)
    axes = f"{first.axes[:at]}C{first.axes[at:]}"
    return first.like(data, axes, channel_names=names if all(names) else ())


def _of_layer(data: Any, options: Mapping[str, Any], axes: str | None) -> Image:
    if isinstance(data, list | tuple) or options.get("multiscale"):
        data = data[0]
    image = Image.of(data, axes or _axes_of(data, options), rgb=options.get("rgb"))
    scale = [float(step) for step in _listed(options.get("scale"))]
    units = options.get("units") or ("pixel",)
    # A layer may have no scale for its leading axes, and never has one for channels or colours.
    letters = [axis for axis in image.axes if not (axis == "C" and _is_apart(options))]
    units = [units] * len(scale) if isinstance(units, str) else list(map(str, units))
    steps = dict(zip(letters[-len(scale) :], map(abs, scale[-len(letters) :]), strict=False))
    named = dict(zip(letters[-len(units) :], units[-len(letters) :], strict=False))
    if scale:
        image = replace(image, **calibration_of(image.axes, steps, named))
    names = options.get("channel_names") or options.get("name")
    if isinstance(names, list | tuple) and len(names) == image.n_channels and not image.rgb:
        image = replace(image, channel_names=tuple(map(str, names)))
    return image if axes else _without_single(image)


def _is_apart(options: Mapping[str, Any]) -> bool:
    """Whether the channels are no axis of a layer: it is split along them, or shows colours."""
    return options.get("channel_axis") is not None or bool(options.get("rgb"))


def _listed(value: Any) -> Iterable[Any]:
    return () if value is None or np.ndim(value) == 0 else value


def _axes_of(data: Any, options: Mapping[str, Any]) -> str | None:
    """Return the axes named by a layer, or the usual ones with its channel axis inserted."""
    named = "".join(str(label)[:1].upper() for label in options.get("axis_labels") or ())
    are_axes = len(set(named)) == len(named) and set(named) <= set(AXES) and named.endswith("YX")
    at = options.get("channel_axis")
    if at is None:
        return named if are_axes and len(named) == data.ndim else None
    at = int(at) % data.ndim
    usual = {2: "YX", 3: "ZYX", 4: "TZYX"}.get(data.ndim - 1, "")
    others = named if are_axes and len(named) == data.ndim - 1 and "C" not in named else usual
    return f"{others[:at]}C{others[at:]}"


def _without_single(image: Image) -> Image:
    """Drop axes of length one that only the format requires."""
    single = [axis for axis in "TCZ" if axis in image.axes and image.length(axis) == 1]
    if not single:
        return image
    at = tuple(0 if axis in single else slice(None) for axis in image.axes)
    names = () if "C" in single else image.channel_names
    axes = "".join(axis for axis in image.axes if axis not in single)
    return image.like(image.data[at], axes, rgb=image.rgb, channel_names=names)


def pattern_fits(name: str | os.PathLike[str], patterns: Iterable[str]) -> bool:
    """Return whether a file name matches one of some patterns, ignoring case."""
    lower = Path(name).name.lower()
    return any(fnmatchcase(lower, pattern) for pattern in patterns)


__all__ = ["bioio_knows", "pattern_fits", "plugin_patterns", "read_with_plugin", "scenes_of_plugin"]
