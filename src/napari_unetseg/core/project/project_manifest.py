"""Read and validate `project.json`, the manifest that lists the files of a project."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError

from napari_unetseg.core.errors import InputError

NAME = "project.json"
MAX_BYTES = 2**26
"""Largest manifest, for reading and writing."""

# Names within the project's own folders: no path that could lead out of them.
FileName = Annotated[
    str, Field(pattern=r"^(images|labels|ink|tables|models|history)/[A-Za-z0-9_-][A-Za-z0-9._-]*$")
]
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class ImageEntry(_Part):
    """Describe an image: a file of the project, or one outside it."""

    key: Key
    name: str
    file: FileName | None = None
    path: str | None = None
    axes: str = ""
    spacing: tuple[PositiveFloat, ...] = ()
    unit: str = "pixel"
    place: dict[str, Any] = {}
    mark: dict[str, Any] = {}

    @property
    def pixel_files(self) -> list[str]:
        """The files of the project that hold the image."""
        return [] if self.file is None else [self.file]

    @property
    def files(self) -> list[str]:
        """The files of the project that hold the image."""
        return self.pixel_files


class LabelsEntry(_Part):
    """Describe a Labels layer, its locked pixels and its table, with the types of the columns."""

    key: Key
    name: str
    file: FileName
    ink: FileName | None = None
    table: FileName | None = None
    columns: dict[str, str] = {}
    dtype: str
    shape: tuple[int, ...]
    place: dict[str, Any] = {}
    mark: dict[str, Any] = {}

    @property
    def pixel_files(self) -> list[str]:
        """The files of the project that hold the labels and the locked pixels."""
        return [name for name in (self.file, self.ink) if name]

    @property
    def files(self) -> list[str]:
        """The files of the project that hold the layer."""
        return [*self.pixel_files, *([self.table] if self.table else [])]


class Manifest(_Part):
    """Define the content of `project.json`.

    In version 1 the tables of layers were part of their `place`.
    """

    format: Literal["napari-unetseg project"] = "napari-unetseg project"
    version: Literal[1, 2] = 2
    number: Annotated[int, Field(ge=0, le=2**53)] = 0
    saver: str = ""
    saved: str = ""
    images: tuple[ImageEntry, ...] = ()
    labels: tuple[LabelsEntry, ...] = ()
    models: tuple[FileName, ...] = ()
    history: FileName | None = None

    @property
    def files(self) -> set[str]:
        """The names of all files that belong to the project."""
        entries: list[ImageEntry | LabelsEntry] = [*self.images, *self.labels]
        own = (*(name for entry in entries for name in entry.files), *self.models)
        return {*own, self.history} if self.history else set(own)


def written_manifest(manifest: Manifest) -> bytes:
    """Return the content of a manifest's file.

    Raises
    ------
    InputError
        When it is larger than what is read, or does not read back.
    """
    content = _storable(manifest).model_dump_json(indent=1).encode()
    if len(content) > MAX_BYTES:
        raise InputError(
            f"The list of this project has {len(content):,} bytes; {MAX_BYTES:,} are the limit. "
            "Save fewer layers in one project."
        )
    try:
        Manifest.model_validate_json(content)
    except ValidationError as error:
        raise InputError(
            f"The list of this project would not open again ({error.errors()[0]['msg']}). "
            "Nothing was changed; please report it."
        ) from error
    return content


def _storable(value: Any) -> Any:
    """Replace letters that UTF-8 lacks, as in names of damaged files, in every text."""
    if isinstance(value, BaseModel):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        return value.model_copy(update=_storable(fields))
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        return {_storable(name): _storable(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_storable(one) for one in value)
    return value


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a project.

    Raises
    ------
    InputError
        When the manifest is missing, damaged or of a later version.
    """
    path = folder / NAME
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(
                f"{path} is too large for a project and was not opened. Choose another folder."
            )
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{folder} is not a project: {NAME} cannot be read ({error.strerror}). Choose the "
            "folder of a saved project."
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise InputError(
            f"{path} is damaged, or was saved by a later version of this plugin ({where}: "
            f"{first['msg'].lower()}). Nothing was changed."
        ) from error


__all__ = ["NAME", "ImageEntry", "LabelsEntry", "Manifest", "read_manifest", "written_manifest"]
