"""OME-Zarr files: chunked arrays with a pyramid, calibration and channel names.

Read with zarr itself, since the metadata are a few lines of JSON and many existing files violate
the rules that a validating reader enforces. Written with ome-zarr, the reference implementation of
the format's authors: it follows every version of the specification. ngff-zarr writes the same files
and adds transforms and registration that this program does not need, at the cost of two WebAssembly
runtimes, over 100 MB.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_unetseg.core.errors import InputError, reading_fields
from napari_unetseg.core.image import Image, read_pixels
from napari_unetseg.core.io.pyramid import ORDER, PyramidLayout, build_levels, chunk_boxes, create
from napari_unetseg.core.io.stored_arrays import (
    MAX_DECLARED,
    bytes_of,
    check_declared,
    check_level,
    chosen_scene,
    lazily,
)
from napari_unetseg.core.progress import Progress, part, silent, track
from napari_unetseg.core.units import calibration_of

_COLOURS = ("red", "green", "blue", "alpha")
_LEVELS_SHARE = 0.3


def read_zarr(path: Path, axes: str | None = None, scene: str = "", level: int = 0) -> Image:
    """Open one level of an OME-Zarr image, or a plain zarr array, lazily.

    Parameters
    ----------
    path
        The folder: version 0.1 to 0.5, zarr format 2 or 3.
    axes
        Names for the axes, when the file has none or wrong ones.
    scene
        Number, from 0, or name of the image, when there are several; the first by default, with a
        note.
    level
        Resolution level: 0 for the full resolution, 1 for the next coarser and so on.

    Raises
    ------
    InputError
        When it contains no image, or fewer levels.
    """
    import zarr

    node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Array):
        check_level(level, 1)
        return Image.of(_lazily(node, path), axes)
    with reading_fields():
        group, multiscale, notes = _find_image(node, scene)
        check_level(level, len(multiscale["datasets"]))
        described = multiscale["datasets"][level]
        array = group[described["path"]]
    if not isinstance(array, zarr.Array):
        raise InputError(f"its level {level} is not an array; copy it again from its source")
    with reading_fields():
        letters = axes.upper() if axes else _letters(multiscale, array.ndim)
        names = _channel_names(group, array.shape, letters)
        calibration = _calibration(multiscale, described, letters)
        calibration["notes"] = (*notes, *calibration["notes"])
    return Image.of(
        _lazily(array, path),
        letters,
        **calibration,
        rgb=tuple(name.lower() for name in names) in (_COLOURS[:3], _COLOURS),
        channel_names=names,
    )


def _lazily(array: Any, path: Path) -> Any:
    if math.prod(array.shape) * array.dtype.itemsize > MAX_DECLARED:
        check_declared(array.shape, array.dtype, bytes_of(path))
    return lazily(array, path)


def zarr_contents(path: Path) -> tuple[list[str], list[int]]:
    """Return the names of the images in a zarr folder, and their numbers of resolutions.

    Raises
    ------
    InputError
        When it contains no image.
    """
    import zarr

    node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Array):
        return [""], [1]
    with reading_fields():
        found = [described for _, described in _images(node).values()]
    names = [str(described.get("name", "")) for described in found]
    return names, [len(described["datasets"]) for described in found]


def read_levels(path: Path, scene: str = "") -> list[Image]:
    """Open all levels of an OME-Zarr image, the full resolution first; see `read_zarr`."""
    import zarr

    _, multiscale, _ = _find_image(zarr.open_group(path, mode="r"), scene)
    return [
        read_zarr(path, level=level, scene=scene) for level in range(len(multiscale["datasets"]))
    ]


def write_zarr(
    path: Path, image: Image, *, labels: bool = False, progress: Progress = silent
) -> None:
    """Write an OME-Zarr folder with a pyramid, chunk by chunk.

    Parameters
    ----------
    path
        The folder to make; not replaced atomically, see `napari_unetseg.core.io.writing`.
    image
        Any image. The axes are stored in the order TCZYX. RGB channels are named, so that they are
        recognised when read.
    labels
        Whether the pixels are ids: the pyramid is then subsampled instead of averaged.
    progress
        Called after every chunk; may raise to abandon the work.
    """
    given = ordered(image)
    layout = plan_layout(given, labels=labels)
    group = create(path, layout)
    boxes = list(chunk_boxes(layout.shape, layout.chunks))
    for box in track(boxes, part(progress, 0, 1 - _LEVELS_SHARE), "writing"):
        group["s0"][box] = read_pixels(given.data[box])
    build_levels(group, layout, part(progress, 1 - _LEVELS_SHARE, 1))


def plan_layout(image: Image, *, labels: bool = False) -> PyramidLayout:
    """Plan the file layout of an image whose axes are in order."""
    return PyramidLayout(
        image.shape,
        image.axes,
        image.dtype,
        image.spacing,
        image.unit,
        labels,
        image.rgb,
        image.channel_names,
        interval=image.interval,
        assumed=image.assumed,
    )


def _metadata(group: Any) -> Mapping[str, Any]:
    attributes: Mapping[str, Any] = group.attrs.asdict()
    inner = attributes.get("ome")
    return inner if isinstance(inner, Mapping) else attributes


def _find_image(group: Any, scene: str) -> tuple[Any, Mapping[str, Any], tuple[str, ...]]:
    """Return the group of an image, its multiscale metadata and a remark on the choice."""
    found = _images(group)
    names = {key: str(described.get("name", "")) for key, (_, described) in found.items()}
    key, notes = chosen_scene(names, scene)
    return *found[key], notes


def _images(group: Any) -> dict[str, tuple[Any, Mapping[str, Any]]]:
    """Return the group and the multiscale metadata of every image."""
    found: dict[str, tuple[Any, Mapping[str, Any]]] = {}
    for key, candidate in _groups(group):
        for number, described in enumerate(_metadata(candidate).get("multiscales") or []):
            if described.get("datasets"):
                found[f"{key}/{number}"] = candidate, described
    if not found:
        raise InputError(
            "it contains no OME-Zarr image; for a plate, name one field, such as A/1/0"
        )
    return found


def _groups(group: Any) -> Iterator[tuple[str, Any]]:
    """Yield the group, or if it is no image, those one level down that are numbered."""
    import zarr

    yield "", group
    for number in itertools.takewhile(lambda n: str(n) in group, itertools.count()):
        if isinstance(group[str(number)], zarr.Group):
            yield str(number), group[str(number)]


def _letters(multiscale: Mapping[str, Any], ndim: int) -> str | None:
    """Return the axes named in a file; versions before 0.3 always have all five."""
    axes = multiscale.get("axes")
    if not axes:
        return ORDER if ndim == len(ORDER) else None
    names = [axis["name"] if isinstance(axis, Mapping) else axis for axis in axes]
    return "".join(str(name) for name in names).upper()


def _calibration(
    multiscale: Mapping[str, Any], level: Mapping[str, Any], letters: str | None
) -> dict[str, Any]:
    """Return the calibration of a level; see `calibration_of`."""
    if not letters:
        return {"notes": ()}
    scale = np.ones(len(letters))
    for described in (level, multiscale):
        for transform in described.get("coordinateTransformations") or []:
            if transform.get("type") == "scale" and len(transform.get("scale", ())) == len(scale):
                scale = scale * np.asarray(transform["scale"], dtype=float)
    axes = multiscale.get("axes") or []
    units = [axis.get("unit") if isinstance(axis, Mapping) else None for axis in axes]
    pairs = zip(letters, units, strict=False)
    return calibration_of(letters, dict(zip(letters, map(float, scale), strict=True)), dict(pairs))


def _channel_names(group: Any, shape: tuple[int, ...], letters: str | None) -> tuple[str, ...]:
    channels = (_metadata(group).get("omero") or {}).get("channels") or []
    names = tuple(str(channel.get("label", "")) for channel in channels)
    if not letters or "C" not in letters or len(names) != shape[letters.index("C")]:
        return ()
    return names if all(names) else ()


def ordered(image: Image) -> Image:
    """Transpose an image to the axis order of a file, with named colours."""
    order = "".join(axis for axis in ORDER if axis in image.axes)
    data = image.data.transpose([image.axes.index(axis) for axis in order])
    names = _COLOURS[: image.n_channels] if image.rgb else image.channel_names
    return image.like(data, order, rgb=image.rgb, channel_names=names)


__all__ = ["ordered", "read_levels", "read_zarr", "write_zarr", "zarr_contents"]
