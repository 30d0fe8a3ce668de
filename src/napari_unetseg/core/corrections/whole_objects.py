"""Corrections of whole objects: merge, delete, approve; and the objects along a stroke."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_unetseg.core.corrections.change import Array, Change, Parts
from napari_unetseg.core.errors import InputError


def merge(labels: Array, parts: Parts) -> Change:
    """Merge several objects by giving them the id of the first.

    Parameters
    ----------
    labels
        Ids; 0 is background.
    parts
        The objects, at least two.

    Raises
    ------
    InputError
        When there are fewer than two.
    """
    if len(parts) < 2:
        raise InputError("Merging needs two different objects. Click another object.")
    first = next(iter(parts))
    changes = [
        Change.of(labels, box, labels[box] == number, first)
        for number, box in parts.items()
        if number != first
    ]
    together = Change.joined(changes, labels)
    return Change(together.index, together.before, together.after, tuple(parts))


def delete(labels: Array, parts: Parts) -> Change:
    """Turn objects into background."""
    changes = [Change.of(labels, box, labels[box] == number, 0) for number, box in parts.items()]
    return Change.joined(changes, labels)


def approve(labels: Array, parts: Parts) -> Change:
    """Mark objects as correct: no pixel changes."""
    nothing = Change.joined([], labels)
    return Change(nothing.index, nothing.before, nothing.after, tuple(parts))


def ids_along(labels: Array, points: ArrayLike) -> list[int]:
    """Return the ids of the objects along a stroke, in its order, without duplicates.

    Parameters
    ----------
    points
        (n, ndim), vertices of the stroke in pixels; points outside the labels are ignored.
    """
    pixels = along(points)
    inside = ((pixels >= 0) & (pixels < labels.shape)).all(1)
    met = labels[tuple(pixels[inside].T)]
    return [int(number) for number in dict.fromkeys(met.tolist()) if number]


def along(points: ArrayLike) -> NDArray[np.intp]:
    """Return the pixels of a stroke: (n, ndim), each adjacent to the one before.

    No step is diagonal, so that pixels on either side of the stroke do not touch, not even at
    corners.
    """
    corners = np.atleast_2d(np.asarray(points, dtype=float))
    segments = [np.rint(corners[:1]).astype(np.intp)]
    for start, stop in pairwise(corners):
        # Four samples per pixel, so that a step moves by at most one pixel along each axis.
        n = int(np.ceil(4 * np.abs(stop - start).max())) + 1
        share = np.linspace(0, 1, n + 1)[1:, None]
        segments.append(np.rint(start + share * (stop - start)).astype(np.intp))
    line = np.concatenate(segments)
    line = line[np.r_[True, (np.diff(line, axis=0) != 0).any(1)]]
    return _without_diagonals(line)


def _without_diagonals(line: NDArray[np.intp]) -> NDArray[np.intp]:
    """Insert pixels into diagonal steps, axis by axis."""
    path: list[Sequence[int]] = [tuple(line[0])]
    for step in line[1:]:
        pixel = list(path[-1])
        for axis in range(line.shape[1]):
            if pixel[axis] != step[axis]:
                pixel[axis] = int(step[axis])
                path.append(tuple(pixel))
    return np.array(path, dtype=np.intp)


__all__ = ["along", "approve", "delete", "ids_along", "merge"]
