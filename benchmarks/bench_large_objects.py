"""Compare predicting objects of a large image by blocks from disk and as a whole in memory.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/bench_large_objects.py [--side 8192] [--minutes 1]

A UNet is trained on synthetic nuclei for --minutes. Then two separate processes predict the
objects of one plane of many nuclei: one like `predict`, in bounded memory, which also writes them
to a file; one that holds all maps in memory and decodes them at once. Their objects must be equal
pixel by pixel. Memory is the rise of the process's peak above its peak after reading the image
and running the network on a small part. The tables give the time of each stage.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict, predict_maps
from napari_unetseg.core.io import read_image, read_labels, write_labels
from napari_unetseg.core.model.registry import spec_of
from napari_unetseg.core.models_io.native import load, save
from napari_unetseg.core.objects.decode import decode
from napari_unetseg.core.scoring.object_scores import object_scores
from napari_unetseg.core.scoring.overlap import overlap_of
from napari_unetseg.core.training.train import train

PIECE = 1024
KNOBS = {"touching": 0.6, "density": 1.5, "unevenness": 0.3}
STAGES = {
    "reading intensities": "normalise",
    "predicting": "network",
    "finding objects": "decode",
    "joining objects": "decode: pieces across blocks",
    "numbering objects": "decode: numbers",
    "writing": "write (TIFF, compressed)",
}


class Stages:
    """Add up the time from each progress message to the next; a `Progress`."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = defaultdict(float)
        self.cpu: dict[str, float] = defaultdict(float)
        self._last, self._began = "", (time.perf_counter(), time.process_time())

    def __call__(self, fraction: float, message: str = "", /) -> None:
        now = time.perf_counter(), time.process_time()
        stage = STAGES.get(self._last, "other")
        self.wall[stage] += now[0] - self._began[0]
        self.cpu[stage] += now[1] - self._began[1]
        self._last, self._began = message or self._last, now


def scene(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Make an image from repeated parts, and its ids."""
    image, ids = np.zeros((side, side), np.uint16), np.zeros((side, side), np.int32)
    n = 0
    for number, (row, column) in enumerate(np.ndindex(-(-side // PIECE), -(-side // PIECE))):
        piece = samples.nuclei((PIECE, PIECE), seed=100 + number, **KNOBS)
        box = (
            slice(row * PIECE, (row + 1) * PIECE),
            slice(column * PIECE, (column + 1) * PIECE),
        )
        inside = tuple(slice(0, side - part.start) for part in box)
        image[box] = piece.image[inside]
        ids[box] = np.where(piece.objects > 0, piece.objects + n, 0)[inside]
        n += int(piece.objects.max())
    return image, ids


def trained(minutes: float, place: Path) -> None:
    """Train a UNet on a few nuclei and save it."""
    lessons = []
    for seed in range(4):
        drawn = samples.nuclei((512, 512), seed=seed, **KNOBS)
        lessons.append(TrainingPair(Image.of(drawn.image), drawn.objects))
    options = TrainOptions(budget=minutes)
    outcome = train(spec_of("unet"), lessons, options, name="nuclei", labels_are="objects")
    print(outcome.message, flush=True)
    save(outcome.model, place)


def megabytes() -> float:
    """Return the peak memory of this process, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def warmed(folder: Path) -> tuple:
    """Return the model and the image, after everything is imported and compiled."""
    model, image = load(folder / "model.zip"), read_image(folder / "image.npy")
    little = Image.of(np.ascontiguousarray(image.data[:256, :256]), "YX")
    predict(model, little, PredictOptions(what="objects"))
    return model, image


def bounded(folder: Path) -> tuple[Stages, float]:
    """Predict as the command line does."""
    model, image = warmed(folder)
    before, stages = megabytes(), Stages()
    found = predict(model, image, PredictOptions(what="objects"), progress=stages)
    stages(1.0, "writing")
    write_labels(folder / "blocks.tif", found, progress=lambda fraction, message="": None)
    stages(1.0)
    return stages, megabytes() - before


def at_once(folder: Path) -> tuple[Stages, float]:
    """Hold all maps in memory, and decode them at once."""
    model, image = warmed(folder)
    before, stages = megabytes(), Stages()
    maps = predict_maps(model, image, progress=stages).data
    stages(1.0, "finding objects")
    ids, _ = decode(1 - maps[0], maps[2:], model.decoder, model.decoding)
    stages(1.0)
    np.save(folder / "whole.npy", ids)
    return stages, megabytes() - before


def in_its_own_process(way, folder: Path) -> tuple[Stages, float]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(way, folder).result()


def table(name: str, stages: Stages, peak: float, pixels: int) -> None:
    print(f"\n| {name} | s | processor s | s per megapixel |\n|---|--:|--:|--:|")
    for stage in [*STAGES.values(), "other"]:
        if stages.wall[stage] >= 0.05:
            wall, cpu = stages.wall[stage], stages.cpu[stage]
            print(f"| {stage} | {wall:.1f} | {cpu:.1f} | {wall / pixels * 1e6:.3f} |")
    total = sum(stages.wall.values())
    print(f"| all | {total:.1f} | {sum(stages.cpu.values()):.1f} | {total / pixels * 1e6:.3f} |")
    print(f"| memory at most | +{peak:,.0f} MB | | |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--minutes", type=float, default=1.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trained(asked.minutes, folder / "model.zip")
        image, truth = scene(asked.side)
        np.save(folder / "image.npy", image)
        for title, way in (("by blocks, from disk", bounded), ("at once, in memory", at_once)):
            table(title, *in_its_own_process(way, folder), image.size)
        blocks = read_labels(folder / "blocks.tif").asarray()
        whole = np.load(folder / "whole.npy")
    same = "the same" if np.array_equal(blocks, whole) else "NOT THE SAME"
    scores = object_scores(overlap_of(whole, truth))
    print(f"\nobjects: {blocks.max()} by blocks, {whole.max()} at once, {same} pixel by pixel;")
    print(f"drawn: {truth.max()}; AP50 {scores.ap50:.3f}, mean AP {scores.map:.3f}")


if __name__ == "__main__":
    main()
