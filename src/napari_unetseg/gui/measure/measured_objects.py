"""Tables of measured objects, with their inputs, columns and summary."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels, Layer
from numpy.typing import NDArray

from napari_unetseg.core.image import Image
from napari_unetseg.core.measure import (
    MeasureOptions,
    Table,
    column_kind,
    column_meaning,
    copy_calibration,
    find_positions,
    is_flat,
    measure,
    scale_notes,
)
from napari_unetseg.core.objects.compartments import Compartments
from napari_unetseg.core.objects.lineage import Lineage
from napari_unetseg.core.review_queue import Count
from napari_unetseg.core.units import symbol_of
from napari_unetseg.gui.measure.nuclei_choice import PairedLayers
from napari_unetseg.gui.shared.object_rows import ObjectColumn
from napari_unetseg.gui.shared.task import Reporter


@dataclass(frozen=True, eq=False)
class MeasuredObjects:
    """A table of objects, its layer, and the positions of the objects.

    Parameters
    ----------
    layer, images, options
        The measured layer, the images, and the options.
    state
        State of the labels when they were measured; see `LayerLocks.state`.
    centre, low, high
        Centre and corners of each row's object, (n, ndim).
    count
        Total count from a reviewed random sample, if there is one.
    below_zero
        Whether the labels have pixels below 0, which are left out.
    notes
        What a user must know of the sizes in the table.
    lineage
        Of objects that are linked over time.
    paired, compartments
        With nuclei: the inputs of the pairing, and the compartments.
    sources
        With nuclei: the Labels layers that were paired, and their state at that time.
    """

    layer: Labels
    images: tuple[Layer, ...]
    options: MeasureOptions
    state: tuple[int, ...]
    axes: str
    table: Table
    centre: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]
    count: Count | None = None
    below_zero: bool = False
    notes: tuple[str, ...] = ()
    lineage: Lineage | None = None
    paired: PairedLayers | None = None
    compartments: Compartments | None = None
    sources: tuple[tuple[Labels, tuple[int, ...]], ...] = ()

    @property
    def objects(self) -> Table:
        """The columns about single objects, without the total count."""
        return {n: column for n, column in self.table.items() if not n.startswith("true_")}

    @property
    def loops(self) -> list[tuple[int, str]]:
        """The axes along which an id has several rows: index in the layer, and column."""
        return [(k, a.lower()) for k, a in enumerate(self.axes) if a.lower() in self.table]

    def rows_at(self, index: tuple[int, ...]) -> NDArray[np.intp]:
        """Return the rows of the time and plane at an index of the layer's leading axes."""
        here = np.ones(len(self.table["label"]), dtype=bool)
        for axis, name in self.loops:
            here &= self.table[name] == index[axis]
        return np.flatnonzero(here)


def measure_copy(
    labels: Image, images: dict[str, Image], options: MeasureOptions, progress: Reporter
) -> tuple[Table, tuple[NDArray[Any], NDArray[Any], NDArray[Any]], tuple[str, ...]]:
    """Measure a copy of the labels; return the table, the positions of the objects, and notes."""
    if not labels.lazy:
        labels = labels.with_data(np.array(labels.data))
    labels = copy_calibration(labels, images.values())
    table = measure(labels, images or None, options, progress=progress)
    notes = scale_notes(labels, images, flat=is_flat(labels, options))
    return table, find_positions(table, labels), tuple(notes)


_LARGE = 1e7
"""Numbers from which on an exponent is shown."""


def object_columns(table: Table) -> list[ObjectColumn]:
    """Return the columns of a table for display, the id first.

    Where a pixel has no size, the area is the number of pixels, which is left out.
    """
    twice = any(name in table for name in ("area_px2", "volume_px3"))
    shown = (name for name in table if name != "pixels" or not twice)
    # The id comes first, wherever it is in the table.
    names = sorted(shown, key=lambda name: name != "label")
    return [
        ObjectColumn(name, column_meaning(name), table[name], _texts(table[name])) for name in names
    ]


def _texts(column: NDArray[Any]) -> Callable[[int], str]:
    if column.dtype.kind == "b":
        return lambda at: "yes" if column[at] else "no"
    if column.dtype.kind in "iu":
        return lambda at: str(column[at])
    known = column[np.isfinite(column)]
    # Areas in pixels are whole numbers, and are read as such.
    whole = np.array_equal(known, np.rint(known)) and np.abs(known).max(initial=0) < _LARGE
    short = "{:.0f}".format if whole else _short
    return lambda at: "" if np.isnan(column[at]) else short(float(column[at]))


def _short(value: float) -> str:
    """Format a number with four digits, without an exponent at usual sizes."""
    if value == 0 or 1e-3 <= abs(value) < _LARGE:
        digits = 0 if abs(value) >= 1000 else 4 - len(str(int(abs(value))))
        return f"{value:.{max(digits, 0)}f}"
    return f"{value:.3e}"


def _amount(column: str, value: float) -> str:
    """Format a size with the name and unit of its column, such as ``area 864 px²``."""
    name, _, unit = column.partition("_")
    power = {"2": "²", "3": "³"}[unit[-1]]
    symbol = symbol_of(unit[:-1])
    digits = _short(value)
    if "." in digits and "e" not in digits:
        digits = digits.rstrip("0").rstrip(".")
    return f"{name} {digits} {'px' if symbol == 'pixel' else symbol}{power}"


def _tracks_of(found: MeasuredObjects) -> str:
    """Format the number of tracks, ``" of 23 tracks"``; empty without."""
    if found.lineage is None:
        return ""
    many = len(np.unique(found.table["label"]))
    return f" of {many:,} track{'s' * (many != 1)}"


def summary_of(found: MeasuredObjects) -> str:
    """Return a summary: number of objects, median size, warnings and the next step."""
    table = found.table
    n = len(table["label"])
    if not n:
        return (
            "There are no objects in these labels. Run Threshold or Predict first, or paint some."
        )
    size = next(name for name in table if column_kind(name) in ("area", "volume"))
    amount = _amount(size.removeprefix("cell_"), float(np.median(table[size])))
    what = "row" if found.loops else "object"
    if found.compartments is not None:
        line = f"{found.compartments.summary()} Median cell {amount}."
    else:
        line = f"{n:,} {what}{'s' * (n != 1)}{_tracks_of(found)}, median {amount}."
    cut = int(np.count_nonzero(table["touches_border"]))
    if cut:
        line += f" {cut:,} touch{'es' * (cut == 1)} the border."
    if found.count is not None:
        line += (
            f" True count about {found.count}, 95 % confidence, from the reviewed random sample."
        )
    if found.below_zero:
        line += " Pixels below 0 are left out."
    if n == 1 and found.compartments is None:
        line += " A single id counts as one object: if it is a mask, convert it to objects first."
    line = " ".join((line, *found.notes))
    return f"{line} Next: click a row to see the object, or save the table."


__all__ = ["MeasuredObjects", "measure_copy", "object_columns", "summary_of"]
