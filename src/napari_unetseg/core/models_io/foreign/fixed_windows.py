"""Divide blocks of any image into windows for networks of fixed or stepped input sizes.

A network of stepped sizes takes a block as it is, less at most one step at its end. A network of
a fixed size gets windows of that size, whose centres tile the image from its first pixel on. The
windows depend on the image alone, so a tile gives the same result as the whole image.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from napari_unetseg.core.compute.rounding import round_up
from napari_unetseg.core.models_io.foreign.foreign_description import Axis


@dataclass(frozen=True)
class Window:
    """Hold the input range of a network along one axis, `start` to `stop` in block coordinates.

    The part `first` to `last` of the result is kept.
    """

    start: int
    stop: int
    first: int
    last: int


@dataclass(frozen=True)
class Side:
    """Hold the input sizes that a network takes along one axis.

    Parameters
    ----------
    least, step
        The length is `least` or, if `step` is not 0, any number of steps more.
    edge
        Pixels to discard at each end of a result.
    """

    least: int
    step: int
    edge: int

    @classmethod
    def of(cls, image: Axis, result: Axis) -> "Side":
        """Make the sizes of an axis from the image's and the result's descriptions of it."""
        lost = max(-result.offset, 0)
        edge = result.halo + -(-lost // 2)
        if not image.step:
            edge = edge or image.least // 8
            edge = min(edge, (image.least - 1) // 2)
        return cls(image.least, image.step, edge)

    @property
    def multiple(self) -> int:
        """The number that offset and length of a block must be a multiple of."""
        return self.step or self.least - 2 * self.edge

    @property
    def halo(self) -> int:
        """The width in pixels that a block must extend around a tile."""
        if not self.step:
            return self.least
        short = max(-(-(self.least - self.step) // 2), 0)
        return max(self.edge, short) + (self.step if self.least % self.step else 0)

    def windows(self, start: int, length: int, whole: int) -> list[Window]:
        """Return the windows of a block.

        Parameters
        ----------
        start, length
            Position of the block in the image; it extends `halo`, rounded up to `multiple`, around
            its tile.
        whole
            Length of the image.
        """
        if self.step:
            fitting = self.least + (length - self.least) // self.step * self.step
            return [Window(0, fitting, 0, length)]
        if whole <= self.least:
            first = (whole - self.least) // 2 - start
            return [Window(first, first + self.least, -start, whole - start)]
        core, edge = self.multiple, self.edge
        reach = round_up(self.halo, core)
        inner = range(start + reach, start + length - reach, core)
        return [
            Window(k - edge - start, k + core + edge - start, k - start, k + core - start)
            for k in inner
        ]


def block_windows(
    sides: tuple[Side, ...],
    start: tuple[int, ...],
    lengths: tuple[int, ...],
    whole: tuple[int, ...],
) -> Iterator[tuple[Window, ...]]:
    """Yield the windows of a block along all axes."""
    along = (
        side.windows(first, length, total)
        for side, first, length, total in zip(sides, start, lengths, whole, strict=True)
    )
    yield from product(*along)


__all__ = ["Side", "Window", "block_windows"]
