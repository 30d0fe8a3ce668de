"""Save and open project folders so that a crash at any moment loses no saved data.

A file of the project is never overwritten. Changed items are written under new names, then the
manifest is replaced atomically, then files that it no longer lists are deleted. So the manifest
always lists complete files, even after a power failure.
"""

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from napari_unetseg.core.errors import InputError, decoding
from napari_unetseg.core.io import writing
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.progress import Progress, silent, track
from napari_unetseg.core.project.project_contents import Contents, ImageItem, LabelsItem
from napari_unetseg.core.project.project_items import Entry, Item, ItemFiles
from napari_unetseg.core.project.project_manifest import (
    NAME,
    ImageEntry,
    LabelsEntry,
    Manifest,
    read_manifest,
    written_manifest,
)
from napari_unetseg.core.project.project_models import (
    fingerprint_prefix,
    model_file_name,
    open_model_file,
    save_model_file,
)
from napari_unetseg.core.training.model_history import Version, format_history, read_history

SUFFIX = ".unetseg"
"""Suffix of project folders."""

FOLDERS = ("images", "labels", "ink", "tables", "models", "history")

LOCK = ".lock"
"""File in a project that a window holds locked while it saves; it stays there."""

PATIENCE = 5.0
"""Seconds to wait for another window that is saving the same project."""

# Names of the files that are written here; other files in these folders are not deleted.
_OWN_NAMES = re.compile(r"[A-Za-z0-9-]+-[0-9]+\.(tif|npy|csv|json)|[0-9a-f]{16}-.*")

_OPEN_TRIES = 3


class SavedElsewhereError(InputError):
    """Report that another window saved the same project since this one last read or saved it."""


def is_project(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a project folder."""
    return (Path(path) / NAME).is_file()


class ProjectFolder:
    """Save and open one project on disk.

    Parameters
    ----------
    path
        The folder; created by the first save.

    Attributes
    ----------
    left_out
        Sentences about models from other programs, and tables, that the last save could not
        include.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._files = ItemFiles(self.path)
        self._saver = uuid.uuid4().hex
        self._lock = Lock()
        self._last: Manifest | None = None
        self._versions: dict[str, Hashable] = {}
        self._entries: dict[str, Entry] = {}
        self._history: tuple[str | None, bytes] | None = None
        self._unopened: tuple[str, ...] = ()
        self._not_read: tuple[Entry, ...] = ()
        self.left_out: tuple[str, ...] = ()

    def save(self, contents: Contents, *, progress: Progress = silent) -> list[str]:
        """Save the items that changed since the last save.

        Parameters
        ----------
        contents
            The whole contents: files of items that are no longer there are deleted.
        progress
            May cancel; the project then stays as it was last saved.

        Returns
        -------
        list
            Names of the files written.

        Raises
        ------
        SavedElsewhereError
            When another window saved the project in the meantime: nothing is changed.
        InputError
            When the folder cannot be written, contains other files, or is being saved by another
            window.
        """
        with self._lock, self._alone():
            before = self._own_files()
            try:
                return self._save(contents, progress)
            except BaseException:
                # A full disk is not left fuller.
                listed = read_manifest(self.path).files if is_project(self.path) else set()
                _delete(self._own_files() - before - {self.path / name for name in listed})
                raise

    def remember(self, versions: Mapping[str, Hashable]) -> None:
        """Set the versions of items that are on disk, by key."""
        self._versions.update(versions)

    def holds(self, key: str, version: Hashable) -> bool:
        """Return whether an item of this version is saved and its files are there."""
        entry = self._entries.get(key)
        return (
            entry is not None
            and version is not None
            and self._versions.get(key) == version
            and all(
                (self.path / n).is_file() or n in self._files.damaged for n in entry.pixel_files
            )
        )

    def open(self, *, progress: Progress = silent) -> Contents:
        """Read the project.

        Returns
        -------
        Contents
            The items that were found. Those that are missing or damaged are named in `missing`
            and stay in the project; the next save copies a damaged file of locked pixels, or a
            damaged history, aside.

        Raises
        ------
        InputError
            When the folder is not a project, or its list is damaged.
        """
        for _ in range(_OPEN_TRIES):
            contents = self._open(progress)
            if not contents.missing or read_manifest(self.path) == self._last:
                break
            # Another window saved meanwhile, and deleted files that were still to be read.
        return contents

    def _open(self, progress: Progress) -> Contents:
        manifest = read_manifest(self.path)
        entries = _with_unique_keys([*manifest.images, *manifest.labels])
        items: list[Item] = []
        not_read: list[Entry] = []
        missing: list[str] = []
        self._files.damaged = []
        for entry in track(entries, progress, "opening"):
            try:
                # The list, and the paths in it, may come from anyone.
                with decoding(entry.name):
                    item = self._files.read(entry, missing)
            except InputError as error:
                not_read.append(entry)
                sentence = str(error)
                named = sentence.startswith(entry.name)
                missing.append(sentence if named else f"{entry.name}: {sentence}")
            else:
                items.append(item)
        self._not_read = tuple(not_read)
        history = self._read_history(manifest.history, missing)
        models = self._read_models(manifest.models, history, missing)
        self._last = manifest
        self._versions = {item.key: item.version for item in items}
        self._entries = {entry.key: entry for entry in entries if entry.key in self._versions}
        return Contents(
            images=tuple(item for item in items if isinstance(item, ImageItem)),
            labels=tuple(item for item in items if isinstance(item, LabelsItem)),
            models=tuple(models),
            history=history,
            missing=tuple(missing),
        )

    def _save(self, contents: Contents, progress: Progress) -> list[str]:
        number = self._next_number()
        self.left_out = ()
        self._files.left_out = []
        written: list[str] = []
        entries: list[Entry] = []
        items: list[Item] = list(contents.items)
        for item in track(items, progress, "saving"):
            entry = self._unchanged_entry(item) or self._files.write(item, number, written)
            entries.append(self._files.with_table(entry, item, number, written))
        keys = {entry.key for entry in entries}
        # What could not be read may be there again when the project is opened next.
        kept = [entry for entry in self._not_read if entry.key not in keys]
        listed = [*kept, *entries]
        manifest = Manifest(
            number=number,
            saver=self._saver,
            saved=datetime.now(UTC).isoformat(timespec="seconds"),
            images=tuple(e for e in listed if isinstance(e, ImageEntry)),
            labels=tuple(e for e in listed if isinstance(e, LabelsEntry)),
            models=self._models(contents.models, written),
            history=self._versions_file(contents.history, number, written),
        )
        content = written_manifest(manifest)
        with writing(self.path / NAME) as draft:
            _write_through(draft, content)
        self._last = manifest
        self._versions = {item.key: item.version for item in items}
        self._entries = {entry.key: entry for entry in entries}
        self._sweep(manifest)
        return written

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other windows and programs from saving this project meanwhile."""
        from filelock import FileLock, Timeout

        self._refuse_other_files()
        is_new = not self.path.exists()
        lock = FileLock(self.path / LOCK, timeout=PATIENCE, thread_local=False)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            raise InputError(
                f"{self.path.name} is being saved by another window. Nothing was changed; try "
                "again in a moment."
            ) from error
        except OSError as error:
            raise InputError(
                f"Nothing can be written in {self.path}: {error.strerror or error}. Choose "
                "another folder."
            ) from error
        try:
            yield
        finally:
            lock.release()
            if is_new and not is_project(self.path):
                with contextlib.suppress(OSError):
                    (self.path / LOCK).unlink(missing_ok=True)
                    self.path.rmdir()

    def _refuse_other_files(self) -> None:
        """Raise if the folder is no project and has files of its own."""
        if self._last is not None or is_project(self.path):
            return
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file. Choose another name for the project.")
        # What a crash left of the first save is no reason.
        names = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        other = {name for name in names if not name.startswith((LOCK, f".{NAME}."))}
        if other - set(FOLDERS) or any(self._other_files()):
            raise InputError(
                f"{self.path} contains other files. Choose a new name for the project folder."
            )

    def _next_number(self) -> int:
        """Return the number of this save; raise if another window saved here in the meantime."""
        self._refuse_other_files()
        if not is_project(self.path):
            self._entries = {}
            return 1 if self._last is None else self._last.number + 1
        manifest = read_manifest(self.path)
        last = None if self._last is None else (self._last.saver, self._last.number)
        if last is None:
            raise SavedElsewhereError(
                f"{self.path.name} is a project already. Open it, or save this one under another "
                "name."
            )
        if (manifest.saver, manifest.number) != last:
            raise SavedElsewhereError(
                f"{self.path.name} was saved by another window. Save this one under another name."
            )
        return manifest.number + 1

    def _unchanged_entry(self, item: Item) -> Entry | None:
        """Return the entry of an item whose pixels are already saved, with updated metadata."""
        if not self.holds(item.key, item.version):
            return None
        entry = self._entries[item.key]
        update = {"name": item.name, "place": dict(item.place), "mark": dict(item.mark)}
        return entry.model_copy(update=update)

    def _models(self, models: Sequence[TrainedModel], written: list[str]) -> tuple[str, ...]:
        """Write the new models; leave out models whose own file is missing, and name them."""
        left_out: list[str] = []
        names = []
        for model in models:
            try:
                names.append(self._model(model, written))
            except InputError as error:
                if model.state:
                    raise
                left_out.append(str(error))
        self.left_out = (*self._files.left_out, *left_out)
        hashes = {fingerprint_prefix(name) for name in names}
        unopened = [name for name in self._unopened if fingerprint_prefix(name) not in hashes]
        return tuple(dict.fromkeys([*unopened, *names]))

    def _model(self, model: TrainedModel, written: list[str]) -> str:
        name = model_file_name(model)
        if not (self.path / name).is_file() or name in self._unopened:
            save_model_file(model, self.path / name)
            self._files.sync(name, written)
        return name

    def _versions_file(
        self, versions: tuple[Version, ...], number: int, written: list[str]
    ) -> str | None:
        """Write the model history, if it changed."""
        for damaged in self._files.damaged:
            # A person may still be able to read the damaged file.
            with contextlib.suppress(OSError):
                shutil.copyfile(self.path / damaged, self.path / f"damaged-{Path(damaged).name}")
        if not versions:
            return None
        content = format_history(versions)
        last_name = None if self._last is None else self._last.history
        saved = (last_name, content) == self._history
        if last_name is not None and saved and (self.path / last_name).is_file():
            return last_name
        name = f"history/versions-{number}.json"
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        _write_through(self.path / name, content)
        written.append(name)
        self._history = (name, content)
        return name

    def _read_history(self, name: str | None, missing: list[str]) -> tuple[Version, ...]:
        if name is None:
            return ()
        try:
            content = (self.path / name).read_bytes()
            versions = read_history(content)
        except OSError as error:
            missing.append(f"The history of the models cannot be read ({error.strerror}).")
            return ()
        except InputError as error:
            self._files.damaged.append(name)
            missing.append(f"{name}: {error}")
            return ()
        self._history = (name, content)
        return versions

    def _read_models(
        self, names: Sequence[str], history: Sequence[Version], missing: list[str]
    ) -> list[TrainedModel]:
        """Open the models; damaged and TorchScript ones stay in the project unopened."""
        models, unopened = [], []
        for name in names:
            try:
                models.append(open_model_file(self.path / name, history))
            except InputError as error:
                # The sentence names the file; of a program it says how to open it after all.
                unopened.append(name)
                missing.append(str(error))
        self._unopened = tuple(unopened)
        return models

    def _sweep(self, manifest: Manifest) -> None:
        """Delete own files that the manifest does not list, and drafts left by a crash."""
        listed = {self.path / name for name in manifest.files}
        _delete(self._own_files() - listed)

    def _own_files(self) -> set[Path]:
        """Return the files and drafts that were written here, by their names."""
        drafts = set(self.path.glob(f".{NAME}.*"))
        return drafts | {path for path in self._in_folders() if _is_own(path)}

    def _other_files(self) -> set[Path]:
        return {path for path in self._in_folders() if not _is_own(path)}

    def _in_folders(self) -> Iterator[Path]:
        """Yield what is in the folders of the project, unless a link leads elsewhere."""
        for folder in FOLDERS:
            place = self.path / folder
            if place.is_dir() and not place.is_symlink():
                yield from place.iterdir()


def _is_own(path: Path) -> bool:
    draft = path.name.startswith(".") and path.is_dir() and not path.is_symlink()
    return draft or _OWN_NAMES.fullmatch(path.name) is not None


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def _with_unique_keys(entries: list[Entry]) -> list[Entry]:
    """Give entries that repeat a key new ones: earlier versions wrote duplicates so."""
    keys: set[str] = set()
    unique = []
    for entry in entries:
        new = entry if entry.key not in keys else entry.model_copy(update={"key": uuid.uuid4().hex})
        keys.add(new.key)
        unique.append(new)
    return unique


def _write_through(path: Path, content: bytes) -> None:
    """Write a file and flush it to disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


__all__ = ["SUFFIX", "ProjectFolder", "SavedElsewhereError", "is_project"]
