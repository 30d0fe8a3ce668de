"""Steps of a training, and the functions it calls on the way: no torch."""

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
        Since the training began.
    fraction
        Of the training done, from 0 to 1.
    loss
        Of this step's patches, augmented.
    rate
        Learning rate.
    dice, validation_loss
        Of the averaged network on what was held out; None in a step that was not judged.
    """

    step: int
    epoch: int
    seconds: float
    fraction: float
    loss: float
    rate: float
    dice: float | None = None
    validation_loss: float | None = None


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
        Told after each step. On `StopEarly` the best so far is kept; `Cancelled` flies through, and
        nothing has changed.
    watch, preview
        See `Watch` and `Preview`; called while a network learns.
    """

    progress: Progress = silent
    watch: Watch | None = None
    preview: Preview | None = None

    def part(self, start: float, stop: float) -> "Callbacks":
        """Return the same for a part of the work; see `progress.part`."""
        return replace(self, progress=part(self.progress, start, stop))


__all__ = ["Callbacks", "Preview", "TrainingStep", "Watch"]
