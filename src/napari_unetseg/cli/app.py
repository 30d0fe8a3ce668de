"""Build the program: its commands, exit status and one-line error messages."""

import functools
import inspect
import logging
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, get_args

import typer

from napari_unetseg.cli.console import complain, note, say
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
    if sys.stderr.isatty():
        _show_log()
    return _status(arguments or ["--help"])


@functools.lru_cache
def _show_log() -> None:
    """Print what the package logs, such as that it compiles, as notes."""
    log = logging.getLogger("napari_unetseg")
    log.addHandler(_Notes())
    log.setLevel(logging.INFO)


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


_COMMANDS = {
    "demo": "draft_commands:demo_command",
    "background": "draft_commands:background_command",
    "threshold": "draft_commands:threshold_command",
    "train": "train_command:train_command",
    "compare": "compare_command:compare_command",
    "predict": "predict_command:predict_command",
    "evaluate": "evaluate_command:evaluate_command",
    "info": "predict_command:info_command",
    "export": "models_command:export_command",
    "train-on": "fine_tune_command:fine_tune_command",
    "calibrate": "calibrate_command:calibrate_command",
    "fill": "fill_command:fill_command",
    "click": "click_command:click_command",
    "measure": "measure_command:measure_command",
    "cells": "cells_command:cells_command",
    "run": "run_command:run_command",
    "models": "models_command:models_command",
}
"""Module and function of each command. Only the module of the given command is imported."""


def build_app(only: str = "") -> typer.Typer:
    """Build the program with all its commands, or with `only` one if there is one of that name."""
    app = typer.Typer(
        name=NAME,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_program)
    for name in [only] if only in _COMMANDS else _COMMANDS:
        command = resolve_name(f"napari_unetseg.cli.{_COMMANDS[name]}")
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
    command = typer.main.get_command(build_app(arguments[0]))
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
