"""Use of measurement tables: location of the objects, and stacking of several tables."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.image import Image
from napari_unetseg.core.measure.column_units import measured_scale, unit_suffix
from napari_unetseg.core.measure.measure_table import Table


def find_positions(table: Table, labels: Image) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the location of a table's objects in the array they were measured in.

    Parameters
    ----------
    table, labels
        The result of `napari_unetseg.core.measure.measure`, and its labels.

    Returns
    -------
    centre, low, high : (n, ndim)
        In pixels from the centre of the first pixel: the centroid, and the first and last pixel of
        the box; axes as in `labels`.
    """
    labels = measured_scale(labels, flat="Z" not in labels.axes or "z" in table)
    unit = unit_suffix(labels)
    steps = dict(zip(labels.spatial_axes, labels.spacing, strict=True))
    centre: list[NDArray[Any]] = []
    low: list[NDArray[Any]] = []
    high: list[NDArray[Any]] = []
    for axis in labels.axes:
        name = axis.lower()
        if name in table:
            for columns in (centre, low, high):
                columns.append(table[name].astype(float))
            continue
        centre.append(table[f"centroid_{name}_{unit}"] / steps[axis])
        low.append(table[f"first_{name}"].astype(float))
        high.append(table[f"last_{name}"].astype(float))
    return np.column_stack(centre), np.column_stack(low), np.column_stack(high)


def stacked_tables(tables: Mapping[str, Table]) -> dict[str, Any]:
    """Stack several tables into one, with a column ``image`` first.

    Parameters
    ----------
    tables
        Tables by the name of the image. A column missing from a table is NaN in its rows: images in
        different units have separate columns.
    """
    names = list(dict.fromkeys(name for table in tables.values() for name in table))
    images = [image for image, table in tables.items() for _ in range(len(table["label"]))]
    return {"image": images} | {
        name: np.concatenate([_column(table, name) for table in tables.values()]) for name in names
    }


def _column(table: Table, name: str) -> NDArray[Any]:
    return table[name] if name in table else np.full(len(table["label"]), np.nan)


__all__ = ["find_positions", "stacked_tables"]
