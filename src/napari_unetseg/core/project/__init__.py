"""Save and open project folders of images, labels, locked pixels and models, safe from crashes."""

from napari_unetseg.core.project.project_contents import Contents, ImageItem, LabelsItem
from napari_unetseg.core.project.project_folder import (
    SUFFIX,
    ProjectFolder,
    SavedElsewhereError,
    is_project,
)

__all__ = [
    "SUFFIX",
    "Contents",
    "ImageItem",
    "LabelsItem",
    "ProjectFolder",
    "SavedElsewhereError",
    "is_project",
]
