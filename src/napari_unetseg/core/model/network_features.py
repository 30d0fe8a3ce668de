"""Features of a frozen network for the pixel models: their number and their receptive field.

Only the pixel model is trained, on the features of the frozen network. The network was trained on
many images, the pixel model on a few strokes of one, which is why its features are useful.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from napari_unetseg.core.compute.coarse_maps import CoarseMaps
from napari_unetseg.core.model.network_specs import UNetSpec


@dataclass(frozen=True)
class NetworkFeatures:
    """Features of a frozen UNet at each pixel, without its weights.

    Parameters
    ----------
    spec
        Specification of the UNet.
    n_evidence
        Number of class scores in its output.
    """

    spec: UNetSpec
    n_evidence: int

    @property
    def count(self) -> int:
        """Number of features per pixel: the channels of the last level, then the class scores."""
        return self.spec.width + self.n_evidence

    def halo(self, ndim: int) -> tuple[int, ...]:
        """Return the halo in pixels that a tile needs, per axis."""
        return self.spec.features_halo(ndim)

    def multiple(self, ndim: int) -> tuple[int, ...]:
        """Return the divisor of a block's position and sides, per axis."""
        return self.spec.multiple(ndim)

    def border(self, ndim: int) -> tuple[int, ...]:
        """Return how far the image is mirrored beyond its edges, per axis."""
        if self.spec.padding == "valid":
            return self.halo(ndim)
        return self.spec.border(ndim)


class PixelFeatures(Protocol):
    """Features of a frozen network at each pixel: a UNet's, or those of the pretrained network."""

    @property
    def count(self) -> int:
        """Number of features per pixel."""

    def halo(self, ndim: int) -> tuple[int, ...]:
        """Return the halo in pixels that a tile needs, per axis."""

    def multiple(self, ndim: int) -> tuple[int, ...]:
        """Return the divisor of a block's position and sides, per axis."""

    def border(self, ndim: int) -> tuple[int, ...]:
        """Return how far the image is mirrored beyond its edges, per axis."""


class FeatureSource(Protocol):
    """Frozen network with its weights.

    See `napari_unetseg.core.nn.inference`: `FrozenNetwork` for a UNet, `PretrainedSource`.
    """

    @property
    def features(self) -> PixelFeatures:
        """Number and receptive field of the features."""

    @property
    def model(self) -> Any:
        """The `TrainedModel` whose features they are; None for the pretrained network."""

    def maps(
        self, block: NDArray[Any], *, origin: tuple[int, ...], shape: tuple[int, ...]
    ) -> tuple[CoarseMaps, ...]:
        """Compute the features of a block, as `Segmenter.predict_proba` does."""


__all__ = ["FeatureSource", "NetworkFeatures", "PixelFeatures"]
