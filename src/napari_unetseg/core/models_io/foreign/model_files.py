"""Where the files of a model come from: a zip or a folder, read with the same caution."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.models_io.native.zip_archive import MAX_MEMBERS, Archive

MAX_BYTES = 2**31 + 2**29
"""Most bytes of all files of a model together."""


class ModelFiles(Protocol):
    """Files by name, each read when asked for and within a limit."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files."""

    def read(self, name: str, limit: int) -> bytes:
        """Return the bytes of one file.

        Raises
        ------
        InputError
            When there is no such file, it is longer than `limit`, or damaged.
        """


class Folder:
    """A folder as a `ModelFiles`: nothing outside of it is read, whatever a description names.

    Parameters
    ----------
    path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files directly in it."""
        files = (entry.name for entry in self._path.iterdir() if entry.is_file())
        return tuple(sorted(files)[:MAX_MEMBERS])

    def read(self, name: str, limit: int) -> bytes:
        """Return the bytes of one file; see `ModelFiles`."""
        place = PurePosixPath(name)
        path = (self._path / place).resolve()
        outside = place.is_absolute() or "\\" in name or not path.is_relative_to(self._path)
        if outside or not path.is_file():
            where = "outside of the folder" if outside else "not in the folder"
            raise InputError(
                f"The description names the file {name[:60]!r}, which is {where}. Copy or download "
                "the model again."
            )
        if path.stat().st_size > limit:
            raise InputError(f"{name[:60]!r} has more than the {limit} bytes that it may.")
        return path.read_bytes()


class Link:
    """A file that a description names, with the hash that it is to have.

    Parameters
    ----------
    source
        Its name in the package, or an address.
    sha256
        Its hash; empty when the description gives none.
    """

    def __init__(self, source: str, sha256: str = "") -> None:
        self.source, self.sha256 = source, sha256

    @property
    def is_here(self) -> bool:
        """Whether it is in the package, rather than somewhere on the net."""
        return "://" not in self.source

    def read(self, files: ModelFiles, limit: int) -> bytes:
        """Return its bytes.

        Raises
        ------
        InputError
            When it is not in the package, too long, or not what the description says.
        """
        if not self.is_here:
            raise InputError(
                f"{self.source[:80]} is not in the package, and nothing is downloaded. Get the "
                "complete package."
            )
        data = files.read(self.source.removeprefix("./"), limit)
        if self.sha256 and hashlib.sha256(data).hexdigest() != self.sha256.lower():
            raise InputError(
                f"{self.source[:60]} is not what the description says (its SHA-256 differs). The "
                "file is damaged or was changed; copy or download it again."
            )
        return data


@contextmanager
def open_model_files(path: Path) -> Iterator[ModelFiles]:
    """Open a zip or a folder; messages about it begin with its name.

    Raises
    ------
    InputError
        When it cannot be opened, is damaged, or is built to do harm.
    """
    try:
        if path.is_dir():
            yield Folder(path)
            return
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"The file is larger than any model ({MAX_BYTES // 2**20} MiB).")
        with path.open("rb") as file, Archive(file, "The file", max_bytes=MAX_BYTES) as archive:
            yield archive
    except InputError as error:
        raise type(error)(f"{path.name} is not loaded. {error}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror}. Check the name.") from error


__all__ = ["MAX_BYTES", "Folder", "Link", "ModelFiles", "open_model_files"]
