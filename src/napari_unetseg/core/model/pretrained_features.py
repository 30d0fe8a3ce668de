"""Features of a network pretrained on photographs, for the pixel rungs: shape and weights.

The network is EfficientNet-Lite0 down to a sixteenth of the resolution. Its weights come with the
package, in half precision, and are checked by their hash. They were trained on photographs, and
then a little on micrographs, so that a few strokes are enough.

References
----------
Tan and Le: EfficientNet, rethinking model scaling for convolutional neural networks, ICML 2019.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.model.shipped_weights import FOLDER, read_weights

FloatArray = NDArray[np.float32]

NAME = "EfficientNet-Lite0"
FILE = FOLDER / "pretrained_features.npz"
SHA256 = "022afda11ce72695bc2e0f2bfdf495e5ba65254087c2d8c225157882c6ae2c84"
"""Of the weights file."""

STEM = 32
"""Channels of the first convolution, of stride 2 and kernel 3."""

STAGES = (
    (16, 3, 1, 1, 1),
    (24, 3, 2, 6, 2),
    (40, 5, 2, 6, 2),
    (80, 3, 2, 6, 3),
    (112, 5, 1, 6, 3),
)
"""Channels, kernel, stride, widening and number of blocks of each stage."""

TAPS = (0, 1, 2, 3, 5)
"""Stages whose output is among the features; 0 is the first convolution."""

INPUTS = 3
"""Channels that the network takes: red, green and blue."""

GREY, CONTRAST = 0.498, 0.502
"""Intensity between 0 and 1 that the network takes for 0, and the difference it takes for 1."""


@dataclass(frozen=True)
class Tap:
    """One output of the network.

    Parameters
    ----------
    channels
        Number of features.
    step
        Pixels from one to the next.
    left, right
        Pixels that the first one depends on, as offsets from the first pixel: from left to right.
    """

    channels: int
    step: int
    left: int
    right: int

    @property
    def first(self) -> float:
        """Place of the first one, in pixels from the middle of the first pixel."""
        return (self.step - 1) / 2


def _taps() -> tuple[Tap, ...]:
    """Return the outputs, from the sizes of the stages."""
    # Kernel, stride and padding before, of each convolution that looks at neighbours.
    layers = [(3, 2, 0)]
    found = [(STEM, list(layers))]
    for channels, kernel, stride, _, n_blocks in STAGES:
        for number in range(n_blocks):
            step = stride if number == 0 else 1
            layers.append((kernel, step, (kernel - step) // 2))
        found.append((channels, list(layers)))
    taps = []
    for number in TAPS:
        channels, seen = found[number]
        left, right, step = 0, 0, 1
        for kernel, stride, before in reversed(seen):
            left, right = left * stride - before, right * stride - before + kernel - 1
            step *= stride
        taps.append(Tap(channels, step, left, right))
    return tuple(taps)


OUTPUTS = _taps()


class PretrainedFeatures:
    """Number and receptive field of the features; the sizes are those of each plane."""

    @property
    def count(self) -> int:
        """Number of features per pixel."""
        return sum(tap.channels for tap in OUTPUTS)

    def halo(self, ndim: int) -> tuple[int, ...]:
        """Return the halo in pixels that a tile needs, per axis."""
        reach = 0
        for tap in OUTPUTS:
            for pixel in range(tap.step):
                before = int((pixel - tap.first) // tap.step) * tap.step
                after = before + (tap.step if (pixel - tap.first) % tap.step else 0)
                reach = max(reach, pixel - before - tap.left, after + tap.right - pixel)
        return (*(0,) * (ndim - 2), reach, reach)

    def multiple(self, ndim: int) -> tuple[int, ...]:
        """Return the divisor of a block's position and sides, per axis."""
        step = max(tap.step for tap in OUTPUTS)
        return (*(1,) * (ndim - 2), step, step)

    def border(self, ndim: int) -> tuple[int, ...]:
        """Return how far the image is mirrored beyond its edges, per axis: not at all.

        The network was trained with zeros there.
        """
        return (0,) * ndim


PRETRAINED = PretrainedFeatures()


@cache
def pretrained_weights() -> Mapping[str, FloatArray]:
    """Read the network's weights by name, float32. Kept.

    Raises
    ------
    InputError
        When the file is missing or damaged.
    """
    return read_weights(
        FILE, SHA256, of="the pretrained features", instead="choose the filter bank"
    )


def colours(n_channels: int) -> FloatArray:
    """Return how an image's channels make red, green and blue: (3, n_channels), rows of sum 1.

    One channel is repeated, three are kept; any other number is stretched or squeezed to three in
    order, as a row of pixels is resized: of two the middle is their mean.
    """
    edges = np.arange(n_channels + 1) * INPUTS / n_channels
    shares = [
        np.clip(np.minimum(edges[1:], k + 1) - np.maximum(edges[:-1], k), 0, None)
        for k in range(INPUTS)
    ]
    return np.array(shares, np.float32)


__all__ = [
    "CONTRAST",
    "GREY",
    "INPUTS",
    "NAME",
    "OUTPUTS",
    "PRETRAINED",
    "SHA256",
    "STAGES",
    "STEM",
    "TAPS",
    "PretrainedFeatures",
    "colours",
    "pretrained_weights",
]
