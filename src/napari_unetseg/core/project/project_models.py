"""Save and open the models of a project: our models as packages, others as their own files."""

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
from napari_unetseg.core.models_io.native import save
from napari_unetseg.core.models_io.native.model_files import MAX_BYTES
from napari_unetseg.core.models_io.native.zip_archive import zip_bytes
from napari_unetseg.core.training.model_history import Version

_HASH_LENGTH = 16


def model_file_name(model: TrainedModel) -> str:
    """Return the name of a model's file in a project."""
    suffix = Path(model.source).suffix.lower() if isinstance(model, ForeignModel) else ".zip"
    ending = suffix if suffix in SUFFIXES else ".zip"
    # The name is included because models with the same weights may differ in name and card.
    return f"models/{model.fingerprint[:_HASH_LENGTH]}-{_short_name(model)}{ending}"


def fingerprint_prefix(name: str) -> str:
    """Return the start of the model's fingerprint, from the name of its file."""
    return Path(name).name[:_HASH_LENGTH]


def save_model_file(model: TrainedModel, path: Path) -> None:
    """Write a model file into a project.

    Raises
    ------
    InputError
        When the model is from another program and its file is missing, or the project cannot be
        written.
    """
    if not isinstance(model, ForeignModel):
        save(model, path)
        return
    source = Path(model.source)
    if not source.exists():
        raise InputError(
            f"{model.name} was not saved in the project: its file {source} is missing. Put it back "
            "and save again."
        )
    with writing(path) as draft:
        if source.is_dir():
            draft.write_bytes(_zip_folder(source))
        else:
            shutil.copyfile(source, draft)


def open_model_file(path: Path, versions: Sequence[Version]) -> TrainedModel:
    """Open a model file of a project, without executing code from it.

    Parameters
    ----------
    versions
        The project's history, which has the names of bare weights.

    Raises
    ------
    NeedsTrust
        When it is TorchScript, which can execute code.
    InputError
        When it cannot be opened, or differs from the file that was saved.
    """
    try:
        model = open_model(path)
    except NeedsTrust as error:
        raise NeedsTrust(
            f"{path.name} is TorchScript, which can execute code, and was not opened. It stays in "
            "the project: to use it, open it with Load model... in Predict, which asks first."
        ) from error
    if not isinstance(model, ForeignModel):
        return model
    if fingerprint_prefix(path.name) != model.fingerprint[:_HASH_LENGTH]:
        raise InputError(
            f"{path.name} does not contain the weights that were saved: the file was changed. Copy "
            "the project again."
        )
    names = [version.name for version in versions if version.fingerprint == model.fingerprint]
    candidates = [replace(model, name=name) for name in names]
    matching = [
        version for version in candidates if Path(model_file_name(version)).stem == path.stem
    ]
    return matching[-1] if matching else model


def _zip_folder(folder: Path) -> bytes:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if sum(path.stat().st_size for path in files) > MAX_BYTES:
        raise InputError(
            f"{folder} is larger than {MAX_BYTES // 2**20} MiB, the limit for a model. Choose the "
            "folder of the model alone."
        )
    return zip_bytes({path.relative_to(folder).as_posix(): path.read_bytes() for path in files})


def _short_name(model: TrainedModel) -> str:
    letters = "".join(c if c.isalnum() and c.isascii() else "-" for c in model.name)
    return letters.strip("-")[:40] or "model"


__all__ = ["fingerprint_prefix", "model_file_name", "open_model_file", "save_model_file"]
