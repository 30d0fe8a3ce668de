"""Define `train-on`: fine-tune a model on the corrections in a project."""

from pathlib import Path
from typing import Annotated

import typer

from napari_unetseg.cli.console import bar, note, say
from napari_unetseg.cli.flags import with_options
from napari_unetseg.cli.models_command import say_which
from napari_unetseg.cli.training_inputs import check_out, save_somewhere, spare_waiting_threads
from napari_unetseg.cli.watch_training import watch_training
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.native import load
from napari_unetseg.core.models_io.shipped_models import resolved
from napari_unetseg.core.project import ProjectFolder
from napari_unetseg.core.project.project_corrections import collect_training_pairs
from napari_unetseg.core.training.fine_tune import FineTuneOptions
from napari_unetseg.core.training.fine_tune import fine_tune as train_on_corrections


@with_options(FineTuneOptions)
def fine_tune_command(
    project: Annotated[
        Path, typer.Argument(metavar="PROJECT.unetseg", help="A project saved in napari.")
    ],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="MODEL.zip", help="The new model.", show_default=False),
    ],
    *,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL.zip", help="The model to train; default: the project's current model."
        ),
    ] = None,
    options: FineTuneOptions,
) -> None:
    """Fine-tune a model on the corrected labels of a project; the project stays unchanged.

    Reports the annotated pixels that the old model had right, and how many of them the new model
    has wrong. Ctrl-C stops and keeps the model so far; a second Ctrl-C discards it.
    """
    check_out(out)
    spare_waiting_threads()
    with bar("read") as progress:
        contents = ProjectFolder(project).open(progress=progress)
    for sentence in contents.missing:
        note(sentence)
    if model is None and not contents.models:
        raise InputError(f"{project} has no model. Choose the model to train with --model.")
    old = contents.models[-1] if model is None else _loaded(model)
    pairs = collect_training_pairs(contents, old, options)
    if pairs.lost:
        note(f"Earlier training labels that are not in the project: {', '.join(pairs.lost)}.")
    say(f"Training {old.name} on the corrections of {', '.join(pairs.names)}.")
    with watch_training("train on") as watcher:
        result = train_on_corrections(
            old,
            pairs.corrected,
            options,
            earlier=pairs.earlier,
            base=pairs.base,
            name=out.stem,
            watch=watcher.watch,
            progress=watcher.progress,
        )
    save_somewhere(result.model, out)
    say(f"{out}: {result.message}")
    if result.alarm:
        note(f"{result.alarm} The old model is still there.")


def _loaded(model: Path) -> TrainedModel:
    say_which(model)
    return load(resolved(model))


__all__ = ["fine_tune_command"]
