"""Features known on a coarser grid than the pixels, and inputs of pixels that hold some.

A weighted sum of features that are interpolated linearly equals the interpolated weighted sum. So a
model whose first layer is linear takes its sums on the coarse grid and enlarges those alone, and
the features of labelled pixels are interpolated for these pixels alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Axis = tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]


@dataclass(frozen=True, eq=False)
class CoarseMaps:
    """Features on a regular grid, linear between its points and constant beyond the outermost.

    Parameters
    ----------
    values
        (n, *coarse), float32.
    step
        Pixels from one point of the grid to the next, per axis.
    first
        Place of the first point, in pixels from the middle of the first pixel, per axis.
    """

    values: FloatArray
    step: tuple[int, ...]
    first: tuple[float, ...]

    @property
    def is_fine(self) -> bool:
        """Whether there is one point for each pixel."""
        return all(step == 1 for step in self.step)

    def along(self, axis: int, pixels: NDArray[np.int64]) -> Axis:
        """Return the points before and after some pixels of an axis, and the share of the second.

        Parameters
        ----------
        axis
            Of space.
        pixels
            (n,): places along it.
        """
        at = (pixels - self.first[axis]) / self.step[axis]
        before = np.floor(at)
        share = (at - before).astype(np.float32)
        last = self.values.shape[1 + axis] - 1
        low = np.clip(before, 0, last).astype(np.int64)
        return low, np.clip(before + 1, 0, last).astype(np.int64), share

    def window(self, region: Sequence[slice]) -> "CoarseMaps":
        """Return the maps of a region of the pixels, without copying."""
        spans, first = [], []
        for axis, part in enumerate(region):
            low, high, _ = self.along(axis, np.array([part.start, part.stop - 1]))
            spans.append(slice(int(low[0]), int(high[1]) + 1))
            first.append(self.first[axis] + int(low[0]) * self.step[axis] - part.start)
        return CoarseMaps(self.values[(slice(None), *spans)], self.step, tuple(first))

    def at(self, places: Sequence[NDArray[np.int64]]) -> FloatArray:
        """Interpolate at pixels, given by their place along each axis: (n_features, n_pixels)."""
        axes = [self.along(axis, pixels) for axis, pixels in enumerate(places)]

        def between(known: tuple[NDArray[np.int64], ...], rest: Sequence[Axis]) -> FloatArray:
            if not rest:
                place: Any = (slice(None), *known)
                found: FloatArray = self.values[place]
                return found
            # The last axis is interpolated last, as where whole images are enlarged.
            *others, (low, high, share) = rest
            one = between((low, *known), others)
            two = between((high, *known), others) if share.any() else one
            mixed: FloatArray = one + share * (two - one)
            return mixed

        return between((), axes)

    def enlarged(self, sides: Sequence[int]) -> FloatArray:
        """Interpolate at every pixel: (n, *sides)."""
        found = self.values
        for axis, side in enumerate(sides):
            low, high, share = self.along(axis, np.arange(side))
            if self.step[axis] == 1 and not share.any() and np.array_equal(low, np.arange(side)):
                found = found.take(low, 1 + axis)
                continue
            each = share.reshape([-1 if k == axis else 1 for k in range(len(sides))])
            one = found.take(low, 1 + axis)
            found = one + each * (found.take(high, 1 + axis) - one)
        return np.ascontiguousarray(found, np.float32)


@dataclass(frozen=True, eq=False)
class MixedInputs:
    """Inputs of every pixel of a block, some of them on coarser grids.

    Parameters
    ----------
    dense
        (F, *spatial), float32: the inputs known for each pixel.
    coarse
        The others.
    at
        Number of dense inputs before the coarse ones, in the order of the inputs.
    """

    dense: FloatArray
    coarse: tuple[CoarseMaps, ...] = ()
    at: int = 0

    @classmethod
    def of(cls, inputs: "FloatArray | MixedInputs") -> Self:
        """Wrap inputs (F, *spatial) that are all dense; return others as they are."""
        return inputs if isinstance(inputs, cls) else cls(inputs)  # type: ignore[arg-type]

    @property
    def sides(self) -> tuple[int, ...]:
        """Sides of the block."""
        return tuple(self.dense.shape[1:])

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return int(self.dense.nbytes + sum(maps.values.nbytes for maps in self.coarse))

    def window(self, region: Sequence[slice]) -> "MixedInputs":
        """Return the inputs of a region of the block, without copying."""
        dense = self.dense[(slice(None), *region)]
        return MixedInputs(dense, tuple(maps.window(region) for maps in self.coarse), self.at)

    def copied(self) -> "MixedInputs":
        """Return a copy, which keeps no larger arrays in memory."""
        maps = tuple(CoarseMaps(m.values.copy(), m.step, m.first) for m in self.coarse)
        return MixedInputs(self.dense.copy(), maps, self.at)

    def empty(self, sides: Sequence[int]) -> "MixedInputs":
        """Return zeros for a whole image of these sides, of which this is a block at its grid."""
        dense = np.zeros((len(self.dense), *sides), np.float32)
        coarse = []
        for maps in self.coarse:
            points = [-(-side // step) for side, step in zip(sides, maps.step, strict=True)]
            values = np.zeros((len(maps.values), *points), np.float32)
            coarse.append(CoarseMaps(values, maps.step, maps.first))
        return MixedInputs(dense, tuple(coarse), self.at)

    def paste(self, block: "MixedInputs", region: Sequence[slice], inside: Sequence[slice]) -> None:
        """Copy a part of a block into the region of the whole image that it belongs to.

        Parameters
        ----------
        block
            On the grids of the whole image: it begins at a multiple of their steps.
        region
            In the image; begins at a multiple of the steps.
        inside
            The same part of the block.
        """
        self.dense[(slice(None), *region)] = block.dense[(slice(None), *inside)]
        for whole, maps in zip(self.coarse, block.coarse, strict=True):
            to, of = [], []
            for there, here, step in zip(region, inside, whole.step, strict=True):
                n = -(-(there.stop - there.start) // step)
                to.append(slice(there.start // step, there.start // step + n))
                of.append(slice(here.start // step, here.start // step + n))
            whole.values[(slice(None), *to)] = maps.values[(slice(None), *of)]

    def rows(self, pixels: NDArray[Any]) -> FloatArray:
        """Return the inputs of some pixels, given by their flat index: (n, F)."""
        dense = self.dense.reshape(len(self.dense), math.prod(self.sides))[:, pixels]
        if not self.coarse:
            return np.ascontiguousarray(dense.T)
        places = np.unravel_index(pixels, self.sides)
        coarse = [maps.at(places) for maps in self.coarse]
        parts = [dense[: self.at], *coarse, dense[self.at :]]
        return np.ascontiguousarray(np.concatenate(parts).T)

    def whole(self) -> FloatArray:
        """Return all inputs for each pixel: (F, *spatial)."""
        if not self.coarse:
            return self.dense
        coarse = [maps.enlarged(self.sides) for maps in self.coarse]
        return np.concatenate([self.dense[: self.at], *coarse, self.dense[self.at :]])


__all__ = ["CoarseMaps", "MixedInputs"]
