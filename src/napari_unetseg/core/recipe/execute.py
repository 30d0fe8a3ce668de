"""Run a recipe on an image, with the same functions as the docks and the single commands."""

from dataclasses import dataclass, replace
from typing import Any

from napari_unetseg.core.background import fit_background
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.io import read_image
from napari_unetseg.core.io.paths import PathLike
from napari_unetseg.core.measure import Table, measure, measure_cells
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.foreign import open_model
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.objects.compartments import Compartments, find_compartments
from napari_unetseg.core.progress import Progress, part, silent
from napari_unetseg.core.recipe.recipe import Recipe
from napari_unetseg.core.recipe.recipe_files import model_file
from napari_unetseg.core.recipe.recipe_steps import ImageStep, MeasurementStep, ModelStep
from napari_unetseg.core.threshold import threshold

_SHARES = {"background": 1.0, "segmentation": 2.0, "cells": 2.0, "measurement": 0.5}
"""Approximate duration of the steps relative to each other."""


@dataclass(frozen=True, eq=False)
class RecipeResult:
    """Hold the results of a recipe for one image; None for results that it does not make.

    Parameters
    ----------
    flattened
        The background-corrected image.
    labels
        Classes or objects; the cells if the recipe has cells.
    probabilities
        One channel for each class.
    table
        The measurements of the labels; with cells, of each compartment.
    nuclei, cytoplasm
        With cells: the nuclei, with the number of their cell, and the cells without them.
    n_cells
        With cells: their number.
    warning
        A sentence on why the results may be wrong, or ``""``.
    """

    flattened: Image | None = None
    labels: Image | None = None
    probabilities: Image | None = None
    table: Table | None = None
    nuclei: Image | None = None
    cytoplasm: Image | None = None
    n_cells: int | None = None
    warning: str = ""


def recipe_model(
    recipe: Recipe, folder: PathLike = ".", *, trust: bool = False
) -> TrainedModel | None:
    """Open the model of a recipe, once for all images; None when the recipe has no model.

    Parameters
    ----------
    folder
        The recipe's folder, which its model path is relative to.
    trust
        Whether TorchScript, which can execute code, may be run.

    Raises
    ------
    InputError
        When the file is missing, its hash differs from the recipe's, or it cannot be opened.
    """
    if recipe.model is None:
        return None
    path = model_file(recipe.model, folder)
    scaling = recipe.normalisation or NormalisationSpec()
    return open_model(path, trust=trust, normalisation=scaling)


def recipe_cell_model(
    recipe: Recipe, folder: PathLike = ".", *, trust: bool = False
) -> TrainedModel | None:
    """Open the model that finds the cells; see `recipe_model`."""
    steps = recipe.cell_recipe
    return None if steps is None else recipe_model(steps, folder, trust=trust)


def recipe_image(recipe: Recipe, path: PathLike, *, level: int = 0) -> Image:
    """Read an image with the axes and the scene that a recipe names.

    Parameters
    ----------
    level
        Resolution level of a multi-resolution image; 0 is the full resolution.

    Raises
    ------
    InputError
        When the image cannot be read.
    """
    return read_image(path, recipe.image.axes or None, level=level, scene=recipe.image.scene)


def run_recipe(
    recipe: Recipe,
    image: Image,
    *,
    model: TrainedModel | None = None,
    cell_model: TrainedModel | None = None,
    progress: Progress = silent,
) -> RecipeResult:
    """Run the steps of a recipe on one image.

    Parameters
    ----------
    recipe
        The steps and their options.
    image
        Any image; a lazy one stays lazy as far as the steps allow.
    model
        The model from `recipe_model`.
    cell_model
        The model from `recipe_cell_model`.
    progress
        Called by every step; may cancel.

    Raises
    ------
    InputError
        When a step cannot be applied to this image.

    Examples
    --------
    >>> from napari_unetseg.core.recipe import ThresholdStep
    >>> import numpy as np
    >>> image = Image.of(np.pad(np.full((4, 4), 9.0), 4))
    >>> made = run_recipe(Recipe(threshold=ThresholdStep(result="objects")), image)
    >>> int(made.labels.data.max())
    1
    """
    recipe = recipe.for_model(model)
    shares = _Shares(recipe, progress)
    source = select_channel(image, recipe.image)
    flattened, warning = None, ""
    if recipe.background is not None:
        here = shares.next("background")
        fitted = fit_background(source, recipe.background, progress=part(here, 0, 0.8))
        flattened, warning = fitted.flatten(source), fitted.warning
        here(1.0, "taking the background out")
    given = source if flattened is None else flattened
    labels = probabilities = table = found_cells = None
    if recipe.threshold is not None:
        values, here = recipe.threshold.values or None, shares.next("segmentation")
        labels = threshold(given, recipe.threshold, values=values, progress=here).image
    elif recipe.model is not None:
        found = _predicted(recipe, recipe.model, model, given, shares.next("segmentation"))
        probabilities = found if recipe.model.what == "probabilities" else None
        labels = None if probabilities is not None else found
    if recipe.cells is not None and labels is not None:
        found_cells = _cells_of(recipe, image, labels, cell_model, shares.next("cells"))
        labels = found_cells.cells
    if recipe.measurement is not None and labels is not None:
        seen = {"image": image, "flattened": flattened, "none": None}
        values_of = seen[recipe.measurement.intensities]
        here = shares.next("measurement")
        if found_cells is not None:
            table = measure_cells(found_cells, values_of, recipe.measurement, progress=here)
        else:
            table = _measured(labels, values_of, recipe.measurement, here)
    progress(1.0, "done")
    made = RecipeResult(flattened, labels, probabilities, table, warning=warning)
    if found_cells is None:
        return made
    return replace(
        made,
        nuclei=found_cells.nuclei,
        cytoplasm=found_cells.cytoplasm,
        n_cells=found_cells.n_cells,
    )


def _cells_of(
    recipe: Recipe,
    image: Image,
    nuclei: Image,
    model: TrainedModel | None,
    progress: Progress,
) -> Compartments:
    """Find the cells of nuclei, as the recipe finds them."""
    if "C" in nuclei.axes:
        raise InputError(
            f"Every one of the {nuclei.n_channels} channels has nuclei of its own. Name the "
            "channel of the nuclei under image: channel."
        )
    step, steps, regions, channel = recipe.cells, recipe.cell_recipe, None, None
    if steps is not None:
        here = part(progress, 0, 0.8)
        found = run_recipe(steps, image, model=model, progress=here)
        regions, channel = found.labels, found.flattened
        if channel is None:
            channel = select_channel(image, steps.image)
        if regions is not None and "C" in regions.axes:
            raise InputError(
                f"Every one of the {regions.n_channels} channels has cells of its own. Name the "
                "channel of the cells under cells: channel."
            )
    rest = part(progress, 0.8, 1)
    return find_compartments(nuclei, regions, step, image=channel, progress=rest)


def _predicted(
    recipe: Recipe, step: ModelStep, model: TrainedModel | None, image: Image, progress: Progress
) -> Image:
    if model is None:
        raise InputError(f"The recipe needs its model, {step.file}. Open it with recipe_model.")
    return predict(model, image, step, decoding=recipe.objects, progress=progress)


def _measured(
    labels: Image, image: Image | None, step: MeasurementStep, progress: Progress
) -> Table:
    if "C" in labels.axes:
        raise InputError(
            f"Every one of the {labels.n_channels} channels has labels of its own, and only one "
            "kind can be measured. Name the channel to segment under image: channel."
        )
    return measure(labels, image, step, progress=progress)


def select_channel(image: Image, step: ImageStep) -> Image:
    """Return the channels to segment, all if the step names none; without an axis for one."""
    if step.channel:
        return image.channels(step.channel)
    return image.channel(0) if image.n_channels == 1 else image


class _Shares:
    """Divide the progress among the steps of a recipe."""

    def __init__(self, recipe: Recipe, progress: Progress) -> None:
        self._progress, self._done = progress, 0.0
        there: dict[str, Any] = {
            "background": recipe.background,
            "segmentation": recipe.threshold or recipe.model,
            "cells": recipe.cells,
            "measurement": recipe.measurement,
        }
        wanted = {name: _SHARES[name] for name, step in there.items() if step is not None}
        total = sum(wanted.values())
        self._shares = {name: share / total for name, share in wanted.items()}

    def next(self, step: str) -> Progress:
        """Return the progress of the next step."""
        start = self._done
        self._done = min(start + self._shares[step], 1.0)
        return part(self._progress, start, self._done)


__all__ = [
    "RecipeResult",
    "recipe_cell_model",
    "recipe_image",
    "recipe_model",
    "run_recipe",
    "select_channel",
]
