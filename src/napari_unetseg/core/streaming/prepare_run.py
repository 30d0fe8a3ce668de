"""Fit the parameters that need the whole image before its blocks can be processed."""

from dataclasses import dataclass
from typing import Any

from napari_unetseg.core.background import Background, fit_background
from napari_unetseg.core.background.stored_background import background_from_data, surfaces_to_data
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.open_segmenter import open_segmenter, ready
from napari_unetseg.core.inference.prediction import (
    at_size,
)
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.normalisation import Normalisation
from napari_unetseg.core.progress import Progress, part
from napari_unetseg.core.recipe import Recipe
from napari_unetseg.core.threshold import group_values, smoothed_image
from napari_unetseg.core.threshold.threshold_blocks import compute_contrasts

WholeImageParameters = dict[str, Any]
"""Background surfaces, threshold levels, zoom and scaling, as JSON values."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Hold a lazily background-corrected image and the fitted parameters.

    Parameters
    ----------
    source
        The channel to segment.
    flattened
        The background-corrected image; None if the recipe has no background step.
    parameters
        The fitted parameters.
    """

    source: Image
    flattened: Image | None
    parameters: WholeImageParameters

    @property
    def given(self) -> Image:
        """The image to segment."""
        return self.source if self.flattened is None else self.flattened

    @property
    def zoom(self) -> tuple[float, ...]:
        """The zoom of the image for the model, per axis; see `sized`."""
        return tuple(self.parameters.get("zoom", ()))

    @property
    def scaling(self) -> Normalisation | None:
        """The intensity scaling of the model's input; None if the model computes it itself."""
        stored = self.parameters.get("scaling")
        return None if stored is None else Normalisation.from_dict(stored)


def prepare(
    recipe: Recipe, source: Image, model: TrainedModel | None, progress: Progress
) -> Prepared:
    """Fit the background, threshold levels and intensity scaling to the whole image.

    Parameters
    ----------
    source
        The channel to segment; lazy.
    """
    parameters: WholeImageParameters = {}
    fitted: Background | None = None
    if recipe.background is not None:
        fitted = fit_background(source, recipe.background, progress=part(progress, 0, 0.6))
        parameters["surfaces"] = surfaces_to_data(fitted)
        parameters["warning"] = fitted.warning
    flattened = None if fitted is None else fitted.flatten(source)
    given = source if flattened is None else flattened
    remaining = part(progress, 0.6, 1)
    if recipe.threshold is not None:
        smoothed, options = smoothed_image(given, recipe.threshold), recipe.threshold
        values = options.values or None
        parameters["levels"] = group_values(smoothed, options, values, progress=remaining)
        parameters["contrasts"] = compute_contrasts(smoothed, options, part(progress, 0.6, 0.6))
    elif model is not None and recipe.model is not None:
        step = recipe.model
        sized_model, remaining = at_size(model, given, step, progress=remaining)
        parameters["zoom"] = list(sized_model.zoom)
        open_segmenter(sized_model)  # raises InputError if the model cannot predict blocks
        on_cpu = step.model_copy(update={"device": "cpu", "flips": False})
        _, _, scaling, _ = ready(sized_model, given, on_cpu, remaining)
        if isinstance(scaling, Normalisation):
            parameters["scaling"] = scaling.to_dict()
    progress(1.0, "prepared")
    return Prepared(source, flattened, parameters)


def restore(recipe: Recipe, source: Image, parameters: WholeImageParameters) -> Prepared:
    """Rebuild the output of `prepare` from its parameters."""
    if recipe.background is None:
        return Prepared(source, None, parameters)
    fitted = background_from_data(parameters["surfaces"], source, recipe.background)
    return Prepared(source, fitted.flatten(source), parameters)


__all__ = ["Prepared", "WholeImageParameters", "prepare", "restore"]
