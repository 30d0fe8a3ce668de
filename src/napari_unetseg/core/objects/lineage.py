"""Lineage: when every object of a movie begins and ends, where it is, and which is its mother."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.image import Image
from napari_unetseg.core.objects.tracking import objects_at
from napari_unetseg.core.progress import Progress, silent, track


@dataclass(frozen=True, eq=False)
class Lineage:
    """Objects that keep their id through time.

    Parameters
    ----------
    places
        (N, 2 + spatial axes): id, time and centre in pixels, ordered by id and time.
    parents
        Id of the mother of each daughter, by the daughter's id; both have places, and the mother
        is there first.
    """

    places: NDArray[np.float64]
    parents: Mapping[int, int]

    def extents(self) -> NDArray[np.int64]:
        """Return id, first time, last time and mother (0 for none) of each object, (N, 4)."""
        ids, starts = np.unique(self.places[:, 0].astype(np.int64), return_index=True)
        ends = np.append(starts[1:], len(self.places)) - 1
        mothers = [self.parents.get(int(one), 0) for one in ids]
        times = self.places[:, 1].astype(np.int64)
        rows = np.stack([ids, times[starts], times[ends], np.array(mothers, np.int64)], 1)
        return rows.reshape(-1, 4)


def lineage_of(labels: Image, *, progress: Progress = silent) -> Lineage | None:
    """Return the lineage of labels that are linked over time; None for other labels.

    Parameters
    ----------
    labels
        With the axis T, and `parents`, which may name objects that are there no more, or that
        come later.
    progress
        Called after each time; may cancel.

    Notes
    -----
    Reads one time after the other.
    """
    if labels.parents is None or "T" not in labels.axes or "C" in labels.axes:
        return None
    block = labels.spatial_axes
    rows = [np.zeros((0, 2 + len(block)))]
    for index in track(labels.indices(block), progress, "following objects"):
        frame = objects_at([(labels.block(index, block), (0,) * len(block))], len(block))
        at = np.full(len(frame.ids), index[0])
        rows.append(np.column_stack([frame.ids, at, frame.places]))
    places = np.concatenate(rows)
    places = places[np.lexsort((places[:, 1], places[:, 0]))]
    return Lineage(places, known_mothers(labels.parents, places[:, 0], places[:, 1]))


def known_mothers(
    parents: Mapping[int, int], ids: NDArray[Any], times: NDArray[Any]
) -> dict[int, int]:
    """Return the mothers that are there before their daughters.

    Corrections erase objects, and files of other programs may name mothers that come later.

    Parameters
    ----------
    parents
        As in `Image`.
    ids, times
        (N,): of each object at each time.
    """
    order = np.lexsort((times, ids))
    there, first = np.unique(ids[order].astype(np.int64), return_index=True)
    begins = dict(zip(there.tolist(), times[order][first].tolist(), strict=True))
    later = float("inf")
    return {d: m for d, m in parents.items() if begins.get(m, later) < begins.get(d, -later)}


__all__ = ["Lineage", "known_mothers", "lineage_of"]
