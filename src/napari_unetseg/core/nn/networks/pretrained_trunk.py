"""The first layers of EfficientNet-Lite0, down to a sixteenth of the image's resolution.

Batch normalisation is folded into the convolutions. Convolutions that halve the image pad it as the
original does, more at the end than at the beginning, so their grid is the same wherever a block of
whole multiples of 16 pixels begins.

References
----------
Tan and Le: EfficientNet, rethinking model scaling for convolutional neural networks, ICML 2019.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class HalvingConv(nn.Conv2d):
    """A convolution padded to keep the sides, or to halve even ones on a grid that starts at 0.

    Parameters
    ----------
    n_inputs, n_outputs, kernel, stride, groups
        See `torch.nn.Conv2d`; the kernel's side is odd, the stride 1 or 2.
    """

    def __init__(
        self, n_inputs: int, n_outputs: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
        even = before == after
        super().__init__(
            n_inputs, n_outputs, kernel, stride, padding=before if even else 0, groups=groups
        )
        self.more = None if even else (before, after, before, after)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, n_inputs, Y, X)."""
        return super().forward(x if self.more is None else F.pad(x, self.more))


class InvertedResidual(nn.Module):
    """A block that widens, filters each channel by itself, and narrows again.

    Parameters
    ----------
    n_inputs, n_outputs
        Channels before and after. Where they and the sides are equal, the input is added.
    kernel, stride
        Of the filters.
    widening
        Channels in the middle for each before.
    """

    def __init__(
        self, n_inputs: int, n_outputs: int, kernel: int, stride: int, widening: int
    ) -> None:
        super().__init__()
        wide = n_inputs * widening
        self.expand = HalvingConv(n_inputs, wide, 1) if widening > 1 else None
        self.depthwise = HalvingConv(wide, wide, kernel, stride, groups=wide)
        self.project = HalvingConv(wide, n_outputs, 1)
        self.adds = stride == 1 and n_inputs == n_outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, n_inputs, Y, X) to (N, n_outputs, Y / stride, X / stride)."""
        y = self.narrowed(self.depthwise(self.widened(x)))
        return y + x if self.adds else y

    def widened(self, x: Tensor) -> Tensor:
        """Return the input of the filters."""
        return x if self.expand is None else F.relu6(self.expand(x), inplace=True)

    def narrowed(self, y: Tensor) -> Tensor:
        """Return the result, without what is added, of the output of the filters."""
        return self.project(F.relu6(y, inplace=True))


class PretrainedTrunk(nn.Module):
    """Stem and stages of inverted residuals.

    Parameters
    ----------
    stem
        Channels of the first convolution, of stride 2.
    stages
        Of each stage: channels, kernel, stride, widening, blocks.
    taps
        Numbers of the stages whose output is wanted, from 1; 0 is the stem.
    """

    def __init__(
        self, stem: int, stages: Sequence[tuple[int, int, int, int, int]], taps: Sequence[int]
    ) -> None:
        super().__init__()
        self.stem = HalvingConv(3, stem, 3, 2)
        self.stages, before = nn.ModuleList(), stem
        for channels, kernel, stride, widening, n_blocks in stages:
            blocks = []
            for number in range(n_blocks):
                step = stride if number == 0 else 1
                blocks.append(InvertedResidual(before, channels, kernel, step, widening))
                before = channels
            self.stages.append(nn.Sequential(*blocks))
        self.taps = frozenset(taps)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (N, 3, Y, X), sides multiples of 16, to the outputs wanted, finest first."""
        x = F.relu6(self.stem(x), inplace=True)
        found = [x] if 0 in self.taps else []
        for number, stage in enumerate(self.stages, start=1):
            x = stage(x)
            if number in self.taps:
                found.append(x)
        return found


class TrunkOfImages(nn.Module):
    """The features of a trunk for each pixel of whole images, plane by plane.

    Parameters
    ----------
    trunk
        With its weights.
    colours
        (3, C): shares of the image's channels in red, green and blue, times their brightness.
    summand
        Added to all three.
    step
        Multiple that sides are mirrored to at their end.
    """

    colours: Tensor

    def __init__(self, trunk: PretrainedTrunk, colours: Tensor, summand: float, step: int) -> None:
        super().__init__()
        self.trunk, self.summand, self.step = trunk, summand, step
        self.register_buffer("colours", colours)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, *spatial) to (N, features, *spatial)."""
        # Planes of stacks go with the images.
        flat = images.ndim == 4
        planes = images if flat else images.transpose(1, 2).flatten(0, 1)
        height, width = planes.shape[2:]
        mixed = torch.einsum("oc,ncyx->noyx", self.colours, planes) + self.summand
        filled = self._filled(self._filled(mixed, 2), 3)
        sides = filled.shape[2:]
        found = [
            F.interpolate(output, size=sides, mode="bilinear", align_corners=False)
            for output in self.trunk(filled)
        ]
        features = torch.cat(found, 1)[:, :, :height, :width]
        if flat:
            return features
        depth = images.shape[2]
        return torch.unflatten(features, 0, (-1, depth)).transpose(1, 2)

    def _filled(self, x: Tensor, axis: int) -> Tensor:
        n = x.shape[axis]
        place = torch.arange((n + self.step - 1) // self.step * self.step, device=x.device)
        place = place % (2 * n)
        return x.index_select(axis, torch.minimum(place, 2 * n - 1 - place))


__all__ = ["HalvingConv", "InvertedResidual", "PretrainedTrunk", "TrunkOfImages"]
