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
from napari_unetseg.core.streaming.run_source import Source, identity_of

_VERSION = 1
"""Of what is kept meanwhile: another version of it is not gone on with."""


def opened(source: Source | Image) -> Image:
    """Return the image, its axes in the order TCZYX."""
    return source.open() if isinstance(source, Source) else ordered(source)


def can_resume(
    recipe: Recipe, source: Source | Image, out: PathLike, model: TrainedModel | None = None
) -> bool:
    """Whether there is an unfinished run of this recipe on this image; see `stream`."""
    state = RunFolder.beside(Path(out)).read()
    return state.get("key") == key_of(recipe, source, opened(source), model)


def key_of(
    recipe: Recipe, source: Source | Image, image: Image, model: TrainedModel | None
) -> dict[str, str]:
    """Return what makes a run another one."""
    who = source.identity() if isinstance(source, Source) else identity_of(image)
    weights = "" if model is None else f"{model.fingerprint}-{model.zoom}"
    return {"version": str(_VERSION), "recipe": recipe.digest(), "image": who, "model": weights}


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


__all__ = ["can_resume", "key_of", "opened", "state_of"]
