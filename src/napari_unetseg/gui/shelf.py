"""The one shelf of models of the person at the window, remembered beside napari's settings."""

from pathlib import Path

from napari_unetseg.core.shelf import Shelf

_NAME = "unetseg-models.json"


def shelf() -> Shelf:
    """Return the shelf, as it is now."""
    from napari.settings import get_settings

    place = get_settings().config_path
    return Shelf((Path(place).parent if place else Path.home() / ".napari-unetseg") / _NAME)


__all__ = ["shelf"]
