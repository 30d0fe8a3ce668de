"""Training data for fine-tuning: corrected layers, and those of earlier training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels, Layer

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.training.corrected_labels import kind_of_role, make_corrected_pair
from napari_unetseg.core.training.fine_tune import FineTuneOptions
from napari_unetseg.core.training.model_history import Learnt
from napari_unetseg.gui.shared.layer_provenance import maker_of
from napari_unetseg.gui.shared.layers import (
    image_of,
    labels_of,
    layer_key,
    options_of_layer,
    role_of,
    source_of_layer,
)
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.training_layers import learnt_of, lesson_of
from napari_unetseg.gui.train.finished_regions import region_of


@dataclass(frozen=True, eq=False)
class CorrectedLayer:
    """A copy of a corrected layer for the training thread."""

    image: Image
    labels: Any
    locked: PixelSet
    labels_are: Any
    background: int

    def lesson(self, model: TrainedModel, options: FineTuneOptions) -> TrainingPair:
        """Return a training pair of the layer; see `make_corrected_pair`."""
        return make_corrected_pair(
            self.image,
            self.labels,
            self.locked,
            model,
            labels_are=self.labels_are,
            background=self.background,
            ink_weight=options.ink,
            unreviewed=options.unreviewed,
        )


@dataclass(frozen=True, eq=False)
class FineTuneMaterial:
    """The data for fine-tuning.

    Parameters
    ----------
    corrected, earlier
        Corrected layers, and the data of earlier training.
    learnt
        Records of all of them for the history.
    lost
        Names of earlier training data that is no longer in the viewer.
    """

    corrected: tuple[CorrectedLayer, ...]
    earlier: tuple[TrainingPair, ...]
    learnt: tuple[Learnt, ...]
    lost: tuple[str, ...]


def kind_of(labels: Layer, model: TrainedModel | None, models: Sequence[TrainedModel]) -> str:
    """Return the label type of corrected labels, by their role or by the model that made them."""
    return kind_of_role(role_of(labels), maker_of(labels, models) or model)


def source_layer(layers: Any, labels: Layer) -> Layer | None:
    """Return the image layer that labels were made from, or None if it is gone."""
    found = [layer for layer in layers if str(layer.unique_id) == source_of_layer(labels)]
    return found[0] if found else None


def fine_tune_material(
    layers: Any,
    session: Session,
    image: Layer,
    labels: Layer | None,
    labels_are: str,
    model: TrainedModel,
) -> FineTuneMaterial:
    """Collect the data for fine-tuning a model, in the window's thread.

    Raises
    ------
    InputError
        If there is no Labels layer or nothing is locked on it.
    """
    if not isinstance(labels, Labels):
        raise InputError("Choose a Labels layer that you corrected.")
    corrected = [_corrected(session, image, labels, labels_are)]
    if not corrected[0].locked:
        raise InputError(
            f"There is no correction on {labels.name!r} yet. Paint, erase or approve something "
            "first: without corrections there is nothing new to learn."
        )
    learnt = [learnt_of(image, labels, labels_are, locked=len(corrected[0].locked))]
    earlier: list[TrainingPair] = []
    lost: list[str] = []
    for one in session.history.before(model):
        if one.labels_key == learnt[0].labels_key:
            continue
        place, painted, marks = (
            _layer(layers, key) for key in (one.image_key, one.labels_key, one.region_key)
        )
        if place is None or not isinstance(painted, Labels) or (one.region_key and marks is None):
            lost.append(one.labels or one.image)
            continue
        if painted.ndim < place.ndim:
            # The plane it was painted on is not recorded.
            lost.append(one.labels or one.image)
            continue
        if one.ink:
            again = _corrected(session, place, painted, one.labels_are)
            if again.locked:
                corrected.append(again)
                learnt.append(learnt_of(place, painted, one.labels_are, locked=len(again.locked)))
        elif one.labels_are == model.labels_are:
            lesson, _ = lesson_of(place, painted, one.labels_are, None)
            region = None
            if marks is not None:
                region = region_of(marks, place, np.shape(lesson.labels))
            earlier.append(TrainingPair(lesson.image, lesson.labels, region))
            learnt.append(learnt_of(place, painted, one.labels_are, region=marks))
    return FineTuneMaterial(tuple(corrected), tuple(earlier), tuple(learnt), tuple(lost))


def _corrected(session: Session, image: Layer, labels: Labels, labels_are: str) -> CorrectedLayer:
    background = options_of_layer(labels).get("background", 0)
    return CorrectedLayer(
        image_of(image),
        labels_of(labels),
        session.locks(labels).pixels(),
        labels_are,
        background if isinstance(background, int) else 0,
    )


def _layer(layers: Any, key: str) -> Layer | None:
    found = [layer for layer in layers if key and layer_key(layer) == key]
    return found[0] if found else None


__all__ = ["CorrectedLayer", "FineTuneMaterial", "fine_tune_material", "kind_of", "source_layer"]
