"""Read untrusted zip files safely, and write reproducible zip files.

Zip files are never unpacked to disk, and a member is only read by name and with a limit, so a path
that leads out of a folder or a zip bomb does no harm. Such files are still refused: they are
malicious or broken.
"""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from types import TracebackType
from typing import IO, Any, Self, cast

from napari_unetseg.core.errors import InputError

MAX_MEMBERS = 4096
MAX_LIST = 2**20
"""Maximum bytes of the list of members, of which each takes 46 and its name."""

MAX_RATIO = 1100
"""Maximum ratio of a member's size to its compressed size: deflate reaches 1032."""

_FREE, _UNPACKED = 2**26, 32
"""Bytes that any file may unpack to, how often its own size in addition, and the most in all."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
_LOCAL_HEADER = 30
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error, ValueError)


class Budget:
    """Limit the bytes that are unpacked from a file in all, over all levels of zip in zip.

    Parameters
    ----------
    left
        Maximum bytes.
    """

    def __init__(self, left: int) -> None:
        self._left = left

    @classmethod
    def of_file(cls, size: int, most: int) -> Self:
        """Return the budget of a file of `size` bytes: numbers hardly shrink when packed."""
        return cls(min(_FREE + _UNPACKED * size, most))

    def spend(self, size: int) -> None:
        """Count bytes that are about to be unpacked.

        Raises
        ------
        InputError
            When they are more than what is left.
        """
        self._left -= size
        if self._left < 0:
            raise InputError(
                "The file is far larger when unpacked. It was not opened; get it from a source "
                "you trust."
            )


class _TooLong(Exception):
    """Raised when a zip's list of members is longer than that of any model."""


class _Opening:
    """File that limits each read while zipfile lists the members, all of which it reads at once.

    Parameters
    ----------
    file
        Opened for reading in binary mode.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.limit = file, cast(int | None, MAX_LIST)

    def read(self, size: int = -1) -> bytes:
        """Read bytes; raise `_TooLong` for more than the limit."""
        if self.limit is not None and size > self.limit:
            raise _TooLong
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Archive:
    """Read a zip file safely; a context manager.

    Parameters
    ----------
    file
        Opened for reading in binary mode.
    what
        Name of the file for messages, at the start of a sentence.
    max_bytes
        Maximum bytes of all members together, unpacked.
    budget
        Of the file that this one came in; by default that of a file of its size.

    Raises
    ------
    InputError
        When it is not a zip file, is truncated or harmful.
    """

    def __init__(
        self, file: IO[bytes], what: str, *, max_bytes: int, budget: Budget | None = None
    ) -> None:
        self._what = what
        self.budget = budget or Budget.of_file(file.seek(0, io.SEEK_END), max_bytes)
        try:
            self._zip = _opened(file)
        except _TooLong as error:
            raise self._refused("lists too many files") from error
        except (*_BROKEN, OSError) as error:
            raise self._damaged() from error
        try:
            self._members = self._checked(max_bytes)
        except InputError:
            self._zip.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._zip.close()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the members."""
        return tuple(self._members)

    def read(self, name: str, limit: int) -> bytes:
        """Read one member.

        Raises
        ------
        InputError
            When there is no such member, it is longer than `limit`, or damaged.
        """
        member = self._members.get(name)
        if member is None:
            raise InputError(
                f"{self._what} does not contain {_shown(name)}. Save or export it again."
            )
        if member.file_size > limit:
            raise InputError(
                f"{_shown(name)} in {self._what[0].lower()}{self._what[1:]} has "
                f"{member.file_size} bytes, more than the limit of {limit}. It was not opened."
            )
        self.budget.spend(member.file_size)
        try:
            with self._zip.open(member) as file:
                data = file.read(limit + 1)
        except (*_BROKEN, RuntimeError) as error:
            raise self._damaged() from error
        if len(data) != member.file_size:
            raise self._damaged()
        return data

    def _checked(self, max_bytes: int) -> dict[str, zipfile.ZipInfo]:
        members = [info for info in self._zip.infolist() if not info.is_dir()]
        if len(members) > MAX_MEMBERS:
            raise self._refused(f"contains {len(members)} files")
        if sum(info.file_size for info in members) > max_bytes:
            raise self._refused(f"unpacks to more than {max_bytes // 2**20} MiB")
        checked: dict[str, zipfile.ZipInfo] = {}
        for info in members:
            self._check(info)
            if info.filename in checked:
                raise self._refused(f"contains two files named {_shown(info.filename)}")
            checked[info.filename] = info
        return checked

    def _check(self, info: zipfile.ZipInfo) -> None:
        name = info.filename
        if not _harmless(name):
            raise self._refused(f"contains a file named {_shown(name)}, outside its folder")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise self._refused(f"contains a link, {_shown(name)}")
        if info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS:
            raise self._refused(f"contains {_shown(name)}, encrypted or packed in an unusual way")
        if info.file_size > MAX_RATIO * max(info.compress_size, 1):
            raise self._refused(f"contains {_shown(name)}, which is far larger when unpacked")

    def _refused(self, why: str) -> InputError:
        return InputError(f"{self._what} {why}. It was not opened; get it from a source you trust.")

    def _damaged(self) -> InputError:
        return InputError(
            f"{self._what} is not a zip file or is damaged. Copy or download it again."
        )


def zip_bytes(members: Mapping[str, bytes], *, alignment: int = 1) -> bytes:
    """Write an uncompressed zip of the members: the same bytes for the same members.

    Parameters
    ----------
    members
        Bytes by name, in order.
    alignment
        Number that the offset of each member's first byte is a multiple of.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            start = out.tell() + _LOCAL_HEADER + len(name.encode("utf-8"))
            info.extra = _padding(-start % alignment) if alignment > 1 else b""
            archive.writestr(info, data)
    return out.getvalue()


def names_in(file: IO[bytes]) -> list[str]:
    """Return the names of the members of a zip file, unchecked; none if it cannot be opened."""
    try:
        return _opened(file).namelist()
    except (*_BROKEN, OSError, _TooLong):
        return []


def _opened(file: IO[bytes]) -> zipfile.ZipFile:
    """Open a zip file; raise `_TooLong` if it lists more than any model contains."""
    opening = _Opening(file)
    archive = zipfile.ZipFile(cast(IO[bytes], opening))
    opening.limit = None
    return archive


def _padding(length: int, header: int = 4) -> bytes:
    """Return an extra field of `length` bytes, or longer by whole alignments."""
    while length < header:
        length += 64
    return b"FB" + (length - header).to_bytes(2, "little") + b"Z" * (length - header)


def _harmless(name: str) -> bool:
    """Return whether a member's name stays within the folder it would be unpacked to."""
    if not name or "\\" in name or ":" in name or any(ord(letter) < 32 for letter in name):
        return False
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _shown(name: str) -> str:
    """Return a name escaped and shortened for a message."""
    return repr(name if len(name) <= 60 else name[:57] + "...")


__all__ = ["MAX_MEMBERS", "MAX_RATIO", "Archive", "Budget", "names_in", "zip_bytes"]
