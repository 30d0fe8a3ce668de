"""Tracking: objects followed from time to time by their movement, through divisions.

The assignment of objects is that of laptrack (Jaqaman et al. 2008): of all pairs in two frames, the
set with the least total of squared distances, where leaving an object without partner has a cost,
too; then ends and beginnings of tracks are joined over gaps, and beginnings to a mother.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.progress import Progress, part, silent, track

_FAR = 8.0
"""Movement, in diameters, up to which objects are paired to find how far they usually move."""

_TIMES_USUAL = 3.0
"""Largest movement of a frame, as a multiple of the median."""

_LARGEST_DAUGHTER, _SMALLEST_SISTER = 0.8, 0.4
"""Largest size of a daughter relative to its mother, smallest relative to its sister."""

_NO_MORE = 1e-9

Node = tuple[int, int]
"""Number of a frame, and of an object in it."""


@dataclass(frozen=True, eq=False)
class Frame:
    """Objects at one time.

    Parameters
    ----------
    ids
        (N,): one for each object, in no other frame.
    places
        (N, axes): centres, in one unit along all axes.
    sizes
        (N,): areas or volumes, in that unit.
    """

    ids: NDArray[np.int64]
    places: NDArray[np.float64]
    sizes: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Followed:
    """Objects that belong together.

    Parameters
    ----------
    links
        (M, 2): ids of one object in two frames, ordered by time.
    parents
        Id of the mother in her last frame, by that of the daughter in her first.
    distance
        Largest movement that was allowed.
    """

    links: NDArray[np.int64]
    parents: dict[int, int]
    distance: float


def objects_at(parts: Iterable[tuple[NDArray[Any], Sequence[int]]], ndim: int) -> Frame:
    """Return the centres and sizes of the objects of a plane or volume, in pixels.

    Parameters
    ----------
    parts
        Parts of the labels that together are the plane or volume, with the index of the first pixel
        of each. Pixels below 0 are left out.
    ndim
        Number of axes.
    """
    found, rows = [np.zeros(0, np.int64)], [np.zeros((0, 1 + ndim))]
    for part_of, start in parts:
        places = np.nonzero(part_of > 0)
        ids, of = _distinct(part_of[places])
        sums = [
            np.bincount(of, along + k, len(ids)) for along, k in zip(places, start, strict=True)
        ]
        found.append(ids.astype(np.int64))
        rows.append(np.column_stack([np.bincount(of, minlength=len(ids)), *sums]))
    ids, of = np.unique(np.concatenate(found), return_inverse=True)
    n, *sums = (np.bincount(of, column, len(ids)) for column in np.concatenate(rows).T)
    there = n > 0
    n = n[there]
    return Frame(ids[there], np.stack(sums, 1)[there] / n[:, None], n.astype(np.int64))


def _distinct(ids: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the ids there may be, and the index of each into them; at once where they are low."""
    top = int(ids.max(initial=0))
    if top <= len(ids):
        return np.arange(top + 1), ids.astype(np.intp, copy=False)
    found, of = np.unique(ids, return_inverse=True)
    return found, of


def check_tracking() -> None:
    """Raise a sentence if the library that follows objects is not installed.

    Raises
    ------
    InputError
        With the command that installs it.
    """
    if find_spec("laptrack") is None:
        raise InputError(
            "Linking by movement needs laptrack, which is not installed. Link by overlap, or "
            "install it with: pip install 'napari-unetseg[tracking]'"
        )


def follow(
    frames: Sequence[Frame],
    *,
    distance: float = 0.0,
    gap: int = 0,
    divisions: bool = True,
    progress: Progress = silent,
) -> Followed:
    """Follow objects from frame to frame.

    Parameters
    ----------
    frames
        The objects of each time.
    distance
        Largest movement of an object from one time to the next. 0 for three times the median
        movement of the nearest objects, and at least a diameter.
    gap
        Number of consecutive times in which an object may be missing.
    divisions
        Whether an object may become two. Each must have less than 0.8 of the size of the mother,
        and the smaller one at least 0.4 of the size of the larger.

    Raises
    ------
    InputError
        As `check_tracking`.

    Notes
    -----
    About eight seconds for 500 objects in 50 frames; loading the library takes two more.
    """
    check_tracking()
    if sum(len(frame.ids) > 0 for frame in frames) < 2:
        return Followed(np.empty((0, 2), np.int64), {}, distance)
    diameter = _diameter(frames)
    if not distance:
        near = _pairs(frames, _FAR * diameter, part(progress, 0, 0.4))
        moved = [np.linalg.norm(_place(frames, a) - _place(frames, b)) for a, b in near]
        usual = float(np.median(moved)) if moved else 0.0
        distance = max(diameter, _TIMES_USUAL * usual)
    edges = _pairs(frames, distance, part(progress, 0.4, 0.8))
    if divisions or gap:
        edges = _joined(frames, edges, distance, gap, divisions)
    progress(1.0, "following objects")
    return _settled(frames, edges, distance)


def _diameter(frames: Sequence[Frame]) -> float:
    """Return the median diameter of the disc or ball of the same size."""
    sizes = np.concatenate([frame.sizes for frame in frames])
    ndim = frames[0].places.shape[1]
    whole = np.pi / 4 if ndim == 2 else np.pi / 6
    return float(np.median((sizes / whole) ** (1 / ndim)))


def _place(frames: Sequence[Frame], node: Node) -> NDArray[np.float64]:
    return frames[node[0]].places[node[1]]


def _pairs(frames: Sequence[Frame], distance: float, progress: Progress) -> list[tuple[Node, Node]]:
    """Pair the objects of every two neighbouring frames."""
    from laptrack import LapTrack

    solver = LapTrack(cutoff=distance**2, gap_closing_cutoff=False, splitting_cutoff=False)
    pairs: list[tuple[Node, Node]] = []
    for at in track(range(len(frames) - 1), progress, "following objects"):
        two = [frame.places for frame in frames[at : at + 2]]
        if all(map(len, two)):
            found = solver.predict(two).edges
            pairs += [((at, int(a[1])), (at + 1, int(b[1]))) for a, b in found]
    return pairs


def _joined(
    frames: Sequence[Frame],
    edges: list[tuple[Node, Node]],
    distance: float,
    gap: int,
    divisions: bool,
) -> list[tuple[Node, Node]]:
    """Join the ends and beginnings of tracks over gaps, and beginnings to a mother."""
    from laptrack import LapTrack

    limit: Any = distance**2
    solver = LapTrack(
        cutoff=_NO_MORE,
        gap_closing_cutoff=limit if gap else False,
        gap_closing_max_frame_count=gap + 1,
        splitting_cutoff=limit if divisions else False,
    )
    tree = solver.predict([frame.places for frame in frames], connected_edges=edges)
    return [((int(a[0]), int(a[1])), (int(b[0]), int(b[1]))) for a, b in tree.edges]


def _settled(frames: Sequence[Frame], edges: list[tuple[Node, Node]], distance: float) -> Followed:
    """Divide the edges into links of one object and divisions; drop unlikely divisions."""
    after: dict[Node, list[Node]] = {}
    for before, now in sorted(edges):
        after.setdefault(before, []).append(now)
    links: list[tuple[int, int]] = []
    parents: dict[int, int] = {}
    for before, those in after.items():
        if _is_division(frames, before, those):
            parents |= {_id(frames, one): _id(frames, before) for one in those}
        else:
            place = _place(frames, before)
            # The earlier one, and of two at one time the nearer.
            best = min(those, key=lambda one: (one[0], np.linalg.norm(_place(frames, one) - place)))
            links.append((_id(frames, before), _id(frames, best)))
    return Followed(np.array(links, np.int64).reshape(-1, 2), parents, distance)


def _is_division(frames: Sequence[Frame], mother: Node, those: Sequence[Node]) -> bool:
    if len(those) != 2 or any(one[0] != mother[0] + 1 for one in those):
        return False
    small, large = sorted(float(frames[one[0]].sizes[one[1]]) for one in those)
    whole = float(frames[mother[0]].sizes[mother[1]])
    return large <= _LARGEST_DAUGHTER * whole and small >= _SMALLEST_SISTER * large


def _id(frames: Sequence[Frame], node: Node) -> int:
    return int(frames[node[0]].ids[node[1]])


__all__ = ["Followed", "Frame", "check_tracking", "follow", "objects_at"]
