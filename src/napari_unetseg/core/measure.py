"""A table of objects: how large, where, how bright."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io.units import symbol_of
from napari_unetseg.core.progress import Progress, silent, track

Table = dict[str, NDArray[Any]]


def measure(labels: Image, image: Image | None = None, *, progress: Progress = silent) -> Table:
    """Measure every object.

    Parameters
    ----------
    labels
        Objects: whole numbers, 0 for background, axes YX or ZYX, perhaps with T. A mask of
        booleans is one object. One id is one object within a frame, connected or not.
    image
        What to take intensities from: the axes of `labels`, perhaps with C besides. RGB counts as
        its luminance.
    progress
        Told after every plane.

    Returns
    -------
    dict of str to ndarray
        Columns of one length, a row for each object, in order of frame and id:

        ``frame``
            Position along T, when there is a T axis.
        ``label``
            The id.
        ``pixels``
            How many pixels or voxels.
        ``area`` or ``volume``
            In `unit` squared or cubed: `pixels` times the size of one.
        ``equivalent_diameter``
            Of the disc or ball of that area or volume, in `unit`.
        ``centroid_z``, ``centroid_y``, ``centroid_x``
            Mean position of the pixels' centres, in `unit`; the first pixel's centre is 0.
        ``first_z`` ... ``last_x``
            Bounding box: first and last index along each axis, both inside.
        ``mean``, ``min``, ``max``
            Intensity, when `image` is given; ``mean_NAME`` and so on for each of several channels,
            by name or number.
        ``unit``
            The unit of all lengths: ``pixel`` when the image is not calibrated.

    Raises
    ------
    InputError
        When `labels` are not whole numbers, have channels, or do not fit `image`.

    Notes
    -----
    Reads a plane at a time; memory is that of a plane and a few numbers for each object.
    """
    _check(labels)
    if labels.dtype == bool:
        labels = labels.with_data(labels.data.astype(np.uint8))
    planes = _planes_of(labels, image)
    frames = [_Sums(_ids(labels, frame), planes) for frame in range(labels.length("T"))]
    for index in track(labels.indices(), progress, "measuring"):
        at = dict(zip((a for a in labels.axes if a not in "YX"), index, strict=True))
        frames[at.get("T", 0)].add(labels.block(index), at)
    return _columns(labels, image, frames)


@dataclass
class _Planes:
    """Where the intensities of each plane of labels are."""

    channels: list[Image] = field(default_factory=list)

    def at(self, position: dict[str, int]) -> list[NDArray[Any]]:
        return [
            channel.block(tuple(position[a] for a in channel.axes if a not in "YX"))
            for channel in self.channels
        ]


class _Sums:
    """Running sums over the pixels of each object of one frame."""

    def __init__(self, ids: NDArray[Any], planes: _Planes) -> None:
        n, n_channels = len(ids), len(planes.channels)
        self.ids = ids
        self.planes = planes
        self.pixels = np.zeros(n, dtype=np.int64)
        self.position = np.zeros((3, n))
        self.first = np.full((3, n), np.iinfo(np.int64).max)
        self.last = np.full((3, n), -1)
        self.total = np.zeros((n_channels, n))
        self.low = np.full((n_channels, n), np.inf)
        self.high = np.full((n_channels, n), -np.inf)

    def add(self, plane: NDArray[Any], at: dict[str, int]) -> None:
        rows, columns = np.nonzero(plane)
        if not len(rows):
            return
        which = self._rows_of(plane[rows, columns])
        self.pixels += np.bincount(which, minlength=len(self.ids))
        depth = np.full(len(rows), at.get("Z", 0))
        for axis, positions in enumerate((depth, rows, columns)):
            self.position[axis] += np.bincount(which, positions, len(self.ids))
            np.minimum.at(self.first[axis], which, positions)
            np.maximum.at(self.last[axis], which, positions)
        for channel, intensities in enumerate(self.planes.at(at)):
            values = intensities[rows, columns].astype(np.float64)
            self.total[channel] += np.bincount(which, values, len(self.ids))
            np.minimum.at(self.low[channel], which, values)
            np.maximum.at(self.high[channel], which, values)

    def _rows_of(self, ids: NDArray[Any]) -> NDArray[np.intp]:
        if self.ids[-1] == len(self.ids):  # 1, 2, 3 ... without gaps: no search needed
            return ids.astype(np.intp) - 1
        return np.searchsorted(self.ids, ids)


def _check(labels: Image) -> None:
    if labels.dtype.kind not in "iub":
        raise InputError(
            f"Objects are whole numbers, 0 for background, not {labels.dtype}. "
            "Measure a layer of labels."
        )
    if "C" in labels.axes:
        raise InputError("Labels have no channels. Choose one of them, or leave the axis out.")


def _planes_of(labels: Image, image: Image | None) -> _Planes:
    if image is None:
        return _Planes()
    grey = image.grey()
    axes = grey.axes.replace("C", "")
    shape = tuple(grey.length(axis) for axis in labels.axes)
    if sorted(axes) != sorted(labels.axes) or shape != labels.shape:
        raise InputError(
            f"The labels ({labels.axes}, {labels.shape}) do not fit the image "
            f"({image.axes}, {image.shape}). Give labels of this image."
        )
    return _Planes([grey.channel(index) for index in range(grey.n_channels)])


def _ids(labels: Image, frame: int) -> NDArray[Any]:
    """List the ids of a frame, in order, without the background."""
    found: NDArray[Any] = np.zeros(0, dtype=labels.dtype)
    at = [a for a in labels.axes if a not in "YX"]
    for index in labels.indices():
        if "T" not in at or index[at.index("T")] == frame:
            found = np.union1d(found, labels.block(index))
    objects: NDArray[Any] = found[found != 0]
    return objects


def _columns(labels: Image, image: Image | None, frames: list[_Sums]) -> Table:
    table: Table = {}
    if "T" in labels.axes:
        counts = [len(frame.ids) for frame in frames]
        table["frame"] = np.repeat(np.arange(len(frames)), counts)
    table["label"] = np.concatenate([frame.ids for frame in frames])
    pixels = np.concatenate([frame.pixels for frame in frames])
    table["pixels"] = pixels
    flat = len(labels.spacing) == 2
    size = pixels * math.prod(labels.spacing)
    table["area" if flat else "volume"] = size
    disc, ball = np.sqrt(4 * size / np.pi), np.cbrt(6 * size / np.pi)
    table["equivalent_diameter"] = disc if flat else ball
    spatial = [(axis, "ZYX".index(axis), axis.lower()) for axis in labels.spatial_axes]
    position = np.concatenate([frame.position for frame in frames], axis=1) / pixels
    for (_, at, name), step in zip(spatial, labels.spacing, strict=True):
        table[f"centroid_{name}"] = position[at] * step
    for _, at, name in spatial:
        table[f"first_{name}"] = np.concatenate([frame.first[at] for frame in frames])
        table[f"last_{name}"] = np.concatenate([frame.last[at] for frame in frames])
    if image is not None:
        table.update(_intensities(image, frames, pixels))
    table["unit"] = np.full(len(pixels), symbol_of(labels.unit))
    return table


def _intensities(image: Image, frames: list[_Sums], pixels: NDArray[Any]) -> Table:
    table: Table = {}
    n_channels = len(frames[0].total)
    names = image.channel_names if len(image.channel_names) == n_channels else range(n_channels)
    for channel, name in enumerate(names):
        ending = f"_{name}" if n_channels > 1 else ""
        total = np.concatenate([frame.total[channel] for frame in frames])
        table[f"mean{ending}"] = total / pixels
        table[f"min{ending}"] = np.concatenate([frame.low[channel] for frame in frames])
        table[f"max{ending}"] = np.concatenate([frame.high[channel] for frame in frames])
    return table


__all__ = ["Table", "measure"]
