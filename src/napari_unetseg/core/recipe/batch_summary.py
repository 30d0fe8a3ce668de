"""Summarise a batch: the state of each image, and tables over all images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_unetseg.core.io.table_files import stack_tables, table_rows, write_table
from napari_unetseg.core.measure import column_kind
from napari_unetseg.core.recipe.results_folder import TABLES, ResultsFolder

OBJECTS_TABLE, IMAGES_TABLE = "measurements.csv", "images.csv"

State = Literal["running", "done", "kept", "failed"]

# Columns that identify or locate an object: their median over objects means nothing.
_NO_QUANTITY = ("t", "z", "label", "first", "last", "centroid", "touches", "orientation")


@dataclass(frozen=True)
class ImageRow:
    """Hold the state of one image of a batch.

    Parameters
    ----------
    path, stem
        The image file, and its name without suffix.
    state
        ``"kept"`` means that an earlier run has finished the image.
    objects
        Number of objects; None if the recipe makes none.
    seconds
        Processing time.
    message
        The reason of a failure, a warning about the results, or the current step.
    fraction
        Progress, from 0 to 1.
    """

    path: Path
    stem: str
    state: State
    objects: int | None = None
    seconds: float = 0.0
    message: str = ""
    fraction: float = 1.0


def write_summary(results: ResultsFolder, rows: Sequence[ImageRow]) -> None:
    """Write the tables over all images: one row per object, and one row per image.

    Raises
    ------
    InputError
        When a table cannot be written, or the table of an image is missing.
    """
    tables: dict[str, Path] = {}
    if results.recipe.measurement is not None:
        done = (row.stem for row in rows if row.state in ("done", "kept"))
        tables = {stem: results.files(stem)[TABLES] for stem in done}
        stack_tables(results.path / OBJECTS_TABLE, tables)
    medians = [_medians(tables[row.stem]) if row.stem in tables else {} for row in rows]
    names = list(dict.fromkeys(name for values in medians for name in values))
    columns: dict[str, Any] = {
        "image": [row.stem for row in rows],
        "file": [str(row.path) for row in rows],
        "state": [row.state for row in rows],
        "objects": ["" if row.objects is None else row.objects for row in rows],
        "seconds": [round(row.seconds, 3) for row in rows],
        "message": [row.message for row in rows],
        **{
            name: [row_medians.get(name, float("nan")) for row_medians in medians] for name in names
        },
    }
    write_table(results.path / IMAGES_TABLE, columns)


def summarise_batch(rows: Sequence[ImageRow]) -> str:
    """Summarise a batch in one line: images done, kept and failed, and the number of objects."""
    states = [row.state for row in rows]
    n_failed, n_kept = states.count("failed"), states.count("kept")
    n_done = len(rows) - n_failed - states.count("running")
    summary = f"{n_done} of {len(rows)} image{'s' * (len(rows) != 1)} done"
    if n_kept:
        summary += f", {n_kept} of them before"
    if n_failed:
        summary += f", {n_failed} failed"
    counted = [row.objects for row in rows if row.objects is not None]
    n = sum(counted)
    return f"{summary}; {n:,} object{'s' * (n != 1)}" if counted else summary


def _medians(table: Path) -> dict[str, float]:
    """Return the median over the objects for each quantity of a table."""
    with table_rows(table) as rows:
        head, body = next(rows, []), list(rows)
    medians = {}
    for column, name in enumerate(head):
        if column_kind(name) in _NO_QUANTITY:
            continue
        values = np.array([float(row[column]) for row in body if row[column]])
        if len(values):
            medians[f"median_{name}"] = float(np.median(values))
    return medians


__all__ = [
    "IMAGES_TABLE",
    "OBJECTS_TABLE",
    "ImageRow",
    "State",
    "summarise_batch",
    "write_summary",
]
