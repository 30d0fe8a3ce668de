"""Scratch arrays for intermediate results: in memory, or in a temporary file."""

import errno
import math
import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_unetseg.core.errors import InputError

IN_MEMORY = 2**29
"""Maximum number of bytes of an array in memory; larger ones go to disk."""

_CHUNK = 2048
_NO_SUCH_CALL = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


def zeros(shape: Sequence[int], dtype: DTypeLike) -> Any:
    """Allocate zeros to write by slices: a numpy array up to `IN_MEMORY` bytes, else a `Scratch`.

    Raises
    ------
    InputError
        When the disk is full.
    """
    if math.prod(shape) * np.dtype(dtype).itemsize <= IN_MEMORY:
        return np.zeros(shape, dtype)
    return Scratch(shape, dtype)


class Scratch:
    """Array of zeros in a temporary file, read and written by slices.

    The file has no name, or is deleted with the process: it disappears once the array is closed or
    no longer referenced, however the work ended. Parts are mapped to memory only while they are
    copied, so that the process never uses more memory than it asked for.

    Parameters
    ----------
    shape, dtype
        As of a numpy array.

    Raises
    ------
    InputError
        When the disk is full.
    """

    def __init__(self, shape: Sequence[int], dtype: DTypeLike) -> None:
        self.shape, self.dtype = tuple(int(n) for n in shape), np.dtype(dtype)
        self.ndim = len(self.shape)
        self.nbytes = math.prod(self.shape) * self.dtype.itemsize
        self._file: Any = tempfile.TemporaryFile(prefix="napari-unetseg-", buffering=0)  # noqa: SIM115
        self.close = weakref.finalize(self, self._file.close)
        try:
            _reserve(self._file, self.nbytes)
        except BaseException:
            self.close()
            raise

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of the parts that dask reads at once by default: whole planes."""
        return (1,) * (self.ndim - 2) + tuple(min(_CHUNK, n) for n in self.shape[-2:])

    def __getitem__(self, where: Any) -> NDArray[Any]:
        return np.array(self._mapped("r")[where])

    def __setitem__(self, where: Any, numbers: Any) -> None:
        self._mapped("r+")[where] = numbers

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(dtype or self.dtype, copy=False)

    def __dask_tokenize__(self) -> str:
        return uuid.uuid4().hex

    def _mapped(self, mode: Any) -> NDArray[Any]:
        return np.asarray(np.memmap(self._file, self.dtype, mode, shape=self.shape))


@dataclass(frozen=True, eq=False)
class ScratchPart:
    """Plane or stack of a larger array that has no views, read and written by slices.

    Parameters
    ----------
    array
        The larger array.
    where
        An index for each fixed axis, ``slice(None)`` for the others.
    """

    array: Any
    where: tuple[int | slice, ...]
    shape: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        sides = zip(self.where, self.array.shape, strict=True)
        object.__setattr__(self, "shape", tuple(n for at, n in sides if isinstance(at, slice)))

    def __getitem__(self, box: tuple[slice, ...]) -> Any:
        return self.array[self._inside(box)]

    def __setitem__(self, box: tuple[slice, ...], numbers: Any) -> None:
        self.array[self._inside(box)] = numbers

    def _inside(self, box: tuple[slice, ...]) -> tuple[int | slice, ...]:
        spans = iter(box)
        return tuple(next(spans) if isinstance(at, slice) else at for at in self.where)


def scratch_part(array: Any, where: tuple[int | slice, ...]) -> Any:
    """Return a plane or stack of an array that is read and written in place."""
    return array[where] if isinstance(array, np.ndarray) else ScratchPart(array, where)


def _reserve(file: Any, n_bytes: int) -> None:
    """Allocate a file of a given size at once: a full disk later would crash the process."""
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    try:
        if n_bytes > free:
            raise OSError(errno.ENOSPC, "too large")
        _allocate(file, n_bytes)
    except OSError as error:
        raise InputError(
            f"The image needs {n_bytes / 1e9:.1f} GB for temporary files, but the folder {folder} "
            f"has {free / 1e9:.1f} GB left. Free some space, or set TMPDIR to a folder with more."
        ) from error


def _allocate(file: Any, n_bytes: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            return os.posix_fallocate(file.fileno(), 0, n_bytes)
        except OSError as error:
            if error.errno not in _NO_SUCH_CALL:
                raise
    file.truncate(n_bytes)


__all__ = ["IN_MEMORY", "Scratch", "ScratchPart", "scratch_part", "zeros"]
