"""From a spec to a network, of any rung."""

import torch
from torch import nn

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.feature_context import NO_CONTEXT, FeatureContext
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.model.registry import RUNGS, load


def build_network(
    spec: ModelSpec,
    n_channels: int,
    n_classes: int,
    ndim: int,
    context: FeatureContext = NO_CONTEXT,
    *,
    seed: int | None = None,
) -> nn.Module:
    """Return the network of `spec` with fresh weights.

    Parameters
    ----------
    spec
        Which network.
    n_channels
        Channels of the image; what else is shown is added to them, see `ModelSpec.n_inputs`.
    n_classes
        Classes, and maps of objects where it learns them.
    ndim
        2 or 3.
    context
        Where it sees features of a frozen network.
    seed
        Makes the weights reproducible, and leaves torch's own generator alone.

    Returns
    -------
    torch.nn.Module
        On the CPU, in training mode. Maps (N, inputs, *spatial) to (N, classes, *spatial).

    Raises
    ------
    InputError
        When the spec is of no rung, or tells fewer classes apart.
    """
    if spec.kind not in RUNGS:
        raise InputError(f"There is no network of a {spec.kind!r}. Choose {', '.join(RUNGS)}.")
    build = load(RUNGS[spec.kind].network)
    options = spec.network_options(spec.n_inputs(n_channels, ndim, context), n_classes, ndim)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        network: nn.Module = build(**options)
    return network


def n_parameters(network: nn.Module) -> int:
    """Return how many numbers training sets."""
    return sum(weights.numel() for weights in network.parameters())


__all__ = ["build_network", "n_parameters"]
