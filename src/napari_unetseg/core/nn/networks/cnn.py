"""A short chain of convolutions: the rung below the UNet.

Depends on torch and on `blocks` alone, so that it can travel inside a model file.
"""

import math
from typing import Any

from torch import Tensor, nn

from napari_unetseg.core.nn.networks.blocks import (
    CONVOLUTION,
    RESOLUTION_HALVINGS,
    Enlarge,
    Linear,
    Shrink,
    Style,
    convolution,
    downsampling,
    initialise,
)


class CNN(nn.Module):
    """Map an image to evidence for each class, pixel by pixel, at full resolution.

    Parameters
    ----------
    n_inputs, n_outputs
        Channels in, and numbers of evidence out.
    ndim
        2 for planes, 3 for stacks.
    **options
        The fields of `CnnSpec`, which describes each.

    Attributes
    ----------
    offset
        Place in the input of the first pixel of the output, per axis: zeros.
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        ndim: int,
        *,
        layers: int,
        width: int,
        context: str,
        poolings: int,
        flat_levels: int,
        resolution: str,
        alignment: str = "corners",
        **style: Any,
    ) -> None:
        super().__init__()
        look = Style(ndim=ndim, **style)
        lowered = RESOLUTION_HALVINGS[resolution]
        shrunk = look.box(lowered, flat_levels)
        flat_levels = max(flat_levels - lowered, 0)
        halved = range(poolings if context == "pooling" else 0)
        strides = [look.kernel(layer < flat_levels, size=2) for layer in halved]
        dilations = [2**layer if context == "dilation" else 1 for layer in range(layers)]

        body: list[nn.Module] = []
        for layer, dilation in enumerate(dilations):
            kernel = look.kernel(layer < flat_levels)
            entering = width if layer else n_inputs
            body.append(convolution(entering, width, kernel, look, dilation))
            if layer in halved:
                body.append(downsampling("max", width, strides[layer], ndim))
        if look.dropout:
            body.append(nn.Dropout(look.dropout))
        back: list[nn.Module] = []
        if alignment == "middles" and strides:
            back.append(Enlarge(tuple(math.prod(sides) for sides in zip(*strides, strict=True))))
        elif alignment == "corners":
            back += [Linear(stride, [step - 1 for step in stride]) for stride in reversed(strides)]
        if lowered:
            back.append(Enlarge(shrunk))

        self.stem = Shrink(shrunk) if lowered else nn.Identity()
        self.body = nn.Sequential(*body)
        self.head = nn.Sequential(CONVOLUTION[ndim](width, n_outputs, 1), *back)
        self.offset = (0,) * ndim
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return evidence (N, n_outputs, *spatial) for images (N, n_inputs, *spatial)."""
        return self.head(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        """Compute the activations of the last layer, (N, width, *spatial), reduced by poolings."""
        return self.body(self.stem(x))
