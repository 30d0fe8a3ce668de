"""OME-Zarr in and out: arrays in chunks, with a pyramid, calibration and channel names.

Read with zarr itself, since the metadata are a few lines of JSON and files in the wild bend the
rules that a validating reader holds them to. Written with ome-zarr, the reference implementation
of the format's own authors: it follows every version of the specification. ngff-zarr writes the
same files and adds transforms and registration this program does not need, at the price of two
WebAssembly runtimes, over 100 MB.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io.units import long_name_of, symbol_of
from napari_unetseg.core.progress import Progress, silent

# Version 0.4: what Fiji, QuPath, MoBIE and napari all open. Version 0.5 is read as well.
_VERSION = "0.4"

_ORDER = "TCZYX"
_CHUNK = 512
_DEEPEST_CHUNK = 16
_SMALLEST_LEVEL = 256
_COLOURS = ("red", "green", "blue", "alpha")
_TYPES = {"T": "time", "C": "channel"}


def read_zarr(path: Path, axes: str | None = None) -> Image:
    """Open the full-resolution level of an OME-Zarr image, or a plain zarr array, lazily.

    Parameters
    ----------
    path
        The folder: version 0.1 to 0.5, zarr format 2 or 3. Of several images the first is taken.
    axes
        Names for the axes, when the file does not say or says wrong.

    Raises
    ------
    InputError
        When there is no image in it.
    """
    import zarr

    node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Array):
        return Image.of(node, axes)
    group, multiscale = _find_image(node)
    level = multiscale["datasets"][0]
    array = group[level["path"]]
    letters = axes.upper() if axes else _letters(multiscale, array.ndim)
    names = _channel_names(group, array.shape, letters)
    return Image.of(
        array,
        letters,
        spacing=_spacing(multiscale, level, letters),
        unit=_unit(multiscale),
        rgb=tuple(name.lower() for name in names) in (_COLOURS[:3], _COLOURS),
        channel_names=names,
    )


def write_zarr(
    path: Path, image: Image, *, labels: bool = False, progress: Progress = silent
) -> None:
    """Write an OME-Zarr folder with a pyramid, chunk by chunk.

    Parameters
    ----------
    path
        The folder to make; not replaced in one step, see `napari_unetseg.core.io.writing`.
    image
        Any image. The axes are stored in the order TCZYX. Colours keep their names, by which they
        are known again.
    labels
        Whether the numbers are ids: the pyramid then picks pixels instead of averaging them.
    progress
        Told after every chunk; may raise to abandon the work.
    """
    import dask
    import zarr

    write_multiscale, version = _writer()
    ordered = _ordered(image)
    levels = _pyramid(_chunked(ordered), ordered.axes, labels=labels)
    names = ordered.axes.lower()
    group = zarr.open_group(path, mode="w", zarr_format=version.zarr_format)
    jobs = write_multiscale(
        levels,
        group,
        fmt=version,
        axes=[_axis(letter, ordered) for letter in ordered.axes],
        scale=dict.fromkeys(names, 1.0)
        | dict(zip(ordered.spatial_axes.lower(), ordered.spacing, strict=True)),
        name=path.stem,
        compute=False,
    )
    with _Watcher(progress).callback():
        dask.compute(*jobs)
    if labels:
        group.attrs["image-label"] = {"version": _VERSION}
    if ordered.rgb or ordered.channel_names:
        group.attrs["omero"] = _omero(ordered)


def _writer() -> tuple[Any, Any]:
    """Import the library, which calls a part of itself that it has deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from ome_zarr.format import FormatV04
        from ome_zarr.writer import write_multiscale
    return write_multiscale, FormatV04()


def _metadata(group: Any) -> Mapping[str, Any]:
    attributes: Mapping[str, Any] = group.attrs.asdict()
    inner = attributes.get("ome")
    return inner if isinstance(inner, Mapping) else attributes


def _find_image(group: Any) -> tuple[Any, Mapping[str, Any]]:
    """Return the group that holds the image and its description; images may lie one level down."""
    import zarr

    for candidate in (group, group.get("0")):
        if not isinstance(candidate, zarr.Group):
            continue
        described = _metadata(candidate).get("multiscales") or [{}]
        if described[0].get("datasets"):
            return candidate, described[0]
    raise InputError("it holds no OME-Zarr image; of a plate, name one field, such as A/1/0")


def _letters(multiscale: Mapping[str, Any], ndim: int) -> str | None:
    """Return the axes a file names; versions before 0.3 always have all five."""
    axes = multiscale.get("axes")
    if not axes:
        return _ORDER if ndim == len(_ORDER) else None
    names = [axis["name"] if isinstance(axis, Mapping) else axis for axis in axes]
    return "".join(str(name) for name in names).upper()


def _spacing(
    multiscale: Mapping[str, Any], level: Mapping[str, Any], letters: str | None
) -> list[float]:
    scale = np.ones(len(letters or ""))
    for described in (level, multiscale):
        for transform in described.get("coordinateTransformations") or []:
            if transform.get("type") == "scale" and len(transform.get("scale", ())) == len(scale):
                scale = scale * np.asarray(transform["scale"], dtype=float)
    return [float(step) for step, axis in zip(scale, letters or "", strict=True) if axis in "ZYX"]


def _unit(multiscale: Mapping[str, Any]) -> str:
    for axis in reversed(multiscale.get("axes") or []):
        if isinstance(axis, Mapping) and axis.get("type") == "space":
            return symbol_of(axis.get("unit"))
    return "pixel"


def _channel_names(group: Any, shape: tuple[int, ...], letters: str | None) -> tuple[str, ...]:
    channels = (_metadata(group).get("omero") or {}).get("channels") or []
    names = tuple(str(channel.get("label", "")) for channel in channels)
    if not letters or "C" not in letters or len(names) != shape[letters.index("C")]:
        return ()
    return names if all(names) else ()


def _ordered(image: Image) -> Image:
    order = "".join(axis for axis in _ORDER if axis in image.axes)
    data = image.data.transpose([image.axes.index(axis) for axis in order])
    names = _COLOURS[: image.n_channels] if image.rgb else image.channel_names
    return Image(data, order, image.spacing, image.unit, image.rgb, tuple(names))


def _chunked(image: Image) -> Any:
    import dask.array

    side = {"Z": _DEEPEST_CHUNK, "Y": _CHUNK, "X": _CHUNK}
    chunks = tuple(min(side.get(axis, 1), image.length(axis)) for axis in image.axes)
    if image.lazy:
        return image.data.rechunk(chunks)
    return dask.array.from_array(image.data, chunks=chunks, name=False)


def _pyramid(level: Any, axes: str, *, labels: bool) -> list[Any]:
    """Halve rows and columns until both are small; each level is computed from the one before."""
    levels = [level]
    at = [axes.index(axis) for axis in "YX"]
    while max(level.shape[axis] for axis in at) > _SMALLEST_LEVEL:
        level = _halved(level, [axis for axis in at if level.shape[axis] > 1], labels=labels)
        levels.append(level)
    return levels


def _halved(level: Any, axes: list[int], *, labels: bool) -> Any:
    import dask.array

    if labels or level.dtype == bool:
        index = tuple(slice(None, None, 2 if a in axes else 1) for a in range(level.ndim))
        return level[index].rechunk(level.chunksize)
    mean = dask.array.coarsen(
        _mean_of(level.dtype), level, dict.fromkeys(axes, 2), trim_excess=True
    )
    return mean.rechunk(level.chunksize)


def _mean_of(dtype: np.dtype[Any]) -> Any:
    def mean(block: NDArray[Any], axis: Any = None, **_: Any) -> NDArray[Any]:
        average = np.mean(block, axis=axis, dtype=np.float64 if dtype.itemsize > 4 else np.float32)
        rounded = np.rint(average) if dtype.kind in "iu" else average
        return np.asarray(rounded.astype(dtype))

    return mean


def _axis(letter: str, image: Image) -> dict[str, str]:
    described = {"name": letter.lower(), "type": _TYPES.get(letter, "space")}
    unit = long_name_of(image.unit)
    if letter in "ZYX" and unit is not None:
        described["unit"] = unit
    return described


def _omero(image: Image) -> dict[str, Any]:
    colours = ("FF0000", "00FF00", "0000FF") if image.rgb else ("FFFFFF",)
    high = 1.0 if image.dtype.kind in "fb" else float(np.iinfo(image.dtype).max)
    window = {"min": 0.0, "max": high, "start": 0.0, "end": high}
    return {
        "channels": [
            {"label": name, "color": colours[index % len(colours)], "window": window}
            for index, name in enumerate(image.channel_names)
        ],
        "rdefs": {"model": "color"},
    }


class _Watcher:
    """Tells a `Progress` how many of dask's tasks are done."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def callback(self) -> Any:
        from dask.callbacks import Callback

        return Callback(posttask=self.tell)

    def tell(self, key: Any, result: Any, graph: Any, state: Any, worker: Any) -> None:
        done = len(state["finished"])
        total = done + sum(len(state[name]) for name in ("ready", "waiting", "running"))
        self.progress(done / max(total, 1), "writing")


__all__ = ["read_zarr", "write_zarr"]
