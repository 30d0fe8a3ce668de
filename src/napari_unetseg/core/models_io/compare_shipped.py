"""Compare the shipped models on a part of an image: which of them is plausible there, and most?

A model of one kind of image is better there than the general one, which comes first only where none
of them fits, and then at the scale that suits it best. See
`napari_unetseg.core.inference.plausibility` for how a result is judged.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.object_size import measured_part, median_diameter
from napari_unetseg.core.inference.plausibility import (
    Trial,
    fullest_window,
    plausible_zoom,
    try_model,
)
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.shipped_models import (
    GENERAL,
    PathLike,
    names_to_try,
    open_shipped,
)
from napari_unetseg.core.progress import Progress, part, silent

AUTO = "auto"
"""Name that stands for the shipped model that fits an image best."""

TRIED_SIDE = 768
"""Side in pixels of the part of a plane that models are tried on."""

_IN_VIEW, _LEAST_VIEW = 8.0, 96
"""Objects along a side of what is worth looking at, and its smallest side in pixels."""

WHAT_TO_DO = (
    "No shipped model fits this image. Paint a few strokes of each class and train on them "
    "(Train), which takes seconds; or choose a model yourself."
)


@dataclass(frozen=True, eq=False)
class Comparison:
    """The shipped models on a part of an image.

    Parameters
    ----------
    part
        What they were tried on: a plane, perhaps of colours.
    trials
        The most plausible first; the general model after those of one kind that fit.
    """

    part: Image
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial | None:
        """The trial of the model that fits best; None when none fits."""
        first = self.trials[0] if self.trials else None
        return first if first is not None and first.fits else None

    @property
    def view(self) -> tuple[slice, slice]:
        """A square of the part to look at, some objects of the first trial wide."""
        shape = self.part.spatial_shape
        if not self.trials:
            return slice(0, min(shape)), slice(0, min(shape))
        first = self.trials[0]
        size = median_diameter([first.labels]) if first.model.decoder is not None else 0.0
        side = round(np.clip(_IN_VIEW * size, _LEAST_VIEW, min(shape))) if size else min(shape)
        return fullest_window(first.foreground, min(side, *shape))

    @property
    def reason(self) -> str:
        """A sentence on which model was chosen and why, or what to do when none fits."""
        if self.best is None:
            return WHAT_TO_DO
        first, *others = self.trials
        if first.model.name == GENERAL and others:
            return (
                f"{GENERAL}, the model of many kinds, fits: plausibility "
                f"{first.plausibility:.2f}; no model of one kind does."
            )
        # The general one may be more plausible, and still comes after those of one kind that fit.
        less = [one for one in others if one.plausibility <= first.plausibility]
        rest = f"; {less[0].model.name} {less[0].plausibility:.2f}" if less else ""
        return f"{first.model.name} fits best: plausibility {first.plausibility:.2f}{rest}."


def compare_shipped(
    image: Image, *, shipped: Sequence[str] | None = None, progress: Progress = silent
) -> Comparison:
    """Try the shipped models on the middle of an image, and order them by plausibility.

    Parameters
    ----------
    image
        Any image; of stacks and series the plane in the middle is tried.
    shipped
        Names of the models to try, if not all but the fast ones.
    progress
        Called while the models run; may cancel.

    Returns
    -------
    Comparison
        Without the models that do not take the channels of the image.

    Raises
    ------
    InputError
        When no model takes the channels of the image; or without torch.

    Notes
    -----
    At most `TRIED_SIDE` pixels along each side: about a second for each million pixels and model,
    and another one for the scale of the general model.
    """
    tried = measured_part(image, 2, TRIED_SIDE)
    wanted = names_to_try() if shipped is None else shipped
    # The general one at the end, when it is known whether another fits.
    models = [open_shipped(name) for name in sorted(wanted, key=GENERAL.__eq__)]
    trials: list[Trial] = []
    refusal: InputError | None = None
    for number, model in enumerate(models):
        share = part(progress, number / len(models), (number + 1) / len(models))
        share(0.0, f"trying {model.name}")
        needed = model.name == GENERAL and not any(one.fits for one in trials)
        attempt = _try_at_its_scale if needed else try_model
        try:
            trials.append(attempt(model, tried, progress=share))
        except InputError as error:
            refusal = refusal or error
    if not trials and refusal is not None:
        raise refusal

    def order(one: Trial) -> tuple[bool, float]:
        return one.fits and one.model.name != GENERAL, one.plausibility

    return Comparison(tried, tuple(sorted(trials, key=order, reverse=True)))


def _try_at_its_scale(model: TrainedModel, plane: Image, *, progress: Progress) -> Trial:
    """Try a model at the scale where it is most plausible, its labels in the plane's pixels."""
    zoom = plausible_zoom(model, plane, progress=part(progress, 0, 0.8))
    trial = try_model(model.zoomed(zoom), plane, progress=part(progress, 0.8, 1))
    seen = trial.labels
    pairs = zip(seen.shape, plane.spatial_shape, strict=True)
    places = [np.arange(n) * length // n for length, n in pairs]
    return replace(trial, model=model, labels=seen[np.ix_(*places)])


def choose_shipped(image: Image, *, progress: Progress = silent) -> tuple[TrainedModel, str]:
    """Return the shipped model that fits an image best, and the reason as a sentence.

    Raises
    ------
    InputError
        When none fits; or as `compare_shipped`.
    """
    compared = compare_shipped(image, progress=progress)
    if compared.best is None:
        raise InputError(compared.reason)
    return compared.best.model, compared.reason


def means_auto(path: PathLike) -> bool:
    """Return whether a model's path asks for the shipped model that fits best: see `AUTO`."""
    return os.fspath(path) == AUTO and not Path(path).exists()


__all__ = [
    "AUTO",
    "TRIED_SIDE",
    "WHAT_TO_DO",
    "Comparison",
    "choose_shipped",
    "compare_shipped",
    "means_auto",
]
