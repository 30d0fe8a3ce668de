"""Save, load and describe model packages; `save`, `load` and `describe` are the public API."""

from napari_unetseg.core.models_io.native.package import SUFFIX, describe, load, save

__all__ = ["SUFFIX", "describe", "load", "save"]
