"""Score the shipped models on test images: as they are, at other sizes, inverted, noisy.

    python benchmarks/bench_shipped.py DATA [--models FOLDER] [--names NAME ...]
        [--sizes FACTOR ...] [--out FILE]

DATA contains the sets that `object_sets.py` reads. Every model is scored on its own kind, and what
it finds is counted on every other kind. Of enlarged images only as many are predicted as make 4
megapixels. Prints Markdown.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from object_sets import KNOWN, Array, Pairs, as_image, foreground, scores

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict, sized
from napari_unetseg.core.inference.zoomed import resampled
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.models_io.native import load

SETS = {name.replace(" ", "_"): read for name, read in KNOWN.items()}

SIZES = (0.25, 0.5, 2.0, 4.0)
MOST_PIXELS = 4_000_000

NOISE = 0.1
"""Standard deviation of the added noise, as a fraction of the range of intensities."""


SCORES = ("ap50", "map", "f1", "dice", "count_error")


def cells(numbers: Iterable[float]) -> str:
    """Format numbers as cells of a row."""
    return " | ".join(f"{number:.3f}" for number in numbers)


def resized(image: Array, labels: Array, by: float) -> tuple[Array, Array]:
    """Return an image and its labels at another size."""
    sides = [round(side * by) for side in labels.shape]
    rows, columns = (((np.arange(n) + 0.5) / by).astype(int) for n in sides)
    near = [np.minimum(at, n - 1) for at, n in zip((rows, columns), labels.shape, strict=True)]
    channels = np.moveaxis(np.atleast_3d(image), -1, 0).astype(np.float32)
    shown = resampled(channels, (by, by), (0, 0), (0, 0), sides)
    return np.moveaxis(shown, 0, -1).reshape(*sides, *image.shape[2:]), labels[np.ix_(*near)]


def inverted(image: Array, labels: Array) -> tuple[Array, Array]:
    """Exchange dark and bright."""
    return image.max() - image, labels


def noisy(image: Array, labels: Array) -> tuple[Array, Array]:
    """Add noise to the intensities."""
    rng = np.random.default_rng(0)
    spread = NOISE * float(np.ptp(np.percentile(image, [1, 99.8])))
    return image + rng.normal(0, spread, image.shape).astype(np.float32), labels


def few(pairs: Pairs, by: float) -> Pairs:
    """Return as many images as make `MOST_PIXELS` at a size."""
    pixels = np.cumsum([labels.size * by**2 for _, labels in pairs])
    return pairs[: max(2, int(np.count_nonzero(pixels <= MOST_PIXELS)))]


def found_in(model: TrainedModel, pairs: Pairs, options: PredictOptions) -> list[Array]:
    """Predict every image, at the size that the options ask for."""
    images = [as_image(image) for image, _ in pairs]
    return [
        predict(sized(model, image, options), image, options).asarray().astype(np.int32)
        for image in images
    ]


def scored(model: TrainedModel, pairs: Pairs, options: PredictOptions) -> dict[str, Any]:
    """Score objects, or the mean Dice of the classes."""
    found = found_in(model, pairs, options)
    if model.decoder is not None:
        told = scores(found, pairs)
        return {key: told[key] for key in SCORES}
    classes = [value for value in model.values if value]
    each = [
        foreground(
            [one == value for one in found], [(image, true == value) for image, true in pairs]
        )
        for value in classes
    ]
    return {"dice": float(np.mean(each))} | dict(zip(model.classes[1:], each, strict=True))


def on_its_kind(
    model: TrainedModel, pairs: Pairs, sizes: Sequence[float] = SIZES
) -> dict[str, dict[str, Any]]:
    """Score a model on images of its own kind and their variants."""
    what = "classes" if model.decoder is None else "objects"
    plain = PredictOptions(what=what)
    result: dict[str, dict[str, Any]] = {}

    def row(name: str, pairs: Pairs, options: PredictOptions) -> None:
        began = time.process_time()
        try:
            result[name] = scored(model, pairs, options)
        except InputError as error:
            print(f"| {name} | {error} |", flush=True)
            return
        spent = time.process_time() - began
        result[name]["seconds_a_megapixel"] = spent / sum(ids.size / 1e6 for _, ids in pairs)
        print(f"| {name} | {cells(result[name].values())} |", flush=True)

    keys = SCORES if model.decoder is not None else ("dice", *model.classes[1:])
    print(f"| images | {' | '.join([*keys, 'seconds a megapixel'])} |")
    print("| --- " + "| --: " * (len(keys) + 1) + "|")
    row("as it is", pairs, plain)
    row("mirrored", pairs, PredictOptions(what=what, flips=True))
    changes: dict[str, Callable[[Array, Array], tuple[Array, Array]]]
    changes = {"inverted": inverted, "noisy": noisy}
    for name, change in changes.items():
        row(name, [change(*pair) for pair in pairs], plain)
    for by in sizes:
        some = [resized(*pair, by) for pair in few(pairs, by)]
        row(f"{by:g} times as large", some, plain)
        if model.diameter:
            found = PredictOptions(what=what, auto_diameter=True)
            row(f"{by:g} times, diameter found", some, found)
    return result


def on_other_kinds(model: TrainedModel, data: Path, own: str) -> dict[str, str]:
    """Count what a model finds on the other kinds of images, in a sentence each."""
    told = {}
    for name, read in SETS.items():
        if name == own:
            continue
        pairs = few(read(data).tested, 1.0)
        what = "classes" if model.decoder is None else "objects"
        try:
            found = found_in(model, pairs, PredictOptions(what=what))
        except InputError as error:
            told[name] = str(error)
            continue
        share = float(np.mean([(one > 0).mean() for one in found]))
        if model.decoder is None or not read(data).apart:
            told[name] = f"{100 * share:.0f} % of the image is foreground"
            continue
        ap50, true = scores(found, pairs)["ap50"], sum(np.unique(t).size - 1 for _, t in pairs)
        number = sum(np.unique(one).size - 1 for one in found)
        told[name] = f"AP50 {ap50:.2f}; {number} objects where there are {true}"
    return told


def main() -> None:
    asking = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asking.add_argument("data", type=Path)
    asking.add_argument("--models", type=Path, default=shipped.FOLDER)
    asking.add_argument("--names", nargs="*", default=[], metavar="NAME")
    asking.add_argument("--sizes", nargs="*", type=float, default=SIZES, help="factors of size")
    asking.add_argument("--out", type=Path, help="JSON that the scores are added to")
    asked = asking.parse_args()
    for name in asked.names or [path.stem for path in sorted(asked.models.glob("*.zip"))]:
        path = asked.models / f"{name}.zip"
        model = load(path)
        print(f"## {name}, {path.stat().st_size / 1e6:.2f} MB", flush=True)
        result: dict[str, Any] = {}
        if name in SETS:
            result = on_its_kind(model, SETS[name](asked.data).tested, asked.sizes)
        others = on_other_kinds(model, asked.data, name)
        for kind, said in others.items():
            print(f"- {kind}: {said}", flush=True)
        if asked.out:
            known = json.loads(asked.out.read_text()) if asked.out.exists() else {}
            known[name] = {"own": result, "others": others}
            asked.out.write_text(json.dumps(known, indent=1))


if __name__ == "__main__":
    main()
