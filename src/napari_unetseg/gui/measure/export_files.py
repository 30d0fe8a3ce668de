"""Files of measured objects: tables, ImageJ ROIs, GeoJSON."""

from pathlib import Path

import numpy as np

from napari_unetseg.core.image import Image
from napari_unetseg.core.io import write_geojson, write_rois, write_table
from napari_unetseg.core.measure import measure_tracks
from napari_unetseg.core.objects.outlines import outlines
from napari_unetseg.core.progress import part
from napari_unetseg.gui.measure.measured_objects import MeasuredObjects
from napari_unetseg.gui.shared.task import Reporter

FILE_KINDS = {
    "table": ("Save table...", "Tables (*.csv *.tsv)", ".csv"),
    "tracks": ("Save tracks...", "Tables (*.csv *.tsv)", ".csv"),
    "rois": ("ImageJ ROIs...", "ImageJ ROIs (*.zip)", ".zip"),
    "geojson": ("GeoJSON...", "GeoJSON for QuPath (*.geojson)", ".geojson"),
}
"""For every kind of file: button text, file filter of the dialog, and suffix."""


def default_name(layer_name: str, kind: str) -> str:
    """Return a file name for a layer's objects, with characters valid on every system."""
    name = "".join(c if c.isalnum() or c in " .-_" else "_" for c in layer_name)
    return f"{name}{' tracks' * (kind == 'tracks')}{FILE_KINDS[kind][2]}"


def write_measured(
    kind: str, path: Path, found: MeasuredObjects, labels: Image, name: str, progress: Reporter
) -> str:
    """Write a file and return a sentence about it; outlines use a copy of the labels.

    Parameters
    ----------
    kind
        A key of `FILE_KINDS`.
    labels, name
        The measured labels, and the name of their layer.
    """
    n = len(found.table["label"])
    if kind == "table":
        write_table(path, found.table)
        return f"{path}: {n} rows."
    if kind == "tracks":
        tracks = measure_tracks(found.table)
        write_table(path, tracks)
        return f"{path}: {len(tracks['label'])} tracks."
    if not labels.lazy:
        labels = labels.with_data(np.array(labels.data))
    lines = outlines(labels, progress=part(progress, 0, 1))
    if kind == "rois":
        write_rois(path, lines)
        return f"{path}: the outlines, for ImageJ's ROI Manager (More > Open...)."
    write_geojson(path, lines, found.objects, name=name)
    return f"{path}: outlines and measurements. In QuPath: File > Import objects from file."


__all__ = ["FILE_KINDS", "default_name", "write_measured"]
