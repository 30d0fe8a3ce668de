"""What a trained UNet tells a pixel rung of every pixel: how many numbers, and from how far.

The network is frozen: the rung learns which of its numbers to heed, and it learns nothing more. It
has seen many images where the rung has a few strokes of one, which is all that its weights are for.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.model.network_specs import UNetSpec

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class NetworkFeatures:
    """The numbers that a frozen UNet tells of each pixel, without its weights.

    Parameters
    ----------
    spec
        Which UNet.
    n_evidence
        How many numbers of evidence it gives.
    """

    spec: UNetSpec
    n_evidence: int

    @property
    def count(self) -> int:
        """How many numbers there are of each pixel: what the last level knows, then evidence."""
        return self.spec.width + self.n_evidence

    def halo(self, ndim: int) -> tuple[int, ...]:
        """Return how many pixels beyond a tile may change them, per axis."""
        return self.spec.features_halo(ndim)

    def multiple(self, ndim: int) -> tuple[int, ...]:
        """Return what the place and the sides of a block must divide by, per axis."""
        return self.spec.multiple(ndim)

    def border(self, ndim: int) -> tuple[int, ...]:
        """Return how far the image is to be mirrored beyond its edges, per axis."""
        if self.spec.padding == "valid":
            return self.halo(ndim)
        return self.spec.border(ndim)


class FeatureSource(Protocol):
    """A frozen UNet with its weights.

    See `napari_unetseg.core.nn.inference.frozen_network.FrozenNetwork`.
    """

    @property
    def features(self) -> NetworkFeatures:
        """How many numbers it tells, and from how far."""

    def __call__(
        self, block: NDArray[Any], *, origin: tuple[int, ...], shape: tuple[int, ...]
    ) -> FloatArray:
        """Return (count, *spatial) of a block (C, *spatial), as `Segmenter.predict_proba` does."""


__all__ = ["FeatureSource", "NetworkFeatures"]
