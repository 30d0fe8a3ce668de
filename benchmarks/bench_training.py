"""Measure the time of a training step: our `train` next to the loop of the tutorials.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/bench_training.py [--steps 12] [--rounds 3]
        [--threads 1] [--out FILE.json]

All train on the same images in patches of 256x256, four per step: our default UNet by `train`, as
in the Train dock with augmentation, averaged weights and validation, in bfloat16 where the
processor has it and in float32; the same network by the plain loop of `textbook.py`, in float32;
and the textbook's UNet by that loop. Each runs in its own process, since
settings of the C library apply to the whole process. The table gives the processor time of a step,
without the first, as the median over the rounds; the ratios compare the methods within a round.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from textbook import PATCH, PlainLoop, TextbookUNet

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import Precision, TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.registry import spec_of
from napari_unetseg.core.nn.networks.build_network import build_network
from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation
from napari_unetseg.core.samples import nuclei
from napari_unetseg.core.training.train import train

IMAGES, SIDE = 4, 512
PLAIN = "our network, plain loop"
WAYS = {
    "textbook's network, plain loop": "textbook",
    PLAIN: "plain",
    "our network, train": "ours",
    "our network, train in float32": "float32",
    "our network at half resolution, train": "half",
}


def samples() -> list[Any]:
    """Make images with their masks."""
    return [nuclei((SIDE, SIDE), seed=seed) for seed in range(IMAGES)]


def by_plain_loop(network: torch.nn.Module, steps: int) -> list[float]:
    """Measure the processor seconds of each step of the tutorials' loop."""
    images = []
    for sample in samples():
        image = Image.of(sample.image)
        images.append(fit_normalisation(image, NormalisationSpec()).apply(sample.image[None]))
    loop = PlainLoop(network, images, [sample.mask.astype(np.uint8) for sample in samples()])
    times = [time.process_time()]
    for _ in range(steps):
        loop.step()
        times.append(time.process_time())
    return list(np.diff(times))


def by_train(options: dict[str, Any], steps: int, precision: Precision) -> list[float]:
    """Measure the processor seconds of each step of our training."""
    told: list[float] = []
    train(
        spec_of("unet", options),
        [
            TrainingPair(Image.of(sample.image), sample.mask.astype(np.uint8))
            for sample in samples()
        ],
        TrainOptions(until="epochs", epochs=1, steps=steps, patch=PATCH, precision=precision),
        name="way",
        labels_are="mask",
        watch=lambda record: told.append(time.process_time()),
    )
    return list(np.diff(told))


def one_way(way: str, steps: int, threads: int) -> dict[str, float]:
    """Measure the seconds of a step and the peak memory of one method in this process."""
    torch.set_num_threads(threads)
    if way == "textbook":
        spent = by_plain_loop(TextbookUNet(), steps)
    elif way == "plain":
        network = build_network(spec_of("unet", {"resolution": "full"}), 1, 2, 2, seed=0)
        spent = by_plain_loop(network, steps)
    else:
        precision: Precision = "float32" if way == "float32" else "auto"
        spent = by_train({"resolution": "half" if way == "half" else "full"}, steps, precision)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": float(np.median(spent[1:])), "peak_mb": peak}


def in_a_process(way: str, asked: argparse.Namespace) -> dict[str, float]:
    """Run the same measurement in its own process."""
    command = [sys.executable, __file__, "--one", way, "--steps", str(asked.steps)]
    command += ["--threads", str(asked.threads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", choices=list(WAYS.values()), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="JSON to write the figures to")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one_way(asked.one, asked.steps, asked.threads)))
        return
    rounds = [
        {name: in_a_process(way, asked) for name, way in WAYS.items()} for _ in range(asked.rounds)
    ]
    results = {}
    print("| way | processor s a step | steps a minute | times the plain loop | peak, MB |")
    print("|---|--:|--:|--:|--:|")
    for name in WAYS:
        seconds = float(np.median([one[name]["seconds"] for one in rounds]))
        ratio = float(np.median([one[PLAIN]["seconds"] / one[name]["seconds"] for one in rounds]))
        peak = max(one[name]["peak_mb"] for one in rounds)
        results[name] = {"step_s": seconds, "ratio": ratio, "peak_mb": peak}
        print(f"| {name} | {seconds:.3f} | {60 / seconds:.0f} | {ratio:.1f} | {peak:.0f} |")
    if asked.out:
        asked.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
