"""Warm start from a trained network: from all its weights, or all but its first or last layer."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.nn.networks.blocks import DepthToSpace, TrackedGroupNorm


@dataclass(frozen=True)
class CopiedEnds:
    """The end layers whose weights were copied, besides all layers between them.

    Parameters
    ----------
    first, head
        Whether the first layer, which takes the image, and the last, of the classes, were copied.
    classes
        Whether the part of the last layer that is of classes was copied, but not that of objects.
    """

    first: bool
    head: bool
    classes: bool = False

    @property
    def in_words(self) -> str:
        """A sentence on what is new; empty if all weights were copied."""
        if self.first and self.head:
            return ""
        if self.first and self.classes:
            return (
                "It began with the weights of the model to start from, apart from those that "
                "separate objects."
            )
        ends = {"first": self.first, "last": self.head}
        new = " and ".join(name for name, taken in ends.items() if not taken)
        layer = "layer is" if self.first or self.head else "layers are"
        kept = "It began with the encoder and decoder of the model to start from"
        return f"{kept}; the {new} {layer} new."


def transfer_weights(
    network: nn.Module,
    start: nn.Module,
    *,
    head: bool = True,
    classes: tuple[bool, bool] | None = None,
) -> CopiedEnds:
    """Copy the weights of `start` into `network`, as far as they fit.

    Parameters
    ----------
    network
        An untrained network; changed. Keeps its own last layer where the number of classes
        differs, and its own first convolution where the number of channels does.
    start
        A trained network of the same options; not changed.
    head
        Whether the outputs mean the same, so that the last layer may be copied.
    classes
        Where the outputs differ and the classes mean the same: whether `start` and `network` are of
        objects. Those have one output for the foreground, then maps; others one for each class.

    Raises
    ------
    InputError
        When anything but the ends differs.
    """
    have, want = _with_boxes(start, _pixels(network)), network.state_dict()
    unlike = {
        name
        for name in want
        if name not in have
        or have[name].shape != want[name].shape
        or (name.startswith("head.") and not head)
    }
    first = {name for name in unlike if name.startswith(_first_block(want))}
    foreign = set(have) - set(want)
    if foreign or any(not name.startswith("head.") for name in unlike - first):
        raise InputError(
            "The network to start from was built with other options. Use its own options, or start "
            "from nothing."
        )
    known = {name: have[name] for name in want if name not in unlike}
    partly: set[str] = set()
    if classes is not None:
        partly = unlike - first
        known |= {n: _with_classes(want[n], have[n], _pixels(network), *classes) for n in partly}
    network.load_state_dict(known, strict=False)
    return CopiedEnds(first=not first, head=unlike == first, classes=bool(partly))


def _pixels(network: nn.Module) -> int:
    """Return for how many pixels of a box the last layer has weights, which follow each other."""
    parts = getattr(network, "head", nn.Identity()).modules()
    steps = [step for part in parts if isinstance(part, DepthToSpace) for _, step in part.steps]
    return math.prod(steps)


def _with_boxes(network: nn.Module, pixels: int) -> dict[str, torch.Tensor]:
    """Return the weights of a network with a last layer for so many pixels of a box.

    Where the number is another, every pixel gets the mean over the pixels.
    """
    weights, own = network.state_dict(), _pixels(network)
    if own == pixels:
        return weights
    of_each = {name: _by_pixel(weights[name], own) for name in weights if name.startswith("head.")}
    return weights | {name: torch.cat([w.mean(0)] * pixels) for name, w in of_each.items()}


def _with_classes(
    new: torch.Tensor, old: torch.Tensor, pixels: int, from_objects: bool, to_objects: bool
) -> torch.Tensor:
    """Return weights of a last layer whose classes have the evidence of another one.

    The evidence of the background of a network of objects is 0.
    """
    mixed, known = _by_pixel(new.clone(), pixels), _by_pixel(old, pixels)
    if from_objects:
        known = torch.stack([torch.zeros_like(known[:, 0]), known[:, 0]], 1)
    if to_objects:
        mixed[:, 0] = known[:, 1] - known[:, 0]
    else:
        mixed[:] = known
    return mixed.flatten(0, 1)


def _by_pixel(weights: torch.Tensor, pixels: int) -> torch.Tensor:
    """Return weights (pixels * outputs, ...) of a last layer as (pixels, outputs, ...)."""
    return weights.reshape(pixels, -1, *weights.shape[1:])


def _first_block(names: Iterable[str]) -> str:
    """Return the common prefix of the layers that take the image, from all names in order."""
    return ".".join(next(iter(names)).split(".")[:2]) + "."


def set_frozen(network: nn.Module, frozen: bool) -> None:
    """Freeze or unfreeze a network's encoder.

    The encoder of a UNet is its contracting path; of a chain of convolutions, all but the last
    layer. A frozen encoder also keeps its running averages.
    """
    for module in _encoder(network):
        module.requires_grad_(not frozen)
        module.train(not frozen)


def keep_averages(network: nn.Module) -> None:
    """Set normalisation layers to use their running averages in training, as in prediction.

    The statistics of a batch of a few images of one kind differ from them. Normalised by those,
    layers trained on much data get inputs of another distribution, and the network is worse than
    at its start until all layers have adapted: longer than a short training lasts. Scale and shift
    after the normalisation are still trained.
    """
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d, TrackedGroupNorm)):
            module.eval()


@torch.no_grad()
def restate_averages(network: nn.Module, blocks: Iterable[torch.Tensor]) -> None:
    """Set the running averages of a network to the statistics of its activations for some images.

    Scale and shift after each normalisation make up for it, so that the network computes the same
    as before. After a training that kept the averages of another one, see `keep_averages`, its own
    images would not look familiar to the network; see `familiarity`.

    Parameters
    ----------
    network
        Changed in place, and left in evaluation mode.
    blocks
        (N, inputs, *spatial) each, normalised, of sides that the network takes.
    """
    network.eval()
    norms: list[Any] = [
        module
        for module in network.modules()
        if isinstance(getattr(module, "running_var", None), torch.Tensor)
    ]
    sums = [torch.zeros(3, len(norm.running_var), dtype=torch.float64) for norm in norms]

    def adding(total: torch.Tensor) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
        def add(_: nn.Module, entering: tuple[torch.Tensor, ...]) -> None:
            x = entering[0].movedim(1, 0).flatten(1).cpu().double()
            total.add_(torch.stack([torch.ones_like(x), x, x.square()]).sum(2))

        return add

    listening = zip(norms, sums, strict=True)
    hooks = [norm.register_forward_pre_hook(adding(total)) for norm, total in listening]
    try:
        for block in blocks:
            network(block)
    finally:
        for hook in hooks:
            hook.remove()
    for norm, (counts, first, second) in zip(norms, sums, strict=True):
        mean = first / counts
        var = (second / counts - mean.square()).clamp_min(0)
        usual, spread, scale, shift = (
            tensor.cpu().double()
            for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        )
        gain = scale / (spread + norm.eps).sqrt()
        norm.bias.copy_(shift + gain * (mean - usual))
        norm.weight.copy_(gain * (var + norm.eps).sqrt())
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(var)


def _encoder(network: nn.Module) -> list[nn.Module]:
    encoder = getattr(network, "encoder", None)
    if callable(encoder):
        modules: list[nn.Module] = encoder()
        return modules
    body = getattr(network, "body", None)
    return [body] if isinstance(body, nn.Module) else []


class Average:
    """A network whose weights are the running mean of another's.

    Parameters
    ----------
    network
        The network in training.
    copy
        A copy of it, to hold the mean.
    memory
        Share of the mean that is kept at each step. It starts small, so that the first random
        weights soon drop out.

    References
    ----------
    Polyak, Juditsky: Acceleration of stochastic approximation by averaging, 1992.
    """

    def __init__(self, network: nn.Module, copy: nn.Module, memory: float) -> None:
        self.network = copy.eval().requires_grad_(False)
        self._memory, self._steps = memory, 0
        pairs = list(
            zip(self.network.state_dict().values(), network.state_dict().values(), strict=True)
        )
        self._counts = [pair for pair in pairs if not pair[0].is_floating_point()]
        self._numbers = [pair for pair in pairs if pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Add the network's current weights to the mean."""
        self._steps += 1
        memory = min(self._memory, self._steps / (self._steps + 10))
        means, current = map(list, zip(*self._numbers, strict=True))
        get_ema_multi_avg_fn(memory)(means, current, self._steps)  # type: ignore[no-untyped-call]
        for mean, count in self._counts:
            mean.copy_(count)
