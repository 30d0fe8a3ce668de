"""Write the layers of a project to files in its folder, compare, and read them again."""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.atomic_files import CannotWriteError
from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_image, read_labels, write_image, write_labels, writing
from napari_unetseg.core.io.table_files import (
    Types,
    read_typed_table,
    table_of_json,
    write_typed_table,
)
from napari_unetseg.core.project.project_contents import ImageItem, LabelsItem
from napari_unetseg.core.project.project_manifest import ImageEntry, LabelsEntry

Item: TypeAlias = ImageItem | LabelsItem
Entry: TypeAlias = ImageEntry | LabelsEntry

_NOT_AS_WRITTEN = (
    "{path} was written, but does not read back as it was. What was saved before is still there; "
    "save again, or on another disk."
)

_MAX_PIXELS = 2**40


class ItemFiles:
    """Write and read the image and labels layers of one project, a file or a few each.

    Parameters
    ----------
    path
        The folder of the project.

    Attributes
    ----------
    damaged
        Names of files of locked pixels, tables or histories that could not be read.
    left_out
        Sentences about tables that could not be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged: list[str] = []
        self.left_out: list[str] = []
        # By key: a hash of a table, its file, and the types of its columns.
        self._tables: dict[str, tuple[bytes, str, Types]] = {}

    def write(self, item: Item, number: int, written: list[str]) -> Entry:
        """Write the pixels of a layer to new files, and compare what they hold with it.

        Parameters
        ----------
        item
            The layer.
        number
            Number of the save, part of the names of the files.
        written
            The names of the files are appended here.

        Raises
        ------
        InputError
            When a file cannot be written, or does not read back as it was.
        """
        if isinstance(item, ImageItem):
            return self._write_image(item, number, written)
        return self._write_labels(item, number, written)

    def read(self, entry: Entry, missing: list[str]) -> Item:
        """Read a layer; what it lacks is named in `missing`.

        Raises
        ------
        InputError
            When its pixels cannot be read.
        """
        if isinstance(entry, ImageEntry):
            return self._read_image(entry)
        return self._read_labels(entry, missing)

    def with_table(self, entry: Entry, item: Item, number: int, written: list[str]) -> Entry:
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
            self.left_out.append(f"The table of {item.name} was not saved: {error}")
            return none
        if _fingerprint(read_typed_table(self.path / name, types)) != content:
            raise InputError(_NOT_AS_WRITTEN.format(path=self.path / name))
        self.sync(name, written)
        self._tables[item.key] = (content, name, types)
        return entry.model_copy(update={"table": name, "columns": types})

    def _write_image(self, item: ImageItem, number: int, written: list[str]) -> ImageEntry:
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
        self.sync(name, written)
        return entry

    def _write_labels(self, item: LabelsItem, number: int, written: list[str]) -> LabelsEntry:
        name = f"labels/{item.key}-{number}.tif"
        flat = item.labels.reshape(-1, item.labels.shape[-1])
        write_labels(self.path / name, Image.of(flat, "YX"))
        self.sync(name, written)
        ink = None
        if item.ink:
            ink = f"ink/{item.key}-{number}.tif"
            inked = item.ink.array().reshape(flat.shape)
            write_labels(self.path / ink, Image.of(inked.astype(np.uint8), "YX"))
            self.sync(ink, written)
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
            self.damaged.append(str(entry.ink))
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
                self.damaged.append(entry.table)
            missing.append(f"{entry.name} has no table any more: {error}")
            return None

    def _write_array(self, name: str, array: NDArray[Any]) -> None:
        with writing(self.path / name) as draft:
            np.save(draft, array, allow_pickle=False)

    def sync(self, name: str, written: list[str]) -> None:
        """Flush a file to disk before the manifest lists it."""
        with (self.path / name).open("rb+") as file:
            os.fsync(file.fileno())
        written.append(name)


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


__all__ = ["Entry", "Item", "ItemFiles"]
