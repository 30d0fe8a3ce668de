"""Show the progress of a training; Ctrl-C stops it and keeps the best, twice discards it."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from napari_unetseg.cli.console import note
from napari_unetseg.cli.interrupts import ending_if
from napari_unetseg.core.annotation.training_step import TrainingStep
from napari_unetseg.core.model.validation_score import TOO_LITTLE, is_shown
from napari_unetseg.core.progress import StopEarly

_SECONDS_BETWEEN_LINES = 5.0

Draw = Callable[[float, str], None]


class TrainingWatcher:
    """Follow a training; its `watch` and `progress` are arguments of `train`."""

    def __init__(self, draw: Draw, *, lines: bool) -> None:
        self._draw, self._lines = draw, lines
        self._began = self._keeps = self._asked = self._told = self._counted = False
        self._loss, self._dice, self._message = "", "", ""
        self._line_due = time.monotonic()

    def watch(self, record: TrainingStep) -> None:
        """Record a training step."""
        self._began = self._keeps = True
        self._loss = f"loss {record.loss:.3f}"
        if record.dice is not None:
            shown = is_shown(record.held_out_least, record.held_out_strokes)
            self._dice = f"held-out Dice {record.dice:.3f}" if shown else TOO_LITTLE
            if self._lines and time.monotonic() >= self._line_due:
                self._line_due = time.monotonic() + _SECONDS_BETWEEN_LINES
                line = f"{record.fraction:4.0%}  {record.seconds:6.1f} s  {self._loss}  "
                typer.echo(line + self._dice, err=True)

    def keep(self, line: str = "") -> None:
        """Record that there is a result to keep, and print a line if output is logged."""
        self._keeps = True
        if line and self._lines:
            typer.echo(line, err=True)

    def progress(self, fraction: float, message: str = "", /) -> None:
        """Show the progress, and raise `StopEarly` if asked to stop."""
        status = "  ".join(filter(None, (self._loss, self._dice))) if self._began else message
        self._draw(fraction, status)
        if self._asked:
            if not self._told:
                self._told = True
                note("Stopping; the best so far is kept. Ctrl-C again discards it.")
            raise StopEarly

    def interrupt(self, *_: Any) -> None:
        """Handle Ctrl-C; abort if there is no result to keep yet."""
        if self._asked or not self._keeps:
            raise KeyboardInterrupt
        self._asked = True

    def is_last_interrupt(self) -> bool:
        """Return whether one more Ctrl-C aborts; called once for each."""
        first, self._counted = not self._counted, True
        return not (first and self._keeps)


@contextmanager
def watch_training(title: str) -> Iterator[TrainingWatcher]:
    """Show a training: a bar in a terminal, else a line every few seconds."""
    if not sys.stderr.isatty():
        with _catch_interrupts(
            TrainingWatcher(lambda fraction, status: None, lines=True)
        ) as watcher:
            yield watcher
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(title, total=1.0)

        def draw(fraction: float, status: str) -> None:
            bars.update(task, completed=fraction, description=f"{title}  {status}".rstrip())

        with _catch_interrupts(TrainingWatcher(draw, lines=False)) as watcher:
            yield watcher


@contextmanager
def _catch_interrupts(watcher: TrainingWatcher) -> Iterator[TrainingWatcher]:
    """Send Ctrl-C to a watcher, if this thread can catch signals."""
    if threading.current_thread() is not threading.main_thread():
        yield watcher
        return
    before = signal.signal(signal.SIGINT, watcher.interrupt)
    try:
        with ending_if(watcher.is_last_interrupt):
            yield watcher
    finally:
        signal.signal(signal.SIGINT, before)


__all__ = ["TrainingWatcher", "watch_training"]
