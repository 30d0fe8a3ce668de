"""Objects of pieces that lie in several blocks, put into a block among its own."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.objects.cross_block_objects import Box, box_within
from napari_unetseg.core.streaming.run_folder import Arrays, RunFolder

GIANT = 2**22
"""Pixels of the box of a piece above which its objects lie in an array of their own."""


def put_pieces(passing: NDArray[np.int32], box: Box, folder: RunFolder, given: Arrays) -> None:
    """Put the objects of pieces into a block, in place.

    Parameters
    ----------
    passing
        Passing numbers of the block's own objects, above 0; those of pieces become negative.
    box
        Where the block is.
    given
        From `napari_unetseg.core.streaming.join_blocks.Numbering.pieces_in`.
    """
    parts = []
    for group, offset, ranks in zip(
        given["groups"].tolist(), given["offsets"].tolist(), _split(given), strict=True
    ):
        found = folder.found("pieces", group)
        for rank, piece_box, values in _values(folder, group, found, ranks):
            parts.append((rank, offset, piece_box, values))
    # Pieces around others come last: what is in their holes may be theirs.
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
    """Return the ranks of the pieces of each group."""
    stops = np.cumsum(given["sizes"]).tolist()
    ranks = given["ranks"].tolist()
    return [ranks[stop - n : stop] for stop, n in zip(stops, given["sizes"].tolist(), strict=True)]


def _values(
    folder: RunFolder, group: int, found: Arrays, ranks: list[int]
) -> Iterator[tuple[int, Box, Any]]:
    """Yield rank, box and objects of each piece of a group; a giant's stay on disk."""
    boxes = [tuple(slice(a, b) for a, b in box) for box in found["boxes"].tolist()]
    if "values" not in found:
        yield ranks[0], boxes[0], folder.array(f"piece-{group}")
        return
    start = 0
    for rank, box in zip(ranks, boxes, strict=True):
        shape = tuple(span.stop - span.start for span in box)
        stop = start + math.prod(shape)
        yield rank, box, found["values"][start:stop].reshape(shape)
        start = stop


__all__ = ["GIANT", "put_pieces"]
