"""Whether a run goes on where another ended: it must be of the same recipe, image and model."""

from pathlib import Path
from typing import Any

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io.ome_zarr_files import ordered
from napari_unetseg.core.io.paths import PathLike
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.recipe import Recipe
from napari_unetseg.core.streaming.run_folder import RunFolder
from napari_unetseg.core.streaming.run_source import RunSource, identity_of_source

_VERSION = 1
"""Of what is kept meanwhile: another version of it is not gone on with."""


def open_source(source: RunSource | Image) -> Image:
    """Return the image, its axes in the order TCZYX."""
    return source.open() if isinstance(source, RunSource) else ordered(source)


def can_resume(
    recipe: Recipe, source: RunSource | Image, out: PathLike, model: TrainedModel | None = None
) -> bool:
    """Whether there is an unfinished run of this recipe on this image; see `stream`."""
    state = RunFolder.beside(Path(out)).read()
    return state.get("key") == run_key(recipe, source, open_source(source), model)


def run_key(
    recipe: Recipe, source: RunSource | Image, image: Image, model: TrainedModel | None
) -> dict[str, str]:
    """Return what makes a run another one."""
    who = source.identity() if isinstance(source, RunSource) else identity_of_source(image)
    weights = "" if model is None else f"{model.fingerprint}-{model.zoom}"
    digest = recipe.for_model(model).digest()
    return {"version": str(_VERSION), "recipe": digest, "image": who, "model": weights}


def state_of(folder: RunFolder, key: dict[str, str], *, resume: bool) -> dict[str, Any]:
    """Return what is known of the run that goes on, or begin another."""
    state = folder.read() if resume else {}
    if state and state.get("key") != key:
        old = state.get("key", {})
        other = [name for name in key if old.get(name) != key[name]]
        raise InputError(
            f"The unfinished run in {folder.path} was of another {' and '.join(other)}. "
            "Run without resume to begin again."
        )
    if not state:
        folder.begin()
        state = {"key": key}
        folder.write(state)
    return state


__all__ = ["can_resume", "open_source", "run_key", "state_of"]
