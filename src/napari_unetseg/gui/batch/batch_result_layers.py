"""Layers of the result of one image of a batch."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari.layers import Labels, Layer

from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_image, read_labels, stem_of
from napari_unetseg.core.models_io.foreign import NeedsTrust
from napari_unetseg.core.progress import Progress, part
from napari_unetseg.core.recipe import Batch, RecipeResult, recipe_image, run_recipe
from napari_unetseg.core.recipe.results_folder import (
    CYTOPLASM,
    FLATTENED,
    LABELS,
    NUCLEI,
    PROBABILITIES,
)
from napari_unetseg.gui.shared.image_layers import image_layers
from napari_unetseg.gui.shared.layers import image_place

_SUFFIXES = (".tif", ".zarr")  # the second of images larger than memory


@dataclass(frozen=True, eq=False)
class Look:
    """An image of a batch and its results.

    Parameters
    ----------
    path
        The file.
    image
        The image.
    made
        The results.
    written
        Whether the results were read from files of a run, rather than computed just now.
    """

    path: Path
    image: Image
    made: RecipeResult
    written: bool


def look_at(batch: Batch, path: Path, progress: Progress, *, written: bool) -> Look | NeedsTrust:
    """Read an image and its results, computing them if no run has written them.

    Returns
    -------
    Look or NeedsTrust
        The latter if the user must be asked first.

    Raises
    ------
    InputError
        If it cannot be read, or a step fails.
    """
    progress(0.0, f"reading {path.name}")
    image = recipe_image(batch.recipe, path)
    places = [replace(batch, suffix=suffix).results for suffix in _SUFFIXES]
    place = next((one for one in places if one.has(stem_of(path))), None)
    if written and place is not None:
        files = place.files(stem_of(path))
        made = RecipeResult(
            flattened=read_image(files[FLATTENED]) if FLATTENED in files else None,
            labels=read_labels(files[LABELS]) if LABELS in files else None,
            probabilities=read_image(files[PROBABILITIES]) if PROBABILITIES in files else None,
            nuclei=read_labels(files[NUCLEI]) if NUCLEI in files else None,
            cytoplasm=read_labels(files[CYTOPLASM]) if CYTOPLASM in files else None,
        )
        return Look(path, image, made, True)
    try:
        model, cells = batch.model(), batch.cell_model()
    except NeedsTrust as error:
        return error
    made = run_recipe(
        batch.recipe, image, model=model, cell_model=cells, progress=part(progress, 0.1, 1)
    )
    return Look(path, image, made, False)


def result_layers(look: Look) -> list[Layer]:
    """Return layers of an image and its results, the lowest first."""
    name, made = stem_of(look.path), look.made
    found: list[Layer] = image_layers(look.image, name)
    if made.flattened is not None:
        found += image_layers(made.flattened, f"{name} flattened")
    if made.probabilities is not None:
        found += image_layers(made.probabilities, f"{name} probabilities")
    shown = {"labels": made.labels, "cytoplasm": made.cytoplasm, "nuclei": made.nuclei}
    for kind, labels in shown.items():
        if labels is not None:
            place = image_place(labels, labels.axes)
            found.append(Labels(labels.data, name=f"{name} {kind}", **place))
    return found


def replace_layers(viewer: Any, old: Iterable[Layer], new: Iterable[Layer]) -> None:
    """Remove layers from a viewer, as far as they still exist, and add others."""
    for layer in old:
        if layer in viewer.layers:
            viewer.layers.remove(layer)
    for layer in new:
        viewer.add_layer(layer)


__all__ = ["Look", "look_at", "replace_layers", "result_layers"]
