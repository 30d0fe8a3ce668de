"""`evaluate`: how well predicted labels agree with the truth."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from napari_unetseg.cli.console import bar, note, say
from napari_unetseg.cli.evaluate_objects import evaluate_objects
from napari_unetseg.cli.file_pairs import Pair, pairs_of
from napari_unetseg.cli.flags import with_options
from napari_unetseg.core.annotation.annotation import MAX_CLASSES
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io import read_labels, writing
from napari_unetseg.core.progress import Progress, part, track
from napari_unetseg.core.scoring.pixel_scores import Scores, class_scores, mean_scores, scores
from napari_unetseg.core.scoring.score_summary import ObjectScoreOptions

Labels = NDArray[Any]
_Values = frozenset[int]


@dataclass(frozen=True)
class _Judged:
    """The foreground mean of an image, and its classes where there are several."""

    mean: Scores
    classes: Mapping[int, Scores]

    def as_json(self) -> dict[str, Any]:
        values = {str(value): asdict(one) for value, one in self.classes.items()}
        return asdict(self.mean) | ({"classes": values} if values else {})


@with_options(ObjectScoreOptions)
def evaluate_command(
    predictions: Annotated[
        str,
        typer.Argument(metavar="PREDICTIONS", help="Labels: a file, a folder or a quoted glob."),
    ],
    truth: Annotated[
        str, typer.Argument(metavar="TRUTH", help="The right labels, of the same names.")
    ],
    *,
    options: ObjectScoreOptions,
    objects: Annotated[
        bool,
        typer.Option(
            "--objects",
            help="Compare objects, not pixels. Ids are taken as they are, of any type of number, 0 "
            "for background: pixels of one value are one object, connected or not, so a mask is "
            "one object. Label it first to judge its parts.",
        ),
    ] = False,
    table: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write the scores to this file as well."),
    ] = None,
    foreground: Annotated[
        str,
        typer.Option(
            metavar="auto|any|VALUES",
            help="What is foreground in the predictions: any value but 0, or values such as 2 or "
            "2,3; the truth's is then whatever is not 0. Auto compares class by class, and any "
            "value but 0 where the predictions have one alone.",
        ),
    ] = "auto",
) -> None:
    """Compare labels with the truth: Dice, IoU, precision and recall, of pixels or of objects.

    Of pixels, each image's score is the mean over its foreground classes, the last line the mean
    over images. --objects matches object with object instead: precision, recall and F1 at an IoU
    of 0.5, AP at 0.5 and its mean from 0.5 to 0.95 (TP / (TP + FP + FN), as StarDist and Cellpose
    have it), SBD, panoptic quality, Hausdorff distance and boundary F1, adapted Rand error and
    split and merge VI; Dice and IoU are of the foreground.
    """
    # What only objects make use of asks for them.
    by_objects = objects or bool(options.model_fields_set)
    if by_objects and foreground != "auto":
        raise InputError(
            "--foreground has no effect with --objects, where every value but 0 is an object. "
            "Leave one of them out."
        )
    chosen = _chosen(foreground)
    pairs = pairs_of(predictions, truth, names=("predictions", "labels of the truth"))
    if by_objects:
        evaluate_objects(pairs, options, table)
        return
    with bar("evaluate") as progress:
        said, true = _values_of(pairs, part(progress, 0, 0.4))
        judge = _Judge(said, true, chosen, foreground)
        last = part(progress, 0.4, 1)
        judged = {pair.stem: judge(*_both(pair)) for pair in track(pairs, last, "judging")}
    for stem, one in judged.items():
        say(f"{stem}: {_in_words(one.mean)}")
    overall = mean_scores(one.mean for one in judged.values())
    for value, score in _mean_classes(judged).items():
        say(f"class {value}: {_in_words(score)}")
    say(f"mean of {len(judged)} image{'s' * (len(judged) != 1)}: {_in_words(overall)}")
    if table is not None:
        _write(table, overall, judged)


class _Judge:
    """Compares two label maps: as two masks, or class by class."""

    def __init__(
        self, said: _Values, true: _Values, chosen: _Values | None, foreground: str
    ) -> None:
        self.classes: tuple[int, ...] = ()
        self.front: tuple[int, ...] = tuple(sorted(chosen or ()))
        several = len(said - {0}) > 1
        if foreground != "auto" or not several:
            return
        if 0 not in said and len(said) == 2 and len(true) == 2 and 0 in true:
            self.front = (max(said),)
            note(
                f"The predictions have the classes {min(said)} and {max(said)} and the truth one "
                f"foreground, so {max(said)} is compared with it. --foreground says it otherwise."
            )
            return
        self.classes = tuple(sorted((said | true) - {0}))
        if len(self.classes) > MAX_CLASSES:
            raise InputError(
                f"The labels hold {len(self.classes)} values, more than {MAX_CLASSES} classes: "
                "they look like object ids. To compare objects say --objects; to compare what is "
                "object with what is background, --foreground any."
            )

    def __call__(self, said: Labels, true: Labels) -> _Judged:
        if self.classes:
            found = class_scores(said, true, self.classes)
            return _Judged(mean_scores(found.values()), found)
        return _Judged(scores(np.isin(said, self.front) if self.front else said, true), {})


def _values_of(pairs: Sequence[Pair], progress: Progress) -> tuple[_Values, _Values]:
    """Return the values in all predictions and in all truths."""
    said: set[int] = set()
    true: set[int] = set()
    for pair in track(pairs, progress, "reading"):
        for values, labels in zip((said, true), _both(pair), strict=True):
            values.update(map(int, np.unique(labels)))
    return frozenset(said), frozenset(true)


def _both(pair: Pair) -> tuple[Labels, Labels]:
    said, true = read_labels(pair.first).asarray(), read_labels(pair.second).asarray()
    if said.shape != true.shape:
        raise InputError(
            f"{pair.first} has the shape {said.shape} and {pair.second} {true.shape}: they are not "
            "of one image. Give labels of the same size."
        )
    return said, true


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
    """Return the mean of each class over the images that have it."""
    values = sorted({value for one in judged.values() for value in one.classes})
    found = {v: [one.classes[v] for one in judged.values() if v in one.classes] for v in values}
    return {value: mean_scores(several) for value, several in found.items()}


def _in_words(one: Scores) -> str:
    return (
        f"Dice {one.dice:.3f}, IoU {one.iou:.3f}, precision {one.precision:.3f}, "
        f"recall {one.recall:.3f}"
    )


def _write(path: Path, overall: Scores, judged: Mapping[str, _Judged]) -> None:
    content: dict[str, Any] = {"mean": asdict(overall)}
    classes = _mean_classes(judged)
    if classes:
        content["classes"] = {str(value): asdict(one) for value, one in classes.items()}
    content["images"] = {stem: one.as_json() for stem, one in judged.items()}
    with writing(path) as draft:
        draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    say(f"{path}: written")


__all__ = ["evaluate_command"]
