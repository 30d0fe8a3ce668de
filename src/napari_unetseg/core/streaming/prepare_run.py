"""What has to be known of the whole image before its blocks can be worked on apart."""

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
from napari_unetseg.core.threshold.threshold_blocks import contrasts_of

Known = dict[str, Any]
"""Surfaces, levels and scaling as JSON can hold them."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """An image with its background taken out when blocks of it are read, and the scaling.

    Parameters
    ----------
    source
        The channel that is segmented.
    flattened
        The same without its background; None where none is taken out.
    known
        See `Known`.
    """

    source: Image
    flattened: Image | None
    known: Known

    @property
    def given(self) -> Image:
        """What is segmented."""
        return self.source if self.flattened is None else self.flattened

    @property
    def zoom(self) -> tuple[float, ...]:
        """How far a model is shown the image enlarged; see `sized`."""
        return tuple(self.known.get("zoom", ()))

    @property
    def scaling(self) -> Normalisation | None:
        """How a model's input is scaled; None where the model finds out for itself."""
        kept = self.known.get("scaling")
        return None if kept is None else Normalisation.from_dict(kept)


def prepare(
    recipe: Recipe, source: Image, model: TrainedModel | None, progress: Progress
) -> Prepared:
    """Fit what is fitted to the whole image: background, levels, scaling.

    Parameters
    ----------
    source
        The channel that is segmented; lazy.
    """
    known: Known = {}
    fitted: Background | None = None
    if recipe.background is not None:
        fitted = fit_background(source, recipe.background, progress=part(progress, 0, 0.6))
        known["surfaces"] = surfaces_to_data(fitted)
    flattened = None if fitted is None else fitted.flatten(source)
    given = source if flattened is None else flattened
    rest = part(progress, 0.6, 1)
    if recipe.threshold is not None:
        smoothed, options = smoothed_image(given, recipe.threshold), recipe.threshold
        values = options.values or None
        known["levels"] = group_values(smoothed, options, values, progress=rest)
        known["contrasts"] = contrasts_of(smoothed, options)
    elif model is not None and recipe.model is not None:
        step = recipe.model
        seen, rest = at_size(model, given, step, progress=rest)
        known["zoom"] = list(seen.zoom)
        open_segmenter(seen)  # says so when blocks cannot be predicted apart
        on_cpu = step.model_copy(update={"device": "cpu", "flips": False})
        _, _, scaling, _ = ready(seen, given, on_cpu, rest)
        if isinstance(scaling, Normalisation):
            known["scaling"] = scaling.to_dict()
    progress(1.0, "prepared")
    return Prepared(source, flattened, known)


def restore(recipe: Recipe, source: Image, known: Known) -> Prepared:
    """Return what `prepare` gave, from what is known."""
    if recipe.background is None:
        return Prepared(source, None, known)
    fitted = background_from_data(known["surfaces"], source, recipe.background)
    return Prepared(source, fitted.flatten(source), known)


__all__ = ["Known", "Prepared", "prepare", "restore"]
