"""Define `train`: train a model on images and their labels."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from napari_unetseg.cli.console import bar, note, say
from napari_unetseg.cli.file_pairs import ListPairs, Pair, list_pairs, pair_files
from napari_unetseg.cli.flags import changed_options, flag_of, make_options, with_options
from napari_unetseg.cli.image_flags import read_seen, with_image_flags
from napari_unetseg.cli.models_command import say_which
from napari_unetseg.cli.predict_command import say_fallback
from napari_unetseg.cli.set_options import as_setting, parse_minutes, sort_settings
from napari_unetseg.cli.training_inputs import (
    KINDS,
    TrainingImages,
    TrainingLabels,
    check_choice,
    check_out,
    mask_hint,
    read_training_pairs,
    save_somewhere,
    spare_waiting_threads,
)
from napari_unetseg.cli.watch_training import watch_training
from napari_unetseg.core.annotation.annotation import TrainingPair, values_of
from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.annotation.pretrain_options import PretrainOptions
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io import expand_inputs
from napari_unetseg.core.io.image_step import ImageStep
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.model.registry import RUNGS, spec_of
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.foreign import open_model
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.options import Options
from napari_unetseg.core.progress import track
from napari_unetseg.core.training.pretraining import Pretraining
from napari_unetseg.core.training.suggested_start import SUGGESTED_START
from napari_unetseg.core.training.train import Outcome
from napari_unetseg.core.training.train import train as train_model

_DEFAULT = "unet"
_NOTHING = "nothing"
_FLAGS = ("validation", "seed", "device")
_AT_ONCE = ("validation", "seed")
"""Training options used by the rungs that are fitted in one step."""


@with_image_flags
@with_options(TrainOptions, only=_FLAGS)
def train_command(
    images: TrainingImages,
    labels: TrainingLabels,
    out: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="MODEL.zip", help="The model.", show_default=False),
    ],
    *,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(RUNGS),
            help=f"Kind of model; default: {_DEFAULT}, or that of --from.",
        ),
    ] = None,
    labels_are: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(KINDS),
            help="Scribbles: 0 is unlabelled (the default, or that of --from). Mask: 0 is "
            "background. Objects: 0 is background, every other id is one object; a unet or cnn "
            "then also learns to separate touching objects.",
        ),
    ] = None,
    regions: Annotated[
        str | None,
        typer.Option(
            metavar="REGIONS",
            help="Label images with the same names, nonzero where a mask or objects are completely "
            "annotated; elsewhere 0 means unknown. Default: everywhere.",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="5m|30s|2",
            help=f"{TrainOptions.model_fields['budget'].description} A plain number is in minutes. "
            f"(default: {TrainOptions.model_fields['budget'].default:g})",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help=f"Instead of a budget: {TrainOptions.model_fields['epochs'].description}",
        ),
    ] = None,
    options: TrainOptions,
    seen: ImageStep,
    start: Annotated[
        Path,
        typer.Option(
            "--from",
            metavar="MODEL|suggested|nothing",
            help="Start from this model, which stays unchanged; may be a shipped one. For other "
            "channels or classes, a network gets a new first or last layer. 'suggested' is the "
            "shipped model that agrees best with the labels or, if none agrees well, a "
            "pretrained-unet; 'nothing' is random weights.",
        ),
    ] = Path(SUGGESTED_START),
    pretrain: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGES",
            help="For unet and cnn: first pretrain on restoring these images, which need no "
            "labels: a file, a folder or a quoted glob. Options: --set "
            "pretrain_task=masked|denoise and --set pretrain_minutes=MINUTES.",
        ),
    ] = None,
    features_from: Annotated[
        Path | None,
        typer.Option(
            metavar="UNET.zip",
            help="For logistic, softmax and mlp: also use the frozen features of this trained "
            "UNet; only those with --set features=network. The new model contains a copy of it.",
        ),
    ] = None,
    ndim: Annotated[
        int | None,
        typer.Option(metavar="2|3", help="2 to train on planes (the default), 3 on stacks."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="OPTION=VALUE",
            help="Any other option of the model or its training; may be repeated: "
            "--set width=8 --set batch=2. `info unet` lists them.",
        ),
    ] = None,
    pairs: ListPairs = False,
) -> None:
    """Train a model on images and their labels.

    Ctrl-C stops and keeps the best model so far; a second Ctrl-C discards it.
    """
    check_out(out)
    check_choice("--model", model, tuple(RUNGS))
    check_choice("--labels-are", labels_are, KINDS)
    check_choice("--ndim", ndim, (2, 3))
    spare_waiting_threads()
    flags: dict[str, Any] = {"budget": None if budget is None else parse_minutes(budget)}
    flags |= {"epochs": epochs} | options.model_dump(include=options.model_fields_set)
    begin = None if str(start) in (SUGGESTED_START, _NOTHING) else _load_start(start)
    plan = _make_plan(model, begin, _load_start(features_from), flags, settings or ())
    if str(start) == SUGGESTED_START:
        plan = replace(plan, suggests=True)
    if pretrain is None and plan.pretraining is not None:
        raise InputError(
            "Pretraining options are given, but no images to pretrain on. Give --pretrain IMAGES, "
            "or leave them out."
        )
    read_as: Any = labels_are or plan.default("labels_are", "scribbles")
    if regions is not None and read_as == "scribbles":
        raise InputError(
            "--regions marks where a mask or objects are completely annotated, which scribbles "
            "never are. Leave it out, or give --labels-are mask or objects."
        )
    files = pair_files(images, labels, names=("images", "labels"))
    finished = {} if regions is None else _regions_of(images, regions, files)
    if pairs:
        list_pairs(files)
        return
    training_pairs = read_training_pairs(files, read_as, finished, seen=seen)
    say(
        f"Training {plan.spec.kind} on {len(training_pairs)} "
        f"image{'s' * (len(training_pairs) != 1)}."
    )
    say_fallback(plan.options.device if plan.spec.learns_features else "cpu")
    began = time.monotonic()
    extent = ndim or plan.default("ndim", 2)
    before = None if pretrain is None else _pretraining(pretrain, plan, seen)
    outcome = _train(plan, training_pairs, out.stem, read_as, extent, before)
    _keep(outcome, out, time.monotonic() - began)


@dataclass(frozen=True)
class _Plan:
    """Hold the settings of a training."""

    spec: ModelSpec
    options: TrainOptions
    scaling: NormalisationSpec | None
    start: TrainedModel | None
    features_from: TrainedModel | None
    pretraining: PretrainOptions | None
    suggests: bool = False

    def default(self, name: str, otherwise: Any) -> Any:
        """Return an attribute of the model to continue, or a default without one."""
        return otherwise if self.start is None else getattr(self.start, name)


def _make_plan(
    model: str | None,
    start: TrainedModel | None,
    features_from: TrainedModel | None,
    flags: Mapping[str, Any],
    settings: Sequence[str],
) -> _Plan:
    kind = _kind(model, start)
    groups: dict[str, type[Options]] = {kind: RUNGS[kind].spec}
    groups |= {"training": TrainOptions, "scaling": NormalisationSpec}
    groups |= {"pretraining": PretrainOptions}
    given = sort_settings(settings, groups)
    spec = _spec(kind, given[kind], start)
    scaling = _scaling(given["scaling"], start, features_from)
    training = _training(spec, flags, given["training"])
    before = given["pretraining"]
    pretraining = make_options(PretrainOptions, before, as_setting) if before else None
    return _Plan(spec, training, scaling, start, features_from, pretraining)


def _load_start(path: Path | None) -> TrainedModel | None:
    if path is None:
        return None
    say_which(path)
    model = open_model(path)
    if not model.state:
        raise InputError(
            f"{path} is a model from another program that can predict but not be trained. Start "
            "from one trained here, or from the state dict of a usual UNet."
        )
    return model


def _scaling(
    given: Mapping[str, str], start: TrainedModel | None, features_from: TrainedModel | None
) -> NormalisationSpec | None:
    """Return the requested normalisation, based on that of a model to continue."""
    if start is None and features_from is not None and not given:
        return None
    if start is None:
        return make_options(NormalisationSpec, given, as_setting)
    return changed_options(start.normalisation, given, as_setting)


def _pretraining(images: str, plan: _Plan, seen: ImageStep) -> Pretraining:
    """Read the images to pretrain on."""
    files = expand_inputs([images])
    say(f"Pretraining on {len(files)} image{'s' * (len(files) != 1)} first.")
    with bar("read") as progress:
        read = [read_seen(file, seen) for file in track(files, progress)]
    return Pretraining(read, plan.pretraining or PretrainOptions())


def _train(
    plan: _Plan,
    pairs: Sequence[TrainingPair],
    name: str,
    labels_are: AnnotationKind,
    ndim: int,
    pretraining: Pretraining | None,
) -> Outcome:
    from_start = _start_arguments(plan.start, pairs, labels_are)
    if plan.suggests:
        from_start = {"start": SUGGESTED_START}
    with watch_training(f"train {plan.spec.kind}") as watcher:
        try:
            return train_model(
                plan.spec,
                pairs,
                plan.options,
                name=name,
                labels_are=labels_are,
                ndim=ndim,
                scaling=plan.scaling,
                features_from=plan.features_from,
                pretraining=pretraining,
                watch=watcher.watch,
                progress=watcher.progress,
                **from_start,
            )
        except InputError as error:
            raise InputError(f"{error}{mask_hint(pairs, labels_are)}") from error


def _keep(outcome: Outcome, out: Path, seconds: float) -> None:
    """Save the model, and print the next step."""
    save_somewhere(outcome.model, out)
    say(f"{out}: {outcome.model.spec.kind}, trained in {seconds:.1f} s. {outcome.message}")
    objects = " --what objects" if outcome.model.labels_are == "objects" else ""
    say(f"Next: napari-unetseg predict {out} IMAGES -o FOLDER{objects}")


def _kind(model: str | None, start: TrainedModel | None) -> str:
    if start is None:
        return model or _DEFAULT
    if model not in (None, start.spec.kind):
        raise InputError(
            f"The model of --from is {start.spec.kind}, not {model}. Leave --model out, or "
            "train without --from."
        )
    return start.spec.kind


def _spec(kind: str, given: Mapping[str, str], start: TrainedModel | None) -> ModelSpec:
    if start is None:
        return make_options(RUNGS[kind].spec, given, as_setting)
    spec = spec_of(kind, {**start.spec.model_dump(), **given})
    for name in given:
        current = getattr(start.spec, name)
        if getattr(spec, name) != current:
            raise InputError(
                f"--set {name}={given[name]}: the model of --from has {name}={current} and keeps "
                "it. Leave it out, or train without --from."
            )
    return spec


def _training(spec: ModelSpec, flags: Mapping[str, Any], given: Mapping[str, str]) -> TrainOptions:
    """Combine flags and settings."""
    from_flags = {name: value for name, value in flags.items() if value is not None}
    if "budget" in from_flags and "epochs" in from_flags:
        raise InputError("Give --budget or --epochs, not both.")
    for name in from_flags:
        if name in given:
            raise InputError(f"--{name} and --set {name} set the same option. Leave one out.")
    idle = [name for name in (*from_flags, *given) if name not in _AT_ONCE]
    if not spec.learns_features and idle:
        note(f"The {spec.kind} is fitted in one step, which does not use {', '.join(idle)}.")

    def spell(name: str, field: FieldInfo, value: Any) -> str:
        if name in given or name not in from_flags:
            return as_setting(name, field, value)
        return flag_of(name, field) if value is None else f"{flag_of(name, field)} {value}"

    return make_options(TrainOptions, {**from_flags, **given}, spell)


def _regions_of(images: str, regions: str, pairs: Sequence[Pair]) -> dict[Path, Path]:
    """Return the regions file of each image, by the image's file."""
    region_pairs = pair_files(images, regions, names=("images", "regions"))
    by_image = {pair.first: pair.second for pair in region_pairs}
    missing = next((pair.first for pair in pairs if pair.first not in by_image), None)
    if missing is not None:
        raise InputError(
            f"{missing} has no file of its name among the regions in {regions}. Give one for each "
            "image, all nonzero where everything is annotated."
        )
    return by_image


def _start_arguments(
    start: TrainedModel | None, pairs: Sequence[TrainingPair], labels_are: AnnotationKind
) -> dict[str, Any]:
    """Return the training arguments from a model to continue: itself and its class names."""
    if start is None:
        return {}
    channels_differ = start.n_channels != pairs[0].image.n_channels
    if channels_differ and not start.spec.learns_features:
        raise InputError(
            f"The images have {pairs[0].image.n_channels} channel(s), but the model of --from "
            f"was trained on {start.n_channels}. Give images like those, or train without --from."
        )
    arguments: dict[str, Any] = {"start": start}
    values = values_of([pair.labels for pair in pairs], labels_are)
    if (values, labels_are) == (start.values, start.labels_are):
        named = zip(start.values, start.classes, strict=True)
        arguments["class_names"] = [
            name for value, name in named if value or labels_are == "scribbles"
        ]
    return arguments


__all__ = ["train_command"]
