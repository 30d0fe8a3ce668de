"""A table of measured objects, what was measured for it, and what the dock shows of it."""

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
    column_meaning,
    copy_calibration,
    find_positions,
    measure,
)
from napari_unetseg.core.review_queue import Count
from napari_unetseg.gui.shared.object_rows import ObjectColumn
from napari_unetseg.gui.shared.task import Reporter


@dataclass(frozen=True, eq=False)
class MeasuredObjects:
    """A table, the layer it is of, and where the objects are in it.

    Parameters
    ----------
    layer, images, options
        What was measured, in which images, and how.
    state
        Of the labels when they were measured; see `LayerLocks.state`.
    centre, low, high
        Middle and corners of each row's object, (n, ndim).
    count
        Objects in all by a reviewed random sample, where there is one.
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

    @property
    def objects(self) -> Table:
        """What the table says of single objects: without the count, which is of all."""
        return {n: column for n, column in self.table.items() if not n.startswith("true_")}

    @property
    def loops(self) -> list[tuple[int, str]]:
        """The axes along which an id has a row each: place in the layer, and column."""
        return [(k, a.lower()) for k, a in enumerate(self.axes) if a.lower() in self.table]

    def rows_at(self, index: tuple[int, ...]) -> NDArray[np.intp]:
        """Return the rows of the time and plane at an index of the layer's leading axes."""
        here = np.ones(len(self.table["label"]), dtype=bool)
        for axis, name in self.loops:
            here &= self.table[name] == index[axis]
        return np.flatnonzero(here)


def measure_copy(
    labels: Image, images: dict[str, Image], options: MeasureOptions, progress: Reporter
) -> tuple[Table, tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Measure a copy of the labels; return the table, and where the objects are."""
    if not labels.lazy:
        labels = labels.with_data(np.array(labels.data))
    labels = copy_calibration(labels, images.values())
    table = measure(labels, images or None, options, progress=progress)
    return table, find_positions(table, labels)


def object_columns(table: Table) -> list[ObjectColumn]:
    """Return the columns of a table as the dock shows them, the id first."""
    # The id comes first, wherever it is in the table: it is what people look for.
    names = sorted(table, key=lambda name: name != "label")
    return [
        ObjectColumn(name, column_meaning(name), table[name], _texts(table[name])) for name in names
    ]


def _texts(column: NDArray[Any]) -> Callable[[int], str]:
    if column.dtype.kind == "b":
        return lambda at: "yes" if column[at] else "no"
    if column.dtype.kind in "iu":
        return lambda at: str(column[at])
    return lambda at: "" if np.isnan(column[at]) else _short(float(column[at]))


def _short(value: float) -> str:
    """Return four digits of a number, without an exponent where it is of a usual size."""
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        digits = 0 if abs(value) >= 1000 else 4 - len(str(int(abs(value))))
        return f"{value:.{max(digits, 0)}f}"
    return f"{value:.3e}"


def summary_of(found: MeasuredObjects) -> str:
    """Return how many objects there are, their usual size, and what to be aware of."""
    table = found.table
    n = len(table["label"])
    if not n:
        return (
            "There are no objects in these labels. Run Threshold or Predict first, or paint some."
        )
    size = next(name for name in table if name.startswith(("area_", "volume_")))
    what = "row" if found.loops else "object"
    line = f"{n:,} {what}{'s' * (n != 1)}, median {size} {_short(float(np.median(table[size])))}."
    cut = int(np.count_nonzero(table["touches_border"]))
    if cut:
        line += f" {cut:,} touch{'es' * (cut == 1)} the border."
    if found.count is not None:
        line += (
            f" True count about {found.count}, 95 % confidence, from the reviewed random sample."
        )
    if n == 1:
        line += " One id is one object: if it is a mask, make objects of it first."
    return f"{line} Next: click a row to see the object, or save the table."


__all__ = ["MeasuredObjects", "measure_copy", "object_columns", "summary_of"]
