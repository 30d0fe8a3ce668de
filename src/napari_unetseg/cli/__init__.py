"""Run the functions of the docks on files, from the command line."""

import sys
from collections.abc import Sequence

from napari_unetseg.cli.interrupts import (
    INTERRUPTED,
    end_interrupted,
    tell_interrupted,
    watch_interrupts,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `napari-unetseg`.

    Parameters
    ----------
    arguments
        Arguments after the program's name; those of the process if None.

    Returns
    -------
    int
        Exit status: 0 on success, 2 with one line on standard error when the input cannot be
        used, 130 when interrupted.
    """
    if arguments is None:
        watch_interrupts()
    try:
        from napari_unetseg.cli.app import run_program

        return run_program(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:
        if arguments is None:
            end_interrupted()
        tell_interrupted()
        return INTERRUPTED


__all__ = ["main"]
