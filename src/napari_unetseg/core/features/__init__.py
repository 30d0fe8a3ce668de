"""Pixel features: numbers describing each pixel's neighbourhood, the input of pixel models."""

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
