"""The rungs that look at one pixel at a time: options and inputs.

A pixel's inputs are its features, of the filter bank or of a trained UNet or of both, and, if
wanted, its position terms. What the three rungs do with
them differs by a little: one weighted sum, one for each class, or sums of sums.
"""

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.features import FilterBankSpec, filter_bank
from napari_unetseg.core.features.position import n_position_terms, position_terms
from napari_unetseg.core.model.network_features import FeatureSource, NetworkFeatures
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.options import option

FloatArray = NDArray[np.float32]

Balance = Literal["equal", "root", "pixels"]
Features = Literal["auto", "bank", "network", "both"]

_AUTO: Features = "both"
"""What automatic features are where a network is given."""


class PixelSpec(FilterBankSpec, ModelSpec):
    """What the rungs that look at one pixel at a time have in common."""

    caution: ClassVar[float] = 30.0
    """What the regularisation is multiplied by: more for rungs with more to learn by heart."""

    features: Features = option(
        "auto",
        "Features",
        "What is known of each pixel: what the filters of the bank answer, what a UNet trained "
        "before tells of it (network), or both. Automatic is both where such a UNet is given, and "
        "the bank where none is.",
        advanced=True,
    )
    regularisation: float = option(
        1.0,
        "Regularisation",
        "Price of large weights, against learning by heart. It counts less the more pixels are "
        "labelled and the better the classes part, so 1 suits most; raise it when the result is "
        "speckled, lower it when the strokes themselves come out wrong.",
        ge=1e-6,
        le=1e6,
        advanced=True,
    )
    balance: Balance = option(
        "root",
        "Class balance",
        "How much each class counts in all: the same, by its number of labelled pixels, or by the "
        "root of that, which suits overlap scores such as Dice.",
        advanced=True,
    )
    max_pixels: int = option(
        20_000,
        "Pixels a class",
        "At most so many labelled pixels of each class are used, drawn at random; more hardly "
        "change anything and take time.",
        ge=100,
        le=10_000_000,
        advanced=True,
    )

    @property
    def uses_bank(self) -> bool:
        """Whether the filter bank is among the features."""
        return self.features != "network"

    def seeing(self, network: NetworkFeatures | None) -> Self:
        """Return these options with the features that go with a network, or with none.

        Raises
        ------
        InputError
            When they ask for a network and there is none, or make no use of the one there is.
        """
        if network is None:
            if self.features in ("network", "both"):
                raise InputError(
                    f"The {self.kind} is to see the features of a trained UNet "
                    f"(features={self.features}), but none is given. Give one, or choose the bank."
                )
            return self
        if self.features == "bank":
            raise InputError(
                "A UNet is given for its features, but features=bank makes no use of it. Choose "
                "network or both, or leave the UNet out."
            )
        return self.model_copy(update={"features": _AUTO}) if self.features == "auto" else self

    def halo(
        self, ndim: int, spacing: Sequence[float] = (), network: NetworkFeatures | None = None
    ) -> tuple[int, ...]:
        """Return how many pixels beyond a tile may change what is predicted in it, per axis.

        Parameters
        ----------
        ndim
            2 or 3.
        spacing
            Physical pixel size along each spatial axis; all the same when not given.
        network
            The UNet whose features it sees, if any: so for all that follows.
        """
        bank = self.reach(ndim, spacing) if self.uses_bank else (0,) * ndim
        if network is None:
            return bank
        return tuple(map(max, bank, network.halo(ndim)))

    def multiple(self, ndim: int, network: NetworkFeatures | None = None) -> tuple[int, ...]:
        """Return what the place and the sides of a block must divide by, per axis."""
        return (1,) * ndim if network is None else network.multiple(ndim)

    def border(self, ndim: int, network: NetworkFeatures | None = None) -> tuple[int, ...]:
        """Return how far the image is mirrored beyond its edges before predicting, per axis.

        The filters do that themselves.
        """
        return (0,) * ndim if network is None else network.border(ndim)

    def n_inputs(self, n_channels: int, ndim: int, network: NetworkFeatures | None = None) -> int:
        """Return how many numbers of each pixel the model takes: features, then position."""
        terms = n_position_terms(self.position, self.position_order, ndim)
        bank = self.n_features(ndim, n_channels=n_channels) if self.uses_bank else 0
        return bank + (0 if network is None else network.count) + terms

    def position_powers(self, ndim: int) -> list[tuple[int, int, int]]:
        """Return the powers of x, y and z of each polynomial position term, in their order."""
        axes = range(ndim)[::-1]
        products = (
            factors
            for degree in range(self.position_order)
            for factors in combinations_with_replacement(axes, degree + 1)
        )
        return [(p.count(0), p.count(1), p.count(2)) for p in products]

    def with_position_order(self, order: int) -> Self:
        """Return these options with polynomial position terms of at least a degree.

        Raises
        ------
        InputError
            When there are none of so high a degree.
        """
        if self.position == "polynomial":
            order = max(order, self.position_order)
        try:
            return type(self)(
                **self.model_dump() | {"position": "polynomial", "position_order": max(order, 1)}
            )
        except ValidationError as error:
            raise InputError(
                f"The surface has terms of degree {order}, more than position terms can have. "
                "Fit a background of a lower order."
            ) from error

    @property
    def hidden(self) -> tuple[int, ...]:
        """Units of each hidden layer."""
        return ()


class LogisticSpec(PixelSpec):
    """Two classes by one weighted sum and a sigmoid: the straight line among classifiers."""

    kind: ClassVar[str] = "logistic"


class SoftmaxSpec(PixelSpec):
    """Any number of classes, a weighted sum for each: the perceptron of one layer."""

    kind: ClassVar[str] = "softmax"


class MlpSpec(PixelSpec):
    """A multilayer perceptron: sums of sums, so that classes need not part along a line."""

    kind: ClassVar[str] = "mlp"
    caution: ClassVar[float] = 100.0

    layers: int = option(2, "Hidden layers", "Layers between features and classes.", ge=1, le=8)
    width: int = option(
        32,
        "Units a layer",
        "Sums in each hidden layer. More can follow finer shapes.",
        ge=1,
        le=512,
    )
    iterations: int = option(
        100,
        "Iterations",
        "Most steps of a fit; it ends sooner when nothing improves.",
        ge=1,
        le=100_000,
        advanced=True,
    )

    @property
    def hidden(self) -> tuple[int, ...]:
        """Units of each hidden layer."""
        return (self.width,) * self.layers


def pixel_inputs(
    block: NDArray[Any],
    spec: PixelSpec,
    *,
    spacing: Sequence[float] = (),
    margin: Sequence[int] = (),
    origin: Sequence[int] = (),
    shape: Sequence[int] = (),
    network: FeatureSource | None = None,
    out: FloatArray | None = None,
) -> FloatArray:
    """Compute what a pixel rung knows of every pixel of a block.

    Parameters
    ----------
    block, spec, spacing, margin, out
        See `filter_bank`.
    origin
        Place of the block's first pixel, margin included, in the whole image; its corner when
        not given.
    shape
        Spatial shape of the whole image; that of the block when not given.
    network
        The UNet whose features are among the inputs, where the options say so. Then the block may
        go on beyond the image, as it is mirrored; the filters are shown the image alone.

    Returns
    -------
    ndarray
        (`spec.n_inputs`, *spatial less the margins), float32: features of the bank, then of the
        network, then position terms.

    Raises
    ------
    InputError
        As `filter_bank`, and as `PixelSpec.seeing`.
    MemoryError
        When the block is too large for the network.
    """
    ndim = block.ndim - 1
    known = None if network is None else network.features
    spec = spec.seeing(known)
    n_terms = n_position_terms(spec.position, spec.position_order, ndim)
    if not n_terms and network is None:
        return filter_bank(block, spec, spacing=spacing, margin=margin, out=out)
    edges = tuple(margin) or (0,) * ndim
    start, whole = tuple(origin) or (0,) * ndim, tuple(shape) or block.shape[1:]
    inner = tuple(n - 2 * edge for n, edge in zip(block.shape[1:], edges, strict=True))
    n_inputs = spec.n_inputs(len(block), ndim, known)
    inputs = np.empty((n_inputs, *inner), np.float32) if out is None else out
    of_bank, of_network, of_position = np.split(
        inputs, [n_inputs - n_terms - (0 if known is None else known.count), n_inputs - n_terms]
    )
    if network is None:
        filter_bank(block, spec, spacing=spacing, margin=edges, out=of_bank)
    else:
        kept = tuple(slice(edge, edge + n) for edge, n in zip(edges, inner, strict=True))
        if len(of_bank):
            of_bank[...] = _bank_within(block, spec, spacing, start, whole)[(slice(None), *kept)]
        told = network(block, origin=start, shape=whole)
        of_network[...] = told[(slice(None), *kept)]
    if n_terms:
        of_position[...] = position_terms(
            spec.position,
            spec.position_order,
            origin=tuple(o + e for o, e in zip(start, edges, strict=True)),
            block=inner,
            shape=whole,
        )
    return inputs


def _bank_within(
    block: NDArray[Any],
    spec: PixelSpec,
    spacing: Sequence[float],
    origin: tuple[int, ...],
    shape: tuple[int, ...],
) -> FloatArray:
    """Return the filters' answers in the image, and zeros where a block goes on beyond it."""
    sides = block.shape[1:]
    spans = tuple(
        slice(max(-first, 0), min(n, length - first))
        for first, n, length in zip(origin, sides, shape, strict=True)
    )
    if all(span == slice(0, n) for span, n in zip(spans, sides, strict=True)):
        return filter_bank(block, spec, spacing=spacing)
    place = (slice(None), *spans)
    n_features = spec.n_features(len(sides), n_channels=len(block))
    answers = np.zeros((n_features, *sides), np.float32)
    answers[place] = filter_bank(block[place], spec, spacing=spacing)
    return answers


__all__ = [
    "Balance",
    "Features",
    "LogisticSpec",
    "MlpSpec",
    "PixelSpec",
    "SoftmaxSpec",
    "pixel_inputs",
]
