"""Measure "Find all like this" against a small UNet trained on the same objects for as long.

From 1, 3 and 10 kept objects of an image, drawn at random from the truth, the others are proposed.
The UNet learns from the same objects and the pixels around them, for the seconds that the proposals
took, and at least five. AP50 counts the objects that were not kept. The sets are those of
`bench_clicks.py`.

    python benchmarks/bench_find_similar.py DATA --quick
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_clicks import SETS
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label
from skimage.segmentation import relabel_sequential

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.prompts.find_similar import LIKELY, find_similar
from napari_unetseg.core.prompts.prompt import ProposedObject
from napari_unetseg.core.scoring.object_scores import object_scores
from napari_unetseg.core.scoring.overlap import Overlap, overlap_of
from napari_unetseg.core.training.train import train

LEVELS = (0.3, LIKELY, 0.7)
"""Likeness from which proposals count."""

Ids = NDArray[np.int32]


def cut(ids: Ids, number: int) -> ProposedObject:
    """Return an object of the truth."""
    box = ndimage.find_objects((ids == number).astype(np.uint8))[0]
    return ProposedObject(ids[box] == number, (box[0].start, box[1].start), 1.0)


def proposed(image: Image, ids: Ids, kept: list[int]) -> tuple[dict[float, Ids], float]:
    """Return the proposals from several likenesses on, and the seconds it took."""
    start = time.perf_counter()
    found = find_similar(image, [cut(ids, number) for number in kept])
    seconds = time.perf_counter() - start
    at: dict[float, Ids] = {}
    for level in LEVELS:
        at[level] = np.zeros(ids.shape, np.int32)
        for number, one in enumerate(found, 1):
            if one.likeness >= level:
                at[level][one.found.slices][one.found.mask] = number
    return at, seconds


def trained(image: Image, ids: Ids, kept: list[int], seconds: float) -> Ids:
    """Return the objects that a UNet finds after it learnt the same objects."""
    own = np.isin(ids, kept)
    known = [cut(ids, number).area for number in kept]
    width = max(3.0, float(np.sqrt(np.median(known) / np.pi)))
    region = ndimage.distance_transform_edt(~own) <= width
    pair = TrainingPair(image, np.where(own, ids, 0), region & (own | (ids == 0)))
    options = TrainOptions(budget=seconds / 60, validation=0.0)
    model = train(UNetSpec(), [pair], options, name="unet", labels_are="objects").model
    return predict(model, image, PredictOptions(what="objects")).asarray()


def judged(found: Ids, ids: Ids, kept: list[int]) -> Overlap:
    """Compare objects with the truth, both without those that were kept."""
    own = np.isin(ids, kept)
    parts, sizes = np.unique(found[own], return_counts=True)
    areas = np.bincount(found.ravel())
    again = [int(n) for n, size in zip(parts, sizes, strict=True) if 2 * size > areas[n]]
    return overlap_of(np.where(np.isin(found, again), 0, found), np.where(own, 0, ids))


def main() -> None:
    """Run the benchmark and print a table."""
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("data", type=Path)
    asked.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    asked.add_argument("--kept", nargs="*", type=int, default=[1, 3, 10])
    asked.add_argument("--images", type=int, default=8)
    asked.add_argument("--seeds", type=int, default=3)
    asked.add_argument("--no-unet", action="store_true")
    asked.add_argument("--quick", action="store_true", help="one image of each set, one seed")
    asked.add_argument("--out", type=Path, help="JSON with the scores")
    given = asked.parse_args()
    if given.quick:
        given.images, given.seeds = 1, 1
    results: dict[str, Any] = {}
    for name in given.sets:
        pairs = SETS[name](given.data)
        pairs = [pair for pair in pairs if len(np.unique(pair[1])) > 14][: given.images]
        for count in given.kept:
            columns = [*(f"like {level}" for level in LEVELS), "unet"]
            overlaps: dict[str, list[Overlap]] = {column: [] for column in columns}
            times = []
            for number, (pixels, truth) in enumerate(pairs):
                ids = relabel_sequential(label(truth))[0].astype(np.int32)
                image = Image.of(pixels, "YXC"[: pixels.ndim])
                for seed in range(given.seeds):
                    chance = np.random.default_rng([seed, number])
                    sizes = np.bincount(ids.ravel())[1:]
                    usual = np.flatnonzero(sizes >= 0.3 * np.median(sizes)) + 1
                    kept = chance.choice(usual, min(count, len(usual) - 1), replace=False).tolist()
                    found, seconds = proposed(image, ids, kept)
                    times.append(seconds)
                    for level, labels in found.items():
                        overlaps[f"like {level}"].append(judged(labels, ids, kept))
                    if not given.no_unet:
                        labels = trained(image, ids, kept, max(seconds, 5))
                        overlaps["unet"].append(judged(labels, ids, kept))
            scores = {
                column: round(object_scores(Overlap.joined(some)).ap50, 3)
                for column, some in overlaps.items()
                if some
            }
            results[f"{name}, {count}"] = scores | {"seconds": round(float(np.mean(times)), 1)}
            print(f"{name}, {count} kept:", results[f"{name}, {count}"], flush=True)
    if given.out:
        given.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
