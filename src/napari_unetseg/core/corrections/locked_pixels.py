"""Locked pixels: drawn, erased or approved by hand, and never changed by a run.

The result of a run is merged with the current labels: locked pixels stay as they are, and so do
whole objects that contain any. The set is stored in small blocks where it is not empty, so that a
few strokes on a large stack need very little memory.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError

Array: TypeAlias = NDArray[Any]
Box: TypeAlias = tuple[slice, ...]
"""One bounded slice per axis."""

BLOCK = {1: (4096,), 2: (256, 256), 3: (16, 128, 128)}
"""Sides of a block along the last axes; 1 along leading axes."""

_COVERED = 0.5


class PixelSet:
    """Sparse set of pixels of an array, stored in blocks.

    Parameters
    ----------
    shape
        Shape of the array.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(int(length) for length in shape)
        last = BLOCK[min(len(self.shape), 3)]
        self._sides = (1,) * (len(self.shape) - len(last)) + last
        self._blocks: dict[tuple[int, ...], NDArray[np.bool_]] = {}

    def __len__(self) -> int:
        """Number of pixels in the set."""
        return sum(int(np.count_nonzero(block)) for block in self._blocks.values())

    def __bool__(self) -> bool:
        return any(block.any() for block in self._blocks.values())

    def copy(self) -> Self:
        """Return an independent copy."""
        other = type(self)(self.shape)
        other.update(self)
        return other

    def add(self, box: Box, mask: NDArray[np.bool_] | None = None) -> None:
        """Add the pixels of a box, or only those where `mask` is true.

        Parameters
        ----------
        box
            A box within the array.
        mask
            Mask of the box's shape.

        Raises
        ------
        InputError
            When the box is not within the array or the mask differs from it in shape.
        """
        self._change(box, mask, to=True)

    def discard(self, box: Box, mask: NDArray[np.bool_] | None = None) -> None:
        """Remove pixels from the set; see `add`."""
        self._change(box, mask, to=False)

    def add_indices(self, indices: Sequence[Array]) -> None:
        """Add single pixels, given as one array of indices per axis."""
        for index, _, inside in self._grouped(indices):
            self._block(index)[inside] = True

    def at(self, indices: Sequence[Array]) -> NDArray[np.bool_]:
        """Return whether single pixels, given as in `add_indices`, are in the set: (n,)."""
        contained = np.zeros(np.size(indices[0]), np.bool_)
        for index, part, inside in self._grouped(indices):
            if index in self._blocks:
                contained[part] = self._blocks[index][inside]
        return contained

    def update(self, other: "PixelSet") -> None:
        """Add all pixels of another set of the same array shape."""
        for box, mask in other.boxes():
            self.add(box, mask)

    def inside(self, box: Box) -> NDArray[np.bool_]:
        """Return the mask of a box: which pixels are in the set, (*box), a new array."""
        box = self._checked(box)
        mask = np.zeros([part.stop - part.start for part in box], np.bool_)
        for index, of_box, of_block in self._parts(box):
            block = self._blocks.get(index)
            if block is not None:
                mask[of_box] = block[of_block]
        return mask

    def boxes(self) -> Iterator[tuple[Box, NDArray[np.bool_]]]:
        """Yield each nonempty block as its box and its mask."""
        for index, block in self._blocks.items():
            if block.any():
                sides = zip(index, self._sides, self.shape, strict=True)
                box = tuple(
                    slice(at * side, min((at + 1) * side, length)) for at, side, length in sides
                )
                yield box, block[tuple(slice(part.stop - part.start) for part in box)]

    def array(self) -> NDArray[np.bool_]:
        """Return the whole set as a boolean array; large where the array is."""
        return self.inside(tuple(slice(0, length) for length in self.shape))

    def _grouped(
        self, indices: Sequence[Array]
    ) -> Iterator[tuple[tuple[int, ...], NDArray[np.intp], tuple[Array, ...]]]:
        """Group pixels by block: yield each block, the pixels in it, and their positions there."""
        pixels = np.stack([np.asarray(axis).ravel() for axis in indices])
        if not pixels.shape[1]:
            return
        blocks = pixels // np.array(self._sides)[:, None]
        order = np.lexsort(blocks)
        blocks = blocks[:, order]
        cuts = np.flatnonzero((np.diff(blocks) != 0).any(0)) + 1
        for part in np.split(np.arange(pixels.shape[1]), cuts):
            index = tuple(int(at) for at in blocks[:, part[0]])
            inside = pixels[:, order[part]] % np.array(self._sides)[:, None]
            yield index, order[part], tuple(inside)

    def _change(self, box: Box, mask: NDArray[np.bool_] | None, *, to: bool) -> None:
        box = self._checked(box)
        sides = tuple(part.stop - part.start for part in box)
        if mask is not None and mask.shape != sides:
            raise InputError(f"The mask has the shape {mask.shape}, but the box has {sides}.")
        for index, of_box, of_block in self._parts(box):
            if to or index in self._blocks:
                part: Any = True if mask is None else mask[of_box]
                block = self._block(index)
                if to:
                    block[of_block] |= part
                else:
                    block[of_block] &= np.logical_not(part)

    def _parts(self, box: Box) -> Iterator[tuple[tuple[int, ...], Box, Box]]:
        """Yield every block that a box touches, the part of the box, and the part of the block."""
        spans = [
            range(part.start // side, -(-part.stop // side))
            for part, side in zip(box, self._sides, strict=True)
        ]
        for offset in np.ndindex(*map(len, spans)):
            index = tuple(span[at] for span, at in zip(spans, offset, strict=True))
            of_box, of_block = [], []
            for at, side, part in zip(index, self._sides, box, strict=True):
                first, last = max(at * side, part.start), min((at + 1) * side, part.stop)
                of_box.append(slice(first - part.start, last - part.start))
                of_block.append(slice(first - at * side, last - at * side))
            yield index, tuple(of_box), tuple(of_block)

    def _block(self, index: tuple[int, ...]) -> NDArray[np.bool_]:
        if index not in self._blocks:
            self._blocks[index] = np.zeros(self._sides, np.bool_)
        return self._blocks[index]

    def _checked(self, box: Box) -> Box:
        given = tuple(box)
        if len(given) != len(self.shape) or not all(
            0 <= part.start <= part.stop <= length
            for part, length in zip(given, self.shape, strict=True)
        ):
            raise InputError(f"The box {given} is not within an array of shape {self.shape}.")
        return given


def locked_ids(labels: Array, locked: PixelSet) -> NDArray[Any]:
    """Return the ids of the objects with a locked pixel, ascending."""
    touched = [_ids(labels[box][mask]) for box, mask in locked.boxes()]
    ids = np.unique(np.concatenate(touched)) if touched else np.zeros(0, labels.dtype)
    return ids[ids != 0]


def merge_classes(current: Array, prediction: Array, locked: PixelSet) -> Array:
    """Merge a prediction of classes into the labels, keeping the locked pixels.

    Parameters
    ----------
    current, prediction
        Labels of equal shape.
    locked
        Locked pixels, over the same shape.

    Returns
    -------
    array
        A new array, of a dtype that holds both.

    Raises
    ------
    InputError
        When the shapes differ.
    """
    _check_shapes(current, prediction, locked)
    merged = prediction.astype(np.promote_types(current.dtype, prediction.dtype))
    for box, mask in locked.boxes():
        merged[box] = np.where(mask, current[box], merged[box])
    return merged


def merge_objects(current: Array, prediction: Array, locked: PixelSet) -> Array:
    """Merge predicted objects into the labels, keeping those with locked pixels.

    Every object with a locked pixel stays whole and keeps its id; locked background stays
    background. A predicted object of which more than half lies on kept pixels is left out, as it is
    the same object again; others lose the overlap. Predicted ids already in use are replaced by
    free ones.

    Parameters
    ----------
    current, prediction
        Ids in arrays of equal shape, 0 is the background.
    locked
        Locked pixels, over the same shape.

    Returns
    -------
    array
        A new array, of a dtype that holds both.

    Raises
    ------
    InputError
        When the shapes differ, or there are more objects than the dtype can number.
    """
    _check_shapes(current, prediction, locked)
    if not locked:
        return prediction.copy()
    kept_ids = locked_ids(current, locked)
    stays = np.isin(current, kept_ids)
    for box, mask in locked.boxes():
        stays[box] |= mask
    ids, id_index, sizes = np.unique(prediction, return_inverse=True, return_counts=True)
    id_index = id_index.reshape(prediction.shape)
    covered = np.bincount(id_index[stays], minlength=len(ids))
    survives = (ids > 0) & (covered <= _COVERED * sizes)
    numbers = _free_numbers(ids, survives, kept_ids)
    dtype = np.promote_types(current.dtype, prediction.dtype)
    if len(numbers) and numbers.max() > np.iinfo(dtype).max:
        raise InputError(
            f"There are more objects than {dtype} can number. Convert the labels to a larger type "
            "first (layer menu, Convert data type)."
        )
    merged: Array = numbers.astype(dtype)[id_index]
    merged[stays] = current[stays]
    return merged


def _ids(pixels: Array) -> Array:
    """Return the distinct ids of some pixels; runs of equal neighbours are collapsed first."""
    if not len(pixels):
        return pixels
    return np.unique(pixels[np.r_[True, pixels[1:] != pixels[:-1]]])


def _free_numbers(ids: Array, survives: NDArray[np.bool_], taken: Array) -> NDArray[np.int64]:
    """Choose an id for each predicted id: its own, or a free one where that is in use."""
    numbers = np.where(survives, ids, 0).astype(np.int64)
    clash = survives & np.isin(ids, taken)
    last = max(int(taken.max(initial=0)), int(numbers.max(initial=0)))
    numbers[clash] = last + 1 + np.arange(np.count_nonzero(clash))
    return numbers


def _check_shapes(current: Array, prediction: Array, locked: PixelSet) -> None:
    if not current.shape == prediction.shape == locked.shape:
        raise InputError(
            f"The labels have the shape {current.shape}, the prediction {prediction.shape} and "
            f"the locked pixels {locked.shape}: all must belong to one image."
        )


__all__ = ["Box", "PixelSet", "locked_ids", "merge_classes", "merge_objects"]
