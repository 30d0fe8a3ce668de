"""`train`: training of any rung, for the docks, the command line and Python."""

import contextlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from napari_unetseg.core.annotation.annotation import Annotation, TrainingPair
from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.annotation.training_set import Reading, TrainingSet
from napari_unetseg.core.annotation.training_step import Callbacks, Preview, Watch
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.inference.object_size import median_diameter
from napari_unetseg.core.inference.open_segmenter import open_segmenter
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.model.pixel_specs import (
    LogisticSpec,
    PixelSpec,
    SoftmaxSpec,
    sees_features,
)
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.model.validation_score import describe_score
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.objects.choose_decoding import (
    DecodingChoice,
    cautious_decoding,
    describe_decoding,
)
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.progress import Progress, StopEarly, part, silent, to_the_end
from napari_unetseg.core.training.pretraining import Pretraining
from napari_unetseg.core.training.resolution import resolve_resolution
from napari_unetseg.core.training.suggested_start import suggest_start

if TYPE_CHECKING:
    from napari_unetseg.core.nn.training.pretrain import Pretrained

_TRYING_SHARE = 0.05
"""Part of a training's progress that goes to the choice of a start."""

_NOTHING_HELD_OUT = "No stroke could be held out for validation: paint a second one of each class."


@dataclass(frozen=True)
class Outcome:
    """The result of a training: the model, a sentence about it, and the pretrained network."""

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
        The UNet whose features are inputs of a pixel rung.
    pretraining
        Images to pretrain a network on.
    teacher
        A model of the same inputs and outputs, whose predictions a network learns beside the
        labels.
    """

    start: TrainedModel | None = None
    features_from: TrainedModel | None = None
    pretraining: Pretraining | None = None
    teacher: TrainedModel | None = None


def train(
    spec: ModelSpec,
    pairs: Sequence[TrainingPair],
    options: TrainOptions,
    *,
    name: str,
    labels_are: AnnotationKind = "scribbles",
    ndim: int = 2,
    scaling: NormalisationSpec | None = None,
    class_names: Sequence[str] = (),
    values: Sequence[int] = (),
    start: TrainedModel | Literal["suggested"] | None = None,
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
        The rung. A pixel rung fits in under a second; a network takes the budget of `options`, and
        from scribbles it is distilled from the lower rung unless that is switched off.
    pairs
        Images of the same channels, with their labels.
    labels_are
        ``"scribbles"``: 0 is not labelled. ``"mask"``: 0 is background. ``"objects"``: ids, from
        which a network also learns to separate touching objects, see `TrainOptions.objects`.
    ndim
        2 to learn planes, 3 to learn stacks.
    scaling
        How each image's intensities are normalised, by statistics of the whole image. By default
        as for the model to start from or the network of `features_from`, or by percentiles.
    values
        Classes of the model, whether they are painted or not.
    start
        A model of the same spec to continue from; not changed. It keeps its features. A network's
        first or last layer is new where channels or outputs differ. ``"suggested"`` is what
        `suggest_start` chooses, with its options: a shipped model, a pretrained encoder or none.
    features_from
        A trained UNet, whose features are inputs of a pixel rung as its options ask: by default
        beside the filter bank. The new model holds a copy of it.
    pretraining
        Images, with or without labels, to pretrain a network on.
    watch, preview
        Called while a network learns.
    progress
        `Cancelled` is not caught, and nothing has changed; on `StopEarly` the best so far is kept.

    Returns
    -------
    Outcome
        The model, validated on whole strokes, tiles or images that were held out.

    Raises
    ------
    InputError
        When nothing is annotated, when the arguments do not match each other, or without torch.
    """
    check_torch()
    if not pairs:
        raise InputError("There is no image to learn from. Give at least one with its labels.")
    note = ""
    if isinstance(start, str):
        start = None
        if pretraining is None:
            asked = Reading(labels_are, ndim, scaling or NormalisationSpec(), values=tuple(values))
            first, progress = part(progress, 0, _TRYING_SHARE), part(progress, _TRYING_SHARE, 1)
            suggestion = suggest_start(spec, pairs, asked, progress=to_the_end(first))
            start, spec, note = suggestion.start, suggestion.spec, suggestion.reason
    if start is not None and start.spec.kind != spec.kind:
        raise InputError(
            f"The model to start from is a {start.spec.kind}, not a {spec.kind}. "
            "Choose the same model, or start from nothing."
        )
    if start is not None and start.ndim != ndim:
        names = {2: "planes", 3: "stacks"}
        raise InputError(
            f"The model to start from learnt {names[start.ndim]}, not {names[ndim]}. Train on "
            f"{names[start.ndim]}, or start from nothing."
        )
    _check_pretraining(spec, start, pretraining)
    spec, feature_model = _resolve_features(spec, start, features_from)
    if scaling is None and start is not None:
        scaling = start.normalisation
    scaling = _scaling(scaling, feature_model)
    if start is not None and start.n_channels == 1:
        # As a grey-level model, it converts colour images to grey in prediction too.
        pairs = [replace(pair, image=pair.image.grey()) for pair in pairs]
    reading = Reading(labels_are, ndim, scaling, tuple(class_names), tuple(values))
    outcome = train_on_set(
        spec,
        TrainingSet.of(pairs, options, reading),
        options,
        name=name,
        origin=Origin(start, feature_model, pretraining),
        callbacks=Callbacks(progress, watch, preview),
    )
    return replace(outcome, message=" ".join(filter(None, (outcome.message, note))))


def train_on_set(
    spec: ModelSpec,
    data: TrainingSet,
    options: TrainOptions,
    *,
    name: str,
    origin: Origin = Origin(),
    callbacks: Callbacks = Callbacks(),  # noqa: B008
) -> Outcome:
    """Train any rung on a training set, which is already split.

    Parameters
    ----------
    spec
        The rung, with its features resolved.
    data
        Read from pairs, see `TrainingSet.of`.
    options
        Options of a network's training.
    origin
        Start of the training.
    callbacks
        Called on the way.

    Returns
    -------
    Outcome
        Validated on the held-out part of the set.

    Raises
    ------
    InputError
        As `train`.
    """
    start, image = origin.start, data.pairs[0].image
    before: Pretrained | None = None
    choice: DecodingChoice | None = None
    if sees_features(spec):
        fit, scores, message = _fit_pixels(spec, data, options, origin, callbacks)
    else:
        like = None if start is None else start.spec
        spec = resolve_resolution(spec, data.annotations, like=like)
        if origin.pretraining is not None:
            before, remaining = origin.pretraining.network(
                spec, data.n_channels, data.ndim, options, data.scaling, callbacks.progress
            )
            callbacks = replace(callbacks, progress=remaining)
        fit, scores, message, choice = _fit_network(spec, data, options, origin, before, callbacks)
    annotations = data.annotations
    decoding = _decoding_of(data, start, choice, getattr(fit, "decoder", None))
    if annotations[0].dense:
        message = " ".join(filter(None, [message, describe_decoding(decoding, choice)]))
    provenance = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "images": len(data.pairs),
        "labelled": int(sum(annotation.certain().counted.sum() for annotation in annotations)),
        "asked_for": spec.kind,
        "options": options.model_dump(),
        "precision": getattr(fit, "precision", "float32"),
    }
    if before is not None:
        result = {"images": before.images, "steps": before.steps, "explained": before.explained}
        provenance["pretraining"] = before.options.model_dump() | result
        message = f"{message} {before.message}"
    model = TrainedModel.of(
        fit,
        name,
        labels_are=annotations[0].kind,
        image=image,
        normalisation=data.scaling,
        parent="" if start is None else start.fingerprint,
        diameter=_diameter_of(data),
        decoding=decoding,
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
    if spec.known_weights():
        raise InputError(
            f"The encoder of a {spec.kind} is pretrained already, so another pretraining would "
            "have no effect. Leave it out, or choose unet."
        )
    if start is not None:
        raise InputError(
            f"{start.name!r} to start from is trained already, so pretraining would have no "
            "effect. Start from nothing, or leave the pretraining out."
        )


def _diameter_of(data: TrainingSet) -> float:
    """Return the median diameter of the annotated objects; 0 when there are none."""
    objects = [a.objects for a in data.annotations if a.objects is not None]
    return median_diameter(objects, data.images[0].spacing)


def check_torch() -> None:
    """Check that torch is installed.

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


def _resolve_features(
    spec: ModelSpec, start: TrainedModel | None, features_from: TrainedModel | None
) -> tuple[ModelSpec, TrainedModel | None]:
    """Return the spec with its features resolved, and the UNet they come from."""
    if not sees_features(spec):
        if features_from is not None:
            raise InputError(
                f"A {spec.kind} learns its own features and does not use the UNet "
                f"{features_from.name!r}. Leave it out, or choose logistic, softmax or mlp."
            )
        return spec, None
    if start is None:
        return spec, features_from
    feature_model = start.features_from
    if features_from is not None and (
        feature_model is None or feature_model.fingerprint != features_from.fingerprint
    ):
        own = "no UNet's features" if feature_model is None else f"the UNet {feature_model.name!r}"
        raise InputError(
            f"The model to start from uses {own}, not the UNet {features_from.name!r}. Leave "
            "that out, or start from nothing."
        )
    if spec.features == "auto" and sees_features(start.spec):
        # In a model, automatic features are the bank's alone.
        own_features = "bank" if start.spec.features == "auto" else start.spec.features
        spec = spec.model_copy(update={"features": own_features})
    return spec, feature_model


def _scaling(
    asked: NormalisationSpec | None, feature_model: TrainedModel | None
) -> NormalisationSpec:
    """Return the normalisation of images: that of the UNet whose features are inputs, if any."""
    if feature_model is None:
        return asked or NormalisationSpec()
    if asked is not None and asked != feature_model.normalisation:
        raise InputError(
            f"The UNet {feature_model.name!r} was trained on images with another normalisation "
            "than the given one. Leave the normalisation out: that of the UNet is used."
        )
    return feature_model.normalisation


def _fit_pixels(
    spec: PixelSpec,
    data: TrainingSet,
    options: TrainOptions,
    origin: Origin,
    callbacks: Callbacks,
) -> tuple[Any, dict[str, Any], str]:
    """Fit a pixel rung; score it by the same fit without the held-out pixels."""
    from napari_unetseg.core.nn.training.distil import score_images
    from napari_unetseg.core.nn.training.fit_pixels import fit_pixels

    start: Any = open_segmenter(origin.start) if origin.start is not None else None
    progress = callbacks.progress
    shared: dict[str, Any] = {"seed": options.seed, "spacing": data.spacing}
    shared |= {"features_from": origin.features_from, "scaling": data.scaling}
    scores: dict[str, Any] = {}
    message = _NOTHING_HELD_OUT
    if data.holds_out:
        trial = fit_pixels(spec, data.learn, **shared, progress=part(progress, 0, 0.4))
        validation = [held for held in data.held_out if held.annotation.counted.any()]
        judgement, _ = score_images(trial, validation, progress=part(progress, 0.4, 0.6))
        scores = _scores(data, {"dice": judgement.dice})
        message = describe_score(scores)
    fitted = fit_pixels(spec, data.images, start=start, **shared, progress=part(progress, 0.6, 1))
    return fitted, scores, message


def _fit_network(
    spec: ModelSpec,
    data: TrainingSet,
    options: TrainOptions,
    origin: Origin,
    before: "Pretrained | None",
    callbacks: Callbacks,
) -> tuple[Any, dict[str, Any], str, DecodingChoice | None]:
    """Train a network, by distillation of the lower rung where the annotation is sparse."""
    from napari_unetseg.core.nn.restore import network_of
    from napari_unetseg.core.nn.training.distil import distil
    from napari_unetseg.core.nn.training.fit_network import WarmStart, fit_network
    from napari_unetseg.core.nn.training.fit_pixels import fit_pixels

    start = origin.start
    warm, keeps = None, start is None or _same_outputs(start, options, data.annotations)
    if before is not None:
        # The statistics of pretraining are those of corrupted images.
        warm = WarmStart(before.network, keep_head=False, keep_statistics=False)
    elif start is not None:
        alike = len(start.classes) == data.annotations[0].n_classes
        of_objects = start.decoder is not None
        warm = WarmStart(network_of(start), keeps, keep_classes=alike, of_objects=of_objects)
    if not options.climbs(dense=all(annotation.dense for annotation in data.annotations)):
        teacher = None
        if origin.teacher is not None:
            _check_teacher(origin.teacher, spec, data, options)
            teacher = network_of(origin.teacher)
        fitted = fit_network(spec, data, options, start=warm, teacher=teacher, callbacks=callbacks)
        if start is not None and keeps and fitted.unchanged:
            fitted = replace(fitted, decoder=start.decoder)
        judgement, apart = fitted.judgement, fitted.dice_apart
        found: dict[str, float] = {}
        if judgement is not None:
            found["dice"] = judgement.dice if apart is None else min(judgement.dice, apart)
        choice = _validate_objects(fitted, data, start, callbacks.progress)
        if choice is not None and fitted.decoder is not None:
            found |= {"ap50": choice.after.ap50, "f1": choice.after.f1}
        scores = _scores(data, found, chosen_from=fitted.validations, apart=apart is not None)
        message = " ".join(filter(None, [describe_score(scores), fitted.message]))
        return fitted, scores, message, choice
    two_classes = LogisticSpec.suits(data.annotations[0].n_classes)
    lower = LogisticSpec() if two_classes else SoftmaxSpec()
    distilled = distil(
        spec,
        data,
        options,
        lambda images: fit_pixels(
            lower, images, scaling=data.scaling, spacing=data.spacing, seed=options.seed
        ),
        start=warm,
        callbacks=callbacks,
    )
    network = distilled.kept == "network"
    best = distilled.upper if network else distilled.lower
    kept: Any = distilled.fitted if network else distilled.segmenter
    chosen_from = distilled.fitted.validations + 1 if data.holds_out else 0
    apart = distilled.fitted.dice_apart if network else None
    found = {"dice": best.dice if apart is None else min(best.dice, apart)}
    scores = _scores(data, found, chosen_from=chosen_from, apart=apart is not None)
    sentences = [
        describe_score(scores) or _NOTHING_HELD_OUT,
        distilled.message,
        distilled.fitted.message,
    ]
    return kept, scores, " ".join(filter(None, sentences)), None


def _check_teacher(
    teacher: TrainedModel, spec: ModelSpec, data: TrainingSet, options: TrainOptions
) -> None:
    """Check that a model can teach a network: that it sees and predicts the same.

    Raises
    ------
    InputError
        When inputs, their scaling or resolution, or outputs differ.
    """
    inputs = (data.n_channels, data.ndim, data.scaling, "full", "full")
    sizes = (getattr(one, "resolution", "") for one in (teacher.spec, spec))
    sees = (teacher.n_channels, teacher.ndim, teacher.normalisation, *sizes)
    predicts = len(teacher.classes) == data.annotations[0].n_classes
    if sees != inputs or not predicts or not _same_outputs(teacher, options, data.annotations):
        raise InputError(
            f"The model {teacher.name!r} cannot teach this network. Both need the same channels, "
            "scaling of intensities and kind of labels, and the full resolution."
        )


def _same_outputs(
    start: TrainedModel, options: TrainOptions, annotations: Sequence[Annotation]
) -> bool:
    """Whether the outputs of a model to continue have the same decoder as the wanted ones."""
    wanted = options.decoder if annotations[0].objects is not None else None
    old, new = (None if spec is None else spec.decoding for spec in (start.decoder, wanted))
    return old == new


def _validate_objects(
    fitted: Any, data: TrainingSet, start: TrainedModel | None, progress: Progress
) -> DecodingChoice | None:
    """Score the held-out objects or regions of a mask, if there are some."""
    from napari_unetseg.core.nn.training.validate_objects import validate_objects

    if fitted.judgement is None or not data.annotations[0].dense:
        return None

    def without_stop(fraction: float, message: str = "") -> None:
        # A user who stopped the training early still gets the scores.
        with contextlib.suppress(StopEarly):
            progress(1.0, message)

    usual = _usual_decoding(data, start, fitted.decoder)
    return validate_objects(fitted.segmenter(), data, usual, progress=without_stop)


def _usual_decoding(
    data: TrainingSet, start: TrainedModel | None, decoder: DecoderSpec | None
) -> DecodeOptions:
    """Return the options for making objects to start from: those of the model continued, if any."""
    if start is not None and start.decoder == decoder:
        return start.decoding
    return DecodeOptions(split="none") if data.annotations[0].kind == "mask" else DecodeOptions()


def _decoding_of(
    data: TrainingSet, start: TrainedModel | None, choice: DecodingChoice | None, decoder: Any
) -> DecodeOptions:
    """Return the chosen options for making objects, or cautious ones by the size of the objects."""
    if choice is not None and choice.searched:
        return choice.options
    usual = _usual_decoding(data, start, decoder)
    if not data.annotations[0].dense:
        return usual
    return cautious_decoding(usual, (one.object_ids() for one in data.annotations))


def _scores(
    data: TrainingSet, found: dict[str, float], *, chosen_from: int = 0, apart: bool = False
) -> dict[str, Any]:
    """Return scores with the amount of labels they rest on; empty if those were learnt too."""
    if not found or not data.holds_out:
        return {}
    amount: dict[str, Any] = {
        "held_out_pixels": int(data.held_out_counts.sum()),
        "held_out_least": data.held_out_least,
        "held_out": data.held_out_places,
    }
    if data.held_out_strokes is not None:
        amount["held_out_strokes"] = data.held_out_strokes
    return found | amount | {"chosen_from": chosen_from, "chosen_apart": apart}


__all__ = ["Origin", "Outcome", "check_torch", "train", "train_on_set"]
