"""What a network is, as options: no arrays and no torch, so that forms and files open at once.

Each spec knows how far it looks. To say so, it walks the network backwards: a range of output
pixels needs a range of input pixels, a convolution widens it, going down and up the levels scales
it. What is left beyond a tile that starts and ends on the pooling grid is the `halo`.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from napari_unetseg.core.compute.rounding import round_up
from napari_unetseg.core.features.position import Position, n_position_terms
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

Range = tuple[int, int]
"""First and last pixel of a range along one axis."""

_BORDER = {2: 32, 3: 8}
"""How far a 2D or 3D image is continued beyond its edges, in pixels, where less than the halo.

An edge is felt through the network's own zero padding only, and 32 pixels off hardly at all. To
mirror the whole halo would cost half as much again on a 1024 x 1024 image.
"""


class ModelSpec(Options):
    """Base of every rung of the ladder: what it sees besides intensity, and how far."""

    kind: ClassVar[str] = ""
    """The rung's name, in files, on the command line and in the form."""

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

    @abstractmethod
    def halo(self, ndim: int) -> tuple[int, ...]:
        """Return how many pixels beyond a tile may change what is predicted in it, per axis."""

    @abstractmethod
    def multiple(self, ndim: int) -> tuple[int, ...]:
        """Return what the place and the sides of a block must divide by, per axis."""

    def border(self, ndim: int) -> tuple[int, ...]:
        """Return how far the image is mirrored beyond its edges before predicting, per axis."""
        return (0,) * ndim

    def shrink(self, ndim: int) -> tuple[int, ...]:
        """Return by how much the image is shrunk before the network sees it, per axis."""
        return (1,) * ndim

    def inside(self) -> Self:
        """Return the spec of the network that sees the shrunken image: of the same weights."""
        return self

    def n_inputs(self, n_channels: int, ndim: int) -> int:
        """Return the number of channels the network itself takes: image, then position."""
        return n_channels + n_position_terms(self.position, self.position_order, ndim)


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
        """Return how many pixels what is said of one pixel can depend on, per axis.

        Of the pixel of each block of `multiple` that sees furthest, with padded convolutions.
        """
        fields = []
        for axis, multiple in enumerate(self.multiple(ndim)):
            needs = self._needed(axis, ndim, self.shrink(ndim)[axis])
            ranges = [needs(place, place) for place in range(multiple)]
            fields.append(max(last - first + 1 for first, last in ranges))
        return tuple(fields)

    @abstractmethod
    def _needed(self, axis: int, ndim: int, enlarged: int) -> Callable[[int, int], Range]:
        """Return what gives the range of input pixels that a range of output pixels needs.

        Parameters
        ----------
        enlarged
            Factor by which the result is interpolated along the axis.
        """

    @property
    def _lowered(self) -> int:
        return RESOLUTION_HALVINGS[self.resolution]

    def border(self, ndim: int) -> tuple[int, ...]:
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

    def multiple(self, ndim: int) -> tuple[int, ...]:
        """Return what the place and the sides of a block must divide by, per axis."""
        levels = range(self.depth + self._lowered + self._stemmed)
        return tuple(2 ** sum(not self._flat(a, ndim, k) for k in levels) for a in range(ndim))

    def halo(self, ndim: int) -> tuple[int, ...]:
        """Return how many pixels beyond a tile may change what is predicted in it, per axis."""
        return tuple(self._halo(axis, ndim, step) for axis, step in enumerate(self.shrink(ndim)))

    def border(self, ndim: int) -> tuple[int, ...]:
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
    def _stemmed(self) -> int:
        return STEM_HALVINGS[self.stem]

    def _halo(self, axis: int, ndim: int, enlarged: int) -> int:
        """Return the halo along an axis on which the result is interpolated by a factor."""
        if self.padding == "same":
            return _halo(self._needed(axis, ndim, enlarged), self.multiple(ndim)[axis])
        radii, strides = self._levels(axis, ndim)
        multiple, box = self.multiple(ndim)[axis], self.box(ndim)[axis]
        length = 1000 * multiple // box
        start, rest = self._remains(length, radii, strides)
        lost = box * max(start, length - start - rest) + (enlarged > 1) * enlarged
        return round_up(lost, multiple)

    def _needed(self, axis: int, ndim: int, enlarged: int) -> Callable[[int, int], Range]:
        radii, strides = self._levels(axis, ndim)
        box = self.box(ndim)[axis]

        def needs(first: int, last: int) -> Range:
            first, last = _widened(first, last, enlarged)
            rest = box // enlarged
            below = self._needs(first // rest, last // rest, radii, strides)
            return below[0] * box, below[1] * box + box - 1

        return needs

    def _levels(self, axis: int, ndim: int) -> tuple[list[int], list[int]]:
        """Return the radius of the convolutions of each level, and the strides between them."""
        first = self._lowered + self._stemmed
        flat = [self._flat(axis, ndim, k) for k in range(first + self.depth + 1)]
        return [int(not f) for f in flat[first:]], [2 - f for f in flat[first:-1]]

    def _needs(self, first: int, last: int, radii: list[int], strides: list[int]) -> Range:
        """Return the input range of a level that its output range needs, with all below it."""
        reach = self.convolutions * radii[0]
        first, last = first - reach, last + reach
        if not strides:
            return first, last
        stride = strides[0]
        up = _UPSAMPLED[self.upsampling](first, last, stride, radii[0])
        below = self._needs(*up, radii[1:], strides[1:])
        first, last = min(first, below[0] * stride), max(last, below[1] * stride + stride - 1)
        return first - reach, last + reach

    def _remains(self, length: int, radii: list[int], strides: list[int]) -> tuple[int, int]:
        """Return the start and the length of a level's output when no convolution is padded."""
        trim = self.convolutions * radii[0]
        length -= 2 * trim
        if not strides:
            return trim, length
        stride = strides[0]
        start, length = self._remains(length // stride, radii[1:], strides[1:])
        start, length = start * stride, length * stride
        if self.upsampling in ("transposed-3", "linear"):
            length -= stride - 1
        if self.upsampling == "nearest":
            start, length = start + radii[0], length - 2 * radii[0]
        return trim + start + trim, length - 2 * trim


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

    def multiple(self, ndim: int) -> tuple[int, ...]:
        """Return what the place and the sides of a block must divide by, per axis."""
        levels = range(self._lowered + self._n_poolings)
        return tuple(2 ** sum(not self._flat(a, ndim, k) for k in levels) for a in range(ndim))

    def halo(self, ndim: int) -> tuple[int, ...]:
        """Return how many pixels beyond a tile may change what is predicted in it, per axis."""
        return tuple(self._halo(axis, ndim) for axis in range(ndim))

    @property
    def _n_poolings(self) -> int:
        return self.poolings if self.context == "pooling" else 0

    def _halo(self, axis: int, ndim: int) -> int:
        needs = self._needed(axis, ndim, self.shrink(ndim)[axis])
        return _halo(needs, self.multiple(ndim)[axis])

    def _needed(self, axis: int, ndim: int, enlarged: int) -> Callable[[int, int], Range]:
        lowered = self._lowered
        flat = [self._flat(axis, ndim, lowered + layer) for layer in range(self.layers)]
        strides = [1 if is_flat else 2 for is_flat in flat[: self._n_poolings]]
        grows = 2 if self.context == "dilation" else 1
        reaches = [0 if is_flat else grows**layer for layer, is_flat in enumerate(flat)]

        def needs(first: int, last: int) -> Range:
            first, last = _widened(first, last, enlarged)
            for stride in strides:
                first, last = _UPSAMPLED["linear"](first, last, stride, 0)
            for layer in reversed(range(self.layers)):
                if layer < len(strides):
                    first, last = first * strides[layer], (last + 1) * strides[layer] - 1
                first, last = first - reaches[layer], last + reaches[layer]
            return first * enlarged, last * enlarged + enlarged - 1

        return needs


def _halo(needs: Callable[[int, int], Range], multiple: int) -> int:
    """Return how far beyond a tile on the grid the network looks, rounded up to the grid."""
    first, last = needs(0, multiple - 1)
    return round_up(max(-first, last - multiple + 1), multiple)


def _widened(first: int, last: int, shrink: int) -> Range:
    """Return the range of a shrunken image that linear interpolation needs for a range."""
    return (2 * first + 1 - shrink) // (2 * shrink), -((shrink - 1 - 2 * last) // (2 * shrink))


# The range before doubling that a range after it needs, given the stride and the radius of the
# convolution. The inverse of halving is scaling alone, so that has no table.
_UPSAMPLED: dict[str, Callable[[int, int, int, int], Range]] = {
    "transposed-2": lambda first, last, stride, _: (first // stride, last // stride),
    "transposed-3": lambda first, last, stride, _: (first // stride, -(-last // stride)),
    "linear": lambda first, last, stride, _: (first // stride, -(-last // stride)),
    "nearest": lambda first, last, stride, r: ((first - r) // stride, (last + r) // stride),
}

__all__ = ["CnnSpec", "ConvolutionalSpec", "ModelSpec", "UNetSpec"]
