"""Tables of tracks: objects that keep their id through time, with their mothers and movement."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.measure.columns import Table
from napari_unetseg.core.objects.lineage import known_mothers


def with_parents(table: Table, parents: Mapping[int, int] | None) -> Table:
    """Return a table of `measure` with the column ``parent``, if objects are linked over time.

    Parameters
    ----------
    parents
        As in `Image`; None leaves the table as it is.
    """
    if parents is None or "t" not in table:
        return table
    mothers = known_mothers(parents, table["label"], table["t"])
    made: Table = {}
    for name, column in table.items():
        made[name] = column
        if name == "label":
            made["parent"] = np.array([mothers.get(one, 0) for one in column.tolist()], np.int64)
    return made


def measure_tracks(table: Table) -> Table:
    """Summarise a table of objects that keep their id through time, a row for each track.

    Parameters
    ----------
    table
        From `measure`, with the columns ``t``, ``label`` and ``parent``.

    Returns
    -------
    dict of str to ndarray
        Columns of equal length, ordered by id. ``um`` stands for the unit of the centroids. Times
        are in seconds where the table has ``time_s``, else frames are counted.

        ``label``, ``parent``
            Id of the track, and of the mother after a division; 0 for none.
        ``begin``, ``end``
            First and last time, both inclusive.
        ``frames``
            Number of times from the first to the last.
        ``duration_s``
            Seconds from the first time to the last, if they are known.
        ``daughters``
            Number of tracks whose mother it is.
        ``path_um``
            Length of the path of the centroid, straight over gaps.
        ``displacement_um``
            Distance of the last centroid from the first.
        ``straightness``
            Displacement over path, 1 for a straight path; NaN without movement.
        ``speed_um_per_s`` or ``speed_um_per_frame``
            Path over the duration, or over the number of steps; NaN for a single time.

    Raises
    ------
    InputError
        When the objects are not linked over time, or were measured plane by plane.
    """
    if "parent" not in table:
        raise InputError(
            "These objects are not linked over time, so they have no tracks. Predict or threshold "
            "a movie with Link: time, and measure those labels."
        )
    if "z" in table:
        raise InputError("Tracks need whole objects. Measure them per stack, not per plane.")
    columns = [name for name in table if name.startswith("centroid_")]
    unit = columns[-1].split("_", 2)[2]
    order = np.lexsort((table["t"], table["label"]))
    ids, times = table["label"][order], table["t"][order]
    places = np.stack([table[name][order] for name in columns], 1)
    starts = np.flatnonzero(np.diff(ids, prepend=-1) != 0)
    ends = np.append(starts[1:], len(ids)) - 1 if len(starts) else starts
    steps = np.linalg.norm(np.diff(places, axis=0, prepend=places[:1]), axis=1)
    steps[starts] = 0
    path = np.add.reduceat(steps, starts) if len(starts) else np.zeros(0)
    displacement = np.linalg.norm(places[ends] - places[starts], axis=1)
    mothers = table["parent"][order][starts]
    passed = times[ends] - times[starts]
    timed: Table = {}
    if "time_s" in table:
        clock = table["time_s"][order]
        timed["duration_s"] = clock[ends] - clock[starts]
    return {
        "label": ids[starts],
        "parent": mothers,
        "begin": times[starts],
        "end": times[ends],
        "frames": passed + 1,
        **timed,
        "daughters": _counts(ids[starts], mothers),
        f"path_{unit}": path,
        f"displacement_{unit}": displacement,
        "straightness": _ratio(displacement, path),
        f"speed_{unit}_per_{'s' if timed else 'frame'}": _ratio(
            path, timed.get("duration_s", passed)
        ),
    }


def _counts(ids: NDArray[np.int64], mothers: NDArray[np.int64]) -> NDArray[np.int64]:
    known, counts = np.unique(mothers, return_counts=True)
    of = dict(zip(known.tolist(), counts.tolist(), strict=True))
    return np.array([of.get(one, 0) for one in ids.tolist()], np.int64)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


__all__ = ["measure_tracks", "with_parents"]
