"""Reading and writing of images and labels in all formats."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_unetseg.core.atomic_files import writing, writing_together
from napari_unetseg.core.errors import InputError, decoding, named_error
from napari_unetseg.core.image import Channels, Image
from napari_unetseg.core.io import ome_zarr_files as ngff
from napari_unetseg.core.io import tiff_files as tiff
from napari_unetseg.core.io.paths import WRITE_SUFFIXES, PathLike, existing_path, is_zarr
from napari_unetseg.core.io.picture_files import is_jpeg, read_indices, read_picture
from napari_unetseg.core.io.plugin_readers import bioio_knows, read_with_plugin, scenes_of_plugin
from napari_unetseg.core.io.stored_arrays import NOT_AN_IMAGE, check_level, chosen_scene
from napari_unetseg.core.io.track_files import read_parents, write_tracks
from napari_unetseg.core.label_image import (
    Note,
    label_image,
    no_note,
    without_single_axes,
)
from napari_unetseg.core.progress import Progress, map_chunks, part, silent
from napari_unetseg.core.units import symbol_of

_READING_SHARE = 0.3

Reader = Callable[[Path, str | None], Image]


def read_image(
    path: PathLike,
    axes: str | None = None,
    *,
    channel: Channels = "",
    level: int = 0,
    scene: str = "",
) -> Image:
    """Read an image with its axes and physical pixel size.

    Parameters
    ----------
    path
        TIFF (any compression; ImageJ, OME and plain), OME-Zarr or zarr, ``.npy``, PNG, JPEG, BMP,
        GIF; anything else that an installed napari plugin reads.
    axes
        Letters of `napari_unetseg.core.image.AXES` for the axes, when the file does not define
        them.
    channel
        Channels to read, by number or name; see `Image.channels`. Empty for all.
    level
        Resolution level of a multiscale image: 0 for the full resolution, 1 for the next coarser.
    scene
        Number, from 0, or name of the image, when the file holds several (OME-TIFF, OME-Zarr and
        those that plugins read).

    Returns
    -------
    Image
        In memory for files up to 1 GiB; lazy for zarr and for larger TIFF and ``.npy`` files. Its
        `notes` are remarks for the user, such as that the first of several images was taken.

    Raises
    ------
    InputError
        When the file, level, scene or channel does not exist, or it is damaged, empty, pickled or
        of an unknown kind.
    """
    source = existing_path(path)
    with _reading(source):
        reader = _reader_of(source)
        if reader is ngff.read_zarr:
            image = ngff.read_zarr(source, axes, scene, level)
        elif reader is tiff.read_tiff:
            image = tiff.read_tiff(source, axes, scene, level)
        else:
            check_level(level, 1)
            if reader is read_with_plugin:
                image = read_with_plugin(source, axes, scene)
            else:
                chosen_scene({0: ""}, scene)
                image = reader(source, axes)
        return image if isinstance(channel, str) and not channel else image.channels(channel)


def read_lazily(path: PathLike, *, level: int = 0, scene: str = "") -> Image:
    """Read the axes and the calibration of an image, whose pixels stay on disk where they can.

    Parameters
    ----------
    path, level, scene
        As in `read_image`.

    Raises
    ------
    InputError
        As `read_image`.
    """
    source = Path(path)
    if source.is_file() and _suffix_reader(source) is tiff.read_tiff:
        with _reading(source):
            return tiff.read_tiff(source, None, scene, level, lazy_above=0)
    return read_image(source, level=level, scene=scene)


def file_contents(path: PathLike) -> tuple[list[str], list[int]]:
    """Return the names of the images in a file, and their numbers of resolutions.

    Raises
    ------
    InputError
        As `read_image`.
    """
    source = Path(path)
    if not source.exists():
        raise InputError(f"There is no file {source}. Check the name.")
    with _reading(source):
        reader = _reader_of(source)
        if reader is ngff.read_zarr:
            return ngff.zarr_contents(source)
        if reader is tiff.read_tiff:
            return tiff.tiff_contents(source)
        names = scenes_of_plugin(source) if reader is read_with_plugin else [""]
        return names, [1] * len(names)


def keeps_calibration(path: PathLike) -> bool:
    """Whether files of this kind may hold a pixel size that is read here: TIFF, zarr, by bioio."""
    source = Path(path)
    if source.is_dir():
        return is_zarr(source)
    reader = _suffix_reader(source)
    return reader is tiff.read_tiff or (reader is read_with_plugin and bioio_knows(source))


def may_be_lazy(path: PathLike) -> bool:
    """Return whether the file may be read lazily; only headers are read."""
    source = Path(path)
    if source.is_dir():
        return is_zarr(source)
    try:
        size = source.stat().st_size
    except OSError:
        return False
    if _READERS.get(source.suffix.lower()) is tiff.read_tiff:
        return tiff.is_large_tiff(source)
    # Plugins may or may not read lazily; for small files it does not matter.
    return size > tiff.LAZY_ABOVE


def read_labels(
    path: PathLike, axes: str | None = None, *, scene: str = "", note: Note = no_note
) -> Image:
    """Read labels or a mask: an image of integers or booleans, negative ones included.

    Parameters
    ----------
    path
        As in `read_image`. Of a picture with a palette, the indices are read; a JPEG must be a
        mask and is taken at half. A file of tracks beside it, see `track_file`, gives the parents.
    axes, scene
        As in `read_image`. Without axes, those of length 1 are dropped.
    note
        Receives sentences about changed or left-out pixels; see `label_image`.

    Raises
    ------
    InputError
        As `read_image`; and when the pixels are fractions or colours.
    """
    source = Path(path)
    picture = source.is_file() and _suffix_reader(source) is not read_with_plugin
    indices, lossy = None, False
    if picture:
        with _reading(source):
            lossy = is_jpeg(source)
            if axes is None and _reader_of(source) is read_picture:
                indices = read_indices(source)
    image = read_image(source, axes, scene=scene) if indices is None else indices
    labels = label_image(image, str(path), lossy=lossy, note=note)
    labels = labels if axes is not None else without_single_axes(labels)
    return replace(labels, parents=read_parents(source)) if "T" in labels.axes else labels


def write_image(path: PathLike, image: Image, *, progress: Progress = silent) -> None:
    """Write an image with its calibration, replacing the file atomically.

    Parameters
    ----------
    path
        ``.tif`` or ``.tiff`` (see `napari_unetseg.core.io.tiff_files.write_tiff`), ``.zarr`` for
        OME-Zarr, or ``.png`` for a plane of 8 or 16 bit.
    image
        Written by planes or chunks when lazy, never whole in memory.
    progress
        Called as writing proceeds; may raise to abandon, and then nothing has changed.

    Raises
    ------
    InputError
        When the suffix is unknown, the format cannot hold the image, or the file cannot be written.
    """
    _write(Path(path), image, labels=False, progress=progress)


def write_labels(path: PathLike, labels: Image, *, progress: Progress = silent) -> None:
    """Write labels as the smallest unsigned integers that hold them, compressed.

    Tracks of labels that are linked over time are in a text file beside them; see `write_tracks`.

    Parameters
    ----------
    path, progress
        As in `write_image`.
    labels
        Integers from 0, or booleans. Lazy labels of more than 8 bits are read twice: once to find
        the largest.

    Raises
    ------
    InputError
        As `write_image`; and when a label is negative or needs more than 32 bits.
    """
    smallest = _smallest(labels, part(progress, 0, _READING_SHARE))
    with writing_together():
        _write(Path(path), smallest, labels=True, progress=part(progress, _READING_SHARE, 1))
        write_tracks(path, labels)


def _write(path: Path, image: Image, *, labels: bool, progress: Progress) -> None:
    suffix = path.suffix.lower()
    if suffix not in WRITE_SUFFIXES:
        raise InputError(
            f"The output {path} must end in one of {', '.join(WRITE_SUFFIXES)}. Change the name."
        )
    image = replace(image, unit=symbol_of(image.unit))
    with writing(path) as draft:
        if suffix == ".zarr":
            ngff.write_zarr(draft, image, labels=labels, progress=progress)
        elif suffix == ".png":
            _write_png(draft, image)
        else:
            tiff.write_tiff(draft, image, compress=labels, progress=progress)
    progress(1.0, "written")


def _smallest(labels: Image, progress: Progress) -> Image:
    if labels.dtype.kind == "b":
        return replace(labels, data=labels.data.astype(np.uint8))
    if labels.dtype.kind not in "iu":
        raise InputError(f"Labels are whole numbers, 0 for background; these are {labels.dtype}.")
    if labels.dtype == np.uint8:
        return labels
    low, high = _extremes(labels, progress)
    if low < 0 or high > np.iinfo(np.uint32).max:
        raise InputError(
            f"Labels in a file range from 0 to {np.iinfo(np.uint32).max}; these range from {low} "
            f"to {high}. Renumber them."
        )
    return replace(labels, data=labels.data.astype(np.min_scalar_type(high)))


def _extremes(image: Image, progress: Progress) -> tuple[int, int]:
    ends = map_chunks(image.data, lambda chunk: (int(chunk.min()), int(chunk.max())), progress)
    lows, highs = zip(*ends, strict=True)
    return min(lows), max(highs)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn any exception of a format's library into one sentence that names the file."""
    try:
        with decoding(path, failed=NOT_AN_IMAGE):
            yield
    except InputError as error:
        raise InputError(f"{named_error(path, error).rstrip('.')}.") from error
    except MemoryError as error:
        raise InputError(
            f"{path} does not fit in memory. Save it as .zarr and open that."
        ) from error


def _reader_of(path: Path) -> Reader:
    if path.is_dir():
        if not is_zarr(path):
            raise InputError("this is a folder, not an image; name the images in it")
        return ngff.read_zarr
    if path.stat().st_size == 0:
        raise InputError("the file is empty; copy it again from its source")
    reader = _suffix_reader(path)
    return reader if reader is read_with_plugin else _by_content(path, reader)


def _suffix_reader(path: Path) -> Reader:
    return _READERS.get(path.suffix.lower(), read_with_plugin)


def _by_content(path: Path, reader: Reader) -> Reader:
    """Return the reader for the first bytes of a file whose suffix may be wrong."""
    with path.open("rb") as file:
        head = file.read(4)
    found = (other for start, other in _STARTS.items() if head.startswith(start))
    return next(found, reader)


def _read_npy(path: Path, axes: str | None) -> Image:
    import dask.array

    large = path.stat().st_size > tiff.LAZY_ABOVE
    try:
        data = np.load(path, mmap_mode="r" if large else None, allow_pickle=False)
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise InputError(
            "it holds pickled Python objects, which could run code when opened; "
            "save plain numbers with numpy.save"
        ) from error
    if not isinstance(data, np.ndarray):
        raise InputError("it is an archive of several arrays; save one with numpy.save")
    return Image.of(dask.array.from_array(data) if large else data, axes)


def _write_png(path: Path, image: Image) -> None:
    import imageio.v3 as imageio

    data = image.asarray()
    if image.dtype.kind == "b":
        data = data.astype(np.uint8) * 255
    colour = image.rgb and image.axes == "YXC" and data.dtype == np.uint8
    plane = image.axes == "YX" and data.dtype in (np.uint8, np.uint16)
    if not (colour or plane):
        raise InputError(
            f"A .png holds one plane of 8 or 16 bit, not {image.dtype} with the axes "
            f"{image.axes}. Write a .tif instead."
        )
    imageio.imwrite(path, data, plugin="pillow", extension=".png")


_READERS: dict[str, Reader] = {
    ".tif": tiff.read_tiff,
    ".tiff": tiff.read_tiff,
    ".lsm": tiff.read_tiff,
    ".svs": tiff.read_tiff,
    ".ndpi": tiff.read_tiff,
    ".scn": tiff.read_tiff,
    ".qptiff": tiff.read_tiff,
    ".npy": _read_npy,
    ".png": read_picture,
    ".jpg": read_picture,
    ".jpeg": read_picture,
    ".bmp": read_picture,
    ".gif": read_picture,
}

_STARTS: dict[bytes, Reader] = {
    b"II*\0": tiff.read_tiff,
    b"II+\0": tiff.read_tiff,
    b"MM\0*": tiff.read_tiff,
    b"MM\0+": tiff.read_tiff,
    b"\x93NUM": _read_npy,
    b"\x89PNG": read_picture,
    b"\xff\xd8\xff": read_picture,
    b"GIF8": read_picture,
}
"""First bytes of the formats that have some of their own."""

__all__ = [
    "file_contents",
    "keeps_calibration",
    "may_be_lazy",
    "read_image",
    "read_labels",
    "read_lazily",
    "write_image",
    "write_labels",
]
