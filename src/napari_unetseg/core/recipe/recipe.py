"""Define `Recipe`: the steps from an image to measured objects, and their options, as data."""

import hashlib
import json
from collections.abc import Callable
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

from napari_unetseg.core.background import BackgroundOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.inference.predict_options import (
    asks_for_objects,
    decoding_at_scale,
    settle_what,
)
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.recipe.recipe_steps import (
    CellStep,
    ImageStep,
    MeasurementStep,
    ModelStep,
    ThresholdStep,
)

_HASH_LENGTH = 16


class Recipe(BaseModel):
    """Hold the steps to run on every image, in this order; a missing step is skipped.

    Parameters
    ----------
    image
        Axes and channel to process.
    background
        Background correction; the next steps use the corrected image.
    threshold
        Thresholding, with clean-up and splitting.
    model
        Prediction by a model, instead of a threshold.
    normalisation
        Intensity scaling for bare weights, which do not define it; model packages do.
    objects
        Options for making objects from the prediction; unset options take the model's values.
    cells
        How the cells of the objects, which are nuclei, are found.
    cell_background, cell_threshold, cell_model, cell_objects
        Steps that find the cells, or their foreground, in their channel.
    measurement
        Measurements of the labels; with `cells`, of nucleus, cytoplasm and cell in one row.

    Raises
    ------
    InputError
        When the steps contradict each other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: ImageStep = ImageStep()
    background: BackgroundOptions | None = None
    threshold: ThresholdStep | None = None
    model: ModelStep | None = None
    normalisation: NormalisationSpec | None = None
    objects: DecodeOptions | None = None
    cells: CellStep | None = None
    cell_background: BackgroundOptions | None = None
    cell_threshold: ThresholdStep | None = None
    cell_model: ModelStep | None = None
    cell_objects: DecodeOptions | None = None
    measurement: MeasurementStep | None = None

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        for broken, sentence in _RULES:
            if broken(self):
                raise InputError(sentence)
        return self

    @property
    def makes_labels(self) -> bool:
        """Whether the recipe makes labels."""
        return self.threshold is not None or (
            self.model is not None and self.model.what != "probabilities"
        )

    @property
    def makes_objects(self) -> bool:
        """Whether the labels are objects rather than classes; see `for_model`."""
        if self.threshold is not None:
            return self.threshold.result == "objects"
        return self.model is not None and self.model.what == "objects"

    @property
    def cell_recipe(self) -> "Recipe | None":
        """The recipe that finds the cells, or their foreground; None if there is none to find."""
        if self.cells is None or (self.cell_threshold is None and self.cell_model is None):
            return None
        kind: Any = "objects" if self.cells.method == "objects" else "classes"
        threshold, model = self.cell_threshold, self.cell_model
        return Recipe(
            image=self.image.model_copy(update={"channel": self.cells.channel}),
            background=self.cell_background,
            threshold=threshold and threshold.model_copy(update={"result": kind}),
            model=model and model.model_copy(update={"what": kind}),
            objects=self.cell_objects,
        )

    def decoding(self, model: TrainedModel) -> DecodeOptions:
        """Complete the options for making objects with the model's defaults, at its zoom."""
        return decoding_at_scale(model, self.objects)

    def for_model(self, model: TrainedModel | None) -> Self:
        """Replace ``what: auto`` by the result that suits the opened model.

        Options for making objects ask for objects, whatever the model is.
        """
        if self.model is None or self.model.what != "auto":
            return self
        asked = self.objects is not None and asks_for_objects(self.objects)
        if asked or self.cells is not None:
            step = self.model.model_copy(update={"what": "objects"})
        else:
            step = self.model if model is None else settle_what(self.model, model)
        return self.model_copy(update={"model": step})

    def digest(self) -> str:
        """Return a hash that changes whenever the recipe's result could change."""
        files: Any = {"model": {"file"}, "cell_model": {"file"}}
        content = self.model_dump(mode="json", exclude={**files, "objects": True})
        content["objects"] = explicit_options(self.objects) if self.objects is not None else None
        if self.cell_objects is not None:
            content["cell_objects"] = explicit_options(self.cell_objects)
        # Recipes without cells have the hash that they had before there were cells.
        content = {k: v for k, v in content.items() if v is not None or not k.startswith("cell")}
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]


def explicit_options(objects: DecodeOptions) -> dict[str, Any]:
    """Return the object options that are set explicitly, without those left to the model."""
    return objects.model_dump(mode="json", exclude_unset=True)


def _finds_cells(recipe: Recipe) -> bool:
    return bool(recipe.cell_threshold or recipe.cell_model)


_RULES: tuple[tuple[Callable[[Recipe], Any], str], ...] = (
    (
        lambda recipe: not (recipe.background or recipe.threshold or recipe.model),
        "The recipe does nothing: give it a background, a threshold or a model.",
    ),
    (
        lambda recipe: recipe.threshold and recipe.model,
        "The recipe has a threshold and a model, which would write the same labels. Leave one out.",
    ),
    (
        lambda recipe: (
            recipe.objects
            and (recipe.model is None or recipe.model.what not in ("auto", "objects"))
        ),
        "objects sets how a model's objects are made, so it needs a model with what: objects. "
        "Give that, or leave objects out.",
    ),
    (
        lambda recipe: recipe.normalisation and recipe.model is None,
        "normalisation scales images for a model, and there is none. Leave it out.",
    ),
    (
        lambda recipe: recipe.measurement and not recipe.makes_labels,
        "measurement needs labels: give a threshold, or a model with what: objects or classes.",
    ),
    (
        lambda recipe: (
            recipe.measurement
            and recipe.measurement.intensities == "flattened"
            and recipe.background is None
        ),
        "measurement.intensities = flattened needs a background to take out. Give one, or "
        "intensities: image.",
    ),
    (
        lambda recipe: (
            recipe.cells
            and not recipe.makes_objects
            and (recipe.model is None or recipe.model.what != "auto")
        ),
        "cells needs nuclei as objects: give a threshold with result: objects, or a model with "
        "what: objects.",
    ),
    (
        lambda recipe: (
            recipe.cells is None
            and (_finds_cells(recipe) or recipe.cell_background or recipe.cell_objects)
        ),
        "cell_background, cell_threshold, cell_model and cell_objects find the cells of nuclei, "
        "and there is no step cells. Give it, or leave them out.",
    ),
    (
        lambda recipe: (
            recipe.cells
            and recipe.cells.method == "grow"
            and (_finds_cells(recipe) or recipe.cell_background or recipe.cell_objects)
        ),
        "cells.method = grow makes cells of the nuclei alone. Leave cell_background, "
        "cell_threshold, cell_model and cell_objects out.",
    ),
    (
        lambda recipe: recipe.cells and recipe.cells.method != "grow" and not _finds_cells(recipe),
        "cells needs cell_threshold or cell_model to find the cells. Give one, or grow them from "
        "the nuclei (method: grow).",
    ),
    (
        lambda recipe: recipe.cell_threshold and recipe.cell_model,
        "cell_threshold and cell_model would both find the cells. Leave one out.",
    ),
    (
        lambda recipe: (
            recipe.cell_objects
            and (recipe.cell_model is None or (recipe.cells and recipe.cells.method == "mask"))
        ),
        "cell_objects sets how a model's cells are made, so it needs cell_model, and cells with "
        "method: objects. Give those, or leave it out.",
    ),
)

__all__ = ["Recipe", "explicit_options"]
