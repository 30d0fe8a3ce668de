"""Compare our UNets with the textbook's: Dice on test images, and prediction speed.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/bench_same_dice.py DATA [--seconds 600] [--threads 2]
        [--sets neurons nuclei] [--ways textbook default half] [--validation 0] [--out FILE.json]

DATA is a folder with the sets that `architectures.py` names. All networks are trained for the same
processor time, over all threads, without that of evaluation: our UNets by `train` like in the Train
dock, the textbook's by the loop of `textbook.py`, here tuned to learn the most in that time:
channels-last, small patches, and a learning rate that falls to zero. It trains on every image, as
ours does with a validation share of 0, where the dock holds out a fifth. A few test images are
evaluated after each eighth of the time, all of them at the end. Then both predict the same image
in turn, with one thread each: ours like the Predict dock, the textbook's in plain tiles. FILE
stores finished results, and a second run resumes from there.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from architectures import SETS, Pairs, cost_of_a_step
from textbook import RATE, PlainLoop, TextbookUNet, tiled

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_tiles import predict_classes_image
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.nn.inference.runtime import keep_freed_memory
from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation
from napari_unetseg.core.scoring.pixel_scores import dice
from napari_unetseg.core.training.train import train

OURS = {
    "default": UNetSpec(),
    "half": UNetSpec(resolution="half"),
    "width 12": UNetSpec(width=12),
    "growth 1.5": UNetSpec(growth=1.5),
}
LOOKS = 8
LOOKED_AT = {"neurons": 3, "nuclei": 12}
SMALL_PATCH = 128
STEPS_SHARE = 0.9
"""Of the time that is for steps; the rest goes to judging what is held out and to preparing."""

Predict = Callable[[Image], np.ndarray]


def numbers(image: Image) -> np.ndarray:
    """Normalise an image like our training does, (C, Y, X), float32."""
    known = fit_normalisation(image, NormalisationSpec())
    data = np.asarray(image.data)
    return known.apply(np.moveaxis(data, -1, 0) if image.rgb else data[None])


def score(predict: Predict, pairs: Pairs) -> float:
    """Compute the mean Dice of the foreground."""
    return float(np.mean([dice(predict(image), mask) for image, mask in pairs]))


class Looks:
    """Record the Dice after each eighth of the time, and the training's own processor time."""

    def __init__(self, pairs: Pairs, seconds: float) -> None:
        self.pairs, self.total = pairs, seconds
        self.curve: list[tuple[float, float]] = []
        self.began, self.away = time.process_time(), 0.0

    @property
    def seconds(self) -> float:
        """Processor seconds of the training so far."""
        return time.process_time() - self.began - self.away

    def look(self, predict: Predict) -> None:
        """Record the Dice after each eighth of the time."""
        due = self.total * (len(self.curve) + 1) / LOOKS
        if len(self.curve) < LOOKS and self.seconds >= due:
            seconds, before = self.seconds, time.process_time()
            self.curve.append((seconds, score(predict, self.pairs)))
            self.away += time.process_time() - before
            print(f"  {self.curve[-1][0]:.0f} s: {self.curve[-1][1]:.3f}", flush=True)


def learn_textbook(learnt: Pairs, looks: Looks) -> tuple[torch.nn.Module, int]:
    """Train the textbook's UNet; return it and its number of steps."""
    torch.manual_seed(0)
    images = [numbers(image) for image, _ in learnt]
    network = TextbookUNet(len(images[0]), 2)
    masks = [mask for _, mask in learnt]
    loop = PlainLoop(network, images, masks, patch=SMALL_PATCH, fast_layout=True)
    steps = 0
    while (done := looks.seconds / looks.total) < 1:
        loop.step(RATE * (1 + math.cos(math.pi * done)) / 2)
        steps += 1
        looks.look(by_textbook(network))
    return network.eval(), steps


def by_textbook(network: torch.nn.Module) -> Predict:
    """Make a function that predicts whole images, so that tile edges do not lower the Dice."""

    def predict(image: Image) -> np.ndarray:
        network.eval()
        given = numbers(image)
        said = tiled(network, given, tile=max(given.shape) + 16)
        network.train()
        return said.argmax(0)

    return predict


def learn_ours(spec: UNetSpec, learnt: Pairs, looks: Looks, validation: float) -> tuple[Any, int]:
    """Train one of our models; return it and its number of steps."""
    steps = max(int(STEPS_SHARE * looks.total / cost_of_a_step(spec, learnt)), 10)
    looks.began = time.process_time()
    told: list[Any] = []

    def preview(segmenter: Any) -> None:
        looks.look(
            lambda image: predict_classes_image(
                image, segmenter, fit_normalisation(image, NormalisationSpec())
            ).asarray()
        )

    def watch(record: Any) -> None:
        told.append(record)

    options = TrainOptions(
        until="epochs",
        epochs=10,
        steps=max(steps // 10, 1),
        preview_every=0.5,
        validation=validation,
    )
    lessons = [TrainingPair(image, mask) for image, mask in learnt]
    model = train(
        spec, lessons, options, name="way", labels_are="mask", watch=watch, preview=preview
    ).model
    return model, len(told)


def seen_whole(pairs: Pairs) -> Image:
    """Make one image of about a megapixel: the first, or several small ones side by side."""
    first = pairs[0][0]
    across = max(1, round(1024 / first.data.shape[0]))
    if across == 1:
        return first
    alike = [np.asarray(i.data) for i, _ in pairs if i.data.shape == first.data.shape]
    parts = alike[: across**2]
    rows = [np.concatenate(parts[k : k + across], 1) for k in range(0, across**2, across)]
    return Image.of(np.concatenate(rows, 0))


def race(image: Image, model: Any, network: torch.nn.Module, rounds: int = 5) -> dict[str, float]:
    """Measure megapixels per processor second of both in one thread, and their median ratio."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    given, pixels = numbers(image), image.data.shape[0] * image.data.shape[1] / 1e6
    ways = (lambda: predict(model, image).asarray(), lambda: tiled(network, given))
    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for way, seconds in zip(ways, spent, strict=True):
            began = time.process_time()
            way()
            seconds.append(time.process_time() - began)
    torch.set_num_threads(before)
    ours, plain = (np.asarray(seconds[1:]) for seconds in spent)
    return {
        "ours": float(pixels / np.median(ours)),
        "textbook": float(pixels / np.median(plain)),
        "ratio": float(np.median(plain / ours)),
    }


def tried(
    way: str, name: str, pairs: tuple[Pairs, Pairs], seconds: float, validation: float
) -> dict[str, Any]:
    """Train one network and return its Dice, curve and speed."""
    learnt, unseen = pairs
    looks = Looks(unseen[: LOOKED_AT[name]], seconds)
    channels = 3 if learnt[0][0].rgb else 1
    if way == "textbook":
        network, steps = learn_textbook(learnt, looks)
        spent = looks.seconds
        return {
            "dice": score(by_textbook(network), unseen),
            "steps": steps,
            "seconds": spent,
            "curve": looks.curve,
        }
    model, steps = learn_ours(OURS[way], learnt, looks, validation)
    spent = looks.seconds
    return {
        "dice": score(lambda image: predict(model, image).asarray(), unseen),
        "steps": steps,
        "seconds": spent,
        "curve": looks.curve,
        "resolution": model.spec.resolution,
        "speed": race(seen_whole(unseen), model, TextbookUNet(channels, 2).eval()),
    }


def time_to(curve: list[Any], wanted: float) -> str:
    """Return the processor seconds after which a curve reaches a Dice."""
    return next((f"{seconds:.0f}" for seconds, found in curve if found >= wanted), "never")


def rows(found: dict[str, Any]) -> list[str]:
    """Format the table's rows as Markdown."""
    table = [
        "| set | network | steps | processor s | Dice, unseen | s to the textbook's last Dice "
        "| Mpx per processor s | times the textbook |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for key, one in found.items():
        name, way = key.split(" | ")
        plain = found.get(f"{name} | textbook")
        wanted = "" if plain is None else time_to(one["curve"], plain["curve"][-1][1])
        speed = one.get("speed")
        fast = f"{speed['ours']:.2f} | {speed['ratio']:.1f}" if speed else " | 1"
        label = f"{way} ({one['resolution']})" if "resolution" in one else way
        table.append(
            f"| {name} | {label} | {one['steps']} | {one['seconds']:.0f} | {one['dice']:.3f} "
            f"| {wanted} | {fast} |"
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sets", nargs="*", default=list(LOOKED_AT), choices=list(LOOKED_AT))
    parser.add_argument("--ways", nargs="*", default=["textbook", "default", "half"])
    parser.add_argument("--validation", type=float, default=0.2, help="share that ours holds out")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    keep_freed_memory()
    found: dict[str, Any] = {}
    if asked.out and asked.out.exists():
        found = json.loads(asked.out.read_text())
    for name in asked.sets:
        pairs = SETS[name](asked.data)
        for way in asked.ways:
            key = f"{name} | {way}"
            if key in found:
                continue
            print(key, flush=True)
            found[key] = tried(way, name, pairs, asked.seconds, asked.validation)
            print({k: v for k, v in found[key].items() if k != "curve"}, flush=True)
            if asked.out:
                asked.out.write_text(json.dumps(found, indent=1))
    print("\n".join(rows(found)))


if __name__ == "__main__":
    main()
