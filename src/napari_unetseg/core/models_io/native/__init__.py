"""Model packages in and out. `save`, `load` and `describe` are all that others need."""

from napari_unetseg.core.models_io.native.package import SUFFIX, describe, load, save

__all__ = ["SUFFIX", "describe", "load", "save"]
