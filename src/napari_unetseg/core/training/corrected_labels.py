"""Corrected labels as training data, with weights for corrected and uncorrected pixels.

Pixels that a person drew, erased or approved are locked and taken as true. The others are a model's
prediction: they may be wrong, and a model trained on them as truth learns its own mistakes. So
locked pixels (ink) get a larger weight and the others a smaller one, and only planes with locked
pixels are used, since the others may never have been reviewed.
"""

from typing import Any, cast

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import TrainingPair, check_shape
from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.corrections.locked_pixels import PixelSet, locked_ids
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.named_channels import named_channels
from napari_unetseg.core.inference.predict_tiles import matched
from napari_unetseg.core.model.trained_model import TrainedModel

PREDICTED, PREDICTED_OBJECTS = "predicted classes", "predicted objects"
"""Roles of the layers that a trained model writes."""

_KIND_OF_ROLE: dict[str, AnnotationKind] = {
    "mask": "mask",
    "objects": "objects",
    PREDICTED_OBJECTS: "objects",
}

RIM = 3
"""Width in pixels of the background around a corrected object that counts as corrected too."""

Weights = NDArray[np.float16]


def make_corrected_pair(
    image: Image,
    labels: NDArray[Any],
    ink: PixelSet,
    model: TrainedModel,
    *,
    labels_are: AnnotationKind,
    background: int = 0,
    ink_weight: float,
    unreviewed: float,
) -> TrainingPair:
    """Make a training pair of corrected labels for a model.

    Parameters
    ----------
    image
        Any image that the model takes.
    labels
        Labels of the image's shape without its channels.
    ink
        Locked pixels: those that a person corrected.
    model
        The model to train: labels are converted to its kind.
    labels_are
        Meaning of the labels. Objects and masks of one class also suit a model of two classes.
    background
        Label value of the model's background class, where objects are converted to classes; 0 for
        the first.
    ink_weight
        Weight of a locked pixel, at least 1; see `compute_review_weights`.
    unreviewed
        Weight of any other pixel, less than 1.

    Raises
    ------
    InputError
        When no pixel is locked, or the labels do not fit the image or the model.
    """
    given = matched(named_channels(model, image), cast("Any", model))
    check_shape(given, labels)
    if ink.shape != labels.shape:
        raise InputError(
            f"The locked pixels have the shape {ink.shape} and the labels {labels.shape}. Choose "
            "corrections of these labels."
        )
    if not ink:
        raise InputError(
            "There is no correction on these labels yet. Paint, erase or approve something first."
        )
    objects = labels_are == "objects"
    weights = compute_review_weights(
        labels,
        ink,
        objects=objects,
        ndim=model.ndim,
        ink_weight=ink_weight,
        unreviewed=unreviewed,
    )
    return TrainingPair(
        given, convert_labels(model, labels, labels_are, background), weights=weights
    )


def compute_review_weights(
    labels: NDArray[Any],
    ink: PixelSet,
    *,
    objects: bool,
    ndim: int,
    ink_weight: float,
    unreviewed: float,
) -> Weights:
    """Compute the weight of each pixel of corrected labels.

    Parameters
    ----------
    labels
        Ids of objects or classes.
    ink
        Locked pixels, of the same shape.
    objects
        Whether the labels are ids: then an object with any locked pixel counts as locked as a
        whole, with the background `RIM` pixels around it, since its edge was reviewed.
    ndim
        2 to leave out planes without locked pixels, 3 to leave out stacks.
    ink_weight, unreviewed
        Weight of a locked pixel, at least 1, and of any other, less than 1.

    Returns
    -------
    array (*spatial), float16
        0 for ignored pixels.
    """
    locked = ink.array()
    axes = tuple(range(labels.ndim - ndim, labels.ndim))
    if objects:
        touched = np.isin(labels, locked_ids(labels, ink))
        around = scipy.ndimage.generate_binary_structure(2, 2)
        around = around.reshape((1,) * (labels.ndim - 2) + around.shape)
        rim = scipy.ndimage.binary_dilation(touched, around, iterations=RIM)
        locked |= touched | (rim & (labels == 0))
    reviewed = locked.any(axes, keepdims=True)
    weights = np.where(locked, np.float16(ink_weight), np.float16(unreviewed))
    return np.where(reviewed, weights, np.float16(0))


def kind_of_role(role: str, maker: TrainedModel | None) -> AnnotationKind:
    """Return the kind of corrected labels, by their layer's role or by the model that made them."""
    if role in _KIND_OF_ROLE:
        return _KIND_OF_ROLE[role]
    if maker is None:
        return "scribbles"
    # The classes of a model of objects are background and foreground.
    classes = role == PREDICTED and maker.labels_are == "objects"
    return "mask" if classes else maker.labels_are


def convert_labels(
    model: TrainedModel, labels: NDArray[Any], labels_are: AnnotationKind, background: int = 0
) -> NDArray[Any]:
    """Convert labels to the kind a model was trained on: ids, a mask, or classes from 1.

    Raises
    ------
    InputError
        When the model needs ids or classes that these labels do not have.
    """
    if labels_are == model.labels_are:
        return labels
    if model.labels_are == "objects":
        raise InputError(
            f"The model {model.name!r} learnt objects, each with an id of its own, but these "
            "labels are classes. Predict objects with it and correct those."
        )
    binary = labels_are == "objects" or (labels_are == "mask" and int(labels.max(initial=0)) <= 1)
    if len(model.values) != 2 or not binary:
        raise InputError(
            f"The model {model.name!r} has the classes {', '.join(model.classes)}, which these "
            "labels do not distinguish. Predict classes with it and correct those."
        )
    front, back = model.values[1], model.values[0]
    if background == front:
        front, back = back, front
    return np.where(labels != 0, front, back).astype(np.min_scalar_type(max(front, back)))


__all__ = [
    "PREDICTED",
    "PREDICTED_OBJECTS",
    "RIM",
    "compute_review_weights",
    "convert_labels",
    "kind_of_role",
    "make_corrected_pair",
]
