"""A UNet whose encoder is a pretrained trunk, for planes; stacks go plane by plane.

Depends on torch, on `blocks` and on `pretrained_trunk` alone, so that it can travel inside a model
file.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from napari_unetseg.core.nn.networks.blocks import (
    RESOLUTION_HALVINGS,
    Enlarge,
    Shrink,
    SpaceToDepth,
    Style,
    convolution,
    initialise,
)
from napari_unetseg.core.nn.networks.pretrained_trunk import PretrainedTrunk

_ONE, _NEAR, _BOX = (1, 1), (3, 3), (2, 2)


class ConcatenatedConv(nn.Sequential):
    """A convolution, its normalisation and its activation, of several inputs side by side."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Map each (N, any, Y, X) to one (N, n_outputs, Y, X)."""
        result: Tensor = super().forward(torch.cat(inputs, 1))  # type: ignore[no-untyped-call]
        return result


class Colours(nn.Module):
    """Red, green and blue, as the trunk takes them, of the channels of an image.

    Parameters
    ----------
    shares, summand
        See `PretrainedUNet`, as ``colours``.
    """

    shares: Tensor

    def __init__(self, shares: Sequence[Sequence[float]], summand: float) -> None:
        super().__init__()
        self.register_buffer("shares", torch.tensor(shares), persistent=False)
        self.summand = summand

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, n_inputs, Y, X), of which the first are the image, to (N, 3, Y, X)."""
        image = x[:, : self.shares.shape[1]]
        mixed = torch.einsum("oc,ncyx->noyx", self.shares, image) + self.summand
        return mixed.contiguous(memory_format=torch.channels_last)


class PretrainedUNet(nn.Module):
    """Map an image to evidence for each class, pixel by pixel.

    The image goes through the trunk, whose outputs are joined from the coarsest to the finest, and
    at half the resolution, through one convolution, past it. The result is interpolated.

    Parameters
    ----------
    n_inputs, n_outputs
        Channels in, and numbers of evidence out.
    ndim
        2 for planes, 3 for stacks.
    width
        Channels of the decoder at half the resolution; twice, three and four times as many below.
    resolution
        See `PretrainedUNetSpec`, as for the options not listed here.
    colours, summand
        (3, channels of the image): shares in red, green and blue; added to all three.
    stem, stages, taps
        Of the trunk, see `PretrainedTrunk`.
    outputs
        Channels of the trunk's outputs, listed for each halving of the image.

    Attributes
    ----------
    offset
        Zeros: input and output have the same sides.
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        ndim: int,
        *,
        width: int,
        resolution: str,
        colours: Sequence[Sequence[float]],
        summand: float,
        stem: int,
        stages: Sequence[tuple[int, int, int, int, int]],
        taps: Sequence[int],
        outputs: Sequence[Sequence[int]],
        **style: Any,
    ) -> None:
        super().__init__()
        look = Style(ndim=2, **style)
        widths = [width * level for level in range(1, len(outputs) + 1)]
        self.own = nn.Sequential(SpaceToDepth(_BOX), convolution(n_inputs * 4, width, _NEAR, look))
        self.trunk = PretrainedTrunk(stem, stages, taps)

        def joined(n_inputs: int, n_outputs: int, kernel: tuple[int, int]) -> nn.Module:
            return ConcatenatedConv(*convolution(n_inputs, n_outputs, kernel, look).children())

        self.skips = nn.ModuleList([joined(sum(each), width, _ONE) for each in outputs[:-1]])
        self.bottom = joined(sum(outputs[-1]), widths[-1], _ONE)
        self.decode = nn.ModuleList(
            [
                joined(below + (2 if level == 0 else 1) * width, here, _NEAR)
                for level, (here, below) in enumerate(pairwise(widths))
            ]
        )
        self.up = Enlarge(_BOX)
        self.head = nn.Sequential(nn.Conv2d(width, n_outputs, 1), Enlarge(_BOX, n=n_outputs))
        self.shrink: nn.Module = nn.Identity()
        if halvings := RESOLUTION_HALVINGS[resolution]:
            self.shrink = Shrink((2**halvings,) * 2)
            self.head.append(Enlarge((2**halvings,) * 2, n=n_outputs))
        self.per_level = [len(each) for each in outputs]
        self.colours, self.offset = Colours(colours, summand), (0,) * ndim
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return evidence (N, n_outputs, *spatial) for images (N, n_inputs, *spatial)."""
        if x.ndim == 4:
            return self._of_planes(x)
        planes = self._of_planes(x.transpose(1, 2).flatten(0, 1))
        return torch.unflatten(planes, 0, (-1, x.shape[2])).transpose(1, 2)

    def _of_planes(self, x: Tensor) -> Tensor:
        x = self.shrink(x)
        found = self.trunk(self.colours(x))[::-1]
        levels: list[Tensor] = []
        for n, skip in zip(self.per_level, [*self.skips, self.bottom], strict=True):
            # What the trunk found is freed as soon as it is narrowed.
            levels.append(skip(*(found.pop() for _ in range(n))))
        y = levels.pop()
        for level in reversed(range(len(self.decode))):
            parts = [self.up(y), levels.pop()]
            if level == 0:
                parts.append(self.own(x))
            y = self.decode[level](*parts)
        evidence: Tensor = self.head(y)
        return evidence

    def encoder(self) -> list[nn.Module]:
        """Return the modules of the encoder, which a transfer keeps."""
        return [self.trunk]

    def layers(self) -> dict[str, nn.Module]:
        """Return the layers by name, in the order in which they are computed."""
        stages = {f"encoder {k}": stage for k, stage in enumerate(self.trunk.stages, 1)}
        ups = {f"up {k}": part for k, part in reversed(list(enumerate(self.decode, 1)))}
        return {**stages, "bottom": self.bottom, **ups}


__all__ = ["PretrainedUNet"]
