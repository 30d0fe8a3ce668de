"""A table of objects: how large, where, of which shape, how bright."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image, Index
from napari_unetseg.core.measure.options import MeasureOptions
from napari_unetseg.core.measure.shape import (
    covariances,
    directions,
    ellipses,
    skeletons,
    volume_hulls,
)
from napari_unetseg.core.measure.units import unit_suffix
from napari_unetseg.core.progress import Progress, part, silent, track

Table = dict[str, NDArray[Any]]
Images = Image | Mapping[str, Image] | None

_ROWS = 256
_FAR = np.iinfo(np.int64).max


def measure(
    labels: Image,
    image: Images = None,
    options: MeasureOptions | None = None,
    *,
    progress: Progress = silent,
) -> Table:
    """Measure every object.

    Parameters
    ----------
    labels
        Objects: whole numbers, 0 for background, axes YX or ZYX, perhaps with T. A mask of
        booleans is one object. One id is one object at a time, connected or not.
    image
        What to take intensities from: the axes of `labels`, perhaps with C besides; or several
        such images by name. RGB counts as its luminance. Pixels that are no number are left out.
    options
        What is measured; see `MeasureOptions`.
    progress
        Told after every few rows.

    Returns
    -------
    dict of str to ndarray
        Columns of one length, a row for each object, in order of time, plane and id. Those that
        have a unit end in it: ``um`` below stands for `unit_suffix`, ``px`` without calibration.

        ``t``, ``z``
            Index of the time, where there is a T axis; of the plane, where each is measured by
            itself.
        ``label``
            The id.
        ``pixels``
            How many pixels or voxels.
        ``area_um2`` or ``volume_um3``
            `pixels` times the size of one.
        ``equivalent_diameter_um``
            Of the disc or ball of that area or volume.
        ``axis_major_um``, ``axis_minor_um``, of volumes ``axis_middle_um``
            Of the ellipse of the same second moments.
        ``eccentricity``, ``orientation_deg``
            Of planes: see `napari_unetseg.core.measure.shape.ellipses`.
        ``extent``
            Share of the bounding box that is filled.
        ``perimeter_um``, ``circularity``; ``surface_um2``, ``sphericity``
            With `outline`. Circularity is 4π area / perimeter², 1 of a disc; sphericity the
            surface of the ball of that volume over the object's. Objects of a few pixels can
            exceed 1.
        ``solidity``, ``feret_max_um``, ``feret_min_um``
            With `hull`; of volumes without the last.
        ``skeleton_length_um``, ``branches``, ``end_points``, ``branch_points``
            With `skeleton`. Centre lines end about half a width before the object does.
        ``centroid_z_um``, ``centroid_y_um``, ``centroid_x_um``
            Mean position of the pixels' centres; the first pixel's centre is 0.
        ``first_z`` ... ``last_x``
            Bounding box: first and last index along each axis, both inside.
        ``touches_border``
            Whether the image cuts the object off, or may: it has pixels in the first or last row,
            column or, of volumes, plane.
        ``mean``, ``sd``, ``min``, ``max``, ``sum``, with `median` ``median``
            Intensity, when `image` is given; ``mean_NAME`` and so on for each of several channels
            or images, by name or number. `sd` is that of the pixels themselves (divided by n).

    Raises
    ------
    InputError
        When `labels` are not whole numbers, have channels, or do not fit `image`.

    Notes
    -----
    Reads a plane at a time; memory is that of a plane and a few numbers for each object. `hull` and
    `skeleton` of volumes and `median` hold one time point. About 0.5 s for 9,000 objects in
    4096×4096 pixels with one channel.
    """
    chosen = options or MeasureOptions()
    _check(labels)
    if labels.dtype == bool:
        labels = labels.with_data(labels.data.astype(np.uint8))
    channels = _channels_of(labels, image)
    frames = _frames_of(labels, chosen)
    found = []
    for number, frame in enumerate(frames):
        share = part(progress, number / len(frames), (number + 1) / len(frames))
        found.append(_Measured(labels, channels, frame, chosen, share))
    progress(1.0, "measured")
    lengths = dict(zip(labels.axes, labels.shape, strict=True))
    return _columns(labels, channels, chosen, found, lengths)


def measure_part(
    labels: Image,
    image: Images = None,
    options: MeasureOptions | None = None,
    *,
    start: Mapping[str, int],
    whole: Mapping[str, int],
) -> Table:
    """Measure objects in a part of a larger image, each of which lies in it as a whole.

    Parameters
    ----------
    labels, image, options
        As for `measure`, of the part.
    start
        Index of the part's first pixel along each axis of the larger image.
    whole
        Length of each axis of the larger image.

    Returns
    -------
    dict of str to ndarray
        What `measure` gives of these objects in the larger image.
    """
    chosen = options or MeasureOptions()
    _check(labels)
    channels = _channels_of(labels, image)
    first = np.array([start.get(axis, 0) for axis in "ZYX"])
    found = []
    for frame in _frames_of(labels, chosen):
        one = _Measured(labels, channels, frame, chosen, silent)
        for places in (one.origin, one.low, one.high):
            places += first
        found.append(one)
    table = _columns(labels, channels, chosen, found, whole)
    for axis in "TZ":
        if axis.lower() in table:
            table[axis.lower()] = table[axis.lower()] + start.get(axis, 0)
    return table


@dataclass(frozen=True)
class _Frame:
    """What is measured by itself: a time point, or a plane of it.

    Parameters
    ----------
    position
        Index along T and, of a plane, along Z.
    planes
        Position of each of its planes among all, and along Z.
    axes, spacing
        Of the objects in it.
    """

    position: dict[str, int]
    planes: tuple[tuple[Index, int], ...]
    axes: str
    spacing: tuple[float, ...]

    @property
    def flat(self) -> bool:
        """Whether its objects are areas."""
        return len(self.axes) == 2

    def block(self, image: Image) -> NDArray[Any]:
        """Return all of it in memory, (Y, X) or (Z, Y, X)."""
        index = tuple(self.position[axis] for axis in image.axes if axis not in self.axes)
        return image.block(index, self.axes)


class _Measured:
    """What is known of the objects of one frame."""

    def __init__(
        self,
        labels: Image,
        channels: dict[str, Image],
        frame: _Frame,
        options: MeasureOptions,
        progress: Progress,
    ) -> None:
        self.frame = frame
        self.ids = _ids(labels, frame, part(progress, 0, 0.15))
        n = len(self.ids)
        self.origin = np.zeros((n, 3), dtype=np.int64)
        self.sums = np.zeros((n, 10))
        self.low = np.full((n, 3), _FAR)
        self.high = np.full((n, 3), -1)
        self.values = np.zeros((len(channels), n, 4))
        self.least = np.full((len(channels), n), np.inf)
        self.most = np.full((len(channels), n), -np.inf)
        self.steps, self.worth = directions(frame.spacing)
        self.crossings = np.zeros((n, len(self.steps)))
        self.extra: dict[str, NDArray[Any]] = {}
        slow = options.skeleton or (options.hull and not frame.flat)
        end = 0.3 if slow else 0.8 if options.median or options.hull else 1.0
        self._pass(labels, channels, options, part(progress, 0.15, end))
        # Where labels are drawn on meanwhile, an object may be gone that was there a moment ago.
        self.low[self.sums[:, 0] == 0] = 0
        if options.median and channels:
            self._medians(labels, channels)
        if options.hull:
            self._hulls(labels, part(progress, end, 0.6 if options.skeleton else 1.0))
        if options.skeleton:
            self._skeletons(labels, options.spurs, part(progress, 0.6, 1.0))

    @property
    def pixels(self) -> NDArray[np.int64]:
        return self.sums[:, 0].astype(np.int64)

    @property
    def size(self) -> NDArray[np.float64]:
        return self.sums[:, 0] * math.prod(self.frame.spacing)

    def _pass(
        self,
        labels: Image,
        channels: dict[str, Image],
        options: MeasureOptions,
        progress: Progress,
    ) -> None:
        from napari_unetseg.core.measure.kernels import add_crossings, add_positions, add_values

        window = _Window(labels, self.frame)
        planes = list(enumerate(self.frame.planes))
        height = labels.length("Y")
        chunks = [(p, y) for p in planes for y in range(0, height, _ROWS)]
        for (number, (index, z)), y in track(chunks, progress, "measuring"):
            slab = window.slab(number, y, y + _ROWS, around=options.outline)
            rows = slab[slab.shape[0] // 2, 1:-1]
            add_positions(rows, z, y, self.ids, self.origin, self.sums, self.low, self.high)
            if options.outline:
                add_crossings(slab, self.ids, self.steps, self.crossings)
            for k, channel in enumerate(channels.values()):
                values = window.rows(channel, labels.axes, index, y, y + _ROWS)
                add_values(rows, values, self.ids, self.values[k], self.least[k], self.most[k])

    def _medians(self, labels: Image, channels: dict[str, Image]) -> None:
        from napari_unetseg.core.measure.kernels import medians

        ids = _as_int64(self.frame.block(labels)).reshape(-1)
        for name, channel in channels.items():
            values = np.ascontiguousarray(self.frame.block(channel), dtype=np.float64)
            found = medians(ids, values.reshape(-1), self.ids, self.pixels)
            self.extra[_named("median", name)] = found

    def _hulls(self, labels: Image, progress: Progress) -> None:
        names = ("hull", "feret_max", "feret_min")
        if self.frame.flat:
            facts = self._flat_hulls(self.frame.block(labels), progress)
        else:
            volume = self.frame.block(labels)
            facts = volume_hulls(
                volume, self.ids, self.low, self.high, self.frame.spacing, progress
            )
        self.extra |= dict(zip(names, facts.T, strict=False))

    def _flat_hulls(self, plane: NDArray[Any], progress: Progress) -> NDArray[np.float64]:
        from napari_unetseg.core.measure.kernels import add_profiles, hull_facts

        offset = np.zeros(len(self.ids) + 1, dtype=np.int64)
        offset[1:] = np.cumsum(np.maximum(self.high[:, 1] - self.low[:, 1] + 1, 0))
        left, right = np.full(offset[-1], _FAR), np.full(offset[-1], -1)
        for y in track(range(0, len(plane), _ROWS), progress, "hulls"):
            rows = _as_int64(plane[y : y + _ROWS])
            top = np.ascontiguousarray(self.low[:, 1])
            add_profiles(rows, y, self.ids, top, offset, left, right)
        return hull_facts(left, right, offset, *self.frame.spacing)

    def _skeletons(self, labels: Image, spurs: float, progress: Progress) -> None:
        block = self.frame.block(labels)
        facts = skeletons(block, self.ids, self.low, self.high, self.frame.spacing, spurs, progress)
        self.extra["skeleton_length"] = facts[:, 0]
        for column, name in enumerate(("branches", "end_points", "branch_points"), start=1):
            self.extra[name] = facts[:, column].astype(np.int64)


class _Window:
    """Rows of ids as the kernels want them, with what is around them; keeps the planes in use."""

    def __init__(self, labels: Image, frame: _Frame) -> None:
        self._labels, self._frame = labels, frame
        self._planes: dict[int, NDArray[Any]] = {}
        self._values: tuple[tuple[Image, Index] | None, NDArray[Any]] = (None, np.empty(0))

    def slab(self, number: int, start: int, stop: int, *, around: bool) -> NDArray[np.int64]:
        """Return rows of plane `number` of the frame with a row before and after.

        Parameters
        ----------
        around
            Whether the planes before and after are wanted too, where there can be any.
        """
        stop = min(stop, self._labels.length("Y"))
        deep = around and not self._frame.flat
        wanted = range(number - 1, number + 2) if deep else (number,)
        self._planes = {k: p for k, p in self._planes.items() if k in wanted}
        out = np.zeros((len(wanted), stop - start + 2, self._labels.length("X")), dtype=np.int64)
        for at, k in enumerate(wanted):
            if 0 <= k < len(self._frame.planes):
                plane = self._plane(k)
                first, last = max(start - 1, 0), min(stop + 1, len(plane))
                out[at, first - start + 1 : last - start + 1] = plane[first:last]
        return out

    def rows(
        self, channel: Image, axes: str, index: Index, start: int, stop: int
    ) -> NDArray[np.float64]:
        """Return rows of intensities at a position of the labels, whose axes are `axes`."""
        at = dict(zip((a for a in axes if a not in "YX"), index, strict=True))
        own = tuple(at[a] for a in channel.axes if a not in "YX")
        if not channel.lazy:
            plane = channel.data[channel.block_slices(own)]
        else:
            plane = self._lazy_plane(channel, own)
        return np.ascontiguousarray(plane[start:stop], dtype=np.float64)

    def _plane(self, number: int) -> NDArray[Any]:
        if number not in self._planes:
            self._planes[number] = self._labels.block(self._frame.planes[number][0])
        return self._planes[number]

    def _lazy_plane(self, channel: Image, index: Index) -> NDArray[Any]:
        """Return a plane, read once however many parts are asked for, of one channel at a time."""
        key = (channel, index)
        if self._values[0] is None or self._values[0][0] is not channel or self._values[0] != key:
            self._values = (key, channel.block(index))
        return self._values[1]


def _check(labels: Image) -> None:
    if labels.dtype.kind not in "iub":
        raise InputError(
            f"Objects are whole numbers, 0 for background, not {labels.dtype}. "
            "Measure a layer of labels."
        )
    if "C" in labels.axes:
        raise InputError("Labels have no channels. Choose one of them, or leave the axis out.")


def _channels_of(labels: Image, images: Images) -> dict[str, Image]:
    """Return every channel there is, by the ending of its columns."""
    if images is None:
        return {}
    if isinstance(images, Image):
        return _of_one(labels, images, "", single=True)
    found: dict[str, Image] = {}
    for name, image in images.items():
        found |= _of_one(labels, image, name, single=len(images) == 1)
    return found


def _of_one(labels: Image, image: Image, name: str, *, single: bool) -> dict[str, Image]:
    grey = image.grey()
    axes = grey.axes.replace("C", "")
    shape = tuple(grey.length(axis) for axis in labels.axes)
    if sorted(axes) != sorted(labels.axes) or shape != labels.shape:
        what = f"the image {name!r}" if name else "the image"
        raise InputError(
            f"The labels ({labels.axes}, {labels.shape}) do not fit {what} "
            f"({image.axes}, {image.shape}). Give labels of this image."
        )
    n = grey.n_channels
    if n == 1:
        return {"" if single else name: grey.channel(0)}
    named = len(grey.channel_names) == n and len(set(grey.channel_names)) == n
    names = grey.channel_names if named else tuple(map(str, range(n)))
    lead = "" if single or not name else f"{name}_"
    return {f"{lead}{own}": grey.channel(k) for k, own in enumerate(names)}


def _frames_of(labels: Image, options: MeasureOptions) -> list[_Frame]:
    loops = [axis for axis in labels.axes if axis not in "YX"]
    apart = "TZ" if options.per == "plane" else "T"
    keys = [axis for axis in "TZ" if axis in loops and axis in apart]
    planes: dict[Index, list[tuple[Index, int]]] = {}
    for index in labels.indices():
        at = dict(zip(loops, index, strict=True))
        planes.setdefault(tuple(at[k] for k in keys), []).append((index, at.get("Z", 0)))
    flat = "Z" not in loops or "Z" in keys
    axes, spacing = ("YX", labels.spacing[-2:]) if flat else ("ZYX", labels.spacing)
    return [
        _Frame(dict(zip(keys, key, strict=True)), tuple(planes[key]), axes, spacing)
        for key in sorted(planes)
    ]


def _ids(labels: Image, frame: _Frame, progress: Progress) -> NDArray[np.int64]:
    """List the ids of a frame, in order, without the background."""
    from napari_unetseg.core.scoring.label_kernels import count_pairs

    found = [np.zeros(1, dtype=np.int64)]
    for index, _ in track(frame.planes, progress, "reading"):
        plane = labels.block(index)
        for y in range(0, len(plane), _ROWS):
            rows = _as_int64(plane[y : y + _ROWS]).reshape(-1)
            found.append(count_pairs(rows, rows)[:, 0])
        found = [np.unique(np.concatenate(found))]
    return found[0][found[0] != 0]


def _as_int64(labels: NDArray[Any]) -> NDArray[np.int64]:
    return np.ascontiguousarray(labels, dtype=np.int64)


def _named(name: str, channel: str) -> str:
    return f"{name}_{channel}" if channel else name


def _columns(
    labels: Image,
    channels: dict[str, Image],
    options: MeasureOptions,
    found: list[_Measured],
    whole: Mapping[str, int],
) -> Table:
    unit = unit_suffix(labels)
    frames = [one.frame for one in found]
    flat = frames[0].flat

    def joined(column: Callable[[_Measured], Any]) -> NDArray[Any]:
        return np.concatenate([column(one) for one in found])

    table: Table = {}
    for axis in frames[0].position:
        positions = [one.frame.position[axis] for one in found]
        table[axis.lower()] = np.repeat(positions, [len(one.ids) for one in found])
    table["label"] = joined(lambda one: one.ids)
    pixels = table["pixels"] = joined(lambda one: one.pixels)
    size = joined(lambda one: one.size)
    table[f"area_{unit}2" if flat else f"volume_{unit}3"] = size
    table[f"equivalent_diameter_{unit}"] = (
        np.sqrt(4 * size / np.pi) if flat else np.cbrt(6 * size / np.pi)
    )
    table |= _ellipse_columns(joined, frames[0], unit)
    low, high = joined(lambda one: one.low), joined(lambda one: one.high)
    table["extent"] = pixels / np.maximum(np.prod(high - low + 1, axis=1), 1)
    if options.outline:
        table |= _outline_columns(
            joined(lambda one: (one.crossings * one.worth).sum(1)), size, flat, unit
        )
    extra = {name: np.concatenate([one.extra[name] for one in found]) for name in found[0].extra}
    table |= _hull_columns(extra, pixels, unit)
    if "skeleton_length" in extra:
        table[f"skeleton_length_{unit}"] = extra["skeleton_length"]
        table |= {name: extra[name] for name in ("branches", "end_points", "branch_points")}
    axes = frames[0].axes
    centres = joined(lambda one: one.origin + one.sums[:, 1:4] / np.maximum(one.sums[:, :1], 1))
    for name, at, step in _by_axis(axes, frames[0].spacing):
        table[f"centroid_{name}_{unit}"] = centres[:, at] * step
    for name, at, _ in _by_axis(axes, frames[0].spacing):
        table[f"first_{name}"], table[f"last_{name}"] = low[:, at], high[:, at]
    ends = [(at, whole[name.upper()] - 1) for name, at, _ in _by_axis(axes, axes)]
    touches = [(low[:, at] == 0) | (high[:, at] == end) for at, end in ends]
    table["touches_border"] = np.any(touches, axis=0)
    for k, name in enumerate(channels):
        table |= _value_columns(joined, k, name)
        if _named("median", name) in extra:
            table[_named("median", name)] = extra[_named("median", name)]
    return table


def _by_axis(axes: str, steps: Any) -> Iterator[tuple[str, int, Any]]:
    for axis, step in zip(axes, steps, strict=True):
        yield axis.lower(), "ZYX".index(axis), step


def _ellipse_columns(joined: Any, frame: _Frame, unit: str) -> Table:
    found = ellipses(joined(lambda one: covariances(one.sums, frame.spacing)))
    table: Table = {
        f"axis_{name}_{unit}": found[name] for name in ("major", "middle", "minor") if name in found
    }
    if frame.flat:
        table["eccentricity"] = found["eccentricity"]
        table["orientation_deg"] = found["orientation"]
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
    sums = joined(lambda one: one.values[channel])
    number = np.where(sums[:, 0] > 0, sums[:, 0], np.nan)
    mean = sums[:, 2] / number
    least, most = joined(lambda one: one.least[channel]), joined(lambda one: one.most[channel])
    nothing = sums[:, 0] == 0
    values = {
        "mean": sums[:, 1] + mean,
        "sd": np.sqrt(np.clip(sums[:, 3] / number - mean**2, 0, None)),
        "min": np.where(nothing, np.nan, least),
        "max": np.where(nothing, np.nan, most),
        "sum": (sums[:, 1] + mean) * sums[:, 0],
    }
    return {_named(key, name): column for key, column in values.items()}


__all__ = ["Images", "Table", "measure", "measure_part"]
