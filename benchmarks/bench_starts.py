"""Compare starts of a UNet after a short training: nothing, and the suggested shipped model.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/bench_starts.py DATA [SET ...] [--images 1 4]
        [--painted strokes mask] [--rates 0.003] [--seconds 60] [--seeds 1] [--side 320]

DATA and the sets are those of `bench_pretrained_features.py`. The first images of a set that no
shipped model was trained on are annotated: `strokes` are 200 pixels of each class on each, as in
`bench_scribbles.py`, `mask` is the truth. The defaults are used, with the learning rate that is
given. The result is the mean Dice of the foreground on the other images, at most four, also of the
logistic model that is fitted to the same annotation. SECONDS are on the clock, and the table has
the processor's: on a busy machine they are fewer, and say what the result is worth.
"""

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_pretrained_features import SETS, Pair, images_of
from bench_scribbles import painted

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.network_specs import ModelSpec, UNetSpec
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.scoring.pixel_scores import dice
from napari_unetseg.core.training.train import train

TESTED = 4


def score(model: TrainedModel, tested: list[Pair]) -> float:
    """Return the mean Dice of the last class."""
    last = model.values[-1]
    found = [(predict(model, image).asarray() == last, truth) for image, truth in tested]
    return float(np.mean([dice(mask, truth) for mask, truth in found]))


def trained(
    spec: ModelSpec, lessons: list[Pair], by: str, options: TrainOptions, **how: Any
) -> Any:
    """Train on strokes or masks; return the outcome and the processor seconds."""
    rng = np.random.default_rng(options.seed)
    pairs = []
    for image, truth in lessons:
        labels = truth.astype(np.uint8)
        pairs.append(TrainingPair(image, painted(labels, 2, rng) if by == "strokes" else labels))
    kind: Any = "scribbles" if by == "strokes" else "mask"
    began = time.process_time()
    outcome = train(spec, pairs, options, name="measured", labels_are=kind, **how)
    return outcome, time.process_time() - began


def main() -> None:
    asking = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asking.add_argument("data", type=Path)
    asking.add_argument("sets", nargs="*", default=[], metavar="SET")
    asking.add_argument("--images", nargs="*", type=int, default=[1, 4])
    asking.add_argument("--painted", nargs="*", default=["strokes"], choices=["strokes", "mask"])
    asking.add_argument("--rates", nargs="*", type=float, default=[0.003])
    asking.add_argument("--seconds", type=float, default=60)
    asking.add_argument("--seeds", type=int, default=1)
    asking.add_argument("--side", type=int, default=320)
    asked = asking.parse_args()
    print("| set | painted | images | seed | start | rate | processor s | Dice |")
    print("|---|---|--:|--:|---|--:|--:|--:|")
    for name in asked.sets or SETS:
        pairs = images_of(asked.data, name, TESTED + max(asked.images), asked.side)
        tested = pairs[max(asked.images) :]
        for by, n, seed in itertools.product(asked.painted, asked.images, range(asked.seeds)):
            lessons, case = pairs[:n], f"| {name} | {by} | {n} | {seed} "

            def row(start: str, rate: Any, seconds: float, model: TrainedModel) -> None:
                told = f"| {start} | {rate} | {seconds:.0f} | {score(model, tested):.3f} |"  # noqa: B023
                print(case + told, flush=True)  # noqa: B023

            found, seconds = trained(LogisticSpec(), lessons, by, TrainOptions(seed=seed))
            row("logistic", "", seconds, found.model)
            ways = itertools.product((None, "suggested"), asked.rates)
            for start, rate in ways:
                options = TrainOptions(budget=asked.seconds / 60, learning_rate=rate, seed=seed)
                found, seconds = trained(UNetSpec(), lessons, by, options, start=start)
                row(start or "nothing", rate, seconds, found.model)
                print(f"    {found.message}", flush=True)


if __name__ == "__main__":
    main()
