"""List, find and open the models shipped with the package, which are used by name.

Each is a model package in the folder ``shipped``, with its training data, scores and licence in its
card.
"""

import os
from functools import lru_cache
from pathlib import Path

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io.paths import named_path
from napari_unetseg.core.model.trained_model import TrainedModel

PathLike = str | os.PathLike[str]

_SUFFIX = ".zip"
FOLDER = Path(__file__).parents[2] / "shipped"

NDIM = 2
"""Number of spatial axes of every shipped model, known without opening one."""

_UNETS = ("nuclei_fast", "cytology_nuclei", "neurons", "axons")

_DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml", "model.yaml")

GENERAL = "general"
"""The model of many kinds, for what no other model is of."""

FAST = {"nuclei_fast": "nuclei"}
"""Narrow models that learnt from another one, with its name: taken only when they are chosen."""

LINES = {
    "nuclei": "Nuclei in fluorescence, bright on dark, from small to large.",
    "nuclei_fast": "The same, several times as fast and a little less exact: for large images.",
    "stained_nuclei": "Dark nuclei in stained tissue sections, in colour.",
    "cytology_nuclei": "Dark nuclei of single cells in bright field.",
    "phase_cells": "Living cells in phase contrast, touching.",
    "neurons": "Neurons and their processes in bright field and phase contrast, as a mask.",
    "axons": "Axons and their bright myelin in electron micrographs, as classes.",
    GENERAL: "Cells and nuclei of many kinds, bright or dark: where no other model fits.",
}
"""A line about each model, the most used first; known without opening one."""


def names() -> tuple[str, ...]:
    """Return the names of the shipped models, the most used first."""
    available = {path.stem for path in FOLDER.glob(f"*{_SUFFIX}")}
    first = [name for name in LINES if name in available]
    return (*first, *sorted(available - set(first)))


def names_to_try() -> tuple[str, ...]:
    """Return the names of the shipped models that an image may be of: all but the fast ones."""
    return tuple(name for name in names() if name not in FAST)


def shipped_kind(name: str) -> str:
    """Return the kind of a shipped model, known without opening it."""
    return "unet" if name in _UNETS else "pretrained-unet"


def listed() -> str:
    """Return a sentence that lists the shipped models."""
    return f"Shipped models are: {', '.join(names()) or 'none'}."


def path_of(name: str) -> Path:
    """Return the file of a shipped model.

    Raises
    ------
    InputError
        When there is no shipped model with that name.
    """
    if name not in names():
        raise InputError(f"There is no shipped model {name[:60]!r}. {listed()}")
    return FOLDER / f"{name}{_SUFFIX}"


def picture_of(name: str) -> Path | None:
    """Return the picture of a shipped model, if it has one: a drawn image of its kind, outlined."""
    file = path_of(name).with_suffix(".png")
    return file if file.is_file() else None


def shipped_name(path: PathLike) -> str:
    """Return the name of the shipped model at a path; empty if it is another file."""
    file = Path(path)
    ours = file.suffix == _SUFFIX and Path(os.path.realpath(file)).parent == FOLDER.resolve()
    return file.stem if ours and file.stem in names() else ""


def name_of_model(model: TrainedModel) -> str:
    """Return the name of the shipped model equal to a model; empty if there is none."""
    ours = model.name in names() and open_shipped(model.name).fingerprint == model.fingerprint
    return model.name if ours else ""


def resolved(path: PathLike) -> Path:
    """Return the model file of a path or name: an existing file, or else the shipped model.

    A folder without a model description does not count as an existing model.

    Raises
    ------
    InputError
        As `napari_unetseg.core.io.paths.named_path`.
    """
    file = named_path(path)
    return path_of(file.name) if _is_name(file) and not _is_there(file) else file


def hides_shipped(path: PathLike) -> bool:
    """Return whether a model in the working folder hides the shipped one of its name."""
    file = Path(path)
    return _is_name(file) and _is_there(file)


def _is_name(path: Path) -> bool:
    return path.parent == Path() and path.name in names()


def _is_there(folder: Path) -> bool:
    if not folder.is_dir():
        return folder.exists()
    return any(path.name.endswith(_DESCRIPTIONS) for path in folder.iterdir())


@lru_cache(maxsize=8)
def open_shipped(name: str) -> TrainedModel:
    """Open a shipped model; cached, and without importing torch.

    Raises
    ------
    InputError
        When there is no shipped model with that name.
    """
    # Docks list the names when they open; the modules that read files are imported later.
    from napari_unetseg.core.models_io.native import load

    return load(path_of(name), check=False)


__all__ = [
    "FAST",
    "FOLDER",
    "GENERAL",
    "LINES",
    "NDIM",
    "hides_shipped",
    "listed",
    "name_of_model",
    "names",
    "names_to_try",
    "open_shipped",
    "path_of",
    "picture_of",
    "resolved",
    "shipped_kind",
    "shipped_name",
]
