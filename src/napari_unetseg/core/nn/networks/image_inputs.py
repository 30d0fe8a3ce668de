"""Filter bank and position terms in torch, as inputs of exported networks.

Predictions here use the compiled forms in `core.features`, tile by tile. These give the same
numbers of whole images, are slower, and depend on torch alone, so that a model file can hold them.
"""

import math
from collections.abc import Sequence
from itertools import combinations_with_replacement

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLIDE = {2: F.conv2d, 3: F.conv3d}
FIRST = (1 / 12, -8 / 12, 0.0, 8 / 12, -1 / 12)
SECOND = (-1 / 12, 16 / 12, -30 / 12, 16 / 12, -1 / 12)
"""Fourth-order central differences."""


class ImageInputs(nn.Module):
    """Map an image (N, C, *spatial) to the inputs of a network, (N, F, *spatial).

    Parameters
    ----------
    scales
        Standard deviations of the filter bank, for each scale one along each axis, in pixels.
    chosen
        Whether Gaussian, gradient, Laplacian, Hessian and structure are wanted.
    intensity
        Whether the image itself is an input.
    position, position_order
        Kind and order of the position terms, over the whole image.
    pretrained
        Features of another network, (N, features, *spatial) from the image; None without them.
    """

    def __init__(
        self,
        scales: Sequence[Sequence[float]] = (),
        chosen: Sequence[bool] = (False,) * 5,
        intensity: bool = True,
        position: str = "none",
        position_order: int = 1,
        pretrained: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.pretrained = pretrained
        self.intensity, self.position, self.order = intensity, position, position_order
        self.scales = nn.ModuleList([Scale(sigmas, chosen) for sigmas in scales])

    def forward(self, images: Tensor) -> Tensor:
        channels = images.flatten(0, 1).unsqueeze(1)
        features = [channels] if self.intensity else []
        features += [scale(channels) for scale in self.scales]
        shown = []
        if features:
            each = torch.unflatten(torch.cat(features, 1), 0, (-1, images.shape[1]))
            shown.append(each.flatten(1, 2))
        if self.pretrained is not None:
            shown.append(self.pretrained(images))
        terms = place_terms(images, self.position, self.order)
        return torch.cat([*shown, *terms], 1)


class Scale(nn.Module):
    """The filters of one scale, applied to each channel (M, 1, *spatial) by itself."""

    def __init__(self, sigmas: Sequence[float], chosen: Sequence[bool]) -> None:
        super().__init__()
        self.sigmas, self.n, self.chosen = tuple(sigmas), len(sigmas), tuple(chosen)
        self.reach = [max(math.ceil(3 * sigma - 1e-9), 1) for sigma in sigmas]
        for axis, (sigma, reach) in enumerate(zip(sigmas, self.reach, strict=True)):
            bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
            self.register_buffer(f"bell_{axis}", bell / bell.sum(), persistent=False)
            for name, taps in (("first", FIRST), ("second", SECOND)):
                power = {"first": 1, "second": 2}[name]
                scaled = torch.tensor(taps) * sigma**power
                self.register_buffer(f"{name}_{axis}", scaled, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        gaussian, gradient, laplacian, hessian, structure = self.chosen
        edge = self.reach if structure else [0] * self.n
        beyond = [e + 2 if any(self.chosen[1:]) else 0 for e in edge]
        reach = [a + b for a, b in zip(self.reach, beyond, strict=True)]
        smooth = self._smooth(pad_reflected(image, reach))
        found = [crop_edges(smooth, beyond)] if gaussian else []
        if gradient or structure:
            slopes = [self._differences(smooth, {axis: "first"}) for axis in range(self.n)]
        if gradient:
            found.append(torch.stack([crop_edges(s, edge) ** 2 for s in slopes]).sum(0).sqrt())
        if laplacian or hessian:
            bends = self._bends(crop_edges(smooth, edge))
        if laplacian:
            found.append(torch.stack([bends[axis, axis] for axis in range(self.n)]).sum(0))
        if hessian:
            found += eigenvalues(bends, self.n)
        if structure:
            pairs = combinations_with_replacement(range(self.n), 2)
            tensor = {(a, b): self._smooth(slopes[a] * slopes[b]) for a, b in pairs}
            found += [value.clamp(min=0).sqrt() for value in eigenvalues(tensor, self.n)]
        return torch.cat(found, 1)

    def _smooth(self, x: Tensor) -> Tensor:
        for axis in range(self.n):
            x = self._slide(x, f"bell_{axis}", axis)
        return x

    def _bends(self, smooth: Tensor) -> dict[tuple[int, int], Tensor]:
        """Return the Hessian, its upper half."""
        return {
            (a, b): self._differences(smooth, {a: "second"} if a == b else {a: "first", b: "first"})
            for a, b in combinations_with_replacement(range(self.n), 2)
        }

    def _differences(self, x: Tensor, along: dict[int, str]) -> Tensor:
        """Differentiate along axes; along the others crop the two outermost pixels."""
        x = crop_edges(x, [0 if axis in along else 2 for axis in range(self.n)])
        for axis, name in along.items():
            x = self._slide(x, f"{name}_{axis}", axis)
        return x

    def _slide(self, x: Tensor, name: str, axis: int) -> Tensor:
        taps = getattr(self, name)
        return SLIDE[self.n](
            x, taps.reshape(1, 1, *(-1 if k == axis else 1 for k in range(self.n)))
        )


def eigenvalues(matrix: dict[tuple[int, int], Tensor], n: int) -> list[Tensor]:
    """Return the eigenvalues of symmetric matrices given by their upper halves, largest first.

    References
    ----------
    Smith: Eigenvalues of a symmetric 3×3 matrix, Communications of the ACM 4, 1961.
    """
    if n == 2:
        mean = (matrix[0, 0] + matrix[1, 1]) / 2
        lean = (matrix[0, 0] - matrix[1, 1]) / 2
        radius = (lean * lean + matrix[0, 1] * matrix[0, 1]).sqrt()
        return [mean + radius, mean - radius]
    mean = (matrix[0, 0] + matrix[1, 1] + matrix[2, 2]) / 3
    a, b, c = (matrix[k, k] - mean for k in range(3))
    d, e, f = matrix[0, 1], matrix[0, 2], matrix[1, 2]
    spread = ((a * a + b * b + c * c) / 6 + (d * d + e * e + f * f) / 3).sqrt()
    a, b, c, d, e, f = (part / spread.clamp(min=1e-30) for part in (a, b, c, d, e, f))
    det = a * (b * c - f * f) - d * (d * c - f * e) + e * (d * f - b * e)
    angle = (det / 2).clamp(-1, 1).acos() / 3
    high = mean + 2 * spread * angle.cos()
    low = mean + 2 * spread * (angle + 2 * math.pi / 3).cos()
    return [high, 3 * mean - high - low, low]


def pad_reflected(x: Tensor, reach: Sequence[int]) -> Tensor:
    """Pad images by reflection, to any distance."""
    for axis, far in enumerate(reach, start=2):
        n = x.shape[axis]
        place = torch.arange(-far, n + far, device=x.device) % (2 * n)
        x = x.index_select(axis, torch.minimum(place, 2 * n - 1 - place))
    return x


def crop_edges(x: Tensor, edge: Sequence[int]) -> Tensor:
    """Crop a number of pixels from both ends of each axis."""
    for axis, far in enumerate(edge, start=2):
        # Sliced, since the exporter to ONNX takes the length of `narrow` for a constant.
        x = x[(slice(None),) * axis + (slice(far, x.shape[axis] - far),)]
    return x


def place_terms(images: Tensor, kind: str, order: int) -> list[Tensor]:
    """Compute the position terms of every pixel of whole images, each (N, 1, *spatial)."""
    sides, axes = images.shape[2:], []
    for axis, n in enumerate(sides):
        centres = 2 * (torch.arange(n, device=images.device) + 0.5) / n - 1
        axes.append(centres.reshape([-1 if k == axis else 1 for k in range(len(sides))]))
    terms: list[Tensor] = []
    if kind == "polynomial":
        degrees = range(1, order + 1)
        terms = [
            math.prod(factors[1:], start=factors[0])
            for degree in degrees
            for factors in combinations_with_replacement(axes, degree)
        ]
    elif kind == "sinusoidal":
        waves = [axis * (0.5 * math.pi * 2**octave) for axis in axes for octave in range(order)]
        terms = [turn(wave) for wave in waves for turn in (torch.sin, torch.cos)]
    return [torch.zeros_like(images[:, :1]) + term for term in terms]


def showing(network: nn.Module, inputs: nn.Module) -> nn.Module:
    """Feed a network with the output of `inputs`; return the network.

    A hook keeps the module, and with it the names of its weights.
    """
    network.register_forward_pre_hook(lambda module, arguments: (inputs(arguments[0]),))
    return network
