"""`compare`: which model is enough for these images, by what was held out of their labels."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_unetseg.cli.console import note, say
from napari_unetseg.cli.file_pairs import pairs_of
from napari_unetseg.cli.flags import options_of, with_options
from napari_unetseg.cli.predict_command import say_fallback
from napari_unetseg.cli.set_options import minutes_of
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
from napari_unetseg.core.annotation.annotation import TrainingPair, values_of
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io import writing
from napari_unetseg.core.model.registry import RUNGS, rungs_for
from napari_unetseg.core.training.compare_models import Row, Scoreboard
from napari_unetseg.core.training.compare_models import compare as compare_models

_DEFAULT_BUDGET = "1m"


@with_options(TrainOptions, only=("validation", "seed", "device"))
def compare_command(
    images: ImagesToLearn,
    labels: LabelsToLearn,
    *,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="BEST.zip", help="Keep the recommended model here."),
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL,MODEL...",
            help=f"Which of {', '.join(RUNGS)} to train. When not said: logistic for two classes "
            "or softmax for more, mlp, cnn and unet.",
        ),
    ] = None,
    labels_are: Annotated[
        str,
        typer.Option(
            metavar="|".join(KINDS),
            help="Scribbles: 0 is not labelled. Mask: 0 is background. Objects: 0 is background, "
            "every other id one object.",
        ),
    ] = "scribbles",
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="5m|30s|2",
            help="How long to train each network; a number alone is minutes. The others are "
            f"fitted in seconds. (default: {_DEFAULT_BUDGET})",
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
    ndim: Annotated[
        int, typer.Option(metavar="2|3", help="2 to learn planes, 3 to learn stacks.")
    ] = 2,
    table: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write the table to this file as well."),
    ] = None,
) -> None:
    """Train several models on the same labels and say which one is enough.

    All are judged by the same strokes, tiles or images, which none of them saw. A network that
    does worse than the model it climbs on is replaced by that, and named so. Ctrl-C stops and
    shows what is done; a second one abandons it.
    """
    if out is not None:
        check_out(out)
    check_choice("--labels-are", labels_are, KINDS)
    check_choice("--ndim", ndim, (2, 3))
    kinds = None if models is None else _kinds(models)
    training = _training(budget, epochs, options)
    spare_waiting_threads()
    lessons = read_lessons(pairs_of(images, labels, names=("images", "labels")))
    read_as: Any = labels_are
    if kinds is None:
        kinds = rungs_for(len(values_of([lesson.labels for lesson in lessons], read_as)))
    say(f"Comparing {', '.join(kinds)} on {len(lessons)} image{'s' * (len(lessons) != 1)}.")
    say_fallback(training.device)
    board = _compared(kinds, lessons, training, read_as, ndim)
    for line in _lines(board):
        say(line)
    say(board.recommendation)
    # What took longest is kept first, whatever is wrong with the other file.
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
    said: dict[str, Any] = options.model_dump(include=options.model_fields_set)
    if epochs is not None:
        return options_of(TrainOptions, said | {"epochs": epochs})
    return options_of(TrainOptions, said | {"budget": minutes_of(budget or _DEFAULT_BUDGET)})


def _compared(
    kinds: Sequence[str],
    lessons: Sequence[TrainingPair],
    options: TrainOptions,
    labels_are: Any,
    ndim: int,
) -> Scoreboard:
    with watching("compare") as seen:
        try:
            return compare_models(
                [RUNGS[kind].spec() for kind in kinds],
                lessons,
                options,
                labels_are=labels_are,
                ndim=ndim,
                told=lambda row: seen.keep(_in_words(row)),
                watch=lambda record: seen.keep(),
                progress=seen.progress,
            )
        except InputError as error:
            raise InputError(f"{error}{hint_of(lessons, labels_are)}") from error


def _in_words(row: Row) -> str:
    if row.scores is None:
        return f"{row.label}: {row.message}"
    return f"{row.label}: Dice {row.dice:.3f}, trained in {row.seconds:.1f} s"


def _lines(board: Scoreboard) -> list[str]:
    """Return the table, one line a model, the columns under their names."""
    width = max((len(row.label) for row in board.rows), default=0)
    lines = [f"{'model':{width}}   Dice    IoU  training  s/megapixel"] if board.rows else []
    for row in board.rows:
        name = f"{row.label:{width}}"
        if row.scores is None:
            lines.append(f"{name}  {row.message}")
        else:
            scores = f"{row.scores.dice:5.3f}  {row.scores.iou:5.3f}"
            lines.append(
                f"{name}  {scores}  {row.seconds:6.1f} s  {row.seconds_per_megapixel:11.2f}"
            )
    return lines


def _keep(board: Scoreboard, out: Path | None) -> None:
    """Save the model to keep, if that is wanted, and say what to do next."""
    kept = board.kept
    if kept is None or kept.model is None:
        if out is not None:
            raise InputError(f"No model was finished, so {out} is not written.")
    elif out is None:
        say("Next: run it again with -o BEST.zip to keep the model.")
    else:
        save_somewhere(kept.model, out)
        if board.recommended is None:
            note(f"{out} holds the best of them, the {kept.kind}, which is no better than a guess.")
        say(f"{out}: {kept.kind}. Next: napari-unetseg predict {out} IMAGES -o FOLDER")


__all__ = ["compare_command"]
