"""Compare networks trained on objects with Otsu and watershed, on real images.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/objects_on_real_images.py DATA [--sets nuclei ...]
        [--seconds 1200] [--decodings distance boundary none] [--model unet]
        [--set OPTION=VALUE ...] [--depths 0.05 0.1 0.2] [--out FILE.json] [--keep FOLDER]

DATA is a folder with the sets of `object_sets.py`, which defines the scores. Every training gets
the processor seconds of its set, over all threads, so that other work on the machine has little
effect: 1200 are ten minutes of two cores. A network is decoded with the options that its training
found, and with every requested split depth; the decoding "none" trains on foreground alone and is
split by shape. `stardist_on_real_images.py` does the same for StarDist.

The threshold works on the background-corrected image. Whether objects are bright or dark, the
smoothing and the split depth are tuned on the training images.
"""

import argparse
import contextlib
import itertools
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
from object_sets import SETS, Array, ObjectSet, Pairs, keep, known, parser, scores, table

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.background import BackgroundOptions, fit_background
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.prediction import decode_maps, predict_maps
from napari_unetseg.core.model.registry import spec_of
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.native.package import save
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.threshold import ThresholdOptions, threshold
from napari_unetseg.core.training.train import train

TUNED_ON = 12
"""Training images that the threshold is tuned on."""


def flattened(images: list[Array], ndim: int) -> list[Image]:
    """Subtract the background of images."""
    options = BackgroundOptions(per="volume" if ndim == 3 else "plane")
    grey = [Image.of(image) for image in images]
    return [fit_background(one, options).flatten(one) for one in grey]


def thresholded(images: list[Image], options: ThresholdOptions) -> list[Array]:
    """Return the objects above a threshold; none in a uniform image."""
    found = []
    for image in images:
        try:
            found.append(np.asarray(threshold(image, options).labels))
        except InputError:
            found.append(np.zeros(image.shape, np.int32))
    return found


def otsu(chosen: ObjectSet, min_size: int) -> tuple[dict[str, Any], list[Array]]:
    """Compute the scores and objects of a threshold that is tuned on training images."""
    step = -(-len(chosen.learnt) // TUNED_ON)
    shown = chosen.learnt[::step]
    flat = flattened([image for image, _ in shown], chosen.ndim)
    ways = [
        ThresholdOptions(
            split=True,
            min_size=min_size,
            sigma=sigma,
            objects=objects,
            split_depth=depth,
            result="objects",
            per="stack" if chosen.ndim == 3 else "plane",
        )
        for objects, sigma, depth in itertools.product(
            ("bright", "dark"), (0.5, 1.0, 2.0, 4.0), (0.1, 0.25)
        )
    ]
    best = max(ways, key=lambda way: scores(thresholded(flat, way), shown)["map"])
    found = thresholded(
        flattened([image for image, _ in chosen.tested], chosen.ndim),
        best,
    )
    settled = {"objects": best.objects, "sigma": best.sigma, "split_depth": best.split_depth}
    return scores(found, chosen.tested) | {"settled": settled}, found


@contextlib.contextmanager
def processor_time() -> Iterator[None]:
    """Make trainings measure processor time, over all threads, instead of wall time."""
    clock = SimpleNamespace(monotonic=time.process_time)
    with mock.patch("napari_unetseg.core.nn.training.schedule.time", clock):
        yield


def trained(chosen: ObjectSet, decoding: str, asked: argparse.Namespace) -> TrainedModel:
    """Train a network for the processor seconds of its set."""
    settings = dict(word.split("=", 1) for word in asked.set)
    options = {name: settings.pop(name) for name in list(settings) if name in _OPTIONS}
    how = TrainOptions(
        budget=(asked.seconds or chosen.seconds) / 60, seed=asked.seed, objects=decoding, **options
    )
    lessons = [TrainingPair(Image.of(image), ids) for image, ids in chosen.learnt]
    with processor_time():
        outcome = train(
            spec_of(asked.model, settings),
            lessons,
            how,
            name="objects",
            labels_are="objects",
            ndim=chosen.ndim,
        )
    print(f"{outcome.message} {len(outcome.model.history)} steps", flush=True)
    return outcome.model


_OPTIONS = TrainOptions.model_fields


def predicted(model: TrainedModel, pairs: Pairs) -> list[Image]:
    """Predict the maps for objects of every image."""
    return [predict_maps(model, Image.of(image)) for image, _ in pairs]


def decoded(
    model: TrainedModel, maps: list[Image], min_size: int, depths: list[float]
) -> Iterator[tuple[str, list[Array]]]:
    """Yield the objects with the options of the training, and with each split depth."""
    ways = {"": model.decoding}
    ways |= {f", waist {depth:g}": DecodeOptions(split_depth=depth) for depth in depths}
    for name, way in ways.items():
        options = way.model_copy(update={"min_size": min_size})
        yield name, [np.asarray(decode_maps(model, one, options).data) for one in maps]


def summarise_training(model: TrainedModel) -> dict[str, Any]:
    """Summarise a training as text."""
    return {
        "trained_s": model.history[-1]["seconds"],
        "steps": len(model.history),
        "settled": model.spec.model_dump(exclude_defaults=True) | model.decoding.model_dump(),
        "held_out": dict(model.scores),
    }


def main() -> None:
    asking = parser(__doc__.splitlines()[0])
    asking.add_argument("--model", default="unet")
    asking.add_argument("--decodings", nargs="*", default=["distance"])
    asking.add_argument("--depths", nargs="*", type=float, default=[])
    asking.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE")
    asking.add_argument("--name", default="", help="what to call these settings in the table")
    asking.add_argument("--save", type=str, help="where to save the last model")
    asked = asking.parse_args()
    found: dict[str, dict[str, Any]] = {}

    def add(name: str, result: dict[str, Any], objects: list[Array]) -> None:
        found[name] = result
        keep(asked, name, result, objects)

    for which in asked.sets:
        chosen = SETS[which](asked.data)
        min_size = chosen.smallest
        print(
            f"{which}: {len(chosen.learnt)} images to learn from, {len(chosen.tested)} to test on"
        )
        if f"{which} | Otsu, split by shape" not in known(asked.out):
            add(f"{which} | Otsu, split by shape", *otsu(chosen, min_size))
        for decoding in asked.decodings:
            model = trained(chosen, decoding, asked)
            maps = predicted(model, chosen.tested)
            for name, objects in decoded(model, maps, min_size, asked.depths):
                title = f"{which} | {asked.model}, {decoding}{asked.name}{name}"
                add(title, scores(objects, chosen.tested) | summarise_training(model), objects)
            if asked.save:
                save(model, asked.save)
    print(table(found))


if __name__ == "__main__":
    main()
