"""What is known of each object of labels, as numbers from 0, nothing wrong, to 1."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.measure import Table
from napari_unetseg.core.review_queue.queue_evidence import QueueEvidence
from napari_unetseg.core.review_queue.queue_items import Item
from napari_unetseg.core.review_queue.queue_options import QueueOptions
from napari_unetseg.core.review_queue.queue_order import spread_of

WEIGHTS = {"shape": 0.5}
"""How much a part of a score counts, where it is not 1."""

_SIZES, _SIZE_POWER = (0.1, 10.0), 0.3


def score_parts(
    ids: NDArray[Any],
    table: Table,
    evidence: QueueEvidence,
    options: QueueOptions,
    frame_axes: int,
) -> dict[str, NDArray[np.float64]]:
    """Return what is known of each object, in words: each from 0 to 1."""
    wanted = {
        "all": ("views", "decodings", "other labels", "unsure", "shape"),
        "views": ("views", "decodings"),
        "entropy": ("unsure",),
        "margin": ("unsure",),
        "other labels": ("other labels",),
        "shape": ("shape",),
    }[options.by]
    parts = {
        name: 1 - np.mean(rows, axis=0)
        for name, rows in evidence.agreement.items()
        if name in wanted
    }
    known = evidence.uncertainty
    if "unsure" in wanted and known is not None and "decodings" in evidence.agreement:
        parts["unsure"] = _means(ids, known, table, frame_axes)
    if "shape" in wanted:
        parts["shape"] = _oddness(table)
    return parts


def weight_of(item: Item, typical: float) -> float:
    """Return how much an item's size adds to its worth: the same mistake in a larger object is
    one of more pixels."""
    return float(np.clip(item.pixels / typical, *_SIZES) ** _SIZE_POWER)


def _means(
    ids: NDArray[Any], values: NDArray[np.float32], table: Table, frame_axes: int
) -> NDArray[np.float64]:
    from scipy import ndimage

    found = np.zeros(len(table["label"]))
    for index, rows in _frames(ids, table, frame_axes):
        if len(rows):
            found[rows] = ndimage.mean(values[index], ids[index], table["label"][rows])
    return found


def painted(ids: NDArray[Any], table: Table, score: Any, frame_axes: int) -> NDArray[np.float32]:
    """Return an image of each object's score."""
    out = np.zeros(ids.shape, np.float32)
    for index, rows in _frames(ids, table, frame_axes):
        numbers, places = np.unique(ids[index], return_inverse=True)
        values = np.zeros(len(numbers), np.float32)
        values[np.searchsorted(numbers, table["label"][rows])] = score[rows]
        out[index] = values[places].reshape(out[index].shape)
    return out


def _frames(
    ids: NDArray[Any], table: Table, frame_axes: int
) -> list[tuple[tuple[int, ...], NDArray[np.intp]]]:
    """Return every frame's place, and the rows of the objects in it."""
    columns = [table[name] for name in ("t", "z") if name in table]
    found = []
    for index in np.ndindex(ids.shape[:frame_axes]):
        here = np.ones(len(table["label"]), bool)
        for column, at in zip(columns, index, strict=True):
            here &= column == at
        found.append((index, np.flatnonzero(here)))
    return found


def _oddness(table: Table) -> NDArray[np.float64]:
    """Return how far size and shape of each object lie from the others', 0 to 1."""
    looks = looks_of(table)[:, :2]
    if not len(looks):
        return np.zeros(0)
    off = looks - np.median(looks, axis=0)
    far = np.abs(off / spread_of(off)).max(axis=1)
    return far / (far + 3)


def looks_of(table: Table) -> NDArray[np.float64]:
    """Return what objects look like: size, roundness and intensities."""
    names = [name for name in table if name.split("_")[0] in ("mean", "sd")]
    round_ = next(table[name] for name in ("circularity", "sphericity") if name in table)
    columns = [np.log(np.maximum(table["pixels"], 1)), round_, *(table[name] for name in names)]
    return np.column_stack(columns).astype(float)


def object_item(
    table: Table,
    low: NDArray[Any],
    high: NDArray[Any],
    parts: dict[str, NDArray[np.float64]],
    score: Any,
    at: int,
) -> Item:
    said = sorted(((float(part[at]), name) for name, part in parts.items()), reverse=True)
    return Item(
        "object",
        tuple(int(x) for x in low[at]),
        tuple(int(x) + 1 for x in high[at]),
        int(table["label"][at]),
        int(table["pixels"][at]),
        round(float(score[at]), 4),
        ", ".join(f"{name} {value:.2f}" for value, name in said[:3]),
    )


def is_inked(table: Table, ids: NDArray[Any], ink: PixelSet, frame_axes: int) -> NDArray[np.bool_]:
    """Return which objects of a table have a pixel of ink."""
    touched: set[tuple[int, ...]] = set()
    for box, mask in ink.boxes():
        inside = np.nonzero(mask & (ids[box] != 0))
        frames = [axis + part.start for axis, part in zip(inside, box, strict=True)][:frame_axes]
        pairs = np.stack([*frames, ids[box][inside].astype(np.int64)], 1)
        touched |= set(map(tuple, np.unique(pairs, axis=0).tolist()))
    columns = [table[name].tolist() for name in ("t", "z", "label") if name in table]
    rows = zip(*columns, strict=True)
    return np.array([row in touched for row in rows], bool).reshape(len(table["label"]))


__all__ = ["WEIGHTS", "is_inked", "looks_of", "object_item", "painted", "score_parts", "weight_of"]
