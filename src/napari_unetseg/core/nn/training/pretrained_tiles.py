"""`PretrainedTiles`: features of the pretrained network for the tiles of an image, kept.

They take a second for a field of a million pixels, more than a filter bank, and have larger tiles
of their own, each made up of whole tiles of the other inputs.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.compute.coarse_maps import CoarseMaps, MixedInputs
from napari_unetseg.core.compute.tile_cache import TileCache
from napari_unetseg.core.inference.tiles import PIXELS_AT_ONCE, Tile, TileGrid
from napari_unetseg.core.model.network_features import FeatureSource
from napari_unetseg.core.model.pretrained_features import OUTPUTS, PRETRAINED

Index = tuple[int, ...]
FloatArray = NDArray[np.float32]

SIDE = 1024
"""Side of a tile at most, in pixels, where an image is not one tile."""

_BYTES = sum(4 * tap.channels / tap.step**2 for tap in OUTPUTS)
"""Of the features of one pixel."""


class PretrainedTiles:
    """Features of the pretrained network for the planes of an image.

    Parameters
    ----------
    source
        The pretrained network.
    grid
        Tiles of the other inputs.
    block
        Returns the normalised pixels (C, *sides) of a tile with its halo, given the plane's index
        and the grid.
    cache
        Where features are kept, also on disk.
    """

    def __init__(
        self,
        source: FeatureSource,
        grid: TileGrid,
        block: Callable[[Index, TileGrid, Tile], FloatArray],
        cache: TileCache,
    ) -> None:
        self._source, self._block, self._cache = source, block, cache
        self._grid = _grid_over(grid)
        self._tiles = list(self._grid)

    def number_of(self, tile: Tile) -> int:
        """Return the number of the network's tile that a tile of the other inputs lies in."""
        down, aside = (
            start // side for start, side in zip(tile.start, self._grid.side, strict=True)
        )
        return down * self._grid.counts[1] + aside

    def of(self, index: Index, number: int) -> tuple[CoarseMaps, ...]:
        """Return the features of one of the network's tiles, computed unless kept."""
        key = ("network", index, number)
        found = self._cache.get(key)
        if found is None:
            tile = self._tiles[number]
            block = self._block(index, self._grid, tile)
            maps = self._source.maps(block, origin=tile.block_start, shape=self._grid.shape)
            coarse = tuple(one.window(tile.inside) for one in maps)
            inputs = MixedInputs(np.zeros((0, 0, 0), np.float32), coarse).copied()
            found = self._cache.keep(key, inputs, costly=True)
        return found.coarse

    def within(self, maps: Sequence[CoarseMaps], tile: Tile) -> tuple[CoarseMaps, ...]:
        """Return the part of maps of a network's tile that belongs to a tile in it."""
        outer = self._tiles[self.number_of(tile)]
        region = [
            slice(span.start - first.start, span.stop - first.start)
            for span, first in zip(tile.region, outer.region, strict=True)
        ]
        return tuple(one.window(region) for one in maps)

    def rows(self, index: Index, tile: Tile, where: NDArray[np.bool_]) -> FloatArray:
        """Return the features of some pixels of a tile of the other inputs: (n, F)."""
        maps = self.within(self.of(index, self.number_of(tile)), tile)
        bare = MixedInputs(np.zeros((0, *where.shape), np.float32), maps)
        return bare.rows(np.flatnonzero(where))

    def missing(self, wanted: Sequence[tuple[Index, int]]) -> list[tuple[Index, int]]:
        """Return which of some planes and numbers of tiles are not kept, each once, in order."""
        return [one for one in dict.fromkeys(wanted) if ("network", *one) not in self._cache]


def bytes_of_field(box: tuple[slice, ...]) -> float:
    """Return how many bytes the features of a field take."""
    return _BYTES * math.prod(span.stop - span.start for span in box)


def _grid_over(grid: TileGrid) -> TileGrid:
    """Return the tiles of the pretrained network: each made up of whole tiles of `grid`."""
    if math.prod(grid.shape) <= PIXELS_AT_ONCE[2]:
        side = grid.shape
    else:
        side = tuple(side * max(SIDE // side, 1) for side in grid.side)
    return TileGrid(
        grid.shape,
        side,
        halo=PRETRAINED.halo(2),
        multiple=PRETRAINED.multiple(2),
        border=PRETRAINED.border(2),
        even=False,
    )


class _WithoutMaps:
    """The pretrained network as a source of features that are computed elsewhere."""

    features, model = PRETRAINED, None

    def maps(
        self, block: NDArray[Any], *, origin: tuple[int, ...], shape: tuple[int, ...]
    ) -> tuple[CoarseMaps, ...]:
        """Return nothing."""
        return ()


WITHOUT_MAPS = _WithoutMaps()

__all__ = ["WITHOUT_MAPS", "PretrainedTiles", "bytes_of_field"]
