"""What people see of a training, and how they end it: Ctrl-C keeps the best, twice abandons."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from napari_unetseg.cli.console import note
from napari_unetseg.core.annotation.training_step import TrainingStep
from napari_unetseg.core.progress import StopEarly

_SECONDS_BETWEEN_LINES = 5.0

Draw = Callable[[float, str], None]


class Watching:
    """Listens to a training; `watch` and `progress` are what `ladder.train` takes."""

    def __init__(self, draw: Draw, *, lines: bool) -> None:
        self._draw, self._lines = draw, lines
        self._began = self._keeps = self._asked = self._told = False
        self._loss, self._dice, self._message = "", "", ""
        self._line_due = time.monotonic()

    def watch(self, record: TrainingStep) -> None:
        """Take note of a step."""
        self._began = self._keeps = True
        self._loss = f"loss {record.loss:.3f}"
        if record.dice is not None:
            self._dice = f"held-out Dice {record.dice:.3f}"
            if self._lines and time.monotonic() >= self._line_due:
                self._line_due = time.monotonic() + _SECONDS_BETWEEN_LINES
                line = f"{record.fraction:4.0%}  {record.seconds:6.1f} s  {self._loss}  "
                typer.echo(line + self._dice, err=True)

    def keep(self, line: str = "") -> None:
        """Take note that there is something to keep, and tell a log about it."""
        self._keeps = True
        if line and self._lines:
            typer.echo(line, err=True)

    def progress(self, fraction: float, message: str = "", /) -> None:
        """Show how far it is, and stop when asked to."""
        said = "  ".join(filter(None, (self._loss, self._dice))) if self._began else message
        self._draw(fraction, said)
        if self._asked:
            if not self._told:
                self._told = True
                note("Stopping; the best so far is kept. Ctrl-C again abandons it.")
            raise StopEarly

    def interrupt(self, *_: Any) -> None:
        """Answer Ctrl-C. Before the first step there is nothing to keep."""
        if self._asked or not self._keeps:
            raise KeyboardInterrupt
        self._asked = True


@contextmanager
def watching(title: str) -> Iterator[Watching]:
    """Show a training: a bar while a person is watching, else a line every few seconds."""
    if not sys.stderr.isatty():
        with _asking(Watching(lambda fraction, said: None, lines=True)) as seen:
            yield seen
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(title, total=1.0)

        def draw(fraction: float, said: str) -> None:
            bars.update(task, completed=fraction, description=f"{title}  {said}".rstrip())

        with _asking(Watching(draw, lines=False)) as seen:
            yield seen


@contextmanager
def _asking(seen: Watching) -> Iterator[Watching]:
    """Send Ctrl-C to `seen`, where signals can be caught at all."""
    if threading.current_thread() is not threading.main_thread():
        yield seen
        return
    before = signal.signal(signal.SIGINT, seen.interrupt)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


__all__ = ["Watching", "watching"]
