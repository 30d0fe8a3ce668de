"""Outline files: ROIs for ImageJ and Fiji, GeoJSON for QuPath."""

import json
import math
import os
import uuid
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.atomic_files import writing
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.objects.outlines import Outline, Ring

Table = Mapping[str, NDArray[Any]]

# Objects get the same ids in every file of the same name, so that importing it twice is noticed.
_NAMESPACE = uuid.UUID("5d7a4f86-6c0f-4c62-9d7e-0c1a5b9f2e33")
_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0
_LARGEST = 32767


def write_rois(path: str | os.PathLike[str], outlines: Iterable[Outline]) -> None:
    """Write outlines as a zip of ROIs for ImageJ's ROI Manager.

    Parameters
    ----------
    path
        A file name ending in ``.zip``.
    outlines
        See `napari_unetseg.core.objects.outlines.outlines`. Each becomes a traced ROI named by its
        id, on its slice and frame; a composite ROI if it has holes or several parts.

    Raises
    ------
    InputError
        When the file name has another suffix, there is no object, one lies beyond the range of a
        ROI, or the file cannot be written.
    """
    target = Path(path)
    check_rois_name(target)
    with writing(target) as draft:
        names: set[str] = set()
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
            for outline in outlines:
                name = _name(outline)
                names.add(name)
                archive.writestr(f"{name}.roi", _roi(outline, name))
        if not names:
            raise InputError(
                f"There are no objects, so {target.name} is not written. Choose labels with "
                "objects."
            )


def write_geojson(
    path: str | os.PathLike[str],
    outlines: Iterable[Outline],
    table: Table | None = None,
    *,
    name: str = "",
) -> None:
    """Write outlines as a GeoJSON feature collection, which QuPath imports as detections.

    Parameters
    ----------
    path
        A file name ending in ``.geojson`` or ``.json``.
    outlines
        See `napari_unetseg.core.objects.outlines.outlines`. Coordinates are pixels; polygons have
        holes.
    table
        Measurements of the same labels, joined to the objects by label, time and, if there is such
        a column, plane. Values that are not finite are left out.
    name
        Name of the image: object ids are derived from it, the plane and the label, so they are the
        same at every run.

    Raises
    ------
    InputError
        When the file name has another suffix, or the file cannot be written.
    """
    target = Path(path)
    check_geojson_name(target)
    rows = _rows(table or {})
    with writing(target) as draft, draft.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for number, outline in enumerate(outlines):
            file.write(",\n" if number else "\n")
            json.dump(_feature(outline, rows, name), file, allow_nan=False)
        file.write("\n]}\n")


def check_rois_name(path: str | os.PathLike[str]) -> None:
    """Raise `InputError` unless a file name is that of a zip of ROIs."""
    if Path(path).suffix.lower() != ".zip":
        raise InputError(f"ROIs are written as .zip, not {Path(path).name!r}. Change the name.")


def check_geojson_name(path: str | os.PathLike[str]) -> None:
    """Raise `InputError` unless a file name is that of a GeoJSON file."""
    if Path(path).suffix.lower() not in (".geojson", ".json"):
        raise InputError(
            f"Outlines are written as .geojson, not {Path(path).name!r}. Change the name."
        )


def _name(outline: Outline) -> str:
    planes = [("t", outline.t), ("z", outline.z)]
    return "-".join([*(f"{a}{k:04d}" for a, k in planes if k is not None), f"{outline.label:06d}"])


def _roi(outline: Outline, name: str) -> bytes:
    from roifile import ROI_TYPE, ImagejRoi

    stacked = outline.t is not None or outline.z is not None
    position = {"c": 0, "z": outline.z or 0, "t": outline.t or 0} if stacked else {}
    rings = [ring for polygon in outline.polygons for ring in polygon]
    corners = np.concatenate(rings)
    if corners.max() > _LARGEST:
        raise InputError(
            f"Object {outline.label} lies beyond pixel {_LARGEST:,}, the limit of ImageJ ROIs. "
            "Write GeoJSON, or crop the image."
        )
    roi = ImagejRoi.frompoints(corners, name=name, **position)
    roi.left, roi.top = (int(v) for v in corners.min(axis=0))
    roi.right, roi.bottom = (int(v) for v in corners.max(axis=0))
    if len(rings) == 1:
        roi.roitype = ROI_TYPE.TRACED
        return bytes(roi.tobytes())
    roi.roitype, roi.integer_coordinates, roi.n_coordinates = ROI_TYPE.RECT, None, 0
    roi.multi_coordinates = np.concatenate([_path(ring) for ring in rings])
    roi.shape_roi_size = len(roi.multi_coordinates)
    return bytes(roi.tobytes())


def _path(ring: Ring) -> NDArray[np.float32]:
    """Convert a ring to path commands: move to the first corner, lines to the others, close."""
    lines = np.full((len(ring), 3), _LINE, dtype=np.float32)
    lines[0, 0] = _MOVE
    lines[:, 1:] = ring
    return np.append(lines.reshape(-1), np.float32(_CLOSE))


def _rows(table: Table) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Group the measurements of each object by time, plane and label."""
    if "label" not in table:
        return {}
    n = len(table["label"])
    keys = [table[axis].tolist() if axis in table else [None] * n for axis in ("t", "z", "label")]
    measurements = {
        column: values.tolist()
        for column, values in table.items()
        if column not in ("t", "z", "label") and values.dtype.kind in "iuf"
    }
    return {
        key: {
            column: values[row]
            for column, values in measurements.items()
            if math.isfinite(values[row])
        }
        for row, key in enumerate(zip(*keys, strict=True))
    }


def _feature(
    outline: Outline, rows: Mapping[tuple[Any, ...], dict[str, Any]], name: str
) -> dict[str, Any]:
    t, z, label = outline.t, outline.z, outline.label
    # A volume has one row for all its planes.
    values = rows.get((t, z, label), rows.get((t, None, label), {}))
    parts = [[_closed(ring) for ring in polygon] for polygon in outline.polygons]
    geometry: dict[str, Any] = (
        {"type": "Polygon", "coordinates": parts[0]}
        if len(parts) == 1
        else {"type": "MultiPolygon", "coordinates": parts}
    )
    if t is not None or z is not None:
        geometry["plane"] = {"c": -1, "z": z or 0, "t": t or 0}
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(_NAMESPACE, f"{name}/{t}/{z}/{label}")),
        "geometry": geometry,
        "properties": {
            "objectType": "detection",
            "name": str(label),
            "label": label,
            **({"image": name} if name else {}),
            "measurements": dict(values),
        },
    }


def _closed(ring: Ring) -> Sequence[Sequence[int]]:
    return [*ring.tolist(), ring[0].tolist()]


__all__ = ["check_geojson_name", "check_rois_name", "write_geojson", "write_rois"]
