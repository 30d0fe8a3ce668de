"""A project folder: images, labels with their ink, and models, saved so that no crash harms it."""

from napari_unetseg.core.project.project_contents import Contents, ImageItem, LabelsItem
from napari_unetseg.core.project.project_folder import SUFFIX, ProjectFolder, is_project

__all__ = [
    "SUFFIX",
    "Contents",
    "ImageItem",
    "LabelsItem",
    "ProjectFolder",
    "is_project",
]
