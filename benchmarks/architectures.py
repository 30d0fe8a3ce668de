"""Compare the UNet's design choices: foreground Dice on real images for the same CPU seconds.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/architectures.py DATA [--seconds 60] [--out FILE.json]
        [--sets nuclei neurons ...] [--ways NAME ...] [--seeds 0 1 2]

DATA is a folder with the sets named below. Every network gets the same processor time: the time of
a step is measured first, over all threads, and the training then runs for as many steps as fit,
so that other work on the machine has little effect. The table gives the mean Dice on test images,
the steps, and the processor seconds per megapixel of prediction, as mean and range over the
seeds. A star marks the Pareto front: no other network is better in both. FILE.json stores
finished results, and a second run resumes from there.
"""

import argparse
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.io import imread

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.network_specs import CnnSpec, ConvolutionalSpec, UNetSpec
from napari_unetseg.core.scoring.pixel_scores import dice
from napari_unetseg.core.training.train import train

Pairs = list[tuple[Image, np.ndarray]]
TRIED_STEPS = 6

WAYS: dict[str, ConvolutionalSpec] = {
    "default": UNetSpec(resolution="full"),
    "half": UNetSpec(resolution="half"),
    "quarter": UNetSpec(resolution="quarter"),
    "half, plain stem": UNetSpec(resolution="half", stem="plain"),
    "quarter, plain stem": UNetSpec(resolution="quarter", stem="plain"),
    "automatic": UNetSpec(),
    "stem 4": UNetSpec(stem="space-to-depth-4"),
    "stem 4, depth 4": UNetSpec(stem="space-to-depth-4", depth=4),
    "stem 4, width 32": UNetSpec(stem="space-to-depth-4", width=32),
    "plain stem": UNetSpec(stem="plain"),
    "depth 2": UNetSpec(depth=2),
    "depth 4": UNetSpec(depth=4),
    "width 8": UNetSpec(width=8),
    "width 12": UNetSpec(width=12),
    "width 24": UNetSpec(width=24),
    "width 32": UNetSpec(width=32),
    "growth 1.5": UNetSpec(growth=1.5),
    "one convolution": UNetSpec(convolutions=1),
    "mean pooling": UNetSpec(pooling="mean"),
    "strided": UNetSpec(pooling="strided"),
    "linear upsampling": UNetSpec(upsampling="linear"),
    "nearest": UNetSpec(upsampling="nearest"),
    "added shortcuts": UNetSpec(skip="add"),
    "residual": UNetSpec(residual=True),
    "attention": UNetSpec(attention=True),
    "separable": UNetSpec(separable=True),
    "group norm": UNetSpec(normalisation="group"),
    "cnn": CnnSpec(),
}


def folder(place: Path, *, grey: bool = True, but: Path | None = None) -> Pairs:
    """Return the images of a folder with the masks of the same names, except those in `but`."""
    seen = set() if but is None else {path.stem for path in (but / "images").iterdir()}
    masks = {path.stem: path for path in (place / "masks").iterdir() if path.stem not in seen}
    found = []
    for path in sorted((place / "images").iterdir()):
        if path.stem in masks:
            image, mask = Image.of(imread(path)), imread(masks[path.stem])
            mask = mask if mask.ndim == 2 else mask.any(-1)
            found.append((image.grey() if grey else image, (mask > 0).astype(np.uint8)))
    return found


def neurons(data: Path) -> tuple[Pairs, Pairs]:
    """Return colour pictures of neurons."""
    return folder(data / "train/neurons_rgb_cc0", grey=False), folder(
        data / "neurons_rgb_cc0", grey=False
    )


def nuclei(data: Path) -> tuple[Pairs, Pairs]:
    """Return fluorescent nuclei."""
    return folder(data / "train/nuclei_fluo_cc0"), folder(data / "nuclei_fluo_cc0")


def phase_cells(data: Path) -> tuple[Pairs, Pairs]:
    """Return cells in phase contrast, without the frames that the test crops were cut from."""
    crops = data / "phase_cells_mit"
    return folder(data / "train/phase_cells_mit", but=crops), folder(crops)


def membranes(data: Path) -> tuple[Pairs, Pairs]:
    """Return planes of a brain volume: one end for training, the other for testing."""
    raw = imread(data / "em_fibsem_bsd/fibsem_raw.tif")
    truth = (imread(data / "em_fibsem_bsd/fibsem_membrane_derived.tif") > 0).astype(np.uint8)
    planes = [(Image.of(plane), mask) for plane, mask in zip(raw, truth, strict=True)]
    return planes[:30], planes[35:]


SETS: dict[str, Callable[[Path], tuple[Pairs, Pairs]]] = {
    "nuclei": nuclei,
    "neurons": neurons,
    "phase cells": phase_cells,
    "membranes": membranes,
}


def options(steps: int, seed: int, **more: Any) -> TrainOptions:
    """Return the options of a training with a number of steps, validated ten times."""
    return TrainOptions(until="epochs", epochs=10, steps=max(steps // 10, 1), seed=seed, **more)


def cost_of_a_step(spec: ConvolutionalSpec, pairs: Pairs) -> float:
    """Measure the processor seconds of a step, over all threads."""
    told: list[float] = []
    lessons = [TrainingPair(image, mask) for image, mask in pairs[:4]]
    train(
        spec,
        lessons,
        TrainOptions(until="epochs", epochs=1, steps=TRIED_STEPS, validation=0),
        name="trial",
        labels_are="mask",
        watch=lambda record: told.append(time.process_time()),
    )
    return float(np.median(np.diff(told)))


def tried(spec: ConvolutionalSpec, pairs: tuple[Pairs, Pairs], seconds: float, seed: int) -> Any:
    """Train and test once."""
    steps = max(int(seconds / cost_of_a_step(spec, pairs[0])), 10)
    lessons = [TrainingPair(image, mask) for image, mask in pairs[0]]
    model = train(spec, lessons, options(steps, seed), name="way", labels_are="mask").model
    predict(model, pairs[1][0][0])
    began = time.process_time()
    scores = [dice(predict(model, image).asarray(), mask) for image, mask in pairs[1]]
    predicting = time.process_time() - began
    megapixels = sum(mask.size for _, mask in pairs[1]) / 1e6
    return {
        "dice": float(np.mean(scores)),
        "steps": steps,
        "seconds_per_megapixel": predicting / megapixels,
        "parameters": model.n_parameters,
    }


def summarised(results: list[dict[str, Any]]) -> dict[str, float]:
    """Return the mean of each figure over the seeds, the range of Dice, and the least time."""
    means = {key: float(np.mean([one[key] for one in results])) for key in results[0]}
    dices = [one["dice"] for one in results]
    # Other work on the machine only ever adds to the time.
    fastest = min(one["seconds_per_megapixel"] for one in results)
    return means | {"range": max(dices) - min(dices), "seconds_per_megapixel": fastest}


def front(results: dict[str, dict[str, float]]) -> set[str]:
    """Return the ways that no other one is at least as good as, in Dice and in time."""

    def beats(one: dict[str, float], other: dict[str, float]) -> bool:
        faster = one["seconds_per_megapixel"] <= other["seconds_per_megapixel"]
        return one is not other and faster and one["dice"] >= other["dice"]

    every = results.values()
    return {way for way, own in results.items() if not any(beats(one, own) for one in every)}


def rows(found: dict[str, Any], ways: list[str], name: str, seeds: list[int]) -> Iterator[str]:
    """Yield the rows of a set's table as markdown, the fastest first."""
    results = {
        way: summarised(
            [found[f"{way} | {name} | {k}"] for k in seeds if f"{way} | {name} | {k}" in found]
        )
        for way in ways
    }
    best = front(results)
    yield f"| {name} | weights | steps | s/Mpx | Dice | range | front |"
    yield "|---|--:|--:|--:|--:|--:|:-:|"
    for way, one in sorted(results.items(), key=lambda pair: pair[1]["seconds_per_megapixel"]):
        yield (
            f"| {way} | {one['parameters'] / 1000:.0f}k | {one['steps']:.0f} "
            f"| {one['seconds_per_megapixel']:.3f} | {one['dice']:.3f} | {one['range']:.3f} "
            f"| {'*' * (way in best)} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--ways", nargs="*", default=list(WAYS))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    if asked.out and asked.out.exists():
        found = json.loads(asked.out.read_text())
    loaded = {name: SETS[name](asked.data) for name in asked.sets}
    print(f"{os.cpu_count()} cores, {asked.seconds:g} processor seconds each", flush=True)
    torch.set_num_threads(asked.threads)
    for seed, way, name in itertools.product(asked.seeds, asked.ways, asked.sets):
        key = f"{way} | {name} | {seed}"
        if key not in found:
            found[key] = tried(WAYS[way], loaded[name], asked.seconds, seed)
            print(key, found[key], flush=True)
            if asked.out:
                asked.out.write_text(json.dumps(found, indent=1))
    for name in asked.sets:
        print("\n".join(rows(found, asked.ways, name, asked.seeds)))


if __name__ == "__main__":
    main()
