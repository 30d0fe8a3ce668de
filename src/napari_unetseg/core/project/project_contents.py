"""What a project holds, in memory."""

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
"""Where a layer stands in the world and how it looks: plain data, as JSON can hold it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageItem:
    """An image layer.

    Parameters
    ----------
    key
        Who it is within the project: letters, digits and dashes.
    name
        For people.
    image
        What it shows. Written into the project only where there is no `path`.
    path
        The file it was read from.
    version
        Changes when the image does: what has the version that was saved last is not written again.
    place
        Of the layer.
    mark
        What the plugin knows of the layer: role, source and options.
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
    """A Labels layer.

    Parameters
    ----------
    labels
        Ids or classes, of any shape.
    ink
        What a hand drew on them.

    See Also
    --------
    ImageItem : the other parameters.
    """

    key: str
    name: str
    labels: NDArray[Any]
    ink: PixelSet | None = None
    version: Hashable = None
    place: Place = field(default_factory=dict)
    mark: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class Contents:
    """All of a project.

    Parameters
    ----------
    images, labels
        The layers, lowest first.
    models
        All that were trained or loaded and are kept, the current one last.
    history
        What is known of these models and of those that are kept no longer, oldest first.
    missing
        Sentences about what could not be found when it was opened.
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


__all__ = ["Contents", "ImageItem", "LabelsItem", "Place"]
