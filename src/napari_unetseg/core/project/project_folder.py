"""`ProjectFolder`: saving and opening, so that a crash at any moment costs no more than seconds.

A file that is part of the project is never written again. What changed goes to a new name, then
the list is replaced in one step, then what is no longer listed is deleted. So the list always
names whole files, whenever the power fails.
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Hashable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_image, read_labels, write_image, write_labels, writing
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.foreign import NeedsTrust
from napari_unetseg.core.progress import Progress, silent, track
from napari_unetseg.core.project.project_contents import Contents, ImageItem, LabelsItem
from napari_unetseg.core.project.project_manifest import (
    NAME,
    ImageEntry,
    LabelsEntry,
    Manifest,
    read_manifest,
)
from napari_unetseg.core.project.project_models import file_name_of_model, hash_in, keep, open_kept
from napari_unetseg.core.training.model_history import Version, read_history, written_history

SUFFIX = ".unetseg"
"""How the names of project folders end."""

Item: TypeAlias = ImageItem | LabelsItem
Entry: TypeAlias = ImageEntry | LabelsEntry

FOLDERS = ("images", "labels", "ink", "models", "history")

_MAX_PIXELS = 2**40


def is_project(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a project's folder."""
    return (Path(path) / NAME).is_file()


class ProjectFolder:
    """One project on the disk.

    Parameters
    ----------
    path
        The folder; made when it is saved first.

    Attributes
    ----------
    left_out
        Sentences about models of others that could not be saved the last time.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._saver = uuid.uuid4().hex
        self._lock = Lock()
        self._last: Manifest | None = None
        self._versions: dict[str, Hashable] = {}
        self._entries: dict[str, Entry] = {}
        self._history: tuple[str | None, bytes] | None = None
        self._damaged: str | None = None
        self._unopened: tuple[str, ...] = ()
        self.left_out: tuple[str, ...] = ()

    def save(self, contents: Contents, *, progress: Progress = silent) -> list[str]:
        """Save what changed since the last time.

        Parameters
        ----------
        contents
            All that the project holds: what is not in it any more is deleted from the folder.
        progress
            May cancel: then the project stays as it was saved before.

        Returns
        -------
        list
            Names of the files that were written.

        Raises
        ------
        InputError
            When the folder cannot be written, holds something else, or was saved by another
            window since.
        """
        with self._lock:
            return self._save(contents, progress)

    def remember(self, versions: Mapping[str, Hashable]) -> None:
        """Take what was opened, or saved last, for these versions of the items, by their keys."""
        self._versions.update(versions)

    def open(self, *, progress: Progress = silent) -> Contents:
        """Read the project.

        Returns
        -------
        Contents
            What of it could be found; images that lie elsewhere and are gone are named in
            `missing`.

        Raises
        ------
        InputError
            When it is no project, or one of its own files is damaged. A damaged history is no
            reason: it is named in `missing`, and the next saving sets it aside.
        """
        manifest = read_manifest(self.path)
        entries: list[Entry] = [*manifest.images, *manifest.labels]
        images: list[ImageItem] = []
        labels: list[LabelsItem] = []
        missing = []
        for entry in track(entries, progress, "opening"):
            if isinstance(entry, LabelsEntry):
                labels.append(self._read_labels(entry))
                continue
            try:
                images.append(self._read_image(entry))
            except InputError as error:
                missing.append(f"{entry.name}: {error}")
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
        written: list[str] = []
        entries: list[Entry] = []
        items: list[Item] = list(contents.items)
        for item in track(items, progress, "saving"):
            entry = self._known(item) or self._written(item, number, written)
            entries.append(entry)
        manifest = Manifest(
            number=number,
            saver=self._saver,
            saved=datetime.now(UTC).isoformat(timespec="seconds"),
            images=tuple(e for e in entries if isinstance(e, ImageEntry)),
            labels=tuple(e for e in entries if isinstance(e, LabelsEntry)),
            models=self._models(contents.models, written),
            history=self._versions_file(contents.history, number, written),
        )
        with writing(self.path / NAME) as draft:
            _write_through(draft, manifest.model_dump_json(indent=1).encode())
        self._last = manifest
        self._versions = {item.key: item.version for item in items}
        self._entries = {entry.key: entry for entry in entries}
        self._sweep(manifest)
        return written

    def _next_number(self) -> int:
        """Return the number of this saving; refuse when somebody else saved here meanwhile."""
        if not is_project(self.path):
            if self.path.is_dir() and any(self.path.iterdir()) and self._last is None:
                raise InputError(
                    f"{self.path} holds other files. Choose a new name for the project's folder."
                )
            self._entries = {}
            return 1 if self._last is None else self._last.number + 1
        there = read_manifest(self.path)
        known = None if self._last is None else (self._last.saver, self._last.number)
        if (there.saver, there.number) != known:
            raise InputError(
                f"{self.path.name} was saved by another window. Save this one under another name."
            )
        return there.number + 1

    def _known(self, item: Item) -> Entry | None:
        """Return the entry of an item whose pixels are saved already, with what is cheap anew."""
        entry = self._entries.get(item.key)
        same = item.version is not None and self._versions.get(item.key) == item.version
        if entry is None or not same:
            return None
        update = {"name": item.name, "place": dict(item.place), "mark": dict(item.mark)}
        return entry.model_copy(update=update)

    def _written(self, item: Item, number: int, written: list[str]) -> Entry:
        if isinstance(item, ImageItem):
            return self._image(item, number, written)
        return self._labels(item, number, written)

    def _image(self, item: ImageItem, number: int, written: list[str]) -> ImageEntry:
        said: dict[str, Any] = {
            "key": item.key,
            "name": item.name,
            "axes": item.image.axes,
            "place": dict(item.place),
            "mark": dict(item.mark),
        }
        if item.path is not None:
            return ImageEntry(path=_relative(item.path, self.path), **said)
        name = f"images/{item.key}-{number}.tif"
        write_image(self.path / name, item.image)
        self._sync(name, written)
        return ImageEntry(file=name, **said)

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
        return LabelsEntry(
            key=item.key,
            name=item.name,
            file=name,
            ink=ink,
            dtype=item.labels.dtype.str,
            shape=item.labels.shape,
            place=dict(item.place),
            mark=dict(item.mark),
        )

    def _models(self, models: Sequence[TrainedModel], written: list[str]) -> tuple[str, ...]:
        """Write what is new of the models; leave out, and name, those whose own file is gone."""
        left_out: list[str] = []
        names = []
        for model in models:
            try:
                names.append(self._model(model, written))
            except InputError as error:
                if model.state:
                    raise
                left_out.append(str(error))
        self.left_out = tuple(left_out)
        known = {hash_in(name) for name in names}
        asleep = [name for name in self._unopened if hash_in(name) not in known]
        return tuple(dict.fromkeys([*asleep, *names]))

    def _model(self, model: TrainedModel, written: list[str]) -> str:
        name = file_name_of_model(model)
        if not (self.path / name).is_file():
            keep(model, self.path / name)
            self._sync(name, written)
        return name

    def _versions_file(
        self, versions: tuple[Version, ...], number: int, written: list[str]
    ) -> str | None:
        """Write what is known of the models, if it changed."""
        if self._damaged is not None:
            # A person may still read in it what a program cannot.
            with contextlib.suppress(OSError):
                aside = f"damaged-{Path(self._damaged).name}"
                shutil.copyfile(self.path / self._damaged, self.path / aside)
            self._damaged = None
        if not versions:
            return None
        content = written_history(versions)
        known = None if self._last is None else self._last.history
        saved = (known, content) == self._history
        if known is not None and saved and (self.path / known).is_file():
            return known
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
            self._damaged = name
            missing.append(f"{name}: {error}")
            return ()
        self._history = (name, content)
        return versions

    def _read_models(
        self, names: Sequence[str], history: Sequence[Version], missing: list[str]
    ) -> list[TrainedModel]:
        """Open the models, but for those that are programs, which stay where they are."""
        models, unopened = [], []
        for name in names:
            try:
                models.append(open_kept(self.path / name, history))
            except NeedsTrust as error:
                unopened.append(name)
                missing.append(str(error))
        self._unopened = tuple(unopened)
        return models

    def _read_image(self, entry: ImageEntry) -> ImageItem:
        path = None
        if entry.file is not None:
            image = read_image(self.path / entry.file, entry.axes or None)
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

    def _read_labels(self, entry: LabelsEntry) -> LabelsItem:
        labels = _shaped(read_labels(self.path / entry.file).asarray(), entry)
        ink = None
        if entry.ink is not None:
            inked = _shaped(read_labels(self.path / entry.ink).asarray(), entry) != 0
            ink = PixelSet(inked.shape)
            ink.add(tuple(slice(0, length) for length in inked.shape), inked)
        return LabelsItem(
            key=entry.key,
            name=entry.name,
            labels=labels.astype(_dtype(entry)),
            ink=ink,
            version=("file", entry.file),
            place=entry.place,
            mark=entry.mark,
        )

    def _sync(self, name: str, written: list[str]) -> None:
        """Wait until the disk has a file, before anything says that it is there."""
        with (self.path / name).open("rb+") as file:
            os.fsync(file.fileno())
        written.append(name)

    def _sweep(self, manifest: Manifest) -> None:
        """Delete what does not belong to the project, the drafts of a crash included."""
        for draft in self.path.glob(f".{NAME}.*"):
            shutil.rmtree(draft, ignore_errors=True)
        for folder in FOLDERS:
            for path in (self.path / folder).glob("*"):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                elif f"{folder}/{path.name}" not in manifest.files:
                    with contextlib.suppress(OSError):
                        path.unlink()


def _shaped(array: NDArray[Any], entry: LabelsEntry) -> NDArray[Any]:
    n_pixels = int(np.prod([float(length) for length in entry.shape]))
    if n_pixels != array.size or n_pixels > _MAX_PIXELS:
        raise InputError(
            f"{entry.file} has {array.size} pixels, but the project's list says {entry.shape}. "
            "One of both is damaged."
        )
    return array.reshape(entry.shape)


def _dtype(entry: LabelsEntry) -> np.dtype[Any]:
    try:
        dtype = np.dtype(entry.dtype)
    except TypeError as error:
        raise InputError(f"{entry.dtype!r} is no type of labels. The list is damaged.") from error
    if dtype.kind not in "uib":
        raise InputError(f"Labels are whole numbers, not {dtype}. The project's list is damaged.")
    return dtype


def _relative(path: Path, folder: Path) -> str:
    """Return a path as seen from the folder, or as it is where there is no way (another drive)."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return str(path.resolve())


def _write_through(path: Path, content: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


__all__ = ["SUFFIX", "ProjectFolder", "is_project"]
