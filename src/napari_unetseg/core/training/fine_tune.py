"""`fine_tune`: training of a model on corrections of its predictions, with a check."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from napari_unetseg.core.annotation.annotation import TrainingPair, class_names_of, values_of
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.annotation.training_set import Reading
from napari_unetseg.core.annotation.training_step import Preview, Watch
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.options import Device, Options, device_option, option, seed_option
from napari_unetseg.core.progress import Progress, part, silent
from napari_unetseg.core.training.forgetting import Check, check_forgetting
from napari_unetseg.core.training.train import train

_LEARNING = 0.9


class FineTuneOptions(Options):
    """Options of fine-tuning a model on corrections."""

    how: Literal["continue", "from scratch"] = option(
        "continue",
        "Start from",
        "Continue: start with the weights of the model. From scratch: with none, or with those of "
        "the loaded model it began with; slower, and without old mistakes.",
    )
    budget: float = option(
        1.0,
        "Minutes",
        "Training time of a network. Pixel models are fitted in under a second.",
        gt=0,
        le=10_000,
        step=0.5,
    )
    earlier: float = option(
        0.5,
        "Earlier share",
        "Fraction of the training spent on the earlier images of the model, if they are still "
        "open, to prevent forgetting. 0 leaves them out.",
        ge=0,
        le=0.9,
        step=0.1,
        slider=True,
        flag="--earlier-share",
    )
    ink: float = option(
        5.0,
        "Weight of corrections",
        "Weight of a pixel that you drew, erased or approved: a network sees its surroundings so "
        "many times more often.",
        ge=1,
        le=1000,
        step=1,
        advanced=True,
        flag="--ink-weight",
    )
    unreviewed: float = option(
        0.5,
        "Weight of unreviewed",
        "Weight of unreviewed pixels of the same plane: they are predictions and may be wrong. 0 "
        "trains on corrections only.",
        ge=0,
        le=0.9,
        step=0.1,
        advanced=True,
        flag="--rest-weight",
    )
    alarm: float = option(
        0.05,
        "Alarm from",
        "Warn if a class, or the places that got worse, lost more than this fraction of what was "
        "predicted correctly before, and more than its uncertainty.",
        ge=0,
        le=1,
        step=0.01,
        advanced=True,
    )
    learning_rate: float = option(
        0.001,
        "Learning rate",
        "Largest step of the optimiser when a network is continued; from scratch it is that of its "
        "first training. Smaller values forget less, larger ones learn more.",
        gt=0,
        le=1,
        step=0.001,
        advanced=True,
    )
    seed: int = seed_option()
    device: Device = device_option()


@dataclass(frozen=True, eq=False)
class FineTuned:
    """The result of a fine-tuning.

    Parameters
    ----------
    model
        The new model; its parent is the old one.
    check
        Comparison of both models on all annotations.
    message
        A sentence about that comparison.
    alarm
        Sentences about what was forgotten; empty when no more than the options allow.
    """

    model: TrainedModel
    check: Check
    message: str
    alarm: str


def fine_tune(
    model: TrainedModel,
    corrected: Sequence[TrainingPair],
    options: FineTuneOptions = FineTuneOptions(),  # noqa: B008 - frozen
    *,
    earlier: Sequence[TrainingPair] = (),
    base: TrainedModel | None = None,
    training: TrainOptions | None = None,
    name: str = "",
    watch: Watch | None = None,
    preview: Preview | None = None,
    progress: Progress = silent,
) -> FineTuned:
    """Fine-tune a model on corrections.

    Parameters
    ----------
    model
        The model whose predictions were corrected; not changed.
    corrected
        From `napari_unetseg.core.training.corrected_labels.make_corrected_pair`, for this model.
    options
        See `FineTuneOptions`.
    earlier
        Training pairs that the model was trained on, with labels of the same kind.
    base
        Start of a training anew; from nothing when not given.
    training
        Options of a network's training; by default those of `model`. Budget, seed, device and
        learning rate are those of `options`, and nothing is held out: corrections are few, and all
        of them are learnt.
    name
        Name of the new model.
    watch, preview
        Called while a network learns.
    progress
        `Cancelled` is not caught, and nothing has changed; on `StopEarly` the model so far is kept.

    Returns
    -------
    FineTuned

    Raises
    ------
    InputError
        When there are no corrections, or they do not fit the model or each other.
    """
    if not corrected:
        raise InputError("There is no correction to learn from. Paint, erase or approve something.")
    before = list(earlier) if options.earlier else []
    pairs = _shared(list(corrected), before, options.earlier, model)
    anew = options.how == "from scratch"
    start = base if anew else model
    painted = values_of([pair.labels for pair in pairs], model.labels_are)
    values = tuple(sorted({*model.values, *painted}))
    known = dict(zip(model.values, model.classes, strict=True))
    names = class_names_of(values, model.labels_are, known)
    reading = Reading(model.labels_are, model.ndim, model.normalisation, names, values)
    if start is not None and not _can_begin(start, model, values):
        start = None
    outcome = train(
        model.spec,
        pairs,
        _training(model, options, training, anew=anew),
        name=name or f"{model.name} trained on",
        start=start,
        labels_are=model.labels_are,
        ndim=model.ndim,
        scaling=model.normalisation,
        class_names=names,
        values=values,
        features_from=model.features_from if start is None else None,
        watch=watch,
        preview=preview,
        progress=part(progress, 0, _LEARNING),
    )
    # Earlier annotations are checked too, even when they are not learnt again.
    examples = reading.images([*corrected, *earlier])
    check = check_forgetting(model, outcome.model, examples, progress=part(progress, _LEARNING, 1))
    new = _finished(outcome.model, model, check, options)
    alarm = check.alarm(model.name, new.name, options.alarm)
    told = check.describe(model.name, new.name, earlier=bool(earlier))
    return FineTuned(new, check, told, alarm)


def _can_begin(start: TrainedModel, model: TrainedModel, values: Sequence[int]) -> bool:
    """Whether training can continue from a model: networks accept new classes, others do not."""
    if start.spec.kind != model.spec.kind:
        return False
    return model.spec.learns_features or start.values == tuple(values)


def _shared(
    corrected: list[TrainingPair], earlier: list[TrainingPair], share: float, model: TrainedModel
) -> list[TrainingPair]:
    """Return all training pairs, the earlier ones with frequencies that add up to their share."""
    if not earlier:
        return corrected
    masses = [_mass(pairs, model) for pairs in (corrected, earlier)]
    times = share / (1 - share) * masses[0] / max(masses[1], 1e-9)
    return [*corrected, *(replace(pair, times=times) for pair in earlier)]


def _mass(pairs: Sequence[TrainingPair], model: TrainedModel) -> float:
    """Return the total weight of all pixels."""
    total = 0.0
    for pair in pairs:
        labels = np.asarray(pair.labels)
        known = labels > 0
        if model.labels_are != "scribbles":
            everywhere = pair.region is None
            known = np.ones_like(known) if everywhere else known | (np.asarray(pair.region) != 0)
        if pair.counted is not None:
            known &= pair.counted
        each = 1.0 if pair.weights is None else pair.weights
        total += float(np.sum(known * each, dtype=np.float64))
    return total


def _training(
    model: TrainedModel, options: FineTuneOptions, given: TrainOptions | None, *, anew: bool
) -> TrainOptions:
    """Return the training options of a model, with those that fine-tuning changes."""
    used = given or _recorded_options(model)
    changed: dict[str, Any] = {
        "validation": 0.0,
        "seed": options.seed,
        "device": options.device,
        "objects": "none" if model.decoder is None else model.decoder.decoding,
    }
    if given is None:
        changed |= {"until": "time", "budget": options.budget}
    if not anew:
        # It starts from its own weights, so there is nothing to distil.
        changed |= {"learning_rate": options.learning_rate, "climbing": "off"}
    return used.model_copy(update=changed)


def _recorded_options(model: TrainedModel) -> TrainOptions:
    """Return the options a model was trained with, as far as recorded and still known."""
    recorded = model.provenance.get("options")
    if not isinstance(recorded, dict):
        return TrainOptions()
    known = {name: value for name, value in recorded.items() if name in TrainOptions.model_fields}
    try:
        return TrainOptions.checked(**known)
    except InputError:
        return TrainOptions()


def _finished(
    new: TrainedModel,
    model: TrainedModel,
    check: Check,
    options: FineTuneOptions,
) -> TrainedModel:
    """Return the new model with its parent and the results of the check in its provenance."""
    provenance = {
        **new.provenance,
        "trained_on": {
            "how": options.how,
            "ink": options.ink,
            "unreviewed": options.unreviewed,
            "earlier": options.earlier,
            "right_before": check.pixels.before,
            "right_after": check.pixels.after,
            "annotated": check.pixels.total,
            "forgotten": check.forgotten,
        },
    }
    # Nothing was held out to choose the decoding by.
    return replace(new, provenance=provenance, parent=model.fingerprint, decoding=model.decoding)


__all__ = ["FineTuneOptions", "FineTuned", "fine_tune"]
