"""Outlines of objects: polygons along the edges of their pixels, with exactly the same area."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.label_image import known_labels
from napari_unetseg.core.progress import Progress, silent, track

Ring = NDArray[np.int64]
"""(n, 2): corners as column and row, with the last joined to the first; see `Outline`."""


@dataclass(frozen=True, eq=False)
class Outline:
    """Outline of one object in one plane.

    Parameters
    ----------
    label
        The id of the object.
    polygons
        One for each part connected through sides: its outer ring, then one ring for each hole.
        Corners are pixel edges, x before y: the first pixel of an image spans 0 to 1. Outer rings
        are counter-clockwise in these axes, holes clockwise. No ring meets a corner twice; rings
        may meet each other at corners. These are simple features of the Open Geospatial Consortium.
    t, z
        Index of the plane; None where there is no such axis.
    """

    label: int
    polygons: tuple[tuple[Ring, ...], ...]
    t: int | None = None
    z: int | None = None

    @property
    def area(self) -> float:
        """Area inside the polygons, in pixels."""
        return sum(signed_area(ring) for polygon in self.polygons for ring in polygon)


def outlines(labels: Image, *, progress: Progress = silent) -> Iterator[Outline]:
    """Trace the outline of every object, plane by plane, by id within a plane.

    Parameters
    ----------
    labels
        Integers, 0 and less for background, axes YX, optionally with Z and T.

    Raises
    ------
    InputError
        When the image is not labels.

    Notes
    -----
    Half a second for 9,000 objects in 4096×4096 pixels.
    """
    from napari_unetseg.core.objects.outline_kernels import trace

    if labels.dtype.kind not in "iub" or "C" in labels.axes:
        raise InputError("Outlines are those of objects: give whole numbers without channels.")
    labels = known_labels(labels)
    loops = [axis for axis in labels.axes if axis not in "YX"]
    for index in track(labels.indices(), progress, "outlines"):
        at = dict(zip(loops, index, strict=True))
        plane = np.ascontiguousarray(labels.block(index), dtype=np.int64)
        ids, seeds, offset, corners = trace(plane)
        rings = [corners[a:b, ::-1].copy() for a, b in itertools.pairwise(offset)]
        order = np.argsort(ids, kind="stable")
        cuts = np.flatnonzero(np.diff(ids[order])) + 1
        for some in np.split(order, cuts) if len(order) else ():
            polygons = _polygons([rings[k] for k in some], [seeds[k] for k in some])
            yield Outline(int(ids[some[0]]), polygons, at.get("T"), at.get("Z"))


def signed_area(ring: Ring) -> float:
    """Compute the area in a ring: positive counter-clockwise (x right, y up), else negative."""
    x, y = ring.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def _polygons(rings: Sequence[Ring], seeds: Sequence[Any]) -> tuple[tuple[Ring, ...], ...]:
    """Assign holes to the parts that contain them."""
    # Clockwise with rows downward is counter-clockwise with rows upward, the convention of
    # geometry.
    areas = [signed_area(ring) for ring in rings]
    around = sorted((k for k, area in enumerate(areas) if area > 0), key=lambda k: areas[k])
    holes: dict[int, list[Ring]] = {k: [] for k in around}
    for k, area in enumerate(areas):
        if area < 0:
            # The part of a hole is the smallest ring around an object pixel next to the hole.
            owner = around[0] if len(around) == 1 else _owner(rings, around, seeds[k])
            holes[owner].append(rings[k])
    return tuple(_simple([rings[k], *holes[k]]) for k in sorted(around))


def _simple(polygon: Sequence[Ring]) -> tuple[Ring, ...]:
    """Split the rings of a polygon where they meet themselves; the outer ring comes first."""
    # The part is connected through sides, so what an outer ring encloses between two visits of a
    # corner is a hole, and what a hole encloses is another hole.
    parts = [part for ring in polygon for part in _split(ring)]
    return tuple(sorted(parts, key=lambda ring: signed_area(ring) < 0))


def _split(ring: Ring) -> list[Ring]:
    """Split a ring into rings that visit each of their corners once."""
    if len(np.unique(ring, axis=0)) == len(ring):
        return [ring]
    path: list[tuple[int, int]] = []
    place: dict[tuple[int, int], int] = {}
    parts: list[Ring] = []
    for x, y in ring.tolist():
        start = place.get((x, y))
        if start is not None:
            parts.append(np.array(path[start:], dtype=np.int64))
            for corner in path[start:]:
                del place[corner]
            del path[start:]
        place[x, y] = len(path)
        path.append((x, y))
    return [*parts, np.array(path, dtype=np.int64)]


def _owner(rings: Sequence[Ring], around: Sequence[int], seed: Any) -> int:
    y, x = float(seed[0]) + 0.5, float(seed[1]) + 0.5
    return next(k for k in around if _inside(rings[k], x, y))


def _inside(ring: Ring, x: float, y: float) -> bool:
    """Return whether a pixel's centre is in a ring: left of an odd number of its sides."""
    after = np.roll(ring, -1, axis=0)
    upright = ring[:, 0] == after[:, 0]
    low = np.minimum(ring[:, 1], after[:, 1])
    high = np.maximum(ring[:, 1], after[:, 1])
    return bool(np.count_nonzero(upright & (ring[:, 0] > x) & (low < y) & (y < high)) % 2)


__all__ = ["Outline", "Ring", "outlines", "signed_area"]
