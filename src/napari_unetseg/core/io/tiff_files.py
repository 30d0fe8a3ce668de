"""TIFF files with axes and calibration: ImageJ, OME, and plain files with their shape."""

import math
import re
import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError, decoding, reading_fields
from napari_unetseg.core.image import Image
from napari_unetseg.core.io.stored_arrays import (
    NOT_AN_IMAGE,
    check_declared,
    check_level,
    chosen_scene,
)
from napari_unetseg.core.progress import Progress, silent, track
from napari_unetseg.core.units import calibration_of, long_name_of

# Files up to this many bytes are read at once; larger ones stay on disk and are read in parts.
LAZY_ABOVE = 2**30

# ImageJ does not open BigTIFF, so larger files are written as OME-TIFF.
_IMAGEJ_BELOW = 2**32 - 2**25

_CUT_SHORT = "the file is truncated; copy it again from its source"

_IMAGEJ_DTYPES = ("uint8", "uint16", "float32")
_OME_DTYPES = ("bool", "int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64")

Steps = tuple[dict[str, float], dict[str, Any]]
"""Distance of neighbours along each axis that is known, and its unit."""

# Print and screen resolutions, in dots per inch, are multiples of these up to the last.
_PRINT, _MOST_DOTS = (50, 72, 75, 96), 1200
_COARSEST = 100.0
"""Largest pixel, in µm, that a resolution tag is believed."""

# The version that tifffile writes in place of ImageJ's.
_PYTHON = "1.11a"

# Slide scanners describe a page by fields, MPP being micrometres per pixel.
_MICRONS = re.compile(r"\bMPP\s*=\s*([0-9.]+)")

# Names of the pictures beside the image of a slide.
_ASIDE = ("thumbnail", "label", "macro", "map")


def read_tiff(
    path: Path,
    axes: str | None = None,
    scene: str = "",
    level: int = 0,
    *,
    lazy_above: int | None = None,
) -> Image:
    """Read one series of a TIFF file: all pages that belong together.

    Parameters
    ----------
    path
        Any file tifffile reads: any compression, strips or tiles, ImageJ, OME, LSM, plain.
    axes
        Names for the axes, when the file has none or wrong ones. The format drops axes of length
        one.
    scene
        Number, from 0, or name of the image, when the file holds several.
    level
        Resolution of a pyramid: 0 for the full one.
    lazy_above
        Bytes above which the pixels stay on disk; `LAZY_ABOVE` by default.

    Returns
    -------
    Image
        In memory up to `lazy_above` bytes, lazy above. Spacing and unit come from ImageJ, OME,
        LSM, a slide scanner's or this program's own metadata, each axis in its own unit; or from a
        resolution per centimetre or inch, unless it is one for print and screens.

    Raises
    ------
    InputError
        When the file holds no image, is truncated, or is one of several of which one is missing.
    """
    from tifffile import TiffFile

    with TiffFile(path) as file:
        if file.is_ome:
            with reading_fields():
                _check_set(file)
        if not file.series or 0 in file.series[0].shape:
            raise InputError("it holds no image")
        with reading_fields():
            at, notes = chosen_scene(_scenes(file), scene)
        whole = file.series[at]
        check_level(level, len(whole.levels))
        series = whole.levels[level]
        _check_chain(file)
        _check_whole(series, file.filehandle.size)
        check_declared(series.shape, series.dtype, file.filehandle.size, free=LAZY_ABOVE)
        with reading_fields():
            letters = axes.upper() if axes else name_axes(series.axes)
            calibration = _calibration(file, letters, at)
            calibration["notes"] = (*notes, *calibration["notes"])
            ratios = [n / m for n, m in zip(whole.shape, series.shape, strict=True)]
            coarser = [by for axis, by in zip(letters, ratios, strict=True) if axis in "ZYX"]
            pairs = zip(calibration["spacing"], coarser, strict=True)
            calibration["spacing"] = tuple(step * by for step, by in pairs)
            rgb = _is_rgb(series, letters)
            names = _channel_names(file, series.shape, letters, at)
        lazily = series.nbytes > (LAZY_ABOVE if lazy_above is None else lazy_above)
        data = _open_lazily(path, at, level) if lazily else series.asarray()
        return Image.of(data, letters, rgb=rgb, channel_names=names, **calibration)


def tiff_contents(path: Path) -> tuple[list[str], list[int]]:
    """Return the names of the images in a TIFF file, and their numbers of resolutions.

    Raises
    ------
    InputError
        When the metadata are damaged.
    """
    from tifffile import TiffFile

    with TiffFile(path) as file, reading_fields():
        if file.is_ome:
            _check_set(file)
        found = _scenes(file)
        return list(found.values()), [len(file.series[at].levels) for at in found]


def is_large_tiff(path: Path) -> bool:
    """Return whether a file is a TIFF too large to read at once, according to its header."""
    import tifffile

    try:
        with decoding(path), tifffile.TiffFile(path) as file:
            return bool(file.series) and int(file.series[0].nbytes) > LAZY_ABOVE
    except InputError:
        return False


def write_tiff(
    path: Path, image: Image, *, compress: bool = False, progress: Progress = silent
) -> None:
    """Write a TIFF file that reads back identically, including unit and spacing to eleven digits.

    ImageJ's format where it can hold the image (8 and 16 bit, float32, axes in the order TZCYX,
    below 4 GB), so that Fiji shows the scale; OME-TIFF for other dtypes, orders and sizes; a plain
    file with its axes in the metadata for the rest. A lazy image is written plane by plane.

    Parameters
    ----------
    path
        The file; not replaced atomically, see `napari_unetseg.core.io.writing`.
    image
        Any image. Planes are stored last and colours innermost, whatever the order of the axes;
        axes of length one, and the names of channels in a plain file, are lost.
    compress
        Deflate: effective for labels, of little use and slow for noisy images.
    progress
        Called after every plane of a lazy image.
    """
    import tifffile

    image = _stored(image)
    dialect = next(options for fits, options in _DIALECTS if fits(image))
    tifffile.imwrite(
        path,
        _pages(image, progress) if image.lazy else np.ascontiguousarray(image.data),
        shape=image.shape,
        dtype=image.dtype,
        photometric="rgb" if image.rgb else "minisblack",
        compression="zlib" if compress else None,
        bigtiff=image.data.nbytes >= _IMAGEJ_BELOW,
        **dialect(image),
    )


def name_axes(letters: str) -> str:
    """Translate tifffile's axes to those of `napari_unetseg.core.image.AXES`.

    Samples are channels; pages of unknown meaning become depth, then time, then channels, in that
    order of preference, and keep the file's order.

    Examples
    --------
    >>> name_axes("YXS"), name_axes("QYX"), name_axes("QCYX"), name_axes("QQYX")
    ('YXC', 'ZYX', 'ZCYX', 'TZYX')
    """
    named = letters.replace("S", "C") if "C" not in letters else letters
    unknown = [letter for letter in named if letter not in "TCZYX"]
    free = [letter for letter in "ZTC" if letter not in named][: len(unknown)]
    given = iter(sorted(free, key="TCZ".index))
    return "".join(a if a in "TCZYX" else next(given, a) for a in named)


def _check_chain(file: Any) -> None:
    """Refuse a file truncated within its list of pages: missing pages would go unnoticed."""
    layout, handle = file.tiff, file.filehandle
    size, width = handle.size, layout.offsetsize
    # NDPI, a 32-bit file with 64-bit offsets, is left to tifffile.
    if file.is_ndpi:
        return
    position, visited = (4 if width == 4 else 8), set()
    while position + width <= size:
        handle.seek(position)
        (page,) = struct.unpack(layout.offsetformat, handle.read(width))
        if page == 0 or page in visited:
            return
        if page + layout.tagnosize > size:
            break
        visited.add(page)
        handle.seek(page)
        (n_tags,) = struct.unpack(layout.tagnoformat, handle.read(layout.tagnosize))
        position = page + layout.tagnosize + n_tags * layout.tagsize
    raise InputError(_CUT_SHORT)


def _check_whole(series: Any, size: int) -> None:
    """Refuse a file truncated within its pixels: missing pixels would read as zeros."""
    ends = [
        offset + count
        for page in series.pages
        if page is not None
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
    ]
    if series.dataoffset is not None:
        ends.append(series.dataoffset + series.nbytes)
    if ends and max(ends) > size:
        raise InputError(_CUT_SHORT)


def _open_lazily(path: Path, at: int, level: int) -> Any:
    import dask.array

    return dask.array.from_array(_OnDisk(path, at, level), chunks="auto", asarray=False)


class _OnDisk:
    """Array over one series of a file, which is opened for each part that is read.

    The file is closed between reads, and the array can be sent to another process.
    """

    def __init__(self, path: Path, at: int, level: int) -> None:
        self.path, self.at, self.level = path, at, level
        with self._opened() as array:
            self.shape, self.dtype, self.chunks = array.shape, array.dtype, array.chunks
        self.ndim = len(self.shape)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        with decoding(self.path, failed=NOT_AN_IMAGE), self._opened() as array:
            return np.asarray(array[index])

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        import tifffile
        import zarr

        with tifffile.TiffFile(self.path) as file:
            yield zarr.open_array(file.series[self.at].aszarr(level=self.level), mode="r")


def _is_rgb(series: Any, letters: str) -> bool:
    page = series.keyframe
    return bool(
        page.photometric in (2, 6)
        and "S" in series.axes
        and series.shape[series.axes.index("S")] in (3, 4)
        and letters[series.axes.index("S")] == "C"
    )


def _calibration(file: Any, letters: str, at: int) -> dict[str, Any]:
    """Return the calibration of a series; see `calibration_of`."""
    steps, units, notes = _steps(file, at)
    found = calibration_of(letters, steps, units)
    if file.is_imagej and "Z" in found["assumed"] and file.imagej_metadata["ImageJ"] != _PYTHON:
        # ImageJ itself leaves out a step of exactly 1.
        found = calibration_of(letters, {"Z": 1.0, **steps}, {"Z": found["unit"], **units})
        found["notes"] += (
            f"its Z step is not written and taken as 1 {found['unit']}, as ImageJ does",
        )
    return {**found, "notes": (*notes, *found["notes"])}


def _steps(file: Any, at: int) -> tuple[dict[str, float], dict[str, Any], list[str]]:
    """Return the step along each axis known to the file, its unit, and remarks."""
    page = file.series[at].keyframe
    if file.is_ome:
        return *_ome_steps(_ome_image(file, at)), []
    if file.is_imagej:
        return *_imagej_steps(file), []
    if file.shaped_metadata and "spacing" in file.shaped_metadata[0]:
        return *_own_steps(file.shaped_metadata[0], name_axes(file.series[0].axes)), []
    if file.is_lsm:
        lsm = file.lsm_metadata
        known = {axis: lsm.get(f"VoxelSize{axis}", 0) * 1e6 for axis in "XYZ"}
        known["T"] = lsm.get("TimeInterval") or 0.0
        return known, {"X": "µm", "Y": "µm", "Z": "µm", "T": "s"}, []
    if size := _MICRONS.search(page.description):
        return {"X": float(size[1])}, {"X": "µm"}, []
    return _resolution_steps(page)


def _imagej_steps(file: Any) -> Steps:
    tags, described = file.pages[0].tags, file.imagej_metadata
    steps, units = {}, {}
    if "spacing" in described:
        steps["Z"] = abs(float(described["spacing"]))
    if "finterval" in described:
        steps["T"], units["T"] = float(described["finterval"]), described.get("tunit", "s")
    if "unit" in described:
        # Without a unit the resolution has no defined meaning.
        steps |= {"X": _per_unit(tags, "XResolution"), "Y": _per_unit(tags, "YResolution")}
        unit = described["unit"]
        units |= {"X": unit} | {a: described.get(f"{a.lower()}unit", unit) for a in "YZ"}
    return steps, units


def _own_steps(described: Mapping[str, Any], letters: str) -> Steps:
    """Return the steps of a plain file that this program has written."""
    spatial = [axis for axis in letters if axis in "ZYX"]
    steps = dict(zip(spatial, described["spacing"], strict=False))
    steps = {axis: step for axis, step in steps.items() if axis not in described.get("assumed", "")}
    units = dict.fromkeys(steps, described.get("unit"))
    return steps | {"T": described.get("interval", 0.0)}, units | {"T": "s"}


def _resolution_steps(page: Any) -> tuple[dict[str, float], dict[str, Any], list[str]]:
    """Return the steps of resolution tags in centimetres or inches, as far as they are plausible.

    Programs for print and screens write 72, 96, 300 and the like, which is no size of a pixel.
    """
    tag = page.tags.get("ResolutionUnit")
    metres = {2: 0.0254, 3: 0.01}.get(0 if tag is None else int(tag.value))
    sizes = {axis: _ratio(page.tags, f"{axis}Resolution") for axis in "XY"}
    if metres is None or not any(sizes.values()):
        return {}, {}, []
    steps = {axis: _digits(size * metres * 1e6) for axis, size in sizes.items() if size}
    dots = [25400 / step for step in steps.values()]
    print_like = [round(one) <= _MOST_DOTS and _is_print(one) for one in dots]
    if any(print_like) or max(steps.values()) > _COARSEST:
        if max(dots) <= 2:
            # No resolution at all, written as 1.
            return {}, {}, []
        note = f"its resolution of {min(dots):.4g} dots per inch is for print, not a pixel size"
        return {}, {}, [note]
    return steps, dict.fromkeys(steps, "µm"), []


def _is_print(dots: float) -> bool:
    return any(abs(dots - round(dots / each) * each) < 0.5 for each in _PRINT)


def _per_unit(tags: Any, name: str) -> float:
    """Return the size of a pixel from a resolution tag; 0 when there is none."""
    return _digits(_ratio(tags, name))


def _ratio(tags: Any, name: str) -> float:
    tag = tags.get(name)
    if tag is None or 0 in tag.value:
        return 0.0
    return float(tag.value[1] / tag.value[0])


def _digits(step: float) -> float:
    """Round to twelve digits, removing the error of a resolution tag's fraction."""
    return float(f"{step:.12g}")


def _ome_root(file: Any) -> ElementTree.Element | None:
    """Return the metadata of an OME-TIFF, which may be in another file of its set."""
    from tifffile import TiffFile

    try:
        root = ElementTree.fromstring(file.ome_metadata)
    except ElementTree.ParseError:
        return None
    elsewhere = root.find("{*}BinaryOnly")
    if elsewhere is None:
        return root
    path = Path(file.filehandle.dirname) / Path(elsewhere.attrib["MetadataFile"]).name
    if not path.exists():
        raise InputError(f"its metadata are in {path.name}, which is missing; put it in its folder")
    if path.suffix.lower() not in (".tif", ".tiff"):
        return ElementTree.fromstring(path.read_text(encoding="utf-8"))
    with TiffFile(path) as other:
        return ElementTree.fromstring(other.ome_metadata or "")


def _ome_image(file: Any, at: int) -> ElementTree.Element | None:
    """Return the metadata of an image of an OME-TIFF, by the number of its series."""
    root = _ome_root(file)
    images = [] if root is None else root.findall("{*}Image")
    return images[at] if at < len(images) else None


def _ome_steps(image: ElementTree.Element | None) -> Steps:
    pixels = None if image is None else image.find("{*}Pixels")
    if pixels is None:
        return {}, {}
    names = {axis: f"PhysicalSize{axis}" for axis in "XYZ"} | {"T": "TimeIncrement"}
    known = {axis: name for axis, name in names.items() if name in pixels.attrib}
    usual = {"T": "s"}
    return (
        {axis: float(pixels.attrib[name]) for axis, name in known.items()},
        {a: pixels.attrib.get(f"{name}Unit", usual.get(a, "µm")) for a, name in known.items()},
    )


def ome_set(path: Path) -> tuple[str, ...]:
    """Return the names of the files of one OME-TIFF image, sorted; empty when it is one file.

    Raises
    ------
    InputError
        When the file is damaged.
    """
    from tifffile import TiffFile

    with decoding(path, failed=NOT_AN_IMAGE), TiffFile(path) as file:
        names = _set_of(file) if file.is_ome else set()
        return tuple(sorted(names | {path.name})) if names else ()


def _set_of(file: Any) -> set[str]:
    """Return the names of the other files that an OME-TIFF has planes in."""
    root = _ome_root(file)
    if root is None:
        return set()
    own = ElementTree.fromstring(file.ome_metadata).attrib.get("UUID")
    return {
        Path(uuid.attrib["FileName"].replace("\\", "/")).name
        for uuid in root.iter()
        if uuid.tag.endswith("}UUID")
        and "FileName" in uuid.attrib
        and uuid.text != own
        and Path(uuid.attrib["FileName"]).name != file.filename
    }


def _check_set(file: Any) -> None:
    """Refuse an OME-TIFF of several files with one missing, whose planes would read as zeros."""
    folder = Path(file.filehandle.dirname)
    missing = sorted(name for name in _set_of(file) if not (folder / name).exists())
    if missing:
        names = ", ".join(missing[:3]) + ", ..." * (len(missing) > 3)
        raise InputError(
            f"it is one of several files of an image, and {names} is missing; put all files of the "
            "image in its folder"
        )


def _scenes(file: Any) -> dict[int, str]:
    """Return the names of the images of a file, by the number of their series."""
    found = {}
    for at, series in enumerate(file.series):
        image = _ome_image(file, at) if file.is_ome else None
        name = series.name if image is None else image.attrib.get("Name", "")
        if str(series.name).lower() not in _ASIDE and not (at and series.keyframe.is_reduced):
            found[at] = str(name)
    return found or {0: ""}


def _channel_names(file: Any, shape: tuple[int, ...], letters: str, scene: int) -> tuple[str, ...]:
    if "C" not in letters or "S" in file.series[scene].axes:
        return ()
    at = letters.index("C")
    if file.is_ome and (image := _ome_image(file, scene)) is not None:
        names = [channel.get("Name", "") for channel in image.findall("{*}Pixels/{*}Channel")]
    else:
        names = _common_labels((file.imagej_metadata or {}).get("Labels", []), shape, letters)
    return tuple(names) if len(names) == shape[at] and all(names) else ()


def _common_labels(labels: Any, shape: tuple[int, ...], letters: str) -> list[str]:
    """Return ImageJ's label of each channel, if all its planes have the same."""
    loops = [axis for axis in letters if axis not in "YX"]
    lengths = [shape[letters.index(axis)] for axis in loops]
    if len(labels) != math.prod(lengths):
        return []
    table = np.moveaxis(np.reshape(np.array(labels, dtype=object), lengths), loops.index("C"), 0)
    table = table.reshape(len(table), -1)
    return [str(name) for name in table[:, 0]] if (table == table[:, :1]).all() else []


def _stored(image: Image) -> Image:
    """Transpose the image to the order of a file: planes last, colours innermost."""
    tail = "YXC" if image.rgb else "YX"
    order = "".join(axis for axis in image.axes if axis not in tail) + tail
    if order == image.axes:
        return image
    data = image.data.transpose([image.axes.index(axis) for axis in order])
    return replace(image, data=data, axes=order)


def _pages(image: Image, progress: Progress) -> Iterator[NDArray[Any]]:
    """Yield the planes of a file in order, computing one at a time."""
    page = "YXC" if image.rgb else "YX"
    for index in track(image.indices(page), progress, "writing"):
        yield np.ascontiguousarray(image.block(index, page))


def _fits_imagej(image: Image) -> bool:
    order = image.axes.removesuffix("C") if image.rgb else image.axes
    return (
        image.dtype.name in (("uint8",) if image.rgb else _IMAGEJ_DTYPES)
        and order == "".join(axis for axis in "TZCYX" if axis in order)
        and image.data.nbytes < _IMAGEJ_BELOW
        and all(1e-6 < step < 1e6 for step in image.spacing)
    )


def _fits_ome(image: Image) -> bool:
    known_unit = long_name_of(image.unit) is not None or not image.calibrated
    return image.dtype.name in _OME_DTYPES and known_unit


def _fits_any(image: Image) -> bool:
    return True


def _sample_axes(image: Image) -> str:
    return image.axes.removesuffix("C") + "S" if image.rgb else image.axes


def _as_imagej(image: Image) -> dict[str, Any]:
    steps = dict(zip(image.spatial_axes, image.spacing, strict=True))
    metadata: dict[str, Any] = {"axes": _sample_axes(image)}
    metadata["unit"] = _ascii_unit(image.unit)
    if "Z" in steps and "Z" not in image.assumed:
        metadata["spacing"] = steps["Z"]
    if image.interval:
        metadata["finterval"] = image.interval
    if image.channel_names and "C" in image.axes and not image.rgb:
        metadata["Labels"] = _plane_labels(image)
    return {
        "imagej": True,
        "metadata": metadata,
        "resolution": (_resolution(steps["X"]), _resolution(steps["Y"])),
        "resolutionunit": 1,
    }


def _as_ome(image: Image) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": _sample_axes(image)}
    unit = image.unit if long_name_of(image.unit) else "pixel"
    for axis, step in zip(image.spatial_axes, image.spacing, strict=True):
        if axis not in image.assumed:
            metadata[f"PhysicalSize{axis}"] = step
            metadata[f"PhysicalSize{axis}Unit"] = unit
    if image.interval:
        metadata |= {"TimeIncrement": image.interval, "TimeIncrementUnit": "s"}
    if image.channel_names and "C" in image.axes and not image.rgb:
        metadata["Channel"] = {"Name": list(image.channel_names)}
    return {"ome": True, "metadata": metadata}


def _as_plain(image: Image) -> dict[str, Any]:
    metadata = {
        "axes": _sample_axes(image),
        "spacing": list(image.spacing),
        "unit": image.unit,
        "interval": image.interval,
        "assumed": image.assumed,
    }
    return {"ome": False, "metadata": metadata}


def _ascii_unit(unit: str) -> str:
    """Spell a unit in ASCII for ImageJ's headers; it displays the symbol."""
    if unit == "µm":
        return "micron"
    return unit if unit.isascii() else long_name_of(unit) or "pixel"


def _plane_labels(image: Image) -> list[str]:
    at = [axis for axis in image.axes if axis not in "YX"].index("C")
    return [image.channel_names[index[at]] for index in image.indices()]


def _resolution(step: float) -> tuple[int, int]:
    """Return pixels per unit as a fraction of two 32-bit integers, as close as possible."""
    if step < 1:
        small = Fraction(step).limit_denominator(2**32 - 1)
        return small.denominator, small.numerator
    large = (1 / Fraction(step)).limit_denominator(2**32 - 1)
    return large.numerator, large.denominator


_DIALECTS: tuple[tuple[Callable[[Image], bool], Callable[[Image], dict[str, Any]]], ...] = (
    (_fits_imagej, _as_imagej),
    (_fits_ome, _as_ome),
    (_fits_any, _as_plain),
)

__all__ = [
    "LAZY_ABOVE",
    "is_large_tiff",
    "name_axes",
    "ome_set",
    "read_tiff",
    "tiff_contents",
    "write_tiff",
]
