"""How a batch went, image by image, and the tables over all of its images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_unetseg.core.io.table_files import stack_tables, table_rows, write_table
from napari_unetseg.core.recipe.results_folder import TABLES, ResultsFolder

OBJECTS_TABLE, IMAGES_TABLE = "measurements.csv", "images.csv"

State = Literal["running", "done", "kept", "failed"]

# Columns that say which object it is, or where: a median over objects means nothing.
_NO_QUANTITY = ("t", "z", "label", "first", "last", "centroid", "touches", "orientation")


@dataclass(frozen=True)
class ImageRow:
    """How it went, or is going, with an image of a batch.

    Parameters
    ----------
    path, stem
        Its file, and its name without suffix.
    state
        Kept is what an earlier run has done.
    objects
        How many there are; None where none are made.
    seconds
        How long it took.
    message
        Why it failed, or what is being done.
    fraction
        How far it is, from 0 to 1.
    """

    path: Path
    stem: str
    state: State
    objects: int | None = None
    seconds: float = 0.0
    message: str = ""
    fraction: float = 1.0


def write_summary(results: ResultsFolder, rows: Sequence[ImageRow]) -> None:
    """Write the tables over all images: one of objects, and one with a row for each image.

    Raises
    ------
    InputError
        When one cannot be written, or the table of an image is gone.
    """
    tables: dict[str, Path] = {}
    if results.recipe.measurement is not None:
        done = (row.stem for row in rows if row.state in ("done", "kept"))
        tables = {stem: results.files(stem)[TABLES] for stem in done}
        stack_tables(results.path / OBJECTS_TABLE, tables)
    medians = [_medians(tables[row.stem]) if row.stem in tables else {} for row in rows]
    names = list(dict.fromkeys(name for one in medians for name in one))
    columns: dict[str, Any] = {
        "image": [row.stem for row in rows],
        "file": [str(row.path) for row in rows],
        "state": [row.state for row in rows],
        "objects": ["" if row.objects is None else row.objects for row in rows],
        "seconds": [round(row.seconds, 3) for row in rows],
        "message": [row.message for row in rows],
        **{name: [one.get(name, float("nan")) for one in medians] for name in names},
    }
    write_table(results.path / IMAGES_TABLE, columns)


def batch_in_words(rows: Sequence[ImageRow]) -> str:
    """Say how a batch went."""
    states = [row.state for row in rows]
    n_failed, n_kept = states.count("failed"), states.count("kept")
    n_done = len(rows) - n_failed - states.count("running")
    words = f"{n_done} of {len(rows)} image{'s' * (len(rows) != 1)} done"
    if n_kept:
        words += f", {n_kept} of them before"
    if n_failed:
        words += f", {n_failed} failed"
    counted = [row.objects for row in rows if row.objects is not None]
    n = sum(counted)
    return f"{words}; {n:,} object{'s' * (n != 1)}" if counted else words


def _medians(table: Path) -> dict[str, float]:
    """Return the median over the objects of every quantity of a table."""
    with table_rows(table) as rows:
        head, body = next(rows, []), list(rows)
    found = {}
    for at, name in enumerate(head):
        if name.split("_")[0] in _NO_QUANTITY:
            continue
        values = np.array([float(row[at]) for row in body if row[at]])
        if len(values):
            found[f"median_{name}"] = float(np.median(values))
    return found


__all__ = [
    "IMAGES_TABLE",
    "OBJECTS_TABLE",
    "ImageRow",
    "State",
    "batch_in_words",
    "write_summary",
]
