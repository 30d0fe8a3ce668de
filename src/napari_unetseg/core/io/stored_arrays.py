"""Arrays that stay on disk: damage is reported by the file's name, and sizes are checked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_unetseg.core.errors import InputError, decoding

NOT_AN_IMAGE = "cannot be read as an image"
"""Predicate of the sentence about a damaged file."""

MAX_DECLARED = 2**40
"""Bytes that a file may declare however little it stores: an image of zeros takes no space."""

_MAX_RATIO = 10**5
_MAX_CHUNKS = 10**5


class StoredArray:
    """Array in a file; a part that cannot be decoded raises `InputError` with the file's name.

    Parameters
    ----------
    array
        Has a shape, a dtype and chunks, and reads a part by an index.
    path
        Name of the file.
    """

    def __init__(self, array: Any, path: Path) -> None:
        self.array, self.path = array, path
        self.shape, self.dtype = tuple(array.shape), np.dtype(array.dtype)
        self.ndim = len(self.shape)
        self.chunks = array.chunks

    def __getitem__(self, index: Any) -> NDArray[Any]:
        with decoding(self.path, failed=NOT_AN_IMAGE):
            return np.asarray(self.array[index])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)


def lazily(array: Any, path: Path) -> Any:
    """Return the dask array over an array in a file, in parts of its chunks.

    Chunks of more than 100,000 are joined, since every part of a dask array costs a kilobyte.
    """
    import dask.array

    stored = StoredArray(array, path)
    too_many = count_chunks(stored.shape, stored.chunks) > _MAX_CHUNKS
    chunks = "auto" if too_many or not stored.chunks else stored.chunks
    return dask.array.from_array(stored, chunks=chunks, asarray=False)


def count_chunks(shape: Sequence[int], chunks: Sequence[Any]) -> int:
    """Return the number of chunks of an array; a chunk is a length or lengths for each axis."""
    count = 1
    for length, chunk in zip(shape, chunks, strict=False):
        count *= len(chunk) if isinstance(chunk, tuple) else -(-length // max(int(chunk), 1))
    return count


def check_declared(
    shape: Sequence[int], dtype: DTypeLike, stored: int, *, free: int = MAX_DECLARED
) -> None:
    """Check the declared size of an image against the bytes that are stored.

    Parameters
    ----------
    shape, dtype
        As declared.
    stored
        Bytes of the file, or of all files of a folder.
    free
        Declared bytes up to which nothing is checked.

    Raises
    ------
    InputError
        When more than 100,000 times the stored bytes are declared, which no compression reaches on
        a micrograph.
    """
    declared = np.dtype(dtype).itemsize
    for length in shape:
        declared *= int(length)
    if declared > free and declared > _MAX_RATIO * stored:
        sides = " x ".join(f"{length:,}" for length in shape)
        raise InputError(
            f"it declares {sides} pixels, {bytes_in_words(declared)}, but stores only "
            f"{bytes_in_words(stored)}; it is damaged or empty, copy it again from its source"
        )


def check_level(level: int, n_levels: int) -> None:
    """Raise `InputError` unless an image has the level.

    Raises
    ------
    InputError
        When the level does not exist.
    """
    if not 0 <= level < n_levels:
        has = "one resolution" if n_levels == 1 else f"the levels 0 to {n_levels - 1}"
        raise InputError(f"there is no level {level}: it has {has}; choose another")


def chosen_scene(scenes: Mapping[Any, str], wanted: str) -> tuple[Any, tuple[str, ...]]:
    """Choose one of the images of a file.

    Parameters
    ----------
    scenes
        Names of the images, by a key.
    wanted
        Number, from 0, or name of an image; empty when none was chosen.

    Returns
    -------
    tuple
        The key, and a remark when the first of several was taken.

    Raises
    ------
    InputError
        When there is no such image.
    """
    keys, names = list(scenes), list(scenes.values())
    listed = ", ".join(f"{at} {name}".rstrip() for at, name in enumerate(names[:12]))
    listed += ", ..." * (len(names) > 12)
    if not wanted:
        note = (
            f"it holds {len(keys)} images ({listed}), of which the first is taken; choose a scene"
        )
        return keys[0], (note,) * (len(keys) > 1)
    if wanted in names:
        return keys[names.index(wanted)], ()
    if wanted.isdecimal() and int(wanted) < len(keys):
        return keys[int(wanted)], ()
    raise InputError(f"it has no scene {wanted!r}, but these: {listed}; choose one of them")


def bytes_in_words(count: int) -> str:
    """Return a number of bytes with its unit, such as ``137 GB``."""
    number, units = float(count), iter(("kB", "MB", "GB", "TB", "PB", "EB"))
    unit = "bytes"
    while number >= 1000 and (larger := next(units, None)):
        number, unit = number / 1000, larger
    return f"{number:,.0f} {unit}" if number >= 10 or unit == "bytes" else f"{number:.1f} {unit}"


def bytes_of(path: Path) -> int:
    """Return the size in bytes of a file, or of all files of a folder."""
    if not path.is_dir():
        return path.stat().st_size
    return sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file())


__all__ = [
    "MAX_DECLARED",
    "NOT_AN_IMAGE",
    "StoredArray",
    "bytes_in_words",
    "bytes_of",
    "check_declared",
    "check_level",
    "chosen_scene",
    "count_chunks",
    "lazily",
]
