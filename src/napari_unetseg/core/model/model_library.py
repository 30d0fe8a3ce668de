"""Keep the user's model library: a folder, and the recently opened files."""

from contextlib import suppress
from dataclasses import dataclass, field
from os.path import exists, isfile
from pathlib import Path

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.settings import read_settings, write_settings

SUFFIXES = (".zip", ".onnx", ".pt", ".pth", ".torchscript")
"""Suffixes of model files."""

MOST_RECENT = 12

_LONGEST = 80
_NOT_IN_NAMES = frozenset('<>:"/\\|?*')


def checked_name(name: str) -> str:
    """Return a name of a model without spaces around it, if files can have it on every system.

    Raises
    ------
    InputError
        If they cannot.
    """
    name = name.strip()
    fits = name.isprintable() and not set(name) & _NOT_IN_NAMES and len(name) <= _LONGEST
    if not name.strip(".") or not fits:
        raise InputError(
            f"{name[:60]!r} is not a valid name. Enter at most {_LONGEST} letters, without "
            '/ \\ : * ? " < > |.'
        )
    return name


@dataclass
class ModelLibrary:
    """List and manage the user's models, stored in a small settings file.

    Parameters
    ----------
    path
        The settings file; need not exist yet. An unreadable file counts as empty, without an error.
    """

    path: Path
    folder: Path | None = field(init=False, default=None)
    recent: list[Path] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        settings = read_settings(self.path)
        folder, recent = settings.get("folder"), settings.get("recent")
        self.folder = Path(folder) if isinstance(folder, str) and folder else None
        paths = recent if isinstance(recent, list) else []
        self.recent = [Path(path) for path in paths if isinstance(path, str)][:MOST_RECENT]

    def files(self) -> list[Path]:
        """List the models: those of the folder by name, then recently opened ones, newest first."""
        own: list[Path] = []
        if self.folder is not None:
            with suppress(OSError):  # not there, or not to be read
                own = sorted(self.folder.iterdir())
        models = [path for path in own if path.suffix.lower() in SUFFIXES and isfile(path)]
        return models + [path for path in self.recent if exists(path) and path not in models]

    def use_folder(self, folder: Path) -> None:
        """Set the folder of the library."""
        self.folder = folder
        self._write()

    def opened(self, path: Path) -> None:
        """Add a file to the recently opened ones."""
        path = path.resolve()
        self.recent = [path, *(other for other in self.recent if other != path)][:MOST_RECENT]
        self._write()

    def rename(self, path: Path, name: str) -> Path:
        """Rename a model file, keeping its suffix; return the new path.

        Raises
        ------
        InputError
            When the name is not a valid file name, is in use, or the file cannot be renamed.
        """
        stem = checked_name(name.strip().removesuffix(path.suffix))
        target = path.with_name(stem + path.suffix)
        # A file system that ignores case has the file by its new name.
        if target.exists() and not target.samefile(path):
            raise InputError(f"{target.name} exists already. Choose another name.")
        try:
            path.rename(target)
        except OSError as error:
            raise InputError(f"{path.name} cannot be renamed: {error.strerror}.") from error
        self.recent = [target if other == path.resolve() else other for other in self.recent]
        self._write()
        return target

    def delete(self, path: Path) -> None:
        """Delete a model file permanently.

        Raises
        ------
        InputError
            When the path is a folder, or cannot be deleted.
        """
        if path.is_dir():
            raise InputError(f"{path.name} is a folder. Delete it in your file manager.")
        try:
            path.unlink()
        except OSError as error:
            raise InputError(f"{path.name} cannot be deleted: {error.strerror}.") from error
        self.recent = [other for other in self.recent if other != path.resolve()]
        self._write()

    def _write(self) -> None:
        content = {
            "folder": "" if self.folder is None else str(self.folder),
            "recent": [str(path) for path in self.recent],
        }
        write_settings(self.path, content)


__all__ = ["MOST_RECENT", "SUFFIXES", "ModelLibrary", "checked_name"]
