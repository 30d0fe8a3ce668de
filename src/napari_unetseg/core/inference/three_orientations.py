"""`ThreeOrientations`: a segmenter of planes that sees a stack along all three of its axes.

A model of planes knows nothing of the planes above and below. The planes along Y and X through the
same pixels do: the mean of the three predictions separates objects that lie above each other, which
linking plane by plane cannot. The idea is that of Cellpose's 3D mode (Stringer et al. 2021).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.inference.segmenter import Segmenter, decoder_of
from napari_unetseg.core.inference.zoomed import at_zoom
from napari_unetseg.core.objects.decoders import DecoderSpec

Floats = NDArray[np.float32]
Sizes = tuple[int, ...]

_ACROSS = (0, 1, 2)
"""The axis of ZYX that the planes of each orientation lie across."""

_DEEPEST = 10.0
"""Most pixels made of one along Z: between thicker planes there is nothing to see."""


@dataclass(frozen=True, eq=False)
class ThreeOrientations:
    """A segmenter of stacks: the mean of a segmenter of planes in three orientations.

    Parameters
    ----------
    planes
        Segmenters of the planes YX, ZX and ZY, which differ in their zoom alone.
    halo, multiple, border
        As for `Segmenter`, for the axes ZYX.
    """

    planes: tuple[Segmenter, Segmenter, Segmenter]
    halo: Sizes = field(init=False)
    multiple: Sizes = field(init=False)
    border: Sizes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "halo", self._along_axes("halo", max))
        object.__setattr__(self, "multiple", self._along_axes("multiple", math.lcm))
        object.__setattr__(self, "border", self._along_axes("border", max))

    @classmethod
    def of(
        cls, segmenter: Segmenter, zoom: Sequence[float], spacing: Sequence[float]
    ) -> "ThreeOrientations":
        """Return the three orientations of a segmenter of planes.

        Parameters
        ----------
        segmenter
            Of planes, without a zoom.
        zoom
            Pixels it is shown for one of the image, along Y and X; empty for one.
        spacing
            Size of a pixel along Z, Y and X: planes along Z are stretched to pixels as wide as
            high, ten times at most. Empty where it is not known.
        """
        by_y, by_x = zoom or (1.0, 1.0)
        z, y, x = spacing if len(spacing) == 3 else (1.0, 1.0, 1.0)
        zooms = (by_y, by_x), (_deep(z, x) * by_x, by_x), (_deep(z, y) * by_y, by_y)
        yx, zx, zy = (at_zoom(segmenter, by if by != (1.0, 1.0) else ()) for by in zooms)
        return cls((yx, zx, zy))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.planes[0].classes

    @property
    def n_channels(self) -> int:
        """Channels of the image."""
        return self.planes[0].n_channels

    @property
    def ndim(self) -> int:
        """3: it sees stacks."""
        return 3

    @property
    def decoder(self) -> DecoderSpec | None:
        """Meaning of the maps; None when it learnt no objects."""
        return decoder_of(self.planes[0])

    def predict_proba(self, block: Floats, *, origin: Sizes, shape: Sizes) -> Floats:
        """Return the probability of each class in each pixel; see `Segmenter`."""
        return self._mean("predict_proba", block, origin, shape)

    def predict_maps(self, block: Floats, *, origin: Sizes, shape: Sizes) -> Floats:
        """Return the probability of each class, then the maps; see `ObjectSegmenter`."""
        return self._mean("predict_maps", block, origin, shape)

    def _mean(self, method: str, block: Floats, origin: Sizes, shape: Sizes) -> Floats:
        total: Any = None
        for across, segmenter in zip(_ACROSS, self.planes, strict=True):
            predict = getattr(segmenter, method)
            rest = [axis for axis in range(3) if axis != across]
            here: dict[str, Sizes] = {
                "origin": tuple(origin[axis] for axis in rest),
                "shape": tuple(shape[axis] for axis in rest),
            }
            for at in self._needed(across, origin, block.shape[1:], shape):
                where: Any = (slice(None),) * (across + 1) + (at,)
                said = predict(np.ascontiguousarray(block[where]), **here)
                if total is None:
                    total = np.zeros((len(said), *block.shape[1:]), np.float32)
                total[where] += said / np.float32(3)
        return np.asarray(total)

    def _needed(self, across: int, origin: Sizes, sides: Sizes, shape: Sizes) -> range:
        """Return the planes across an axis that mean anything: in the image, not in the halo."""
        first, length, end = origin[across], sides[across], shape[across]
        start = max(-first, self.halo[across] if first > 0 else 0)
        stop = length - self.halo[across] if first + length < end else end - first
        return range(start, max(stop, start + 1))

    def _along_axes(self, name: str, most: Any) -> Sizes:
        yx, zx, zy = (getattr(one, name) for one in self.planes)
        return most(zx[0], zy[0]), most(yx[0], zy[1]), most(yx[1], zx[1])


def _deep(step: float, pixel: float) -> float:
    """Return how many pixels one along Z is stretched to."""
    return min(max(step / pixel, 1 / _DEEPEST), _DEEPEST)


__all__ = ["ThreeOrientations"]
