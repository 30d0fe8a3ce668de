"""Familiarity: how like its training images an image looks to a network."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_unetseg.core.nn.inference.network_segmenter import memory_errors

_LEAST_FOREGROUND = 0.1
"""Share of foreground at least that activations are weighted to: training images hold objects."""

_SMALL = 1e-5


def familiarity(network: nn.Module, block: Tensor, foreground: Tensor) -> float:
    """Compare the activations of a network with those of its training.

    Parameters
    ----------
    network
        In evaluation mode, with its batch normalisations, which keep the mean and the variance of
        every channel of their input over the training.
    block
        (1, channels, *spatial): a normalised image, of sides that the network takes.
    foreground
        (*spatial): 1 where there is an object, 0 elsewhere. Where it is rare it is weighted up, so
        that an image with few objects is no less familiar.

    Returns
    -------
    float
        exp(-d), with d the mean over all normalisations of the Kullback-Leibler divergence of
        Gaussians with the statistics of this image from those of the training, mean over channels
        (as batch normalisation statistics are matched by Ishii and Sugiyama, arXiv:2101.10842).
        1 where no statistics were kept.
    """
    weights = _weights(foreground)
    divergences: list[float] = []

    def listen(norm: nn.Module, given: tuple[Tensor, ...], result: object) -> None:
        divergences.append(_divergence(norm, given[0][0], weights))

    kept = [n for n in network.modules() if isinstance(getattr(n, "running_var", None), Tensor)]
    hooks = [norm.register_forward_hook(listen) for norm in kept]
    try:
        with memory_errors(block.shape[2:]), torch.inference_mode():
            network(block)
    finally:
        for hook in hooks:
            hook.remove()
    return math.exp(-sum(divergences) / len(divergences)) if divergences else 1.0


def _weights(foreground: Tensor) -> Tensor:
    share = float(foreground.mean())
    if not 0 < share < _LEAST_FOREGROUND:
        return torch.ones_like(foreground)
    inside, outside = _LEAST_FOREGROUND / share, (1 - _LEAST_FOREGROUND) / (1 - share)
    return foreground * inside + (1 - foreground) * outside


def _divergence(norm: nn.Module, activations: Tensor, weights: Tensor) -> float:
    """Return the divergence of one layer's activations (channels, *spatial)."""
    pooled = getattr(F, f"adaptive_avg_pool{weights.ndim}d")(
        weights[None, None], activations.shape[1:]
    )
    shares = (pooled / pooled.sum())[0]
    axes = tuple(range(1, activations.ndim))
    mean = (activations * shares).sum(axes)
    centred = activations - mean.reshape(-1, *(1,) * len(axes))
    variance = (centred.square() * shares).sum(axes) + _SMALL
    usual, spread = torch.as_tensor(norm.running_mean), torch.as_tensor(norm.running_var) + _SMALL
    apart = (variance + (mean - usual).square()) / spread - 1 + torch.log(spread / variance)
    return float(apart.mean()) / 2


__all__ = ["familiarity"]
