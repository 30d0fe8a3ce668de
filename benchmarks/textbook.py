"""Define the textbook UNet and the training loop of the tutorials, as a reference for our own.

Imported by the benchmarks next to it. Written in plain torch, without code of the package: 32
channels doubled at each of four halvings, two 3x3 convolutions with normalisation and ReLU per
level, max pooling, 2x2 transposed convolutions, concatenated skip connections. The loop draws
random patches, mirrors and rotates them, and takes a step of Adam on their cross-entropy.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

PATCH, BATCH, RATE = 256, 4, 1e-3
WIDTH, DEPTH = 32, 4

Array = NDArray[Any]


def convolutions(before: int, after: int) -> nn.Sequential:
    """Make the two convolutions of a level."""
    steps: list[nn.Module] = []
    for n in (before, after):
        steps += [nn.Conv2d(n, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*steps)


class TextbookUNet(nn.Module):
    """Map (N, n_inputs, Y, X) to (N, n_outputs, Y, X); sides are multiples of 2**depth."""

    def __init__(
        self, n_inputs: int = 1, n_outputs: int = 2, width: int = WIDTH, depth: int = DEPTH
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(
            convolutions(before, after)
            for before, after in zip([n_inputs, *widths], widths, strict=False)
        )
        pairs = list(itertools.pairwise(widths))[::-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(wide, n, 2, stride=2) for n, wide in pairs)
        self.decode = nn.ModuleList(convolutions(2 * n, n) for n, _ in pairs)
        self.head = nn.Conv2d(width, n_outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        passed: list[Tensor] = []
        for number, level in enumerate(self.down):
            x = level(F.max_pool2d(x, 2) if number else x)
            passed.append(x)
        passed.pop()
        for up, decode in zip(self.up, self.decode, strict=True):
            x = decode(torch.cat([passed.pop(), up(x)], 1))
        return self.head(x)


@dataclass
class PlainLoop:
    """Train a network on images (C, Y, X), float32, and masks (Y, X) of class numbers.

    Parameters
    ----------
    patch
        Side of the patches.
    fast_layout
        Use the channels-last memory layout, unlike the loop of the tutorials.
    """

    network: nn.Module
    images: list[Array]
    masks: list[Array]
    seed: int = 0
    patch: int = PATCH
    fast_layout: bool = False
    optimiser: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=RATE)
        self._chance = np.random.default_rng(self.seed)
        self._format = torch.channels_last if self.fast_layout else torch.contiguous_format
        self.network.train().to(memory_format=self._format)

    def step(self, rate: float = RATE) -> float:
        """Take one step and return its loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        drawn = list(self._draw())
        images = torch.from_numpy(np.stack([image for image, _ in drawn]))
        masks = torch.from_numpy(np.stack([mask for _, mask in drawn]))
        said = self.network(images.contiguous(memory_format=self._format))
        loss = F.cross_entropy(said, masks)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return float(loss.detach())

    def _draw(self) -> Iterator[tuple[Array, Array]]:
        for _ in range(BATCH):
            number = int(self._chance.integers(len(self.images)))
            image, mask = self.images[number], self.masks[number]
            missing = [max(self.patch - side, 0) for side in mask.shape]
            if any(missing):
                ends = [(0, n) for n in missing]
                image, mask = (
                    np.pad(image, [(0, 0), *ends], "reflect"),
                    np.pad(mask, ends, "reflect"),
                )
            y, x = (int(self._chance.integers(side - self.patch + 1)) for side in mask.shape)
            turns, mirrored = int(self._chance.integers(4)), bool(self._chance.integers(2))
            cut = (
                image[:, y : y + self.patch, x : x + self.patch],
                mask[y : y + self.patch, x : x + self.patch],
            )
            turned = (np.rot90(one, turns, (-2, -1)) for one in cut)
            image, mask = (one[..., ::-1] if mirrored else one for one in turned)
            yield np.ascontiguousarray(image, np.float32), np.ascontiguousarray(mask, np.int64)


def tiled(network: nn.Module, image: Array, tile: int = PATCH) -> Array:
    """Predict the probabilities of an image (C, Y, X) in tiles without overlap: the least work."""
    sides = image.shape[1:]
    ends = [(0, -side % 2**DEPTH) for side in sides]
    whole = np.pad(image, [(0, 0), *ends], "reflect")
    rows = []
    with torch.inference_mode():
        for y in range(0, whole.shape[1], tile):
            row = [
                torch.softmax(
                    network(
                        torch.from_numpy(
                            np.ascontiguousarray(
                                whole[None, :, y : y + tile, x : x + tile], np.float32
                            )
                        )
                    ),
                    1,
                )[0]
                for x in range(0, whole.shape[2], tile)
            ]
            rows.append(torch.cat(row, 2))
    return torch.cat(rows, 1).numpy()[:, : sides[0], : sides[1]]
