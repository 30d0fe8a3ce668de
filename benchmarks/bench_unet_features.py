"""Count the strokes that a logistic rung needs with the filter bank, UNet features, or both.

    python benchmarks/bench_unet_features.py pretrain synthetic -o synthetic.zip
    python benchmarks/bench_unet_features.py pretrain FOLDER -o nuclei.zip [--every 4]
    python benchmarks/bench_unet_features.py paint [FOLDER ...] --network nuclei.zip
        [--drawn halos tissue]

A FOLDER contains images in ``images`` and labels of the same names, 0 for background, in
``masks``. Colour images are converted to grey, and large images are cropped to their centre.

``pretrain`` trains a UNet for some minutes, on a folder or on synthetic micrographs. ``paint`` lets
an oracle paint: first a stroke of each class, then each stroke in the largest wrong region, about
40 pixels long and 3 wide and never across the border of its class. The result is the number of
strokes after which the Dice on the whole image first reaches 0.8, 0.9 and 0.95: the median over
the images, "-" if fewer than half of them reach it. The network must not have been trained on the
images. ``--drawn`` also uses synthetic micrographs of a shape or look.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from object_sets import drawn_to_test
from scipy import ndimage
from skimage.graph import MCP_Geometric

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_image, read_labels
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.native import load, save
from napari_unetseg.core.nn.training.live_pixels import LivePixels
from napari_unetseg.core.samples import membranes, neurons, nuclei
from napari_unetseg.core.samples.mixed_micrographs import LOOKS, SHAPES
from napari_unetseg.core.scoring.pixel_scores import dice
from napari_unetseg.core.training.train import train

GOALS = (0.8, 0.9, 0.95)
LENGTH, RADIUS = 40, 1
"""Of a stroke, in pixels: it is 2 * RADIUS + 1 wide."""

ASTRAY = 4.0
"""What a step costs where all is right already, in steps where it is not."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Painted:
    """Hold the results of painting one image.

    Parameters
    ----------
    reached
        Strokes until each goal; infinite if it was not reached.
    scores
        Dice after each stroke from the second on.
    seconds
        Time from each stroke to the new classes of the whole image, with cached features.
    first
        Seconds of the first prediction, with the features.
    """

    reached: tuple[float, ...]
    scores: list[float]
    seconds: list[float]
    first: float


def pairs_in(folder: Path) -> list[tuple[Path, Path]]:
    """Return images and labels of the same names."""
    images = sorted((folder / "images").iterdir())
    return [(image, next((folder / "masks").glob(f"{image.stem}.*"))) for image in images]


def read_pair(image: Path, labels: Path, side: int) -> tuple[Image, Mask]:
    """Read the centre of an image in grey, and the mask of its objects."""
    picture, truth = read_image(image), read_labels(labels).asarray() > 0
    if picture.n_channels > 1:
        picture = picture.grey()
    middle = tuple(
        slice((length - min(length, side)) // 2, (length + min(length, side)) // 2)
        for length in truth.shape
    )
    return Image.of(np.asarray(picture.data)[middle]), truth[middle]


def synthetic_lessons(side: int = 256, each: int = 16) -> list[TrainingPair]:
    """Make three kinds of micrographs with a class for each kind, every other one inverted."""
    lessons = []
    for kind, draw in enumerate((neurons, nuclei, membranes), start=1):
        for seed in range(each):
            sample = draw((side, side), seed=seed)
            light = sample.image.astype(np.float32)
            light = light.max() - light if seed % 2 else light
            lessons.append(TrainingPair(Image.of(light), (kind * sample.mask).astype(np.uint8)))
    return lessons


def pretrain(source: str, out: Path, minutes: float, every: int) -> None:
    """Train a UNet and save it."""
    if source == "synthetic":
        lessons = synthetic_lessons()
    else:
        found = [read_pair(*pair, 10**9) for pair in pairs_in(Path(source))[::every]]
        lessons = [TrainingPair(image, mask.astype(np.uint8)) for image, mask in found]
    options, spec = TrainOptions(budget=minutes), UNetSpec(resolution="full")
    outcome = train(spec, lessons, options, name=out.stem, labels_are="mask")
    save(outcome.model, out)
    print(f"{out}: {len(lessons)} images, {outcome.message}")


def stroke_in(wrong: Mask, same: Mask) -> Mask:
    """Draw a stroke from the innermost point of the largest wrong region, within its class."""
    regions, _ = ndimage.label(wrong)
    largest = regions == 1 + np.argmax(np.bincount(regions.ravel())[1:])
    depth = ndimage.distance_transform_edt(np.pad(largest, 1))[1:-1, 1:-1]
    start = np.unravel_index(np.argmax(depth), depth.shape)
    window = tuple(slice(max(at - LENGTH, 0), at + LENGTH + 1) for at in start)
    inside = tuple(at - span.start for at, span in zip(start, window, strict=True))
    costs = np.where(largest, 1.0, np.where(same, ASTRAY, -1.0))[window]
    walk = MCP_Geometric(costs)
    lengths, _ = walk.find_costs([inside])
    lengths[~np.isfinite(lengths) | (lengths > LENGTH)] = -1
    path = walk.traceback(np.unravel_index(np.argmax(lengths), lengths.shape))
    line = np.zeros(wrong.shape, bool)
    line[window][tuple(np.transpose(path))] = True
    broad = ndimage.binary_dilation(line, np.ones((3, 3)), iterations=RADIUS)
    stroke: Mask = broad & same
    return stroke


def next_stroke(found: Mask, truth: Mask) -> tuple[Mask, int]:
    """Return a stroke and its class in the largest wrong region."""
    sizes = {}
    for value, wrong in ((1, found & ~truth), (2, truth & ~found)):
        regions, _ = ndimage.label(wrong)
        sizes[value] = np.bincount(regions.ravel())[1:].max(initial=0)
    value = max(sizes, key=lambda key: sizes[key])
    same = truth if value == 2 else ~truth
    return stroke_in(same & (found != truth), same), value


def paint(image: Image, truth: Mask, learner: LivePixels, most: int) -> Painted:
    """Paint an image stroke by stroke."""
    labels, whole = np.zeros(truth.shape, np.uint8), tuple(slice(0, n) for n in truth.shape)
    labels[stroke_in(~truth, ~truth)] = 1
    labels[stroke_in(truth, truth)] = 2
    scores: list[float] = []
    seconds: list[float] = []
    reached = [np.inf] * len(GOALS)
    for n_strokes in range(2, most + 1):
        began = time.perf_counter()
        _, classes = learner.update({(): labels.copy()}, (), whole)
        seconds.append(time.perf_counter() - began)
        found = classes == 2
        scores.append(dice(found, truth))
        for number, goal in enumerate(GOALS):
            if scores[-1] >= goal:
                reached[number] = min(reached[number], n_strokes)
        if scores[-1] >= GOALS[-1] or (found == truth).all():
            break
        stroke, value = next_stroke(found, truth)
        labels[stroke] = value
    return Painted(tuple(reached), scores, seconds[1:], seconds[0])


def candidates(networks: list[TrainedModel]) -> list[tuple[str, LogisticSpec, Any]]:
    """Return names, options and networks of the compared feature sets."""
    found: list[tuple[str, LogisticSpec, Any]] = [("bank", LogisticSpec(), None)]
    for network in networks:
        found.append((f"unet {network.name}", LogisticSpec(features="network"), network))
        found.append((f"both {network.name}", LogisticSpec(features="both"), network))
    return found


def middle(numbers: list[float]) -> str:
    """Format the upper median, or a dash if it is infinite."""
    value = sorted(numbers)[len(numbers) // 2]
    return f"{value:.0f}" if np.isfinite(value) else "-"


def some_of(folder: Path, n_images: int, side: int) -> list[tuple[Image, Mask]]:
    """Return some images of a folder."""
    pairs = pairs_in(folder)
    chosen = pairs[:: max(len(pairs) // n_images, 1)][:n_images]
    return [read_pair(*pair, side) for pair in chosen]


def compare(
    what: str, images: list[tuple[Image, Mask]], networks: list[TrainedModel], most: int
) -> None:
    """Paint some images with every candidate, and print a table."""
    print(f"\n{what}: {len(images)} images, up to {most} strokes")
    print(
        "| features | 0.8 / 0.9 / 0.95 | Dice at 6 | at 12 | at the end | ms a stroke | first s |"
    )
    print("|---|---|--:|--:|--:|--:|--:|")
    for name, spec, network in candidates(networks):
        done = []
        for image, truth in images:
            learner = LivePixels(image, spec, features_from=network)
            done.append(paint(image, truth, learner, most))
        goals = " / ".join(middle([one.reached[k] for one in done]) for k in range(len(GOALS)))
        at = [
            np.median([one.scores[min(n - 2, len(one.scores) - 1)] for one in done])
            for n in (6, 12, most)
        ]
        stroke = 1000 * np.median(np.concatenate([one.seconds for one in done]))
        first = np.median([one.first for one in done])
        figures = " | ".join(f"{score:.2f}" for score in at)
        print(f"| {name} | {goals} | {figures} | {stroke:.0f} | {first:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    school = commands.add_parser("pretrain")
    school.add_argument("source")
    school.add_argument("-o", "--out", type=Path, required=True)
    school.add_argument("--minutes", type=float, default=3)
    school.add_argument("--every", type=int, default=1)
    brush = commands.add_parser("paint")
    brush.add_argument("folders", nargs="*", type=Path)
    brush.add_argument("--drawn", nargs="*", default=[], choices=[*SHAPES, *LOOKS])
    brush.add_argument("--network", type=Path, action="append", default=[])
    brush.add_argument("--images", type=int, default=6)
    brush.add_argument("--side", type=int, default=512)
    brush.add_argument("--strokes", type=int, default=28)
    asked = parser.parse_args()
    if asked.command == "pretrain":
        pretrain(asked.source, asked.out, asked.minutes, asked.every)
        return
    networks = [load(path) for path in asked.network]
    for _, spec, network in candidates(networks):  # compiles what is compiled
        sample = neurons((96, 96))
        learner = LivePixels(Image.of(sample.image), spec, features_from=network)
        paint(Image.of(sample.image), sample.mask, learner, 3)
    for folder in asked.folders:
        images = some_of(folder, asked.images, asked.side)
        compare(folder.name, images, networks, asked.strokes)
    for kind in asked.drawn:
        images = [(Image.of(i), ids > 0) for i, ids in drawn_to_test(kind, asked.images)]
        compare(kind, images, networks, asked.strokes)


if __name__ == "__main__":
    main()
