"""Sparse edits of labels, and views of the labels to edit."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.corrections.locked_pixels import Box
from napari_unetseg.core.errors import InputError

Array: TypeAlias = NDArray[Any]
Mask: TypeAlias = NDArray[np.bool_]

Parts: TypeAlias = Mapping[int, Box]
"""Ids of objects and a box around each; the box may be larger than the object."""


@dataclass(frozen=True, eq=False)
class Change:
    """Sparse edit: pixels that get other ids.

    Parameters
    ----------
    index
        One (n,) array of indices per axis, without duplicate pixels.
    before, after
        (n,), of the dtype of the labels; they differ everywhere.
    objects
        Ids, before the edit, of the objects that count as checked from now on, even if they did not
        change.
    """

    index: tuple[NDArray[np.intp], ...]
    before: Array
    after: Array
    objects: tuple[int, ...] = ()

    def __len__(self) -> int:
        """Number of pixels that change."""
        return len(self.before)

    @property
    def inverse(self) -> Self:
        """The change that reverts this one."""
        return replace(self, before=self.after, after=self.before)

    def apply(self, labels: Array) -> None:
        """Apply the change to `labels`."""
        labels[self.index] = self.after

    def where(self, wanted: Mask) -> Self:
        """Select the part of the change in the mask `wanted`: (n,)."""
        index = tuple(axis[wanted] for axis in self.index)
        return replace(self, index=index, before=self.before[wanted], after=self.after[wanted])

    @classmethod
    def of(
        cls,
        labels: Array,
        box: Box,
        mask: Mask,
        after: Array | int,
        objects: Iterable[int] = (),
    ) -> Self:
        """Make the change that sets the pixels of a box where `mask` is true.

        Parameters
        ----------
        after
            An id, or an array of the box's shape.

        Raises
        ------
        InputError
            When an id is too large for the dtype of the labels.
        """
        crop = labels[box]
        mask = mask & (crop != after)
        inside = np.nonzero(mask)
        values: Array = np.full(len(inside[0]), after) if np.ndim(after) == 0 else after[inside]  # type: ignore[index]
        check_id_fits(labels.dtype, int(values.max(initial=0)))
        index = tuple(axis + part.start for axis, part in zip(inside, box, strict=True))
        return cls(index, crop[inside], values.astype(labels.dtype), tuple(objects))

    @classmethod
    def joined(cls, changes: Sequence["Change"], labels: Array) -> Self:
        """Join several changes of different pixels into one."""
        if not changes:
            none = np.zeros(0, labels.dtype)
            return cls((np.zeros(0, np.intp),) * labels.ndim, none, none)
        index = tuple(
            np.concatenate(axes) for axes in zip(*(c.index for c in changes), strict=True)
        )
        before = np.concatenate([change.before for change in changes])
        after = np.concatenate([change.after for change in changes])
        objects = dict.fromkeys(number for change in changes for number in change.objects)
        return cls(index, before, after, tuple(objects))


@dataclass(frozen=True)
class LabelsView:
    """View of labels: a plane of a stack, a stack of a time series, or the whole array.

    Parameters
    ----------
    at
        For each axis of the array the index of the view along it, or None for the whole axis.
    """

    at: tuple[int | None, ...]

    @classmethod
    def whole(cls, ndim: int) -> Self:
        """Return the view of a whole array."""
        return cls((None,) * ndim)

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of the array that the view has."""
        return tuple(axis for axis, at in enumerate(self.at) if at is None)

    def view(self, labels: Array) -> Array:
        """Return the labels in the view, without copying."""
        view: Array = labels[tuple(slice(None) if at is None else at for at in self.at)]
        return view

    def place(self, change: Change) -> Change:
        """Convert a change of the view to one of the whole array."""
        axes = iter(change.index)
        n = len(change)
        index = tuple(next(axes) if at is None else np.full(n, at, np.intp) for at in self.at)
        return replace(change, index=index)

    def box(self, box: Box) -> Box:
        """Convert a box of the view to one of the whole array."""
        parts = iter(box)
        return tuple(next(parts) if at is None else slice(at, at + 1) for at in self.at)


def padded(box: Box, by: Sequence[int], shape: Sequence[int]) -> Box:
    """Enlarge a box on every side, clipped to the array."""
    return tuple(
        slice(max(part.start - more, 0), min(part.stop + more, length))
        for part, more, length in zip(box, by, shape, strict=True)
    )


def relative_steps(spacing: Sequence[float], ndim: int) -> tuple[float, ...]:
    """Return the spacing relative to its smallest: the distance of pixels along each axis."""
    given = tuple(float(step) for step in spacing) or (1.0,) * ndim
    if len(given) != ndim or min(given) <= 0:
        raise InputError(f"The spacing {tuple(spacing)} must be {ndim} positive numbers.")
    return tuple(step / min(given) for step in given)


def check_id_fits(dtype: np.dtype[Any], number: int) -> None:
    """Raise `InputError` if an id is too large for the dtype of the labels."""
    if number > np.iinfo(dtype).max:
        raise InputError(
            f"The layer holds ids up to {np.iinfo(dtype).max} ({dtype}) and they are used up. "
            "Renumber the objects, or convert the labels to a larger type (layer menu, Convert "
            "data type)."
        )


__all__ = ["Change", "LabelsView", "Mask", "Parts", "check_id_fits", "padded", "relative_steps"]
