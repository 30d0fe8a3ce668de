"""How a training runs through its time: learning rate, fading, and when to stop and judge."""

import contextlib
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

from napari_unetseg.core.annotation.train_options import TrainOptions

_PEAK = {"one-cycle": 0.25, "cosine": 0.05, "constant": 0.05}
_FIRST_RATE = 0.04
_JUDGING_SHARE = 0.1


def learning_rate(fraction: float, options: TrainOptions) -> float:
    """Return the learning rate when so much of the training is done.

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
    """Return the share of the lower rung's guess in the loss when so much of the training is done.

    Parameters
    ----------
    trust
        From 0 to 1: how good the guess is known to be.

    Notes
    -----
    A share much smaller lets the network swing, all the more where things are thin; one that does
    not fade makes it no better than the lower rung where that is weak.
    """
    return trust * (0.8 - 0.25 * fraction)


class Spent:
    """Counts the time that something took out of a budget, from when it is made."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def left(self, options: TrainOptions) -> TrainOptions:
        """Return the options with what is left of their budget, at least half of it."""
        minutes = (time.monotonic() - self._began) / 60
        left = max(options.budget - minutes, options.budget / 2)
        return options.model_copy(update={"budget": left})


class Every:
    """Says when something is due: every so many seconds, but never above a share of the time."""

    def __init__(self, seconds: float, share: float) -> None:
        self._seconds, self._factor = seconds, 1 / share - 1
        self._next = time.monotonic() + seconds
        self.cost = 0.0

    def due(self) -> bool:
        return time.monotonic() >= self._next

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Measure what is done, to plan the next time."""
        began = time.monotonic()
        yield
        self.cost = time.monotonic() - began
        self._next = time.monotonic() + max(self._seconds, self._factor * self.cost)


class Clock:
    """How much of the training is done, and when to judge."""

    def __init__(self, options: TrainOptions, epoch_steps: int) -> None:
        self._timed = options.until == "time"
        self._began, self._budget = time.monotonic(), 60 * options.budget
        self._epoch_steps, self._steps = epoch_steps, options.epochs * epoch_steps
        self._judge = Every(0.05 * self._budget, _JUDGING_SHARE)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def fraction(self, step: int) -> float:
        """Return the part done; within a budget, time is left to judge once more at its end."""
        if not self._timed:
            return step / self._steps
        return self.seconds / max(self._budget - self._judge.cost, 0.5 * self._budget)

    def judges(self, step: int) -> bool:
        return self._judge.due() if self._timed else step % self._epoch_steps == 0

    def judging(self) -> AbstractContextManager[None]:
        return self._judge.timed()
