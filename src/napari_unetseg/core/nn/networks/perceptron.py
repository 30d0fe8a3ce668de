"""The network of the pixel rungs: dense layers, the same for every pixel.

Depends on torch alone, so that it can travel inside a model file.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Dense(nn.Module):
    """A dense layer, the same for every pixel: a convolution with a kernel of one pixel.

    Parameters
    ----------
    n_inputs, n_outputs
        Channels before and after.
    """

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_outputs, n_inputs))
        self.bias = nn.Parameter(torch.zeros(n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, n_inputs, *any) to (N, n_outputs, *any)."""
        # No shape is written out, so that a traced network accepts other shapes.
        evidence = torch.einsum("oi,ni...->no...", self.weight, x)
        return evidence + self.bias.reshape(-1, *(1,) * (x.ndim - 2))


class PixelNetwork(nn.Module):
    """Dense layers with ReLU between them, from a pixel's inputs to evidence.

    With no hidden layer and one output it is logistic regression; with as many outputs as classes
    the softmax perceptron; with hidden layers the multilayer perceptron.

    Parameters
    ----------
    n_inputs
        Features and position terms of each pixel.
    n_outputs
        1 for evidence of the second of two classes, else one for each class.
    hidden
        Units of each hidden layer.
    """

    def __init__(self, n_inputs: int, n_outputs: int, hidden: Sequence[int] = ()) -> None:
        super().__init__()
        sizes = (n_inputs, *hidden, n_outputs)
        layers: list[nn.Module] = [Dense(n_inputs, sizes[1])]
        for before, after in itertools.pairwise(sizes[1:]):
            layers += [nn.ReLU(), Dense(before, after)]
        self.layers = nn.Sequential(*layers)

    @property
    def dense(self) -> list[Dense]:
        """The layers that have weights, first to last."""
        return [layer for layer in self.layers if isinstance(layer, Dense)]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Inputs, units of each hidden layer, outputs."""
        weights = [layer.weight for layer in self.dense]
        return (weights[0].shape[1], *(weight.shape[0] for weight in weights))

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs (N, F, *any) to evidence (N, outputs, *any)."""
        evidence: Tensor = self.layers(x)
        return evidence
