"""A run of the Train dock: its inputs and its result."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from napari_unetseg.core.annotation.annotation import TrainingPair, class_names_of, values_of
from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.model.validation_score import shown_dice
from napari_unetseg.core.training.model_history import Learnt, draw_prediction
from napari_unetseg.core.training.pretraining import Pretraining
from napari_unetseg.core.training.train import Outcome, train
from napari_unetseg.gui.shared.task import Reporter
from napari_unetseg.gui.train.training_preview import preview_callback

_LITTLE = 0.5
"""Dice on held-out labels below which a model is hardly of use."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainRun:
    """A training run with its inputs at the start.

    Parameters
    ----------
    pair, spec, options, name, labels_are, ndim, start, features_from, pretraining
        See `train`.
    pretrained_on
        Key of the images to pretrain on; see `PretrainPanel.key_of`.
    field
        Plane for the preview during training, or None.
    class_names
        Names of classes, by their number in the labels.
    note
        Sentences about pixels that are left out and labels that were placed.
    learnt
        Record for the model history.
    """

    pair: TrainingPair
    spec: ModelSpec
    options: TrainOptions
    name: str
    labels_are: AnnotationKind
    ndim: int
    start: TrainedModel | Literal["suggested"] | None
    features_from: TrainedModel | None
    pretraining: Pretraining | None
    pretrained_on: tuple[str, ...]
    field: Image | None
    class_names: Mapping[int, str]
    note: str
    learnt: Learnt

    def __call__(self, report: Reporter) -> "TrainResult":
        """Train in the calling thread."""
        values = values_of([self.pair.labels], self.labels_are) if self.class_names else ()
        outcome = train(
            self.spec,
            [self.pair],
            self.options,
            name=self.name,
            labels_are=self.labels_are,
            ndim=self.ndim,
            class_names=class_names_of(values, self.labels_are, self.class_names),
            start=self.start,
            features_from=self.features_from,
            pretraining=self.pretraining,
            watch=report.show,
            preview=preview_callback(self.field, report),
            progress=report,
        )
        return TrainResult(self, outcome, draw_prediction(outcome.model))


@dataclass(frozen=True, eq=False)
class TrainResult:
    """A trained model, its run, and a thumbnail of its prediction."""

    run: TrainRun
    outcome: Outcome
    thumbnail: Any

    def message(self) -> str:
        """Return a message with the outcome and the next step."""
        model = self.outcome.model
        note = f"{self.run.note} " if self.run.note else ""
        return f"{model.name}: {self.outcome.message} {note}{_next_step(model)}"


def _next_step(model: TrainedModel) -> str:
    dice = shown_dice(model.scores)
    if dice is None or dice >= _LITTLE:
        return "Next: Predict."
    return (
        "Next: annotate more, or train longer, for the score is low; and check that the labels "
        "match this image."
    )


__all__ = ["TrainResult", "TrainRun"]
