"""Measurement passes over the objects of one frame, a few rows at a time."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.compute.label_runs import (
    add_crossings,
    add_positions,
    add_values,
    ids_of_rows,
    label_runs,
)
from napari_unetseg.core.image import Image, Index
from napari_unetseg.core.measure.measure_options import MeasureOptions
from napari_unetseg.core.measure.measured_frames import MeasuredFrame
from napari_unetseg.core.measure.object_shape import directions, skeletons, volume_hulls
from napari_unetseg.core.progress import Progress, part, track

_ROWS = 256
_FAR = np.iinfo(np.int64).max


class Measured:
    """Raw measurements of the objects of one frame."""

    def __init__(
        self,
        labels: Image,
        channels: dict[str, Image],
        frame: MeasuredFrame,
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
        # If labels are edited meanwhile, an object may have disappeared since the ids were listed.
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
        window = _Window(labels, self.frame)
        planes = list(enumerate(self.frame.planes))
        height = labels.length("Y")
        chunks = [(p, y) for p in planes for y in range(0, height, _ROWS)]
        for (number, (index, z)), y in track(chunks, progress, "measuring"):
            slab = window.slab(number, y, y + _ROWS, around=options.outline)
            rows = slab[slab.shape[0] // 2, 1:-1]
            runs = label_runs(rows, self.ids)
            add_positions(runs, z, y, self.origin, self.sums, self.low, self.high)
            if options.outline:
                add_crossings(slab, self.ids, self.steps, self.crossings)
            for k, channel in enumerate(channels.values()):
                values = window.rows(channel, labels.axes, index, y, y + _ROWS)
                add_values(runs, rows, values, self.values[k], self.least[k], self.most[k])

    def _medians(self, labels: Image, channels: dict[str, Image]) -> None:
        from napari_unetseg.core.measure.measure_kernels import medians

        ids = _as_int64(self.frame.block(labels)).reshape(-1)
        for name, channel in channels.items():
            values = np.ascontiguousarray(self.frame.block(channel), dtype=np.float64)
            found = medians(ids, values.reshape(-1), self.ids, self.pixels)
            self.extra[with_channel("median", name)] = found

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
        from napari_unetseg.core.measure.measure_kernels import hull_facts

        offset = np.zeros(len(self.ids) + 1, dtype=np.int64)
        offset[1:] = np.cumsum(np.maximum(self.high[:, 1] - self.low[:, 1] + 1, 0))
        left, right = np.full(offset[-1], _FAR), np.full(offset[-1], -1)
        for y in track(range(0, len(plane), _ROWS), progress, "hulls"):
            runs = label_runs(plane[y : y + _ROWS], self.ids)
            known = runs.at >= 0
            at, start = runs.at[known], runs.start[known]
            row = offset[at] + runs.row[known] + y - self.low[at, 1]
            np.minimum.at(left, row, start)
            np.maximum.at(right, row, start + runs.length[known] - 1)
        return hull_facts(left, right, offset, *self.frame.spacing)

    def _skeletons(self, labels: Image, spurs: float, progress: Progress) -> None:
        block = self.frame.block(labels)
        facts = skeletons(block, self.ids, self.low, self.high, self.frame.spacing, spurs, progress)
        self.extra["skeleton_length"] = facts[:, 0]
        for column, name in enumerate(("branches", "end_points", "branch_points"), start=1):
            self.extra[name] = facts[:, column].astype(np.int64)


class _Window:
    """Rows of ids for the kernels, with neighbouring rows and planes; caches planes in use."""

    def __init__(self, labels: Image, frame: MeasuredFrame) -> None:
        self._labels, self._frame = labels, frame
        self._planes: dict[int, NDArray[Any]] = {}
        self._values: tuple[tuple[Image, Index] | None, NDArray[Any]] = (None, np.empty(0))

    def slab(self, number: int, start: int, stop: int, *, around: bool) -> NDArray[np.int64]:
        """Return rows of plane `number` of the frame, with a row before and after.

        Parameters
        ----------
        around
            Whether to include the planes before and after, where they exist.
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
        """Read rows of intensities at a position in the labels, whose axes are `axes`."""
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
        """Return a plane, cached for repeated requests, of one channel at a time."""
        key = (channel, index)
        if self._values[0] is None or self._values[0][0] is not channel or self._values[0] != key:
            self._values = (key, channel.block(index))
        return self._values[1]


def _ids(labels: Image, frame: MeasuredFrame, progress: Progress) -> NDArray[np.int64]:
    """List the ids of a frame, ascending, without the background."""
    ids = [np.zeros(1, dtype=np.int64)]
    for index, _ in track(frame.planes, progress, "reading"):
        plane = labels.block(index)
        strips = range(0, len(plane), _ROWS)
        ids += [ids_of_rows(_as_int64(plane[y : y + _ROWS])) for y in strips]
        ids = [np.unique(np.concatenate(ids))]
    return ids[0][ids[0] != 0]


def _as_int64(labels: NDArray[Any]) -> NDArray[np.int64]:
    return np.ascontiguousarray(labels, dtype=np.int64)


def with_channel(name: str, channel: str) -> str:
    """Return the column name for one channel's intensities."""
    return f"{name}_{channel}" if channel else name
