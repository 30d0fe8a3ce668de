"""Define `predict` and `info`: run a model on images, and describe a model file."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from napari_unetseg.cli.console import for_each, note, say
from napari_unetseg.cli.draft_commands import Images
from napari_unetseg.cli.flags import flag_of, with_options
from napari_unetseg.cli.image_flags import read_seen, with_image_flags
from napari_unetseg.cli.models_command import MODEL_HELP, say_which
from napari_unetseg.cli.set_options import option_lines
from napari_unetseg.core.annotation.pretrain_options import PretrainOptions
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.inference.object_size import SizeOptions, mismatch, zoom_in_words
from napari_unetseg.core.inference.predict_options import PredictOptions, with_found_scale
from napari_unetseg.core.inference.prediction import Prediction, prepare_prediction, run_prediction
from napari_unetseg.core.io import (
    expand_inputs,
    plan_outputs,
    wants_folder,
    write_image,
    write_labels,
)
from napari_unetseg.core.io.image_step import ImageStep
from napari_unetseg.core.io.metadata_text import metadata_lines
from napari_unetseg.core.io.paths import WRITE_SUFFIXES
from napari_unetseg.core.model.registry import RUNGS
from napari_unetseg.core.models_io.compare_shipped import AUTO, choose_shipped, means_auto
from napari_unetseg.core.models_io.foreign import describe_model, open_model, self_test
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.options import Device
from napari_unetseg.core.progress import Progress, part

_NAMED_CLASSES = 8

Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Open TorchScript, which can execute code. Only for models from a source you trust.",
    ),
]


class Scaling(StrEnum):
    """Set the intensity scaling for bare weights."""

    PERCENTILE = "percentile"
    MEAN_STD = "mean-std"
    NONE = "none"


class PredictFlags(DecodeOptions, PredictOptions):
    """Set the options of the prediction and of making objects."""

    def decoding(self) -> DecodeOptions:
        """Return the options for making objects; only those that were given are set."""
        given = self.model_dump(include=set(DecodeOptions.model_fields), exclude_unset=True)
        return DecodeOptions(**given)


@with_image_flags
@with_options(PredictFlags)
def predict_command(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help=f"{MODEL_HELP} Or {AUTO}: the shipped models are tried on each image, and the one "
            "that fits best is taken.",
            show_default=False,
        ),
    ],
    images: Images,
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="A folder, for one .tif per image; for a single image also a file.",
            show_default=False,
        ),
    ],
    *,
    options: PredictFlags,
    seen: ImageStep,
    trust: Trust = False,
    scaling: Annotated[
        Scaling | None,
        typer.Option(
            help="Intensity scaling for bare weights, which do not define it: percentile, mean-std "
            "or none.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run a model on images: trained here, or from another program."""
    decoding = _checked_decoding(options)
    say_which(model)
    inputs = expand_inputs(images)
    folder = wants_folder(images) or out.suffix.lower() not in WRITE_SUFFIXES
    outputs = plan_outputs(inputs, out, folder=folder, keep=[model])
    method = NormalisationSpec() if scaling is None else NormalisationSpec(method=scaling.value)
    given = None if means_auto(model) else open_model(model, trust=trust, normalisation=method)
    say_fallback(options.device)

    def work(number: int, path: Path, progress: Progress) -> str:
        image, trained, asked = read_seen(path, seen), given, options
        if trained is None:
            trained, reason = choose_shipped(image, progress=part(progress, 0, 0.2))
            note(f"{path}: {reason}")
            asked = with_found_scale(options, trained, image)
        prepared = prepare_prediction(trained, image, asked, decoding)
        made = run_prediction(prepared, progress=part(progress, 0.0 if given else 0.2, 0.9))
        write = write_labels if made.probabilities is None else write_image
        write(outputs[number], made.result, progress=part(progress, 0.9, 1))
        return f"{outputs[number]}: {_found_in_words(made)}{made.on_stack}{_scale_in_words(made)}"

    for_each(inputs, work)


def info_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help=f"File, folder or name of a model; or one of {', '.join(RUNGS)}, to list the "
            "options for train --set.",
            show_default=False,
        ),
    ],
    *,
    test: Annotated[
        bool,
        typer.Option(
            "--test",
            help="Predict the example in the package and compare with the expected output; exit 1 "
            "if they differ.",
        ),
    ] = False,
    trust: Trust = False,
) -> None:
    """Describe a model: its classes, its images, its training and its scores.

    No code in the file is run, except with --test.
    """
    say_which(Path(model))
    lines = options_of_rung(model) if model in RUNGS else metadata_lines(describe_model(model))
    for line in lines:
        say(line)
    if test:
        trial = self_test(model, trust=trust)
        say(f"its own test: {'passed' if trial.passed else 'FAILED'}, {trial.summary}")
        if not trial.passed:
            raise typer.Exit(1)


def options_of_rung(kind: str) -> list[str]:
    """List all options of ``train --set`` for a rung."""
    return [
        f"{kind}:",
        *option_lines(RUNGS[kind].spec),
        "training:",
        *option_lines(TrainOptions),
        "scaling of the images:",
        *option_lines(NormalisationSpec),
        "pretraining, with --pretrain:",
        *option_lines(PretrainOptions),
    ]


def say_fallback(device: Device) -> None:
    """Print a note if the requested device is missing. Imports torch if it is not the CPU."""
    if device in ("auto", "cpu"):
        return
    from napari_unetseg.core.nn.inference.runtime import choose_device

    choice = choose_device(device)
    if choice.fallback:
        note(choice.message)


def _checked_decoding(options: PredictFlags) -> DecodeOptions:
    """Return the options for making objects, which need a result of objects."""
    decoding = options.decoding()
    if decoding.model_fields_set and options.what not in ("auto", "objects"):
        first = next(
            name for name in DecodeOptions.model_fields if name in decoding.model_fields_set
        )
        flag = flag_of(first, DecodeOptions.model_fields[first])
        raise InputError(
            f"{flag} has an effect only with --what objects. Give that, or leave it out."
        )
    return decoding


def _scale_in_words(made: Prediction) -> str:
    """Format the applied scaling, or a hint that the pixel size differs and none was given."""
    if made.zoom:
        return f", {zoom_in_words(made.zoom)}"
    chosen = made.options.model_fields_set & set(SizeOptions.model_fields)
    differs = "" if chosen else mismatch(made.model, made.image)
    return f" (pixel size {differs} of the model's images: try --rescale)" if differs else ""


def _found_in_words(made: Prediction) -> str:
    model, found = made.model, made.result
    if made.options.what == "probabilities":
        return f"probabilities of {', '.join(model.classes)}"
    if made.options.what == "objects":
        n = int(found.data.max())  # of a lazy one the parts are looked at in turn
        return f"{n} object{'s' * (n != 1)}"
    counts = np.bincount(found.asarray().ravel(), minlength=model.values[-1] + 1)
    named = list(zip(model.values, model.classes, strict=True))[:_NAMED_CLASSES]
    return ", ".join(f"{name} {counts[value] / counts.sum():.2%}" for value, name in named)


__all__ = ["PredictFlags", "info_command", "predict_command", "say_fallback"]
