"""Measurement of objects: the table, its options, and the location of its objects."""

from napari_unetseg.core.measure.column_meanings import meaning_of
from napari_unetseg.core.measure.column_units import calibrated_by, unit_suffix
from napari_unetseg.core.measure.locate_objects import places_of, stacked_tables
from napari_unetseg.core.measure.measure_options import MeasureOptions
from napari_unetseg.core.measure.measure_table import Images, Table, measure, measure_part

__all__ = [
    "Images",
    "MeasureOptions",
    "Table",
    "calibrated_by",
    "meaning_of",
    "measure",
    "measure_part",
    "places_of",
    "stacked_tables",
    "unit_suffix",
]
