"""`predict` and `info`: what a model file finds in images, and what it says about itself."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from napari_unetseg.cli.console import for_each, note, say
from napari_unetseg.cli.draft_commands import Images
from napari_unetseg.cli.flags import flag_of, with_options
from napari_unetseg.cli.models_command import MODEL_HELP, say_which
from napari_unetseg.cli.set_options import option_lines
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.inference.object_size import SizeOptions, mismatch, zoom_in_words
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import Prediction, prepare_prediction, run_prediction
from napari_unetseg.core.io import (
    expand_inputs,
    plan_outputs,
    read_image,
    wants_folder,
    write_image,
    write_labels,
)
from napari_unetseg.core.io.metadata_text import metadata_lines
from napari_unetseg.core.io.paths import WRITE_SUFFIXES
from napari_unetseg.core.model.trained_model import RUNGS
from napari_unetseg.core.models_io.foreign import describe_model, open_model, self_test
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.options import Device
from napari_unetseg.core.progress import Progress, part
from napari_unetseg.core.training.pretrain_options import PretrainOptions
from napari_unetseg.core.training.train_options import TrainOptions

_NAMED_CLASSES = 8

Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Run TorchScript, which is a program. Only from where you would install a program.",
    ),
]


class Scaling(StrEnum):
    """How images are scaled for bare weights."""

    PERCENTILE = "percentile"
    MEAN_STD = "mean-std"
    NONE = "none"


class PredictFlags(DecodeOptions, PredictOptions):
    """Options of a prediction, and for making objects of it."""

    def decoding(self) -> DecodeOptions:
        """Return the options for making objects; only those that were given are set."""
        given = self.model_dump(include=set(DecodeOptions.model_fields), exclude_unset=True)
        return DecodeOptions(**given)


@with_options(PredictFlags)
def predict_command(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help=MODEL_HELP,
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
            help="A folder, for a .tif of each image's name; for one image also a file.",
            show_default=False,
        ),
    ],
    *,
    options: PredictFlags,
    trust: Trust = False,
    scaling: Annotated[
        Scaling | None,
        typer.Option(
            help="How images are scaled for bare weights, which do not say: percentile, mean-std "
            "or none.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run a model on images: one trained here, or one of others."""
    decoding = _checked_decoding(options)
    say_which(model)
    inputs = expand_inputs(images)
    folder = wants_folder(images) or out.suffix.lower() not in WRITE_SUFFIXES
    outputs = plan_outputs(inputs, out, folder=folder, keep=[model])
    method = NormalisationSpec() if scaling is None else NormalisationSpec(method=scaling.value)
    trained = open_model(model, trust=trust, normalisation=method)
    say_fallback(options.device)

    def work(number: int, path: Path, progress: Progress) -> str:
        prepared = prepare_prediction(trained, read_image(path), options, decoding)
        made = run_prediction(prepared, progress=part(progress, 0, 0.9))
        write = write_labels if made.probabilities is None else write_image
        write(outputs[number], made.result, progress=part(progress, 0.9, 1))
        return f"{outputs[number]}: {_found_in_words(made)}{_scale_in_words(made)}"

    for_each(inputs, work)


def info_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help=f"A model's file, folder or name; or one of {', '.join(RUNGS)}, to list the "
            "options that train --set takes.",
            show_default=False,
        ),
    ],
    *,
    test: Annotated[
        bool,
        typer.Option(
            "--test",
            help="Run the example in the package and compare with what should come out; exit 1 "
            "when it differs.",
        ),
    ] = False,
    trust: Trust = False,
) -> None:
    """Say what a model finds, in which images, how it was trained and how good it is.

    Nothing in the file is run, unless --test asks for it.
    """
    say_which(Path(model))
    lines = options_of_rung(model) if model in RUNGS else metadata_lines(describe_model(model))
    for line in lines:
        say(line)
    if test:
        trial = self_test(model, trust=trust)
        say(f"its own test: {'passed' if trial.passed else 'FAILED'}, {trial.said}")
        if not trial.passed:
            raise typer.Exit(1)


def options_of_rung(kind: str) -> list[str]:
    """List all that ``train --set`` takes for a rung."""
    return [
        f"{kind}:",
        *option_lines(RUNGS[kind]),
        "training:",
        *option_lines(TrainOptions),
        "scaling of the images:",
        *option_lines(NormalisationSpec),
        "pretraining, with --pretrain:",
        *option_lines(PretrainOptions),
    ]


def say_fallback(device: Device) -> None:
    """Say so when the device asked for is not there. Imports torch where one is asked for."""
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
    """Say how the image was scaled; or that its pixel size calls for it, where nothing is said."""
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
