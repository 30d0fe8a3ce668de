"""The rungs that look at one pixel at a time, through the filter bank: options and inputs.

A pixel's inputs are its features and, if wanted, its position terms. What the three rungs do with
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
from napari_unetseg.core.models import ModelSpec
from napari_unetseg.core.position import n_position_terms, position_terms
from napari_unetseg.core.specs import option

FloatArray = NDArray[np.float32]

Balance = Literal["equal", "root", "pixels"]


class PixelSpec(FilterBankSpec, ModelSpec):
    """What the rungs over the filter bank have in common."""

    caution: ClassVar[float] = 30.0
    """What the regularisation is multiplied by: more for rungs with more to learn by heart."""

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

    def halo(self, ndim: int) -> tuple[int, ...]:
        """Return how many pixels beyond a tile may change what is predicted in it, per axis."""
        return self.reach(ndim)

    def multiple(self, ndim: int) -> tuple[int, ...]:
        """Return what the place and the sides of a block must divide by, per axis."""
        return (1,) * ndim

    def n_inputs(self, n_channels: int, ndim: int) -> int:
        """Return how many numbers of each pixel the network takes: features, then position."""
        terms = n_position_terms(self.position, self.position_order, ndim)
        return self.n_features(ndim, n_channels=n_channels) + terms

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

    Returns
    -------
    ndarray
        (`spec.n_inputs`, *spatial less the margins), float32: features, then position terms.

    Raises
    ------
    InputError
        As `filter_bank`.
    """
    ndim = block.ndim - 1
    n_terms = n_position_terms(spec.position, spec.position_order, ndim)
    if not n_terms:
        return filter_bank(block, spec, spacing=spacing, margin=margin, out=out)
    edges = tuple(margin) or (0,) * ndim
    inner = tuple(n - 2 * edge for n, edge in zip(block.shape[1:], edges, strict=True))
    first = tuple(o + e for o, e in zip(tuple(origin) or (0,) * ndim, edges, strict=True))
    n_inputs = spec.n_inputs(len(block), ndim)
    inputs = np.empty((n_inputs, *inner), np.float32) if out is None else out
    filter_bank(block, spec, spacing=spacing, margin=edges, out=inputs[:-n_terms])
    inputs[-n_terms:] = position_terms(
        spec.position,
        spec.position_order,
        origin=first,
        block=inner,
        shape=tuple(shape) or block.shape[1:],
    )
    return inputs


__all__ = [
    "Balance",
    "LogisticSpec",
    "MlpSpec",
    "PixelSpec",
    "SoftmaxSpec",
    "pixel_inputs",
]
