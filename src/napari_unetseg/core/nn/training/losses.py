"""The losses of training: cross-entropy and Dice over pixels with weights.

The weight of a pixel without annotation is 0. Such a pixel has no effect on the loss, whatever its
prediction and its target.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_unetseg.core.nn.networks.output_heads import split_outputs
from napari_unetseg.core.objects.decoders import DecoderSpec


def cross_entropy(evidence: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Compute the weighted mean cross-entropy, in nats.

    Parameters
    ----------
    evidence
        (N, classes, *spatial), logits.
    target
        (N, *spatial), int64: index of the class; any number where `weight` is 0.
    weight
        (N, *spatial): weight of each pixel.

    Returns
    -------
    Tensor
        A number; 0 when nothing counts.
    """
    known = torch.where(weight > 0, target, 0)
    losses = F.cross_entropy(evidence, known, reduction="none")
    return (losses * weight).sum() / weight.sum().clamp_min(1e-6)


def dice_loss(evidence: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Compute 1 minus the mean soft Dice of the classes that are present.

    Parameters
    ----------
    evidence, target, weight
        As for `cross_entropy`.

    Returns
    -------
    Tensor
        A number from 0 to 1; 0 when nothing counts.

    Notes
    -----
    The overlap is taken over the whole batch, so that a patch with a few pixels of a class does
    not weigh as much as one full of it. Classes without a pixel are left out of the mean.

    References
    ----------
    Milletari et al.: V-Net, 3DV 2016, with probabilities not squared.
    """
    n_classes = evidence.shape[1]
    known = torch.where(weight > 0, target, 0)
    truth = F.one_hot(known, n_classes).movedim(-1, 1) * weight[:, None]
    probability = evidence.softmax(1)
    axes = [0, *range(2, evidence.ndim)]
    both = (probability * truth).sum(axes)
    each = (probability * weight[:, None]).sum(axes) + truth.sum(axes)
    present = (truth.sum(axes) > 0).to(each)
    dice = 2 * both / each.clamp_min(1e-6)
    return ((1 - dice) * present).sum() / present.sum().clamp_min(1)


def segmentation_loss(
    evidence: Tensor, target: Tensor, weight: Tensor, *, dice: float = 0.5
) -> Tensor:
    """Mix cross-entropy and Dice loss, `dice` being the share of the latter."""
    if dice == 0:
        return cross_entropy(evidence, target, weight)
    overlap = dice_loss(evidence, target, weight)
    if dice == 1:
        return overlap
    return dice * overlap + (1 - dice) * cross_entropy(evidence, target, weight)


def guess_loss(evidence: Tensor, guess: Tensor) -> Tensor:
    """Compute the mean divergence of the classes from another model's probabilities, in nats.

    Parameters
    ----------
    evidence
        (N, classes, *spatial), logits.
    guess
        (N, classes + 1, *spatial): the probabilities, and last the weight of each pixel.

    Returns
    -------
    Tensor
        Mean Kullback-Leibler divergence; 0 when nothing counts.

    References
    ----------
    Hinton, Vinyals, Dean: Distilling the knowledge in a neural network, 2015.
    """
    true, weight = guess[:, :-1], guess[:, -1]
    away = (torch.xlogy(true, true) - true * evidence.log_softmax(1)).sum(1)
    return (away * weight).sum() / weight.sum().clamp_min(1e-6)


def maps_loss(evidence: Tensor, maps: Tensor) -> Tensor:
    """Compute the mean divergence of a decoder's maps from the true ones, in nats.

    Parameters
    ----------
    evidence
        (N, maps, *spatial), logits.
    maps
        (N, maps + 1, *spatial): the true ones, from 0 to 1, and last the weight of each pixel.

    Returns
    -------
    Tensor
        Mean binary cross-entropy minus the entropy of the true maps, so that 0 is the best; 0 when
        nothing counts.
    """
    true, weight = maps[:, :-1], maps[:, -1:]
    losses = F.binary_cross_entropy_with_logits(evidence, true, reduction="none")
    entropy = -(torch.xlogy(true, true) + torch.xlogy(1 - true, 1 - true))
    total = ((losses - entropy) * weight).sum()
    return total / (weight.sum() * true.shape[1]).clamp_min(1e-6)


def teacher_loss(evidence: Tensor, taught: Tensor, decoder: DecoderSpec | None) -> Tensor:
    """Compute the mean divergence of a network's outputs from those of a teacher, in nats.

    Parameters
    ----------
    evidence, taught
        (N, outputs, *spatial), logits of the network and of its teacher.
    decoder
        The meaning of the outputs after the foreground, if they are of objects.

    References
    ----------
    Hinton, Vinyals, Dean: Distilling the knowledge in a neural network, 2015.
    """
    everywhere = torch.ones_like(taught[:, :1])
    classes, maps = split_outputs(evidence, decoder)
    known, true = split_outputs(taught, decoder)
    loss = guess_loss(classes, torch.cat([known.softmax(1), everywhere], 1))
    if maps is None or true is None:
        return loss
    return loss + maps_loss(maps, torch.cat([true.sigmoid(), everywhere], 1))
