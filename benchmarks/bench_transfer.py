"""Measure the gain of starting from a trained network, for few images, strokes and steps.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/bench_transfer.py DATA --start MODEL.zip
        [--sets nuclei "phase cells" neurons] [--painted labels strokes] [--images 1 2 4 8]
        [--steps 60] [--seeds 1] [--side 256] [--out FILE.json]

For each set of `object_sets.py`, a network is trained on a number of image crops of `--side` pixels
for a number of steps, from random weights and from the model; then the test images are predicted.
Each number of steps is a separate training, with a learning rate that falls to zero at its end.
With the same seed, both use the same crops and strokes. The model must not have been trained on
the sets, or the comparison is void: `tools/train_shipped_models.py --without` excludes them.

`labels` are ids of objects, or a mask of neurons; `strokes` are 200 pixels of each class on every
crop, as in `bench_scribbles.py`. Dice is that of the foreground, the mean over the images. Results
in the file are not measured again.
"""

import argparse
import itertools
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_scribbles import painted
from object_sets import PLANES, Array, ObjectSet, Pairs, foreground, scores

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.registry import spec_of
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.native import load
from napari_unetseg.core.training.train import train

STEPS_AN_EPOCH = 20
"""Steps between two looks at what is held out."""

SCORES = ("dice", "ap50", "map")


def pieces(chosen: ObjectSet, count: int, side: int, seed: int) -> Pairs:
    """Cut crops from a number of training images, each around an object."""
    rng = np.random.default_rng(seed)
    found = []
    for number in rng.permutation(len(chosen.learnt))[:count]:
        image, ids = chosen.learnt[number]
        at = rng.permutation(np.argwhere(ids > 0))[0]
        corner = [
            int(np.clip(c - side // 2, 0, max(n - side, 0)))
            for c, n in zip(at, ids.shape, strict=True)
        ]
        window = tuple(slice(c, c + side) for c in corner)
        found.append((image[window], ids[window]))
    return found


def strokes(truth: Array, seed: int) -> Array:
    """Paint strokes on the background, 1, and on the foreground, 2."""
    return painted((truth > 0).astype(np.uint8), 2, np.random.default_rng(seed))


def learnt(
    kind: AnnotationKind, lessons: Pairs, steps: int, seed: int, *, like: TrainedModel, **how: Any
) -> TrainedModel:
    """Train a network like another for a number of steps."""
    each = math.gcd(steps, STEPS_AN_EPOCH)
    options = TrainOptions(until="epochs", epochs=steps // each, steps=each, seed=seed)
    return train(
        spec_of("unet", like.spec.model_dump(exclude={"kind"})),
        [TrainingPair(Image.of(image), labels) for image, labels in lessons],
        options,
        name="learnt",
        labels_are=kind,
        **how,
    ).model


def judged(model: TrainedModel, kind: AnnotationKind, tested: Pairs) -> dict[str, float]:
    """Compute the scores of a model on images, of objects if it was trained on them."""
    what = "objects" if kind == "objects" else "classes"
    found = [
        np.asarray(predict(model, Image.of(image), PredictOptions(what=what)).data)
        for image, _ in tested
    ]
    if kind == "objects":
        told = scores(found, tested)
        return {key: told[key] for key in SCORES}
    return {"dice": foreground([one > (kind == "scribbles") for one in found], tested)}


def measured(
    chosen: ObjectSet,
    by: str,
    count: int,
    steps: int,
    seed: int,
    *,
    side: int,
    start: TrainedModel | None,
    like: TrainedModel,
) -> dict[str, float]:
    """Train a model; return its scores and processor seconds."""
    lessons: Pairs = pieces(chosen, count, side, seed)
    kind: AnnotationKind = "objects" if chosen.apart else "mask"
    if by == "strokes":
        kind = "scribbles"
        lessons = [(image, strokes(truth, seed)) for image, truth in lessons]
    began = time.process_time()
    model = learnt(kind, lessons, steps, seed, like=like, start=start)
    seconds = time.process_time() - began
    return judged(model, kind, chosen.tested) | {"seconds": round(seconds)}


def row(case: list[str], of: dict[str, float]) -> str:
    """Format the scores of one training as a row of a table."""
    cells = [f"{of[key]:.3f}" if key in of else "" for key in SCORES]
    return "| " + " | ".join([*case, *cells, f"{of['seconds']:.0f}"]) + " |"


def main() -> None:
    asking = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asking.add_argument("data", type=Path)
    asking.add_argument("--start", type=Path, required=True)
    asking.add_argument("--sets", nargs="*", default=list(PLANES), choices=list(PLANES))
    asking.add_argument("--painted", nargs="*", default=["labels"], choices=["labels", "strokes"])
    asking.add_argument("--images", nargs="*", type=int, default=[1, 2, 4, 8])
    asking.add_argument("--steps", nargs="*", type=int, default=[60])
    asking.add_argument("--seeds", type=int, default=1)
    asking.add_argument("--side", type=int, default=256)
    asking.add_argument("--out", type=Path)
    asked = asking.parse_args()
    model = load(asked.start)
    known: dict[str, Any] = {}
    if asked.out and asked.out.exists():
        known = json.loads(asked.out.read_text())
    print("| set | painted | images | steps | seed | start | Dice | AP50 | mean AP | s |")
    print("|---|---|--:|--:|--:|---|--:|--:|--:|--:|")
    for which in asked.sets:
        chosen = PLANES[which](asked.data)
        ways = itertools.product(asked.painted, asked.images, asked.steps, range(asked.seeds))
        for by, count, steps, seed in ways:
            for name, start in (("nothing", None), (model.name, model)):
                case = [which, by, *map(str, (count, steps, seed)), name]
                key = " | ".join(case)
                if key not in known:
                    how = {"side": asked.side, "start": start, "like": model}
                    known[key] = measured(chosen, by, count, steps, seed, **how)
                print(row(case, known[key]), flush=True)
                if asked.out:
                    asked.out.write_text(json.dumps(known, indent=1))


if __name__ == "__main__":
    main()
