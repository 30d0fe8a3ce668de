"""`evaluate --objects`: how well predicted objects agree with the true ones."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_unetseg.cli.console import bar, note, say
from napari_unetseg.cli.file_pairs import Pair
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_image, writing
from napari_unetseg.core.progress import part
from napari_unetseg.core.scoring.score_summary import (
    Judged,
    ObjectScoreOptions,
    average_scores,
    judge_objects,
    pool_scores,
)


def evaluate_objects(
    pairs: Sequence[Pair], options: ObjectScoreOptions, table: Path | None = None
) -> None:
    """Judge pairs of predicted and true objects, print a line for each, and write a table.

    Raises
    ------
    InputError
        When the two of a pair are not of one image, or hold no ids.
    """
    judged: dict[str, Judged] = {}
    with bar("evaluate") as progress:
        for number, pair in enumerate(pairs):
            share = part(progress, number / len(pairs), (number + 1) / len(pairs))
            said, true = _both(pair)
            judged[pair.stem] = judge_objects(said, true, options, progress=share)
    for stem, one in judged.items():
        say(f"{stem}: {_in_words(one.scores)}")
    overall = average_scores(one.scores for one in judged.values())
    say(f"mean of {len(judged)} image{'s' * (len(judged) != 1)}: {_in_words(overall)}")
    together = pool_scores(list(judged.values()))
    say(
        f"all objects together: F1 {together['f1']:.3f}, AP@0.5 {together['ap50']:.3f}; "
        f"{_counts(together)}"
    )
    if together["matched"] + together["missed"] == len(judged) and len(judged) > 0:
        note(
            "Every image of the truth holds one object: if these are masks and not ids, label them "
            "first, for a mask counts as one object."
        )
    if table is not None:
        _write(table, overall, together, judged)


def _both(pair: Pair) -> tuple[Image, Image]:
    said, true = _ids(pair.first), _ids(pair.second)
    if said.shape != true.shape:
        raise InputError(
            f"{pair.first} has the shape {said.shape} and {pair.second} {true.shape}: they are not "
            "of one image. Give labels of the same size."
        )
    return said, true


def _ids(path: Path) -> Image:
    """Read ids of any type of number: some programs write them as fractions."""
    image = read_image(path)
    if image.rgb:
        raise InputError(f"{path} holds colours, not ids. Give one whole number a pixel.")
    return image


def _in_words(one: Mapping[str, float]) -> str:
    return (
        f"F1 {one['f1']:.3f}, AP@0.5 {one['ap50']:.3f}, mean AP {one['map']:.3f}, "
        f"mean IoU {one['mean_iou']:.3f}, SBD {one['sbd']:.3f}, Dice {one['dice']:.3f}"
    )


def _counts(one: Mapping[str, float]) -> str:
    return (
        f"{one['matched']:.0f} matched, {one['missed']:.0f} missed, {one['invented']:.0f} invented"
    )


def _write(
    path: Path,
    overall: Mapping[str, float],
    together: Mapping[str, float],
    judged: Mapping[str, Judged],
) -> None:
    content = {
        "mean": _plain(overall),
        "pooled": _plain(together),
        "images": {stem: _plain(one.scores) for stem, one in judged.items()},
    }
    with writing(path) as draft:
        draft.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    say(f"{path}: written")


def _plain(scores: Mapping[str, float]) -> dict[str, Any]:
    """Return scores as JSON can hold them: what is not finite as null."""
    return {name: value if math.isfinite(value) else None for name, value in scores.items()}


__all__ = ["evaluate_objects"]
