"""The record of a training step, and the callbacks of a training; without torch."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from napari_unetseg.core.progress import Progress, part, silent


@dataclass(frozen=True)
class TrainingStep:
    """Loss, learning rate and scores of one step of a training.

    Parameters
    ----------
    step, epoch
        Counted from 1.
    seconds
        Time since the training began.
    fraction
        Completed fraction of the training, from 0 to 1.
    loss
        Loss of this step's augmented patches.
    rate
        Learning rate.
    dice, validation_loss
        Scores of the averaged network on the validation set; None in a step without validation.
    held_out_least, held_out_strokes
        Number of pixels, and of strokes if it has any, of the smallest class of that set.
    """

    step: int
    epoch: int
    seconds: float
    fraction: float
    loss: float
    rate: float
    dice: float | None = None
    validation_loss: float | None = None
    held_out_least: int | None = None
    held_out_strokes: int | None = None


Watch = Callable[[TrainingStep], None]
"""Called after each step, in the training's thread."""

Preview = Callable[[Any], None]
"""Called with a `Segmenter` of the model so far every few seconds, in the training's thread."""


@dataclass(frozen=True)
class Callbacks:
    """Functions that a training calls on the way.

    Parameters
    ----------
    progress
        Called after each step. On `StopEarly` the best so far is kept; `Cancelled` is not caught,
        and nothing has changed.
    watch, preview
        See `Watch` and `Preview`; called while a network learns.
    """

    progress: Progress = silent
    watch: Watch | None = None
    preview: Preview | None = None

    def part(self, start: float, stop: float) -> "Callbacks":
        """Return the callbacks of a part of the work; see `progress.part`."""
        return replace(self, progress=part(self.progress, start, stop))


__all__ = ["Callbacks", "Preview", "TrainingStep", "Watch"]
