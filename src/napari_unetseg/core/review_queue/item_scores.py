"""Score the objects of labels, from 0 (likely correct) to 1 (likely wrong)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.measure import Table
from napari_unetseg.core.review_queue.queue_evidence import QueueEvidence
from napari_unetseg.core.review_queue.queue_items import Item
from napari_unetseg.core.review_queue.queue_options import QueueOptions
from napari_unetseg.core.review_queue.queue_order import robust_spread

WEIGHTS = {"shape": 0.5}
"""Weights of the parts of a score that differ from 1."""

_SIZES, _SIZE_POWER = (0.1, 10.0), 0.3


def score_parts(
    ids: NDArray[Any],
    table: Table,
    evidence: QueueEvidence,
    options: QueueOptions,
    frame_axes: int,
) -> dict[str, NDArray[np.float64]]:
    """Compute the parts of each object's score by name, each from 0 to 1."""
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
    uncertainty = evidence.uncertainty
    if "unsure" in wanted and uncertainty is not None and "decodings" in evidence.agreement:
        parts["unsure"] = _means(ids, uncertainty, table, frame_axes)
    if "shape" in wanted:
        parts["shape"] = _oddness(table)
    return parts


def size_weight(item: Item, typical: float) -> float:
    """Return the weight of an item by size: an error in a larger object affects more pixels."""
    return float(np.clip(item.pixels / typical, *_SIZES) ** _SIZE_POWER)


def _means(
    ids: NDArray[Any], values: NDArray[np.float32], table: Table, frame_axes: int
) -> NDArray[np.float64]:
    from scipy import ndimage

    means = np.zeros(len(table["label"]))
    for index, rows in _frames(ids, table, frame_axes):
        if len(rows):
            means[rows] = ndimage.mean(values[index], ids[index], table["label"][rows])
    return means


def paint_scores(
    ids: NDArray[Any], table: Table, score: Any, frame_axes: int
) -> NDArray[np.float32]:
    """Draw the score of each object into an image."""
    out = np.zeros(ids.shape, np.float32)
    for index, rows in _frames(ids, table, frame_axes):
        numbers, positions = np.unique(ids[index], return_inverse=True)
        values = np.zeros(len(numbers), np.float32)
        values[np.searchsorted(numbers, table["label"][rows])] = score[rows]
        out[index] = values[positions].reshape(out[index].shape)
    return out


def _frames(
    ids: NDArray[Any], table: Table, frame_axes: int
) -> list[tuple[tuple[int, ...], NDArray[np.intp]]]:
    """Return the index of each frame, and the table rows of its objects."""
    columns = [table[name] for name in ("t", "z") if name in table]
    frames = []
    for index in np.ndindex(ids.shape[:frame_axes]):
        inside = np.ones(len(table["label"]), bool)
        for column, at in zip(columns, index, strict=True):
            inside &= column == at
        frames.append((index, np.flatnonzero(inside)))
    return frames


def _oddness(table: Table) -> NDArray[np.float64]:
    """Compute the deviation of each object's size and shape from the others', 0 to 1."""
    looks = appearance_features(table)[:, :2]
    if not len(looks):
        return np.zeros(0)
    off = looks - np.median(looks, axis=0)
    far = np.abs(off / robust_spread(off)).max(axis=1)
    return far / (far + 3)


def appearance_features(table: Table) -> NDArray[np.float64]:
    """Return appearance features of objects: size, roundness and intensities."""
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
    parts_by_value = sorted(((float(part[at]), name) for name, part in parts.items()), reverse=True)
    return Item(
        "object",
        tuple(int(x) for x in low[at]),
        tuple(int(x) + 1 for x in high[at]),
        int(table["label"][at]),
        int(table["pixels"][at]),
        round(float(score[at]), 4),
        ", ".join(f"{name} {value:.2f}" for value, name in parts_by_value[:3]),
    )


def has_locked_pixels(
    table: Table, ids: NDArray[Any], locked: PixelSet, frame_axes: int
) -> NDArray[np.bool_]:
    """Return a mask of the objects in a table that have locked pixels."""
    touched: set[tuple[int, ...]] = set()
    for box, mask in locked.boxes():
        inside = np.nonzero(mask & (ids[box] != 0))
        frames = [axis + part.start for axis, part in zip(inside, box, strict=True)][:frame_axes]
        pairs = np.stack([*frames, ids[box][inside].astype(np.int64)], 1)
        touched |= set(map(tuple, np.unique(pairs, axis=0).tolist()))
    columns = [table[name].tolist() for name in ("t", "z", "label") if name in table]
    rows = zip(*columns, strict=True)
    return np.array([row in touched for row in rows], bool).reshape(len(table["label"]))


__all__ = [
    "WEIGHTS",
    "appearance_features",
    "has_locked_pixels",
    "object_item",
    "paint_scores",
    "score_parts",
    "size_weight",
]
