"""The user's model library, listed in a file beside napari's settings."""

from pathlib import Path

from napari_unetseg.core.model.model_library import ModelLibrary

_NAME = "unetseg-models.json"


def shelf() -> ModelLibrary:
    """Return the user's model library."""
    return ModelLibrary(beside_settings(_NAME))


def beside_settings(name: str) -> Path:
    """Return the path of a file of the plugin beside napari's settings."""
    from napari.settings import get_settings

    place = get_settings().config_path
    return (Path(place).parent if place else Path.home() / ".napari-unetseg") / name


__all__ = ["beside_settings", "shelf"]
