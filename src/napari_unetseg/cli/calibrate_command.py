"""Define `calibrate`: choose how a model makes objects by images with known objects."""

from pathlib import Path
from typing import Annotated

import typer

from napari_unetseg.cli.console import bar, say
from napari_unetseg.cli.file_pairs import ListPairs, list_pairs, pair_files
from napari_unetseg.cli.image_flags import with_image_flags
from napari_unetseg.cli.models_command import say_which
from napari_unetseg.cli.training_inputs import (
    TrainingImages,
    TrainingLabels,
    check_out,
    read_training_pairs,
    save_somewhere,
    spare_waiting_threads,
)
from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.models_io.foreign import open_model
from napari_unetseg.core.recipe import ImageStep
from napari_unetseg.core.training.calibrate_model import calibrate_model


@with_image_flags
def calibrate_command(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="A model written by train, or a shipped model; it stays unchanged.",
            show_default=False,
        ),
    ],
    images: TrainingImages,
    labels: TrainingLabels,
    out: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="MODEL.zip", help="The new model.", show_default=False),
    ],
    *,
    seen: ImageStep,
    pairs: ListPairs = False,
) -> None:
    """Choose how a model makes objects: smallest size, level, waist, seed height, lowest score.

    The weights stay. Labels are objects, or masks for a model of masks, of images like those to
    predict; best of images that the model was not trained on.
    """
    check_out(out)
    spare_waiting_threads()
    files = pair_files(images, labels, names=("images", "labels"))
    if pairs:
        list_pairs(files)
        return
    say_which(model)
    trained = open_model(model)
    if not trained.state:
        raise InputError(
            f"{model} is a model from another program, which cannot be saved again. Give a model "
            "that was trained here."
        )
    read_as: AnnotationKind = "mask" if trained.labels_are == "mask" else "objects"
    known = read_training_pairs(files, read_as, seen=seen)
    with bar("calibrate") as progress:
        made = calibrate_model(trained, known, progress=progress)
    save_somewhere(made.model, out)
    say(f"{out}: {made.message}")


__all__ = ["calibrate_command"]
