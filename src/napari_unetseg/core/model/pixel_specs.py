"""Options and inputs of the pixel rungs, which classify each pixel by its features.

A pixel's inputs are its features, of the filter bank, of a network or of both, and its position
terms if wanted. The network is the pretrained one of the package or a trained UNet. The three rungs
differ in the function of them: one weighted sum, one for each class, or a multilayer perceptron.
"""

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any, ClassVar, Literal, Self, TypeGuard

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from napari_unetseg.core.compute.coarse_maps import MixedInputs
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.features import FilterBankSpec, filter_bank
from napari_unetseg.core.features.filter_passes import axis_sigmas
from napari_unetseg.core.features.position import n_position_terms, position_terms
from napari_unetseg.core.model.feature_context import NO_CONTEXT, FeatureContext
from napari_unetseg.core.model.network_features import FeatureSource, PixelFeatures
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.model.pretrained_features import PRETRAINED
from napari_unetseg.core.options import option

FloatArray = NDArray[np.float32]

Balance = Literal["equal", "root", "pixels"]
Features = Literal["auto", "bank", "pretrained", "bank+pretrained", "network", "both"]

OF_BANK: tuple[Features, ...] = ("auto", "bank", "bank+pretrained", "both")
"""Features that include the filter bank."""

_OF_PRETRAINED: tuple[Features, ...] = ("pretrained", "bank+pretrained")
_OF_UNET: tuple[Features, ...] = ("network", "both")


class PixelSpec(FilterBankSpec, ModelSpec):
    """Base of the specifications of the pixel rungs."""

    learns_features: ClassVar[bool] = False

    caution: ClassVar[float] = 30.0
    """Factor of the regularisation, larger for rungs that overfit more easily."""

    caution_of_network: ClassVar[float] = 300.0
    """The same for the features of the pretrained network."""

    caution_with_network: ClassVar[float] = 30.0
    """The same for the filters beside them, whatever part they leave unexplained."""

    features: Features = option(
        "auto",
        "Features",
        "Features of each pixel: brightness, edges and textures at several scales (bank), the "
        "activations of a small network that was pretrained on photographs (pretrained), or both "
        "(bank+pretrained); where a trained UNet is given, its activations (network), alone or "
        "beside the bank (both). Automatic uses the bank with the given UNet, or else with the "
        "pretrained network; the bank alone where its filters were changed, or where images are "
        "not normalised.",
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
        return self.features in OF_BANK

    @property
    def uses_pretrained(self) -> bool:
        """Whether the features of the pretrained network are among them."""
        return self.features in _OF_PRETRAINED

    @property
    def _changed_filters(self) -> bool:
        """Whether an option of the filter bank is not the default."""
        fields = FilterBankSpec.model_fields
        return any(getattr(self, name) != field.default for name, field in fields.items())

    def for_fit(self, network: PixelFeatures | None, *, normalised: bool = True) -> Self:
        """Return these options with automatic features resolved, for a fit.

        Parameters
        ----------
        network
            Features of the UNet that is given, if any.
        normalised
            Whether images are, which the pretrained network needs.

        Raises
        ------
        InputError
            See `seeing`.
        """
        spec = self
        if self.features == "auto":
            automatic: Features = "both"
            if network is None:
                alone = not normalised or self._changed_filters
                automatic = "bank" if alone else "bank+pretrained"
            spec = self.model_copy(update={"features": automatic})
        return spec.seeing(PRETRAINED if network is None and spec.uses_pretrained else network)

    def seeing(self, network: PixelFeatures | None) -> Self:
        """Return these options with automatic features resolved for a network, or for none.

        Raises
        ------
        InputError
            When they ask for another network than the given one, or do not use it.
        """
        if network is None:
            if self.features in _OF_UNET:
                raise InputError(
                    f"The {self.kind} model needs the features of a trained UNet "
                    f"(features={self.features}), but none is given. Give one, or choose "
                    "bank+pretrained or bank."
                )
            if self.uses_pretrained:
                raise InputError(
                    f"The {self.kind} model needs the features of the pretrained network "
                    f"(features={self.features}). Choose bank where there is none."
                )
            return self
        both: Features = "bank+pretrained" if network is PRETRAINED else "both"
        if self.features == "auto":
            return self.model_copy(update={"features": both})
        if network is not PRETRAINED and self.features not in _OF_UNET:
            raise InputError(
                f"A UNet is given for its features, but features={self.features} does not use it. "
                "Choose network or both, or leave the UNet out."
            )
        return self

    def halo(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return the halo: pixels beyond a tile that a prediction in it may need, per axis."""
        bank = self.reach(ndim, context.spacing) if self.uses_bank else (0,) * ndim
        network = self._network(context)
        return bank if network is None else tuple(map(max, bank, network.halo(ndim)))

    def multiple(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return the divisor of a block's position and sides, per axis."""
        network = self._network(context)
        return (1,) * ndim if network is None else network.multiple(ndim)

    def border(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return how far the image is mirrored beyond its edges before predicting, per axis.

        The filters mirror the image themselves.
        """
        network = self._network(context)
        return (0,) * ndim if network is None else network.border(ndim)

    def n_inputs(self, n_channels: int, ndim: int, context: FeatureContext = NO_CONTEXT) -> int:
        """Return the number of inputs of each pixel: features, then position terms."""
        terms = n_position_terms(self.position, self.position_order, ndim)
        bank = self.n_features(ndim, n_channels=n_channels) if self.uses_bank else 0
        network = self._network(context)
        return bank + (0 if network is None else network.count) + terms

    def _network(self, context: FeatureContext) -> PixelFeatures | None:
        """Return the features of the given network, or of the pretrained one if they are used."""
        return PRETRAINED if self.uses_pretrained else context.network

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

    layers: int = option(1, "Hidden layers", "Layers between features and classes.", ge=1, le=8)
    width: int = option(
        16,
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


def mixed_inputs(
    block: NDArray[Any],
    spec: PixelSpec,
    *,
    spacing: Sequence[float] = (),
    margin: Sequence[int] = (),
    origin: Sequence[int] = (),
    shape: Sequence[int] = (),
    network: FeatureSource | None = None,
) -> MixedInputs:
    """Compute the inputs of a pixel rung, those of a network on its own grids.

    Parameters
    ----------
    block, spec, spacing, margin
        See `filter_bank`.
    origin
        Position of the block's first pixel, margin included, in the whole image; zeros when not
        given.
    shape
        Spatial shape of the whole image; that of the block when not given.
    network
        The network whose features are inputs, if the options ask for them. Then the block may
        reach beyond the image, mirrored; the filters are applied to the image alone.

    Returns
    -------
    MixedInputs
        Of `spec.n_inputs`: features of the bank, then of the network, then position terms.

    Raises
    ------
    InputError
        As `filter_bank`, and as `PixelSpec.seeing`.
    MemoryError
        When the block is too large for the network.
    """
    ndim = block.ndim - 1
    spec = spec.seeing(None if network is None else network.features)
    n_terms = n_position_terms(spec.position, spec.position_order, ndim)
    edges = tuple(margin) or (0,) * ndim
    start, whole = tuple(origin) or (0,) * ndim, tuple(shape) or block.shape[1:]
    inner = tuple(n - 2 * edge for n, edge in zip(block.shape[1:], edges, strict=True))
    kept = tuple(slice(edge, edge + n) for edge, n in zip(edges, inner, strict=True))
    found = () if network is None else network.maps(block, origin=start, shape=whole)
    maps = tuple(one.window(kept) for one in found)
    fine = [one.values for one in maps if one.is_fine]
    n_bank = spec.n_features(ndim, n_channels=len(block)) if spec.uses_bank else 0
    n_fine = sum(map(len, fine))
    inputs = np.empty((n_bank + n_fine + n_terms, *inner), np.float32)
    if network is None:
        filter_bank(block, spec, spacing=spacing, margin=edges, out=inputs[:n_bank])
    elif n_bank:
        responses = _bank_within(block, spec, spacing, start, whole)
        inputs[:n_bank] = responses[(slice(None), *kept)]
    if fine:
        np.concatenate(fine, out=inputs[n_bank : n_bank + n_fine])
    if n_terms:
        inputs[n_bank + n_fine :] = position_terms(
            spec.position,
            spec.position_order,
            origin=tuple(o + e for o, e in zip(start, edges, strict=True)),
            block=inner,
            shape=whole,
        )
    coarse = tuple(one for one in maps if not one.is_fine)
    return MixedInputs(inputs, coarse, n_bank + n_fine)


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
    "OF_BANK",
    "Balance",
    "Features",
    "LogisticSpec",
    "MlpSpec",
    "PixelSpec",
    "SoftmaxSpec",
    "mixed_inputs",
    "sees_features",
]
