"""Draw the objects of components that span several blocks into a block."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.objects.cross_block_objects import Box, box_within
from napari_unetseg.core.streaming.run_folder import Arrays, RunFolder

GIANT = 2**22
"""Bounding box in pixels above which the objects of a component get their own array on disk."""


def put_pieces(passing: NDArray[np.int32], box: Box, folder: RunFolder, given: Arrays) -> None:
    """Draw the objects of spanning components into a block, in place.

    Parameters
    ----------
    passing
        Provisional ids of the block's own objects, above 0; those of spanning components become
        negative.
    box
        Position of the block.
    given
        From `napari_unetseg.core.streaming.join_blocks.Numbering.pieces_in`.
    """
    parts = []
    for group, offset, ranks in zip(
        given["groups"].tolist(), given["offsets"].tolist(), _split(given), strict=True
    ):
        results = folder.found("pieces", group)
        for rank, piece_box, values in _values(folder, group, results, ranks):
            parts.append((rank, offset, piece_box, values))
    # Components around others come last: pixels in their holes may belong to them.
    for _, offset, piece_box, values in sorted(parts, key=lambda part: part[0]):
        both = tuple(
            slice(max(a.start, b.start), min(a.stop, b.stop))
            for a, b in zip(piece_box, box, strict=True)
        )
        if all(span.start < span.stop for span in both):
            theirs = np.asarray(values[box_within(both, piece_box)])
            ours = passing[box_within(both, box)]
            ours[theirs == 0] = 0
            ours[theirs > 0] = -(theirs[theirs > 0] + np.int32(offset))


def _split(given: Arrays) -> list[list[int]]:
    """Return the ranks of the components of each group."""
    stops = np.cumsum(given["sizes"]).tolist()
    ranks = given["ranks"].tolist()
    return [ranks[stop - n : stop] for stop, n in zip(stops, given["sizes"].tolist(), strict=True)]


def _values(
    folder: RunFolder, group: int, results: Arrays, ranks: list[int]
) -> Iterator[tuple[int, Box, Any]]:
    """Yield rank, box and objects of each component of a group; those of giants stay on disk."""
    boxes = [tuple(slice(a, b) for a, b in box) for box in results["boxes"].tolist()]
    if "values" not in results:
        yield ranks[0], boxes[0], folder.array(f"piece-{group}")
        return
    start = 0
    for rank, box in zip(ranks, boxes, strict=True):
        shape = tuple(span.stop - span.start for span in box)
        stop = start + math.prod(shape)
        yield rank, box, results["values"][start:stop].reshape(shape)
        start = stop


__all__ = ["GIANT", "put_pieces"]
