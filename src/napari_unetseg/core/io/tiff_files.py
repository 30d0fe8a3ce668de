"""TIFF files with axes and calibration: ImageJ, OME, and plain files with their shape."""

import math
import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError, decoding, reading_fields
from napari_unetseg.core.image import Image
from napari_unetseg.core.io.stored_arrays import NOT_AN_IMAGE, check_declared
from napari_unetseg.core.progress import Progress, silent, track
from napari_unetseg.core.units import long_name_of, symbol_of

# Files up to this many bytes are read at once; larger ones stay on disk and are read in parts.
LAZY_ABOVE = 2**30

# ImageJ does not open BigTIFF, so larger files are written as OME-TIFF.
_IMAGEJ_BELOW = 2**32 - 2**25

_CUT_SHORT = "the file is truncated; copy it again from its source"

_IMAGEJ_DTYPES = ("uint8", "uint16", "float32")
_OME_DTYPES = ("bool", "int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64")

Calibration = tuple[dict[str, float], str]


def read_tiff(path: Path, axes: str | None = None) -> Image:
    """Read the first series of a TIFF file: all pages that belong together.

    Parameters
    ----------
    path
        Any file tifffile reads: any compression, strips or tiles, ImageJ, OME, LSM, plain.
    axes
        Names for the axes, when the file has none or wrong ones. The format drops axes of length
        one.

    Returns
    -------
    Image
        In memory up to `LAZY_ABOVE` bytes, lazy above. Spacing and unit come from ImageJ, OME or
        this program's own metadata, or from a resolution in pixels per centimetre; a resolution in
        dots per inch is for printing and ignored.

    Raises
    ------
    InputError
        When the file holds no image or is truncated.
    """
    from tifffile import TiffFile

    with TiffFile(path) as file:
        if not file.series or 0 in file.series[0].shape:
            raise InputError("it holds no image")
        series = file.series[0]
        _check_chain(file)
        _check_whole(series, file.filehandle.size)
        check_declared(series.shape, series.dtype, file.filehandle.size, free=LAZY_ABOVE)
        with reading_fields():
            letters = axes.upper() if axes else name_axes(series.axes)
            steps, unit = _calibration(file)
            spacing = [float(steps.get(axis, 1.0)) for axis in letters if axis in "ZYX"]
            rgb = _is_rgb(series, letters)
            names = _channel_names(file, series.shape, letters)
        data = series.asarray() if series.nbytes <= LAZY_ABOVE else _open_lazily(path)
        return Image.of(
            data,
            letters,
            spacing=spacing,
            unit=unit,
            rgb=rgb,
            channel_names=names,
        )


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


def _open_lazily(path: Path) -> Any:
    import dask.array

    return dask.array.from_array(_OnDisk(path), chunks="auto", asarray=False)


class _OnDisk:
    """Array over the first series of a file, which is opened for each part that is read.

    The file is closed between reads, and the array can be sent to another process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
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
            yield zarr.open_array(file.series[0].aszarr(level=0), mode="r")


def _is_rgb(series: Any, letters: str) -> bool:
    page = series.keyframe
    return bool(
        page.photometric in (2, 6)
        and "S" in series.axes
        and series.shape[series.axes.index("S")] in (3, 4)
        and letters[series.axes.index("S")] == "C"
    )


def _calibration(file: Any) -> Calibration:
    """Return the physical step along each axis known to the file, and its unit."""
    if file.is_ome:
        return _ome_calibration(file.ome_metadata)
    if file.is_imagej:
        return _imagej_calibration(file)
    if file.shaped_metadata and "spacing" in file.shaped_metadata[0]:
        own = file.shaped_metadata[0]
        spatial = [axis for axis in name_axes(file.series[0].axes) if axis in "ZYX"]
        return dict(zip(spatial, own["spacing"], strict=False)), symbol_of(own.get("unit"))
    if file.is_lsm:
        metres = {axis: file.lsm_metadata.get(f"VoxelSize{axis}", 0) for axis in "XYZ"}
        return {axis: step * 1e6 for axis, step in metres.items() if step > 0}, "µm"
    return _centimetres(file.pages[0])


def _imagej_calibration(file: Any) -> Calibration:
    tags = file.pages[0].tags
    steps = {"X": _per_unit(tags, "XResolution"), "Y": _per_unit(tags, "YResolution")}
    steps["Z"] = float(file.imagej_metadata.get("spacing", 1.0))
    if "unit" not in file.imagej_metadata:
        # Without a unit the resolution has no defined meaning.
        steps = {"Z": steps["Z"]}
    known = {axis: abs(step) for axis, step in steps.items() if step and math.isfinite(step)}
    return known, symbol_of(file.imagej_metadata.get("unit"))


def _centimetres(page: Any) -> Calibration:
    resolution_unit = page.tags.get("ResolutionUnit")
    if resolution_unit is None or int(resolution_unit.value) != 3:
        return {}, "pixel"
    steps = {"X": _per_unit(page.tags, "XResolution"), "Y": _per_unit(page.tags, "YResolution")}
    return {axis: _digits(step * 1e4) for axis, step in steps.items() if step}, "µm"


def _per_unit(tags: Any, name: str) -> float:
    """Return the size of a pixel from a resolution tag; 0 when there is none."""
    tag = tags.get(name)
    if tag is None or 0 in tag.value:
        return 0.0
    return _digits(tag.value[1] / tag.value[0])


def _digits(step: float) -> float:
    """Round to twelve digits, removing the error of a resolution tag's fraction."""
    return float(f"{step:.12g}")


def _ome_pixels(text: str) -> ElementTree.Element | None:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None
    return root.find(".//{*}Image/{*}Pixels")


def _ome_calibration(text: str) -> Calibration:
    pixels = _ome_pixels(text)
    if pixels is None or "PhysicalSizeX" not in pixels.attrib:
        return {}, "pixel"
    steps = {
        axis: float(pixels.attrib[f"PhysicalSize{axis}"])
        for axis in "XYZ"
        if f"PhysicalSize{axis}" in pixels.attrib
    }
    unit = symbol_of(pixels.attrib.get("PhysicalSizeXUnit", "µm"))
    return {axis: step for axis, step in steps.items() if step > 0}, unit


def _channel_names(file: Any, shape: tuple[int, ...], letters: str) -> tuple[str, ...]:
    if "C" not in letters or "S" in file.series[0].axes:
        return ()
    at = letters.index("C")
    if file.is_ome and (pixels := _ome_pixels(file.ome_metadata)) is not None:
        names = [channel.get("Name", "") for channel in pixels.findall("{*}Channel")]
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
    if "Z" in steps:
        metadata["spacing"] = steps["Z"]
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
        metadata[f"PhysicalSize{axis}"] = step
        metadata[f"PhysicalSize{axis}Unit"] = unit
    if image.channel_names and "C" in image.axes and not image.rgb:
        metadata["Channel"] = {"Name": list(image.channel_names)}
    return {"ome": True, "metadata": metadata}


def _as_plain(image: Image) -> dict[str, Any]:
    metadata = {"axes": _sample_axes(image), "spacing": list(image.spacing), "unit": image.unit}
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

__all__ = ["LAZY_ABOVE", "is_large_tiff", "name_axes", "read_tiff", "write_tiff"]
