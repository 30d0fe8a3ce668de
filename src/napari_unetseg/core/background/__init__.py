"""The background of an image: a surface in pixel position, fitted and taken out."""

from napari_unetseg.core.background.background_fit import (
    Background,
    BackgroundOptions,
    Surface,
    background_from_surfaces,
    fit_background,
)

__all__ = [
    "Background",
    "BackgroundOptions",
    "Surface",
    "background_from_surfaces",
    "fit_background",
]
