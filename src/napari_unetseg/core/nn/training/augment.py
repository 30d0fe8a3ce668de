"""Data augmentation: flips, rotation, scaling, elastic deformation, intensity, blur and noise.

Each works on a whole batch and is drawn from a generator. Geometry moves the image, the targets
and the weights alike; intensity, blur and noise change the image alone. Pixels from beyond the
patch have the weight 0.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_unetseg.core.annotation.train_options import TrainOptions

_BEND_GRID = 64
"""Pixels between the knots of an elastic deformation."""


@dataclass(frozen=True)
class TrainingBatch:
    """Patches: image (N, C, *spatial) float32, target (N, *spatial) int64, weight (N, *spatial).

    The image may be larger than the other tensors, which then are of its middle. The first
    `n_image` channels are intensity; position terms follow, which only geometry changes.
    `maps` (N, maps + 1, *spatial) are those of an object decoder and, last, the weight of each
    pixel; `guess` (N, classes + 1, *spatial) likewise the probabilities of a lower rung.
    """

    image: Tensor
    target: Tensor
    weight: Tensor
    n_image: int
    maps: Tensor | None = None
    guess: Tensor | None = None

    def to(self, device: torch.device) -> "TrainingBatch":
        """Return the batch on a device."""
        image, target, weight = (t.to(device) for t in (self.image, self.target, self.weight))
        maps, guess = (None if t is None else t.to(device) for t in (self.maps, self.guess))
        return TrainingBatch(image, target, weight, self.n_image, maps, guess)


def augment(
    batch: TrainingBatch, options: TrainOptions, generator: torch.Generator
) -> TrainingBatch:
    """Augment a batch at random.

    Parameters
    ----------
    batch
        On the CPU; not changed.
    options
        Kinds and sizes of the changes.
    generator
        On the CPU. The same state gives the same batch.
    """
    if options.flips or options.quarter_turns:
        batch = _mirrored(batch, options, generator)
    if options.rotation or options.scale or options.elastic:
        batch = _warped(batch, options, generator)
    image = batch.image
    light = image[:, : batch.n_image]
    if options.blur:
        light = _blurred(light, options.blur, generator)
    if options.intensity:
        light = _relit(light, options.intensity, generator)
    if options.noise:
        spread = options.noise * _uniform(len(light), light.ndim, 0, 1, generator)
        grain = torch.randn(light.shape, generator=generator)
        light = light + spread * light.std() * grain
    image = torch.cat([light, image[:, batch.n_image :]], 1) if light is not image else image
    return replace(batch, image=image)


def _uniform(n: int, ndim: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Draw a number for each patch, shaped to multiply with a tensor of `ndim` axes."""
    numbers = torch.rand(n, generator=generator) * (high - low) + low
    return numbers.reshape(n, *[1] * (ndim - 1))


def _mirrored(
    batch: TrainingBatch, options: TrainOptions, generator: torch.Generator
) -> TrainingBatch:
    """Flip the axes of each patch, and rotate it by quarter turns, or half ones if not square."""
    n, ndim = len(batch.target), batch.target.ndim - 1
    moves: list[list[int]] = [[] for _ in range(n)]
    turns = [0] * n
    if options.flips:
        coins = torch.rand(n, ndim, generator=generator) < 0.5
        moves = [[axis - ndim for axis in range(ndim) if coin[axis]] for coin in coins.tolist()]
    if options.quarter_turns:
        sides = {(stack.shape[-1], stack.shape[-2]) for stack in (batch.target, batch.image)}
        step = 1 if all(one == other for one, other in sides) else 2
        turns = [step * k for k in torch.randint(0, 4 // step, (n,), generator=generator).tolist()]

    def moved(stack: Tensor) -> Tensor:
        return torch.stack(
            [
                torch.rot90(patch.flip(axes), turn, (-2, -1))
                for patch, axes, turn in zip(stack, moves, turns, strict=True)
            ]
        )

    maps, guess = (None if t is None else moved(t) for t in (batch.maps, batch.guess))
    image, target, weight = (moved(t) for t in (batch.image, batch.target, batch.weight))
    return TrainingBatch(image, target, weight, batch.n_image, maps, guess)


def _warped(
    batch: TrainingBatch, options: TrainOptions, generator: torch.Generator
) -> TrainingBatch:
    """Rotate, scale and deform the planes of each patch about its middle."""
    n = len(batch.target)
    rows, columns = batch.image.shape[-2:]
    angle = torch.deg2rad(_uniform(n, 1, -options.rotation, options.rotation, generator))
    zoom = math.log1p(options.scale)
    factor = torch.exp(_uniform(n, 1, -zoom, zoom, generator))
    grid = _pixel_grid(rows, columns)
    cos, sin = torch.cos(angle) / factor, torch.sin(angle) / factor
    turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    places = torch.einsum("nij,yxj->nyxi", turn, grid)
    if options.elastic:
        places = places + _bend(n, rows, columns, options.elastic, generator)
    return _sampled(batch, places, n)


def _pixel_grid(rows: int, columns: int) -> Tensor:
    """Return (rows, columns, 2): x and y of each pixel from the middle, in pixels."""
    y, x = torch.arange(rows) + 0.5 - rows / 2, torch.arange(columns) + 0.5 - columns / 2
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def _bend(n: int, rows: int, columns: int, pixels: float, generator: torch.Generator) -> Tensor:
    """Draw smooth displacements (N, rows, columns, 2) of about `pixels` at most."""
    knots = [math.ceil(side / _BEND_GRID) + 3 for side in (rows, columns)]
    coarse = (torch.rand(n, 2, *knots, generator=generator) * 2 - 1) * pixels
    fine = F.interpolate(coarse, (rows, columns), mode="bicubic", align_corners=True)
    return fine.movedim(1, -1)


def _sampled(batch: TrainingBatch, places: Tensor, n: int) -> TrainingBatch:
    """Sample the batch at places (N, rows, columns, 2), in pixels from the middle.

    A stack is sampled plane by plane, at the same places in each.
    """

    def read(stack: Tensor, mode: str, beyond: str) -> Tensor:
        rows, columns = stack.shape[-2:]
        top, left = (places.shape[1] - rows) // 2, (places.shape[2] - columns) // 2
        inner = places[:, top : top + rows, left : left + columns]
        grid = inner / torch.tensor([columns / 2, rows / 2])
        depth = stack.shape[2] if stack.ndim == 5 else 1
        flat = stack.movedim(2, 1).flatten(0, 1) if stack.ndim == 5 else stack
        grid = grid.repeat_interleave(depth, 0)
        out = F.grid_sample(flat, grid, mode=mode, padding_mode=beyond, align_corners=False)
        return out.reshape(n, depth, *out.shape[1:]).movedim(1, 2) if stack.ndim == 5 else out

    def graded(stack: Tensor | None) -> Tensor | None:
        if stack is None:
            return None
        counts = read(stack[:, -1:], "nearest", "zeros")
        return torch.cat([read(stack[:, :-1], "bilinear", "reflection"), counts], 1)

    image = read(batch.image, "bilinear", "reflection")
    known = torch.stack([batch.target.float(), batch.weight], 1)
    target, weight = read(known, "nearest", "zeros").unbind(1)
    maps, guess = graded(batch.maps), graded(batch.guess)
    return TrainingBatch(image, target.round().long(), weight, batch.n_image, maps, guess)


def _blurred(light: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """Blur the planes of each patch with a random Gaussian; every second patch not at all."""
    radius = math.ceil(3 * sigma)
    n, channels = light.shape[:2]
    chosen = (_uniform(n, 1, -sigma, sigma, generator)).clamp_min(0)
    taps = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-0.5 * (taps / chosen.clamp_min(1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    depth = light.shape[2] if light.ndim == 5 else 1
    flat = light.reshape(n * channels, depth, *light.shape[-2:]).movedim(1, 0)
    across = ((-1, 1, 2 * radius + 1, 1), (0, 0, radius, radius))
    along = ((-1, 1, 1, 2 * radius + 1), (radius, radius, 0, 0))
    for shape, edge in (across, along):
        padded = F.pad(flat, edge, mode="replicate")
        flat = F.conv2d(padded, kernel.reshape(shape), groups=n * channels)
    return flat.movedim(0, 1).reshape(light.shape)


def _relit(light: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """Change gain, offset and gamma of each patch, in units of the batch's own spread.

    Gamma is a parabola with fixed points two deviations below and above the mean: its first-order
    correction, which gives no NaN for negative intensities.
    """
    n, ndim = len(light), light.ndim
    gain = 1 + _uniform(n, ndim, -amount, amount, generator)
    offset = _uniform(n, ndim, -amount, amount, generator)
    bow = _uniform(n, ndim, -amount, amount, generator) / 8
    mean, spread = light.mean(), light.std().clamp_min(1e-6)
    z = (light - mean) / spread
    return mean + spread * (gain * z + offset + bow * (z * z - 4).clamp(-4, 12))
