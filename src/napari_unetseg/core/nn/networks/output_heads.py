"""What a network's outputs mean: evidence of each class, or of foreground and then of maps."""

from collections.abc import Sequence

import torch
from torch import Tensor

from napari_unetseg.core.objects.decoders import DecoderSpec


def count_outputs(n_classes: int, decoder: DecoderSpec | None) -> int:
    """Return how many numbers a network says of each pixel."""
    return n_classes if decoder is None else decoder.n_outputs


def middle(
    evidence: Tensor, offset: Sequence[int], patch: Sequence[int], sides: Sequence[int]
) -> Tensor:
    """Return what a network says of the middle of a patch.

    Parameters
    ----------
    evidence
        (N, outputs, *spatial), of a patch without its rim.
    offset
        Where in the patch it begins, as the network says.
    patch, sides
        Of the patch, and of the middle that is wanted.
    """
    for axis, (first, whole, side) in enumerate(zip(offset, patch, sides, strict=True), start=2):
        evidence = evidence.narrow(axis, (whole - side) // 2 - first, side)
    return evidence


def parted(evidence: Tensor, decoder: DecoderSpec | None) -> tuple[Tensor, Tensor | None]:
    """Return the evidence (N, classes, *spatial) and that of the maps, (N, maps, *spatial).

    A network of objects says one number for foreground, as logistic regression does; the evidence
    of background is 0.
    """
    if decoder is None:
        return evidence, None
    front = evidence[:, :1]
    return torch.cat([torch.zeros_like(front), front], 1), evidence[:, 1:]


def probabilities(evidence: Tensor, decoder: DecoderSpec | None) -> Tensor:
    """Return the probability of each class, then the maps: (N, classes + maps, *spatial)."""
    classes, maps = parted(evidence, decoder)
    proba = torch.softmax(classes, 1)
    return proba if maps is None else torch.cat([proba, torch.sigmoid(maps)], 1)


__all__ = ["count_outputs", "middle", "parted", "probabilities"]
