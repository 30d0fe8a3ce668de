"""Define the contents of a project in memory."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.training.model_history import Version

Place = Mapping[str, Any]
"""Transform and display settings of a layer, as JSON values."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageItem:
    """Hold an image layer.

    Parameters
    ----------
    key
        Identifier within the project: letters, digits and dashes.
    name
        Display name.
    image
        The pixels; written into the project only if there is no `path`.
    path
        The file that the image was read from.
    version
        Changes with the image: an item whose version was saved last is not written again.
    place
        Transform and display settings of the layer.
    mark
        Provenance of the layer in the plugin: role, source and options.
    """

    key: str
    name: str
    image: Image
    path: Path | None = None
    version: Hashable = None
    place: Place = field(default_factory=dict)
    mark: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelsItem:
    """Hold a Labels layer.

    Parameters
    ----------
    labels
        Ids or classes, of any shape.
    ink
        Locked pixels: those that were drawn or approved by hand.
    table
        Columns of equal length that describe the objects; None without any.

    See Also
    --------
    ImageItem : the other parameters.
    """

    key: str
    name: str
    labels: NDArray[Any]
    ink: PixelSet | None = None
    table: Mapping[str, NDArray[Any]] | None = None
    version: Hashable = None
    place: Place = field(default_factory=dict)
    mark: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class Contents:
    """Hold all contents of a project.

    Parameters
    ----------
    images, labels
        The layers, bottom first.
    models
        All trained or loaded models that are still there, the current one last.
    history
        Versions of these models and of deleted ones, oldest first.
    missing
        Sentences about items that were not found when the project was opened, or cannot be saved.
    """

    images: tuple[ImageItem, ...] = ()
    labels: tuple[LabelsItem, ...] = ()
    models: tuple[TrainedModel, ...] = ()
    history: tuple[Version, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def items(self) -> tuple[ImageItem | LabelsItem, ...]:
        """All layers, images first."""
        return (*self.images, *self.labels)

    def __post_init__(self) -> None:
        keys = [item.key for item in self.items]
        if len(set(keys)) < len(keys):
            # Files are named by keys: two items of one key would overwrite each other.
            raise ValueError(f"Two items of a project have the same key: {sorted(keys)}.")


__all__ = ["Contents", "ImageItem", "LabelsItem", "Place"]
