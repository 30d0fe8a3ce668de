"""Link objects from plane to plane, or from time to time, by how much they overlap.

Two neighbouring planes at a time: each object gets at most one partner in the next plane, such
that the intersections over union of all pairs add to the most. What is paired gets one id. An
object that is missing in a plane or two may be found again in the one after.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.options import option
from napari_unetseg.core.progress import Progress, part, silent, track
from napari_unetseg.core.scoring.object_scores import best_pairs
from napari_unetseg.core.scoring.overlap import Overlap, overlap_of_parts

Link = Literal["none", "planes", "time", "both"]
When = dict[str, tuple[Any, ...]]
Box = tuple[int | slice, ...]

_AXES: dict[Link, str] = {"none": "", "planes": "Z", "time": "T", "both": "ZT"}
_SOME: tuple[Link, ...] = ("planes", "time", "both")

LINK_FIELDS = ("link", "link_iou", "link_gap")
"""Names of the fields of options that say how objects are linked."""

_STRIP = 2**24
"""Pixels that are looked at together: what memory is taken for."""


class Linking(Protocol):
    """Options that say how objects are linked."""

    @property
    def link(self) -> Link:
        """Along which axes."""

    @property
    def link_iou(self) -> float:
        """Least intersection over union of a pair."""

    @property
    def link_gap(self) -> int:
        """In how many planes on end an object may be missing."""


def link_option(when: When | None = None) -> Any:
    """Declare the field `link` of an options class; `when` as for `option`."""
    return option(
        "none",
        "Link",
        "Objects found plane by plane that overlap from one plane to the next get one number: "
        "through the planes of a stack, from one time to the next, or both.",
        when=when,
    )


def link_iou_option(when: When | None = None) -> Any:
    """Declare the field `link_iou` of an options class."""
    return option(
        0.05,
        "Least overlap",
        "Intersection over union from which two objects are one. Low, since the round end of an "
        "object is much smaller than its next section; raise it if neighbours are joined.",
        when={"link": _SOME, **(when or {})},
        gt=0.0,
        le=1.0,
        step=0.01,
        slider=True,
    )


def link_gap_option(when: When | None = None) -> Any:
    """Declare the field `link_gap` of an options class."""
    return option(
        0,
        "Gap",
        "In how many planes or times on end an object may be missing and still be the same.",
        when={"link": _SOME, **(when or {})},
        ge=0,
        le=10,
    )


def links_along(axes: str, whole: str = "YX") -> str:
    """Return the axes of an image along which there is something to link; see `link_objects`."""
    return "".join(axis for axis in "ZT" if axis in axes and axis not in whole)


def link_objects(
    labels: Any,
    axes: str,
    n: int,
    how: Linking,
    *,
    whole: str = "YX",
    progress: Progress = silent,
) -> int:
    """Give objects of neighbouring planes or times that overlap one id, in place.

    Parameters
    ----------
    labels
        Ids from 1 to `n`, none of them in two planes or stacks; 0 is background. Anything read and
        written by slices.
    axes
        One letter for each axis of `labels`, as in `Image`. Axes that are not linked part objects;
        without the axis to link along nothing happens.
    n
        How many objects there are.
    how
        `DecodeOptions`, `ThresholdOptions` or the like.
    whole
        The axes along which objects go on already: ``"ZYX"`` for those of stacks.
    progress
        Told after each plane; may cancel, which leaves the ids as they were unless they are just
        being written.

    Returns
    -------
    int
        How many objects are left, numbered from 1 in the order of their first ids.

    Notes
    -----
    Through planes comes first, so that what is linked in time are volumes. Memory is that of two
    strips of a plane. True sections of nuclei and of plant cells, in steps of a tenth to half of
    their height, came together best where the least overlap was 0.05 or less, and at 0.25 a third
    of all objects lost their ends: an object has one partner at most, which keeps neighbours apart
    well enough.
    """
    wanted = [axis for axis in links_along(axes, whole) if axis in _AXES[how.link]]
    for done, axis in enumerate(wanted):
        here = part(progress, done / len(wanted), (done + 1) / len(wanted))
        n = _Linking(labels, axes, axis, n, how).linked(here)
    return n


@dataclass(eq=False)
class _Linking:
    """The state of a linking along one axis."""

    labels: Any
    axes: str
    axis: str
    n: int
    how: Linking
    # By id: the first id of the same object, whether it goes on, whether it came from before.
    first: NDArray[np.int32] = field(init=False)
    goes_on: NDArray[np.bool_] = field(init=False)
    came: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.first = np.arange(self.n + 1, dtype=np.int32)
        self.goes_on, self.came = np.zeros((2, self.n + 1), np.bool_)

    @property
    def block(self) -> str:
        """The axes within which an object has one id already."""
        return "YX" if self.axis == "Z" else "".join(a for a in self.axes if a in "ZYX")

    def linked(self, progress: Progress) -> int:
        """Link all, and return how many objects there are."""
        places = [
            (index, at) for index in np.ndindex(*self._others) for at in range(1, self._length)
        ]
        for index, at in track(places, part(progress, 0, 0.8), "linking objects"):
            self._link(index, at)
        new = np.cumsum(self.first == np.arange(self.n + 1), dtype=np.int32) - 1
        if self.came.any():
            self._write(new[self.first], part(progress, 0.8, 1))
        return int(new[-1])

    def _link(self, index: tuple[int, ...], at: int) -> None:
        """Link the objects of a plane with those of the planes before it, the nearest first."""
        for back in range(1, min(self.how.link_gap + 1, at) + 1):
            parts = zip(self._strips(index, at - back), self._strips(index, at), strict=True)
            overlap = overlap_of_parts((self._read(one), self._read(other)) for one, other in parts)
            self._join(overlap)
            if self.came[overlap.truth_ids].all():
                return

    def _join(self, overlap: Overlap) -> None:
        """Pair the objects of two planes that have no partner in this direction yet."""
        iou = overlap.iou()
        before = overlap.prediction_ids[overlap.prediction]
        now = overlap.truth_ids[overlap.truth]
        can = np.flatnonzero((iou >= self.how.link_iou) & ~self.goes_on[before] & ~self.came[now])
        pairs = can[best_pairs(overlap.prediction[can], overlap.truth[can], iou[can])]
        self.first[now[pairs]] = self.first[before[pairs]]
        self.goes_on[before[pairs]] = True
        self.came[now[pairs]] = True

    def _write(self, new: NDArray[np.int32], progress: Progress) -> None:
        planes = [(index, at) for index in np.ndindex(*self._others) for at in range(self._length)]
        for index, at in track(planes, progress, "numbering objects"):
            for box in self._strips(index, at):
                self.labels[box] = new[self._read(box)]

    def _strips(self, index: tuple[int, ...], at: int) -> Iterator[Box]:
        """Yield the parts of a plane or volume, cut along its first axis."""
        sides = [self.labels.shape[self.axes.index(axis)] for axis in self.block]
        rows = max(1, _STRIP // math.prod(sides[1:]))
        for start in range(0, sides[0], rows):
            others = iter(index)
            place: dict[str, int | slice] = {self.axis: at}
            place[self.block[0]] = slice(start, start + rows)
            place |= dict.fromkeys(self.block[1:], slice(None))
            yield tuple(place[axis] if axis in place else next(others) for axis in self.axes)

    def _read(self, box: Box) -> NDArray[np.int32]:
        return np.asarray(self.labels[box])

    @property
    def _length(self) -> int:
        return int(self.labels.shape[self.axes.index(self.axis)])

    @property
    def _others(self) -> list[int]:
        """Lengths of the axes along which objects have nothing to do with each other."""
        apart = self.block + self.axis
        return [
            n for axis, n in zip(self.axes, self.labels.shape, strict=True) if axis not in apart
        ]


__all__ = [
    "LINK_FIELDS",
    "Link",
    "Linking",
    "When",
    "link_gap_option",
    "link_iou_option",
    "link_objects",
    "link_option",
    "links_along",
]
