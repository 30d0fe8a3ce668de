"""Tables out: comma-separated values that a spreadsheet opens."""

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io.paths import writing

Column = Sequence[Any] | NDArray[Any]


def write_table(path: str | os.PathLike[str], columns: Mapping[str, Column]) -> None:
    """Write a table as a CSV file, replacing it in one step.

    Parameters
    ----------
    path
        A file name ending in ``.csv``.
    columns
        Names and equally long columns, in order: what `napari_unetseg.core.measure.measure`
        returns.

    Raises
    ------
    InputError
        When the name does not end in ``.csv``, or the folder cannot be written.
    ValueError
        When the columns differ in length.
    """
    target = Path(path)
    if target.suffix.lower() != ".csv":
        raise InputError(f"A table is written as .csv, not {target.name!r}. Change the name.")
    rows = zip(*(_plain(column) for column in columns.values()), strict=True)
    with writing(target) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(rows)


def _plain(column: Column) -> Sequence[Any]:
    """Return a column of Python's own numbers, which print shortest and read back exactly."""
    return list(column.tolist()) if isinstance(column, np.ndarray) else column
