"""Objects made of a layer of classes, so that single ones can be corrected."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unetseg.core.objects.masks import label_classes
from napari_unetseg.gui.shared.layers import axes_of, labels_of
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.task import Work

OBJECTS_OF_CLASSES = "objects of classes"
"""Role of a layer of objects that were made of classes."""


@dataclass(frozen=True, eq=False)
class SeparatedClasses:
    """The layer of classes, and the objects that were made of it."""

    source: Labels
    ids: NDArray[np.int32]
    n: int


def separate_work(layer: Labels) -> Work:
    """Return the computation that labels the connected parts of each class of a layer."""
    classes = labels_of(layer)
    ndim = sum(axis in "ZYX" for axis in axes_of(layer))

    def work(progress: Any) -> SeparatedClasses:
        ids, n = label_classes(classes, ndim, progress=progress)
        return SeparatedClasses(layer, ids, n)

    return work


def show_separated(session: Session, layers: Any, result: SeparatedClasses) -> tuple[Labels, str]:
    """Put the objects into a layer above the classes; return it and the message."""
    made, remark = session.show_labels(
        layers,
        result.source,
        OBJECTS_OF_CLASSES,
        result.ids,
        name=f"{result.source.name}, objects",
        options={},
        objects=True,
    )
    made.visible = True
    many = f"object{'s' * (result.n != 1)}"
    said = f"{result.n} {many} of {result.source.name!r}, which is kept. Choose a tool."
    return made, " ".join(filter(None, (said, remark)))


__all__ = ["OBJECTS_OF_CLASSES", "SeparatedClasses", "separate_work", "show_separated"]
