"""Options and inputs of the pixel rungs, which classify each pixel by its features.

A pixel's inputs are its features, of the filter bank or of a trained UNet or of both, and its
position terms if wanted. The three rungs differ in the function of them: one weighted sum, one for
each class, or a multilayer perceptron.
"""

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any, ClassVar, Literal, Self, TypeGuard

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.features import FilterBankSpec, filter_bank
from napari_unetseg.core.features.filter_passes import axis_sigmas
from napari_unetseg.core.features.position import n_position_terms, position_terms
from napari_unetseg.core.model.feature_context import NO_CONTEXT, FeatureContext
from napari_unetseg.core.model.network_features import FeatureSource, NetworkFeatures
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.options import option

FloatArray = NDArray[np.float32]

Balance = Literal["equal", "root", "pixels"]
Features = Literal["auto", "bank", "network", "both"]

_AUTO: Features = "both"
"""Meaning of automatic features where a network is given."""


class PixelSpec(FilterBankSpec, ModelSpec):
    """Base of the specifications of the pixel rungs."""

    learns_features: ClassVar[bool] = False

    caution: ClassVar[float] = 30.0
    """Factor of the regularisation, larger for rungs that overfit more easily."""

    features: Features = option(
        "auto",
        "Features",
        "Features of each pixel: the responses of the filter bank (bank), the activations of a "
        "trained UNet (network), or both. Automatic uses both if such a UNet is given, and the "
        "bank otherwise.",
        advanced=True,
    )
    regularisation: float = option(
        1.0,
        "Regularisation",
        "Penalty on large weights, to reduce overfitting. It adapts to the number of labelled "
        "pixels and to how well the classes separate, so 1 suits most images. Raise it if the "
        "result is speckled; lower it if the strokes themselves are predicted wrong.",
        ge=1e-6,
        le=1e6,
        advanced=True,
    )
    balance: Balance = option(
        "root",
        "Class balance",
        "Total weight of each class: the same for all, by its number of labelled pixels, or by the "
        "square root of that, which suits overlap scores such as Dice.",
        advanced=True,
    )
    max_pixels: int = option(
        20_000,
        "Pixels a class",
        "Largest number of labelled pixels of each class, drawn at random. More hardly change the "
        "result and take time.",
        ge=100,
        le=10_000_000,
        advanced=True,
    )

    @property
    def uses_bank(self) -> bool:
        """Whether the filter bank is among the features."""
        return self.features != "network"

    def seeing(self, network: NetworkFeatures | None) -> Self:
        """Return these options with automatic features resolved for a network, or for none.

        Raises
        ------
        InputError
            When they ask for a network and none is given, or do not use the given one.
        """
        if network is None:
            if self.features in ("network", "both"):
                raise InputError(
                    f"The {self.kind} model needs the features of a trained UNet "
                    f"(features={self.features}), but none is given. Give one, or choose the bank."
                )
            return self
        if self.features == "bank":
            raise InputError(
                "A UNet is given for its features, but features=bank does not use it. Choose "
                "network or both, or leave the UNet out."
            )
        return self.model_copy(update={"features": _AUTO}) if self.features == "auto" else self

    def halo(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return the halo: pixels beyond a tile that a prediction in it may need, per axis."""
        bank = self.reach(ndim, context.spacing) if self.uses_bank else (0,) * ndim
        if context.network is None:
            return bank
        return tuple(map(max, bank, context.network.halo(ndim)))

    def multiple(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return the divisor of a block's position and sides, per axis."""
        return (1,) * ndim if context.network is None else context.network.multiple(ndim)

    def border(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return how far the image is mirrored beyond its edges before predicting, per axis.

        The filters mirror the image themselves.
        """
        return (0,) * ndim if context.network is None else context.network.border(ndim)

    def n_inputs(self, n_channels: int, ndim: int, context: FeatureContext = NO_CONTEXT) -> int:
        """Return the number of inputs of each pixel: features, then position terms."""
        terms = n_position_terms(self.position, self.position_order, ndim)
        bank = self.n_features(ndim, n_channels=n_channels) if self.uses_bank else 0
        return bank + (0 if context.network is None else context.network.count) + terms

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
            When the degree is above the largest of position terms.
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
                "Fit the background with other terms, such as quartic."
            ) from error

    def input_options(self, ndim: int, spacing: tuple[float, ...]) -> dict[str, Any]:
        """Return the arguments of `ImageInputs`: the filters, position and intensity."""
        scales = [list(axis_sigmas(scale, ndim, spacing)) for scale in self.scales]
        bank = {"scales": scales, "chosen": list(self.chosen), "intensity": self.intensity}
        return bank | super().input_options(ndim, spacing)

    def network_options(self, n_inputs: int, n_outputs: int, ndim: int) -> dict[str, Any]:
        """Return the arguments for building its network."""
        outputs = self.count_outputs(n_outputs)
        return {"n_inputs": n_inputs, "n_outputs": outputs, "hidden": list(self.hidden)}

    @property
    def hidden(self) -> tuple[int, ...]:
        """Units of each hidden layer."""
        return ()

    @property
    def most_steps(self) -> int:
        """Largest number of steps of a fit with hidden layers."""
        return 100


class LogisticSpec(PixelSpec):
    """Logistic regression: two classes by one weighted sum and a sigmoid."""

    kind: ClassVar[str] = "logistic"

    @classmethod
    def suits(cls, n_classes: int) -> bool:
        """Whether there are two classes."""
        return n_classes == 2

    def count_outputs(self, n_classes: int) -> int:
        """Return 1: evidence of the second class.

        Raises
        ------
        InputError
            When there are more than two classes.
        """
        if n_classes != 2:
            raise InputError(
                f"The logistic model separates two classes, but {n_classes} are annotated. "
                "Choose softmax or mlp."
            )
        return 1


class SoftmaxSpec(PixelSpec):
    """Multinomial logistic regression: a weighted sum for each of any number of classes."""

    kind: ClassVar[str] = "softmax"

    @classmethod
    def suits(cls, n_classes: int) -> bool:
        """Whether there are other than two classes, for which the logistic rung is equivalent."""
        return n_classes != 2


class MlpSpec(PixelSpec):
    """A multilayer perceptron, for classes that are not linearly separable."""

    kind: ClassVar[str] = "mlp"
    caution: ClassVar[float] = 100.0

    layers: int = option(2, "Hidden layers", "Layers between features and classes.", ge=1, le=8)
    width: int = option(
        32,
        "Units a layer",
        "Units in each hidden layer. More can fit more complex borders between classes.",
        ge=1,
        le=512,
    )
    iterations: int = option(
        100,
        "Iterations",
        "Largest number of steps of a fit. It ends earlier when the loss stops falling.",
        ge=1,
        le=100_000,
        advanced=True,
    )

    @property
    def hidden(self) -> tuple[int, ...]:
        """Units of each hidden layer."""
        return (self.width,) * self.layers

    @property
    def most_steps(self) -> int:
        """Largest number of steps of a fit."""
        return self.iterations


def sees_features(spec: ModelSpec) -> TypeGuard[PixelSpec]:
    """Return whether a model is fitted to given features of each pixel."""
    return not spec.learns_features


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
    """Compute the inputs of a pixel rung for every pixel of a block.

    Parameters
    ----------
    block, spec, spacing, margin, out
        See `filter_bank`.
    origin
        Position of the block's first pixel, margin included, in the whole image; zeros when not
        given.
    shape
        Spatial shape of the whole image; that of the block when not given.
    network
        The UNet whose features are inputs, if the options ask for them. Then the block may reach
        beyond the image, mirrored; the filters are applied to the image alone.

    Returns
    -------
    ndarray
        (`spec.n_inputs`, *spatial without the margins), float32: features of the bank, then of
        the network, then position terms.

    Raises
    ------
    InputError
        As `filter_bank`, and as `PixelSpec.seeing`.
    MemoryError
        When the block is too large for the network.
    """
    ndim = block.ndim - 1
    offered = None if network is None else network.features
    spec = spec.seeing(offered)
    n_terms = n_position_terms(spec.position, spec.position_order, ndim)
    if not n_terms and network is None:
        return filter_bank(block, spec, spacing=spacing, margin=margin, out=out)
    edges = tuple(margin) or (0,) * ndim
    start, whole = tuple(origin) or (0,) * ndim, tuple(shape) or block.shape[1:]
    inner = tuple(n - 2 * edge for n, edge in zip(block.shape[1:], edges, strict=True))
    n_inputs = spec.n_inputs(len(block), ndim, FeatureContext(network=offered))
    inputs = np.empty((n_inputs, *inner), np.float32) if out is None else out
    of_bank, of_network, of_position = np.split(
        inputs, [n_inputs - n_terms - (0 if offered is None else offered.count), n_inputs - n_terms]
    )
    if network is None:
        filter_bank(block, spec, spacing=spacing, margin=edges, out=of_bank)
    else:
        kept = tuple(slice(edge, edge + n) for edge, n in zip(edges, inner, strict=True))
        if len(of_bank):
            of_bank[...] = _bank_within(block, spec, spacing, start, whole)[(slice(None), *kept)]
        features = network(block, origin=start, shape=whole)
        of_network[...] = features[(slice(None), *kept)]
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
    """Compute filter responses within the image, and zeros where a block reaches beyond it."""
    sides = block.shape[1:]
    spans = tuple(
        slice(max(-first, 0), min(n, length - first))
        for first, n, length in zip(origin, sides, shape, strict=True)
    )
    if all(span == slice(0, n) for span, n in zip(spans, sides, strict=True)):
        return filter_bank(block, spec, spacing=spacing)
    place = (slice(None), *spans)
    n_features = spec.n_features(len(sides), n_channels=len(block))
    responses = np.zeros((n_features, *sides), np.float32)
    responses[place] = filter_bank(block[place], spec, spacing=spacing)
    return responses


__all__ = [
    "Balance",
    "Features",
    "LogisticSpec",
    "MlpSpec",
    "PixelSpec",
    "SoftmaxSpec",
    "pixel_inputs",
    "sees_features",
]
