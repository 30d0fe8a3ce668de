"""Start from a network that already knows something: all of it, or all but its last layer."""

import torch
from torch import Tensor, nn

from napari_unetseg.core.errors import InputError


def transferred(network: nn.Module, start: nn.Module, *, head: bool = True) -> bool:
    """Copy the weights of `start` into `network`, as far as they fit.

    Parameters
    ----------
    network
        Fresh, and changed. Keeps its own last layer where the number of classes differs.
    start
        Trained, of the same options; not changed.
    head
        Whether its last layer means the same, and may be taken over.

    Returns
    -------
    bool
        Whether the last layer was taken over too.

    Raises
    ------
    InputError
        When anything but the last layer differs.
    """
    have, want = start.state_dict(), network.state_dict()
    unlike = [
        name
        for name in want
        if name not in have
        or have[name].shape != want[name].shape
        or (name.startswith("head.") and not head)
    ]
    foreign = set(have) - set(want)
    if foreign or any(not name.startswith("head.") for name in unlike):
        raise InputError(
            "The network to start from was built with other options or for images with other "
            "channels. Use its own options, or start from nothing."
        )
    known: dict[str, Tensor] = {name: have[name] for name in want if name not in unlike}
    network.load_state_dict(known, strict=False)
    return not unlike


def set_frozen(network: nn.Module, frozen: bool) -> None:
    """Keep a network's encoder as it is, or let it learn again.

    The encoder of a UNet is its way down; of a chain of convolutions, all but the last layer.
    Frozen, it also keeps its normalisation's averages.
    """
    for module in _encoder(network):
        module.requires_grad_(not frozen)
        module.train(not frozen)


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
