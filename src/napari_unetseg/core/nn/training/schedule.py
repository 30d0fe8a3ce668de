"""Schedules of a training: learning rate, weight of the guess, time budget, times to validate.

Early stopping, by patience, is in `napari_unetseg.core.nn.training.fit_network`.
"""

import contextlib
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

from napari_unetseg.core.annotation.train_options import TrainOptions

_PEAK = {"one-cycle": 0.25, "cosine": 0.05, "constant": 0.05}
_FIRST_RATE = 0.04
_JUDGING_SHARE = 0.03


def learning_rate(fraction: float, options: TrainOptions) -> float:
    """Return the learning rate at a fraction of the training.

    References
    ----------
    One cycle: Smith, Topin: Super-convergence, 2018. Cosine: Loshchilov, Hutter: SGDR, ICLR 2017.
    """
    peak = _PEAK[options.schedule]
    if fraction < peak:
        rise = _FIRST_RATE + (1 - _FIRST_RATE) * 0.5 * (1 - math.cos(math.pi * fraction / peak))
        return options.learning_rate * rise
    if options.schedule == "constant":
        return options.learning_rate
    fall = 0.5 * (1 + math.cos(math.pi * min((fraction - peak) / (1 - peak), 1)))
    return options.learning_rate * max(fall, 1e-3)


def guess_share(fraction: float, trust: float = 1.0) -> float:
    """Return the share of the lower rung's guess in the loss at a fraction of the training.

    Parameters
    ----------
    trust
        Dice of the guess on the validation set, from 0 to 1.

    Notes
    -----
    With a much smaller share the network varies widely from run to run, most on thin structures;
    with one that does not fade it is no better than the lower rung where that is weak.
    """
    return trust * (0.8 - 0.25 * fraction)


class Spent:
    """A timer that subtracts the time since its construction from a training budget."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def left(self, options: TrainOptions) -> TrainOptions:
        """Return the options with the remaining budget, at least half of the whole."""
        minutes = (time.monotonic() - self._began) / 60
        left = max(options.budget - minutes, options.budget / 2)
        return options.model_copy(update={"budget": left})


class Every:
    """A timer of recurring work: every few seconds, but at most a share of the total time."""

    def __init__(self, seconds: float, share: float) -> None:
        self._seconds, self._factor = seconds, 1 / share - 1
        self._next = time.monotonic() + seconds
        self.cost = 0.0

    def due(self) -> bool:
        return time.monotonic() >= self._next

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Time the enclosed work, and schedule the next one."""
        began = time.monotonic()
        yield
        self.cost = time.monotonic() - began
        self._next = time.monotonic() + max(self._seconds, self._factor * self.cost)


class Clock:
    """The progress of a training, and the times of validation."""

    def __init__(self, options: TrainOptions, epoch_steps: int) -> None:
        self._timed = options.until == "time"
        self._began, self._budget = time.monotonic(), 60 * options.budget
        self._epoch_steps, self._steps = epoch_steps, options.epochs * epoch_steps
        self._judge = Every(0.05 * self._budget, _JUDGING_SHARE)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def fraction(self, step: int) -> float:
        """Return the fraction done; a budget in time leaves room for a last validation."""
        if not self._timed:
            return step / self._steps
        return self.seconds / max(self._budget - self._judge.cost, 0.5 * self._budget)

    def judges(self, step: int) -> bool:
        return self._judge.due() if self._timed else step % self._epoch_steps == 0

    def judging(self) -> AbstractContextManager[None]:
        return self._judge.timed()
