"""Define `compare`: find the simplest sufficient model by comparing them on a validation set."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_unetseg.cli.console import note, say
from napari_unetseg.cli.file_pairs import ListPairs, list_pairs, pair_files
from napari_unetseg.cli.flags import make_options, with_options
from napari_unetseg.cli.image_flags import with_image_flags
from napari_unetseg.cli.predict_command import say_fallback
from napari_unetseg.cli.set_options import parse_minutes
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
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.atomic_files import check_output
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io import writing
from napari_unetseg.core.io.image_step import ImageStep
from napari_unetseg.core.model.registry import RUNGS, rungs_for
from napari_unetseg.core.model.validation_score import TOO_LITTLE, shown_dice
from napari_unetseg.core.training.compare_models import Row, Scoreboard
from napari_unetseg.core.training.compare_models import compare as compare_models

_DEFAULT_BUDGET = "1m"


@with_image_flags
@with_options(TrainOptions, only=("validation", "seed", "device"))
def compare_command(
    images: TrainingImages,
    labels: TrainingLabels,
    *,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="BEST.zip", help="Save the recommended model here."),
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL,MODEL...",
            help=f"Models to train, from {', '.join(RUNGS)}. Default: logistic for two classes "
            "or softmax for more, mlp, cnn and unet.",
        ),
    ] = None,
    labels_are: Annotated[
        str,
        typer.Option(
            metavar="|".join(KINDS),
            help="Scribbles: 0 is unlabelled. Mask: 0 is background. Objects: 0 is background, "
            "every other id is one object.",
        ),
    ] = "scribbles",
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="5m|30s|2",
            help="Training time for each network; a plain number is in minutes. The other models "
            f"are fitted in seconds. (default: {_DEFAULT_BUDGET})",
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
    ndim: Annotated[
        int, typer.Option(metavar="2|3", help="2 to train on planes, 3 on stacks.")
    ] = 2,
    table: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Also write the table to this file."),
    ] = None,
    pairs: ListPairs = False,
) -> None:
    """Train several models on the same labels and recommend the simplest sufficient one.

    All are evaluated on the same strokes, tiles or images, which none of them was trained on. A
    network that scores worse than the model it was distilled from is replaced by that model, and
    the table says so. Ctrl-C stops and shows the results so far; a second Ctrl-C discards them.
    """
    if out is not None:
        check_out(out)
    if table is not None:
        check_output(table)
    check_choice("--labels-are", labels_are, KINDS)
    check_choice("--ndim", ndim, (2, 3))
    kinds = None if models is None else _kinds(models)
    training = _training(budget, epochs, options)
    spare_waiting_threads()
    files = pair_files(images, labels, names=("images", "labels"))
    if pairs:
        list_pairs(files)
        return
    read_as: Any = labels_are
    training_pairs = read_training_pairs(files, read_as, seen=seen)
    if kinds is None:
        kinds = rungs_for(len(values_of([pair.labels for pair in training_pairs], read_as)))
    n = len(training_pairs)
    say(f"Comparing {', '.join(kinds)} on {n} image{'s' * (n != 1)}.")
    say_fallback(training.device)
    board = _compared(kinds, training_pairs, training, read_as, ndim)
    for line in _lines(board):
        say(line)
    say(board.recommendation)
    # The model, which took longest, is saved first, in case the table cannot be written.
    _keep(board, out)
    if table is not None:
        with writing(table) as draft:
            draft.write_text(json.dumps(board.as_json(), indent=2) + "\n", encoding="utf-8")
        say(f"{table}: written")


def _kinds(models: str) -> tuple[str, ...]:
    kinds = [word.strip() for word in models.split(",") if word.strip()]
    for kind in kinds:
        check_choice("--models", kind, tuple(RUNGS))
    if not kinds:
        raise InputError(f"--models {models!r}: choose some of {', '.join(RUNGS)}.")
    return tuple(dict.fromkeys(kinds))


def _training(budget: str | None, epochs: int | None, options: TrainOptions) -> TrainOptions:
    if budget is not None and epochs is not None:
        raise InputError("Give --budget or --epochs, not both.")
    options_set: dict[str, Any] = options.model_dump(include=options.model_fields_set)
    if epochs is not None:
        return make_options(TrainOptions, options_set | {"epochs": epochs})
    return make_options(
        TrainOptions, options_set | {"budget": parse_minutes(budget or _DEFAULT_BUDGET)}
    )


def _compared(
    kinds: Sequence[str],
    pairs: Sequence[TrainingPair],
    options: TrainOptions,
    labels_are: Any,
    ndim: int,
) -> Scoreboard:
    with watch_training("compare") as watcher:
        try:
            return compare_models(
                [RUNGS[kind].spec() for kind in kinds],
                pairs,
                options,
                labels_are=labels_are,
                ndim=ndim,
                on_row=lambda row: watcher.keep(_in_words(row)),
                watch=lambda record: watcher.keep(),
                progress=watcher.progress,
            )
        except InputError as error:
            raise InputError(f"{error}{mask_hint(pairs, labels_are)}") from error


def _in_words(row: Row) -> str:
    if row.model is None:
        return f"{row.label}: {row.message}"
    score = TOO_LITTLE if shown_dice(row.model.scores) is None else f"Dice {row.dice:.3f}"
    return f"{row.label}: {score}, trained in {row.seconds:.1f} s"


def _lines(board: Scoreboard) -> list[str]:
    """Format the table, one line per model."""
    width = max((len(row.label) for row in board.rows), default=0)
    lines = [f"{'model':{width}}   Dice    IoU  training  s/megapixel"] if board.rows else []
    for row in board.rows:
        name = f"{row.label:{width}}"
        if row.scores is None:
            lines.append(f"{name}  {row.message}")
        else:
            shown = row.model is not None and shown_dice(row.model.scores) is not None
            scores = f"{row.scores.dice:5.3f}  {row.scores.iou:5.3f}" if shown else "    –      –"
            lines.append(
                f"{name}  {scores}  {row.seconds:6.1f} s  {row.seconds_per_megapixel:11.2f}"
            )
    return lines


def _keep(board: Scoreboard, out: Path | None) -> None:
    """Save the recommended model, if asked for, and print the next step."""
    best = board.kept
    if best is None or best.model is None:
        if out is not None:
            raise InputError(
                f"No model was finished, so {out} is not written. Allow more time with --budget."
            )
    elif out is None:
        say("Next: run it again with -o BEST.zip to save the model.")
    else:
        save_somewhere(best.model, out)
        if board.recommended is None:
            note(f"{out} is the best model, the {best.kind}, but hardly better than a guess.")
        say(f"{out}: {best.kind}. Next: napari-unetseg predict {out} IMAGES -o FOLDER")


__all__ = ["compare_command"]
