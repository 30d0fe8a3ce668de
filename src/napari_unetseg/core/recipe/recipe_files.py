"""Read and write recipe files, and find their models, which recipes identify by SHA-256."""

import hashlib
import os
from pathlib import Path

from napari_unetseg.core.atomic_files import writing
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.io.paths import PathLike, existing_path, named_path
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.recipe.recipe import Recipe
from napari_unetseg.core.recipe.recipe_steps import ModelStep
from napari_unetseg.core.recipe.recipe_yaml import (
    MAX_BYTES,
    RecipeError,
    parse_recipe,
    recipe_to_yaml,
)

SUFFIXES = (".yaml", ".yml")
_CHUNK = 2**20


def read_recipe(path: PathLike) -> Recipe:
    """Read a recipe file.

    Raises
    ------
    InputError
        When the file cannot be read or is not a recipe; the message names the line and the field.
    """
    source = named_path(path)
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
    """Write a recipe file atomically.

    Raises
    ------
    InputError
        When the name does not end in .yaml or .yml, the file cannot be written, or would be larger
        than what is read.
    """
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise InputError(f"A recipe is written as .yaml, not {target.name!r}. Change the name.")
    text = recipe_to_yaml(recipe)
    try:
        parse_recipe(text)
    except RecipeError as error:
        raise InputError(f"{target} was not written, for it would not open: {error}") from error
    with writing(target) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


def model_file(step: ModelStep, folder: PathLike) -> Path:
    """Return the file of a recipe's model, after checking its SHA-256.

    Parameters
    ----------
    folder
        The recipe's folder, which its model path is relative to.

    Raises
    ------
    InputError
        When the file is missing or its hash differs.
    """
    path = named_path(os.path.normpath(Path(folder) / named_path(step.file)))
    if os.path.exists(path):
        existing_path(path)
    elif step.file in shipped.names():
        path = shipped.path_of(step.file)
    sha256 = file_sha256(path)
    if sha256 != step.sha256:
        raise InputError(
            f"The model {path} is not the one the recipe was made with: its SHA-256 begins with "
            f"{sha256[:12]}, the recipe's with {step.sha256[:12]}. Put the right file there; or, "
            f"to use this one on purpose, set model.sha256 to {sha256}."
        )
    return path


def model_step(
    path: PathLike,
    folder: PathLike,
    options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
) -> ModelStep:
    """Make the step that runs a model file or a shipped model, for a recipe in a folder.

    Parameters
    ----------
    options
        Options of the prediction; of its size options the one that has an effect is taken.
    """
    source = shipped.resolved(path)
    file = shipped.shipped_name(source) or relative_to(source, folder)
    chosen = options.model_dump(include=set(PredictOptions.model_fields)) | options.one_size()
    return ModelStep.checked(file=file, sha256=file_sha256(source), **chosen)


def relative_to(path: Path, folder: PathLike) -> str:
    """Return a path relative to a folder, or absolute if that is impossible (another drive)."""
    try:
        return Path(os.path.relpath(path.resolve(), Path(folder).resolve())).as_posix()
    except ValueError:
        return str(path.resolve())


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits.

    Raises
    ------
    InputError
        When the file cannot be read.
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
    "file_sha256",
    "model_file",
    "model_step",
    "read_recipe",
    "relative_to",
    "write_recipe",
]
