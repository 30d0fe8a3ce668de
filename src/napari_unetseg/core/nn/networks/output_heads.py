"""The outputs of a network: class scores (evidence), or that of foreground followed by maps."""

from collections.abc import Sequence

import torch
from torch import Tensor

from napari_unetseg.core.objects.decoders import DecoderSpec


def count_outputs(n_classes: int, decoder: DecoderSpec | None) -> int:
    """Count the output channels of a network."""
    return n_classes if decoder is None else decoder.n_outputs


def crop_middle(
    evidence: Tensor, offset: Sequence[int], patch: Sequence[int], sides: Sequence[int]
) -> Tensor:
    """Crop the evidence of a patch to its middle.

    Parameters
    ----------
    evidence
        (N, outputs, *spatial), of a patch without its rim.
    offset
        Place in the patch of the first pixel of the evidence: the network's `offset`.
    patch, sides
        Sides of the patch, and of the middle that is wanted.
    """
    for axis, (first, whole, side) in enumerate(zip(offset, patch, sides, strict=True), start=2):
        evidence = evidence.narrow(axis, (whole - side) // 2 - first, side)
    return evidence


def split_outputs(evidence: Tensor, decoder: DecoderSpec | None) -> tuple[Tensor, Tensor | None]:
    """Split a network's outputs into classes (N, classes, *spatial) and maps (N, maps, *spatial).

    A network of objects has one output for foreground, as logistic regression has; the evidence of
    background is 0.
    """
    if decoder is None:
        return evidence, None
    front = evidence[:, :1]
    return torch.cat([torch.zeros_like(front), front], 1), evidence[:, 1:]


def probabilities(evidence: Tensor, decoder: DecoderSpec | None) -> Tensor:
    """Return the probability of each class, then the maps: (N, classes + maps, *spatial)."""
    if decoder is None:
        return torch.softmax(evidence, 1)
    likely = torch.sigmoid(evidence)
    return torch.cat([1 - likely[:, :1], likely], 1)


__all__ = ["count_outputs", "crop_middle", "probabilities", "split_outputs"]
