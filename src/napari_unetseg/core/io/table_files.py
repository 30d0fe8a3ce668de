"""Table files: comma- or tab-separated values for spreadsheets."""

import contextlib
import csv
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.atomic_files import writing
from napari_unetseg.core.errors import InputError, decoding

Column = Sequence[Any] | NDArray[Any]

TABLE_SUFFIXES = {".csv": ",", ".tsv": "\t"}
"""Suffixes of table files, with their cell separators."""

Types = dict[str, str]
"""Names of columns, with their numpy types, or `json` for text and mixed cells."""

_JSON = "json"

_NO_TYPE = "is not a type of columns: the list of tables is damaged. Restore a backup."

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


def write_typed_table(path: str | os.PathLike[str], columns: Mapping[str, NDArray[Any]]) -> Types:
    """Write a table that `read_typed_table` reads back exactly, replacing it atomically.

    Parameters
    ----------
    columns
        Columns of one length. Text and mixed cells (type object) are written as JSON, times as
        integers, and NaN as an empty cell.

    Returns
    -------
    dict
        The type of each column, which `read_typed_table` needs.

    Raises
    ------
    InputError
        When a cell is longer than what is read, or the file cannot be written.
    """
    target = Path(path)
    types = {name: _type_of(column) for name, column in columns.items()}
    cells = [_typed_cells(column, types[name]) for name, column in columns.items()]
    for name, column in zip(types, cells, strict=True):
        if any(isinstance(cell, str) and len(cell) > csv.field_size_limit() for cell in column):
            raise InputError(
                f"The column {name} has a cell of more than {csv.field_size_limit():,} letters, "
                "which a table cannot hold. Shorten it."
            )
    with writing(target) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter=TABLE_SUFFIXES[target.suffix.lower()])
        table.writerow(map(_header, types))
        table.writerows(zip(*cells, strict=True))
    return types


def read_typed_table(path: str | os.PathLike[str], types: Types) -> dict[str, NDArray[Any]]:
    """Read a table written by `write_typed_table`.

    Raises
    ------
    InputError
        When the file cannot be read, or has other columns than `types`.
    """
    with table_rows(path) as rows, decoding(path):
        if next(rows, []) != list(map(_header, types)):
            raise InputError(f"{path} has other columns than expected. Restore a backup.")
        columns = list(zip(*rows, strict=True)) or [()] * len(types)
        if len(columns) != len(types):
            raise InputError(f"{path} has incomplete rows. Restore a backup.")
        return {
            name: _typed_column(cells, kind)
            for cells, (name, kind) in zip(columns, types.items(), strict=True)
        }


def table_of_json(columns: Any) -> dict[str, NDArray[Any]]:
    """Return the table that is stored in JSON as lists by name; null in numbers is NaN.

    Raises
    ------
    InputError
        When it is not a table.
    """
    lists = isinstance(columns, Mapping) and all(isinstance(c, list) for c in columns.values())
    if not lists or len({len(column) for column in columns.values()}) > 1:
        raise InputError("its columns are not lists of one length. Restore a backup.")
    return {name: _array_of_json(column) for name, column in columns.items()}


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


def _type_of(column: NDArray[Any]) -> str:
    kind = column.dtype.kind
    exact = kind in "biuMm" or (kind == "f" and column.dtype.itemsize <= 8)
    return column.dtype.str if exact else _JSON


def _typed_cells(column: NDArray[Any], kind: str) -> list[Any]:
    if kind == _JSON:
        return [json.dumps(cell, default=str) for cell in column.tolist()]
    if column.dtype.kind in "bMm":
        return column.view(np.uint8 if column.dtype.kind == "b" else np.int64).tolist()
    return ["" if cell != cell else cell for cell in column.tolist()]


def _typed_column(cells: Sequence[str], kind: str) -> NDArray[Any]:
    if kind == _JSON:
        column = np.empty(len(cells), object)
        column[:] = [json.loads(cell) for cell in cells]
        return column
    try:
        dtype = np.dtype(kind)
    except (TypeError, ValueError) as error:
        raise InputError(f"{kind!r} {_NO_TYPE}") from error
    match dtype.kind:
        case "f":
            return np.array([float(cell or "nan") for cell in cells], dtype)
        case "b" | "i" | "u":
            return np.array([int(cell) for cell in cells], dtype)
        case "M" | "m":
            return np.array([int(cell) for cell in cells], np.int64).view(dtype)
    raise InputError(f"{kind!r} {_NO_TYPE}")


def _array_of_json(column: list[Any]) -> NDArray[Any]:
    kinds = {type(cell) for cell in column}
    if kinds and (kinds == {bool} or kinds <= {int} or kinds <= {int, float, type(None)}):
        with contextlib.suppress(OverflowError, TypeError):
            numbers = [np.nan if cell is None else cell for cell in column]
            array = np.array(numbers) if kinds != {type(None)} else np.array(column, object)
            if array.dtype.kind in "bif":
                return array
    array = np.empty(len(column), object)
    array[:] = column
    return array


def _header(name: str) -> str:
    """Return a column name without line ends and letters that UTF-8 lacks."""
    return json.dumps(name)[1:-1]


def _harmless(cell: Any) -> Any:
    if isinstance(cell, str):
        return f"'{cell}" if cell.startswith(_FORMULA) else cell
    return "" if isinstance(cell, float) and cell != cell else cell


__all__ = [
    "TABLE_SUFFIXES",
    "Column",
    "Types",
    "check_table_name",
    "read_typed_table",
    "stack_tables",
    "table_of_json",
    "table_rows",
    "write_table",
    "write_typed_table",
]
