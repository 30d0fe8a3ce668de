"""Options of the networks: no arrays and no torch, so that forms and files open at once.

How far each looks is computed by `receptive_field`.
"""

from abc import abstractmethod
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
Upsampling = Literal["transposed-2", "transposed-3", "linear", "nearest"]

Stem = Literal["plain", "space-to-depth", "space-to-depth-4"]

Resolution = Literal["auto", "full", "half", "quarter"]

RESOLUTION_HALVINGS: dict[str, int] = {"auto": 0, "full": 0, "half": 1, "quarter": 2}
"""How many halvings of the image each resolution stands for; automatic, before it is settled."""

STEM_HALVINGS: dict[str, int] = {"plain": 0, "space-to-depth": 1, "space-to-depth-4": 2}
"""How many halvings of the image a stem stands for."""

_OF_THE_INPUT = {"position", "position_order"}

_BORDER = {2: 32, 3: 8}
"""How far a 2D or 3D image is continued beyond its edges, in pixels, where less than the halo.

An edge is felt through the network's own zero padding only, and 32 pixels off hardly at all. To
mirror the whole halo would cost half as much again on a 1024 x 1024 image.
"""


class ModelSpec(Options):
    """Base of every rung of the ladder: what it sees besides intensity, and how far."""

    kind: ClassVar[str] = ""
    """The rung's name, in files, on the command line and in the form."""

    learns_features: ClassVar[bool] = True
    """Whether it is trained on patches within a budget; otherwise fitted at once to features."""

    position: Position = option(
        "none",
        "Position encoding",
        "Also show the model where a pixel is: as powers of its coordinates (polynomial) or as "
        "waves across the image (sinusoidal). For uneven light and fixed layouts; not when "
        "objects may lie anywhere and the annotation covers one corner.",
    )
    position_order: int = option(
        2,
        "Position order",
        "Degree of the polynomial, or number of octaves of the waves.",
        when={"position": ("polynomial", "sinusoidal")},
        ge=1,
        le=6,
    )

    @classmethod
    def suits(cls, n_classes: int) -> bool:
        """Whether it is worth comparing with others for so many classes."""
        return True

    @property
    def size_in_words(self) -> str:
        """How large it is, for a methods section; empty where that says little."""
        return ""

    @abstractmethod
    def halo(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return the halo: pixels beyond a tile that a prediction in it may need, per axis.

        Parameters
        ----------
        ndim
            2 or 3.
        context
            What its features are computed with: so for all that follows.
        """

    @abstractmethod
    def multiple(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return what the place and the sides of a block must divide by, per axis."""

    def border(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return how far the image is mirrored beyond its edges before predicting, per axis."""
        return (0,) * ndim

    def shrink(self, ndim: int) -> tuple[int, ...]:
        """Return by how much the image is shrunk before the network sees it, per axis."""
        return (1,) * ndim

    def inside(self) -> Self:
        """Return the spec of the network that sees the shrunken image: of the same weights."""
        return self

    def n_inputs(self, n_channels: int, ndim: int, context: FeatureContext = NO_CONTEXT) -> int:
        """Return the number of channels the network itself takes: image, then position."""
        return n_channels + n_position_terms(self.position, self.position_order, ndim)

    def count_outputs(self, n_classes: int) -> int:
        """Return how many numbers of evidence its network gives of each pixel."""
        return n_classes

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


class ConvolutionalSpec(ModelSpec):
    """What the networks of convolutions have in common."""

    width: int = option(
        16,
        "Width",
        "Channels of the first level. Twice as many cost about four times as much.",
        ge=1,
        le=256,
    )
    normalisation: NormalisationLayer = option(
        "batch",
        "Normalisation",
        "Keep the channels' mean and spread in range while training: over the batch, over groups "
        "of channels or single channels of each patch, or not at all. Prediction always uses the "
        "averages met in training, so that no tile depends on what else is in it.",
        advanced=True,
    )
    activation: Activation = option(
        "relu",
        "Activation",
        "What each unit does with its sum. The sigmoid shows why deep networks left it.",
        advanced=True,
    )
    dropout: float = option(
        0.0,
        "Dropout",
        "Share of channels silenced at random while training; against learning by heart. Use 0.1 "
        "to 0.3 when the loss falls on but what is held out gets no better.",
        ge=0.0,
        le=0.9,
        step=0.05,
        advanced=True,
    )
    flat_levels: int = option(
        0,
        "Flat levels",
        "3D only: how many of the first levels see each plane by itself and are not halved along "
        "Z, those of a lower resolution included. Choose the number of halvings after which the "
        "pixels are about as wide as the planes are apart: 2 when planes are four pixels apart.",
        ge=0,
        le=8,
        advanced=True,
    )
    resolution: Resolution = option(
        "auto",
        "Resolution",
        "Half and quarter average every 2 by 2 or 4 by 4 pixels before the network and interpolate "
        "what it says: each four times faster than the one before, seeing twice as far. Best when "
        "the finest thing to find is several pixels wide. Automatic chooses by the breadth of "
        "what is annotated in a mask or as objects, and full for scribbles.",
    )

    def shrink(self, ndim: int) -> tuple[int, ...]:
        """Return by how much the image is shrunk before the network sees it, per axis."""
        return tuple(
            2 ** sum(not self._flat(axis, ndim, k) for k in range(self._lowered))
            for axis in range(ndim)
        )

    def inside(self) -> Self:
        """Return the spec of the network that sees the shrunken image: of the same weights."""
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
        """Whether the network ignores `axis` where the image was halved so many times."""
        return ndim == 3 and axis == 0 and halvings < self.flat_levels


class UNetSpec(ConvolutionalSpec):
    """A UNet: down through halved images for context, back up, with a shortcut at every level.

    References
    ----------
    Ronneberger, Fischer, Brox: U-Net, MICCAI 2015. Attention gates: Oktay et al., MIDL 2018.
    """

    kind: ClassVar[str] = "unet"

    depth: int = option(
        3,
        "Depth",
        "How many times the image is halved inside. One more sees twice as far.",
        ge=1,
        le=6,
    )
    growth: float = option(
        2.0,
        "Growth",
        "Factor from one level's channels to the next.",
        ge=1.0,
        le=3.0,
        advanced=True,
    )
    convolutions: int = option(
        2, "Convolutions a level", "3 by 3 convolutions in a row at each level.", ge=1, le=4
    )
    stem: Stem = option(
        "space-to-depth",
        "Stem",
        "Space-to-depth turns every 2 by 2 pixels into four channels and works on half the sides: "
        "three to four times faster. With 4 it is every 4 by 4 pixels: four times faster again, "
        "and it sees twice as far; for large images of objects that are no finer than that. Plain "
        "works on single pixels: for structures a pixel wide.",
    )
    residual: bool = option(
        False,
        "Residual",
        "Each level learns what to add to its input rather than a new one. Use it in deep "
        "networks: with a depth of 5 or more, or three and more convolutions a level.",
        advanced=True,
    )
    attention: bool = option(
        False,
        "Attention gates",
        "Let the coarse level decide where each shortcut is let through. Try it where small "
        "objects lie in a busy field.",
        advanced=True,
    )
    separable: bool = option(
        False,
        "Separable convolutions",
        "Filter each channel by itself, then mix: far fewer multiplications and weights.",
        advanced=True,
    )
    pooling: Pooling = option(
        "max",
        "Pooling",
        "How the image is halved: the largest, the mean, or a learnt weighting of each 2 by 2.",
        advanced=True,
    )
    upsampling: Upsampling = option(
        "transposed-2",
        "Upsampling",
        "How it is doubled: learnt with kernel 2 (fast, may leave a grid) or 3, by fixed linear "
        "weights (smooth, nothing to learn), or repeated and convolved.",
        advanced=True,
    )
    skip: Literal["concat", "add"] = option(
        "concat",
        "Shortcuts",
        "Lay the fine level's channels beside the coarse one's, or add them (faster).",
        advanced=True,
    )
    padding: Literal["same", "valid"] = option(
        "same",
        "Padding",
        "Same fills with zeros at the rim of a block; valid computes only what no rim touches, so "
        "that training patches must be larger than the halo.",
        advanced=True,
    )

    def multiple(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return what the place and the sides of a block must divide by, per axis."""
        levels = range(self.depth + self._lowered + self._stemmed)
        return tuple(2 ** sum(not self._flat(a, ndim, k) for k in levels) for a in range(ndim))

    def halo(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return the halo: pixels beyond a tile that a prediction in it may need, per axis."""
        return tuple(self._halo(axis, ndim, step) for axis, step in enumerate(self.shrink(ndim)))

    def border(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return how far the image is mirrored beyond its edges before predicting, per axis."""
        return self.halo(ndim) if self.padding == "valid" else super().border(ndim)

    def box(self, ndim: int) -> tuple[int, ...]:
        """Return how many pixels share what the last level knows, per axis."""
        halvings = range(self._lowered + self._stemmed)
        return tuple(2 ** sum(not self._flat(a, ndim, k) for k in halvings) for a in range(ndim))

    def features_halo(self, ndim: int) -> tuple[int, ...]:
        """Return the halo of what the last level knows, interpolated between boxes, per axis."""
        return tuple(self._halo(axis, ndim, box) for axis, box in enumerate(self.box(ndim)))

    @model_validator(mode="after")
    def _within_reason(self) -> Self:
        widest = round(self.width * self.growth**self.depth)
        if widest > 4096:
            raise ValueError(
                f"Width {self.width}, growth {self.growth:g} and depth {self.depth} make "
                f"{widest} channels at the bottom; at most 4096 are of use. Lower one of the three."
            )
        return self

    @property
    def size_in_words(self) -> str:
        """How large it is, for a methods section."""
        return f"{self.depth} levels below the first"

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
        start, rest = unpadded_output(
            length, radii, strides, convolutions=self.convolutions, upsampling=self.upsampling
        )
        lost = box * max(start, length - start - rest) + (enlarged > 1) * enlarged
        return round_up(lost, multiple)

    def _needs(self, axis: int, ndim: int, enlarged: int) -> Needs:
        radii, strides = self._levels(axis, ndim)
        return unet_needs(
            radii,
            strides,
            convolutions=self.convolutions,
            upsampling=self.upsampling,
            box=self.box(ndim)[axis],
            enlarged=enlarged,
        )

    def _levels(self, axis: int, ndim: int) -> tuple[list[int], list[int]]:
        """Return the radius of the convolutions of each level, and the strides between them."""
        first = self._lowered + self._stemmed
        flat = [self._flat(axis, ndim, k) for k in range(first + self.depth + 1)]
        return [int(not f) for f in flat[first:]], [2 - f for f in flat[first:-1]]


class CnnSpec(ConvolutionalSpec):
    """A short chain of 3 by 3 convolutions: no shortcuts, so either sharp or far-sighted.

    Pooling loses the fine detail that a UNet's shortcuts bring back; dilation (holes between the
    weights) keeps it, at the full cost of every pixel.
    """

    kind: ClassVar[str] = "cnn"

    layers: int = option(4, "Layers", "3 by 3 convolutions in a row.", ge=1, le=8)
    context: Literal["dilation", "pooling", "none"] = option(
        "dilation",
        "Context",
        "How it sees further: holes between the weights that double from layer to layer, halving "
        "the image, or not at all.",
    )
    poolings: int = option(
        2,
        "Poolings",
        "How many of the first layers are followed by halving the image.",
        when={"context": ("pooling",)},
        ge=1,
        le=5,
    )

    @model_validator(mode="after")
    def _enough_layers(self) -> Self:
        if self.context == "pooling" and self.poolings > self.layers:
            raise ValueError(
                f"{self.poolings} poolings follow as many layers, but there are {self.layers}. "
                "Use more layers or fewer poolings."
            )
        return self

    def multiple(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return what the place and the sides of a block must divide by, per axis."""
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
        """How large it is, for a methods section."""
        return f"{self.layers} layers"

    @property
    def _n_poolings(self) -> int:
        return self.poolings if self.context == "pooling" else 0

    def _needs(self, axis: int, ndim: int, enlarged: int) -> Needs:
        flat = [self._flat(axis, ndim, self._lowered + layer) for layer in range(self.layers)]
        strides = [1 if is_flat else 2 for is_flat in flat[: self._n_poolings]]
        grows = 2 if self.context == "dilation" else 1
        reaches = [0 if is_flat else grows**layer for layer, is_flat in enumerate(flat)]
        return cnn_needs(reaches, strides, enlarged)


__all__ = ["CnnSpec", "ConvolutionalSpec", "ModelSpec", "UNetSpec"]
