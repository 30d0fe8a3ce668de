"""What a start from another network is worth: objects after few images and short trainings.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/bench_transfer.py DATA --start MODEL.zip
        [--sets nuclei "phase cells"] [--images 1 2 4 8] [--seconds 15 60] [--seeds 1]
        [--side 256] [--out FILE.json]

From each set of `object_sets.py` so many pieces of images, of `--side` pixels, are learnt for so
many processor seconds, from nothing and from the model; then the test images are predicted. The
same seed takes the same pieces for both. The model must not have seen the sets, or the comparison
means nothing. Dice is that of the foreground, the mean over the images.
"""

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from object_sets import SETS, ObjectSet, Pairs, scores
from objects_on_real_images import processor_time

from napari_unetseg.core.image import Image
from napari_unetseg.core.packages import load
from napari_unetseg.core.trained import TrainedModel, spec_of
from napari_unetseg.core.training.ladder import Lesson, train
from napari_unetseg.core.training.options import TrainOptions


def pieces(chosen: ObjectSet, count: int, side: int, seed: int) -> Pairs:
    """Return pieces of as many training images, each about a place where an object is."""
    rng = np.random.default_rng(seed)
    found = []
    for number in rng.permutation(len(chosen.learnt))[:count]:
        image, ids = chosen.learnt[number]
        at = rng.permutation(np.argwhere(ids > 0))[0]
        corner = [
            int(np.clip(c - side // 2, 0, max(n - side, 0)))
            for c, n in zip(at, ids.shape, strict=True)
        ]
        window = tuple(slice(c, c + side) for c in corner)
        found.append((image[window], ids[window]))
    return found


def trained(
    lessons: Pairs, seconds: float, seed: int, start: TrainedModel | None, like: TrainedModel
) -> TrainedModel:
    """Return a network like another, trained for so many processor seconds."""
    options = TrainOptions(budget=seconds / 60, seed=seed)
    with processor_time():
        return train(
            spec_of("unet", like.spec.model_dump(exclude={"kind"})),
            [Lesson(Image.of(image), ids) for image, ids in lessons],
            options,
            name="objects",
            labels_are="objects",
            start=start,
        ).model


def main() -> None:
    asking = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asking.add_argument("data", type=Path)
    asking.add_argument("--start", type=Path, required=True)
    asking.add_argument("--sets", nargs="*", default=["nuclei", "phase cells"])
    asking.add_argument("--images", nargs="*", type=int, default=[1, 2, 4, 8])
    asking.add_argument("--seconds", nargs="*", type=float, default=[15, 60])
    asking.add_argument("--seeds", type=int, default=1)
    asking.add_argument("--side", type=int, default=256)
    asking.add_argument("--out", type=Path)
    asked = asking.parse_args()
    model = load(asked.start)
    found: dict[str, Any] = {}
    print(
        "| set | images | seconds | start | Dice | AP50 | mean AP |\n|---|--:|--:|---|--:|--:|--:|"
    )
    for which in asked.sets:
        chosen = SETS[which](asked.data)
        images = [Image.of(image) for image, _ in chosen.tested]
        for count, seconds in itertools.product(asked.images, asked.seconds):
            for name, start in (("nothing", None), (model.name, model)):
                rows = []
                for seed in range(asked.seeds):
                    lessons = pieces(chosen, count, asked.side, seed)
                    one = trained(lessons, seconds, seed, start, model)
                    ids = [np.asarray(one.predict(image, "objects").data) for image in images]
                    rows.append(scores(ids, chosen.tested))
                mean = {
                    key: float(np.mean([r[key] for r in rows])) for key in ("dice", "ap50", "map")
                }
                found[f"{which}, {count} images, {seconds:g} s, from {name}"] = mean
                cells = " | ".join(f"{value:.3f}" for value in mean.values())
                print(f"| {which} | {count} | {seconds:g} | {name} | {cells} |", flush=True)
                if asked.out:
                    asked.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
