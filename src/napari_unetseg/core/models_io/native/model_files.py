"""Read the files of a model from a zip or a folder, with the same safety checks."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from napari_unetseg.core.errors import InputError, decoding
from napari_unetseg.core.models_io.native.plain_yaml import MAX_BYTES as MAX_TEXT
from napari_unetseg.core.models_io.native.plain_yaml import read_yaml
from napari_unetseg.core.models_io.native.zip_archive import MAX_MEMBERS, Archive, Budget

MAX_BYTES = 2**31 + 2**29
"""Maximum bytes of all files of a model together."""


DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml", "model.yaml")
"""File names of a description in a package."""


class ModelFiles(Protocol):
    """Interface to read files by name, within a size limit."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files."""

    @property
    def budget(self) -> Budget:
        """Bytes that may still be unpacked from the files, over all levels."""

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
        self._path = Path(os.path.realpath(path))
        sizes = [entry.stat().st_size for entry in self._path.iterdir() if entry.is_file()]
        self._budget = Budget.of_file(sum(sizes), MAX_BYTES)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files directly in the folder."""
        entries = sorted(self._path.iterdir())[:MAX_MEMBERS]
        inner = (f"{entry.name}/{name}" for entry in entries for name in _descriptions_in(entry))
        return (*(entry.name for entry in entries if entry.is_file()), *inner)

    @property
    def budget(self) -> Budget:
        """Bytes that may still be unpacked from the files."""
        return self._budget

    def read(self, name: str, limit: int) -> bytes:
        """Read one file; see `ModelFiles`."""
        relative = PurePosixPath(name)
        path = Path(os.path.realpath(self._path / relative))
        outside = relative.is_absolute() or "\\" in name or not path.is_relative_to(self._path)
        if outside or not os.path.isfile(path):
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


def _descriptions_in(folder: Path) -> list[str]:
    """Return the descriptions in an inner folder."""
    if not os.path.isdir(folder):
        return []
    return [name for name in DESCRIPTIONS if os.path.isfile(folder / name)]


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
        with decoding("It"):
            if path.is_dir():
                yield _unwrapped(Folder(path))
                return
            if path.stat().st_size > MAX_BYTES:
                limit = MAX_BYTES // 2**20
                raise InputError(f"It is larger than {limit} MiB, the limit for a model.")
            with path.open("rb") as file, Archive(file, "The file", max_bytes=MAX_BYTES) as archive:
                yield _unwrapped(archive)
    except InputError as error:
        if isinstance(error.__cause__, OSError):
            reason = error.__cause__.strerror
            raise InputError(f"{path} cannot be opened: {reason}. Check the name.") from error
        raise type(error)(f"{path.name} is not loaded. {error}") from error


def model_bytes(path: Path) -> int:
    """Return the bytes of a model: of a file, or of all files of a folder; 0 once it is gone."""
    if path.is_dir():
        return sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file())
    return path.stat().st_size if path.is_file() else 0


def read_description(files: ModelFiles) -> dict[str, Any]:
    """Read the description of a model as plain data.

    Raises
    ------
    InputError
        When there is none, or it is damaged.
    """
    named = [name for name in DESCRIPTIONS if name in files.names]
    named += [name for name in files.names if _describes(name)]
    if not named:
        raise InputError(
            f"It contains no {DESCRIPTIONS[0]}, so it is not a model or is damaged. Choose another "
            "file, or copy it again."
        )
    return read_yaml(files.read(named[0], MAX_TEXT), f"The model's {named[0]}")


class _Within:
    """Read the files of the one folder that holds a model."""

    def __init__(self, files: ModelFiles, folder: str) -> None:
        self._files, self._folder = files, folder

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(
            name.removeprefix(self._folder)
            for name in self._files.names
            if name.startswith(self._folder)
        )

    @property
    def budget(self) -> Budget:
        return self._files.budget

    def read(self, name: str, limit: int) -> bytes:
        return self._files.read(f"{self._folder}{name}", limit)


def _unwrapped(files: ModelFiles) -> ModelFiles:
    """Return the files of a model, which may be one folder deep, as packing a folder makes them."""
    names = files.names
    if any(_describes(name) for name in names):
        return files
    folders = {name.partition("/")[0] for name in names if _describes(name.partition("/")[2])}
    return _Within(files, f"{folders.pop()}/") if len(folders) == 1 else files


def _describes(name: str) -> bool:
    return name in DESCRIPTIONS or (name.endswith(".rdf.yaml") and "/" not in name)


__all__ = [
    "DESCRIPTIONS",
    "MAX_BYTES",
    "Folder",
    "Link",
    "ModelFiles",
    "model_bytes",
    "open_model_files",
    "read_description",
]
