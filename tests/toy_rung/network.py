"""The network of the toy rung: torch alone, so that it can travel inside a model file."""

from torch import Tensor, nn


class OneConvolution(nn.Module):
    """A single convolution.

    Parameters
    ----------
    n_inputs, n_outputs, ndim
        Channels in, evidence out, axes.
    radius
        Of the kernel, in pixels.
    """

    def __init__(self, n_inputs: int, n_outputs: int, ndim: int, *, radius: int) -> None:
        super().__init__()
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[ndim]
        self.head = convolution(n_inputs, n_outputs, 2 * radius + 1, padding=radius)
        self.offset = (0,) * ndim

    def forward(self, x: Tensor) -> Tensor:
        """Return evidence (N, n_outputs, *spatial) of images (N, n_inputs, *spatial)."""
        return self.head(x)
