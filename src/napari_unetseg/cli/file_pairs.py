"""Pair files by name, list the pairs, and read two label images of a pair."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from napari_unetseg.cli.console import note, say
from napari_unetseg.cli.image_flags import read_seen_labels
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io.image_step import ImageStep
from napari_unetseg.core.io.pairing import Pair, pair_paths
from napari_unetseg.core.label_image import Note
from napari_unetseg.core.measure import size_difference

ListPairs = Annotated[
    bool,
    typer.Option(
        "--pairs", help="List the files that belong together, and stop: nothing else is done."
    ),
]


def pair_files(first: str, second: str, *, names: tuple[str, str]) -> list[Pair]:
    """Pair two sets of files by name; note the rule, and the files without a partner.

    Raises
    ------
    InputError
        See `pair_paths`.
    """
    found = pair_paths(first, second, names=names)
    if found.rule:
        note(found.rule)
    _note_skipped(found.alone[0], names)
    # Labels without images are often intended: a few names are enough to notice a mistake.
    _note_skipped(found.alone[1], names[::-1], most=3)
    return list(found.pairs)


def list_pairs(pairs: Sequence[Pair]) -> None:
    """Print each pair on a line, and their number."""
    for pair in pairs:
        say(f"{pair.first}  {pair.second}")
    say(f"{len(pairs)} pair{'s' * (len(pairs) != 1)}; without --pairs the command uses them.")


def read_label_pair(
    pair: Pair,
    note: Note,
    seen: ImageStep = ImageStep(),  # noqa: B008 - frozen
) -> tuple[Image, Image]:
    """Read two label images of one image.

    Raises
    ------
    InputError
        When one cannot be read, or their shapes differ.
    """
    first, second = (read_seen_labels(path, seen, note) for path in (pair.first, pair.second))
    if first.shape != second.shape:
        raise InputError(
            f"{pair.first} has the shape {first.shape} and {pair.second} {second.shape}. Give "
            "labels of the same image."
        )
    if differs := size_difference(first, second):
        note(f"{pair.first} and {pair.second} differ in pixel size: {differs}. Check the pairing.")
    return first, second


def _note_skipped(paths: Sequence[Path], names: tuple[str, str], most: int | None = None) -> None:
    if paths:
        listed_paths = paths[:most]
        more = (
            f" and {len(paths) - len(listed_paths)} more" if len(paths) > len(listed_paths) else ""
        )
        listed = ", ".join(path.name for path in listed_paths)
        note(f"Skipped, with no partner among the {names[1]}: {listed}{more}.")


__all__ = ["ListPairs", "Pair", "list_pairs", "pair_files", "read_label_pair"]
