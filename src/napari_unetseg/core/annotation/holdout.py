"""Split of annotations into a training and a validation set.

Whole strokes, tiles or images are held out: neighbouring pixels of a stroke are nearly equal, so
a validation on single pixels would overestimate the score.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import Annotation

_FEW_IMAGES = 5


def split(
    annotations: Sequence[Annotation], share: float = 0.2, *, seed: int = 0
) -> tuple[list[Annotation], list[Annotation]]:
    """Split annotations into a training and a validation set.

    Parameters
    ----------
    annotations
        One for each image, of the same classes.
    share
        Share of the annotated pixels of each class to hold out.
    seed
        Seed of the random choice.

    Returns
    -------
    training, validation
        As many annotations each; no pixel is in both, and every given one is in one of them.
        Pixels with a weight below 1 are always in the training set.

    Notes
    -----
    The units are whole strokes of scribbles; whole images of five or more masks, else tiles. Units
    are grouped by the rarest class in them, and of each group of two or more at least one is held
    out. A class drawn in a single stroke is not held out, since it must be learnt.
    """
    certain = [annotation.certain() for annotation in annotations]
    units = _units(certain)
    counts = _unit_counts(certain, units)
    totals = counts.sum(0)
    rarity = np.where(counts > 0, totals, np.iinfo(np.int64).max)
    rarest = np.where(counts.any(1), rarity.argmin(1), -1)
    held = np.zeros(len(counts), bool)
    rng = np.random.default_rng(seed)
    for k in range(counts.shape[1]):
        group = np.flatnonzero(rarest == k)
        held[group[_hold_out(counts[group].sum(1), share, rng)]] = True
    _put_back(held, counts)
    where = [held[unit] for unit in units]
    training = [a.only(~out) for a, out in zip(annotations, where, strict=True)]
    return training, [a.only(out) for a, out in zip(annotations, where, strict=True)]


def _units(annotations: Sequence[Annotation]) -> list[NDArray[np.int32]]:
    """Return the unit of each pixel, numbered across annotations; 0 for pixels in none."""
    units, n = [], 0
    whole = len(annotations) >= _FEW_IMAGES
    for annotation in annotations:
        if not annotation.dense:
            ids, found = annotation.strokes()
        elif whole:
            ids, found = annotation.counted.astype(np.int32), 1
        else:
            ids, found = annotation.tiles()
        units.append(np.where(ids > 0, ids + n, 0))
        n += found
    return units


def _unit_counts(
    annotations: Sequence[Annotation], units: list[NDArray[np.int32]]
) -> NDArray[np.int64]:
    """Count the pixels of each class in each unit: (units + 1, classes)."""
    n_units = max(int(unit.max()) for unit in units) + 1
    n_classes = annotations[0].n_classes
    counts = np.zeros(n_units * n_classes, np.int64)
    for annotation, unit in zip(annotations, units, strict=True):
        known = annotation.counted
        index = unit[known].astype(np.int64) * n_classes + annotation.targets[known]
        counts += np.bincount(index, minlength=len(counts))
    return counts.reshape(n_units, n_classes)


def _hold_out(sizes: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.intp]:
    """Choose units of a group to hold out: as many as fit into the share, but at least one."""
    if len(sizes) < 2 or share <= 0:
        return np.zeros(0, np.intp)
    room, out = share * sizes.sum(), []
    for unit in rng.permutation(len(sizes)):
        if sizes[unit] <= room:
            room -= sizes[unit]
            out.append(unit)
    return np.array(out or [int(sizes.argmin())], np.intp)


def _put_back(held: NDArray[np.bool_], counts: NDArray[np.int64]) -> None:
    """Return a held-out unit to the training set for every class that it would lack."""
    for k in range(counts.shape[1]):
        if counts[:, k].any() and not counts[~held, k].any():
            held[int(counts[:, k].argmax())] = False
