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
    settle_decoding,
    settle_what,
)
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.recipe.recipe_steps import (
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
    measurement
        Measurements of the labels.

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

    def decoding(self, model: TrainedModel) -> DecodeOptions:
        """Complete the options for making objects with the model's defaults."""
        return settle_decoding(model, self.objects)

    def for_model(self, model: TrainedModel | None) -> Self:
        """Replace ``what: auto`` by the result that suits the opened model.

        Options for making objects ask for objects, whatever the model is.
        """
        if self.model is None or self.model.what != "auto":
            return self
        if self.objects is not None and asks_for_objects(self.objects):
            step = self.model.model_copy(update={"what": "objects"})
        else:
            step = self.model if model is None else settle_what(self.model, model)
        return self.model_copy(update={"model": step})

    def digest(self) -> str:
        """Return a hash that changes whenever the recipe's result could change."""
        content = self.model_dump(mode="json", exclude={"model": {"file"}, "objects": True})
        content["objects"] = explicit_options(self.objects) if self.objects is not None else None
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]


def explicit_options(objects: DecodeOptions) -> dict[str, Any]:
    """Return the object options that are set explicitly, without those left to the model."""
    return objects.model_dump(mode="json", exclude_unset=True)


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
)

__all__ = ["Recipe", "explicit_options"]
