"""Which two files belong together: an image and its labels, a prediction and its truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_unetseg.cli.console import note
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io import expand_inputs, stem_of, wants_folder


@dataclass(frozen=True)
class Pair:
    """Two files of one image, and the name they share."""

    stem: str
    first: Path
    second: Path


def pairs_of(first: str, second: str, *, names: tuple[str, str]) -> list[Pair]:
    """Pair two sets of files by stem; say which have no partner, and leave them out.

    Parameters
    ----------
    first, second
        A file, a folder or a glob each. Two files belong together whatever their names.
    names
        What the files of each are, in the plural, for people.

    Raises
    ------
    InputError
        When nothing is found, no two go together, a stem is there twice, or both are one file.
    """
    ones, others = expand_inputs([first]), expand_inputs([second])
    if not wants_folder([first]) and not wants_folder([second]):
        return [_pair(stem_of(ones[0]), ones[0], others[0], names)]
    by_stem, partners = _by_stem(ones), _by_stem(others)
    both = sorted(set(by_stem) & set(partners))
    if not both:
        raise InputError(
            f"None of the {len(ones)} {names[0]} in {first} has a partner among the {len(others)} "
            f"{names[1]} in {second}: {ones[0].name} needs one named {stem_of(ones[0])!r}, with "
            "any suffix. Rename the files alike."
        )
    _say_skipped([by_stem[stem] for stem in sorted(set(by_stem) - set(both))], names)
    # Labels of images that were left out on purpose are usual: a few names tell a mistake.
    _say_skipped([partners[s] for s in sorted(set(partners) - set(both))], names[::-1], most=3)
    return [_pair(stem, by_stem[stem], partners[stem], names) for stem in both]


def _pair(stem: str, first: Path, second: Path, names: tuple[str, str]) -> Pair:
    if first.resolve() == second.resolve():
        raise InputError(
            f"{first} is given for both the {names[0]} and the {names[1]}. Give two files, or two "
            "folders."
        )
    return Pair(stem, first, second)


def _by_stem(paths: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        other = found.setdefault(stem_of(path), path)
        if other != path:
            raise InputError(
                f"{other} and {path} share the name {stem_of(path)!r}, so it is not clear which "
                "to pair. Rename one, or choose one kind with a quoted glob such as '*.tif'."
            )
    return found


def _say_skipped(paths: Sequence[Path], names: tuple[str, str], most: int | None = None) -> None:
    if paths:
        shown = paths[:most]
        more = f" and {len(paths) - len(shown)} more" if len(paths) > len(shown) else ""
        listed = ", ".join(path.name for path in shown)
        note(f"Skipped, with no partner among the {names[1]}: {listed}{more}.")


__all__ = ["Pair", "pairs_of"]
