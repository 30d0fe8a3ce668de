"""Measure fine-tuning on corrections: scores on corrected and new images, and forgetting.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/bench_train_on.py DATA [--seconds 60] [--first 120]
        [--start MODEL.zip] [--corrected 2] [--fixed 0.5] [--out FILE.json] [--ways NAME ...]

DATA is a folder with `phase_cells_mit` and `train/phase_cells_mit`. A model is trained on the
objects of two training frames for FIRST processor seconds. It predicts test crops; an oracle
corrects a share of the objects of some of them, the worst first, and locks the pixels like a hand
does: it erases false cells, and draws cells that were missed or badly outlined. Then the model is
fine-tuned in different ways, each for the same processor seconds. Each is evaluated by AP at an
IoU of 0.5 and Dice on the corrected crops, on the other crops, and on the old training frames;
"forgotten" is the figure that triggers the alarm.
"""

import argparse
import json
import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from skimage.io import imread

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.native import load, save
from napari_unetseg.core.scoring.object_scores import best_of, object_scores
from napari_unetseg.core.scoring.overlap import Overlap, overlap_of
from napari_unetseg.core.scoring.pixel_scores import dice
from napari_unetseg.core.training.corrected_labels import make_corrected_pair
from napari_unetseg.core.training.fine_tune import FineTuneOptions, fine_tune
from napari_unetseg.core.training.train import train

Pairs = list[tuple[Image, np.ndarray]]

WAYS: dict[str, dict[str, Any]] = {
    "default": {},
    "ink 1": {"ink": 1.0},
    "ink 20": {"ink": 20.0},
    "rest 0": {"unreviewed": 0.0},
    "rest 0.1": {"unreviewed": 0.1},
    "rest 0.9": {"unreviewed": 0.9},
    "nothing earlier": {"earlier": 0.0},
    "nothing earlier, rest 0": {"earlier": 0.0, "unreviewed": 0.0},
    "rate 0.003": {"learning_rate": 0.003},
    "from scratch": {"how": "from scratch"},
}
TRIED_STEPS = 6


def folder(place: Path, *, but: Collection[str] = ()) -> Pairs:
    """Return the images of a folder with the ids of the same names, except those in `but`."""
    masks = {path.stem: path for path in (place / "masks").iterdir() if path.stem not in but}
    return [
        (Image.of(imread(path)).grey(), imread(masks[path.stem]).astype(np.int32))
        for path in sorted((place / "images").iterdir())
        if path.stem in masks
    ]


def corrected(found: np.ndarray, truth: np.ndarray, share: float) -> tuple[np.ndarray, PixelSet]:
    """Correct a share of the errors in labels by an oracle; return them and the locked pixels."""
    labels, inked = found.copy(), np.zeros(found.shape, np.bool_)
    overlap = overlap_of(found, truth)
    fits = best_of(overlap.truth, overlap.iou(), overlap.n_true)
    wrong = [
        int(n) for n in overlap.truth_ids[np.argsort(fits)] if fits[overlap.truth_ids == n] < 0.8
    ]
    invented = best_of(overlap.prediction, overlap.iou(), overlap.n_predicted) < 0.1
    for number in overlap.prediction_ids[invented][: round(share * invented.sum())]:
        inked |= labels == number
        labels[labels == number] = 0
    for number in wrong[: round(share * len(wrong))]:
        cell = truth == number
        theirs = [n for n in np.unique(labels[cell]) if n and (labels[cell] == n).mean() > 0.3]
        stale = np.isin(labels, theirs) & ~cell
        labels[stale] = 0
        labels[cell] = labels.max() + 1
        inked |= cell | stale
    ink = PixelSet(labels.shape)
    ink.add(tuple(slice(0, n) for n in labels.shape), inked)
    return labels, ink


def scores(model: TrainedModel, pairs: Pairs) -> dict[str, float]:
    """Compute the object scores of a model on some images."""
    found = [predict(model, image, PredictOptions(what="objects")).asarray() for image, _ in pairs]
    joined = Overlap.joined([overlap_of(f, t) for f, (_, t) in zip(found, pairs, strict=True)])
    overlaps = [dice(f > 0, t > 0) for f, (_, t) in zip(found, pairs, strict=True)]
    return {"ap50": object_scores(joined).ap50, "dice": float(np.mean(overlaps))}


def steps_in(seconds: float, model: str, pairs: Pairs, base: TrainOptions) -> TrainOptions:
    """Return options with the number of steps that fit into processor seconds, over all threads."""
    told: list[float] = []
    trial = base.model_copy(update={"until": "epochs", "epochs": 1, "steps": TRIED_STEPS})
    lessons = [TrainingPair(image, ids) for image, ids in pairs]
    train(
        UNetSpec(),
        lessons,
        trial.model_copy(update={"validation": 0.0}),
        name=model,
        labels_are="objects",
        watch=lambda record: told.append(time.process_time()),
    )
    steps = max(int(seconds / float(np.median(np.diff(told)))), 10)
    return trial.model_copy(update={"epochs": 10, "steps": max(steps // 10, 1)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--first", type=float, default=120)
    parser.add_argument("--corrected", type=int, default=2)
    parser.add_argument("--fixed", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ways", nargs="*", default=list(WAYS))
    parser.add_argument("--start", type=Path, help="a model to begin with; made when missing")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    crops = folder(asked.data / "phase_cells_mit")
    # The crops were cut from frames of the same names, which are not used for training.
    seen = {path.stem for path in (asked.data / "phase_cells_mit/images").iterdir()}
    old = folder(asked.data / "train/phase_cells_mit", but=seen)[:2]
    base = TrainOptions(seed=asked.seed)
    lessons = [TrainingPair(image, ids) for image, ids in old]
    print(f"{os.cpu_count()} cores, {asked.seconds:g} processor seconds each", flush=True)
    first = steps_in(asked.first, "first", old, base)
    if asked.start and asked.start.exists():
        model = load(asked.start)
    else:
        model = train(UNetSpec(), lessons, first, name="first", labels_are="objects").model
        if asked.start:
            save(model, asked.start)
    mended, rest = crops[: asked.corrected], crops[asked.corrected :]
    hands = [
        (
            image,
            *corrected(
                predict(model, image, PredictOptions(what="objects")).asarray(), truth, asked.fixed
            ),
        )
        for image, truth in mended
    ]
    before = {
        "steps": first.epochs * first.steps,
        "ink": sum(len(ink) for *_, ink in hands),
        "pixels": sum(labels.size for _, labels, _ in hands),
        "corrected": scores(model, mended),
        "others": scores(model, rest),
        "old": scores(model, old),
    }
    print("before", before, flush=True)
    found: dict[str, Any] = {"before": before}
    more = steps_in(asked.seconds, "more", mended, base)
    for way in asked.ways:
        options = FineTuneOptions(seed=asked.seed, **WAYS[way])
        teach = [
            make_corrected_pair(
                image,
                labels,
                ink,
                model,
                labels_are="objects",
                ink_weight=options.ink,
                unreviewed=options.unreviewed,
            )
            for image, labels, ink in hands
        ]
        began = time.process_time()
        result = fine_tune(model, teach, options, earlier=lessons, training=more, name=way)
        found[way] = {
            "seconds": time.process_time() - began,
            "corrected": scores(result.model, mended),
            "others": scores(result.model, rest),
            "old": scores(result.model, old),
            "forgotten": result.check.forgotten,
            "of_pixels": vars(result.check.pixels),
            "of_objects": vars(result.check.objects),
        }
        print(way, found[way], flush=True)
        if asked.out:
            asked.out.write_text(json.dumps(found, indent=1))
    print(
        "| way | corrected AP, Dice | other crops | old frames | forgotten |\n|---|--:|--:|--:|--:|"
    )
    for way, one in found.items():
        text = [
            f"{one[k]['ap50']:.3f}, {one[k]['dice']:.3f}" for k in ("corrected", "others", "old")
        ]
        lost = f"{100 * one['forgotten']:.1f} %" if "forgotten" in one else "-"
        print(f"| {way} | {' | '.join(text)} | {lost} |")


if __name__ == "__main__":
    main()
