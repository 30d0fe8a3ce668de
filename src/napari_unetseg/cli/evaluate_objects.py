"""Define `evaluate --objects`: compare predicted objects with the true ones."""

import json
import math
from collections.abc import Mapping, Sequence, Sized
from pathlib import Path
from typing import Any, Literal, TypeVar

from napari_unetseg.cli.console import bar, note, say
from napari_unetseg.cli.file_pairs import Pair, read_label_pair
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io import writing
from napari_unetseg.core.io.image_step import ImageStep
from napari_unetseg.core.progress import part
from napari_unetseg.core.scoring.score_summary import (
    Judged,
    ObjectScoreOptions,
    average_scores,
    judge_objects,
    pool_scores,
)

Empty = Literal["count", "leave-out"]
"""Images where neither the prediction nor the truth has anything: in the mean as 1, or not."""

T = TypeVar("T")


def kept_images(judged: Mapping[str, T], nothing: Sequence[str], empty: Empty) -> dict[str, T]:
    """Return the images that count in the mean.

    Raises
    ------
    InputError
        When none is left.
    """
    left_out = set(nothing if empty == "leave-out" else ())
    kept = {stem: result for stem, result in judged.items() if stem not in left_out}
    if not kept:
        raise InputError(
            "No image has anything to compare, in the prediction or the ground truth. Give others, "
            "or use --empty count."
        )
    return kept


def name_mean(kept: Sized, nothing: Sequence[str], empty: Empty, what: str) -> str:
    """Return the name of a mean over images, and how those without `what` enter it."""
    name = f"mean of {len(kept)} image{'s' * (len(kept) != 1)}"
    if not nothing:
        return name
    if empty == "count":
        return f"{name}, of which {len(nothing)} without {what} in both count as 1"
    return f"{name}, {len(nothing)} without {what} in both left out"


def evaluate_objects(
    pairs: Sequence[Pair],
    options: ObjectScoreOptions,
    table: Path | None = None,
    empty: Empty = "count",
    seen: ImageStep = ImageStep(),  # noqa: B008 - frozen
) -> None:
    """Compare pairs of predicted and true objects, print a line for each, and write a table.

    Raises
    ------
    InputError
        When the two of a pair belong to different images, or are not ids.
    """
    judged: dict[str, Judged] = {}
    with bar("evaluate") as progress:
        for number, pair in enumerate(pairs):
            share = part(progress, number / len(pairs), (number + 1) / len(pairs))
            predicted, true = read_label_pair(pair, note, seen)
            judged[pair.stem] = judge_objects(predicted, true, options, progress=share)
    for stem, result in judged.items():
        say(f"{stem}: {_format_scores(result.scores)}")
    nothing = [
        stem
        for stem, result in judged.items()
        if not result.overlap.n_true and not result.overlap.n_predicted
    ]
    kept = kept_images(judged, nothing, empty)
    overall = average_scores(result.scores for result in kept.values())
    say(f"{name_mean(kept, nothing, empty, 'objects')}: {_format_scores(overall)}")
    together = pool_scores(list(judged.values()))
    say(
        f"all objects together: F1 {together['f1']:.3f}, AP@0.5 {together['ap50']:.3f}; "
        f"{_format_counts(together)}"
    )
    counts = {
        "ground truth": [result.overlap.n_true for result in judged.values()],
        "predicted": [result.overlap.n_predicted for result in judged.values()],
    }
    for which, numbers in counts.items():
        if numbers and all(n == 1 for n in numbers):
            note(
                f"Every {which} image has one object. If these are masks and not ids, label them "
                "first: a mask counts as one object."
            )
    if table is not None:
        _write(table, overall, together, judged)


def _format_scores(scores: Mapping[str, float]) -> str:
    return (
        f"F1 {scores['f1']:.3f}, AP@0.5 {scores['ap50']:.3f}, mean AP {scores['map']:.3f}, "
        f"mean IoU {scores['mean_iou']:.3f}, SBD {scores['sbd']:.3f}, Dice {scores['dice']:.3f}"
    )


def _format_counts(scores: Mapping[str, float]) -> str:
    matched, missed, invented = (scores[name] for name in ("matched", "missed", "invented"))
    return f"{matched:.0f} matched, {missed:.0f} missed, {invented:.0f} false positive"


def _write(
    path: Path,
    overall: Mapping[str, float],
    together: Mapping[str, float],
    judged: Mapping[str, Judged],
) -> None:
    content = {
        "mean": _json_scores(overall),
        "pooled": _json_scores(together),
        "images": {stem: _json_scores(result.scores) for stem, result in judged.items()},
    }
    with writing(path) as draft:
        draft.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    say(f"{path}: written")


def _json_scores(scores: Mapping[str, float]) -> dict[str, Any]:
    """Convert scores to JSON values: non-finite ones become null."""
    return {name: value if math.isfinite(value) else None for name, value in scores.items()}


__all__ = ["evaluate_objects"]
