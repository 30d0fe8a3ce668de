"""`TileGrid`: any image in blocks small enough for memory, and back, as if never cut.

Whatever looks at neighbours needs more than the tile it answers for::

      ┌─────────────────────────┐  border: the image mirrored beyond its edges
      │  ┌───────┬───────┬────┐ │
      │  │       │       │    │ │
      │  │    ┌──┼───────┼──┐ │ │  block: what is computed
      │  ├────┼──┼───────┼──┼─┤ │
      │  │    │  │ tile  │  │ │ │  tile: what is kept of it
      │  │    │  │       │<─> │ │  halo: context, computed and thrown away
      │  ├────┼──┼───────┼──┼─┤ │
      │  │    └──┼───────┼──┘ │ │
      │  └───────┴───────┴────┘ │
      └─────────────────────────┘

Blocks begin and end at multiples of `multiple`, so that a network that halves the image groups the
same pixels in every tile; at the image's edge they end with the border, all at the same place. A
function that looks no further than the halo then gives the same numbers tile by tile as at once.
"""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.compute.rounding import divide_up, round_up
from napari_unetseg.core.errors import InputError

Sizes = tuple[int, ...]
Slices = tuple[slice, ...]

PIXELS_AT_ONCE = {1: 2**20, 2: 3 * 2**19, 3: 2**22}
"""Pixels of a block when nobody says otherwise, for each number of axes.

A camera's image of 1024x1024 or 960x1280 is one block with its border; in two it costs a sixth
more. A halo costs more in three axes, so blocks are larger: 0.3 GB for each 16 channels held at
once.
"""


@dataclass(frozen=True)
class Tile:
    """One tile of an image.

    Parameters
    ----------
    start, stop
        The tile in the image, per axis.
    block_start, block_stop
        The block to compute, in the coordinates of the image; may lie beyond its edges.
    region
        Where the result goes: the tile, grown by the blending.
    """

    start: Sizes
    stop: Sizes
    block_start: Sizes
    block_stop: Sizes
    region: Slices

    @property
    def block_shape(self) -> Sizes:
        """Sides of the block."""
        return tuple(b - a for a, b in zip(self.block_start, self.block_stop, strict=True))

    @property
    def inside(self) -> Slices:
        """The region within the block."""
        return tuple(
            slice(part.start - first, part.stop - first)
            for part, first in zip(self.region, self.block_start, strict=True)
        )


@dataclass(frozen=True)
class TileGrid:
    """A way to cut an image into tiles.

    Parameters
    ----------
    shape
        Sides of the image, spatial axes only.
    side
        Sides of a tile, as a whim: they are rounded up to `multiple`, and evened out so that the
        last tile is not a sliver.
    halo
        Context a tile needs, in pixels.
    multiple
        What the place and the sides of a block must divide by.
    border
        How far the image is mirrored beyond its edges; the halo when not given.
    blend
        Over how many pixels on either side neighbouring tiles are faded into each other: for
        networks that look further than their halo. Without need nothing is gained by it.
    even
        Whether tiles are evened out; if not, all but the last are as large as `side` says.

    Raises
    ------
    InputError
        When the numbers make no grid.
    """

    shape: Sizes
    side: Sizes
    halo: Sizes = ()
    multiple: Sizes = ()
    border: Sizes = ()
    blend: int = 0
    even: bool = True

    def __post_init__(self) -> None:
        n = len(self.shape)
        multiple = self.multiple or (1,) * n
        halo = self.halo or (0,) * n
        border = self.border or halo
        sizes = {"side": self.side, "halo": halo, "multiple": multiple, "border": border}
        for name, numbers in sizes.items():
            if len(numbers) != n:
                raise InputError(f"The {name} {numbers} needs {n} numbers, for {self.shape}.")
        if min(self.shape) < 1 or min(self.side) < 1 or min(multiple) < 1:
            raise InputError(f"Tiles of {self.side} pixels need at least one pixel a side.")
        if min(*halo, *border, self.blend) < 0:
            raise InputError(
                f"Halo {halo}, border {border}, blend {self.blend} must not be below 0."
            )
        sides = tuple(map(round_up, self.side, multiple))
        if self.even:
            sides = tuple(map(_evened, self.shape, self.side, multiple))
        resolved = {
            "side": sides,
            "halo": tuple(map(round_up, halo, multiple)),
            "multiple": multiple,
            "border": tuple(map(round_up, border, multiple)),
            "blend": min(self.blend, *(side // 2 for side in sides)),
        }
        for name, value in resolved.items():
            object.__setattr__(self, name, value)

    @classmethod
    def planned(
        cls,
        shape: Sizes,
        *,
        halo: Sizes = (),
        multiple: Sizes = (),
        border: Sizes = (),
        blend: int = 0,
        pixels: int | None = None,
    ) -> Self:
        """Return the grid that computes the fewest pixels, with blocks of at most `pixels`.

        Of several such, it is the one with the largest blocks.

        Where the halo alone is that large, a tile may be as wide as its two halos, since tiles
        much smaller than their halo would take forever.
        """
        halo, multiple = halo or (0,) * len(shape), multiple or (1,) * len(shape)
        border = border or halo
        axes = [
            _costs(n, h, m, b, blend)
            for n, h, m, b in zip(shape, halo, multiple, border, strict=True)
        ]
        smallest = math.prod(min(cost[0] for cost in costs) for costs in axes)
        limit = max(pixels or PIXELS_AT_ONCE[len(shape)], 2 ** len(shape) * smallest)

        def cost(choice: tuple[tuple[int, int, int], ...]) -> tuple[int, int, int]:
            blocks, computed, _ = zip(*choice, strict=True)
            # Without a halo all tilings compute the same: then the fewer tiles the better.
            return max(math.prod(blocks) - limit, 0), math.prod(computed), -math.prod(blocks)

        best = min(itertools.product(*axes), key=cost)
        return cls(shape, tuple(side for _, _, side in best), halo, multiple, border, blend)

    @property
    def counts(self) -> Sizes:
        """Number of tiles along each axis."""
        return tuple(map(divide_up, self.shape, self.side))

    def __len__(self) -> int:
        return math.prod(self.counts)

    def __iter__(self) -> Iterator[Tile]:
        for parts in itertools.product(*(self._parts(axis) for axis in range(len(self.shape)))):
            start, stop, block_start, block_stop, region = zip(*parts, strict=True)
            yield Tile(start, stop, block_start, block_stop, region)

    @property
    def largest_block(self) -> int:
        """Pixels of the largest block."""
        return math.prod(max(part[3] - part[2] for part in parts) for parts in self._all_parts)

    @property
    def n_computed(self) -> int:
        """Pixels of all blocks together: what the tiling costs."""
        return math.prod(sum(part[3] - part[2] for part in parts) for parts in self._all_parts)

    def split(self, tile: Tile) -> tuple[Tile, ...]:
        """Return two tiles that make up the region of `tile`; none when it cannot be cut.

        Their blocks are smaller, on the same grid, and do not leave the block of `tile`.
        """
        lengths = [part.stop - part.start for part in tile.region]
        axis = int(np.argmax(lengths))
        part, multiple, halo = tile.region[axis], self.multiple[axis], self.halo[axis]
        middle = round_up((part.start + part.stop) // 2, multiple)
        if not part.start < middle < part.stop:
            return ()

        def half(region: slice, first: int, last: int) -> Tile:
            def at(old: tuple[Any, ...], new: Any) -> tuple[Any, ...]:
                return (*old[:axis], new, *old[axis + 1 :])

            return Tile(
                at(tile.start, region.start),
                at(tile.stop, region.stop),
                at(tile.block_start, max(first, tile.block_start[axis])),
                at(tile.block_stop, min(last, tile.block_stop[axis])),
                at(tile.region, region),
            )

        return (
            half(slice(part.start, middle), tile.block_start[axis], middle + halo),
            half(slice(middle, part.stop), middle - halo, tile.block_stop[axis]),
        )

    def cut(self, array: Any, tile: Tile) -> NDArray[Any]:
        """Return the block of `tile`, mirrored where it lies beyond the image.

        Parameters
        ----------
        array
            (..., *shape), numpy or anything that slices alike; only what is needed is read.
        """
        leading = array.ndim - len(self.shape)
        pads, inside = [(0, 0)] * leading, [slice(None)] * leading
        for axis, (first, last) in enumerate(zip(tile.block_start, tile.block_stop, strict=True)):
            places = _mirrored(np.arange(first, last), self.shape[axis])
            near = slice(int(places.min()), int(places.max()) + 1)
            array = _along(array, axis - len(self.shape), near)
            before = max(-first, 0)
            pads.append((before, max(last - self.shape[axis], 0)))
            # What is mirrored may reach farther into the image than the block itself.
            start = first - near.start + before
            inside.append(slice(start, start + last - first))
        block = np.asarray(array)
        return np.pad(block, pads, mode="symmetric")[tuple(inside)] if np.any(pads) else block

    def paste(self, out: Any, tile: Tile, block: NDArray[Any], at: tuple[int, ...] = ()) -> None:
        """Put what was computed of the block of `tile` where it belongs.

        Parameters
        ----------
        out
            (..., *shape), changed in place; zeros before the first tile when blending.
        block
            (..., *block_shape).
        at
            Which of the first axes of `out`, when it holds more than one image.
        """
        inside: Any = (..., *tile.inside)
        part = block[inside]
        where = (*at, ..., *tile.region)
        if self.blend:
            out[where] += part * self._weights(tile)
        else:
            out[where] = part

    def assemble(self, blocks: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Return the whole image of the blocks of all tiles, in order."""
        first = blocks[0]
        leading = first.shape[: first.ndim - len(self.shape)]
        out = np.zeros((*leading, *self.shape), dtype=first.dtype)
        for tile, block in zip(self, blocks, strict=True):
            self.paste(out, tile, block)
        return out

    @property
    def cost(self) -> tuple[int, int, int]:
        """Pixels of the largest block, pixels of all, and the side of a tile: of one axis."""
        return self.largest_block, self.n_computed, self.side[0]

    @property
    def _all_parts(self) -> list[list[tuple[int, int, int, int, slice]]]:
        return [self._parts(axis) for axis in range(len(self.shape))]

    def _parts(self, axis: int) -> list[tuple[int, int, int, int, slice]]:
        """Return start, stop, block start, block stop and region of each cut along `axis`."""
        length, side = self.shape[axis], self.side[axis]
        reach = round_up(self.halo[axis] + self.blend, self.multiple[axis])
        first, last = (
            -self.border[axis],
            round_up(length, self.multiple[axis]) + self.border[axis],
        )
        parts = []
        for start in range(0, length, side):
            stop = min(start + side, length)
            block_start = max(start - reach, first)
            block_stop = min(round_up(stop, self.multiple[axis]) + reach, last)
            region = slice(max(start - self.blend, 0), min(stop + self.blend, length))
            parts.append((start, stop, block_start, block_stop, region))
        return parts

    def _weights(self, tile: Tile) -> NDArray[np.float32]:
        """Return the share of `tile` in each pixel of its region; all tiles' shares add to one."""
        weights = np.ones((), dtype=np.float32)
        for axis, part in enumerate(tile.region):
            places = np.arange(part.start, part.stop) + 0.5
            share = np.ones(len(places), dtype=np.float32)
            for inner, edge, sign in ((tile.start, 0, 1), (tile.stop, self.shape[axis], -1)):
                if inner[axis] != edge:
                    ramp = 0.5 + sign * (places - inner[axis]) / (2 * self.blend)
                    share *= np.clip(ramp, 0, 1).astype(np.float32)
            weights = np.multiply.outer(weights, share)
        return weights


def _along(array: Any, axis: int, index: Any) -> Any:
    return array[(..., index, *(slice(None),) * (-axis - 1))]


def _mirrored(places: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Return the place in 0 ... length - 1 that mirrors at the edges put at each of `places`."""
    within = places % (2 * length)
    return np.minimum(within, 2 * length - 1 - within)


def _evened(length: int, side: int, multiple: int) -> int:
    count = divide_up(length, round_up(side, multiple))
    return round_up(divide_up(length, count), multiple)


@functools.lru_cache(maxsize=256)
def _costs(
    length: int, halo: int, multiple: int, border: int, blend: int
) -> tuple[tuple[int, int, int], ...]:
    """Return what each side of tiles worth trying costs along one axis, least block first.

    Kept, for every frame of a live preview asks the same.
    """
    grids = (
        TileGrid((length,), (side,), (halo,), (multiple,), (border,), blend)
        for side in _sides(length)
    )
    return tuple(sorted({grid.cost for grid in grids}))


def _sides(length: int) -> list[int]:
    """Return sides of tiles worth trying: the image in 1 to 8 parts, then ever finer."""
    parts = [*range(1, 9), *(int(8 * 1.3**k) for k in range(1, 40)), length]
    return sorted({divide_up(length, min(count, length)) for count in parts})


__all__ = ["PIXELS_AT_ONCE", "Tile", "TileGrid"]
