"""Cells with their nuclei: paired by overlap, divided from a mask, or grown from the nuclei."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.compute.memory_limit import allowed
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image, Index
from napari_unetseg.core.label_image import (
    check_id,
    known_labels,
    label_image,
    labels_like,
    without_single_axes,
)
from napari_unetseg.core.options import Options, option
from napari_unetseg.core.progress import Progress, silent
from napari_unetseg.core.scoring.overlap import overlap_of

Ids = NDArray[np.int64]

_OF_CELLS = "The image of the cells"

_SMOOTHED = 1.0
"""Standard deviation of the blur before boundaries are followed, in pixels."""

_BYTES, _BYTES_AT_ONCE = 12, 72
"""Memory for a pixel: of the whole, and of one time in addition."""


class CellOptions(Options):
    """Options for finding the cells of nuclei."""

    method: Literal["objects", "mask", "grow"] = option(
        "objects",
        "Cells are",
        "Objects: cells found on their own, paired with the nuclei that lie in them. Mask: the "
        "foreground of the cells, divided among the nuclei. Grow: there is no stain of the cells, "
        "and each nucleus is grown by a distance.",
    )
    overlap: float = option(
        0.5,
        "Nucleus inside",
        "Smallest fraction of a nucleus that must lie in a cell to belong to it. A nucleus in "
        "several cells belongs to the one that holds most of it.",
        when={"method": ("objects",)},
        ge=0.0,
        le=1.0,
        step=0.05,
        slider=True,
    )
    nucleus: Literal["all", "largest"] = option(
        "all",
        "Of several nuclei",
        "All: the nuclei of one cell are measured together as its nucleus. Largest: only the "
        "largest is. The cytoplasm excludes all of them, and all are counted.",
        when={"method": ("objects",)},
    )
    without_nucleus: Literal["keep", "remove"] = option(
        "keep",
        "Without a nucleus",
        "Keep or remove cells without a nucleus.",
        when={"method": ("objects", "mask")},
    )
    boundary: Literal["middle", "bright", "dark"] = option(
        "middle",
        "Cells meet",
        "Where neighbouring cells of a mask meet: in the middle between their nuclei; along bright "
        "lines of the cells' channel, such as membranes; or along dark gaps in it.",
        when={"method": ("mask",)},
    )
    distance: float = option(
        5.0,
        "Grow by",
        "How far cells reach beyond their nuclei, in the unit of the measured lengths. Cells that "
        "meet share the space between them.",
        when={"method": ("grow",)},
        gt=0.0,
        step=0.5,
    )


@dataclass(frozen=True, eq=False)
class Compartments:
    """Nuclei, cells and cytoplasm of one image, with one number for what belongs together.

    Parameters
    ----------
    nuclei, cells, cytoplasm
        Integers of one shape; a nucleus and a cytoplasm have the number of their cell. The nucleus
        lies in its cell, and the cytoplasm is the rest of the cell. Nuclei outside of cells have
        numbers that no cell has at that time. The mothers are those of the inputs whose ids they
        keep.
    pairs
        (n, 3): time, number of the cell, id of the nucleus in the input; a row for each nucleus in
        a cell.
    n_cells, n_outside
        Numbers of cells, and of nuclei outside of cells, over all times.
    n_removed
        Number of cells that were removed because they have no nucleus.
    """

    nuclei: Image
    cells: Image
    cytoplasm: Image
    pairs: Ids
    n_cells: int
    n_outside: int
    n_removed: int = 0

    def summary(self) -> str:
        """Return a sentence with the number of cells, their nuclei, and what has no partner."""
        _, nuclei = np.unique(self.pairs[:, :2], axis=0, return_counts=True)
        parts = [
            (int(np.count_nonzero(nuclei == 1)), "with one nucleus"),
            (int(np.count_nonzero(nuclei > 1)), "with several"),
            (self.n_cells - len(nuclei), "without"),
        ]
        counted = ", ".join(f"{n:,} {words}" for n, words in parts if n)
        line = f"{self.n_cells:,} cell{'s' * (self.n_cells != 1)}"
        line += f": {counted}." if counted else "."
        if self.n_removed:
            line += f" {self.n_removed:,} without a nucleus {_were(self.n_removed)} removed."
        if self.n_outside:
            one = self.n_outside == 1
            lies = "nucleus lies" if one else "nuclei lie"
            line += f" {self.n_outside:,} {lies} outside of cells."
        return line


def find_compartments(
    nuclei: Image,
    cells: Image | None = None,
    options: CellOptions | None = None,
    *,
    image: Image | None = None,
    progress: Progress = silent,
) -> Compartments:
    """Find the cell, nucleus and cytoplasm of every cell.

    Parameters
    ----------
    nuclei
        Objects: integers, 0 for background, axes YX or ZYX, optionally with T. Each time is
        treated on its own.
    cells
        For the methods ``objects`` and ``mask``: ids of cells, or their foreground (anything above
        0), of the same axes and shape.
    options
        See `CellOptions`.
    image
        One channel with the axes of `nuclei`, to follow bright or dark boundaries in.
    progress
        Called after each time; may cancel.

    Returns
    -------
    Compartments
        Cells found on their own keep their ids, others have the id of their nucleus. A cell
        contains its nuclei: their pixels on the background join it, and those in other cells are
        cut off.

    Raises
    ------
    InputError
        When an input is missing, is no label image, or they are not of one shape, or do not fit in
        memory.

    Notes
    -----
    Keeps three label images and nine 64-bit copies of one time in memory.
    """
    chosen = options or CellOptions()
    nuclei = _checked(nuclei, "The image of the nuclei")
    if chosen.method == "grow":
        cells = None
    elif cells is None:
        raise InputError(
            f"method = {chosen.method} needs labels of the cells as well as of the nuclei. Give "
            "them, or grow the cells from the nuclei (method = grow)."
        )
    else:
        cells = _alike(nuclei, _checked(cells, _OF_CELLS), _OF_CELLS)
    needs_image = chosen.method == "mask" and chosen.boundary != "middle"
    if not needs_image:
        image = None
    elif image is None:
        raise InputError(
            f"boundary = {chosen.boundary} follows lines in the channel of the cells. Give that "
            "image, or use boundary = middle."
        )
    else:
        image = _alike(nuclei, without_single_axes(image.grey(), nuclei.axes), "The image")
    _check_memory(nuclei)
    times = nuclei.indices("ZYX")
    beyond = 1 + max(_highest(nuclei), 0 if cells is None else _highest(cells))
    check_id(beyond - 1)
    # At most every pixel gets a number that nothing has.
    dtype = np.int32 if beyond + math.prod(nuclei.shape) <= 2**31 else np.int64
    maps = {name: np.zeros(nuclei.shape, dtype) for name in ("nuclei", "cells", "cytoplasm")}
    pairs, counts = [np.zeros((0, 3), dtype=np.int64)], np.zeros(3, dtype=np.int64)
    for number, index in enumerate(times):
        progress(number / len(times), "finding cells")
        frame = _Frame(nuclei, cells, image, index, chosen, beyond)
        beyond = frame.beyond
        for name, whole in maps.items():
            whole[nuclei.block_slices(index, "ZYX")] = getattr(frame, name)
        pairs.append(np.insert(frame.pairs, 0, number, axis=1))
        counts += frame.n_cells, len(frame.outside), frame.n_removed
    progress(1.0, "found cells")
    # Cells that were found on their own keep their ids, and so their mothers; others have those of
    # their nuclei.
    parents = cells.parents if cells is not None and chosen.method == "objects" else nuclei.parents
    cells_of, nuclei_of, cytoplasm = (
        replace(nuclei, data=maps[name], channel_names=(), parents=parents)
        for name in ("cells", "nuclei", "cytoplasm")
    )
    n_cells, n_outside, n_removed = counts.tolist()
    return Compartments(
        nuclei_of, cells_of, cytoplasm, np.concatenate(pairs), n_cells, n_outside, n_removed
    )


class _Frame:
    """The compartments of one time.

    Attributes
    ----------
    nuclei, cells, cytoplasm
        As in `Compartments`.
    pairs
        (n, 2): number of the cell and id of the nucleus.
    outside
        Ids of the nuclei outside of cells.
    beyond
        Lowest number that nothing has.
    """

    def __init__(
        self,
        nuclei: Image,
        cells: Image | None,
        image: Image | None,
        index: Index,
        options: CellOptions,
        beyond: int,
    ) -> None:
        self.beyond = beyond
        self.n_removed = 0
        seeds = _ids_of(nuclei.block(index, "ZYX"))
        # Of nuclei alone the owner of each id is the id itself.
        ids = np.unique(seeds)
        ids = ids[ids > 0]
        if cells is None:
            found = _grown(seeds, options.distance, nuclei.spacing)
            owners = ids
        elif options.method == "mask":
            values = None if image is None else image.block(index, "ZYX")
            region = cells.block(index, "ZYX") > 0
            found = _divided(seeds, region, values, options, nuclei.spacing)
            held = np.unique(found[region])
            owners = np.where(np.isin(ids, held), ids, 0)
            found = np.where(_mapped(found, ids[owners == 0], None) > 0, 0, found)
            found = self._with_rest(found, region)
        else:
            found = _ids_of(cells.block(index, "ZYX"))
            owners = _owners(seeds, found, ids, options.overlap)
        self._settle(seeds, found, ids, owners, options)

    def _with_rest(self, found: Ids, region: NDArray[np.bool_]) -> Ids:
        """Number the parts of the foreground that hold no nucleus."""
        from skimage.measure import label

        parts, n = label(region & (found == 0), return_num=True, connectivity=1)
        rest: Ids = np.where(parts > 0, _ids_of(parts) + (self.beyond - 1), found)
        self.beyond += int(n)
        return rest

    def _settle(self, seeds: Ids, cells: Ids, ids: Ids, owners: Ids, options: CellOptions) -> None:
        owner = _mapped(seeds, ids, owners)
        cells = np.where((cells == 0) & (owner > 0), owner, cells)
        inside = (owner > 0) & (owner == cells)
        numbers = np.unique(cells)
        numbers = numbers[numbers > 0]
        alone = np.setdiff1d(numbers, owners)
        if options.without_nucleus == "remove" and len(alone):
            cells = np.where(_mapped(cells, alone, None) > 0, 0, cells)
            self.n_removed, numbers = len(alone), np.setdiff1d(numbers, alone)
        shown = inside
        if options.nucleus == "largest":
            main = _largest(np.where(inside, seeds, 0), ids, owners)
            shown = inside & (_mapped(seeds, main, None) > 0)
        self.cells, self.n_cells = cells, len(numbers)
        self.cytoplasm = np.where(inside, 0, cells)
        self.outside = ids[owners == 0]
        fresh = self.outside
        if options.method == "objects":
            # Only here are the numbers those of other objects.
            fresh = np.arange(len(self.outside)) + self.beyond
            self.beyond += len(self.outside)
        self.nuclei = np.where(shown, owner, _mapped(seeds, self.outside, fresh))
        self.pairs = np.column_stack([owners, ids])[owners > 0]


def _owners(nuclei: Ids, cells: Ids, ids: Ids, least: float) -> Ids:
    """Return the cell that each nucleus belongs to; 0 for none."""
    found = overlap_of(nuclei, cells)
    enough = found.pixels >= least * found.prediction_sizes[found.prediction]
    # The last entry of a nucleus is that of most pixels and, among equals, the lowest number.
    order = np.lexsort((-found.truth, found.pixels))
    order = order[enough[order]]
    owners = np.zeros(len(ids), dtype=np.int64)
    owners[found.prediction[order]] = found.truth_ids[found.truth[order]]
    return owners


def _largest(nuclei: Ids, ids: Ids, owners: Ids) -> Ids:
    """Return the id of the largest nucleus of each cell."""
    present, counts = np.unique(nuclei, return_counts=True)
    sizes = np.zeros(len(ids), dtype=np.int64)
    sizes[np.searchsorted(ids, present[present > 0])] = counts[present > 0]
    order = np.lexsort((ids, -sizes, owners))
    order = order[owners[order] > 0]
    _, first = np.unique(owners[order], return_index=True)
    largest: Ids = ids[order[first]]
    return largest


def _grown(nuclei: Ids, distance: float, spacing: Sequence[float]) -> Ids:
    from skimage.segmentation import expand_labels

    grown: Ids = expand_labels(nuclei, distance, spacing=spacing)
    return grown


def _divided(
    nuclei: Ids,
    region: NDArray[np.bool_],
    image: NDArray[Any] | None,
    options: CellOptions,
    spacing: Sequence[float],
) -> Ids:
    """Divide the foreground of cells among the nuclei by a seeded watershed."""
    import edt
    from scipy import ndimage
    from skimage.segmentation import watershed

    present, markers = np.unique(nuclei, return_inverse=True)
    if present[0] != 0:
        present, markers = np.append(0, present), markers + 1
    markers = markers.reshape(nuclei.shape).astype(np.int32)
    if image is None:
        height = edt.edt(nuclei == 0, anisotropy=spacing)
    else:
        smooth = ndimage.gaussian_filter(np.nan_to_num(image.astype(np.float32)), _SMOOTHED)
        height = smooth if options.boundary == "bright" else -smooth
    divided: Ids = present[watershed(height, markers, mask=region | (nuclei > 0))]
    return divided


def _mapped(labels: Ids, ids: Ids, values: Ids | None) -> Ids:
    """Replace ids by values, or keep them if None; every other id becomes 0."""
    from skimage.util import map_array

    if not len(ids):
        return np.zeros_like(labels)
    mapped: Ids = map_array(labels, ids, ids if values is None else values)
    return mapped


def _ids_of(labels: NDArray[Any]) -> Ids:
    return np.ascontiguousarray(labels, dtype=np.int64)


def _highest(labels: Image) -> int:
    return max(int(labels.block(index).max()) for index in labels.indices())


def _check_memory(nuclei: Image) -> None:
    at_once = math.prod(nuclei.length(axis) for axis in nuclei.spatial_axes)
    need = _BYTES * math.prod(nuclei.shape) + _BYTES_AT_ONCE * at_once
    free = 2 * allowed()
    if need > free:
        raise InputError(
            f"Pairing nuclei with cells in {nuclei.shape} pixels needs {need / 1e9:.1f} GB of "
            f"memory, and {free / 1e9:.1f} GB are free. It is not done block by block: cut the "
            "images into parts."
        )


def _checked(labels: Image, name: str) -> Image:
    labels = known_labels(label_image(labels, name))
    if "C" in labels.axes:
        raise InputError(
            f"{name} has channels ({labels.axes}, {labels.shape}). Choose one of them."
        )
    return labels


def _alike(nuclei: Image, other: Image, name: str) -> Image:
    """Return `other` with the axes of the nuclei."""
    other = labels_like(other, nuclei)
    if other.axes != nuclei.axes or other.shape != nuclei.shape:
        raise InputError(
            f"{name} ({other.axes}, {other.shape}) does not fit that of the nuclei ({nuclei.axes}, "
            f"{nuclei.shape}). Give both of the same field."
        )
    return other


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


__all__ = ["CellOptions", "Compartments", "find_compartments"]
