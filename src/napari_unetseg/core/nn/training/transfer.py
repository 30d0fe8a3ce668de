"""Start from a network that already knows something: all of it, or all but its two ends."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.nn.networks.blocks import TrackedGroupNorm


@dataclass(frozen=True)
class Taken:
    """What was taken over of a network to start from, besides all between its ends.

    Parameters
    ----------
    first, head
        Whether the layer that takes the image was, and the one that says the classes.
    """

    first: bool
    head: bool

    @property
    def in_words(self) -> str:
        """A sentence for people."""
        if self.first and self.head:
            return "It began with all that the model to start from knows."
        ends = {"first": self.first, "last": self.head}
        new = " and ".join(name for name, taken in ends.items() if not taken)
        layer = "layer is" if self.first or self.head else "layers are"
        kept = "It began with the encoder and decoder of the model to start from"
        return f"{kept}; the {new} {layer} new."


def transferred(network: nn.Module, start: nn.Module, *, head: bool = True) -> Taken:
    """Copy the weights of `start` into `network`, as far as they fit.

    Parameters
    ----------
    network
        Fresh, and changed. Keeps its own last layer where the number of classes differs, and its
        own first convolution where the number of channels does.
    start
        Trained, of the same options; not changed.
    head
        Whether its last layer means the same, and may be taken over.

    Raises
    ------
    InputError
        When anything but the ends differs.
    """
    have, want = start.state_dict(), network.state_dict()
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
    network.load_state_dict(known, strict=False)
    return Taken(first=not first, head=unlike == first)


def _first_block(names: Iterable[str]) -> str:
    """Return what the names of the layers begin with that see the image, from all in order."""
    return ".".join(next(iter(names)).split(".")[:2]) + "."


def set_frozen(network: nn.Module, frozen: bool) -> None:
    """Keep a network's encoder as it is, or let it learn again.

    The encoder of a UNet is its way down; of a chain of convolutions, all but the last layer.
    Frozen, it also keeps its normalisation's averages.
    """
    for module in _encoder(network):
        module.requires_grad_(not frozen)
        module.train(not frozen)


def keep_averages(network: nn.Module) -> None:
    """Let a network that learns normalise by the averages it has, as when it predicts.

    Those of a batch of a few images of one kind are others. Normalised by them, layers that were
    learnt on much see what they never saw, and until all have followed the network is worse than
    the one it began as: more steps than a short training has. What scales and shifts after the
    normalisation goes on learning.
    """
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d, TrackedGroupNorm)):
            module.eval()


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
        The one that learns.
    copy
        A copy of it, to hold the mean.
    memory
        Share of the mean that stays at each step. Starts small, so that the first random weights
        are soon forgotten.

    References
    ----------
    Polyak, Juditsky: Acceleration of stochastic approximation by averaging, 1992.
    """

    def __init__(self, network: nn.Module, copy: nn.Module, memory: float) -> None:
        self._network, self.network = network, copy.eval().requires_grad_(False)
        self._memory, self._steps = memory, 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the network's weights as they are now."""
        self._steps += 1
        memory = min(self._memory, self._steps / (self._steps + 10))
        mine, its = self.network.state_dict(), self._network.state_dict()
        for name, mean in mine.items():
            if mean.is_floating_point():
                mean.lerp_(its[name], 1 - memory)
            else:
                mean.copy_(its[name])
