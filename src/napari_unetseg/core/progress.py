"""Progress reports and cancellation of long computations.

A `Progress` is any callable that takes a fraction and a message. It may raise `Cancelled` (abandon
the work; everything stays as it was) or `StopEarly` (keep the best result so far). Core code does
not depend on whether a window, a terminal or nothing receives the reports.
"""

import contextlib
import os
from collections.abc import Callable, Collection, Iterator
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Cancelled(Exception):
    """Raised by a `Progress` to abandon the work; nothing may have changed."""


class StopEarly(Exception):
    """Raised by a `Progress` to stop now and keep the best result so far."""


class Progress(Protocol):
    """Callable that receives the progress of a computation.

    Parameters
    ----------
    fraction
        Fraction of the work done, from 0 to 1.
    message
        The current step in a word or two, shown to the user.

    Raises
    ------
    Cancelled, StopEarly
        When the user asks to end the work.
    """

    def __call__(self, fraction: float, message: str = "", /) -> None: ...


def silent(fraction: float, message: str = "", /) -> None:
    """Ignore all progress: the default `Progress`."""


def part(progress: Progress, start: float, stop: float) -> Progress:
    """Map the range 0 to 1 onto `start` to `stop` of `progress`."""

    def inner(fraction: float, message: str = "", /) -> None:
        progress(start + (stop - start) * fraction, message)

    return inner


def to_the_end(progress: Progress) -> Progress:
    """Wrap a `Progress` to cancel but never stop early, for work without partial results."""

    def inner(fraction: float, message: str = "", /) -> None:
        with contextlib.suppress(StopEarly):
            progress(fraction, message)

    return inner


def asks_to_cancel(
    progress: Progress, fraction: float = 0.0, message: str = ""
) -> Callable[[], bool]:
    """Return a function that reports, and tells whether the user cancels."""

    def cancelled() -> bool:
        try:
            progress(fraction, message)
        except Cancelled:
            return True
        return False

    return cancelled


class StopRecorder:
    """Progress wrapper that records a request to stop early and the fraction reached.

    Parameters
    ----------
    progress
        The `Progress` that is wrapped.
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
    """Yield each of `items`, reporting to `progress` before each and once after the last."""
    total = max(len(items), 1)
    for done, item in enumerate(items):
        progress(done / total, message)
        yield item
    progress(1.0, message)


def map_chunks(data: Any, function: Callable[[Any], T], progress: Progress) -> Iterator[T]:
    """Yield a function of each chunk of an array, in order; reading can be cancelled in between.

    Parameters
    ----------
    data
        A numpy array, which is one chunk, or a dask array; a few chunks are read at once.
    function
        Called with each chunk as a numpy array, in any thread.
    progress
        Called several times, with the fraction that is read.
    """
    if not hasattr(data, "to_delayed"):
        progress(0.0, "reading")
        yield function(data)
    else:
        import dask
        import numpy as np

        chunks = data.to_delayed().ravel()
        some = 2 * (os.cpu_count() or 1)
        of_chunk = dask.delayed(lambda chunk: function(np.asarray(chunk)), pure=False)
        for start in range(0, len(chunks), some):
            progress(start / len(chunks), "reading")
            of_chunks = (of_chunk(chunk) for chunk in chunks[start : start + some])
            # Without the callbacks of other threads; see `read_pixels`.
            yield from dask.compute(*of_chunks, callbacks=())
    progress(1.0, "reading")
