"""Specifications of the networks, without arrays or torch, so that forms and files open at once.

Their receptive fields are computed by `receptive_field`.
"""

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from napari_unetseg.core.compute.rounding import round_up
from napari_unetseg.core.features.position import Position, n_position_terms
from napari_unetseg.core.model.feature_context import NO_CONTEXT, FeatureContext
from napari_unetseg.core.model.receptive_field import (
    Needs,
    cnn_needs,
    halo_beyond,
    receptive_field_of,
    unet_needs,
    unpadded_output,
)
from napari_unetseg.core.options import Options, option

NormalisationLayer = Literal["batch", "group", "instance", "none"]
Activation = Literal["relu", "leaky_relu", "elu", "gelu", "sigmoid"]
Pooling = Literal["max", "mean", "strided"]
Upsampling = Literal["transposed-2", "transposed-3", "transposed-4", "linear", "nearest"]
Alignment = Literal["middles", "corners"]

Stem = Literal["plain", "space-to-depth", "space-to-depth-4"]

Resolution = Literal["auto", "full", "half", "quarter"]

RESOLUTION_HALVINGS: dict[str, int] = {"auto": 0, "full": 0, "half": 1, "quarter": 2}
"""Halvings of the image at each resolution; for automatic, before it is resolved."""

STEM_HALVINGS: dict[str, int] = {"plain": 0, "space-to-depth": 1, "space-to-depth-4": 2}
"""Halvings of the image by each stem."""

_OF_THE_INPUT = {"position", "position_order"}

_BORDER = {2: 32, 3: 8}
"""Pixels by which a 2D or 3D image is mirrored beyond its edges, where less than the halo.

An edge has an effect only through the network's own zero padding, and at 32 pixels hardly any.
Mirroring the whole halo would cost half as much again on a 1024 x 1024 image.
"""


class ModelSpec(Options):
    """Base of the specifications of all rungs: position terms, halo and multiple."""

    kind: ClassVar[str] = ""
    """The rung's name, in files, on the command line and in the form."""

    older: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Values of options in files that are older than the option, where not the default."""

    learns_features: ClassVar[bool] = True
    """Whether it is trained on patches within a budget; otherwise fitted at once to features."""

    position: Position = option(
        "none",
        "Position encoding",
        "Add the position of a pixel to the model's inputs: as powers of its coordinates "
        "(polynomial) or as waves across the image (sinusoidal). Use it for uneven illumination "
        "and fixed layouts, but not if objects may lie anywhere and only one corner is annotated.",
        group="Inputs",
    )
    position_order: int = option(
        2,
        "Position order",
        "Degree of the polynomial, or number of octaves of the waves.",
        when={"position": ("polynomial", "sinusoidal")},
        ge=1,
        le=6,
        group="Inputs",
    )

    @classmethod
    def suits(cls, n_classes: int) -> bool:
        """Whether the rung is compared with others for this number of classes."""
        return True

    @property
    def size_in_words(self) -> str:
        """Size of the model, for a methods section; empty where it has none."""
        return ""

    @abstractmethod
    def halo(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return the halo: pixels beyond a tile that a prediction in it may need, per axis.

        Parameters
        ----------
        ndim
            2 or 3.
        context
            Spacing and frozen network of its features; likewise in the other methods.
        """

    @abstractmethod
    def multiple(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return the divisor of a block's position and sides, per axis."""

    def border(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return how far the image is mirrored beyond its edges before predicting, per axis."""
        return (0,) * ndim

    def shrink(self, ndim: int) -> tuple[int, ...]:
        """Return the factor by which the image is shrunk before the network, per axis."""
        return (1,) * ndim

    def inside(self) -> Self:
        """Return the spec of the network for shrunken images, with the same weights."""
        return self

    def n_inputs(self, n_channels: int, ndim: int, context: FeatureContext = NO_CONTEXT) -> int:
        """Return the number of channels the network itself takes: image, then position."""
        return n_channels + n_position_terms(self.position, self.position_order, ndim)

    def count_outputs(self, n_classes: int) -> int:
        """Return the number of class scores of its network."""
        return n_classes

    def known_weights(self) -> Mapping[str, Any]:
        """Return the weights, by name, that a new network does not begin at random."""
        return {}

    def input_options(self, ndim: int, spacing: tuple[float, ...]) -> dict[str, Any]:
        """Return the arguments of `ImageInputs`: filters, position, intensity."""
        return {"position": self.position, "position_order": self.position_order}

    def network_options(self, n_inputs: int, n_outputs: int, ndim: int) -> dict[str, Any]:
        """Return the arguments that its network is built with.

        Parameters
        ----------
        n_inputs
            See `n_inputs`.
        n_outputs
            Classes, and maps of objects where it learns them.
        ndim
            2 or 3.
        """
        sizes = {"n_inputs": n_inputs, "n_outputs": n_outputs, "ndim": ndim}
        return sizes | self.model_dump(exclude=_OF_THE_INPUT)


def _alignment(when: dict[str, tuple[Any, ...]]) -> Any:
    return option(
        "middles",
        "Alignment",
        "How interpolation places the pixels of a halved image: in the middle of the 2 by 2 they "
        "stand for, or at its first corner, which displaces the result by up to half of the "
        "largest box. Corners is for models that were trained so, before there was a choice.",
        when=when,
        advanced=True,
        group="Layers",
    )


class ConvolutionalSpec(ModelSpec):
    """Base of the specifications of convolutional networks."""

    older: ClassVar[Mapping[str, Any]] = MappingProxyType({"alignment": "corners"})

    memory_per_pixel: ClassVar[float] = 1.0
    """Memory that predicting a pixel takes on a processor, compared with the default UNet's."""

    width: int = option(
        16,
        "Width",
        "Channels of the first level. Twice as many cost about four times as much.",
        ge=1,
        le=256,
        group="Size",
    )
    normalisation: NormalisationLayer = option(
        "batch",
        "Normalisation",
        "How channels are normalised in training: over the batch, over groups of channels or "
        "single channels of each patch, or not at all. Prediction always uses the averages of the "
        "training, so that the result of a pixel does not depend on its tile.",
        advanced=True,
        group="Layers",
    )
    activation: Activation = option(
        "relu",
        "Activation",
        "Nonlinear function after each convolution. The sigmoid is here to compare: with it, deep "
        "networks learn slowly.",
        advanced=True,
        group="Layers",
    )
    dropout: float = option(
        0.0,
        "Dropout",
        "Share of channels that are set to zero at random in training, to reduce overfitting. Use "
        "0.1 to 0.3 if the loss keeps falling but the score on the validation set does not rise.",
        ge=0.0,
        le=0.9,
        step=0.05,
        advanced=True,
        group="Layers",
    )
    flat_levels: int = option(
        0,
        "Flat levels",
        "3D only: number of the first levels that treat each plane by itself and do not halve Z, "
        "including those of a lower resolution. Choose the number of halvings after which pixels "
        "are about as wide as the distance of planes: 2 if planes are four pixels apart.",
        ge=0,
        le=8,
        advanced=True,
        group="Size",
    )
    resolution: Resolution = option(
        "auto",
        "Resolution",
        "Half and quarter average every 2 by 2 or 4 by 4 pixels before the network and interpolate "
        "its output: each step is four times faster and has twice the receptive field. Best if "
        "the finest structures are several pixels wide. Automatic chooses by the width of the "
        "annotated structures in a mask or objects, and full for scribbles.",
        group="Size",
    )

    def shrink(self, ndim: int) -> tuple[int, ...]:
        """Return the factor by which the image is shrunk before the network, per axis."""
        return tuple(
            2 ** sum(not self._flat(axis, ndim, k) for k in range(self._lowered))
            for axis in range(ndim)
        )

    def inside(self) -> Self:
        """Return the spec of the network for shrunken images, with the same weights."""
        flat = max(self.flat_levels - self._lowered, 0)
        return self.model_copy(update={"resolution": "full", "flat_levels": flat})

    def receptive_field(self, ndim: int) -> tuple[int, ...]:
        """Return the receptive field: pixels that a prediction can depend on, per axis."""
        sides = enumerate(zip(self.multiple(ndim), self.shrink(ndim), strict=True))
        return tuple(
            receptive_field_of(self._needs(axis, ndim, shrink), multiple)
            for axis, (multiple, shrink) in sides
        )

    @abstractmethod
    def _needs(self, axis: int, ndim: int, enlarged: int) -> Needs:
        """Return the input range of a range of its output along an axis.

        Parameters
        ----------
        enlarged
            Factor by which the result is interpolated along the axis.
        """

    @property
    def _lowered(self) -> int:
        return RESOLUTION_HALVINGS[self.resolution]

    def border(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return how far the image is mirrored beyond its edges before predicting, per axis."""
        sides = zip(self.halo(ndim), self.multiple(ndim), strict=True)
        return tuple(min(halo, round_up(_BORDER[ndim], multiple)) for halo, multiple in sides)

    def _flat(self, axis: int, ndim: int, halvings: int) -> bool:
        """Whether the network treats planes of `axis` by themselves after a number of halvings."""
        return ndim == 3 and axis == 0 and halvings < self.flat_levels


class UNetSpec(ConvolutionalSpec):
    """A UNet: an encoder that halves the image, a decoder, and a skip connection at every level.

    References
    ----------
    Ronneberger, Fischer, Brox: U-Net, MICCAI 2015. Attention gates: Oktay et al., MIDL 2018.
    """

    kind: ClassVar[str] = "unet"
    older: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {**ConvolutionalSpec.older, "head": "learnt"}
    )

    depth: int = option(
        3,
        "Depth",
        "Number of times the network halves the image. Each doubles the receptive field.",
        ge=1,
        le=6,
        group="Size",
    )
    growth: float = option(
        2.0,
        "Growth",
        "Factor from one level's channels to the next.",
        ge=1.0,
        le=3.0,
        advanced=True,
        group="Size",
    )
    convolutions: int = option(
        2,
        "Convolutions a level",
        "3 by 3 convolutions in a row at each level.",
        ge=1,
        le=4,
        group="Size",
    )
    stem: Stem = option(
        "space-to-depth",
        "Stem",
        "Space-to-depth turns every 2 by 2 pixels into four channels and works at half the "
        "resolution: three to four times faster. With 4 it takes every 4 by 4 pixels: four times "
        "faster again, with twice the receptive field, for large images without finer details. "
        "Plain works on single pixels: for structures one pixel wide.",
        group="Size",
    )
    head: Literal["linear", "learnt"] = option(
        "linear",
        "Head",
        "How the result of a space-to-depth stem's boxes becomes that of pixels: by linear "
        "interpolation between the middles of the boxes, or by learnt weights for each pixel of a "
        "box, which can separate neighbouring pixels, but may leave one-pixel stripes at edges.",
        when={"stem": ("space-to-depth", "space-to-depth-4")},
        advanced=True,
        group="Layers",
    )
    residual: bool = option(
        False,
        "Residual",
        "Each level adds its output to its input. Use it in deep networks: with a depth of 5 or "
        "more, or three or more convolutions per level.",
        advanced=True,
        group="Layers",
    )
    attention: bool = option(
        False,
        "Attention gates",
        "Weight each skip connection by an attention map from the coarser level. Try it for small "
        "objects in a crowded image.",
        advanced=True,
        group="Layers",
    )
    separable: bool = option(
        False,
        "Separable convolutions",
        "Filter each channel by itself, then mix channels: far fewer multiplications and weights.",
        advanced=True,
        group="Layers",
    )
    pooling: Pooling = option(
        "max",
        "Pooling",
        "How the image is halved: by the maximum, the mean, or learnt weights of 2 by 2 pixels.",
        advanced=True,
        group="Layers",
    )
    upsampling: Upsampling = option(
        "transposed-2",
        "Upsampling",
        "How the image is doubled: by a learnt kernel of 2 (fast), 3 (starts "
        "off-centre by a tenth of a pixel or two) or 4, by linear interpolation (smooth, not "
        "learnt), or by repetition and a convolution.",
        advanced=True,
        group="Layers",
    )
    alignment: Alignment = _alignment({"upsampling": ("linear",)})
    skip: Literal["concat", "add"] = option(
        "concat",
        "Shortcuts",
        "Concatenate the channels of the fine and the coarse level, or add them (faster).",
        advanced=True,
        group="Layers",
    )
    padding: Literal["same", "valid"] = option(
        "same",
        "Padding",
        "Same pads a block with zeros; valid computes only pixels whose receptive field lies in "
        "the block, so that training patches must be larger than the halo.",
        advanced=True,
        group="Layers",
    )

    def multiple(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return the divisor of a block's position and sides, per axis."""
        levels = range(self.depth + self._lowered + self._stemmed)
        return tuple(2 ** sum(not self._flat(a, ndim, k) for k in levels) for a in range(ndim))

    def halo(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return the halo: pixels beyond a tile that a prediction in it may need, per axis."""
        return tuple(self._halo(axis, ndim, step) for axis, step in enumerate(self.shrink(ndim)))

    def border(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return how far the image is mirrored beyond its edges before predicting, per axis."""
        return self.halo(ndim) if self.padding == "valid" else super().border(ndim)

    def box(self, ndim: int) -> tuple[int, ...]:
        """Return the sides of the box of image pixels per pixel of the last level, per axis."""
        halvings = range(self._lowered + self._stemmed)
        return tuple(2 ** sum(not self._flat(a, ndim, k) for k in halvings) for a in range(ndim))

    def features_halo(self, ndim: int) -> tuple[int, ...]:
        """Return the halo of the last level's activations, interpolated, and of the evidence."""
        steps = enumerate(zip(self.box(ndim), self.shrink(ndim), strict=True))
        return tuple(max(self._halo(axis, ndim, step) for step in both) for axis, both in steps)

    @model_validator(mode="after")
    def _within_reason(self) -> Self:
        widest = round(self.width * self.growth**self.depth)
        if widest > 4096:
            raise ValueError(
                f"Width {self.width}, growth {self.growth:g} and depth {self.depth} make "
                f"{widest} channels at the bottom, more than 4096. Lower one of the three."
            )
        return self

    @property
    def size_in_words(self) -> str:
        """Size of the model, for a methods section."""
        return f"{self.depth} levels below the first"

    @property
    def _doubled(self) -> str:
        between_middles = self.upsampling == "linear" and self.alignment == "middles"
        return "middles" if between_middles else self.upsampling

    @property
    def _stemmed(self) -> int:
        return STEM_HALVINGS[self.stem]

    def _halo(self, axis: int, ndim: int, enlarged: int) -> int:
        """Return the halo along an axis on which the result is interpolated by a factor."""
        if self.padding == "same":
            return halo_beyond(self._needs(axis, ndim, enlarged), self.multiple(ndim)[axis])
        radii, strides = self._levels(axis, ndim)
        multiple, box = self.multiple(ndim)[axis], self.box(ndim)[axis]
        length = 1000 * multiple // box
        start, kept = unpadded_output(
            length, radii, strides, convolutions=self.convolutions, upsampling=self._doubled
        )
        lost = box * max(start, length - start - kept) + (enlarged > 1) * enlarged
        lost += (self.head == "linear" and box > enlarged) * box
        return round_up(lost, multiple)

    def _needs(self, axis: int, ndim: int, enlarged: int) -> Needs:
        radii, strides = self._levels(axis, ndim)
        return unet_needs(
            radii,
            strides,
            convolutions=self.convolutions,
            upsampling=self._doubled,
            box=self.box(ndim)[axis],
            enlarged=enlarged,
            head=self.head,
        )

    def _levels(self, axis: int, ndim: int) -> tuple[list[int], list[int]]:
        """Return the radius of the convolutions of each level, and the strides between them."""
        first = self._lowered + self._stemmed
        flat = [self._flat(axis, ndim, k) for k in range(first + self.depth + 1)]
        return [int(not f) for f in flat[first:]], [2 - f for f in flat[first:-1]]


class CnnSpec(ConvolutionalSpec):
    """A short chain of 3 by 3 convolutions, without skip connections.

    Pooling loses the fine detail that a UNet's skip connections keep; dilation (holes between the
    weights) keeps it, at the cost of computing every pixel.
    """

    kind: ClassVar[str] = "cnn"

    layers: int = option(4, "Layers", "3 by 3 convolutions in a row.", ge=1, le=8, group="Size")
    context: Literal["dilation", "pooling", "none"] = option(
        "dilation",
        "Context",
        "How the receptive field grows: by holes between the weights that double from layer to "
        "layer, by halving the image, or not at all.",
        group="Size",
    )
    poolings: int = option(
        2,
        "Poolings",
        "Number of the first layers after which the image is halved.",
        when={"context": ("pooling",)},
        ge=1,
        le=5,
        group="Size",
    )
    alignment: Alignment = _alignment({"context": ("pooling",)})

    @model_validator(mode="after")
    def _enough_layers(self) -> Self:
        if self.context == "pooling" and self.poolings > self.layers:
            raise ValueError(
                f"{self.poolings} poolings follow as many layers, but there are {self.layers}. "
                "Use more layers or fewer poolings."
            )
        return self

    def multiple(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return the divisor of a block's position and sides, per axis."""
        levels = range(self._lowered + self._n_poolings)
        return tuple(2 ** sum(not self._flat(a, ndim, k) for k in levels) for a in range(ndim))

    def halo(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return the halo: pixels beyond a tile that a prediction in it may need, per axis."""
        sides = enumerate(zip(self.multiple(ndim), self.shrink(ndim), strict=True))
        return tuple(
            halo_beyond(self._needs(axis, ndim, shrink), multiple)
            for axis, (multiple, shrink) in sides
        )

    @property
    def size_in_words(self) -> str:
        """Size of the model, for a methods section."""
        return f"{self.layers} layers"

    @property
    def _n_poolings(self) -> int:
        return self.poolings if self.context == "pooling" else 0

    def _needs(self, axis: int, ndim: int, enlarged: int) -> Needs:
        flat = [self._flat(axis, ndim, self._lowered + layer) for layer in range(self.layers)]
        strides = [1 if is_flat else 2 for is_flat in flat[: self._n_poolings]]
        grows = 2 if self.context == "dilation" else 1
        reaches = [0 if is_flat else grows**layer for layer, is_flat in enumerate(flat)]
        upsampling = "middles" if self.alignment == "middles" else "linear"
        return cnn_needs(reaches, strides, enlarged, upsampling=upsampling)


__all__ = ["CnnSpec", "ConvolutionalSpec", "ModelSpec", "UNetSpec"]
