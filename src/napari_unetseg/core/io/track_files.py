"""Track files: the lineage of a movie's labels, in a text file beside them.

The format is that of the Cell Tracking Challenge: a line ``L B E P`` for each track, with its
label, its first and last time from 0, and the label of its mother, 0 for none.
"""

from collections.abc import Mapping
from pathlib import Path

from napari_unetseg.core.atomic_files import writing
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io.paths import PathLike, stem_of
from napari_unetseg.core.objects.lineage import lineage_of

_DIGITS = 19
"""Digits of a number that is too large for an id."""


def track_file(labels: PathLike) -> Path:
    """Return the name of the track file of a file of labels: ``NAME_tracks.txt`` beside it."""
    path = Path(labels)
    return path.with_name(f"{stem_of(path)}_tracks.txt")


def write_tracks(path: PathLike, labels: Image) -> None:
    """Write the tracks of labels; those without leave no file, also not one from before.

    Parameters
    ----------
    path
        File of the labels, which the tracks are written beside.
    labels
        As for `lineage_of`.

    Raises
    ------
    InputError
        When the file cannot be written.
    """
    target, found = track_file(path), lineage_of(labels)
    if found is None:
        if target.is_file():
            target.unlink()
        return
    with writing(target) as draft:
        lines = (" ".join(map(str, row)) for row in found.extents().tolist())
        draft.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def read_parents(path: PathLike) -> Mapping[int, int] | None:
    """Read the mothers of the objects of labels; None if there is no track file beside them.

    Parameters
    ----------
    path
        File of the labels.

    Raises
    ------
    InputError
        When a line of the track file is not four whole numbers.
    """
    source = track_file(path)
    if not source.is_file():
        return None
    parents: dict[int, int] = {}
    for number, line in enumerate(source.read_text("utf-8-sig", errors="replace").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 4 or not all(w.isdecimal() and len(w) < _DIGITS for w in words):
            raise InputError(
                f"Line {number} of {source} is {line[:40]!r}; a track is four whole numbers, L B E "
                "P. Correct it, or move the file away."
            )
        if int(words[3]):
            parents[int(words[0])] = int(words[3])
    return parents


__all__ = ["read_parents", "track_file", "write_tracks"]
