"""Measuring objects: the table, what goes into it, and where its objects are."""

from napari_unetseg.core.measure.options import MeasureOptions
from napari_unetseg.core.measure.places import places_of, stacked_tables
from napari_unetseg.core.measure.table import Images, Table, measure, measure_part
from napari_unetseg.core.measure.units import calibrated_by, unit_suffix
from napari_unetseg.core.measure.words import meaning_of

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
