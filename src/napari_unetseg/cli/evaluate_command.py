"""Define `evaluate`: compare predicted labels with the ground truth."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from napari_unetseg.cli.console import bar, note, say
from napari_unetseg.cli.evaluate_objects import (
    Empty,
    evaluate_objects,
    kept_images,
    name_mean,
)
from napari_unetseg.cli.file_pairs import ListPairs, Pair, list_pairs, pair_files, read_label_pair
from napari_unetseg.cli.flags import with_options
from napari_unetseg.cli.image_flags import with_image_flags
from napari_unetseg.core.annotation.annotation import MAX_CLASSES
from napari_unetseg.core.atomic_files import check_output
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io import writing
from napari_unetseg.core.io.image_step import ImageStep
from napari_unetseg.core.label_image import Note, comparable, no_note
from napari_unetseg.core.progress import Progress, part, track
from napari_unetseg.core.scoring.pixel_scores import (
    Areas,
    Scores,
    count_areas,
    mean_scores,
    pool_areas,
)
from napari_unetseg.core.scoring.score_summary import ObjectScoreOptions

Labels = NDArray[Any]
_Values = frozenset[int]


@dataclass(frozen=True)
class _Judged:
    """Hold the scores of an image: the mean over the foreground, and each of several classes.

    Parameters
    ----------
    areas
        By class value; by 1 where two masks are compared.
    """

    mean: Scores
    classes: Mapping[int, Scores]
    areas: Mapping[int, Areas]

    @property
    def empty(self) -> bool:
        """Whether neither the prediction nor the ground truth has foreground."""
        return not any(predicted or true for _, predicted, true in self.areas.values())

    def as_json(self) -> dict[str, Any]:
        values = {str(value): asdict(scored) for value, scored in self.classes.items()}
        return asdict(self.mean) | ({"classes": values} if values else {})


@with_image_flags
@with_options(ObjectScoreOptions)
def evaluate_command(
    predictions: Annotated[
        str,
        typer.Argument(metavar="PREDICTIONS", help="Labels: a file, a folder or a quoted glob."),
    ],
    truth: Annotated[
        str,
        typer.Argument(
            metavar="TRUTH",
            help="The ground truth labels, with the same names, or an ending such as _gt.",
        ),
    ],
    *,
    options: ObjectScoreOptions,
    seen: ImageStep,
    objects: Annotated[
        bool,
        typer.Option(
            "--objects",
            help="Compare objects, not pixels. Pixels with the same id, of any numeric type, are "
            "one object, connected or not; 0 is background. A mask is thus one object: label it "
            "first to compare its parts.",
        ),
    ] = False,
    table: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Also write the scores to this file."),
    ] = None,
    foreground: Annotated[
        str,
        typer.Option(
            metavar="auto|any|VALUES",
            help="Foreground of the predictions: any value but 0, or values such as 2 or 2,3; "
            "that of the ground truth is any value but 0. Auto compares class by class, or any "
            "value but 0 if the predictions have a single class.",
        ),
    ] = "auto",
    empty: Annotated[
        Empty,
        typer.Option(
            metavar="count|leave-out",
            help="Images with no foreground, or no objects, in both: count as 1 in the mean over "
            "images, or are left out of it.",
        ),
    ] = "count",
    pairs: ListPairs = False,
) -> None:
    """Compare labels with the ground truth: Dice, IoU, precision and recall of pixels or objects.

    For pixels, each image's score is the mean over its foreground classes; the last line is the
    mean over images, after the scores of the pixels of all images together. --objects matches
    objects instead: precision, recall and F1 at an IoU of 0.5, AP at 0.5 and its mean from 0.5 to
    0.95 (TP / (TP + FP + FN), as in StarDist and Cellpose), SBD, panoptic quality, Hausdorff
    distance and boundary F1, adapted Rand error and split and merge VI; Dice and IoU are those of
    the foreground.
    """
    # An option that only objects use implies --objects.
    by_objects = objects or bool(options.model_fields_set)
    if by_objects and foreground != "auto":
        raise InputError(
            "--foreground has no effect with --objects, where every value but 0 is an object. "
            "Leave one of them out."
        )
    if table is not None:
        check_output(table)
    chosen = _chosen(foreground)
    files = pair_files(predictions, truth, names=("predictions", "ground truth labels"))
    if pairs:
        list_pairs(files)
        return
    if by_objects:
        evaluate_objects(files, options, table, empty, seen)
        return
    with bar("evaluate") as progress:
        predicted, true = _values_of(files, seen, part(progress, 0, 0.4))
        compare = _Judge(predicted, true, chosen, foreground)
        last = part(progress, 0.4, 1)
        judged = {
            pair.stem: compare(*_read_pair(pair, seen)) for pair in track(files, last, "judging")
        }
    for stem, image_scores in judged.items():
        say(f"{stem}: {_format_scores(image_scores.mean)}")
    nothing = [stem for stem, image_scores in judged.items() if image_scores.empty]
    kept = kept_images(judged, nothing, empty)
    overall = mean_scores(image_scores.mean for image_scores in kept.values())
    pooled = mean_scores(pool_areas(each.areas for each in judged.values()).values())
    for value, score in _mean_classes(judged).items():
        say(f"class {value}: {_format_scores(score)}")
    say(f"all pixels together: {_format_scores(pooled)}")
    say(f"{name_mean(kept, nothing, empty, 'foreground')}: {_format_scores(overall)}")
    if table is not None:
        _write(table, overall, pooled, judged)


class _Judge:
    """Compare two label images, as two masks or class by class."""

    def __init__(
        self, predicted: _Values, true: _Values, chosen: _Values | None, foreground: str
    ) -> None:
        self.classes: tuple[int, ...] = ()
        self.front: tuple[int, ...] = tuple(sorted(chosen or ()))
        several = len(predicted - {0}) > 1
        if foreground != "auto" or not several:
            return
        if 0 not in predicted and len(predicted) == 2 and len(true) == 2 and 0 in true:
            self.front = (max(predicted),)
            note(
                f"The predictions have the classes {min(predicted)} and {max(predicted)} and the "
                f"ground truth has one foreground class, so {max(predicted)} is compared with it. "
                "Choose another with --foreground."
            )
            return
        self.classes = tuple(sorted((predicted | true) - {0}))
        if len(self.classes) > MAX_CLASSES:
            raise InputError(
                f"The labels have {len(self.classes)} values, more than {MAX_CLASSES} classes: "
                "they look like object ids. Use --objects to compare objects, or --foreground any "
                "to compare foreground and background."
            )

    def __call__(self, predicted: Labels, true: Labels) -> _Judged:
        if self.classes:
            areas = {v: count_areas(predicted == v, true == v) for v in self.classes}
            by_class = pool_areas([areas])
            return _Judged(mean_scores(by_class.values()), by_class, areas)
        counts = count_areas(np.isin(predicted, self.front) if self.front else predicted, true)
        return _Judged(Scores.of_areas(*counts), {}, {1: counts})


def _values_of(
    pairs: Sequence[Pair], seen: ImageStep, progress: Progress
) -> tuple[_Values, _Values]:
    """Return the values in all predictions and in all ground truth labels."""
    predicted: set[int] = set()
    true: set[int] = set()
    for pair in track(pairs, progress, "reading"):
        for values, labels in zip((predicted, true), _read_pair(pair, seen, note), strict=True):
            values.update(map(int, np.unique(labels)))
    return frozenset(predicted), frozenset(true)


def _read_pair(pair: Pair, seen: ImageStep, note_to: Note = no_note) -> tuple[Labels, ...]:
    predicted, true = read_label_pair(pair, note_to, seen)
    return comparable(predicted.asarray(), true.asarray())


def _chosen(foreground: str) -> _Values | None:
    if foreground in ("auto", "any"):
        return None
    try:
        return frozenset(int(word) for word in foreground.split(","))
    except ValueError as error:
        raise InputError(
            f"--foreground {foreground!r}: give auto, any, or class values such as 2 or 2,3."
        ) from error


def _mean_classes(judged: Mapping[str, _Judged]) -> dict[int, Scores]:
    """Return the mean scores of each class over the images that have it."""
    values = sorted({value for scored in judged.values() for value in scored.classes})
    by_class = {
        v: [scored.classes[v] for scored in judged.values() if v in scored.classes] for v in values
    }
    return {value: mean_scores(several) for value, several in by_class.items()}


def _format_scores(scored: Scores) -> str:
    return (
        f"Dice {scored.dice:.3f}, IoU {scored.iou:.3f}, precision {scored.precision:.3f}, "
        f"recall {scored.recall:.3f}"
    )


def _write(path: Path, overall: Scores, pooled: Scores, judged: Mapping[str, _Judged]) -> None:
    content: dict[str, Any] = {"mean": asdict(overall), "pooled": asdict(pooled)}
    classes = _mean_classes(judged)
    if classes:
        content["classes"] = {str(value): asdict(scored) for value, scored in classes.items()}
    content["images"] = {stem: image_scores.as_json() for stem, image_scores in judged.items()}
    with writing(path) as draft:
        draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    say(f"{path}: written")


__all__ = ["evaluate_command"]
