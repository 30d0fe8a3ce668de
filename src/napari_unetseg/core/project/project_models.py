"""The models of a project: ours as packages, those of others as the very files they came in."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io import writing
from napari_unetseg.core.model.model_library import SUFFIXES
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.foreign import NeedsTrust, open_model
from napari_unetseg.core.models_io.foreign.foreign_model import ForeignModel
from napari_unetseg.core.models_io.foreign.model_files import MAX_BYTES
from napari_unetseg.core.models_io.native import save
from napari_unetseg.core.models_io.native.zip_archive import written_zip
from napari_unetseg.core.training.model_history import Version

_HASH_LENGTH = 16


def file_name_of_model(model: TrainedModel) -> str:
    """Return what a model's file is called in a project."""
    suffix = Path(model.source).suffix.lower() if isinstance(model, ForeignModel) else ".zip"
    ending = suffix if suffix in SUFFIXES else ".zip"
    # Two models of the same weights may have other names and cards, so those count too.
    return f"models/{model.fingerprint[:_HASH_LENGTH]}-{_short(model)}{ending}"


def hash_in(name: str) -> str:
    """Return the beginning of the fingerprint that a model's file is called by."""
    return Path(name).name[:_HASH_LENGTH]


def keep(model: TrainedModel, path: Path) -> None:
    """Write a model's file into a project.

    Raises
    ------
    InputError
        When it is a model of others whose file is gone, or the place cannot be written.
    """
    if not isinstance(model, ForeignModel):
        save(model, path)
        return
    source = Path(model.source)
    if not source.exists():
        raise InputError(
            f"{model.name} is not in the project: its file {source} is gone. Put it back, and save "
            "again."
        )
    with writing(path) as draft:
        if source.is_dir():
            draft.write_bytes(_zipped(source))
        else:
            shutil.copyfile(source, draft)


def open_kept(path: Path, versions: Sequence[Version]) -> TrainedModel:
    """Open a model's file in a project; nothing in it is run.

    Parameters
    ----------
    versions
        The project's history, which knows the names of bare weights.

    Raises
    ------
    NeedsTrust
        When it is TorchScript, which is a program.
    InputError
        When it cannot be opened, or is not the one that was saved.
    """
    try:
        model = open_model(path)
    except NeedsTrust as error:
        raise NeedsTrust(
            f"{path.name} is TorchScript, which is a program, and was not run. It stays in the "
            "project: to use it, open it with Load model... in Predict, where you are asked."
        ) from error
    if not isinstance(model, ForeignModel):
        return model
    if hash_in(path.name) != model.fingerprint[:_HASH_LENGTH]:
        raise InputError(
            f"{path.name} does not hold the weights that were saved. The file was changed; copy "
            "the project again."
        )
    names = [one.name for one in versions if one.fingerprint == model.fingerprint]
    named = [replace(model, name=name) for name in names]
    meant = [one for one in named if Path(file_name_of_model(one)).stem == path.stem]
    return meant[-1] if meant else model


def _zipped(folder: Path) -> bytes:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if sum(path.stat().st_size for path in files) > MAX_BYTES:
        raise InputError(f"{folder} is larger than any model ({MAX_BYTES // 2**20} MiB).")
    return written_zip({path.relative_to(folder).as_posix(): path.read_bytes() for path in files})


def _short(model: TrainedModel) -> str:
    letters = "".join(c if c.isalnum() and c.isascii() else "-" for c in model.name)
    return letters.strip("-")[:40] or "model"


__all__ = ["file_name_of_model", "hash_in", "keep", "open_kept"]
