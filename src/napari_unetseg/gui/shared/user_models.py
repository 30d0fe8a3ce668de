"""The one shelf of models of the person at the window, remembered beside napari's settings."""

from pathlib import Path

from napari_unetseg.core.model.model_library import ModelLibrary

_NAME = "unetseg-models.json"


def shelf() -> ModelLibrary:
    """Return the shelf, as it is now."""
    return ModelLibrary(beside_settings(_NAME))


def beside_settings(name: str) -> Path:
    """Return the path of a file of ours beside napari's settings."""
    from napari.settings import get_settings

    place = get_settings().config_path
    return (Path(place).parent if place else Path.home() / ".napari-unetseg") / name


__all__ = ["beside_settings", "shelf"]
