"""A small UNet that outlines the object of a prompt in a crop, and expects how well it did.

It works on half the resolution: each 2×2 pixels of the crop become channels of one, and the last
layer writes four pixels from one.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

N_INPUTS = 10
"""Channels that the network takes, see `core/prompts/click_maps.py`."""

WIDTHS = (32, 56, 88, 112)
"""Channels of each resolution, from the finest."""


class ConvNorm(nn.Sequential):
    """A convolution of 3×3 pixels, a normalisation and a rectifier."""

    def __init__(self, n_inputs: int, n_outputs: int, *, norm: bool) -> None:
        conv = nn.Conv2d(n_inputs, n_outputs, 3, padding=1, bias=not norm)
        layers = [conv, nn.BatchNorm2d(n_outputs)] if norm else [conv]
        super().__init__(*layers, nn.ReLU(inplace=True))


class ClickNetwork(nn.Module):
    """The network, with a normalisation after each convolution to be trained, or without to run.

    Parameters
    ----------
    norm
        Whether it has the normalisations; `without_norms` makes one that has none.
    widths
        Channels of each resolution, from the finest.
    """

    def __init__(self, *, norm: bool = False, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        before = 4 * N_INPUTS
        for width in widths:
            pair = ConvNorm(before, width, norm=norm), ConvNorm(width, width, norm=norm)
            self.down.append(nn.Sequential(*pair))
            before = width
        for below, width in zip(widths[:0:-1], widths[-2::-1], strict=True):
            pair = ConvNorm(below + width, width, norm=norm), ConvNorm(width, width, norm=norm)
            self.up.append(nn.Sequential(*pair))
        self.mask = nn.Conv2d(widths[0], 4, 1)
        self.score = nn.Sequential(
            nn.Linear(2 * widths[0] + widths[-1] + 1, 48), nn.ReLU(inplace=True), nn.Linear(48, 1)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, N_INPUTS, Y, X), sides multiples of 16, to the logits of mask and score.

        Returns
        -------
        mask (N, Y, X), score (N,)
        """
        x = F.pixel_unshuffle(x, 2)
        skips = []
        for number, stage in enumerate(self.down):
            x = stage(F.max_pool2d(x, 2) if number else x)
            skips.append(x)
        deepest = skips.pop()
        x = deepest
        for stage in self.up:
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = stage(torch.cat([x, skips.pop()], 1))
        mask = self.mask(x)
        inside = torch.sigmoid(mask.detach().mean(1, keepdim=True))
        share = inside.mean((1, 2, 3), keepdim=False)[:, None]
        of_mask = (x * inside).mean((2, 3)) / (share + 1e-3)
        pooled = torch.cat([of_mask, x.mean((2, 3)), deepest.mean((2, 3)), share], 1)
        return F.pixel_shuffle(mask, 2)[:, 0], self.score(pooled)[:, 0]


def without_norms(network: ClickNetwork, widths: tuple[int, ...] = WIDTHS) -> ClickNetwork:
    """Return the same function with each normalisation folded into the convolution before it."""
    bare = ClickNetwork(norm=False, widths=widths).eval()
    state = {k: v for k, v in network.state_dict().items() if k.startswith(("mask.", "score."))}
    for name, module in network.named_modules():
        if isinstance(module, ConvNorm):
            conv: Any = module[0]
            norm: Any = module[1]
            gain = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
            state[f"{name}.0.weight"] = conv.weight * gain[:, None, None, None]
            state[f"{name}.0.bias"] = norm.bias - norm.running_mean * gain
    bare.load_state_dict({k: v.detach().clone() for k, v in state.items()})
    return bare


__all__ = ["N_INPUTS", "WIDTHS", "ClickNetwork", "ConvNorm", "without_norms"]
