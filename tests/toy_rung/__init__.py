"""A rung as somebody would add it: options, drawing and entry, with its network beside them."""

from typing import ClassVar

from napari_unetseg.core.model.diagram import Architecture, DiagramPart
from napari_unetseg.core.model.feature_context import NO_CONTEXT, FeatureContext
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.model.registry import Rung
from napari_unetseg.core.options import option


class OneConvolutionSpec(ModelSpec):
    """A single convolution."""

    kind: ClassVar[str] = "one-convolution"

    radius: int = option(1, "Radius", "Pixels to either side that it sees.", ge=1, le=9)

    def halo(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return the halo, per axis."""
        return (self.radius,) * ndim

    def multiple(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return what the place and the sides of a block must divide by, per axis."""
        return (1,) * ndim


def diagram(spec: OneConvolutionSpec, n_channels: int, n_classes: int, ndim: int) -> Architecture:
    """Return its two parts."""
    one = (1,) * ndim
    parts = (
        DiagramPart("image", "input", spec.n_inputs(n_channels, ndim), one),
        DiagramPart("softmax", "output", n_classes, one),
    )
    return Architecture(parts, (), "", (2 * spec.radius + 1,) * ndim)


RUNG = Rung(
    OneConvolutionSpec,
    "single convolution",
    "The smallest network there is.",
    "minutes",
    network="toy_rung.network:OneConvolution",
    diagram="toy_rung:diagram",
    sources=("toy_rung.network",),
    citation="Fukushima 1980",
)
