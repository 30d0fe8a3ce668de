"""Segment drawn samples by every method in turn, from a threshold to networks, and score each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.background import BackgroundOptions, fit_background
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions, What
from napari_unetseg.core.io import writing
from napari_unetseg.core.io.figure import Panel, draw_figure, to_grey, with_labels
from napari_unetseg.core.progress import Progress, part, silent
from napari_unetseg.core.samples import Sample, neurons, nuclei
from napari_unetseg.core.scoring.pixel_scores import dice
from napari_unetseg.core.threshold import ThresholdOptions, threshold

FIGURE = "climb.png"
"""File name of the figure."""

_SIDE = 512
_TAUGHT = (1, 2)
"""Seeds of the samples that the UNet is trained on; the one that is scored has seed 0."""

_EVEN = 0.2
"""Part of the progress of a climb that is done with its thresholds."""


@dataclass(frozen=True)
class ClimbCase:
    """Define a climb: its sample and the options of its steps.

    Parameters
    ----------
    name, title
        A word, and a description of the sample.
    draw
        Draws the sample of a shape and seed.
    background, threshold
        Options of the first two steps.
    model
        Name of a shipped model that suits such images, or ``""``.
    """

    name: str
    title: str
    draw: Callable[..., Sample]
    background: BackgroundOptions
    threshold: ThresholdOptions
    model: str = ""


@dataclass(frozen=True, eq=False)
class Climb:
    """Hold the masks of every step on a sample that none of them has seen, with their scores.

    Parameters
    ----------
    case
        Its definition.
    image, flattened
        The sample, and without its background.
    truth
        The true mask of the objects.
    masks
        The mask of each step, by its name, in the order of the climb.
    """

    case: ClimbCase
    image: Image
    flattened: Image
    truth: NDArray[np.bool_]
    masks: dict[str, NDArray[np.bool_]]

    @property
    def scores(self) -> dict[str, float]:
        """The Dice coefficient of each step."""
        return {name: dice(mask, self.truth) for name, mask in self.masks.items()}


def run_climbs(minutes: float = 1.0, *, progress: Progress = silent) -> list[Climb]:
    """Segment a drawn sample of each kind by every method.

    Parameters
    ----------
    minutes
        Time for all trainings together; with 0, or without PyTorch, there are thresholds only.
    progress
        Called with the progress.
    """
    n = len(CLIMBS)
    return [
        _climb(case, minutes / n, part(progress, number / n, (number + 1) / n))
        for number, case in enumerate(CLIMBS)
    ]


def _climb(case: ClimbCase, minutes: float, progress: Progress) -> Climb:
    sample = case.draw((_SIDE, _SIDE), seed=0)
    image = sample.as_image()
    flattened = _flattened(case, image, part(progress, 0, _EVEN))
    masks = {
        "threshold": threshold(image, case.threshold).labels > 0,
        "flattened, threshold": threshold(flattened, case.threshold).labels > 0,
    }
    if minutes > 0 and find_spec("torch") is not None:
        masks |= _networks(case, image, flattened, minutes, part(progress, _EVEN, 1))
    return Climb(case, image, flattened, sample.mask, masks)


def _networks(
    case: ClimbCase, image: Image, flattened: Image, minutes: float, progress: Progress
) -> dict[str, NDArray[np.bool_]]:
    """Return the masks of a UNet that is trained here on flattened images, and of a shipped model
    on the image as it is."""
    from napari_unetseg.core.inference.prediction import predict
    from napari_unetseg.core.model.network_specs import UNetSpec
    from napari_unetseg.core.models_io.shipped_models import open_shipped
    from napari_unetseg.core.training.train import train

    taught = [case.draw((_SIDE, _SIDE), seed=seed) for seed in _TAUGHT]
    pairs = [
        TrainingPair(_flattened(case, one.as_image(), silent), one.mask.astype(np.uint8))
        for one in taught
    ]
    options = TrainOptions(budget=minutes)
    made = train(
        UNetSpec(), pairs, options, name="unet", labels_are="mask", progress=part(progress, 0, 0.9)
    )
    own = PredictOptions(what="classes")
    masks = {
        f"UNet, {60 * minutes:.0f} s": predict(made.model, flattened, own).asarray() > 0,
    }
    progress(0.95, case.name)
    if not case.model:
        return masks
    shipped = open_shipped(case.model)
    what: What = "objects" if shipped.decoder is not None else "classes"
    sized = PredictOptions(what=what, auto_diameter=shipped.diameter > 0)
    found = predict(shipped, image, sized)
    return masks | {f"shipped model {case.model}": found.asarray() > 0}


def _flattened(case: ClimbCase, image: Image, progress: Progress) -> Image:
    return fit_background(image, case.background, progress=progress).flatten(image)


def draw_climbs(climbs: Sequence[Climb]) -> bytes:
    """Draw one figure of all climbs, a row for each, as a PNG file."""
    panels: list[Panel] = []
    most = max(len(climb.masks) for climb in climbs)
    for climb in climbs:
        raw = to_grey(climb.image.grey().asarray())
        panels += [
            Panel(raw, climb.case.title),
            Panel(to_grey(climb.flattened.asarray()), "flattened"),
        ]
        panels += [
            Panel(with_labels(raw, mask.astype(np.uint8) * 2), f"{name}: Dice {score:.2f}")
            for (name, mask), score in zip(climb.masks.items(), climb.scores.values(), strict=True)
        ]
        truth = with_labels(raw, climb.truth.astype(np.uint8) * 2)
        panels += [Panel(truth, "ground truth")] * (most - len(climb.masks))
    columns = len(panels) // len(climbs)
    return draw_figure(
        panels,
        title="From a threshold to a network",
        caption="Drawn samples that no model has seen, with their true outlines known. Dice: 1 is "
        "perfect.",
        columns=columns,
    )


def write_climbs(climbs: Sequence[Climb], out: Path) -> Path:
    """Write the figure into a folder and return its path.

    Raises
    ------
    InputError
        When the folder cannot be written.
    """
    path = out / FIGURE
    with writing(path) as draft:
        draft.write_bytes(draw_climbs(climbs))
    return path


def report_climbs(climbs: Sequence[Climb]) -> list[str]:
    """Return the Dice of every step, as lines of text."""
    lines = []
    for climb in climbs:
        steps = ", ".join(f"{name} {score:.2f}" for name, score in climb.scores.items())
        lines.append(f"{climb.case.title}: Dice of {steps}.")
    if all(len(climb.masks) == _N_THRESHOLDS for climb in climbs):
        lines.append("Networks were left out: they need PyTorch, and --minutes above 0.")
    return lines


_N_THRESHOLDS = 2
"""Number of steps that need no network."""

CLIMBS = (
    ClimbCase(
        name="neurons",
        title="neurons, phase contrast",
        draw=neurons,
        background=BackgroundOptions(terms="auto", robust="both"),
        threshold=ThresholdOptions(objects="dark", sigma=1.5, min_size=60),
    ),
    ClimbCase(
        name="nuclei",
        title="nuclei, fluorescence",
        draw=nuclei,
        background=BackgroundOptions(),
        threshold=ThresholdOptions(sigma=1, min_size=20),
        model="nuclei",
    ),
)
"""The climbs, in their order."""

__all__ = [
    "CLIMBS",
    "FIGURE",
    "Climb",
    "ClimbCase",
    "draw_climbs",
    "report_climbs",
    "run_climbs",
    "write_climbs",
]
