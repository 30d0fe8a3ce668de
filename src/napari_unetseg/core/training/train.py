"""`train`: one door to every rung, for the docks, the command line and a notebook alike."""

import contextlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from napari_unetseg.core.annotation.annotation import Annotation, AnnotationKind, TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.annotation.training_set import Reading, TrainingSet
from napari_unetseg.core.annotation.training_step import Callbacks, Preview, Watch
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.inference.object_size import median_diameter
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.model.pixel_specs import (
    LogisticSpec,
    PixelSpec,
    SoftmaxSpec,
    sees_features,
)
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.progress import Progress, StopEarly, part, silent
from napari_unetseg.core.training.pretraining import Pretraining
from napari_unetseg.core.training.resolution import settle_resolution

if TYPE_CHECKING:
    from napari_unetseg.core.nn.training.pretrain import Pretrained


@dataclass(frozen=True)
class Outcome:
    """A trained model, a sentence about how it came to be, and what it was pretrained to."""

    model: TrainedModel
    message: str
    pretrained: "Pretrained | None" = None


@dataclass(frozen=True, eq=False)
class Origin:
    """Start of a training: weights, features and pretraining.

    Parameters
    ----------
    start
        A model of the same spec to continue from.
    features_from
        The UNet whose features a pixel rung sees.
    pretraining
        Images that a network learns to restore before.
    """

    start: TrainedModel | None = None
    features_from: TrainedModel | None = None
    pretraining: Pretraining | None = None


def train(
    spec: ModelSpec,
    lessons: Sequence[TrainingPair],
    options: TrainOptions,
    *,
    name: str,
    labels_are: AnnotationKind = "scribbles",
    ndim: int = 2,
    scaling: NormalisationSpec | None = None,
    class_names: Sequence[str] = (),
    values: Sequence[int] = (),
    start: TrainedModel | None = None,
    features_from: TrainedModel | None = None,
    pretraining: Pretraining | None = None,
    watch: Watch | None = None,
    preview: Preview | None = None,
    progress: Progress = silent,
) -> Outcome:
    """Train any rung on annotated images.

    Parameters
    ----------
    spec
        Which rung. One that looks at single pixels fits in a blink; a network takes the budget of
        `options`, and from scribbles climbs on the lower rung unless that is switched off.
    lessons
        Images of the same channels.
    labels_are
        ``"scribbles"``: 0 is not labelled. ``"mask"``: 0 is background. ``"objects"``: ids, from
        which a network also learns to tell touching objects apart, see `TrainOptions.objects`.
    ndim
        2 to learn planes, 3 to learn stacks.
    scaling
        How each image's intensities are normalised, by statistics of the whole image. When not
        said, as for the model to start from or the network of `features_from`, or by percentiles.
    values
        Classes that the model is to know, whether they are painted or not.
    start
        A model of the same spec to continue from; not changed. It keeps the features it sees. A
        network's ends are new where the channels or what it is to say differ.
    features_from
        A trained UNet, whose features a pixel rung sees as its options say: by default beside the
        filter bank. The new model holds a copy of it.
    pretraining
        Images, with or without labels, that a network learns to restore before it is trained.
    watch, preview
        Told while a network learns.
    progress
        `Cancelled` flies through and nothing has changed; on `StopEarly` the best so far is kept.

    Returns
    -------
    Outcome
        The model, judged on whole strokes, tiles or images that were held out.

    Raises
    ------
    InputError
        When there is nothing to learn, or what is given does not go together; or without torch.
    """
    check_torch()
    if start is not None and start.spec.kind != spec.kind:
        raise InputError(
            f"The model to start from is a {start.spec.kind}, not a {spec.kind}. "
            "Choose the same model, or start from nothing."
        )
    if start is not None and start.ndim != ndim:
        names = {2: "planes", 3: "stacks"}
        raise InputError(
            f"The model to start from learnt {names[start.ndim]}, not {names[ndim]}. Learn those, "
            "or start from nothing."
        )
    _check_pretraining(spec, start, pretraining)
    spec, eyes = _seeing(spec, start, features_from)
    if scaling is None and start is not None:
        scaling = start.normalisation
    scaling = _scaling(scaling, eyes)
    if not lessons:
        raise InputError("There is no image to learn from. Give at least one with its labels.")
    if start is not None and start.n_channels == 1:
        # It would be shown colour as grey too.
        lessons = [replace(lesson, image=lesson.image.grey()) for lesson in lessons]
    reading = Reading(labels_are, ndim, scaling, tuple(class_names), tuple(values))
    return train_on_set(
        spec,
        TrainingSet.of(lessons, options, reading),
        options,
        name=name,
        origin=Origin(start, eyes, pretraining),
        callbacks=Callbacks(progress, watch, preview),
    )


def train_on_set(
    spec: ModelSpec,
    data: TrainingSet,
    options: TrainOptions,
    *,
    name: str,
    origin: Origin = Origin(),
    callbacks: Callbacks = Callbacks(),  # noqa: B008
) -> Outcome:
    """Train any rung on a training set that is divided already.

    Parameters
    ----------
    spec
        Which rung, its features settled.
    data
        Read from pairs, see `TrainingSet.of`.
    options
        How a network is trained.
    origin
        What it begins with.
    callbacks
        Told and asked on the way.

    Returns
    -------
    Outcome
        Judged on what the set holds out.

    Raises
    ------
    InputError
        As `train`.
    """
    start, image = origin.start, data.pairs[0].image
    before: Pretrained | None = None
    if sees_features(spec):
        fit, scores, message = _fit_pixels(spec, data, options, origin, callbacks)
    else:
        like = None if start is None else start.spec
        spec = settle_resolution(spec, data.annotations, like=like)
        if origin.pretraining is not None:
            seen = (spec, data.n_channels, data.ndim)
            before, rest = origin.pretraining.network(
                *seen, options, data.scaling, callbacks.progress
            )
            callbacks = replace(callbacks, progress=rest)
        fit, scores, message = _fit_network(spec, data, options, start, before, callbacks)
    annotations = data.annotations
    provenance = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "images": len(data.pairs),
        "labelled": int(sum(annotation.certain().counted.sum() for annotation in annotations)),
        "asked_for": spec.kind,
        "options": options.model_dump(),
    }
    if before is not None:
        told = {"images": before.images, "steps": before.steps, "explained": before.explained}
        provenance["pretraining"] = before.options.model_dump() | told
        message = f"{before.message} {message}"
    model = TrainedModel.of(
        fit,
        name,
        labels_are=annotations[0].kind,
        image=image,
        normalisation=data.scaling,
        parent="" if start is None else start.fingerprint,
        diameter=_diameter_of(data),
        scores=scores,
        provenance=provenance,
    )
    return Outcome(model, message, before)


def _check_pretraining(
    spec: ModelSpec, start: TrainedModel | None, pretraining: Pretraining | None
) -> None:
    if pretraining is None:
        return
    if sees_features(spec):
        raise InputError(
            f"The {spec.kind} has no layers to pretrain: its filters are fixed. Leave the "
            "pretraining out, or choose cnn or unet."
        )
    if start is not None:
        raise InputError(
            f"{start.name!r} to start from has learnt already, and pretraining would be lost on "
            "it. Start from nothing, or leave the pretraining out."
        )


def _diameter_of(data: TrainingSet) -> float:
    """Return the median diameter of the objects that are annotated; 0 when none are."""
    objects = [a.objects for a in data.annotations if a.objects is not None]
    return median_diameter(objects, data.images[0].spacing)


def check_torch() -> None:
    """Check that there is what trains.

    Raises
    ------
    InputError
        Without torch.
    """
    if importlib.util.find_spec("torch") is None:
        raise InputError(
            "Training needs PyTorch, which is not installed. "
            "Install it with: pip install 'napari-unetseg[torch]'"
        )


def _seeing(
    spec: ModelSpec, start: TrainedModel | None, features_from: TrainedModel | None
) -> tuple[ModelSpec, TrainedModel | None]:
    """Return the spec with its features settled, and the UNet they come from."""
    if not sees_features(spec):
        if features_from is not None:
            raise InputError(
                f"A {spec.kind} learns features of its own: no use is made of the UNet "
                f"{features_from.name!r}. Leave it out, or choose logistic, softmax or mlp."
            )
        return spec, None
    if start is None:
        return spec, features_from
    eyes = start.features_from
    if features_from is not None and (
        eyes is None or eyes.fingerprint != features_from.fingerprint
    ):
        sees = "the filter bank alone" if eyes is None else f"the UNet {eyes.name!r}"
        raise InputError(
            f"The model to start from sees {sees}, not the UNet {features_from.name!r}. Leave "
            "that out, or start from nothing."
        )
    if spec.features == "auto" and sees_features(start.spec):
        spec = spec.model_copy(update={"features": start.spec.features})
    return spec, eyes


def _scaling(asked: NormalisationSpec | None, eyes: TrainedModel | None) -> NormalisationSpec:
    """Return how images are normalised: as the UNet was trained whose features are seen."""
    if eyes is None:
        return asked or NormalisationSpec()
    if asked is not None and asked != eyes.normalisation:
        raise InputError(
            f"The UNet {eyes.name!r} knows images that were normalised in another way than is "
            "asked for. Leave the normalisation out: that of the UNet is taken."
        )
    return eyes.normalisation


def _fit_pixels(
    spec: PixelSpec,
    data: TrainingSet,
    options: TrainOptions,
    origin: Origin,
    callbacks: Callbacks,
) -> tuple[Any, dict[str, float], str]:
    """Fit a rung that looks at single pixels; judge it by the same fit on what is not held out."""
    from napari_unetseg.core.nn.training.distil import judge_whole
    from napari_unetseg.core.nn.training.fit_pixels import fit_pixels

    begun: Any = origin.start.segmenter() if origin.start is not None else None
    progress = callbacks.progress
    kept: dict[str, Any] = {"seed": options.seed, "spacing": data.spacing}
    kept |= {"features_from": origin.features_from}
    scores: dict[str, float] = {}
    message = "No stroke could be held out to judge by: paint a second one of each class."
    if data.holds_out:
        trial = fit_pixels(spec, data.learn, **kept, progress=part(progress, 0, 0.4))
        seen = [held for held in data.held_out if held.annotation.counted.any()]
        judgement, _ = judge_whole(trial, seen, progress=part(progress, 0.4, 0.6))
        scores, message = {"dice": judgement.dice}, _held_out(judgement.dice)
    fitted = fit_pixels(spec, data.images, start=begun, **kept, progress=part(progress, 0.6, 1))
    return fitted, scores, message


def _fit_network(
    spec: ModelSpec,
    data: TrainingSet,
    options: TrainOptions,
    start: TrainedModel | None,
    before: "Pretrained | None",
    callbacks: Callbacks,
) -> tuple[Any, dict[str, float], str]:
    """Train a network, by distillation of the lower rung where the annotation is sparse."""
    from napari_unetseg.core.nn.restore import network_of
    from napari_unetseg.core.nn.training.distil import distil
    from napari_unetseg.core.nn.training.fit_network import WarmStart, fit_network
    from napari_unetseg.core.nn.training.fit_pixels import fit_pixels

    begun, keeps = None, start is None or _same_outputs(start, options, data.annotations)
    if before is not None:
        # Pretraining saw these very images, but spoilt.
        begun = WarmStart(before.network, keep_head=False, keep_statistics=False)
    elif start is not None:
        begun = WarmStart(network_of(start), keep_head=keeps)
    if not options.climbs(dense=all(annotation.dense for annotation in data.annotations)):
        fitted = fit_network(spec, data, options, start=begun, callbacks=callbacks)
        if start is not None and keeps and fitted.unchanged:
            fitted = replace(fitted, decoder=start.decoder)
        judged = fitted.judgement
        scores = {} if judged is None else {"dice": judged.dice}
        said = [_held_out(judged.dice)] if judged is not None else []
        exam = _objects_examined(fitted, data, callbacks.progress)
        if exam is not None and fitted.decoder is not None:
            decoder = fitted.decoder.model_copy(update={"split_depth": exam.split_depth})
            fitted = replace(fitted, decoder=decoder)
            scores |= {"ap50": exam.scores.ap50, "f1": exam.scores.f1}
            said = [_held_out(scores["dice"], exam.scores.ap50)]
        return fitted, scores, " ".join([*said, fitted.message])
    suited = LogisticSpec.suits(data.annotations[0].n_classes)
    lower = LogisticSpec() if suited else SoftmaxSpec()
    climbed = distil(
        spec,
        data,
        options,
        lambda some: fit_pixels(lower, some, spacing=data.spacing, seed=options.seed),
        start=begun,
        callbacks=callbacks,
    )
    network = climbed.kept == "network"
    best = climbed.upper if network else climbed.lower
    kept: Any = climbed.fitted if network else climbed.segmenter
    return kept, {"dice": best.dice}, f"{climbed.message} {climbed.fitted.message}"


def _same_outputs(
    start: TrainedModel, options: TrainOptions, annotations: Sequence[Annotation]
) -> bool:
    """Whether the outputs of a model to continue mean what those to be learnt do."""
    wanted = options.decoder if annotations[0].objects is not None else None
    means = [None if one is None else one.decoding for one in (start.decoder, wanted)]
    return means[0] == means[1]


def _objects_examined(fitted: Any, data: TrainingSet, progress: Progress) -> Any:
    """Return the exam on the objects that were held out, if any were, and were learnt."""
    from napari_unetseg.core.nn.training.validate_objects import validate_objects

    if fitted.decoder is None or fitted.judgement is None:
        return None

    def heard(fraction: float, message: str = "") -> None:
        # Who stopped the training early still wants to know what came of it.
        with contextlib.suppress(StopEarly):
            progress(1.0, message)

    return validate_objects(fitted.segmenter(), data, progress=heard)


def _held_out(dice: float, ap50: float | None = None) -> str:
    objects = "" if ap50 is None else f", AP@0.5 {ap50:.3f}"
    return f"Dice {dice:.3f}{objects} on held-out labels."


__all__ = ["Origin", "Outcome", "check_torch", "train", "train_on_set"]
