"""Linking of objects from plane to plane by their overlap, or over time also by their movement.

By overlap, two neighbouring planes at a time: each object gets at most one partner in the next
plane, such that the sum of the intersections over union of all pairs is largest. Paired objects get
one id. An object missing in a plane or two may be linked to the one after. By movement, see
`napari_unetseg.core.objects.tracking`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.image import Image
from napari_unetseg.core.objects.tracking import Frame, check_tracking, follow, objects_at
from napari_unetseg.core.options import option
from napari_unetseg.core.progress import Progress, part, silent, track
from napari_unetseg.core.scoring.object_scores import best_pairs
from napari_unetseg.core.scoring.overlap import Overlap, overlap_of_parts

Link = Literal["auto", "none", "planes", "time", "both"]
LinkBy = Literal["movement", "overlap"]
When = dict[str, tuple[Any, ...]]
Box = tuple[Any, ...]

_AXES: dict[Link, str] = {"auto": "Z", "none": "", "planes": "Z", "time": "T", "both": "ZT"}
_SOME: tuple[Link, ...] = ("auto", "planes", "time", "both")
_STEPS = {"Z": ("through", "plane"), "T": ("over", "time")}
_ALONG = {"Z": "through planes", "T": "over time"}
_TIME: tuple[Link, ...] = ("time", "both")

LINK_FIELDS = ("link", "link_by", "link_distance", "link_divisions", "link_iou", "link_gap")
"""Names of the option fields for linking."""

_STRIP = 2**24
"""Pixels compared at once, which limits the memory."""


class Linking(Protocol):
    """Options for linking objects."""

    @property
    def link(self) -> Link:
        """Axes along which to link."""

    @property
    def link_by(self) -> LinkBy:
        """How objects are linked over time."""

    @property
    def link_distance(self) -> float:
        """Largest movement from one time to the next, in pixels; 0 to find it."""

    @property
    def link_divisions(self) -> bool:
        """Whether an object may become two over time."""

    @property
    def link_iou(self) -> float:
        """Minimum intersection over union of a pair."""

    @property
    def link_gap(self) -> int:
        """Number of consecutive planes in which an object may be missing."""


def link_option(when: When | None = None) -> Any:
    """Declare the field `link` of an options class; `when` as for `option`."""
    return option(
        "auto",
        "Link",
        "Give objects that were found plane by plane one number: through the planes of a stack, "
        "where they overlap; from one time to the next; or both. "
        "Automatic links through the planes of a stack, never over time.",
        when=when,
    )


def link_by_option(when: When | None = None) -> Any:
    """Declare the field `link_by` of an options class."""
    return option(
        "movement",
        "Over time by",
        "How objects are linked over time. Movement: to the nearest, also after fast movement, and "
        "two daughters of a division get new numbers and their mother's as parent; needs the "
        "package laptrack. Overlap: for objects that move less than half of their size, long or "
        "branched ones in particular. Planes of a stack are always linked by overlap.",
        when={"link": _TIME, **(when or {})},
    )


def link_distance_option(when: When | None = None) -> Any:
    """Declare the field `link_distance` of an options class."""
    return option(
        0.0,
        "Largest movement",
        "Largest movement of an object from one time to the next, in pixels. Automatic, which is "
        "0: three times the median movement, and at least the median diameter.",
        when={"link": _TIME, "link_by": ("movement",), **(when or {})},
        zero="automatic",
        ge=0.0,
        le=1e6,
        step=1.0,
    )


def link_divisions_option(when: When | None = None) -> Any:
    """Declare the field `link_divisions` of an options class."""
    return option(
        True,
        "Divisions",
        "Objects may become two, each smaller than 0.8 of the first. Switch it off for objects "
        "that do not divide.",
        when={"link": _TIME, "link_by": ("movement",), **(when or {})},
    )


def link_iou_option(when: When | None = None) -> Any:
    """Declare the field `link_iou` of an options class."""
    return option(
        0.05,
        "Least overlap",
        "Minimum intersection over union to link two objects by overlap. Keep it low, "
        "since the round end of an object is much smaller than its next section; raise it if "
        "neighbours are joined.",
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
        "Number of consecutive planes or times in which an object may be missing and still be "
        "linked.",
        when={"link": _SOME, **(when or {})},
        ge=0,
        le=10,
    )


def links_along(axes: str, whole: str = "YX") -> str:
    """Return the axes of an image along which objects can be linked; see `link_objects`."""
    return "".join(axis for axis in "ZT" if axis in axes and axis not in whole)


def link_choices(axes: str, whole: str = "YX") -> tuple[Link, ...]:
    """Return the values of `link` for an image: automatic, and those that have an effect."""
    along = links_along(axes, whole)
    return tuple(
        link for link, those in _AXES.items() if link == "auto" or set(those) <= set(along)
    )


def link_fields(choices: Sequence[Link], options: Linking) -> dict[str, bool]:
    """Return for each of `LINK_FIELDS` whether it has an effect.

    Parameters
    ----------
    choices
        From `link_choices`.
    """
    offered = dict.fromkeys(LINK_FIELDS, len(choices) > len(("auto", "none")))
    if options.link == "time" and options.link_by == "movement":
        offered["link_iou"] = False
    if options.link == "auto" and "planes" not in choices:
        offered["link_iou"] = offered["link_gap"] = False
    return offered


def links_time(axes: str, options: Linking) -> bool:
    """Return whether the objects of an image keep their number through time."""
    return "T" in axes and "T" in _AXES[options.link]


def check_linking(axes: str, options: Linking) -> None:
    """Raise a sentence if objects cannot be linked as the options ask, before any are found.

    Raises
    ------
    InputError
        When they are to be followed by movement, and laptrack is not installed.
    """
    if links_time(axes, options) and options.link_by == "movement":
        check_tracking()


def link_in_words(image: Image, options: Linking, whole: str = "YX") -> str:
    """Format how the objects of an image are linked: ``", linked through 32 planes"``, or empty.

    Where it has not the axis that they were to be linked along, that is said.
    """
    steps = []
    for axis in links_along(image.axes, whole):
        if axis in _AXES[options.link] and (n := image.length(axis)) > 1:
            how, step = _STEPS[axis]
            steps.append(f"{how} {n} {step}s")
    asked = _AXES[options.link] if options.link != "auto" else ""
    missing = [_ALONG[axis] for axis in asked if axis not in image.axes]
    words = f", linked {' and '.join(steps)}" if steps else ""
    if missing:
        words += f", not linked {' or '.join(missing)} (the axes are {image.axes})"
    return words


def link_objects(
    labels: Any,
    axes: str,
    n: int,
    options: Linking,
    *,
    whole: str = "YX",
    spacing: Sequence[float] = (),
    parents: dict[int, int] | None = None,
    progress: Progress = silent,
) -> int:
    """Link objects of neighbouring planes or times by giving them one id, in place.

    Parameters
    ----------
    labels
        Ids from 1 to `n`, each in only one plane or stack; 0 is background. Any array that is read
        and written by slices.
    axes
        One letter for each axis of `labels`, as in `Image`. Objects are never linked along other
        axes; if the axis to link along is missing, nothing changes.
    n
        Number of objects.
    options
        `DecodeOptions`, `ThresholdOptions` or the like.
    whole
        Axes along which objects are already connected: ``"ZYX"`` for objects of stacks.
    spacing
        Physical size of a pixel along each spatial axis of `axes`; equal when missing.
    parents
        Receives the id of the mother of each daughter, by the daughter's id.
    progress
        Called after each plane; may cancel, which leaves the ids unchanged unless they are already
        being written.

    Returns
    -------
    int
        Number of objects left, numbered from 1 in the order of their first ids.

    Raises
    ------
    InputError
        As `check_linking`.

    Notes
    -----
    Linking through planes comes first, so that whole volumes are linked in time. Memory is that of
    two strips of a plane. In tests with true sections of nuclei and of plant cells, in steps of a
    tenth to half of their height, a minimum overlap of 0.05 or less worked best, and at 0.25 a
    third of all objects lost their ends. As each object has at most one partner, neighbours are
    rarely joined.
    """
    wanted = [axis for axis in links_along(axes, whole) if axis in _AXES[options.link]]
    for done, axis in enumerate(wanted):
        share = part(progress, done / len(wanted), (done + 1) / len(wanted))
        linking = _Linking(labels, axes, axis, n, options)
        if axis == "T" and options.link_by == "movement":
            # Objects of planes that are not linked are followed within their plane.
            linking.block = "".join(a for a in axes if a in (whole if wanted == ["T"] else "ZYX"))
            linking.follow(spacing, part(share, 0, 0.8))
        else:
            linking.pair(part(share, 0, 0.8))
        n, born = linking.numbered(part(share, 0.8, 1))
        if parents is not None:
            parents |= born
    return n


@dataclass(eq=False)
class _Linking:
    """State of the linking along one axis."""

    labels: Any
    axes: str
    axis: str
    n: int
    options: Linking
    # By id: the first id of the linked object, whether it has a next section, whether it has a
    # previous one.
    first: NDArray[np.int32] = field(init=False)
    has_next: NDArray[np.bool_] = field(init=False)
    has_previous: NDArray[np.bool_] = field(init=False)
    # The axes within which objects already have one id.
    block: str = field(init=False)
    # By id of a daughter: the id of her mother in her last frame.
    mothers: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.first = np.arange(self.n + 1, dtype=np.int32)
        self.has_next, self.has_previous = np.zeros((2, self.n + 1), np.bool_)
        self.block = "".join(a for a in self.axes if a in ("YX" if self.axis == "Z" else "ZYX"))

    def pair(self, progress: Progress) -> None:
        """Link all planes by overlap."""
        planes = [
            (index, at) for index in np.ndindex(*self._others) for at in range(1, self._length)
        ]
        for index, at in track(planes, progress, "linking objects"):
            self._link(index, at)

    def follow(self, spacing: Sequence[float], progress: Progress) -> None:
        """Link all times by movement."""
        spatial = [axis for axis in self.axes if axis in "ZYX"]
        size = dict(zip(spatial, spacing or (1.0,) * len(spatial), strict=True))
        steps = np.array([size[axis] / size["X"] for axis in self.block])
        others, frames = list(np.ndindex(*self._others)), range(self._length)
        for done, index in enumerate(others):
            share = part(progress, done / len(others), (done + 1) / len(others))
            reading = track(frames, part(share, 0, 0.5), "linking objects")
            found = follow(
                [self._frame(index, at, steps) for at in reading],
                distance=self.options.link_distance,
                gap=self.options.link_gap,
                divisions=self.options.link_divisions,
                progress=part(share, 0.5, 1),
            )
            for before, now in found.links.tolist():
                self.first[now] = self.first[before]
                self.has_previous[now] = True
            self.mothers |= found.parents

    def numbered(self, progress: Progress) -> tuple[int, Mapping[int, int]]:
        """Write the new ids; return the number of objects, and the mother of each daughter."""
        new = np.cumsum(self.first == np.arange(self.n + 1), dtype=np.int32) - 1
        if self.has_previous.any():
            self._write(new[self.first], progress)
        born = {int(new[d]): int(new[self.first[m]]) for d, m in self.mothers.items()}
        return int(new[-1]), born

    def _frame(self, index: tuple[int, ...], at: int, steps: NDArray[np.float64]) -> Frame:
        """Return the objects of one plane or volume, in the unit of X."""
        first = self.axes.index(self.block[0])
        rest = (0,) * (len(self.block) - 1)
        strips = ((self._read(box), (box[first].start, *rest)) for box in self._strips(index, at))
        found = objects_at(strips, len(self.block))
        return Frame(found.ids, found.places * steps, found.sizes * float(np.prod(steps)))

    def _link(self, index: tuple[int, ...], at: int) -> None:
        """Link the objects of a plane with those of earlier planes, the nearest plane first."""
        for back in range(1, min(self.options.link_gap + 1, at) + 1):
            parts = zip(self._strips(index, at - back), self._strips(index, at), strict=True)
            overlap = overlap_of_parts(
                (self._read(before), self._read(after)) for before, after in parts
            )
            self._join(overlap)
            if self.has_previous[overlap.truth_ids].all():
                return

    def _join(self, overlap: Overlap) -> None:
        """Pair the objects of two planes that have no partner in this direction yet."""
        iou = overlap.iou()
        before = overlap.prediction_ids[overlap.prediction]
        now = overlap.truth_ids[overlap.truth]
        can = np.flatnonzero(
            (iou >= self.options.link_iou) & ~self.has_next[before] & ~self.has_previous[now]
        )
        pairs = can[best_pairs(overlap.prediction[can], overlap.truth[can], iou[can])]
        self.first[now[pairs]] = self.first[before[pairs]]
        self.has_next[before[pairs]] = True
        self.has_previous[now[pairs]] = True

    def _write(self, new: NDArray[np.int32], progress: Progress) -> None:
        planes = [(index, at) for index in np.ndindex(*self._others) for at in range(self._length)]
        for index, at in track(planes, progress, "numbering objects"):
            for box in self._strips(index, at):
                self.labels[box] = new[self._read(box)]

    def _strips(self, index: tuple[int, ...], at: int) -> Iterator[Box]:
        """Yield the strips of a plane or volume, cut along its first axis."""
        sides = [self.labels.shape[self.axes.index(axis)] for axis in self.block]
        rows = max(1, _STRIP // math.prod(sides[1:]))
        for start in range(0, sides[0], rows):
            others = iter(index)
            fixed: dict[str, int | slice] = {self.axis: at}
            fixed[self.block[0]] = slice(start, start + rows)
            fixed |= dict.fromkeys(self.block[1:], slice(None))
            yield tuple(fixed[axis] if axis in fixed else next(others) for axis in self.axes)

    def _read(self, box: Box) -> NDArray[np.int32]:
        return np.asarray(self.labels[box])

    @property
    def _length(self) -> int:
        return int(self.labels.shape[self.axes.index(self.axis)])

    @property
    def _others(self) -> list[int]:
        """Lengths of the axes along which objects are independent."""
        apart = self.block + self.axis
        return [
            n for axis, n in zip(self.axes, self.labels.shape, strict=True) if axis not in apart
        ]


__all__ = [
    "LINK_FIELDS",
    "Link",
    "LinkBy",
    "Linking",
    "When",
    "check_linking",
    "link_by_option",
    "link_choices",
    "link_distance_option",
    "link_divisions_option",
    "link_fields",
    "link_gap_option",
    "link_in_words",
    "link_iou_option",
    "link_objects",
    "link_option",
    "links_along",
    "links_time",
]
