"""Compare networks trained on objects with Otsu and watershed, on real images.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/objects_on_real_images.py DATA [--sets nuclei ...]
        [--seconds 1200] [--decodings distance boundary both none] [--model unet] [--seeds 0 1 2]
        [--set OPTION=VALUE ...] [--depths 0.05 0.1 0.2] [--mirrored] [--without-threshold]
        [--out FILE.json] [--keep FOLDER]

DATA is a folder with the sets of `object_sets.py`, which defines the scores. Every training gets
the processor seconds of its set, over all threads, so that other work on the machine has little
effect: 1200 are ten minutes of two cores. A network is decoded with the options that its training
found, and with every requested split depth; the decoding "none" trains on foreground alone and is
split by shape, and "both" has a map of distances and one of boundaries, which lower the distances.
Over several seeds the table has the mean. `stardist_on_real_images.py` does the same for StarDist.

The threshold works on the background-corrected image. Whether objects are bright or dark, the
smoothing and the split depth are tuned on the training images.
"""

import argparse
import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
from object_sets import (
    OF_OBJECTS,
    Array,
    ObjectSet,
    Pairs,
    as_image,
    keep,
    known,
    parser,
    scores,
    table,
)

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.background import BackgroundOptions, fit_background
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import decode_maps, predict_maps
from napari_unetseg.core.model.registry import spec_of
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.native.package import save
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.objects.decoders import DECODERS, Boundary, Distance
from napari_unetseg.core.threshold import ThresholdOptions, threshold
from napari_unetseg.core.training.train import train

TUNED_ON = 12
"""Training images that the threshold is tuned on."""


class DistanceAndBoundary:
    """Decode objects by their distances, lowered where a boundary is predicted."""

    names = ("distance", "boundary")
    core = 0.0
    _both = Distance(), Boundary()

    def targets(self, ids: Array, *, spacing: Sequence[float] = (), pixel: float = 1.0) -> Array:
        """Compute both maps."""
        return np.concatenate(
            [one.targets(ids, spacing=spacing, pixel=pixel) for one in self._both]
        )

    def heights(self, foreground: Array, maps: Array) -> Array:
        """Return the distance times the probability of no boundary."""
        heights: Array = maps[0] * (1 - maps[1])
        return heights


def flattened(images: list[Array], ndim: int) -> list[Image]:
    """Subtract the background of images."""
    options = BackgroundOptions(per="volume" if ndim == 3 else "plane")
    grey = [as_image(image, ndim).grey() for image in images]
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


def trained(chosen: ObjectSet, decoding: str, seed: int, asked: argparse.Namespace) -> TrainedModel:
    """Train a network for the processor seconds of its set."""
    settings = dict(word.split("=", 1) for word in asked.set)
    options = {name: settings.pop(name) for name in list(settings) if name in _OPTIONS}
    how = TrainOptions(
        budget=(asked.seconds or chosen.seconds) / 60,
        seed=seed,
        objects="distance" if decoding == "both" else decoding,
        **options,
    )
    lessons = [TrainingPair(as_image(image, chosen.ndim), ids) for image, ids in chosen.learnt]
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


def predicted(model: TrainedModel, pairs: Pairs, *, mirrored: bool) -> list[Image]:
    """Predict the maps for objects of every image."""
    options = PredictOptions(flips=mirrored)
    return [predict_maps(model, as_image(image, model.ndim), options) for image, _ in pairs]


def over_seeds(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Average the scores of trainings that differ in their seeds alone, and print their ranges."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for name, result in found.items():
        groups.setdefault(name.partition(", seed ")[0], []).append(result)
    means: dict[str, dict[str, Any]] = {}
    for name, group in groups.items():
        numbers = [key for key, value in group[0].items() if isinstance(value, (int, float))]
        means[name] = {key: float(np.mean([one[key] for one in group])) for key in numbers}
        if len(group) > 1:
            lowest, *_, highest = sorted(one["ap50"] for one in group)
            print(f"{name}: AP50 {lowest:.3f} to {highest:.3f} in {len(group)} trainings")
    return means


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
    asking.add_argument("--seeds", nargs="*", type=int, help="several, instead of --seed")
    asking.add_argument("--mirrored", action="store_true", help="also average mirror images")
    asking.add_argument("--without-threshold", action="store_true")
    asking.add_argument("--depths", nargs="*", type=float, default=[])
    asking.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE")
    asking.add_argument("--name", default="", help="what to call these settings in the table")
    asking.add_argument("--save", type=str, help="where to save the last model")
    asked = asking.parse_args()
    seeds = asked.seeds or [asked.seed]
    found: dict[str, dict[str, Any]] = {}

    def add(name: str, result: dict[str, Any], objects: list[Array]) -> None:
        found[name] = result
        keep(asked, name, result, objects)

    for which in asked.sets:
        chosen = OF_OBJECTS[which](asked.data)
        min_size = chosen.smallest
        print(
            f"{which}: {len(chosen.learnt)} images to learn from, {len(chosen.tested)} to test on"
        )
        otsus = f"{which} | Otsu, split by shape"
        if not asked.without_threshold and otsus not in known(asked.out):
            add(otsus, *otsu(chosen, min_size))
        for decoding, seed in itertools.product(asked.decodings, seeds):
            both = {"distance": DistanceAndBoundary()} if decoding == "both" else {}
            with mock.patch.dict(DECODERS, both):
                model = trained(chosen, decoding, seed, asked)
                for mirrored in (False, True) if asked.mirrored else (False,):
                    maps = predicted(model, chosen.tested, mirrored=mirrored)
                    for name, objects in decoded(model, maps, min_size, asked.depths):
                        how = (
                            f"{asked.model}, {decoding}{asked.name}{', mirrored' * mirrored}{name}"
                        )
                        if len(seeds) > 1:
                            how += f", seed {seed}"
                        result = scores(objects, chosen.tested) | summarise_training(model)
                        add(f"{which} | {how}", result, objects)
            if asked.save:
                save(model, asked.save)
    print(table(over_seeds(found)))


if __name__ == "__main__":
    main()
