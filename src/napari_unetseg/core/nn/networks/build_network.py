"""The network of a spec, of any rung."""

import torch
from torch import nn

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.feature_context import NO_CONTEXT, FeatureContext
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.model.registry import RUNGS, import_callable


def build_network(
    spec: ModelSpec,
    n_channels: int,
    n_classes: int,
    ndim: int,
    context: FeatureContext = NO_CONTEXT,
    *,
    seed: int | None = None,
) -> nn.Module:
    """Build the network of a spec with its first weights.

    Parameters
    ----------
    spec
        Which network.
    n_channels
        Channels of the image; other inputs are added to them, see `ModelSpec.n_inputs`.
    n_classes
        Classes, and maps of objects where it learns them.
    ndim
        2 or 3.
    context
        Spacing, and the frozen network whose features are inputs.
    seed
        Makes the weights reproducible, and leaves torch's own generator alone. The network begins
        with `ModelSpec.known_weights`; without a seed, its weights mean nothing yet.

    Returns
    -------
    torch.nn.Module
        On the CPU, in training mode. Maps (N, inputs, *spatial) to (N, classes, *spatial).

    Raises
    ------
    InputError
        When the spec is of no known rung, or cannot separate so many classes.
    """
    if spec.kind not in RUNGS:
        raise InputError(f"There is no network of a {spec.kind!r}. Choose {', '.join(RUNGS)}.")
    build = import_callable(RUNGS[spec.kind].network)
    options = spec.network_options(spec.n_inputs(n_channels, ndim, context), n_classes, ndim)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        network: nn.Module = build(**options)
    if seed is not None:
        known = {name: torch.tensor(array) for name, array in spec.known_weights().items()}
        network.load_state_dict(known, strict=False)
    return network


def n_parameters(network: nn.Module) -> int:
    """Count the parameters of a network."""
    return sum(weights.numel() for weights in network.parameters())


__all__ = ["build_network", "n_parameters"]
