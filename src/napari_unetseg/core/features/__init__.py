"""What a pixel's surroundings look like, as numbers that the pixel rungs learn from."""

from napari_unetseg.core.features.bank import (
    BORDER,
    Filter,
    FilterBankSpec,
    filter_bank,
)

__all__ = [
    "BORDER",
    "Filter",
    "FilterBankSpec",
    "filter_bank",
]
