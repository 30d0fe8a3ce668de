"""Print results on standard output, and errors and progress bars on standard error."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from napari_unetseg.core.errors import InputError, escape_controls, named_error, shorten
from napari_unetseg.core.image import Image
from napari_unetseg.core.progress import Progress, silent


def say(line: str) -> None:
    """Print a line of results."""
    typer.echo(escape_controls(line))


def complain(line: str) -> None:
    """Print an error on standard error, in one line."""
    typer.echo(f"error: {_one_line(line)}", err=True)


def note(line: str) -> None:
    """Print a note that needs no action on standard error, in one line."""
    typer.echo(f"note: {_one_line(line)}", err=True)


def _one_line(text: str) -> str:
    return shorten(escape_controls(" ".join(text.split())))


def with_notes(path: Path, image: Image) -> Image:
    """Print the notes on an image that was read, each once; return the image."""
    for remark in image.notes:
        line = f"{path}: {remark}."
        if line not in _NOTED:
            _NOTED.add(line)
            note(line)
    return image


def note_sizes(path: Path, image: Image, other_path: Path, other: Image) -> None:
    """Print a note if two images that belong together differ in pixel size."""
    from napari_unetseg.core.measure import size_difference

    if differs := size_difference(image, other):
        note(f"{path} and {other_path} differ in pixel size: {differs}. Check the pairing.")


_NOTED: set[str] = set()
"""Notes that were printed: a file may be read twice."""


@contextmanager
def bar(title: str) -> Iterator[Progress]:
    """Show a progress bar in a terminal; nothing in a pipe or a log."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    # Redirected results must not be sent to the screen, above the bar.
    to_screen, stderr = sys.stdout.isatty(), Console(stderr=True)
    with Bars(*columns, console=stderr, transient=True, redirect_stdout=to_screen) as bars:
        task = bars.add_task(title, total=1.0)

        def progress(fraction: float, message: str = "", /) -> None:
            bars.update(task, completed=fraction, description=f"{title} {message}".rstrip())

        yield progress


def for_each(images: Sequence[Path], work: Callable[[int, Path, Progress], str]) -> None:
    """Process images one after another, and print a line for each.

    Parameters
    ----------
    images
        The inputs.
    work
        Called with the index and path of an image and a `Progress`; returns the line to print.

    Raises
    ------
    InputError
        When the only image fails.
    typer.Exit
        With status 2 after the last image, if some of several failed: each error is printed on
        standard error, and the other images are processed.
    """
    failed = 0
    for number, path in enumerate(images):
        try:
            with bar(path.name) as progress:
                line = work(number, path, progress)
        except InputError as error:
            text = named_error(path, error)
            if len(images) == 1:
                raise InputError(text) from error
            complain(text)
            failed += 1
        else:
            say(line)
    if failed:
        outcome = "the others are written" if failed < len(images) else "nothing is written"
        complain(f"{failed} of {len(images)} images failed; {outcome}.")
        raise typer.Exit(2)
