"""The suggested start of a training: the shipped model that already finds what is annotated.

Every shipped model of the same kind is tried on the annotated images, and the one whose prediction
agrees best with the annotation is taken if its Dice is at least `ENOUGH`. Otherwise the network
gets a pretrained encoder, or random weights where it must have other options. On images of the
three kinds that models ship for, and on poor threshold drafts of neurons, the model of the kind
agreed best every time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import IGNORED, AnnotatedImage, TrainingPair
from napari_unetseg.core.annotation.training_set import Reading
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.open_segmenter import ready
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.predict_tiles import predict_proba_image
from napari_unetseg.core.model.network_specs import ModelSpec, UNetSpec
from napari_unetseg.core.model.pretrained_unet_spec import PretrainedUNetSpec
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io import shipped_models
from napari_unetseg.core.progress import Progress, part, silent, track

SUGGESTED_START: Literal["suggested"] = "suggested"
"""Name of the suggested start, where the name or file of a model may stand."""

ENOUGH = 0.4
"""Dice with the annotation from which a shipped model is taken as a start."""

_SHARED = {"position", "position_order", "normalisation", "activation", "dropout", "resolution"}
"""Options that mean the same for a network with a pretrained encoder."""

_IMAGES, _SIDE = 4, 768
"""Most annotated images that models are tried on, and most pixels a side of each."""


@dataclass(frozen=True, eq=False)
class Suggestion:
    """The suggested start of a training.

    Parameters
    ----------
    start
        The shipped model to start from; None to start without one.
    spec
        The network to train: that of the model to start from, with the head that was wanted; one
        with a pretrained encoder; or the wanted one, to start from random weights.
    reason
        A sentence about the choice; empty for models that are not started from others.
    """

    start: TrainedModel | None
    spec: ModelSpec
    reason: str = ""


def suggest_start(
    spec: ModelSpec,
    pairs: Sequence[TrainingPair],
    reading: Reading,
    *,
    progress: Progress = silent,
) -> Suggestion:
    """Choose the shipped model to start from, a pretrained encoder, or nothing.

    Parameters
    ----------
    spec
        The wanted network. Options that are not the default ones must be those of the start.
    pairs
        Annotated images; at most four are tried, 768 by 768 pixels of each.
    reading
        How the pairs are read.
    progress
        May cancel.

    Notes
    -----
    Takes less than a second for each shipped model and annotated image.
    """
    if not isinstance(spec, UNetSpec) or not pairs:
        return Suggestion(None, spec)

    pretrained = _with_pretrained_encoder(spec, reading)

    def without(reason: str) -> Suggestion:
        if pretrained is None:
            return Suggestion(None, spec, f"Started from nothing: {reason}.")
        said = f"Started from layers pretrained on photographs ({pretrained.kind}): {reason}."
        return Suggestion(None, pretrained, said)

    if reading.ndim != shipped_models.NDIM:
        return without("the shipped models are of planes, not of stacks")
    models = [shipped_models.open_shipped(name) for name in shipped_models.names_to_try()]
    models = [model for model in models if _has_options(model, spec, reading)]
    if not models:
        return without("no shipped model has these options")
    examples = _examples(pairs, reading)
    n_classes = examples[0][1].annotation.n_classes if examples else 0
    models = [model for model in models if len(model.classes) == n_classes]
    if not models:
        return without(f"no shipped model has {n_classes} classes")
    scores: dict[str, float] = {}
    for done, model in enumerate(models):
        here = part(progress, done / len(models), (done + 1) / len(models))
        dice = _agreement(model, examples, here)
        if dice is not None:
            scores[model.name] = dice
    if not scores:
        return without("no shipped model takes the channels of the images")
    best = max(scores, key=lambda name: scores[name])
    best_of_all = f"agrees best with the labels (Dice {scores[best]:.2f})"
    if scores[best] < ENOUGH:
        return without(f"of the shipped models {best} {best_of_all}, which is too low")
    start = next(model for model in models if model.name == best)
    network = start.spec
    if network.kind == spec.kind:
        network = network.model_copy(update={"head": spec.model_dump()["head"]})
    return Suggestion(
        start, network, f"Started from the shipped model {best}, which {best_of_all}."
    )


def _changed(spec: ModelSpec) -> dict[str, Any]:
    """Return the options that are not the default ones."""
    wanted, default = spec.model_dump(), type(spec)().model_dump()
    return {name: value for name, value in wanted.items() if value != default[name]}


def _has_options(model: TrainedModel, spec: ModelSpec, reading: Reading) -> bool:
    """Whether a model has the normalisation and all options that were changed from the default."""
    own, changed = model.spec.model_dump(), _changed(spec).items()
    alike = all(name in own and value == own[name] for name, value in changed if name != "head")
    return alike and model.normalisation == reading.scaling


def _with_pretrained_encoder(spec: ModelSpec, reading: Reading) -> PretrainedUNetSpec | None:
    """Return the options with a pretrained encoder; None for stacks and where it has no such."""
    changed = _changed(spec)
    fits = reading.ndim == 2 and reading.scaling.method == "percentile"
    if not fits or not changed.keys() <= _SHARED:
        return None
    return PretrainedUNetSpec(**changed)


def _examples(
    pairs: Sequence[TrainingPair], reading: Reading
) -> list[tuple[TrainingPair, AnnotatedImage]]:
    """Return an annotated plane of each of some pairs."""
    chosen = pairs[:: -(-len(pairs) // _IMAGES)]
    reading = replace(reading, values=reading.values_of(pairs))
    planes = [(pair, reading.images([pair])) for pair in chosen]
    return [(pair, found[len(found) // 2]) for pair, found in planes if found]


def _agreement(
    model: TrainedModel,
    examples: Sequence[tuple[TrainingPair, AnnotatedImage]],
    progress: Progress,
) -> float | None:
    """Return the mean Dice of the annotated classes; None when the channels do not fit."""
    n_classes = len(model.classes)
    confusion = np.zeros((n_classes, n_classes), np.int64)
    for pair, example in track(examples, progress, f"trying {model.name}"):
        image = Image(example.image, example.axes, rgb=pair.image.rgb)
        try:
            given, segmenter, scaling, _ = ready(model, image, PredictOptions(), silent)
        except InputError:
            return None
        window = _window(example.annotation.targets)
        inside: Any = (..., *window)
        tried = replace(given, data=np.asarray(given.data)[inside])
        predicted = predict_proba_image(tried, segmenter, scaling).asarray().argmax(0)
        target = example.annotation.targets[window]
        known = target != IGNORED
        pairs_of = target[known].astype(np.int64) * n_classes + predicted[known]
        confusion += np.bincount(pairs_of, minlength=n_classes**2).reshape(confusion.shape)
    front = [k for k in examples[0][1].annotation.foreground if confusion[k].any()]
    both, either = confusion.diagonal(), confusion.sum(0) + confusion.sum(1)
    return float(np.mean([2 * both[k] / either[k] for k in front])) if front else 0.0


def _window(targets: NDArray[Any]) -> tuple[slice, ...]:
    """Return the part of a plane that models are tried on, around the middle of its annotation."""
    places = np.argwhere((targets != IGNORED) & (targets > 0))
    middle = np.median(places, axis=0) if len(places) else np.array(targets.shape) / 2
    starts = [
        int(np.clip(centre - _SIDE / 2, 0, max(length - _SIDE, 0)))
        for centre, length in zip(middle, targets.shape, strict=True)
    ]
    return tuple(slice(start, start + _SIDE) for start in starts)


__all__ = ["ENOUGH", "SUGGESTED_START", "Suggestion", "suggest_start"]
