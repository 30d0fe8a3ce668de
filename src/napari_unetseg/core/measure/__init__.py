"""Measurement of objects: the table, its options, and the location of its objects."""

from napari_unetseg.core.measure.column_meanings import column_kind, column_meaning
from napari_unetseg.core.measure.column_units import (
    copy_calibration,
    scale_notes,
    size_difference,
    unit_suffix,
)
from napari_unetseg.core.measure.locate_objects import find_positions, stacked_tables
from napari_unetseg.core.measure.measure_cells import CellMeasureOptions, measure_cells
from napari_unetseg.core.measure.measure_options import MeasureOptions
from napari_unetseg.core.measure.measure_table import Images, Table, measure, measure_part
from napari_unetseg.core.measure.measured_frames import is_flat
from napari_unetseg.core.measure.track_table import measure_tracks, with_parents

__all__ = [
    "CellMeasureOptions",
    "Images",
    "MeasureOptions",
    "Table",
    "column_kind",
    "column_meaning",
    "copy_calibration",
    "find_positions",
    "is_flat",
    "measure",
    "measure_cells",
    "measure_part",
    "measure_tracks",
    "scale_notes",
    "size_difference",
    "stacked_tables",
    "unit_suffix",
    "with_parents",
]
