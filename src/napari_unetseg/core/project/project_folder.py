"""Save and open project folders so that a crash at any moment loses no saved data.

A file of the project is never overwritten. Changed items are written under new names, then the
manifest is replaced atomically, then files that it no longer lists are deleted. So the manifest
always lists complete files, even after a power failure.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.atomic_files import CannotWriteError
from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.errors import InputError, decoding
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_image, read_labels, write_image, write_labels, writing
from napari_unetseg.core.io.table_files import (
    Types,
    read_typed_table,
    table_of_json,
    write_typed_table,
)
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.progress import Progress, silent, track
from napari_unetseg.core.project.project_contents import Contents, ImageItem, LabelsItem
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

Item: TypeAlias = ImageItem | LabelsItem
Entry: TypeAlias = ImageEntry | LabelsEntry

FOLDERS = ("images", "labels", "ink", "tables", "models", "history")

LOCK = ".lock"
"""File in a project that a window holds locked while it saves; it stays there."""

PATIENCE = 5.0
"""Seconds to wait for another window that is saving the same project."""

_NOT_AS_WRITTEN = (
    "{path} was written, but does not read back as it was. What was saved before is still there; "
    "save again, or on another disk."
)

# Names of the files that are written here; other files in these folders are not deleted.
_OWN_NAMES = re.compile(r"[A-Za-z0-9-]+-[0-9]+\.(tif|npy|csv|json)|[0-9a-f]{16}-.*")

_MAX_PIXELS = 2**40

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
        self._saver = uuid.uuid4().hex
        self._lock = Lock()
        self._last: Manifest | None = None
        self._versions: dict[str, Hashable] = {}
        self._entries: dict[str, Entry] = {}
        self._history: tuple[str | None, bytes] | None = None
        self._damaged: list[str] = []
        self._unopened: tuple[str, ...] = ()
        self._not_read: tuple[Entry, ...] = ()
        # By key: what a table holds, its file, and the types of its columns.
        self._tables: dict[str, tuple[bytes, str, Types]] = {}
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
            and all((self.path / n).is_file() or n in self._damaged for n in entry.pixel_files)
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
        images: list[ImageItem] = []
        labels: list[LabelsItem] = []
        not_read: list[Entry] = []
        missing: list[str] = []
        self._damaged = []
        for entry in track(entries, progress, "opening"):
            try:
                # The list, and the paths in it, may come from anyone.
                with decoding(entry.name):
                    if isinstance(entry, LabelsEntry):
                        labels.append(self._read_labels(entry, missing))
                    else:
                        images.append(self._read_image(entry))
            except InputError as error:
                not_read.append(entry)
                sentence = str(error)
                named = sentence.startswith(entry.name)
                missing.append(sentence if named else f"{entry.name}: {sentence}")
        self._not_read = tuple(not_read)
        history = self._read_history(manifest.history, missing)
        models = self._read_models(manifest.models, history, missing)
        self._last = manifest
        items: list[Item] = [*images, *labels]
        self._versions = {item.key: item.version for item in items}
        self._entries = {entry.key: entry for entry in entries if entry.key in self._versions}
        return Contents(
            images=tuple(images),
            labels=tuple(labels),
            models=tuple(models),
            history=history,
            missing=tuple(missing),
        )

    def _save(self, contents: Contents, progress: Progress) -> list[str]:
        number = self._next_number()
        self.left_out = ()
        written: list[str] = []
        entries: list[Entry] = []
        items: list[Item] = list(contents.items)
        for item in track(items, progress, "saving"):
            entry = self._unchanged_entry(item) or self._new_entry(item, number, written)
            entries.append(self._with_table(entry, item, number, written))
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

    def _new_entry(self, item: Item, number: int, written: list[str]) -> Entry:
        if isinstance(item, ImageItem):
            return self._image(item, number, written)
        return self._labels(item, number, written)

    def _with_table(self, entry: Entry, item: Item, number: int, written: list[str]) -> Entry:
        """Return an entry with the table of its layer, which is written if it changed."""
        if isinstance(entry, ImageEntry) or isinstance(item, ImageItem):
            return entry
        none = entry.model_copy(update={"table": None, "columns": {}})
        if not item.table:
            return none
        content = _fingerprint(item.table)
        saved = self._tables.get(item.key)
        if saved is not None and saved[0] == content and (self.path / saved[1]).is_file():
            return entry.model_copy(update={"table": saved[1], "columns": saved[2]})
        name = f"tables/{item.key}-{number}.csv"
        try:
            types = write_typed_table(self.path / name, item.table)
        except CannotWriteError:
            raise
        except InputError as error:
            self.left_out += (f"The table of {item.name} was not saved: {error}",)
            return none
        if _fingerprint(read_typed_table(self.path / name, types)) != content:
            raise InputError(_NOT_AS_WRITTEN.format(path=self.path / name))
        self._sync(name, written)
        self._tables[item.key] = (content, name, types)
        return entry.model_copy(update={"table": name, "columns": types})

    def _image(self, item: ImageItem, number: int, written: list[str]) -> ImageEntry:
        metadata: dict[str, Any] = {
            "key": item.key,
            "name": item.name,
            "axes": item.image.axes,
            "place": dict(item.place),
            "mark": dict(item.mark),
        }
        if item.path is not None and _is_content_of(item.path, item.image):
            return ImageEntry(path=_relative(item.path, self.path), **metadata)
        name = f"images/{item.key}-{number}.tif"
        write_image(self.path / name, item.image)
        entry = ImageEntry(file=name, **metadata)
        try:
            _check(self._read_image(entry).image.data, item.image.data, self.path / name)
        except InputError:
            # TIFF reorders axes and drops those of length one.
            name = f"images/{item.key}-{number}.npy"
            self._write_array(name, item.image.asarray())
            calibration: dict[str, Any] = {"spacing": item.image.spacing, "unit": item.image.unit}
            entry = ImageEntry(file=name, **calibration, **metadata)
            _check(self._read_image(entry).image.data, item.image.data, self.path / name)
        self._sync(name, written)
        return entry

    def _labels(self, item: LabelsItem, number: int, written: list[str]) -> LabelsEntry:
        name = f"labels/{item.key}-{number}.tif"
        flat = item.labels.reshape(-1, item.labels.shape[-1])
        write_labels(self.path / name, Image.of(flat, "YX"))
        self._sync(name, written)
        ink = None
        if item.ink:
            ink = f"ink/{item.key}-{number}.tif"
            inked = item.ink.array().reshape(flat.shape)
            write_labels(self.path / ink, Image.of(inked.astype(np.uint8), "YX"))
            self._sync(ink, written)
        entry = LabelsEntry(
            key=item.key,
            name=item.name,
            file=name,
            ink=ink,
            dtype=item.labels.dtype.str,
            shape=item.labels.shape,
            place=dict(item.place),
            mark=dict(item.mark),
        )
        missing: list[str] = []
        found = self._read_labels(entry, missing)
        _check(found.labels, item.labels, self.path / name)
        if missing:
            raise InputError(missing[0])
        if item.ink and found.ink is not None:
            _check(found.ink.array(), item.ink.array(), self.path / name)
        return entry

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
        self.left_out += tuple(left_out)
        hashes = {fingerprint_prefix(name) for name in names}
        unopened = [name for name in self._unopened if fingerprint_prefix(name) not in hashes]
        return tuple(dict.fromkeys([*unopened, *names]))

    def _model(self, model: TrainedModel, written: list[str]) -> str:
        name = model_file_name(model)
        if not (self.path / name).is_file() or name in self._unopened:
            save_model_file(model, self.path / name)
            self._sync(name, written)
        return name

    def _versions_file(
        self, versions: tuple[Version, ...], number: int, written: list[str]
    ) -> str | None:
        """Write the model history, if it changed."""
        for damaged in self._damaged:
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
            self._damaged.append(name)
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

    def _read_image(self, entry: ImageEntry) -> ImageItem:
        path = None
        if entry.file is not None:
            image = read_image(self.path / entry.file, entry.axes or None)
            if entry.spacing:
                image = replace(image, spacing=entry.spacing, unit=entry.unit)
        else:
            path = Path(os.path.normpath(self.path / (entry.path or "")))
            image = read_image(path)
        return ImageItem(
            key=entry.key,
            name=entry.name,
            image=image,
            path=path,
            version=("file", entry.file or entry.path),
            place=entry.place,
            mark=entry.mark,
        )

    def _read_labels(self, entry: LabelsEntry, missing: list[str]) -> LabelsItem:
        labels = _shaped(read_labels(self.path / entry.file).asarray(), entry)
        ink = None
        try:
            if entry.ink is not None:
                inked = _shaped(read_labels(self.path / entry.ink).asarray(), entry) != 0
                ink = PixelSet(inked.shape)
                ink.add(tuple(slice(0, length) for length in inked.shape), inked)
        except InputError as error:
            self._damaged.append(str(entry.ink))
            missing.append(f"{entry.name} is not locked any more: {error}")
        place = dict(entry.place)
        table = self._read_table(entry, place.pop("features", None), missing)
        return LabelsItem(
            key=entry.key,
            name=entry.name,
            labels=labels.astype(_dtype(entry)),
            ink=ink,
            table=table,
            version=("file", entry.file),
            place=place,
            mark=entry.mark,
        )

    def _read_table(
        self, entry: LabelsEntry, older: Any, missing: list[str]
    ) -> dict[str, NDArray[Any]] | None:
        """Read the table of a layer; projects of version 1 have it in their list."""
        try:
            if entry.table is not None:
                table = read_typed_table(self.path / entry.table, entry.columns)
                self._tables[entry.key] = (_fingerprint(table), entry.table, entry.columns)
                return table
            return None if older is None else table_of_json(older)
        except InputError as error:
            if entry.table is not None:
                self._damaged.append(entry.table)
            missing.append(f"{entry.name} has no table any more: {error}")
            return None

    def _write_array(self, name: str, array: NDArray[Any]) -> None:
        with writing(self.path / name) as draft:
            np.save(draft, array, allow_pickle=False)

    def _sync(self, name: str, written: list[str]) -> None:
        """Flush a file to disk before the manifest lists it."""
        with (self.path / name).open("rb+") as file:
            os.fsync(file.fileno())
        written.append(name)

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


def _fingerprint(table: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a hash of all names, types and cells of a table."""
    digest = hashlib.blake2b()
    for name, column in table.items():
        text = column.dtype.kind in "OUS"
        cells = json.dumps(column.tolist(), default=str).encode() if text else column.tobytes()
        kind = "" if text else column.dtype.str
        for content in (name.encode("utf-8", "backslashreplace"), kind.encode(), cells):
            digest.update(len(content).to_bytes(8, "little") + content)
    return digest.digest()


def _with_unique_keys(entries: list[Entry]) -> list[Entry]:
    """Give entries that repeat a key new ones: earlier versions wrote duplicates so."""
    keys: set[str] = set()
    unique = []
    for entry in entries:
        new = entry if entry.key not in keys else entry.model_copy(update={"key": uuid.uuid4().hex})
        keys.add(new.key)
        unique.append(new)
    return unique


def _check(found: Any, given: Any, path: Path) -> None:
    """Compare what a file holds with what was to be written, plane by plane.

    Raises
    ------
    InputError
        When they differ.
    """
    planes = np.ndindex(*found.shape[:-2]) if found.shape == given.shape else None
    if planes is None or not all(_equal(found[plane], given[plane]) for plane in planes):
        raise InputError(_NOT_AS_WRITTEN.format(path=path))


def _equal(one: Any, other: Any) -> bool:
    one, other = np.asarray(one), np.asarray(other)
    return np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")


def _is_content_of(path: Path, image: Image) -> bool:
    """Return whether a file holds an image; of a lazy one, three planes are compared."""
    try:
        found = read_image(path)
        if (found.shape, found.dtype, found.rgb) != (image.shape, image.dtype, image.rgb):
            return False
        planes = list(np.ndindex(*image.shape[: -3 if image.rgb else -2]))
        if image.lazy or found.lazy:
            planes = [planes[0], planes[len(planes) // 2], planes[-1]]
        return all(_equal(found.data[plane], image.data[plane]) for plane in planes)
    except InputError:
        return False


def _shaped(array: NDArray[Any], entry: LabelsEntry) -> NDArray[Any]:
    n_pixels = math.prod(entry.shape) if min(entry.shape, default=0) >= 0 else -1
    if n_pixels != array.size or n_pixels > _MAX_PIXELS:
        raise InputError(
            f"{entry.file} has {array.size} pixels, but project.json states the shape "
            f"{entry.shape}. One of the two files is damaged; restore a backup."
        )
    return array.reshape(entry.shape)


def _dtype(entry: LabelsEntry) -> np.dtype[Any]:
    try:
        dtype = np.dtype(entry.dtype)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{entry.dtype!r} is not a data type of labels: project.json is damaged. "
            "Restore a backup."
        ) from error
    if dtype.kind not in "uib":
        raise InputError(
            f"Labels are integers, not {dtype}: project.json is damaged. Restore a backup."
        )
    return dtype


def _relative(path: Path, folder: Path) -> str:
    """Return a path relative to the folder, or absolute if that is impossible (another drive)."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return str(path.resolve())


def _write_through(path: Path, content: bytes) -> None:
    """Write a file and flush it to disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


__all__ = ["SUFFIX", "ProjectFolder", "SavedElsewhereError", "is_project"]
