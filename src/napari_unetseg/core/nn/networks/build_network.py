"""From a spec to a network."""

from collections.abc import Callable

import torch
from torch import nn

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.nn.networks.cnn import CNN
from napari_unetseg.core.nn.networks.unet import UNet

NETWORKS: dict[str, Callable[..., nn.Module]] = {"cnn": CNN, "unet": UNet}
"""The network of each kind of spec; takes inputs, outputs, axes and the spec's own fields."""

_OF_THE_INPUT = {"position", "position_order"}


def build_network(
    spec: ModelSpec, n_channels: int, n_classes: int, ndim: int, *, seed: int | None = None
) -> nn.Module:
    """Return the network of `spec` with fresh weights.

    Parameters
    ----------
    spec
        Which network.
    n_channels
        Channels of the image; position terms are added to them, see `ModelSpec.n_inputs`.
    n_classes
        Numbers of evidence out.
    ndim
        2 or 3.
    seed
        Makes the weights reproducible, and leaves torch's own generator alone.

    Returns
    -------
    torch.nn.Module
        On the CPU, in training mode. Maps (N, inputs, *spatial) to (N, classes, *spatial).

    Raises
    ------
    InputError
        When the spec is not of a network trained on patches.
    """
    if spec.kind not in NETWORKS:
        raise InputError(f"{spec.kind!r} is no network of convolutions. Choose {sorted(NETWORKS)}.")
    options = spec.model_dump(exclude=_OF_THE_INPUT)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        return NETWORKS[spec.kind](spec.n_inputs(n_channels, ndim), n_classes, ndim, **options)


def n_parameters(network: nn.Module) -> int:
    """Return how many numbers training sets."""
    return sum(weights.numel() for weights in network.parameters())


__all__ = ["NETWORKS", "build_network", "n_parameters"]
