"""Decide whether a run can be resumed: recipe, image and model must be the same."""

from pathlib import Path
from typing import Any

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io.ome_zarr_files import ordered
from napari_unetseg.core.io.paths import PathLike
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.recipe import Recipe
from napari_unetseg.core.streaming.run_folder import RunFolder
from napari_unetseg.core.streaming.run_source import RunSource, image_identity

_VERSION = 1
"""Version of the intermediate files; a run with another version is not resumed."""


def open_source(source: RunSource | Image) -> Image:
    """Open the image, its axes in the order TCZYX."""
    return source.open() if isinstance(source, RunSource) else ordered(source)


def can_resume(
    recipe: Recipe, source: RunSource | Image, out: PathLike, model: TrainedModel | None = None
) -> bool:
    """Return whether there is an unfinished run of this recipe on this image; see `stream`."""
    state = RunFolder.beside(Path(out)).read()
    return state.get("key") == run_key(recipe, source, open_source(source), model)


def run_key(
    recipe: Recipe, source: RunSource | Image, image: Image, model: TrainedModel | None
) -> dict[str, str]:
    """Return the identity key of a run: version, recipe, image and model."""
    pixels = source.identity() if isinstance(source, RunSource) else image_identity(image)
    weights = "" if model is None else f"{model.fingerprint}-{model.zoom}"
    digest = recipe.for_model(model).digest()
    return {"version": str(_VERSION), "recipe": digest, "image": pixels, "model": weights}


def open_state(folder: RunFolder, key: dict[str, str], *, resume: bool) -> dict[str, Any]:
    """Read the state of the run to resume, or start a new one.

    Raises
    ------
    InputError
        When the unfinished run was of another recipe, image or model.
    """
    state = folder.read() if resume else {}
    if state and state.get("key") != key:
        old = state.get("key", {})
        other = [name for name in key if old.get(name) != key[name]]
        raise InputError(
            f"The unfinished run in {folder.path} used another {' and '.join(other)}. "
            "Run without resume to start again."
        )
    if not state:
        folder.begin()
        state = {"key": key}
        folder.write(state)
    return state


__all__ = ["can_resume", "open_source", "open_state", "run_key"]
