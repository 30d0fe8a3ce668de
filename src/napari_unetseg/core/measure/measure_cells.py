"""Measurement of cells by compartment: a row for each cell, with its nucleus and cytoplasm."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.measure.column_meanings import COMPARTMENTS, column_kind
from napari_unetseg.core.measure.measure_options import MeasureOptions
from napari_unetseg.core.measure.measure_table import Images, Table, measure
from napari_unetseg.core.objects.compartments import CellOptions, Compartments
from napari_unetseg.core.progress import Progress, part, silent

_KEYS = ("t", "z", "label")
_OF_ROWS = ("t", "time", "z", "label", "parent")
_PLACES = ("centroid", "first", "last", "touches")
_SHARES = (0.0, 0.4, 0.6, 1.0)


class CellMeasureOptions(CellOptions, MeasureOptions):
    """Options for finding the cells of nuclei and measuring them."""


def measure_cells(
    found: Compartments,
    image: Images = None,
    options: MeasureOptions | None = None,
    *,
    progress: Progress = silent,
) -> Table:
    """Measure cell, nucleus and cytoplasm of every cell, in one row.

    Parameters
    ----------
    found
        The compartments, from `napari_unetseg.core.objects.compartments.find_compartments`.
    image, options
        As in `napari_unetseg.core.measure.measure`.
    progress
        Called after every few rows of pixels.

    Returns
    -------
    dict of str to ndarray
        Columns of equal length, a row for each cell, ordered by time, plane and number:

        ``t``, ``z``, ``label``, ``parent``
            As in `measure`; `label` is the number in all three label images.
        ``n_nuclei``
            Number of nuclei of the cell.
        ``nucleus_to_cell_area`` or ``nucleus_to_cell_volume``
            Size of the nucleus over that of the cell; NaN without a nucleus.
        ``nucleus_to_cytoplasm_mean``
            Mean intensity of the nucleus over that of the cytoplasm, for each channel.
        ``cell_...``, ``nucleus_...``, ``cytoplasm_...``
            The columns of `measure` in each compartment, such as ``nucleus_area_um2``. A missing
            compartment has the size 0, and NaN elsewhere.
        ``centroid_...``, ``first_...``, ``last_...``, ``touches_border``
            Of the cell.

    Raises
    ------
    InputError
        When `image` does not fit the labels.
    """
    chosen = options or MeasureOptions()
    names = {"cell": found.cells, "nucleus": found.nuclei, "cytoplasm": found.cytoplasm}
    tables = {}
    for number, name in enumerate(COMPARTMENTS):
        share = part(progress, _SHARES[number], _SHARES[number + 1])
        tables[name] = measure(names[name], image, chosen, progress=share)
    cells = tables["cell"]
    table: Table = {name: cells[name] for name in cells if column_kind(name) in _OF_ROWS}
    table["n_nuclei"] = _counts(found.pairs, cells)
    measured: Table = {}
    for name, own in tables.items():
        rows = _rows_of(own, cells)
        for column, values in own.items():
            kind = column_kind(column)
            if kind in _OF_ROWS or (kind in _PLACES and not _kept(name, column)):
                continue
            measured[f"{name}_{column}"] = _filled(column, values, rows)
    table |= _ratios(measured)
    table |= measured
    return table | {name: cells[name] for name in cells if column_kind(name) in _PLACES}


def _kept(compartment: str, column: str) -> bool:
    """Whether a position is a column of a compartment: that of the nucleus may differ."""
    return compartment == "nucleus" and column.startswith("centroid_")


def _counts(pairs: NDArray[np.int64], cells: Table) -> NDArray[np.int64]:
    """Count the nuclei of each row of the table of cells."""
    keys, counts = np.unique(pairs[:, :2], axis=0, return_counts=True)
    known = dict(zip(map(tuple, keys.tolist()), counts.tolist(), strict=True))
    labels = cells["label"].tolist()
    times = cells["t"].tolist() if "t" in cells else [0] * len(labels)
    return np.array([known.get(key, 0) for key in zip(times, labels, strict=True)], np.int64)


def _rows_of(own: Table, cells: Table) -> NDArray[np.intp]:
    """Return the row of a compartment for each cell; -1 if the cell has none."""
    keys = [name for name in _KEYS if name in cells]

    def listed(table: Table) -> list[tuple[Any, ...]]:
        return list(zip(*(table[name].tolist() for name in keys), strict=True))

    known = {key: row for row, key in enumerate(listed(own))}
    return np.array([known.get(key, -1) for key in listed(cells)], np.intp)


def _filled(column: str, values: NDArray[Any], rows: NDArray[np.intp]) -> NDArray[Any]:
    """Return the values of the rows; a missing compartment has a size of 0."""
    missing = rows < 0
    if not missing.any():
        return values[rows]
    empty = 0 if column_kind(column) in ("pixels", "area", "volume") else np.nan
    kept = values.dtype if empty == 0 else np.float64
    filled = np.full(len(rows), empty, kept)
    filled[~missing] = values[rows[~missing]]
    return filled


def _ratios(measured: Mapping[str, NDArray[Any]]) -> Table:
    """Compute the ratios of nucleus to cell, and of nucleus to cytoplasm."""
    pixels = {name: measured[f"{name}_pixels"] for name in COMPARTMENTS}
    size = "volume" if any(name.startswith("cell_volume") for name in measured) else "area"
    table = {
        f"nucleus_to_cell_{size}": _quotient(
            np.where(pixels["nucleus"] > 0, pixels["nucleus"], np.nan), pixels["cell"]
        )
    }
    for name, values in measured.items():
        compartment, _, column = name.partition("_")
        if compartment == "nucleus" and column_kind(column) == "mean":
            other = measured[f"cytoplasm_{column}"]
            table[f"nucleus_to_cytoplasm_{column}"] = _quotient(values, other)
    return table


def _quotient(above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    safe = np.where(below == 0, np.nan, below)
    quotient: NDArray[np.float64] = above / safe
    return quotient


__all__ = ["CellMeasureOptions", "measure_cells"]
