"""What the tools that train are given: an image, a Labels layer, and what its numbers mean."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from napari.layers import Labels, Layer
from qtpy.QtWidgets import QComboBox

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.features import filter_bank
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.training.corrected_labels import PREDICTED, PREDICTED_OBJECTS
from napari_unetseg.core.training.model_history import Learnt
from napari_unetseg.gui.shared.layer_choice import LayerChoice
from napari_unetseg.gui.shared.layers import image_of, labels_of, layer_key, role_of

RESULTS = (PREDICTED, PREDICTED_OBJECTS)

_KINDS = {
    "scribbles": "scribbles: 0 is not labelled",
    "mask": "mask: 0 is background",
    "objects": "objects: an id for each",
}
_KIND_OF_ROLE = {"mask": "mask", "objects": "objects", PREDICTED_OBJECTS: "objects"}
_NO_LABELS = "Add a Labels layer (the tag button), paint a few strokes of each class, then train."


def labels_pick(viewer: Any, *, predictions: bool = False) -> LayerChoice:
    """Return the choice of the Labels layer to learn from.

    Parameters
    ----------
    predictions
        Whether a prediction is picked when it is selected. Otherwise one is learnt from only when
        it is picked here by hand, as a sample's truth always is.
    """

    def follow(layer: Layer) -> bool:
        return not layer.metadata.get("truth") and (predictions or role_of(layer) not in RESULTS)

    pick = LayerChoice(viewer, lambda layer: isinstance(layer, Labels), follow=follow)
    pick.setObjectName("labels")
    return pick


def kind_box() -> QComboBox:
    """Return the choice of what the labels are; its data is an `AnnotationKind`."""
    box = QComboBox()
    for kind, text in _KINDS.items():
        box.addItem(text, kind)
    box.setToolTip("What the numbers of the Labels layer mean.")
    return box


def show_kind(box: QComboBox, labels: Layer) -> None:
    """Choose what a layer says of itself; whatever a hand painted is scribbles."""
    box.setCurrentIndex(box.findData(_KIND_OF_ROLE.get(role_of(labels), "scribbles")))


def lesson_of(layer: Layer, labels: Layer | None, kind: Any) -> TrainingPair:
    """Return an image layer and the Labels layer painted on it as something to learn from.

    Parameters
    ----------
    kind
        What the labels are, an `AnnotationKind`. Objects that are to be learnt as a mask are its
        foreground, all of them: their ids are no classes.

    Raises
    ------
    InputError
        When there is no Labels layer.
    """
    if not isinstance(labels, Labels):
        raise InputError(_NO_LABELS)
    image, painted = image_of(layer), labels_of(labels)
    if kind == "mask" and _KIND_OF_ROLE.get(role_of(labels)) == "objects":
        painted = (painted > 0).astype(np.uint8)
    return TrainingPair(image, _on_image(painted, image))


def learnt_of(
    layer: Layer, labels: Layer | None, kind: Any, *, region: Layer | None = None, locked: int = 0
) -> Learnt:
    """Return what the history of the models is to know of a lesson."""
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
    """Load and compile what the first training would have to wait for."""
    filter_bank(np.zeros((1, 64, 64), np.float32), LogisticSpec())
    if find_spec("torch") is not None:
        import_module("napari_unetseg.core.nn.training.fit_pixels")


def _on_image(painted: Any, image: Image) -> Any:
    """Return labels of the image's shape: strokes of one plane hold for a whole stack of one."""
    shape = image.grey().shape
    return np.broadcast_to(painted, shape) if painted.shape == shape[-painted.ndim :] else painted


__all__ = [
    "PREDICTED",
    "PREDICTED_OBJECTS",
    "RESULTS",
    "kind_box",
    "labels_pick",
    "learnt_of",
    "lesson_of",
    "show_kind",
    "warm_up",
]
