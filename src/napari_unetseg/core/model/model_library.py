"""`ModelLibrary`: where a person's models are: a folder, and the files that were opened last."""

from dataclasses import dataclass, field
from pathlib import Path

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.settings import read_settings, write_settings

SUFFIXES = (".zip", ".onnx", ".pt", ".pth", ".torchscript")
"""What files of models end in."""

MOST_RECENT = 12


@dataclass
class ModelLibrary:
    """A person's models, remembered in a small file.

    Parameters
    ----------
    path
        That file; need not be there yet. One that cannot be read counts as empty, for nothing in
        it is worth a message.
    """

    path: Path
    folder: Path | None = field(init=False, default=None)
    recent: list[Path] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        known = read_settings(self.path)
        folder, recent = known.get("folder"), known.get("recent")
        self.folder = Path(folder) if isinstance(folder, str) and folder else None
        words = recent if isinstance(recent, list) else []
        self.recent = [Path(word) for word in words if isinstance(word, str)][:MOST_RECENT]

    def files(self) -> list[Path]:
        """List the models: those of the folder by name, then those opened last, newest first."""
        own = (
            [] if self.folder is None or not self.folder.is_dir() else sorted(self.folder.iterdir())
        )
        found = [path for path in own if path.suffix.lower() in SUFFIXES and path.is_file()]
        return found + [path for path in self.recent if path.exists() and path not in found]

    def use_folder(self, folder: Path) -> None:
        """Take the models of another folder."""
        self.folder = folder
        self._write()

    def opened(self, path: Path) -> None:
        """Remember that a file was opened."""
        path = path.resolve()
        self.recent = [path, *(other for other in self.recent if other != path)][:MOST_RECENT]
        self._write()

    def rename(self, path: Path, name: str) -> Path:
        """Rename a model's file, its ending staying; return the new path.

        Raises
        ------
        InputError
            When the name is no name of a file, is taken, or the file cannot be renamed.
        """
        stem = name.strip().removesuffix(path.suffix)
        if not stem or Path(stem).name != stem or set(stem) & set('<>:"|?*\\'):
            raise InputError(f"{name[:60]!r} is no name for a file. Leave out / \\ : * ? and such.")
        target = path.with_name(stem + path.suffix)
        if target.exists():
            raise InputError(f"There is a {target.name} already. Choose another name.")
        try:
            path.rename(target)
        except OSError as error:
            raise InputError(f"{path.name} cannot be renamed: {error.strerror}.") from error
        self.recent = [target if other == path.resolve() else other for other in self.recent]
        self._write()
        return target

    def delete(self, path: Path) -> None:
        """Delete a model's file for good.

        Raises
        ------
        InputError
            When it is a folder, or cannot be deleted.
        """
        if path.is_dir():
            raise InputError(f"{path.name} is a folder. Delete it where you see what is in it.")
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
        try:
            write_settings(self.path, content)
        except OSError as error:
            raise InputError(f"{self.path} cannot be written: {error.strerror}.") from error


__all__ = ["MOST_RECENT", "SUFFIXES", "ModelLibrary"]
