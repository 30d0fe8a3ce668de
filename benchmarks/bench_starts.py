"""Compare starts of a UNet after a short training: nothing, shipped models, a pretrained encoder.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/bench_starts.py DATA [SET ...] [--images 1 4]
        [--painted strokes labels] [--starts nothing suggested pretrained-unet general]
        [--rate 0] [--seconds 30] [--seeds 1] [--side 384] [--tested 6]

DATA and the sets are those of `bench_pretrained_features.py`, with three classes of axons. Some
images of a set, in a random order that depends on the seed, are annotated: `labels` are all objects
or classes, `strokes` are 28 strokes of 40 pixels, shared among the classes. The result is the Dice
of the foreground, or of myelin and axons, and AP50 where objects were learnt, on the next images of
the set. All are cropped to SIDE where most is to be found. Shipped models were trained on images of
DATA/train, so DATA itself has new ones; to choose a setting, give DATA/train and starts that were
not. SECONDS are of the processor. The defaults are used, with the learning rate that is given.
"""

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

import bench_scribbles
import numpy as np
from bench_pretrained_features import AXON, SETS, window_of
from object_sets import scores
from objects_on_real_images import processor_time

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.io import read_image, read_labels
from napari_unetseg.core.model.registry import RUNGS
from napari_unetseg.core.models_io import shipped_models
from napari_unetseg.core.scoring.pixel_scores import dice
from napari_unetseg.core.training.train import Outcome, train

STROKES, LENGTH = 28, 40

NAMED = ("nothing", "suggested", "pretrained-unet")

MASKS = {"neurons": 2, "axons": 3}
"""Sets without ids of objects, and their classes with the background."""

Pair = tuple[Image, np.ndarray]


def opened(image: Path, mask: Path, name: str, side: int, windows: int) -> list[Pair]:
    """Return windows of an image, each where most is left to be found, and their labels."""
    picture, truth = read_image(image), read_labels(mask).asarray().astype(np.int32)
    if SETS[name][1] == "grey" and picture.n_channels > 1:
        picture = picture.grey()
    if name in MASKS:
        truth = np.minimum(truth, MASKS[name] - 1)
    left = truth == AXON if name == "axons" else truth > 0
    found = []
    for _ in range(windows):
        rows, columns = window_of(left, side)
        pixels = np.asarray(picture.data)[rows, columns]
        axes = "YXC" if picture.rgb else "YX"
        found.append((Image.of(pixels, axes, rgb=picture.rgb), truth[rows, columns]))
        left = left.copy()
        left[rows, columns] = False
    return found


def images_of(place: Path, name: str, asked: Any, n: int, seed: int) -> tuple[list[Pair], ...]:
    """Return the images to annotate and to test on; of few axons, several windows of each."""
    masks = {path.stem: path for path in (place / "masks").iterdir()}
    files = {path.stem: path for path in (place / "images").iterdir()}
    stems = sorted(masks.keys() & files.keys())
    stems = [stems[k] for k in np.random.default_rng(seed).permutation(len(stems))]
    n_learnt = min(n, len(stems) - 1)
    learnt, tested = stems[:n_learnt], stems[n_learnt : n_learnt + asked.tested]
    if name == "axons" and len(stems) < n + asked.tested:
        learnt, tested = stems[:2], stems[2:]

    def windows(some: list[str], wanted: int) -> list[Pair]:
        each = -(-wanted // len(some))
        found = [opened(files[s], masks[s], name, asked.side, each) for s in some]
        return [pair for pairs in found for pair in pairs][:wanted]

    return windows(learnt, n), windows(tested, len(tested) * (1 + (name == "axons")))


def trained(name: str, by: str, start: str, lessons: list[Pair], options: TrainOptions) -> Outcome:
    """Train from a start."""
    n_classes, kind = MASKS.get(name, 2), "mask" if name in MASKS else "objects"
    if by == "strokes":
        kind, rng = "scribbles", np.random.default_rng(options.seed)
        bench_scribbles.PAINTED = STROKES * LENGTH // n_classes
        classes = [(image, np.minimum(truth, n_classes - 1)) for image, truth in lessons]
        lessons = [(i, bench_scribbles.painted(t, n_classes, rng)) for i, t in classes]
    begin: Any = {"nothing": None, "suggested": "suggested", "pretrained-unet": None}.get(start)
    begin = begin if start in NAMED else shipped_models.open_shipped(start)
    rung = RUNGS["pretrained-unet" if start == "pretrained-unet" else "unet"]
    spec = rung.spec() if start in NAMED else begin.spec
    pairs, labels_are = [TrainingPair(*lesson) for lesson in lessons], kind
    return train(spec, pairs, options, name=start, labels_are=labels_are, start=begin)  # type: ignore[arg-type]


def judged(name: str, by: str, outcome: Outcome, tested: list[Pair]) -> tuple[float, float]:
    """Return the mean Dice of the classes in the foreground, and AP50 of objects."""
    objects = outcome.model.labels_are == "objects"
    asked = PredictOptions(what="objects" if objects else "classes")
    found = [np.asarray(predict(outcome.model, image, asked).data) for image, _ in tested]
    if objects:
        told = scores(found, [(t, t) for _, t in tested])
        return told["dice"], told["ap50"]
    last, first = MASKS.get(name, 2) - 1, int(by == "strokes")
    of_each = [
        dice(mask == k + first, np.minimum(truth, last) == k)
        for mask, (_, truth) in zip(found, tested, strict=True)
        for k in range(1, last + 1)
    ]
    return float(np.mean(of_each)), float("nan")


def main() -> None:
    asking = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asking.add_argument("data", type=Path)
    asking.add_argument("sets", nargs="*", default=[], metavar="SET")
    asking.add_argument("--images", nargs="*", type=int, default=[1, 4])
    asking.add_argument("--painted", nargs="*", default=["labels"], choices=["strokes", "labels"])
    asking.add_argument("--starts", nargs="*", default=list(NAMED))
    asking.add_argument("--rate", type=float, default=0.0)
    asking.add_argument("--seconds", type=float, default=30)
    asking.add_argument("--seeds", nargs="*", type=int, default=[0])
    asking.add_argument("--side", type=int, default=384)
    asking.add_argument("--tested", type=int, default=6)
    asked = asking.parse_args()
    print("| set | painted | images | seed | start | became | processor s | Dice | AP50 |")
    print("|---|---|--:|--:|---|---|--:|--:|--:|")
    names = asked.sets or [name for name in SETS if name != "membranes"]
    cases = itertools.product(names, asked.painted, asked.images, asked.seeds, asked.starts)
    for name, by, n, seed, start in cases:
        lessons, tested = images_of(asked.data / SETS[name][0], name, asked, n, seed)
        options = TrainOptions(budget=asked.seconds / 60, learning_rate=asked.rate, seed=seed)
        began = time.process_time()
        with processor_time():
            outcome = trained(name, by, start, lessons, options)
        seconds = time.process_time() - began
        overlap, precision = judged(name, by, outcome, tested)
        told = f"{outcome.model.spec.kind} | {seconds:.0f} | {overlap:.3f} | {precision:.3f} |"
        print(f"| {name} | {by} | {n} | {seed} | {start} | {told}", flush=True)


if __name__ == "__main__":
    main()
