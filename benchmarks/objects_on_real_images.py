"""Objects on real images: a network that learnt them, per decoding, beside Otsu and watershed.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/objects_on_real_images.py TRAIN TEST [--minutes 3]
        [--decodings distance boundary none] [--depths 0.05 0.1 0.2] [--model unet]
        [--set OPTION=VALUE ...] [--out FILE.json]

TRAIN and TEST are folders that hold `images` and `masks` (ids of objects) of the same names. Every
network trains for so many minutes and is decoded with each depth of the split control; "none" is
foreground alone, split by shape. The table gives AP at an IoU of 0.5 and its mean from 0.5 to 0.95,
F1, all objects of the test images counted together, and Dice of the foreground.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from skimage.io import imread

from napari_unetseg.core.decode import DecodeOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.ladder import Lesson, train
from napari_unetseg.core.scoring.objects import object_scores
from napari_unetseg.core.scoring.overlap import Overlap, overlap_of
from napari_unetseg.core.scoring.pixels import dice
from napari_unetseg.core.threshold import ThresholdOptions, threshold
from napari_unetseg.core.trained import TrainedModel, spec_of
from napari_unetseg.core.training import TrainOptions

Pairs = list[tuple[Image, np.ndarray]]


def folder(place: Path) -> Pairs:
    """Return the images of a folder with the ids of the same names."""
    masks = {path.stem: path for path in (place / "masks").iterdir()}
    return [
        (Image.of(imread(path)).grey(), imread(masks[path.stem]))
        for path in sorted((place / "images").iterdir())
        if path.stem in masks
    ]


def scores(found: list[np.ndarray], pairs: Pairs) -> dict[str, float]:
    """Return the scores of predicted objects."""
    truths = [truth for _, truth in pairs]
    joined = Overlap.joined([overlap_of(f, t) for f, t in zip(found, truths, strict=True)])
    of_objects = object_scores(joined)
    overlaps = [dice(f > 0, t > 0) for f, t in zip(found, truths, strict=True)]
    return {
        "ap50": of_objects.ap50,
        "map": of_objects.map,
        "f1": of_objects.f1,
        "dice": float(np.mean(overlaps)),
        "missed": of_objects.missed,
        "invented": of_objects.invented,
    }


def otsu(pairs: Pairs, min_size: int) -> dict[str, Any]:
    """Return the scores of a threshold, split at waists."""
    options = ThresholdOptions(split=True, min_size=min_size, sigma=1.0, result="objects")
    return scores([threshold(image, options).labels for image, _ in pairs], pairs)


def trained(pairs: Pairs, decoding: str, asked: argparse.Namespace) -> TrainedModel:
    """Return a network that was trained for the minutes asked for."""
    settings = dict(word.split("=", 1) for word in asked.set)
    known = {
        name: settings.pop(name) for name in list(settings) if name in TrainOptions.model_fields
    }
    options = TrainOptions(budget=asked.minutes, seed=asked.seed, objects=decoding, **known)
    lessons = [Lesson(image, ids) for image, ids in pairs]
    outcome = train(
        spec_of(asked.model, settings), lessons, options, name="objects", labels_are="objects"
    )
    print(f"{decoding}: {outcome.message} {len(outcome.model.history)} steps", flush=True)
    return outcome.model


def decoded(
    model: TrainedModel, pairs: Pairs, asked: argparse.Namespace
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the scores with each depth of the split control."""
    maps = [model.predict_maps(image) for image, _ in pairs]
    usual = model.decoding.model_copy(update={"min_size": asked.min_size})
    found = [np.asarray(model.decode(one, usual).data) for one in maps]
    yield f"as trained: waist {usual.split_depth:g}", scores(found, pairs)
    for depth in asked.depths:
        for seed in asked.seeds:
            options = DecodeOptions(split_depth=depth, seed_height=seed, min_size=asked.min_size)
            began = time.perf_counter()
            found = [np.asarray(model.decode(one, options).data) for one in maps]
            seconds = time.perf_counter() - began
            megapixels = sum(truth.size for _, truth in pairs) / 1e6
            yield (
                f"waist {depth:g}, seed {seed:g}",
                scores(found, pairs) | {"decode_s_per_mpx": seconds / megapixels},
            )


def row(name: str, found: dict[str, Any]) -> str:
    shares = " | ".join(f"{found[key]:.3f}" for key in ("ap50", "map", "f1", "dice"))
    return f"| {name} | {shares} | {found['missed']:g} | {found['invented']:g} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="unet")
    parser.add_argument("--decodings", nargs="*", default=["distance", "boundary", "none"])
    parser.add_argument("--depths", nargs="*", type=float, default=[0.05, 0.1, 0.2, 0.3, 0.5])
    parser.add_argument("--seeds", nargs="*", type=float, default=[0.0])
    parser.add_argument("--min-size", type=int, default=15)
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    learnt, tested = folder(asked.train), folder(asked.test)
    print(f"{len(learnt)} images to learn from, {len(tested)} to test on", flush=True)
    found = {"Otsu, split by shape": otsu(tested, asked.min_size)}
    for decoding in asked.decodings:
        model = trained(learnt, decoding, asked)
        for name, result in decoded(model, tested, asked):
            found[f"{asked.model}, {decoding}, {name}"] = result
    print("| way | AP50 | mean AP | F1 | Dice | missed | invented |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    print("\n".join(row(name, result) for name, result in found.items()))
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
