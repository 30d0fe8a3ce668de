"""Recipes and their models as files: a recipe beside the model that it names by its hash."""

import hashlib
import os
from pathlib import Path

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.io.paths import PathLike, writing
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.recipe.recipe import Recipe
from napari_unetseg.core.recipe.recipe_steps import ModelStep
from napari_unetseg.core.recipe.recipe_yaml import (
    MAX_BYTES,
    RecipeError,
    parse_recipe,
    written_recipe,
)

SUFFIXES = (".yaml", ".yml")
_CHUNK = 2**20


def read_recipe(path: PathLike) -> Recipe:
    """Read a recipe's file.

    Raises
    ------
    InputError
        When there is none, or it is no recipe; the sentence names the line and the field.
    """
    source = Path(path)
    try:
        with source.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"The recipe {source} cannot be read: {error.strerror}. Check the name."
        ) from error
    try:
        return parse_recipe(data)
    except RecipeError as error:
        raise InputError(f"{source}: {error}") from error


def write_recipe(path: PathLike, recipe: Recipe) -> None:
    """Write a recipe's file, replacing it in one step.

    Raises
    ------
    InputError
        When the name does not end in .yaml or .yml, or the place cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise InputError(f"A recipe is written as .yaml, not {target.name!r}. Change the name.")
    with writing(target) as draft:
        draft.write_text(written_recipe(recipe), encoding="utf-8", newline="\n")


def model_file(step: ModelStep, folder: PathLike) -> Path:
    """Return the file of a recipe's model, which is the very one that the recipe means.

    Parameters
    ----------
    folder
        The recipe's own, from which its model's path counts.

    Raises
    ------
    InputError
        When it is not there, or has another hash.
    """
    path = Path(os.path.normpath(Path(folder) / step.file))
    if not path.exists() and step.file in shipped.names():
        path = shipped.path_of(step.file)
    found = hash_of(path)
    if found != step.sha256:
        raise InputError(
            f"The model {path} is not the one the recipe was made with: its SHA-256 begins with "
            f"{found[:12]}, the recipe's with {step.sha256[:12]}. Put the right file there; or, to "
            f"use this one on purpose, set model.sha256 to {found}."
        )
    return path


def model_step(
    path: PathLike,
    folder: PathLike,
    options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
) -> ModelStep:
    """Return the step that runs a model in a file, or one that ships, for a recipe in a folder.

    Parameters
    ----------
    options
        How it is run; of its size options the one that has an effect is taken.
    """
    source = shipped.resolved(path)
    file = shipped.shipped_name(source) or relative_to(source, folder)
    chosen = options.model_dump(include=set(PredictOptions.model_fields)) | options.one_size()
    return ModelStep.checked(file=file, sha256=hash_of(source), **chosen)


def relative_to(path: Path, folder: PathLike) -> str:
    """Return a path as seen from a folder, or as it is where there is no way (another drive)."""
    try:
        return Path(os.path.relpath(path.resolve(), Path(folder).resolve())).as_posix()
    except ValueError:
        return str(path.resolve())


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises
    ------
    InputError
        When it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(_CHUNK):
                digest.update(part)
    except OSError as error:
        raise InputError(
            f"The model {path} cannot be read: {error.strerror}. Put it beside the recipe, or "
            "change model.file."
        ) from error
    return digest.hexdigest()


__all__ = [
    "SUFFIXES",
    "hash_of",
    "model_file",
    "model_step",
    "read_recipe",
    "relative_to",
    "write_recipe",
]
