"""The options of a UNet whose encoder is the network pretrained on photographs."""

from collections.abc import Mapping
from itertools import groupby
from types import MappingProxyType
from typing import Any, ClassVar

from napari_unetseg.core.features.position import n_position_terms
from napari_unetseg.core.model.feature_context import NO_CONTEXT, FeatureContext
from napari_unetseg.core.model.network_specs import ConvolutionalSpec
from napari_unetseg.core.model.pretrained_features import (
    CONTRAST,
    GREY,
    OUTPUTS,
    STAGES,
    STEM,
    TAPS,
    colours,
    pretrained_weights,
)
from napari_unetseg.core.model.receptive_field import Needs, halo_beyond, trunk_needs


class PretrainedUNetSpec(ConvolutionalSpec):
    """A UNet whose encoder is `pretrained_features`; only its decoder begins with random weights.

    References
    ----------
    Iglovikov, Shvets: TernausNet, U-Net with an encoder pretrained on ImageNet, 2018.
    """

    kind: ClassVar[str] = "pretrained-unet"
    older: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    memory_per_pixel: ClassVar[float] = 0.3
    flat_levels: ClassVar[int] = 0  # type: ignore[misc]
    """Of no effect: every plane of a stack goes by itself."""

    @property
    def outputs(self) -> list[list[int]]:
        """Channels of the encoder's outputs, listed for each halving of the image."""
        by_step = groupby(OUTPUTS, key=lambda tap: tap.step)
        return [[tap.channels for tap in taps] for _, taps in by_step]

    @property
    def size_in_words(self) -> str:
        """Size of the model, for a methods section."""
        return "the first stages of EfficientNet-Lite0 as encoder"

    def multiple(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return the divisor of a block's position and sides, per axis."""
        coarsest = max(tap.step for tap in OUTPUTS)
        return tuple(
            1 if self._alone(axis, ndim) else step * coarsest for axis, step in self._each(ndim)
        )

    def halo(self, ndim: int, context: FeatureContext = NO_CONTEXT) -> tuple[int, ...]:
        """Return the halo: pixels beyond a tile that a prediction in it may need, per axis."""
        return tuple(
            halo_beyond(self._needs(axis, ndim, step), self.multiple(ndim)[axis])
            for axis, step in self._each(ndim)
        )

    def known_weights(self) -> Mapping[str, Any]:
        """Return the weights of the trunk."""
        return {f"trunk.{name}": array for name, array in pretrained_weights().items()}

    def network_options(self, n_inputs: int, n_outputs: int, ndim: int) -> dict[str, Any]:
        """Return the arguments that its network is built with."""
        n_channels = n_inputs - n_position_terms(self.position, self.position_order, ndim)
        return super().network_options(n_inputs, n_outputs, ndim) | {
            "colours": (colours(n_channels) / CONTRAST).tolist(),
            "summand": -GREY / CONTRAST,
            "stem": STEM,
            "stages": [list(stage) for stage in STAGES],
            "taps": list(TAPS),
            "outputs": self.outputs,
        }

    def _each(self, ndim: int) -> list[tuple[int, int]]:
        return list(enumerate(self.shrink(ndim)))

    def _alone(self, axis: int, ndim: int) -> bool:
        return ndim == 3 and axis == 0

    def _flat(self, axis: int, ndim: int, halvings: int) -> bool:
        return self._alone(axis, ndim)

    def _needs(self, axis: int, ndim: int, enlarged: int) -> Needs:
        if self._alone(axis, ndim):
            return lambda first, last: (first, last)
        return trunk_needs([(tap.step, tap.left, tap.right) for tap in OUTPUTS], enlarged)


__all__ = ["PretrainedUNetSpec"]
