"""Table files: comma- or tab-separated values for spreadsheets."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.atomic_files import writing
from napari_unetseg.core.errors import InputError

Column = Sequence[Any] | NDArray[Any]

TABLE_SUFFIXES = {".csv": ",", ".tsv": "\t"}
"""Suffixes of table files, with their cell separators."""

# Characters that start a formula, which a spreadsheet would run.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_table(path: str | os.PathLike[str], columns: Mapping[str, Column]) -> None:
    """Write a table to a file, replacing it atomically.

    Parameters
    ----------
    path
        A file name ending in ``.csv`` or ``.tsv``.
    columns
        Names and columns of equal length, in order, such as the result of
        `napari_unetseg.core.measure.measure`. NaN becomes an empty cell. Text that a spreadsheet
        would read as a formula gets a leading apostrophe.

    Raises
    ------
    InputError
        When the file name has another suffix, or the folder cannot be written.
    ValueError
        When the columns differ in length.
    """
    target = Path(path)
    check_table_name(target)
    rows = zip(*(_plain(column) for column in columns.values()), strict=True)
    with writing(target) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter=TABLE_SUFFIXES[target.suffix.lower()])
        table.writerow(map(_harmless, columns))
        table.writerows(rows)


def stack_tables(path: str | os.PathLike[str], tables: Mapping[str, Path]) -> None:
    """Stack several table files into one, with a column ``image`` first.

    Parameters
    ----------
    path
        As in `write_table`.
    tables
        Files by the name of the image. A column missing from a table is empty in its rows.

    Raises
    ------
    InputError
        As `write_table`; and when a table cannot be read.

    Notes
    -----
    Works row by row, for any number of rows. Equal to writing
    `napari_unetseg.core.measure.stacked_tables` of the same tables.
    """
    target = Path(path)
    check_table_name(target)
    names: dict[str, None] = {}
    for table in tables.values():
        with table_rows(table) as rows:
            names |= dict.fromkeys(next(rows, []))
    with writing(target) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        delimiter = TABLE_SUFFIXES[target.suffix.lower()]
        out = csv.DictWriter(file, ["image", *names], restval="", delimiter=delimiter)
        out.writeheader()
        for image, table in tables.items():
            with table_rows(table) as rows:
                head = next(rows, [])
                for row in rows:
                    out.writerow({"image": _harmless(image), **dict(zip(head, row, strict=False))})


@contextmanager
def table_rows(path: str | os.PathLike[str]) -> Iterator[Iterator[list[str]]]:
    """Open a table and yield its rows, the names of its columns first.

    Raises
    ------
    InputError
        When the file cannot be read.
    """
    source = Path(path)
    check_table_name(source)
    try:
        with source.open(newline="", encoding="utf-8") as file:
            yield csv.reader(file, delimiter=TABLE_SUFFIXES[source.suffix.lower()])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"The table {source} cannot be read: {reason}.") from error


def check_table_name(path: str | os.PathLike[str]) -> None:
    """Raise `InputError` unless a file name is that of a table."""
    target = Path(path)
    if target.suffix.lower() not in TABLE_SUFFIXES:
        kinds = " or ".join(TABLE_SUFFIXES)
        raise InputError(f"A table is written as {kinds}, not {target.name!r}. Change the name.")


def _plain(column: Column) -> Sequence[Any]:
    """Convert a column to Python's own numbers, which print shortest and read back exactly."""
    cells = column.tolist() if isinstance(column, np.ndarray) else column
    return [_harmless(cell) for cell in cells]


def _harmless(cell: Any) -> Any:
    if isinstance(cell, str):
        return f"'{cell}" if cell.startswith(_FORMULA) else cell
    return "" if isinstance(cell, float) and cell != cell else cell


__all__ = [
    "TABLE_SUFFIXES",
    "Column",
    "check_table_name",
    "stack_tables",
    "table_rows",
    "write_table",
]
