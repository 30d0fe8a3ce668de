"""Context of the features of a pixel: spacing, and a frozen network."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_unetseg.core.model.network_features import PixelFeatures


@dataclass(frozen=True)
class FeatureContext:
    """Spacing and frozen network that a model's features are computed with.

    Models that learn their own features do not use it.

    Parameters
    ----------
    spacing
        Physical pixel size along each spatial axis; isotropic when empty.
    network
        Features of the frozen network; None for the filter bank alone.
    """

    spacing: tuple[float, ...] = ()
    network: "PixelFeatures | None" = None


NO_CONTEXT = FeatureContext()
"""Square pixels, and no frozen network."""

__all__ = ["NO_CONTEXT", "FeatureContext"]
