"""OME-Zarr pyramids: metadata first, then pixels part by part.

Arrays and metadata exist before any pixel, so that the image can be viewed while it is written, and
parts can be written by several processes: a part of whole chunks is written by one process only.
Nothing larger than such a part is ever in memory.
"""

import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_unetseg.core.progress import Progress, silent, track
from napari_unetseg.core.units import long_name_of

# Version 0.4, which Fiji, QuPath, MoBIE and napari all open. Version 0.5 can be read as well.
VERSION = "0.4"

ORDER = "TCZYX"
"""Order of the axes in a file."""

CHUNK, DEPTH = 512, 16
"""Side of a chunk along rows and columns, and along planes."""

_SMALLEST_LEVEL = 256
_PART = {False: 4, True: 2}
"""Number of chunks along rows and columns held in memory at once; fewer where chunks are deep."""

_TYPES = {"T": "time", "C": "channel"}
_RED_GREEN_BLUE = ("FF0000", "00FF00", "0000FF")

Box = tuple[slice, ...]


@dataclass(frozen=True)
class PyramidLayout:
    """Layout of an image file: shape, chunks, calibration.

    Parameters
    ----------
    shape, axes, dtype
        Those of the full resolution; the axes in the order of `ORDER`.
    spacing, unit, rgb, channel_names, interval, assumed
        As in an `Image`.
    labels
        Whether the pixels are ids: the pyramid is then subsampled instead of averaged.
    chunk
        Side of a chunk along rows and columns.
    depth
        Number of planes in a chunk.
    """

    shape: tuple[int, ...]
    axes: str
    dtype: Any
    spacing: tuple[float, ...]
    unit: str = "pixel"
    labels: bool = False
    rgb: bool = False
    channel_names: tuple[str, ...] = ()
    chunk: int = CHUNK
    depth: int = DEPTH
    interval: float = 0.0
    assumed: str = ""

    @property
    def chunks(self) -> tuple[int, ...]:
        """Sides of a chunk."""
        side = {"Z": self.depth, "Y": self.chunk, "X": self.chunk}
        return tuple(min(side.get(a, 1), n) for a, n in zip(self.axes, self.shape, strict=True))

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shape of every level: rows and columns are halved until both are small."""
        shapes = [self.shape]
        while max(shapes[-1][-2:]) > _SMALLEST_LEVEL:
            halved = [self._halved(n) for n in shapes[-1][-2:]]
            shapes.append((*self.shape[:-2], *halved))
        return shapes

    def _halved(self, length: int) -> int:
        if length == 1:
            return 1
        return -(-length // 2) if self.picks else length // 2

    @property
    def picks(self) -> bool:
        """Whether levels are subsampled, not averaged."""
        return self.labels or np.dtype(self.dtype).kind == "b"


def create(path: Path, layout: PyramidLayout) -> Any:
    """Create an image of zeros that takes no space yet, and return its group.

    Its levels are ``s0``, ``s1`` and so on; existing content of `path` is deleted.
    """
    import zarr

    write_metadata, version = _writer()
    group = zarr.open_group(path, mode="w", zarr_format=version.zarr_format)
    datasets = []
    for level, shape in enumerate(layout.shapes):
        chunks = tuple(min(a, b) for a, b in zip(layout.chunks, shape, strict=True))
        group.create_array(
            f"s{level}",
            shape=shape,
            dtype=np.dtype(layout.dtype),
            chunks=chunks,
            fill_value=0,
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )
        datasets.append({"path": f"s{level}", "coordinateTransformations": _place(layout, level)})
    axes = [_axis(letter, layout) for letter in layout.axes]
    write_metadata(group, datasets=datasets, fmt=version, axes=axes, name=path.stem)
    if layout.labels:
        group.attrs["image-label"] = {"version": VERSION}
    if layout.rgb or layout.channel_names:
        group.attrs["omero"] = _omero(layout)
    return group


def build_levels(group: Any, layout: PyramidLayout, progress: Progress = silent) -> None:
    """Compute every level from the one before; may be interrupted and restarted."""
    jobs = [
        (level, box)
        for level, shape in enumerate(layout.shapes)
        if level
        for box in chunk_boxes(shape, layout.chunks)
    ]
    for level, box in track(jobs, progress, "building the pyramid"):
        halve(group, layout, level, box)


def halve(group: Any, layout: PyramidLayout, level: int, box: Box) -> None:
    """Write a part of one level, computed from the level before."""
    before = layout.shapes[level - 1]
    single = [n == 1 for n in before]
    ndim = len(before)
    wide = tuple(
        slice(span.start * 2, min(span.stop * 2, before[axis]))
        if axis >= ndim - 2 and not single[axis]
        else span
        for axis, span in enumerate(box)
    )
    numbers = np.asarray(group[f"s{level - 1}"][wide])
    for axis in (ndim - 2, ndim - 1):
        if single[axis]:
            continue
        if layout.picks:
            numbers = numbers[(slice(None),) * axis + (slice(None, None, 2),)]
    if not layout.picks:
        numbers = _means(numbers, [axis for axis in (ndim - 2, ndim - 1) if not single[axis]])
    group[f"s{level}"][box] = numbers


def chunk_boxes(shape: Sequence[int], chunks: Sequence[int]) -> Iterator[Box]:
    """Yield boxes that tile an array, each of a few whole chunks."""
    times = _PART[len(chunks) > 2 and chunks[-3] > 1]
    steps = (*chunks[:-2], *(n * times for n in chunks[-2:]))
    axes = [range(0, n, step) for n, step in zip(shape, steps, strict=True)]
    for start in itertools.product(*axes):
        yield tuple(
            slice(at, min(at + step, n)) for at, step, n in zip(start, steps, shape, strict=True)
        )


def _means(numbers: NDArray[Any], axes: Sequence[int]) -> NDArray[Any]:
    """Average pairs of neighbours; an odd last element is dropped."""
    shape: list[int] = []
    trimmed = numbers
    for axis, n in enumerate(numbers.shape):
        if axis in axes:
            trimmed = trimmed[(slice(None),) * axis + (slice(n // 2 * 2),)]
            shape += [n // 2, 2]
        else:
            shape += [n, 1]
    precision: DTypeLike = np.float64 if numbers.dtype.itemsize > 4 else np.float32
    within = tuple(range(1, 2 * numbers.ndim, 2))
    average = np.mean(trimmed.reshape(shape), axis=within, dtype=precision)
    rounded = np.rint(average) if numbers.dtype.kind in "iu" else average
    return np.asarray(rounded.astype(numbers.dtype))


def _place(layout: PyramidLayout, level: int) -> list[dict[str, Any]]:
    """Return the pixel distance of a level and the centre of its first pixel."""
    steps = dict(zip((axis for axis in layout.axes if axis in "ZYX"), layout.spacing, strict=True))
    steps["T"] = layout.interval or 1.0
    scale, shift = [], []
    for axis, n in zip(layout.axes, layout.shape, strict=True):
        factor = 2**level if axis in "YX" and n > 1 else 1
        step = steps.get(axis, 1.0)
        scale.append(step * factor)
        shift.append(0.0 if layout.picks else step * (factor - 1) / 2)
    moved = [{"type": "translation", "translation": shift}] if any(shift) else []
    return [{"type": "scale", "scale": scale}, *moved]


def _writer() -> tuple[Any, Any]:
    """Import the library, silencing a deprecation warning that it causes itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from ome_zarr.format import FormatV04
        from ome_zarr.writer import write_multiscales_metadata
    return write_multiscales_metadata, FormatV04()


def _axis(letter: str, layout: PyramidLayout) -> dict[str, str]:
    described = {"name": letter.lower(), "type": _TYPES.get(letter, "space")}
    if letter == "T" and layout.interval:
        described["unit"] = "second"
    if letter in "ZYX" and letter not in layout.assumed and layout.unit != "pixel":
        # Any text is allowed, though only the long names are understood everywhere.
        described["unit"] = long_name_of(layout.unit) or layout.unit
    return described


def _omero(layout: PyramidLayout) -> dict[str, Any]:
    colours = _RED_GREEN_BLUE if layout.rgb else ("FFFFFF",)
    dtype = np.dtype(layout.dtype)
    high = 1.0 if dtype.kind in "fb" else float(np.iinfo(dtype).max)
    window = {"min": 0.0, "max": high, "start": 0.0, "end": high}
    return {
        "channels": [
            {"label": name, "color": colours[index % len(colours)], "window": window}
            for index, name in enumerate(layout.channel_names)
        ],
        "rdefs": {"model": "color"},
    }


__all__ = [
    "CHUNK",
    "DEPTH",
    "ORDER",
    "VERSION",
    "PyramidLayout",
    "build_levels",
    "chunk_boxes",
    "create",
    "halve",
]
