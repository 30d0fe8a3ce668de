"""How a long computation tells how far it is, and how it is asked to stop.

A `Progress` is any callable taking a fraction and a message. It may raise `Cancelled` (abandon the
work; everything stays as it was) or `StopEarly` (keep the best so far). Core code neither knows
nor cares whether a window, a terminal or nothing is listening.
"""

import contextlib
from collections.abc import Collection, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Cancelled(Exception):
    """The user asked to abandon the work; nothing may have changed."""


class StopEarly(Exception):
    """The user asked to stop now and keep the best result so far."""


class Progress(Protocol):
    """Callable told how far a computation is.

    Parameters
    ----------
    fraction
        Share of the work done, from 0 to 1.
    message
        What is being done, in a word or two, for people.

    Raises
    ------
    Cancelled, StopEarly
        When the listener wants the work to end.
    """

    def __call__(self, fraction: float, message: str = "", /) -> None: ...


def silent(fraction: float, message: str = "", /) -> None:
    """Listen to nothing: the default `Progress`."""


def part(progress: Progress, start: float, stop: float) -> Progress:
    """Return a `Progress` whose 0 to 1 is the share from `start` to `stop` of `progress`."""

    def inner(fraction: float, message: str = "", /) -> None:
        progress(start + (stop - start) * fraction, message)

    return inner


def to_the_end(progress: Progress) -> Progress:
    """Return a `Progress` that may cancel but not stop early: for what is of no use in part."""

    def inner(fraction: float, message: str = "", /) -> None:
        with contextlib.suppress(StopEarly):
            progress(fraction, message)

    return inner


class Heard:
    """A `Progress` that remembers whether, and how far on, it asked to stop early.

    Parameters
    ----------
    progress
        Who is told, and who asks.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.stopped_at: float | None = None

    def __call__(self, fraction: float, message: str = "", /) -> None:
        try:
            self._progress(fraction, message)
        except StopEarly:
            if self.stopped_at is None:
                self.stopped_at = fraction
            raise


def track(items: Collection[T], progress: Progress, message: str = "") -> Iterator[T]:
    """Yield each of `items`, telling `progress` before each and once after the last."""
    total = max(len(items), 1)
    for done, item in enumerate(items):
        progress(done / total, message)
        yield item
    progress(1.0, message)
