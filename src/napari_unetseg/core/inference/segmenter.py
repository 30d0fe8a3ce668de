"""`Segmenter`: the seam between whatever tells classes apart and everything that comes after.

A threshold, a rung of the ladder, a UNet and an imported model all look like this. Tiles, objects,
uncertainty, measurements and docks see nothing else.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.objects.decoders import DecoderSpec


@runtime_checkable
class Segmenter(Protocol):
    """Something that says how likely each pixel belongs to each class.

    Told the place of a block, it must give the same numbers for a tile as for the whole image, as
    long as the block holds the tile and its `halo` and lies on the grid of `multiple`.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probabilities."""

    @property
    def n_channels(self) -> int:
        """Channels of the image it takes."""

    @property
    def ndim(self) -> int:
        """2 when it sees planes, 3 when it sees stacks."""

    @property
    def halo(self) -> tuple[int, ...]:
        """How many pixels beyond a tile may change the result in it, per axis."""

    @property
    def multiple(self) -> tuple[int, ...]:
        """What the place and the sides of a block must divide by, per axis."""

    @property
    def border(self) -> tuple[int, ...]:
        """How far the image is to be mirrored beyond its edges, per axis."""

    def predict_proba(
        self,
        block: NDArray[np.float32],
        *,
        origin: tuple[int, ...],
        shape: tuple[int, ...],
    ) -> NDArray[np.float32]:
        """Return the probability of each class in each pixel of a block.

        Parameters
        ----------
        block
            (C, *spatial), float32, normalised; its sides divide by `multiple`.
        origin
            Place of the block's first pixel in the image; negative in the mirrored border.
        shape
            Sides of the whole image, for position encoding.

        Returns
        -------
        array (K, *spatial), float32
            Within the halo from the block's rim the numbers mean nothing, unless the rim is the
            border's.

        Raises
        ------
        MemoryError
            When the block is too large; the caller may come back with a smaller one.
        """


@runtime_checkable
class ObjectSegmenter(Segmenter, Protocol):
    """A segmenter that learnt objects: it also says what parts those that touch."""

    @property
    def decoder(self) -> DecoderSpec | None:
        """What the maps mean; None when it learnt classes alone, and has no maps."""

    def predict_maps(
        self,
        block: NDArray[np.float32],
        *,
        origin: tuple[int, ...],
        shape: tuple[int, ...],
    ) -> NDArray[np.float32]:
        """Return the probability of each class and then the decoder's maps.

        Returns
        -------
        array (K + maps, *spatial), float32
            Of the same worth tile by tile as `predict_proba`.
        """


def decoder_of(segmenter: Segmenter) -> DecoderSpec | None:
    """Return what parts the objects of a segmenter, if it learnt any."""
    return segmenter.decoder if isinstance(segmenter, ObjectSegmenter) else None


__all__ = ["ObjectSegmenter", "Segmenter", "decoder_of"]
