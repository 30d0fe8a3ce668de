"""Build the program: its commands, exit status and one-line error messages."""

import inspect
import logging
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, get_args

import typer

from napari_unetseg.cli.console import complain, say
from napari_unetseg.cli.interrupts import INTERRUPTED
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io.paths import named_path

NAME = "napari-unetseg"
BAD_INPUT = 2

# The class of typer's usage errors. Its copy of click has moved between versions, so the base
# class is found from an error class that typer exports.
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]


def run_program(arguments: list[str]) -> int:
    """Run one command; see `napari_unetseg.cli.main`."""
    # A library's own report on a damaged file would appear next to our one-line error.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    return _status(arguments or ["--help"])


def build_app() -> typer.Typer:
    """Build the program with all its commands."""
    from napari_unetseg.cli.cells_command import cells_command
    from napari_unetseg.cli.compare_command import compare_command
    from napari_unetseg.cli.draft_commands import (
        background_command,
        demo_command,
        threshold_command,
    )
    from napari_unetseg.cli.evaluate_command import evaluate_command
    from napari_unetseg.cli.fill_command import fill_command
    from napari_unetseg.cli.fine_tune_command import fine_tune_command
    from napari_unetseg.cli.measure_command import measure_command
    from napari_unetseg.cli.models_command import export_command, models_command
    from napari_unetseg.cli.predict_command import info_command, predict_command
    from napari_unetseg.cli.run_command import run_command
    from napari_unetseg.cli.train_command import train_command

    app = typer.Typer(
        name=NAME,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_program)
    commands: dict[str, Callable[..., None]] = {
        "demo": demo_command,
        "background": background_command,
        "threshold": threshold_command,
        "train": train_command,
        "compare": compare_command,
        "predict": predict_command,
        "evaluate": evaluate_command,
        "info": info_command,
        "export": export_command,
        "train-on": fine_tune_command,
        "fill": fill_command,
        "measure": measure_command,
        "cells": cells_command,
        "run": run_command,
        "models": models_command,
    }
    for name, command in commands.items():
        _check_names_of(command)
        app.command(name)(command)
    return app


def _check_names_of(command: Callable[..., None]) -> None:
    """Have the names of files in a command's arguments checked while they are parsed."""
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        kind, *declared = get_args(parameter.annotation) or (None,)
        if kind is Path or Path in get_args(kind):
            declared[0].parser = _path


def _path(name: str) -> Path:
    try:
        return named_path(name)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error


def _status(arguments: list[str]) -> int:
    command = typer.main.get_command(build_app())
    try:
        status = command.main(arguments, prog_name=NAME, standalone_mode=False)
    except InputError as error:
        complain(str(error))
        return BAD_INPUT
    except typer.Exit as exit_:
        status = exit_.exit_code
    except typer.Abort:
        status = INTERRUPTED
    except _UsageError as error:
        message = getattr(error, "format_message", error.__str__)().rstrip(".")
        complain(f"{message}. See {NAME} --help.")
        return BAD_INPUT
    if status == INTERRUPTED:  # typer's word for a KeyboardInterrupt
        raise KeyboardInterrupt
    return status if isinstance(status, int) else 0


def _version(wanted: bool) -> None:
    if wanted:
        say(f"{NAME} {version(NAME)}")
        raise typer.Exit


def _program(
    shown: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Segment micrographs: correct the background, threshold, train a model, predict, evaluate,
    measure.

    IMAGE is a file, a folder or a quoted glob. The output of one image is a file, of several a
    folder.
    """
