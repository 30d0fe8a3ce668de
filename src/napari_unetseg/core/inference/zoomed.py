"""`Zoomed`: a segmenter that sees the image enlarged or shrunk, and answers on the image's grid.

A network knows objects of the size that it learnt. Shown others at that size it finds them too, so
every block is resampled on its way to the network, and what the network says on its way back. Where
a pixel of the network's grid lies depends on its place in the whole image and not on the block, so
that tiles give what the whole does, of planes and of stacks, however large they are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_unetseg.core.compute.rounding import round_up
from napari_unetseg.core.inference.segmenter import Segmenter, decoder_of
from napari_unetseg.core.objects.decoders import DecoderSpec

Floats = NDArray[np.float32]
Sizes = tuple[int, ...]

_TRUNCATE = 3.0
"""Breadth of the blur before shrinking, in its standard deviations."""


@dataclass(frozen=True, eq=False)
class Zoomed:
    """A segmenter behind a zoom.

    Parameters
    ----------
    segmenter
        What sees the resampled image.
    zoom
        Pixels of its image to one of ours, per axis: above 1 the image is enlarged for it.
    """

    segmenter: Segmenter
    zoom: tuple[float, ...]
    halo: Sizes = field(init=False)
    border: Sizes = field(init=False)

    def __post_init__(self) -> None:
        inner = self.segmenter
        axes = list(zip(inner.multiple, self.zoom, strict=True))
        pairs = zip(inner.halo, axes, strict=True)
        # A tile may begin between two places of the network's grid, and a block too.
        halo = (_pixels(reach + 2 * step, by) for reach, (step, by) in pairs)
        border = (_pixels(b + s, by) for b, (s, by) in zip(inner.border, axes, strict=True))
        object.__setattr__(self, "halo", tuple(halo))
        object.__setattr__(self, "border", tuple(border))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.segmenter.classes

    @property
    def n_channels(self) -> int:
        """Channels of the image."""
        return self.segmenter.n_channels

    @property
    def ndim(self) -> int:
        """2 or 3."""
        return self.segmenter.ndim

    @property
    def multiple(self) -> Sizes:
        """What the place and the sides of a block must divide by: nothing."""
        return (1,) * self.ndim

    @property
    def decoder(self) -> DecoderSpec | None:
        """What the maps mean; None when it learnt no objects."""
        return decoder_of(self.segmenter)

    def predict_proba(self, block: Floats, *, origin: Sizes, shape: Sizes) -> Floats:
        """Return the probability of each class in each pixel; see `Segmenter`."""
        return self._on_our_grid(self.segmenter.predict_proba, block, origin, shape)

    def predict_maps(self, block: Floats, *, origin: Sizes, shape: Sizes) -> Floats:
        """Return the probability of each class, then the maps; see `ObjectSegmenter`."""
        inner: Any = self.segmenter
        return self._on_our_grid(inner.predict_maps, block, origin, shape)

    def _on_our_grid(self, predict: Any, block: Floats, origin: Sizes, shape: Sizes) -> Floats:
        axes = zip(origin, block.shape[1:], self.segmenter.multiple, self.zoom, strict=True)
        spans = [_span(*axis) for axis in axes]
        first, sides = [a for a, _ in spans], [b - a for a, b in spans]
        shown = resampled(block, self.zoom, origin, first, sides)
        whole = tuple(max(1, round(n * by)) for n, by in zip(shape, self.zoom, strict=True))
        said = predict(shown, origin=tuple(first), shape=whole)
        back = [1 / by for by in self.zoom]
        return resampled(said, back, first, origin, block.shape[1:])


def resampled(
    array: Floats,
    zoom: Sequence[float],
    origin: Sequence[int],
    first: Sequence[int],
    sides: Sequence[int],
) -> Floats:
    """Return a piece of an image at another resolution: (C, *sides), float32.

    Parameters
    ----------
    array
        (C, *spatial): a piece of the image; continued by its rim where more is asked for.
    zoom
        New pixels to one of `array`, per axis.
    origin, first
        Place of the first pixel of `array`, and of the result, each on its own grid. The grids
        share the corner of the whole image.
    sides
        Of the result.

    Notes
    -----
    Linear interpolation, after a Gaussian blur along the axes that are shrunk, as
    `skimage.transform.resize` does it.
    """
    starts = [(k + 0.5) / by - 0.5 - o for k, by, o in zip(first, zoom, origin, strict=True)]
    sigmas = [max(0.0, (1 / by - 1) / 2) for by in zoom]
    out = np.empty((len(array), *sides), np.float32)
    for plane, result in zip(array, out, strict=True):
        if any(sigmas):
            plane = scipy.ndimage.gaussian_filter(plane, sigmas, mode="nearest", truncate=_TRUNCATE)
        steps = np.array([1 / by for by in zoom])
        scipy.ndimage.affine_transform(
            plane, steps, starts, output=result, output_shape=tuple(sides), order=1, mode="nearest"
        )
    return out


def at_zoom(segmenter: Segmenter, zoom: tuple[float, ...]) -> Segmenter:
    """Return a segmenter that sees the image at a zoom; itself where that is empty."""
    return Zoomed(segmenter, zoom) if zoom else segmenter


def memory_per_pixel(segmenter: Segmenter) -> float:
    """Return the memory for a pixel of the image, compared with a UNet at full resolution."""
    if isinstance(segmenter, Zoomed):
        return math.prod(segmenter.zoom) * memory_per_pixel(segmenter.segmenter)
    of_network: float = getattr(segmenter, "memory_per_pixel", 1.0)
    return of_network / math.prod(getattr(segmenter, "shrink", ()))


def _pixels(reach: int, by: float) -> int:
    """Return a reach in the network's pixels in ours, with what resampling there and back takes."""
    blur = _TRUNCATE * abs(1 / by - 1) / 2 if by < 1 else _TRUNCATE * (by - 1) / 2 / by
    return math.ceil((reach + 1) / by + blur) + 2


def _span(origin: int, length: int, multiple: int, by: float) -> tuple[int, int]:
    """Return the first place, and the one after the last, that a block tells on the other grid."""
    first = math.ceil((origin + 0.5) * by - 0.5)
    last = math.floor((origin + length - 0.5) * by - 0.5) + 1
    start = round_up(first, multiple)
    return start, max(last // multiple * multiple, start + multiple)


__all__ = ["Zoomed", "at_zoom", "memory_per_pixel", "resampled"]
