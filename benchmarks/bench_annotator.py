"""Measure how long an image takes to annotate: by clicks, by hand, or by correcting a prediction.

    python benchmarks/bench_annotator.py DATA [--image 0] [--patience 6] [--out FILE.json]

An annotator is simulated who goes through the objects of an image of cells in phase contrast: 2 s a
click, 25 s an object outlined by hand. An object is done when its intersection over union is .8;
after `--patience` clicks without success it is outlined by hand, and the time of the clicks is
lost. Finished objects are protected. Whoever corrects a prediction first leaves what is good as it
is, clicks into what is not, removes a false object with one click, and clicks on what is missing.
The time of the computer is in the table by itself.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_clicks import clicked
from object_sets import phase_cells
from scipy import ndimage

from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.models_io.shipped_models import open_shipped
from napari_unetseg.core.prompts.find_similar import cut_objects
from napari_unetseg.core.prompts.open_prompts import open_prompts
from napari_unetseg.core.prompts.prompt import Prompt, ProposedObject

Array = np.ndarray
CLICK, BY_HAND, GOOD = 2.0, 25.0, 0.8
MINUTES = (0.5, 1, 2, 4, 8)


class Annotation:
    """The objects that are finished, and the seconds after which each of them was."""

    def __init__(self, image: Image, truth: Array, patience: int) -> None:
        self.truth, self.patience = truth, patience
        self.prompts = open_prompts(image)
        self.taken = np.zeros(truth.shape, bool)
        self.seconds = self.computed = 0.0
        self.done: list[float] = []
        self.clicks = self.outlined = 0

    def by_hand(self, number: int) -> None:
        """Outline an object by hand."""
        self.seconds += BY_HAND
        self.outlined += 1
        self.finish(self.truth == number)

    def by_clicks(self, number: int, before: ProposedObject | None = None) -> None:
        """Click on an object until it is good, or outline it by hand after all."""
        mask = self.truth == number
        begun = (Prompt(), None) if before is None else (Prompt((held_at(before, mask),)), before)
        run = clicked(
            self.prompts, mask, begun=begun, taken=self.taken, enough=GOOD, most=self.patience
        )
        self.clicks += len(run["overlaps"])
        self.seconds += CLICK * len(run["overlaps"])
        self.computed += sum(wall for wall, _ in run["seconds"])
        if run["overlaps"][-1] >= GOOD:
            self.finish(run["found"])
        else:
            self.by_hand(number)

    def remove(self) -> None:
        """Remove a false object with a click."""
        self.clicks += 1
        self.seconds += CLICK

    def finish(self, mask: Array) -> None:
        """Protect a finished object."""
        self.taken |= mask
        self.done.append(self.seconds)

    def row(self) -> dict[str, Any]:
        """Return the figures of a table."""
        after = [sum(at <= 60 * minutes for at in self.done) for minutes in MINUTES]
        return {
            "after": after,
            "seconds": self.seconds,
            "clicks": self.clicks,
            "outlined": self.outlined,
            "computed": round(self.computed, 1),
        }


def held_at(found: ProposedObject, truth: Array) -> tuple[float, float]:
    """Return the deepest pixel that an object shares with the truth."""
    deep = ndimage.distance_transform_edt(found.whole(truth.shape) & truth)
    y, x = np.unravel_index(int(deep.argmax()), deep.shape)
    return float(y), float(x)


def corrected(image: Image, truth: Array, order: list[int], patience: int) -> Annotation:
    """Annotate an image from the prediction of the shipped model."""
    work = Annotation(image, truth, patience)
    began = time.perf_counter()
    model = open_shipped("phase_cells")
    ids = predict(model, image, PredictOptions(what="objects")).asarray()
    work.computed += time.perf_counter() - began
    found = cut_objects(ids, [int(number) for number in np.unique(ids) if number])
    best: dict[int, tuple[float, int]] = {}
    for k, one in enumerate(found):
        inside = truth[one.slices][one.mask]
        numbers, shared = np.unique(inside[inside > 0], return_counts=True)
        # Each object of the prediction is corrected to the one it has most of.
        if len(numbers) and shared.max() > 0.5 * one.area:
            number = int(numbers[shared.argmax()])
            either = one.area + np.count_nonzero(truth == number) - int(shared.max())
            best[number] = max(best.get(number, (0.0, k)), (shared.max() / either, k))
    for number in order:
        if best.get(number, (0.0, 0))[0] >= GOOD:
            work.finish(found[best[number][1]].whole(truth.shape))
    for _ in range(len(found) - len(best)):
        work.remove()
    for number in order:
        overlap, k = best.get(number, (0.0, 0))
        if overlap < GOOD:
            work.by_clicks(number, found[k] if overlap else None)
    return work


def main() -> None:
    """Run the benchmark and print a table."""
    asking = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asking.add_argument("data", type=Path)
    asking.add_argument("--image", type=int, default=0)
    asking.add_argument("--patience", type=int, default=6)
    asking.add_argument("--out", type=Path)
    asked = asking.parse_args()
    pixels, truth = phase_cells(asked.data).tested[asked.image]
    image = Image.of(pixels, "YX")
    numbers, sizes = np.unique(truth[truth > 0], return_counts=True)
    order = np.random.default_rng(0).permutation(numbers[sizes >= 30]).tolist()
    hand, clicks = (Annotation(image, truth, asked.patience) for _ in range(2))
    for number in order:
        hand.by_hand(number)
        clicks.by_clicks(number)
    both = corrected(image, truth, order, asked.patience)
    rows = {"by hand": hand.row(), "clicks": clicks.row(), "prediction, clicks": both.row()}
    print(
        f"| {len(order)} objects | {' | '.join(f'{m:g} min' for m in MINUTES)} | all after, s ",
        end="",
    )
    print("| clicks | by hand | computer, s |")
    print("| --- |" + " --: |" * (len(MINUTES) + 4))
    for name, row in rows.items():
        counts = " | ".join(map(str, row["after"]))
        print(
            f"| {name} | {counts} | {row['seconds']:.0f} | {row['clicks']} | {row['outlined']} "
            f"| {row['computed']:.0f} |"
        )
    if asked.out:
        asked.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
