"""`train`: from images and their labels to a model file."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from napari_unetseg.cli.console import bar, note, say
from napari_unetseg.cli.file_pairs import Pair, pairs_of
from napari_unetseg.cli.flags import changed_options, flag_of, options_of, with_options
from napari_unetseg.cli.models_command import say_which
from napari_unetseg.cli.predict_command import say_fallback
from napari_unetseg.cli.set_options import as_setting, minutes_of, sorted_settings
from napari_unetseg.cli.training_inputs import (
    KINDS,
    ImagesToLearn,
    LabelsToLearn,
    check_choice,
    check_out,
    hint_of,
    read_lessons,
    save_somewhere,
    spare_waiting_threads,
)
from napari_unetseg.cli.watch_training import watching
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io import expand_inputs, read_image
from napari_unetseg.core.model.annotation_kind import AnnotationKind
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.model.pixel_specs import PixelSpec
from napari_unetseg.core.model.trained_model import RUNGS, TrainedModel, spec_of
from napari_unetseg.core.models_io.foreign import open_model
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.options import Options
from napari_unetseg.core.progress import track
from napari_unetseg.core.training.annotation import (
    values_of,
)
from napari_unetseg.core.training.pretrain_options import PretrainOptions
from napari_unetseg.core.training.pretraining import Pretraining
from napari_unetseg.core.training.train import Outcome, TrainingPair
from napari_unetseg.core.training.train import train as train_model
from napari_unetseg.core.training.train_options import TrainOptions

_DEFAULT = "unet"
_FLAGS = ("validation", "seed", "device")
_AT_ONCE = ("validation", "seed")
"""What the rungs that are fitted at once take of the training's options."""


@with_options(TrainOptions, only=_FLAGS)
def train_command(
    images: ImagesToLearn,
    labels: LabelsToLearn,
    out: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="MODEL.zip", help="The model.", show_default=False),
    ],
    *,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(RUNGS),
            help=f"Which model; {_DEFAULT} when not said, or that of --from.",
        ),
    ] = None,
    labels_are: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(KINDS),
            help="Scribbles: 0 is not labelled (the default, or that of --from). Mask: 0 is "
            "background. Objects: 0 is background, every other id one object; a unet or cnn then "
            "also learns to tell touching ones apart.",
        ),
    ] = None,
    regions: Annotated[
        str | None,
        typer.Option(
            metavar="REGIONS",
            help="Label images of the same names, nonzero where a mask or objects are finished or "
            "are known to be background; elsewhere 0 is unknown. Everywhere when not said.",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="5m|30s|2",
            help=f"{TrainOptions.model_fields['budget'].description} A number alone is minutes. "
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
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="Start from this model, one that ships included; it stays as it is. For other "
            "channels or classes a network keeps all but its first or last layer.",
        ),
    ] = None,
    pretrain: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGES",
            help="For unet and cnn: first learn to restore these images, which need no labels: a "
            "file, a folder or a quoted glob. How, say with --set pretrain_task=masked|denoise and "
            "--set pretrain_minutes=MINUTES.",
        ),
    ] = None,
    features_from: Annotated[
        Path | None,
        typer.Option(
            metavar="UNET.zip",
            help="For logistic, softmax and mlp: also see what this trained UNet knows of each "
            "pixel; alone with --set features=network. The new model holds a copy of it.",
        ),
    ] = None,
    ndim: Annotated[
        int | None,
        typer.Option(metavar="2|3", help="2 to learn planes (the default), 3 to learn stacks."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="OPTION=VALUE",
            help="Any other option of the model or of its training, as often as wanted: "
            "--set width=8 --set batch=2. `info unet` lists them.",
        ),
    ] = None,
) -> None:
    """Train a model on images and their labels.

    Ctrl-C stops and keeps the best so far; a second one abandons it.
    """
    check_out(out)
    check_choice("--model", model, tuple(RUNGS))
    check_choice("--labels-are", labels_are, KINDS)
    check_choice("--ndim", ndim, (2, 3))
    spare_waiting_threads()
    flags: dict[str, Any] = {"budget": None if budget is None else minutes_of(budget)}
    flags |= {"epochs": epochs} | options.model_dump(include=options.model_fields_set)
    plan = _planned(model, _loaded(start), _loaded(features_from), flags, settings or ())
    if pretrain is None and plan.pretraining is not None:
        raise InputError(
            "The settings say how to pretrain, but not on what. Give --pretrain IMAGES, or leave "
            "them out."
        )
    read_as: Any = labels_are or plan.default("labels_are", "scribbles")
    if regions is not None and read_as == "scribbles":
        raise InputError(
            "--regions says where a mask or objects are finished; scribbles are so nowhere. Leave "
            "it out, or say --labels-are."
        )
    pairs = pairs_of(images, labels, names=("images", "labels"))
    finished = {} if regions is None else _regions_of(images, regions, pairs)
    lessons = read_lessons(pairs, finished)
    say(f"Training {plan.spec.kind} on {len(lessons)} image{'s' * (len(lessons) != 1)}.")
    say_fallback("cpu" if isinstance(plan.spec, PixelSpec) else plan.options.device)
    began = time.monotonic()
    extent = ndim or plan.default("ndim", 2)
    before = None if pretrain is None else _pretraining(pretrain, plan)
    outcome = _trained(plan, lessons, out.stem, read_as, extent, before)
    _keep(outcome, out, time.monotonic() - began)


@dataclass(frozen=True)
class _Plan:
    """What is trained, and how."""

    spec: ModelSpec
    options: TrainOptions
    scaling: NormalisationSpec | None
    begun: TrainedModel | None
    features_from: TrainedModel | None
    pretraining: PretrainOptions | None

    def default(self, name: str, otherwise: Any) -> Any:
        """Return what the model to continue was trained on."""
        return otherwise if self.begun is None else getattr(self.begun, name)


def _planned(
    model: str | None,
    begun: TrainedModel | None,
    features_from: TrainedModel | None,
    flags: Mapping[str, Any],
    settings: Sequence[str],
) -> _Plan:
    kind = _kind(model, begun)
    groups: dict[str, type[Options]] = {kind: RUNGS[kind]}
    groups |= {"training": TrainOptions, "scaling": NormalisationSpec}
    groups |= {"pretraining": PretrainOptions}
    given = sorted_settings(settings, groups)
    spec = _spec(kind, given[kind], begun)
    scaling = _scaling(given["scaling"], begun, features_from)
    training = _training(spec, flags, given["training"])
    before = given["pretraining"]
    pretraining = options_of(PretrainOptions, before, as_setting) if before else None
    return _Plan(spec, training, scaling, begun, features_from, pretraining)


def _loaded(path: Path | None) -> TrainedModel | None:
    if path is None:
        return None
    say_which(path)
    model = open_model(path)
    if not model.state:
        raise InputError(
            f"{path} is a model of others that runs, but whose weights are not known one by one. "
            "Start from one trained here, or from the state dict of a usual UNet."
        )
    return model


def _scaling(
    given: Mapping[str, str], begun: TrainedModel | None, features_from: TrainedModel | None
) -> NormalisationSpec | None:
    """Return the normalisation that is asked for, over that of a model to continue."""
    if begun is None and features_from is not None and not given:
        return None
    if begun is None:
        return options_of(NormalisationSpec, given, as_setting)
    return changed_options(begun.normalisation, given, as_setting)


def _pretraining(images: str, plan: _Plan) -> Pretraining:
    """Read the images to pretrain on."""
    files = expand_inputs([images])
    say(f"Pretraining on {len(files)} image{'s' * (len(files) != 1)} first.")
    with bar("read") as progress:
        read = [read_image(file) for file in track(files, progress)]
    return Pretraining(read, plan.pretraining or PretrainOptions())


def _trained(
    plan: _Plan,
    lessons: Sequence[TrainingPair],
    name: str,
    labels_are: AnnotationKind,
    ndim: int,
    pretraining: Pretraining | None,
) -> Outcome:
    known = _known(plan.begun, lessons, labels_are)
    with watching(f"train {plan.spec.kind}") as seen:
        try:
            return train_model(
                plan.spec,
                lessons,
                plan.options,
                name=name,
                labels_are=labels_are,
                ndim=ndim,
                scaling=plan.scaling,
                features_from=plan.features_from,
                pretraining=pretraining,
                watch=seen.watch,
                progress=seen.progress,
                **known,
            )
        except InputError as error:
            raise InputError(f"{error}{hint_of(lessons, labels_are)}") from error


def _keep(outcome: Outcome, out: Path, seconds: float) -> None:
    """Save the model, and say what to do next."""
    save_somewhere(outcome.model, out)
    say(f"{out}: {outcome.model.spec.kind}, trained in {seconds:.1f} s. {outcome.message}")
    objects = " --what objects" if outcome.model.labels_are == "objects" else ""
    say(f"Next: napari-unetseg predict {out} IMAGES -o FOLDER{objects}")


def _kind(model: str | None, begun: TrainedModel | None) -> str:
    if begun is None:
        return model or _DEFAULT
    if model not in (None, begun.spec.kind):
        raise InputError(
            f"The model of --from is {begun.spec.kind}, not {model}. Leave --model out, or "
            "train from nothing."
        )
    return begun.spec.kind


def _spec(kind: str, given: Mapping[str, str], begun: TrainedModel | None) -> ModelSpec:
    if begun is None:
        return options_of(RUNGS[kind], given, as_setting)
    spec = spec_of(kind, {**begun.spec.model_dump(), **given})
    for name in given:
        have = getattr(begun.spec, name)
        if getattr(spec, name) != have:
            raise InputError(
                f"--set {name}={given[name]}: the model of --from has {name}={have} and keeps it. "
                "Leave it out, or train from nothing."
            )
    return spec


def _training(spec: ModelSpec, flags: Mapping[str, Any], given: Mapping[str, str]) -> TrainOptions:
    """Bring flags and settings together."""
    said = {name: value for name, value in flags.items() if value is not None}
    if "budget" in said and "epochs" in said:
        raise InputError("Give --budget or --epochs, not both.")
    for name in said:
        if name in given:
            raise InputError(f"--{name} and --set {name} say the same. Leave one out.")
    idle = [name for name in (*said, *given) if name not in _AT_ONCE]
    if isinstance(spec, PixelSpec) and idle:
        note(f"The {spec.kind} is fitted at once: no use is made of {', '.join(idle)}.")

    def spell(name: str, field: FieldInfo, value: Any) -> str:
        if name in given or name not in said:
            return as_setting(name, field, value)
        return flag_of(name, field) if value is None else f"{flag_of(name, field)} {value}"

    return options_of(TrainOptions, {**said, **given}, spell)


def _regions_of(images: str, regions: str, pairs: Sequence[Pair]) -> dict[Path, Path]:
    """Return the file that says what is finished of each image, by the image's file."""
    found = pairs_of(images, regions, names=("images", "regions"))
    by_image = {pair.first: pair.second for pair in found}
    missing = next((pair.first for pair in pairs if pair.first not in by_image), None)
    if missing is not None:
        raise InputError(
            f"{missing} has no file of its name among the regions in {regions}. Give one for each "
            "image, all nonzero where everything is finished."
        )
    return by_image


def _known(
    begun: TrainedModel | None, lessons: Sequence[TrainingPair], labels_are: AnnotationKind
) -> dict[str, Any]:
    """Return what a model to continue gives the training: itself, and the names of its classes."""
    if begun is None:
        return {}
    channels_differ = begun.n_channels != lessons[0].image.n_channels
    if channels_differ and isinstance(begun.spec, PixelSpec):
        raise InputError(
            f"The images have {lessons[0].image.n_channels} channel(s), but the model of --from "
            f"was trained on {begun.n_channels}. Give images like those, or train from nothing."
        )
    known: dict[str, Any] = {"start": begun}
    values = values_of([lesson.labels for lesson in lessons], labels_are)
    if (values, labels_are) == (begun.values, begun.labels_are):
        named = zip(begun.values, begun.classes, strict=True)
        known["class_names"] = [name for value, name in named if value or labels_are == "scribbles"]
    return known


__all__ = ["train_command"]
