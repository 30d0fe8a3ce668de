"""How blocks of any image become arrays that a network of fixed or stepped sizes takes.

A network of stepped sizes takes a block as it is, less at most one step at its end. One of a fixed
size is shown windows of that size, whose middles lie side by side from the image's first pixel on:
which windows there are depends on the image alone, so that a tile gets what the whole would.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from napari_unetseg.core.compute.rounding import round_up
from napari_unetseg.core.models_io.foreign.foreign_description import Axis


@dataclass(frozen=True)
class Window:
    """What a network is shown along one axis, in the coordinates of a block; `start` to `stop`.

    Of its result, `first` to `last` is kept.
    """

    start: int
    stop: int
    first: int
    last: int


@dataclass(frozen=True)
class Side:
    """The sizes that a network takes along one axis.

    Parameters
    ----------
    least, step
        Its length is `least` or, if `step` is not 0, any number of steps more.
    edge
        What is to be thrown away at each end of a result.
    """

    least: int
    step: int
    edge: int

    @classmethod
    def of(cls, image: Axis, result: Axis) -> "Side":
        """Return the sizes of an axis of the image, given the same one of the result."""
        lost = max(-result.offset, 0)
        edge = result.halo + -(-lost // 2)
        if not image.step:
            edge = edge or image.least // 8
            edge = min(edge, (image.least - 1) // 2)
        return cls(image.least, image.step, edge)

    @property
    def multiple(self) -> int:
        """What the place and the length of a block must divide by."""
        return self.step or self.least - 2 * self.edge

    @property
    def halo(self) -> int:
        """How far around a tile a block must reach."""
        if not self.step:
            return self.least
        short = max(-(-(self.least - self.step) // 2), 0)
        return max(self.edge, short) + (self.step if self.least % self.step else 0)

    def windows(self, start: int, length: int, whole: int) -> list[Window]:
        """Return what to show of a block.

        Parameters
        ----------
        start, length
            Of the block in the image; it reaches `halo`, rounded up to `multiple`, around its tile.
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


def windows_of(
    sides: tuple[Side, ...],
    start: tuple[int, ...],
    lengths: tuple[int, ...],
    whole: tuple[int, ...],
) -> Iterator[tuple[Window, ...]]:
    """Yield what to show of a block, along all axes."""
    along = (
        side.windows(first, length, total)
        for side, first, length, total in zip(sides, start, lengths, whole, strict=True)
    )
    yield from product(*along)


__all__ = ["Side", "Window", "windows_of"]
