"""Background: a smooth surface fitted to an image and subtracted or divided out."""

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
