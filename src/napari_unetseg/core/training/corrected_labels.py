"""Corrected labels as something to learn from: what a hand touched, and what it left alone.

What a hand drew, erased or approved is known. What no hand touched is what a model said: it may be
wrong, and a model that learns it as truth only learns to agree with itself. So ink counts more and
the rest less, and only on planes where there is ink, for the others were perhaps never looked at.
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
"""Pixels of background around an object of the hand that count as its edge was drawn."""

Weights = NDArray[np.float16]


def corrected_lesson(
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
    """Return corrected labels as a lesson for the model that is to learn them.

    Parameters
    ----------
    image
        Any image that the model takes.
    labels
        Of the image's shape without its channels.
    ink
        What a hand drew on them.
    model
        Who is to learn: the labels are brought into its words.
    labels_are
        What the labels are. Objects and masks of one class teach a model of two classes too.
    background
        Label value of the model's class that is background, where objects are to be classes; 0
        for the first.
    ink_weight
        How much a pixel of ink counts, at least 1; see `reviewed_weights`.
    unreviewed
        How much a pixel counts that no hand touched, less than 1.

    Raises
    ------
    InputError
        When there is no ink, or the labels do not fit the image or the model.
    """
    given = matched(image, cast("Any", model))
    check_shape(given, labels)
    if ink.shape != labels.shape:
        raise InputError(f"The ink has the shape {ink.shape} and the labels {labels.shape}.")
    if not ink:
        raise InputError(
            "There is no correction on these labels yet. Paint, erase or approve something first: "
            "what no hand touched teaches nothing new."
        )
    objects = labels_are == "objects"
    weights = reviewed_weights(
        labels,
        ink,
        objects=objects,
        ndim=model.ndim,
        ink_weight=ink_weight,
        unreviewed=unreviewed,
    )
    return TrainingPair(given, in_words_of(model, labels, labels_are, background), weights=weights)


def reviewed_weights(
    labels: NDArray[Any],
    ink: PixelSet,
    *,
    objects: bool,
    ndim: int,
    ink_weight: float,
    unreviewed: float,
) -> Weights:
    """Return how much each pixel of corrected labels counts.

    Parameters
    ----------
    labels
        Ids of objects or classes.
    ink
        Over the same shape.
    objects
        Whether the labels are ids: then an object with any ink counts as ink, all of it, and so
        does the background `RIM` pixels around it, for its edge was seen.
    ndim
        2 to leave out planes without ink, 3 stacks.
    ink_weight, unreviewed
        Of a pixel of ink, at least 1, and of one that no hand touched, less than 1.

    Returns
    -------
    array (*spatial), float16
        0 where nothing counts.
    """
    known = ink.array()
    axes = tuple(range(labels.ndim - ndim, labels.ndim))
    if objects:
        touched = np.isin(labels, locked_ids(labels, ink))
        around = scipy.ndimage.generate_binary_structure(2, 2)
        around = around.reshape((1,) * (labels.ndim - 2) + around.shape)
        rim = scipy.ndimage.binary_dilation(touched, around, iterations=RIM)
        known |= touched | (rim & (labels == 0))
    seen = known.any(axes, keepdims=True)
    weights = np.where(known, np.float16(ink_weight), np.float16(unreviewed))
    return np.where(seen, weights, np.float16(0))


def kind_of_role(role: str, maker: TrainedModel | None) -> AnnotationKind:
    """Return what corrected labels are: as the role of their layer says, or as who made them."""
    if role in _KIND_OF_ROLE:
        return _KIND_OF_ROLE[role]
    if maker is None:
        return "scribbles"
    # The classes of a model of objects are background and foreground.
    classes = role == PREDICTED and maker.labels_are == "objects"
    return "mask" if classes else maker.labels_are


def in_words_of(
    model: TrainedModel, labels: NDArray[Any], labels_are: AnnotationKind, background: int = 0
) -> NDArray[Any]:
    """Return labels as the model was taught: ids, classes with background, or classes from 1.

    Raises
    ------
    InputError
        When they say less than the model needs, or more than it can say.
    """
    if labels_are == model.labels_are:
        return labels
    if model.labels_are == "objects":
        raise InputError(
            f"The model {model.name!r} learnt objects, each with an id of its own, but these "
            "labels are classes. Predict objects with it and correct those."
        )
    one = labels_are == "objects" or (labels_are == "mask" and int(labels.max(initial=0)) <= 1)
    if len(model.values) != 2 or not one:
        raise InputError(
            f"The model {model.name!r} tells apart {', '.join(model.classes)}, which these labels "
            "do not say. Predict classes with it and correct those."
        )
    front, back = model.values[1], model.values[0]
    if background == front:
        front, back = back, front
    return np.where(labels != 0, front, back).astype(np.min_scalar_type(max(front, back)))


__all__ = [
    "PREDICTED",
    "PREDICTED_OBJECTS",
    "RIM",
    "corrected_lesson",
    "in_words_of",
    "kind_of_role",
    "reviewed_weights",
]
