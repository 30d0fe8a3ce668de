"""`train-on`: a model learns from the corrections that a project holds."""

from pathlib import Path
from typing import Annotated

import typer

from napari_unetseg.cli.console import bar, note, say
from napari_unetseg.cli.flags import with_options
from napari_unetseg.cli.models_command import say_which
from napari_unetseg.cli.training_inputs import check_out, save_somewhere, spare_waiting_threads
from napari_unetseg.cli.watch_training import watching
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.native import load
from napari_unetseg.core.models_io.shipped_models import resolved
from napari_unetseg.core.project import ProjectFolder
from napari_unetseg.core.project.project_corrections import lessons_of_project
from napari_unetseg.core.training.fine_tune import FineTuneOptions
from napari_unetseg.core.training.fine_tune import fine_tune as train_on_corrections


@with_options(FineTuneOptions)
def fine_tune_command(
    project: Annotated[
        Path, typer.Argument(metavar="PROJECT.unetseg", help="A project that was saved in napari.")
    ],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="MODEL.zip", help="The new model.", show_default=False),
    ],
    *,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL.zip", help="Who learns; when not said, the project's current model."
        ),
    ] = None,
    options: FineTuneOptions,
) -> None:
    """Train a model on the corrected labels of a project; the project stays as it is.

    Says what the model had right of all that is annotated, and what the new one has wrong of that.
    Ctrl-C stops and keeps the model so far; a second one abandons it.
    """
    check_out(out)
    spare_waiting_threads()
    with bar("read") as progress:
        contents = ProjectFolder(project).open(progress=progress)
    for sentence in contents.missing:
        note(sentence)
    if model is None and not contents.models:
        raise InputError(f"{project} holds no model. Say which one is to learn with --model.")
    old = contents.models[-1] if model is None else _loaded(model)
    found = lessons_of_project(contents, old, options)
    if found.lost:
        note(f"What it learnt from before and is not in the project: {', '.join(found.lost)}.")
    say(f"Training {old.name} on the corrections of {', '.join(found.names)}.")
    with watching("train on") as seen:
        result = train_on_corrections(
            old,
            found.corrected,
            options,
            earlier=found.earlier,
            base=found.base,
            name=out.stem,
            watch=seen.watch,
            progress=seen.progress,
        )
    save_somewhere(result.model, out)
    say(f"{out}: {result.message}")
    if result.alarm:
        note(f"{result.alarm} The old model is still there.")


def _loaded(model: Path) -> TrainedModel:
    say_which(model)
    return load(resolved(model))


__all__ = ["fine_tune_command"]
