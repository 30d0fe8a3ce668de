"""Columns of the measurement table, in physical units, from the raw sums of the objects.

A new column is built here, gets its sentence in `column_meanings`, and its sums, if it needs new
ones, in `measure_passes`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.image import Image
from napari_unetseg.core.measure.column_units import unit_suffix
from napari_unetseg.core.measure.measure_options import MeasureOptions
from napari_unetseg.core.measure.measure_passes import Measured, with_channel
from napari_unetseg.core.measure.measured_frames import MeasuredFrame
from napari_unetseg.core.measure.object_shape import covariances, ellipses

Table = dict[str, NDArray[Any]]


def build_columns(
    labels: Image,
    channels: dict[str, Image],
    options: MeasureOptions,
    measured: list[Measured],
    whole: Mapping[str, int],
) -> Table:
    """Compute the table of `measure`; `whole` is the length of each axis of the image."""
    unit = unit_suffix(labels)
    frames = [objects.frame for objects in measured]
    flat = frames[0].flat

    def joined(column: Callable[[Measured], Any]) -> NDArray[Any]:
        return np.concatenate([column(objects) for objects in measured])

    table: Table = {}
    for axis in frames[0].position:
        positions = [objects.frame.position[axis] for objects in measured]
        table[axis.lower()] = np.repeat(positions, [len(objects.ids) for objects in measured])
    if "t" in table and labels.interval:
        table["time_s"] = table["t"] * labels.interval
    table["label"] = joined(lambda objects: objects.ids)
    pixels = table["pixels"] = joined(lambda objects: objects.pixels)
    size = joined(lambda objects: objects.size)
    table[f"area_{unit}2" if flat else f"volume_{unit}3"] = size
    table[f"equivalent_diameter_{unit}"] = (
        np.sqrt(4 * size / np.pi) if flat else np.cbrt(6 * size / np.pi)
    )
    table |= _ellipse_columns(joined, frames[0], unit)
    low, high = joined(lambda objects: objects.low), joined(lambda objects: objects.high)
    table["extent"] = pixels / np.maximum(np.prod(high - low + 1, axis=1), 1)
    if options.outline:
        table |= _outline_columns(
            joined(lambda objects: (objects.crossings * objects.worth).sum(1)), size, flat, unit
        )
    extra = {
        name: np.concatenate([objects.extra[name] for objects in measured])
        for name in measured[0].extra
    }
    table |= _hull_columns(extra, pixels, unit)
    if "skeleton_length" in extra:
        table[f"skeleton_length_{unit}"] = extra["skeleton_length"]
        table |= {name: extra[name] for name in ("branches", "end_points", "branch_points")}
    axes = frames[0].axes
    centres = joined(
        lambda objects: objects.origin + objects.sums[:, 1:4] / np.maximum(objects.sums[:, :1], 1)
    )
    for name, at, step in _by_axis(axes, frames[0].spacing):
        table[f"centroid_{name}_{unit}"] = centres[:, at] * step
    for name, at, _ in _by_axis(axes, frames[0].spacing):
        table[f"first_{name}"], table[f"last_{name}"] = low[:, at], high[:, at]
    ends = [(at, whole[name.upper()] - 1) for name, at, _ in _by_axis(axes, axes)]
    touches = [(low[:, at] == 0) | (high[:, at] == end) for at, end in ends]
    table["touches_border"] = np.any(touches, axis=0)
    for k, name in enumerate(channels):
        table |= _value_columns(joined, k, name)
        if with_channel("median", name) in extra:
            table[with_channel("median", name)] = extra[with_channel("median", name)]
    return table


def _by_axis(axes: str, steps: Any) -> Iterator[tuple[str, int, Any]]:
    for axis, step in zip(axes, steps, strict=True):
        yield axis.lower(), "ZYX".index(axis), step


def _ellipse_columns(joined: Any, frame: MeasuredFrame, unit: str) -> Table:
    axes = ellipses(joined(lambda objects: covariances(objects.sums, frame.spacing)))
    table: Table = {
        f"axis_{name}_{unit}": axes[name] for name in ("major", "middle", "minor") if name in axes
    }
    if frame.flat:
        table["eccentricity"] = axes["eccentricity"]
        table["orientation_deg"] = axes["orientation"]
    return table


def _outline_columns(
    outline: NDArray[np.float64], size: NDArray[np.float64], flat: bool, unit: str
) -> Table:
    safe = np.where(outline > 0, outline, np.inf)
    if flat:
        return {f"perimeter_{unit}": outline, "circularity": 4 * np.pi * size / safe**2}
    ball = np.cbrt(np.pi) * np.cbrt(6 * size) ** 2
    return {f"surface_{unit}2": outline, "sphericity": ball / safe}


def _hull_columns(extra: Table, pixels: NDArray[Any], unit: str) -> Table:
    if "hull" not in extra:
        return {}
    table: Table = {"solidity": pixels / np.maximum(extra["hull"], 1)}
    for name in ("feret_max", "feret_min"):
        if name in extra:
            table[f"{name}_{unit}"] = extra[name]
    return table


def _value_columns(joined: Any, channel: int, name: str) -> Table:
    sums = joined(lambda objects: objects.values[channel])
    number = np.where(sums[:, 0] > 0, sums[:, 0], np.nan)
    mean = sums[:, 2] / number
    least, most = (
        joined(lambda objects: objects.least[channel]),
        joined(lambda objects: objects.most[channel]),
    )
    nothing = sums[:, 0] == 0
    values = {
        "mean": sums[:, 1] + mean,
        "sd": np.sqrt(np.clip(sums[:, 3] / number - mean**2, 0, None)),
        "min": np.where(nothing, np.nan, least),
        "max": np.where(nothing, np.nan, most),
        "sum": (sums[:, 1] + mean) * sums[:, 0],
    }
    return {with_channel(key, name): column for key, column in values.items()}
