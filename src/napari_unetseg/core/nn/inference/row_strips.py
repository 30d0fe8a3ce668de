"""Convolutions computed a few rows at a time: the same numbers in less memory.

What is wide only between two layers, such as the middle of an inverted residual or inputs that are
concatenated, then exists for a few rows at a time, which fit the caches of a processor.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_unetseg.core.nn.networks.pretrained_trunk import InvertedResidual
from napari_unetseg.core.nn.networks.pretrained_unet import ConcatenatedConv, PretrainedUNet

_ROWS = 16
"""Rows of a strip of the result: enough that few are computed twice, few enough for the caches."""


def in_row_strips(network: nn.Module) -> nn.Module:
    """Compute the wide layers of a network in strips of rows; for prediction on a processor.

    Returns
    -------
    torch.nn.Module
        The network, changed in place.
    """
    if isinstance(network, PretrainedUNet):
        unet: Any = network
        unet.trunk.stem = RowStrips(unet.colours, unet.trunk.stem, nn.Identity())
        unet.colours = nn.Identity()
    for name, child in network.named_children():
        strips = _strips_of(child)
        if strips is None:
            in_row_strips(child)
        else:
            setattr(network, name, strips)
    return network


def _strips_of(module: nn.Module) -> nn.Module | None:
    if isinstance(module, InvertedResidual):
        return _ResidualStrips(module)
    if isinstance(module, ConcatenatedConv):
        return RowStrips(_concatenated, module[0], module[1:])
    return None


class RowStrips(nn.Module):
    """A convolution between steps that look at single pixels, computed in strips of rows.

    Parameters
    ----------
    before
        Makes the input of the convolution from those rows of all inputs.
    filters
        The convolution. Of its input, what lies beyond the edges is 0.
    after
        Makes the result from the output of the convolution.
    """

    def __init__(
        self, before: Callable[..., Tensor], filters: nn.Module, after: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        conv: Any = filters
        self.before, self.conv, self.after = before, conv, after
        (self.size, _), (self.stride, _) = conv.kernel_size, conv.stride
        self.ahead = (self.size - self.stride) // 2

    def forward(self, *inputs: Tensor) -> Tensor:
        """Map each (N, any, Y, X) to (N, any, Y / stride, X / stride)."""
        n, conv, out = inputs[0].shape[2], self.conv, None
        rows, behind = n // self.stride, self.size - self.stride - self.ahead
        # Zeros at the sides cost a copy unless they are as many at both.
        even = behind == self.ahead
        columns = (0, 0) if even else (self.ahead, behind)
        for start in range(0, rows, _ROWS):
            stop = min(start + _ROWS, rows)
            first = start * self.stride - self.ahead
            last = (stop - 1) * self.stride - self.ahead + self.size
            x = self.before(*(each[:, :, max(first, 0) : min(last, n)] for each in inputs))
            ends = (*columns, max(-first, 0), max(last - n, 0))
            x = F.pad(x, ends) if any(ends) else x
            within = (0, self.ahead * even)
            y = F.conv2d(x, conv.weight, conv.bias, conv.stride, within, groups=conv.groups)
            y = self.after(y)
            if out is None:
                sides = (len(y), y.shape[1], rows, y.shape[3])
                out = torch.empty(sides, dtype=y.dtype, memory_format=torch.channels_last)
            out[:, :, start:stop] = y
        return torch.as_tensor(out)


class _ResidualStrips(RowStrips):
    """An inverted residual in strips of rows."""

    def __init__(self, block: InvertedResidual) -> None:
        super().__init__(block.widened, block.depthwise, block.narrowed)
        self.block = block

    def forward(self, *inputs: Tensor) -> Tensor:
        y = super().forward(*inputs)
        return y.add_(*inputs) if self.block.adds else y


def _concatenated(*inputs: Tensor) -> Tensor:
    return torch.cat(inputs, 1)


__all__ = ["RowStrips", "in_row_strips"]
