"""napari reader for project folders."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import QTimer

from napari_unetseg.core.project import Contents, ProjectFolder, is_project
from napari_unetseg.gui.project.autosave import Autosave
from napari_unetseg.gui.project.project_layers import layers_from_contents

LayerData = tuple[Any, dict[str, Any], str]


def get_project_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """Return the reader if `path` is a project (napari hook)."""
    if isinstance(path, str) and is_project(path):
        return read_project
    return None


def read_project(path: Any) -> list[LayerData]:
    """Read a project's layers; locked pixels and models follow once the layers are in the viewer.

    Raises
    ------
    InputError
        If the project is damaged.
    """
    import napari

    folder = ProjectFolder(Path(path))
    contents = folder.open()
    layers, problems = layers_from_contents(contents)
    viewer = napari.current_viewer()
    if viewer is not None:
        QTimer.singleShot(0, lambda: _take_over(viewer, folder, contents, problems))
    return [layer.as_layer_data_tuple() for layer in layers]


def _take_over(viewer: Any, folder: ProjectFolder, contents: Contents, problems: list[str]) -> None:
    Autosave.of(viewer).take_over(folder, contents, problems)


__all__ = ["get_project_reader", "read_project"]
