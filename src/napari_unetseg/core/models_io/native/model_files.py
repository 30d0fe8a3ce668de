"""Read the files of a model from a zip or a folder, with the same safety checks."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.models_io.native.zip_archive import MAX_MEMBERS, Archive

MAX_BYTES = 2**31 + 2**29
"""Maximum bytes of all files of a model together."""


class ModelFiles(Protocol):
    """Interface to read files by name, within a size limit."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files."""

    def read(self, name: str, limit: int) -> bytes:
        """Read one file.

        Raises
        ------
        InputError
            When there is no such file, it is longer than `limit`, or damaged.
        """


class Folder:
    """Read the files of a folder; paths that lead out of it are refused.

    Parameters
    ----------
    path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files directly in the folder."""
        files = (entry.name for entry in self._path.iterdir() if entry.is_file())
        return tuple(sorted(files)[:MAX_MEMBERS])

    def read(self, name: str, limit: int) -> bytes:
        """Read one file; see `ModelFiles`."""
        relative = PurePosixPath(name)
        path = (self._path / relative).resolve()
        outside = relative.is_absolute() or "\\" in name or not path.is_relative_to(self._path)
        if outside or not path.is_file():
            where = "outside of the folder" if outside else "not in the folder"
            raise InputError(
                f"The description names the file {name[:60]!r}, which is {where}. Copy or download "
                "the model again."
            )
        if path.stat().st_size > limit:
            raise InputError(
                f"{name[:60]!r} is larger than {limit} bytes, the limit. Download the model again."
            )
        return path.read_bytes()


class Link:
    """Refer to a file that a description names, with its expected hash.

    Parameters
    ----------
    source
        Its name in the package, or a URL.
    sha256
        Its expected hash; empty if the description has none.
    """

    def __init__(self, source: str, sha256: str = "") -> None:
        self.source, self.sha256 = source, sha256

    @property
    def is_here(self) -> bool:
        """Whether the file is in the package rather than on the internet."""
        return "://" not in self.source

    def read(self, files: ModelFiles, limit: int) -> bytes:
        """Read the file and check its hash.

        Raises
        ------
        InputError
            When it is not in the package, too large, or its hash differs.
        """
        if not self.is_here:
            raise InputError(
                f"{self.source[:80]} is not in the package, and nothing is downloaded. Get the "
                "complete package."
            )
        data = files.read(self.source.removeprefix("./"), limit)
        if self.sha256 and hashlib.sha256(data).hexdigest() != self.sha256.lower():
            raise InputError(
                f"{self.source[:60]} does not match the description (its SHA-256 differs). The "
                "file is damaged or was changed; copy or download it again."
            )
        return data


@contextmanager
def open_model_files(path: Path) -> Iterator[ModelFiles]:
    """Open a zip or a folder; error messages begin with its name.

    Raises
    ------
    InputError
        When it cannot be opened, is damaged or harmful.
    """
    try:
        if path.is_dir():
            yield Folder(path)
            return
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"It is larger than {MAX_BYTES // 2**20} MiB, the limit for a model.")
        with path.open("rb") as file, Archive(file, "The file", max_bytes=MAX_BYTES) as archive:
            yield archive
    except InputError as error:
        raise type(error)(f"{path.name} is not loaded. {error}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror}. Check the name.") from error


__all__ = ["MAX_BYTES", "Folder", "Link", "ModelFiles", "open_model_files"]
