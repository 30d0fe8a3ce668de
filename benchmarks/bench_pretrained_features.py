"""Count the strokes that a logistic model needs with the filter bank, pretrained features, or both.

    python benchmarks/bench_pretrained_features.py DATA [SET ...] [--images 4] [--seeds 1]
        [--strokes 28] [--side 384] [--features bank pretrained bank+pretrained] [--control]

DATA contains the folders of `SETS`. An oracle paints as in `bench_unet_features.py`: first a stroke
of each class near a random place, which depends on the seed, then each stroke in the largest wrong
region. The results are the strokes after which the Dice of the whole image first reaches 0.8, 0.9
and 0.95 (median over images and seeds, "-" if fewer than half reach it), the median Dice after 6,
12 and all strokes, and the median (and worst) Dice of the model of 20 strokes on the other images
of the set. ``--control`` adds the same network with random weights.
"""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_unet_features import GOALS, middle, next_stroke, pairs_in, stroke_in
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_image, read_labels
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.nn.training.live_pixels import LivePixels
from napari_unetseg.core.scoring.pixel_scores import dice

SETS = {
    "phase cells": ("phase_cells_mit", "grey"),
    "neurons": ("neurons_rgb_cc0", "grey"),
    "nuclei": ("nuclei_fluo_cc0", "grey"),
    "stained nuclei": ("stained_nuclei_cc0", "colour"),
    "cytology": ("cytology_cc0", "colour"),
    "axons": ("axon_sem_mit", "grey"),
    "membranes": ("em_fibsem_bsd", "grey"),
}
KINDS = ("bank", "pretrained", "bank+pretrained")

AXON = 2
"""Class of axons in their masks; all else is the rest."""

AFTER = 20
"""Strokes of the model that is applied to other images."""

NEAR = 25
"""Pixels from a random place within which the first strokes begin."""

Mask = NDArray[np.bool_]
Pair = tuple[Image, Mask]


def images_of(data: Path, name: str, n: int, side: int) -> list[Pair]:
    """Return some images of a set, each cropped where most is to be found, and their masks."""
    folder, look = SETS[name]
    if name == "membranes":
        block = np.asarray(read_image(data / folder / "fibsem_raw.tif").data)
        truth = read_labels(data / folder / "fibsem_membrane_derived.tif").asarray() > 0
        planes = np.linspace(3, len(block) - 4, n).astype(int)
        return [(Image.of(block[z]), truth[z]) for z in planes]
    pairs = pairs_in(data / folder)
    if len(pairs) < n:
        pairs += pairs_in(data / "train" / folder)
    found = []
    for image, labels in pairs[:: max(len(pairs) // n, 1)][:n]:
        picture, truth = read_image(image), read_labels(labels).asarray()
        mask = truth == AXON if name == "axons" else truth > 0
        if look == "grey" and picture.n_channels > 1:
            picture = picture.grey()
        rows, columns = window_of(mask, side)
        pixels = np.asarray(picture.data)[rows, columns]
        axes = "YXC" if picture.rgb else "YX"
        found.append((Image.of(pixels, axes, rgb=picture.rgb), mask[rows, columns]))
    return found


def window_of(mask: Mask, side: int) -> tuple[slice, slice]:
    """Return the window of a side that covers the most of a mask, and not all."""
    sides = [min(side, n) for n in mask.shape]
    share = uniform_filter(mask.astype(np.float32), sides, mode="constant")
    share = np.where(share > 0.5, 0, share)
    inner = tuple(slice(s // 2, n - (s - 1) // 2) for s, n in zip(sides, mask.shape, strict=True))
    at = np.unravel_index(np.argmax(share[inner]), share[inner].shape)
    rows, columns = (slice(int(a), int(a) + s) for a, s in zip(at, sides, strict=True))
    return rows, columns


@dataclass
class Results:
    """Scores of one kind of features on a set.

    Parameters
    ----------
    same
        Of each painting the Dice after each stroke, from the second on.
    other
        Dice on other images.
    """

    same: list[list[float]] = field(default_factory=list)
    other: list[float] = field(default_factory=list)

    def line(self, name: str) -> str:
        """Return a line of the table."""
        reached = [
            [
                next((k for k, s in enumerate(one, start=2) if s >= goal), np.inf)
                for one in self.same
            ]
            for goal in GOALS
        ]
        goals = " / ".join(middle(numbers) for numbers in reached)
        last = max(map(len, self.same)) + 1
        scores = [
            np.median([one[min(k, len(one) + 1) - 2] for one in self.same]) for k in (6, 12, last)
        ]
        other = f"{np.median(self.other):.2f} ({min(self.other):.2f})" if self.other else ""
        figures = " | ".join(f"{score:.2f}" for score in scores)
        return f"| {name} | {goals} | {figures} | {other} |"


def first_stroke(mask: Mask, rng: np.random.Generator) -> Mask:
    """Draw a stroke near a random place of a mask."""
    places = np.argwhere(mask)
    y, x = places[rng.integers(len(places))]
    near = np.zeros_like(mask)
    near[max(y - NEAR, 0) : y + NEAR + 1, max(x - NEAR, 0) : x + NEAR + 1] = True
    return stroke_in(mask & near, mask)


def learner_of(image: Image, spec: LogisticSpec, *, control: bool) -> LivePixels:
    """Return a learner, on request with random weights in the pretrained network."""
    learner = LivePixels(image, spec)
    if control:
        torch.manual_seed(0)
        source: Any = learner._source  # noqa: SLF001
        for module in source._network.modules():  # noqa: SLF001
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight, mode="fan_out")
                torch.nn.init.zeros_(module.bias)
    return learner


def paint(truth: Mask, learner: LivePixels, n_strokes: int, seed: int) -> tuple[list[float], Any]:
    """Paint an image; return the Dice after each stroke, and the model of some strokes."""
    rng = np.random.default_rng(seed)
    labels, whole = np.zeros(truth.shape, np.uint8), tuple(slice(0, n) for n in truth.shape)
    labels[first_stroke(~truth, rng)], labels[first_stroke(truth, rng)] = 1, 2
    scores: list[float] = []
    kept = None
    for k in range(2, n_strokes + 1):
        _, classes = learner.update({(): labels.copy()}, (), whole)
        found = classes == 2
        scores.append(dice(found, truth))
        kept = learner._segmenter if k <= AFTER else kept  # noqa: SLF001
        if (found == truth).all():
            break
        stroke, value = next_stroke(found, truth)
        labels[stroke] = value
    return scores, kept


def compare(name: str, images: list[Pair], asked: argparse.Namespace) -> None:
    """Paint the images of a set with every kind of features, and print a table."""
    print(f"\n{name}: {len(images)} images, {asked.seeds} seed(s) each, {asked.strokes} strokes")
    print("| features | .8 / .9 / .95 | after 6 | 12 | the last | other images (worst) |")
    print("|---|---|--:|--:|--:|--:|")
    kinds = [(kind, kind, False) for kind in asked.features]
    if asked.control:
        kinds.append(("bank+random", "bank+pretrained", True))
    for title, features, control in kinds:
        results, spec = Results(), LogisticSpec(features=features)
        learners = [learner_of(image, spec, control=control) for image, _ in images]
        for number, (_, truth) in enumerate(images):
            for seed in range(asked.seeds):
                painter = learner_of(images[number][0], spec, control=control)
                scores, kept = paint(truth, painter, asked.strokes, seed)
                results.same.append(scores)
                for other, (_, unseen) in enumerate(images):
                    if other != number:
                        learners[other]._segmenter = kept  # noqa: SLF001
                        box = tuple(slice(0, n) for n in unseen.shape)
                        _, classes = learners[other].classes((), box)
                        results.other.append(dice(classes == 2, unseen))
        print(results.line(title), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("sets", nargs="*", default=[], metavar="SET")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--strokes", type=int, default=28)
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--features", nargs="*", default=KINDS, choices=KINDS)
    parser.add_argument("--control", action="store_true")
    asked = parser.parse_args()
    for name in asked.sets or SETS:
        compare(name, images_of(asked.data, name, asked.images, asked.side), asked)


if __name__ == "__main__":
    main()
