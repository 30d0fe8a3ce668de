"""Inputs of the training tools: an image, a Labels layer and its label type."""

from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from napari.layers import Labels, Layer
from qtpy.QtWidgets import QComboBox

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.features import filter_bank
from napari_unetseg.core.measure import size_difference
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.training.corrected_labels import PREDICTED, PREDICTED_OBJECTS
from napari_unetseg.core.training.model_history import Learnt
from napari_unetseg.gui.shared.layer_choice import LayerChoice
from napari_unetseg.gui.shared.layers import (
    image_of,
    index_along,
    is_input,
    is_truth,
    labels_over,
    layer_key,
    role_of,
)

RESULTS = (PREDICTED, PREDICTED_OBJECTS)

_KINDS = {
    "scribbles": "a number for each class, 0 is not labelled",
    "mask": "a number for each class, 0 is the background",
    "objects": "a number for each object, 0 is the background",
}
_KIND_OF_ROLE = {
    "mask": "mask",
    "objects": "objects",
    "objects of classes": "objects",
    PREDICTED_OBJECTS: "objects",
}
_LOOKED_AT = 20_000_000
"""Largest number of pixels that are looked at for a default."""

_NO_LABELS = (
    "There is no Labels layer: press New strokes layer in Train, paint a few strokes of each "
    "class, then train. If a mask was opened as an image, choose it in Labels."
)


def labels_pick(viewer: Any, *, predictions: bool = False) -> LayerChoice:
    """Make the box for the Labels layer to train on.

    Parameters
    ----------
    predictions
        Whether selecting a prediction picks it. If not, predictions must be picked here by hand,
        as the truth of a sample always must.
    """

    def accepts(layer: Layer) -> bool:
        return isinstance(layer, Labels) and (is_input(layer) or is_truth(layer))

    def follow(layer: Layer) -> bool:
        return not is_truth(layer) and (predictions or role_of(layer) not in RESULTS)

    pick = LayerChoice(viewer, accepts, follow=follow, images=True)
    pick.setObjectName("labels")
    return pick


def kind_box() -> QComboBox:
    """Make the box for the label type; its data is an `AnnotationKind`."""
    box = QComboBox()
    meanings = (f"{kind.capitalize()}: {meaning}." for kind, meaning in _KINDS.items())
    for kind in _KINDS:
        box.addItem(kind, kind)
    box.setToolTip(" ".join(["The meaning of the numbers in the Labels layer.", *meanings]))
    return box


def show_kind(box: QComboBox, labels: Layer) -> None:
    """Choose the label type by `label_type_of`, else scribbles; an object alone is a mask."""
    kind = label_type_of(labels)
    if kind == "objects" and _is_one_object(labels.data):
        kind = "mask"
    box.setCurrentIndex(max(box.findData(kind), box.findData("scribbles")))


def label_type_of(labels: Layer) -> Any:
    """Return the label type of a layer by its role, or as a sample has it; None if unknown."""
    return _KIND_OF_ROLE.get(role_of(labels)) or labels.metadata.get("labels_are")


def lesson_of(
    layer: Layer, labels: Layer | None, kind: Any, plane: tuple[int, ...] | None
) -> tuple[TrainingPair, str]:
    """Return an image layer and its Labels layer as a training pair, with notes for the user.

    Parameters
    ----------
    plane
        Index of the plane on screen, or None. Labels with fewer axes than the image annotate this
        plane, or stack, alone.
    kind
        The label type, an `AnnotationKind`. If objects are learnt as a mask, all of them are
        foreground, because their ids are not classes.

    Raises
    ------
    InputError
        If there is no Labels layer, or its labels are of one plane and no plane is on screen.
    """
    if not isinstance(labels, Labels):
        raise InputError(_NO_LABELS)
    image, painted = image_of(layer), labels_over(labels, layer)
    if kind == "mask" and label_type_of(labels) == "objects":
        painted = (painted > 0).astype(np.uint8)
    at = None if plane is None else index_along(layer, image.grey().axes, plane)
    pair, placed = _on_image(TrainingPair(image, painted), at)
    notes = [*pair.notes(kind, repr(layer.name), repr(labels.name)), *placed]
    if differs := size_difference(image_of(labels), image):
        notes.append(f"Labels and image differ in pixel size ({differs}): the image's is taken.")
    return pair, " ".join(notes)


def learnt_of(
    layer: Layer, labels: Layer | None, kind: Any, *, region: Layer | None = None, locked: int = 0
) -> Learnt:
    """Return the training data to record in the model history."""
    return Learnt(
        image=layer.name,
        labels="" if labels is None else labels.name,
        image_key=layer_key(layer),
        labels_key="" if labels is None else layer_key(labels),
        region_key="" if region is None else layer_key(region),
        labels_are=kind,
        ink=locked,
    )


def warm_up() -> None:
    """Import and compile the code that the first training needs."""
    filter_bank(np.zeros((1, 64, 64), np.float32), LogisticSpec())
    if find_spec("torch") is not None:
        import_module("napari_unetseg.core.nn.training.fit_pixels")


def _is_one_object(labels: Any) -> bool:
    """Whether labels in memory, of few enough pixels to look at all, have a single id."""
    if not isinstance(labels, np.ndarray) or labels.size > _LOOKED_AT:
        return False
    ids = labels[labels > 0]
    return bool(ids.size) and bool(ids.min() == ids.max())


def _on_image(pair: TrainingPair, plane: tuple[int, ...] | None) -> tuple[TrainingPair, list[str]]:
    """Place labels of one plane, or of the last axes, in those of the image, and say where."""
    image, painted = pair.image, pair.labels
    axes = image.axes.replace("C", "")
    shape = tuple(image.length(axis) for axis in axes)
    lead = len(shape) - painted.ndim
    if lead <= 0 or painted.shape != shape[lead:]:
        return pair, []
    if plane is None:
        raise InputError(
            "The labels are of one plane, and no plane of the image is on screen. Turn the view "
            "back to 2D and go to the plane that they were painted on."
        )
    over = [axis for axis in image.axes if axis not in "YX" and not (axis == "C" and image.rgb)]
    on_screen = dict(zip(over, plane, strict=True))
    index = tuple(on_screen[axis] for axis in axes[:lead])
    labels, counted = np.zeros(shape, painted.dtype), np.zeros(shape, np.bool_)
    labels[index], counted[index] = painted, True
    several = [axis for axis in axes[:lead] if image.length(axis) > 1]
    where = " and ".join(f"{axis} = {on_screen[axis]}" for axis in several)
    said = [f"The labels are of one plane: the one on screen, {where}."] if where else []
    return replace(pair, labels=labels, counted=counted), said


__all__ = [
    "PREDICTED",
    "PREDICTED_OBJECTS",
    "RESULTS",
    "kind_box",
    "label_type_of",
    "labels_pick",
    "learnt_of",
    "lesson_of",
    "show_kind",
    "warm_up",
]
