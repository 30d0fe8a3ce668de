"""What is held out of an annotation to judge a training by.

Always a whole stroke, a tile or an image: the neighbours of a pixel of a stroke are nearly that
pixel again, so judging by single ones would flatter.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import Annotation

_FEW_IMAGES = 5


def split(
    annotations: Sequence[Annotation], share: float = 0.2, *, seed: int = 0
) -> tuple[list[Annotation], list[Annotation]]:
    """Divide annotations into what is learnt from and what is held out to judge by.

    Parameters
    ----------
    annotations
        One for each image, of the same classes.
    share
        Part of the annotated pixels to hold out, of each class.
    seed
        The same seed holds out the same.

    Returns
    -------
    training, validation
        As many annotations each; together they are what was given, and no pixel is in both. What
        is not certain is learnt from, never judged by.

    Notes
    -----
    Whole strokes of scribbles; whole images of five or more masks, else tiles. Units are grouped
    by the rarest class in them, and of each group of two or more at least one is held out. A class
    drawn in a single stroke is not held out: it must be learnt.
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
    """Return for each annotation the unit of each pixel, counted through; 0 belongs to none."""
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
    """Return how many pixels of each class each unit has: (units + 1, classes)."""
    n_units = max(int(unit.max()) for unit in units) + 1
    n_classes = annotations[0].n_classes
    counts = np.zeros(n_units * n_classes, np.int64)
    for annotation, unit in zip(annotations, units, strict=True):
        known = annotation.counted
        index = unit[known].astype(np.int64) * n_classes + annotation.targets[known]
        counts += np.bincount(index, minlength=len(counts))
    return counts.reshape(n_units, n_classes)


def _hold_out(sizes: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return which units of a group to hold out: what fits into the share, but at least one."""
    if len(sizes) < 2 or share <= 0:
        return np.zeros(0, np.intp)
    room, out = share * sizes.sum(), []
    for unit in rng.permutation(len(sizes)):
        if sizes[unit] <= room:
            room -= sizes[unit]
            out.append(unit)
    return np.array(out or [int(sizes.argmin())], np.intp)


def _put_back(held: NDArray[np.bool_], counts: NDArray[np.int64]) -> None:
    """Give back a held-out unit for every class that would be missing from training."""
    for k in range(counts.shape[1]):
        if counts[:, k].any() and not counts[~held, k].any():
            held[int(counts[:, k].argmax())] = False
