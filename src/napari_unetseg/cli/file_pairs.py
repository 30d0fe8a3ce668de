"""Pair files by name: images with labels, or predictions with ground truth."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_unetseg.cli.console import note
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io import expand_inputs, stem_of, wants_folder


@dataclass(frozen=True)
class Pair:
    """Hold two files of one image, and the name they share."""

    stem: str
    first: Path
    second: Path


def pair_files(first: str, second: str, *, names: tuple[str, str]) -> list[Pair]:
    """Pair two sets of files by stem; skip files without a partner, with a note.

    Parameters
    ----------
    first, second
        A file, a folder or a glob each. Two single files are paired whatever their names.
    names
        Plural names of the two kinds of files, for messages.

    Raises
    ------
    InputError
        When no files are found, none can be paired, a stem occurs twice, or both are the same file.
    """
    firsts, seconds = expand_inputs([first]), expand_inputs([second])
    if not wants_folder([first]) and not wants_folder([second]):
        return [_pair(stem_of(firsts[0]), firsts[0], seconds[0], names)]
    by_stem, partners = _by_stem(firsts), _by_stem(seconds)
    both = sorted(set(by_stem) & set(partners))
    if not both:
        raise InputError(
            f"None of the {len(firsts)} {names[0]} in {first} has a partner among the "
            f"{len(seconds)} {names[1]} in {second}: {firsts[0].name} needs one named "
            f"{stem_of(firsts[0])!r}, with any suffix. Rename the files alike."
        )
    _note_skipped([by_stem[stem] for stem in sorted(set(by_stem) - set(both))], names)
    # Labels without images are often intended: a few names are enough to notice a mistake.
    _note_skipped([partners[s] for s in sorted(set(partners) - set(both))], names[::-1], most=3)
    return [_pair(stem, by_stem[stem], partners[stem], names) for stem in both]


def _pair(stem: str, first: Path, second: Path, names: tuple[str, str]) -> Pair:
    if os.path.realpath(first) == os.path.realpath(second):
        raise InputError(
            f"{first} is given for both the {names[0]} and the {names[1]}. Give two files, or two "
            "folders."
        )
    return Pair(stem, first, second)


def _by_stem(paths: Sequence[Path]) -> dict[str, Path]:
    by_stem: dict[str, Path] = {}
    for path in paths:
        other = by_stem.setdefault(stem_of(path), path)
        if other != path:
            raise InputError(
                f"{other} and {path} share the name {stem_of(path)!r}, so it is not clear which "
                "to pair. Rename one, or choose one kind with a quoted glob such as '*.tif'."
            )
    return by_stem


def _note_skipped(paths: Sequence[Path], names: tuple[str, str], most: int | None = None) -> None:
    if paths:
        listed_paths = paths[:most]
        more = (
            f" and {len(paths) - len(listed_paths)} more" if len(paths) > len(listed_paths) else ""
        )
        listed = ", ".join(path.name for path in listed_paths)
        note(f"Skipped, with no partner among the {names[1]}: {listed}{more}.")


__all__ = ["Pair", "pair_files"]
