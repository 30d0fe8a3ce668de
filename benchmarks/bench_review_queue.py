"""Compare the gain per correction of a review queue with that of a random order, by an oracle.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/bench_review_queue.py TRAIN TEST [--seconds 180]
        [--seed 0] [--model FILE.zip] [--by all views entropy margin shape] [--diversity 0 0.3]
        [--lots 20] [--steps 0 10 20 40 80 160] [--plot FILE.png] [--out FILE.json]

TRAIN and TEST are folders with `images` and `masks` (ids of objects) of the same names; images
with a name in both may be crops of each other and are not used for training. The test images have
one size and form one stack of planes. A UNet is trained on objects for --seconds of processor
time, unless a saved model is given, and predicts the stack. Reviewing an item counts as one
correction, whether it was right or not. The oracle replaces an object by the true objects, and
draws missed ones. Dice and AP count all planes together. The random orders have the same items:
mean, minimum and maximum are given.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from objects_on_real_images import processor_time
from skimage.io import imread

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.registry import spec_of
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.native import load
from napari_unetseg.core.review_queue import Item, QueueOptions, Sources, make_queue
from napari_unetseg.core.scoring.object_scores import object_scores
from napari_unetseg.core.scoring.overlap import Overlap, overlap_of
from napari_unetseg.core.scoring.pixel_scores import dice
from napari_unetseg.core.training.train import train

MIN_SIZE = 30
STEPS = [0, 10, 20, 30, 40, 60, 80, 120, 160]


def folder(place: Path, *, but: Path | None = None) -> list[tuple[Image, np.ndarray]]:
    """Return the images of a folder with the ids of the same names, except those in `but`."""
    seen = set() if but is None else {path.stem for path in (but / "images").iterdir()}
    masks = {path.stem: path for path in (place / "masks").iterdir() if path.stem not in seen}
    return [
        (Image.of(imread(path)).grey(), imread(masks[path.stem]))
        for path in sorted((place / "images").iterdir())
        if path.stem in masks
    ]


def trained(place: Path, test: Path, seconds: float, seed: int) -> TrainedModel:
    """Train a UNet on objects for a number of processor seconds."""
    lessons = [TrainingPair(image, ids) for image, ids in folder(place, but=test)]
    options = TrainOptions(budget=seconds / 60, seed=seed)
    with processor_time():
        return train(spec_of("unet"), lessons, options, name="cells", labels_are="objects").model


class Oracle:
    """Correct items of a queue with the ground truth."""

    def __init__(self, labels: np.ndarray, truth: np.ndarray) -> None:
        self.labels, self.truth = labels.copy(), truth
        self._next = int(labels.max()) + 1
        self._drawn: set[tuple[int, int]] = set()

    def mend(self, item: Item) -> None:
        """Replace an item by the ground truth."""
        plane, box = item.low[0], item.box[1:]
        labels, truth = self.labels[plane], self.truth[plane]
        if item.kind == "object":
            mask = labels == item.number
            labels[mask] = 0
            meant = self._meant(truth, mask)
        else:
            meant = self._missed(plane, box)
        for number in meant:
            if (plane, number) not in self._drawn:
                labels[truth == number] = self._next
                self._next += 1
                self._drawn.add((plane, number))

    def scores(self) -> dict[str, float]:
        """Compute Dice and AP of all planes together."""
        pairs = list(zip(self.labels, self.truth, strict=True))
        found = object_scores(Overlap.joined([overlap_of(a, b) for a, b in pairs]))
        return {"dice": dice(self.labels > 0, self.truth > 0), "ap50": found.ap50, "map": found.map}

    def _meant(self, truth: np.ndarray, mask: np.ndarray) -> list[int]:
        """Return the true objects mostly inside an object, or else the one it overlaps most."""
        numbers, shared = np.unique(truth[mask], return_counts=True)
        sizes = np.bincount(truth.ravel())
        pairs = [(n, s) for n, s in zip(numbers.tolist(), shared.tolist(), strict=True) if n]
        inside = [n for n, s in pairs if s > 0.5 * sizes[n]]
        most = [n for n, s in pairs if s > 0.5 * mask.sum()]
        return list(dict.fromkeys(inside + most))

    def _missed(self, plane: int, box: tuple[slice, ...]) -> list[int]:
        """Return the missed true objects in a box."""
        labels, truth = self.labels[plane], self.truth[plane]
        found = []
        for number in np.unique(truth[box]):
            mask = truth == number
            here = np.count_nonzero(mask[box]) > 0.5 * np.count_nonzero(mask)
            if number and here and np.count_nonzero(labels[mask]) < 0.5 * np.count_nonzero(mask):
                found.append(int(number))
        return found


def curve(labels: Any, truth: Any, items: list[Item], steps: list[int]) -> dict[str, list[float]]:
    """Compute the scores after each number of corrections."""
    oracle = Oracle(labels, truth)
    found: dict[str, list[float]] = {"dice": [], "ap50": [], "map": []}
    for done in range(max(steps) + 1):
        if done in steps:
            for name, value in oracle.scores().items():
                found[name].append(value)
        if done < len(items):
            oracle.mend(items[done])
    return found


def plotted(results: dict[str, Any], steps: list[int], path: Path) -> None:
    """Draw AP and Dice against the number of corrections."""
    import pyqtgraph as pg
    from pyqtgraph.exporters import ImageExporter

    pg.setConfigOptions(background="w", foreground="k", antialias=True)
    application = pg.mkQApp()
    page = pg.GraphicsLayoutWidget(size=(1100, 480))
    page.show()
    for score, title in (("ap50", "AP at an IoU of 0.5"), ("dice", "Dice")):
        plot = page.addPlot(title=title, labels={"bottom": "items looked at"})
        plot.addLegend(offset=(-10, -10))
        for lot in results["lots"]:
            plot.plot(steps, lot[score], pen=pg.mkPen("#d0d0d0"))
        mean = np.mean([lot[score] for lot in results["lots"]], axis=0)
        plot.plot(steps, mean, pen=pg.mkPen("#606060", width=3), name="by lot, mean (grey: each)")
        for number, (name, found) in enumerate(results["queues"].items()):
            pen = pg.mkPen(pg.intColor(number, max(len(results["queues"]), 3)), width=3)
            plot.plot(steps, found[score], pen=pen, name=f"queue: {name}")
    application.processEvents()
    ImageExporter(page.scene()).export(str(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--by", nargs="*", default=["all", "views", "entropy", "margin", "shape"])
    parser.add_argument("--diversity", nargs="*", type=float, default=[0.0, 0.3])
    parser.add_argument("--lots", type=int, default=20)
    parser.add_argument(
        "--steps", nargs="*", type=int, default=[0, 10, 20, 30, 40, 60, 80, 120, 160]
    )
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    model = (
        load(asked.model)
        if asked.model
        else trained(asked.train, asked.test, asked.seconds, asked.seed)
    )
    pairs = folder(asked.test)
    image = Image.of(np.stack([one.asarray() for one, _ in pairs]), "ZYX")
    truth = np.stack([ids for _, ids in pairs]).astype(np.int32)
    decoding = model.decoding.model_copy(update={"min_size": MIN_SIZE})
    labels = predict(model, image, PredictOptions(what="objects"), decoding=decoding)
    sources = Sources(image, model, decoding)
    results: dict[str, Any] = {"steps": asked.steps, "queues": {}, "lots": []}
    pool: list[Item] = []
    for by in asked.by:
        for diversity in asked.diversity:
            options = QueueOptions(by=by, diversity=diversity, n=2000, per="plane")
            began = time.process_time()
            items = list(make_queue(labels, sources, options).queue.items)
            pool = max(pool, items, key=len)
            found = curve(labels.asarray(), truth, items, asked.steps)
            results["queues"][f"{by}, diversity {diversity:g}"] = found
            print(f"{by} {diversity:g}: {time.process_time() - began:.0f} s", flush=True)
    for seed in range(asked.lots):
        order = np.random.default_rng(seed).permutation(len(pool))
        lot = [pool[at] for at in order]
        results["lots"].append(curve(labels.asarray(), truth, lot, asked.steps))
    print(f"{sum(item.kind == 'object' for item in pool)} objects, {len(pool)} items")
    print("| order | score | " + " | ".join(map(str, asked.steps)) + " |")
    print("|---|---|" + "--:|" * len(asked.steps))
    for score in ("ap50", "map", "dice"):
        rows = {name: found[score] for name, found in results["queues"].items()}
        lots = np.array([lot[score] for lot in results["lots"]])
        rows |= {"by lot, mean": lots.mean(0), "by lot, best": lots.max(0)}
        for name, values in rows.items():
            print(f"| {name} | {score} | " + " | ".join(f"{v:.3f}" for v in values) + " |")
    if asked.out:
        asked.out.write_text(json.dumps(results, indent=1))
    if asked.plot:
        plotted(results, asked.steps, asked.plot)


if __name__ == "__main__":
    main()
