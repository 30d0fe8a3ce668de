"""The building blocks of the networks, for planes and for stacks.

Depends on torch alone, so that it can travel inside a model file. Options become modules when the
network is built: no `forward` tests an option.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Sizes = tuple[int, ...]
"""One number for each spatial axis."""

CONVOLUTION: dict[int, Callable[..., nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, Callable[..., nn.Module]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
BATCH_NORM: dict[int, Callable[..., nn.Module]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
DROPOUT: dict[int, Callable[..., nn.Module]] = {2: nn.Dropout2d, 3: nn.Dropout3d}
MAX_POOL: dict[int, Callable[..., nn.Module]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
MEAN_POOL: dict[int, Callable[..., nn.Module]] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
_FEW = 4
_DOUBLING = (nn.ConvTranspose2d, nn.ConvTranspose3d)
RESOLUTION_HALVINGS = {"auto": 0, "full": 0, "half": 1, "quarter": 2}
"""Halvings of the image at each resolution."""
ACTIVATION: dict[str, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "leaky_relu": partial(nn.LeakyReLU, 0.1, inplace=True),
    "elu": partial(nn.ELU, inplace=True),
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
}


@dataclass(frozen=True)
class Style:
    """The choices that every convolution of a network shares."""

    ndim: int
    normalisation: str
    activation: str
    dropout: float
    convolutions: int = 1
    residual: bool = False
    separable: bool = False
    padding: str = "same"
    alignment: str = "corners"

    def kernel(self, flat: bool, size: int = 3) -> Sizes:
        """Return the sides of a kernel or a stride: of a stack's plane alone when `flat`."""
        return (1 if flat and self.ndim == 3 else size,) + (size,) * (self.ndim - 1)

    def box(self, halvings: int, flat_levels: int) -> Sizes:
        """Return the sides of the box of pixels that halvings make one pixel."""
        steps = [self.kernel(k < flat_levels, size=2) for k in range(halvings)]
        return tuple(math.prod(sizes) for sizes in zip((1,) * self.ndim, *steps, strict=True))

    def trim(self, kernel: Sizes, times: int = 1) -> Sizes:
        """Return the pixels that unpadded convolutions remove from each end of each axis."""
        lost = times if self.padding == "valid" else 0
        return tuple(lost * (size // 2) for size in kernel)


def convolution(c_in: int, c_out: int, kernel: Sizes, style: Style, dilation: int = 1) -> nn.Module:
    """Return a convolution, its normalisation and its activation."""
    dilations = [dilation if size > 1 else 1 for size in kernel]
    same = style.padding == "same"
    taps = {
        "kernel_size": kernel,
        "dilation": dilations,
        "padding": [same * (size // 2) * d for size, d in zip(kernel, dilations, strict=True)],
    }
    conv = CONVOLUTION[style.ndim]
    bias = style.normalisation == "none"
    if style.separable and c_in > 1:
        filters = [
            conv(c_in, c_in, groups=c_in, bias=False, **taps),
            conv(c_in, c_out, 1, bias=bias),
        ]
    else:
        filters = [conv(c_in, c_out, bias=bias, **taps)]
    return nn.Sequential(*filters, *normalisation(c_out, style), ACTIVATION[style.activation]())


def block(c_in: int, c_out: int, kernel: Sizes, style: Style) -> nn.Module:
    """Return the convolutions of one level, each followed by normalisation and activation."""
    widths = [c_in] + [c_out] * style.convolutions
    steps = [convolution(a, b, kernel, style) for a, b in pairwise(widths)]
    if style.dropout:
        steps.append(DROPOUT[style.ndim](style.dropout))
    body = nn.Sequential(*steps)
    if not style.residual:
        return body
    same = nn.Identity() if c_in == c_out else CONVOLUTION[style.ndim](c_in, c_out, 1)
    return Residual(body, nn.Sequential(Trim(style.trim(kernel, style.convolutions)), same))


class Residual(nn.Module):
    """A residual block: the output of the body plus its input."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.shortcut(x)


class Trim(nn.Module):
    """Crop each axis by the same number of pixels at both ends."""

    def __init__(self, ends: Sizes) -> None:
        super().__init__()
        self.inside = (..., *(slice(end, -end or None) for end in ends))

    def forward(self, x: Tensor) -> Tensor:
        return x[self.inside]


def normalisation(channels: int, style: Style) -> list[nn.Module]:
    """Return the normalisation of a number of channels: no module, or one."""
    if style.normalisation == "none":
        return []
    if style.normalisation == "batch":
        return [BATCH_NORM[style.ndim](channels)]
    groups = channels if style.normalisation == "instance" else math.gcd(channels, 8)
    return [TrackedGroupNorm(channels, groups)]


class TrackedGroupNorm(nn.Module):
    """Group normalisation that predicts with running statistics from training.

    Training normalises every group of channels of every patch by its own mean and spread, as
    usual. At prediction these would differ from tile to tile; so the running averages are used,
    as in batch normalisation, and a tile equals its part of the whole image. With as many groups
    as channels it is instance normalisation.

    References
    ----------
    Wu, He: Group Normalization, ECCV 2018.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups, self.eps, self.momentum = groups, 1e-5, 0.1
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self._track(x.detach())
            return F.group_norm(x, self.groups, self.weight, self.bias, self.eps)
        mean, var = self.running_mean, self.running_var
        return F.batch_norm(x, mean, var, self.weight, self.bias, eps=self.eps)

    def _track(self, x: Tensor) -> None:
        var, mean = torch.var_mean(x.reshape(len(x), self.groups, -1).float(), dim=-1)
        each = self.weight.numel() // self.groups
        self.running_mean.lerp_(mean.mean(0).repeat_interleave(each), self.momentum)
        self.running_var.lerp_(var.mean(0).repeat_interleave(each), self.momentum)


def downsampling(kind: str, channels: int, stride: Sizes, ndim: int) -> nn.Module:
    """Return the module that divides each axis by its stride."""
    if kind == "strided":
        return CONVOLUTION[ndim](channels, channels, stride, stride=stride)
    return {"max": MAX_POOL, "mean": MEAN_POOL}[kind][ndim](stride)


def upsampling(kind: str, c_in: int, c_out: int, stride: Sizes, style: Style) -> nn.Module:
    """Return the module that multiplies each axis by its stride."""
    if kind == "transposed-2":
        return TRANSPOSED[style.ndim](c_in, c_out, stride, stride=stride)
    # The last pixel of an axis lies beyond the last known one: extrapolated, or left out.
    extra = [(step - 1) * (style.padding == "same") for step in stride]
    if kind == "transposed-3":
        return TRANSPOSED[style.ndim](
            c_in,
            c_out,
            [2 * step - 1 for step in stride],
            stride=stride,
            padding=[step - 1 for step in stride],
            output_padding=extra,
        )
    if kind == "transposed-4":
        sides = [2 * step if step > 1 else 1 for step in stride]
        beyond = style.trim(style.kernel(stride[0] == 1))
        ends = [step - 1 + end for step, end in zip(stride, beyond, strict=True)]
        return TRANSPOSED[style.ndim](c_in, c_out, sides, stride=stride, padding=ends)
    if kind == "linear" and style.alignment == "middles":
        whole = Enlarge(stride, trim=style.padding == "valid")
        return nn.Sequential(CONVOLUTION[style.ndim](c_in, c_out, 1), whole)
    if kind == "linear":
        return nn.Sequential(CONVOLUTION[style.ndim](c_in, c_out, 1), Linear(stride, extra))
    sizes = style.kernel(stride[0] == 1)
    same = [size // 2 - end for size, end in zip(sizes, style.trim(sizes), strict=True)]
    doubled = nn.Upsample(scale_factor=tuple(map(float, stride)), mode="nearest")
    return nn.Sequential(doubled, CONVOLUTION[style.ndim](c_in, c_out, sizes, padding=same))


class Linear(nn.Module):
    """Double axes by linear interpolation: a transposed convolution with the weights ½ 1 ½.

    Known pixels keep their values; a new one is the mean of its two neighbours.
    """

    def __init__(self, stride: Sizes, extra: Sequence[int]) -> None:
        super().__init__()
        steps = zip(stride, extra, strict=True)
        self.doubled = [(axis, more) for axis, (step, more) in enumerate(steps, 1) if step == 2]

    def forward(self, x: Tensor) -> Tensor:
        last = x.ndim - 1
        x = x.movedim(1, last)  # channels last, so that whole pixels are copied at once
        for axis, extra in self.doubled:
            n = x.shape[axis]
            following = torch.cat([slice_axis(x, axis, 1, n), slice_axis(x, axis, n - 1, n)], axis)
            x = torch.stack([x, torch.lerp(x, following, 0.5)], axis + 1).flatten(axis, axis + 1)
            x = slice_axis(x, axis, 0, 2 * n - 1 + extra)
        return x.movedim(last, 1)


def slice_axis(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    """Slice a tensor along one axis.

    Not by `narrow`, whose length the exporter to ONNX takes for a constant.
    """
    return x[(slice(None),) * axis + (slice(start, stop),)]


class Shrink(nn.Module):
    """Average every small box of pixels into one."""

    def __init__(self, box: Sizes) -> None:
        super().__init__()
        self.pool = MEAN_POOL[len(box)](box)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(x)


class Enlarge(nn.Module):
    """Interpolate linearly between the middles of the boxes that `Shrink` averaged.

    Parameters
    ----------
    box
        Sides of the boxes.
    trim
        Crop the outermost boxes, which have no neighbour beyond them.
    n
        Number of channels, where known: torch interpolates up to three of them four times faster
        one after another than interleaved, with the same result.
    """

    def __init__(self, box: Sizes, *, trim: bool = False, n: int = _FEW) -> None:
        super().__init__()
        self.planar = n < _FEW
        self.scale = tuple(map(float, box))
        self.mode = {2: "bilinear", 3: "trilinear"}[len(box)]
        self.ends = tuple(side * (trim and side > 1) for side in box)

    def forward(self, x: Tensor) -> Tensor:
        if self.planar:
            x = x.contiguous()
        x = F.interpolate(x, scale_factor=self.scale, mode=self.mode, align_corners=False)
        for axis, end in enumerate(self.ends, start=2):
            x = slice_axis(x, axis, end, x.shape[axis] - end)
        return x


class SpaceToDepth(nn.Module):
    """Turn every small box of pixels into the channels of one pixel, without loss."""

    def __init__(self, box: Sizes) -> None:
        super().__init__()
        self.steps = [(axis, step) for axis, step in enumerate(box, start=2) if step > 1]

    def forward(self, x: Tensor) -> Tensor:
        # No shape is written out: the exporter to ONNX would take all later ones for constants.
        for axis, step in self.steps:
            before = (slice(None),) * axis
            x = torch.cat([x[(*before, slice(k, None, step))] for k in range(step)], 1)
        return x


class DepthToSpace(nn.Module):
    """Undo `SpaceToDepth`."""

    def __init__(self, box: Sizes) -> None:
        super().__init__()
        self.steps = [(axis, step) for axis, step in enumerate(box, start=2) if step > 1][::-1]

    def forward(self, x: Tensor) -> Tensor:
        # Stacked, since the exporter to ONNX takes the sizes of `unflatten` for constants.
        for axis, step in self.steps:
            x = torch.stack(x.chunk(step, 1), axis + 1).flatten(axis, axis + 1)
        return x


class Join(nn.Module):
    """Join a level's skip connection with the upsampled features from below."""

    def __init__(self, fit: nn.Module, gate: nn.Module, merge: nn.Module) -> None:
        super().__init__()
        self.fit, self.gate, self.merge = fit, gate, merge

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        return self.merge(self.gate(self.fit(skip, up), up), up)


class Unchanged(nn.Module):
    """Pass the skip connection on unchanged."""

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        return skip


class CropTo(nn.Module):
    """Crop the skip connection to the part that unpadded convolutions left of the other input."""

    def __init__(self, start: Sizes) -> None:
        super().__init__()
        self.start = start

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        for axis, first in enumerate(self.start, start=2):
            skip = slice_axis(skip, axis, first, first + up.shape[axis])
        return skip


class AttentionGate(nn.Module):
    """Attenuate the skip connection by an attention map from the features below.

    References
    ----------
    Oktay et al.: Attention U-Net, MIDL 2018, equation 1; here both already have the same sides.
    """

    def __init__(self, channels: int, ndim: int) -> None:
        super().__init__()
        conv, inner = CONVOLUTION[ndim], max(channels // 2, 1)
        self.of_skip, self.of_up = conv(channels, inner, 1), conv(channels, inner, 1)
        self.open = nn.Sequential(nn.ReLU(), conv(inner, 1, 1), nn.Sigmoid())

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        return skip * self.open(self.of_skip(skip) + self.of_up(up))


class Concatenate(nn.Module):
    """Concatenate the channels of both inputs."""

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        return torch.cat([skip, up], dim=1)


class Add(nn.Module):
    """Add both inputs."""

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        return skip + up


def initialise(network: nn.Module) -> None:
    """Draw random weights for every convolution that keep the variance of signals across layers.

    A transposed convolution whose kernel is its stride gets the same weights for every pixel of the
    kernel: drawn one by one they would start as a pattern of that size, which a short training
    does not remove.

    References
    ----------
    He et al.: Delving deep into rectifiers, ICCV 2015. Aitken et al.: Checkerboard artifact free
    sub-pixel convolution, 2017.
    """
    for module in network.modules():
        weight: Any = getattr(module, "weight", None)
        # Drawing a weight that has no memory loads the compiler of torch, which takes a second.
        if isinstance(weight, Tensor) and weight.ndim > 2 and not weight.is_meta:
            nn.init.kaiming_normal_(weight, nonlinearity="relu")
            if isinstance(module.bias, Tensor):
                nn.init.zeros_(module.bias)
            if isinstance(module, _DOUBLING) and module.kernel_size == module.stride:
                first = weight.data.flatten(2)[..., :1]
                weight.data.flatten(2).copy_(first.expand(-1, -1, math.prod(module.stride)))
