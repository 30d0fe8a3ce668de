"""Train the models shipped with the package, and evaluate them on unseen test images.

    OMP_WAIT_POLICY=PASSIVE python tools/train_shipped_models.py DATA [NAME ...] [--out FOLDER]
        [--steps N] [--without KIND ...] [--json FILE]

DATA contains the sets that `object_sets.py` among the benchmarks reads, which defines the training
images, the test images and the scores.

Every model is trained for a fixed number of steps from a seed, so that the same machine gives the
same weights; the other settings are in `MODELS`. Training images, evaluation and scores are
written into its package. ``--without`` leaves sets, or shapes or looks of synthetic micrographs,
out of the general model and evaluates it on them alone; its file is named after them.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from skimage.measure import label

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from object_sets import PLANES, Pairs, drawn, drawn_to_test, foreground, kinds, scores

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.registry import spec_of
from napari_unetseg.core.model.trained_model import ModelCard, TrainedModel
from napari_unetseg.core.models_io.native import save
from napari_unetseg.core.samples.mixed_micrographs import LOOKS, SHAPES
from napari_unetseg.core.training.train import train

Lessons = Callable[[Path, frozenset[str]], Iterator[TrainingPair]]

SETS = {name.replace(" ", "_"): read for name, read in PLANES.items()}
KINDS = (*SETS, *SHAPES, *LOOKS)
"""All that the general model learns from, and can be left out."""

DRAWN, REAL = 0.4, 0.2
"""How often the general model meets a drawn micrograph, and an image of each set."""

STEPS_AN_EPOCH = 60
PATCH = 256
SEED = 0
RECORDS = 300
"""Steps of the training that the file tells of, at most."""


def tested(data: Path, name: str) -> tuple[Pairs, bool]:
    """Return the test images of a set, or of a kind of synthetic micrographs.

    Returns
    -------
    images and ground truth, and whether its ids separate objects
    """
    if name in SETS:
        known = SETS[name](data)
        return known.tested, known.apart
    return drawn_to_test(name), True


def of_set(name: str) -> Lessons:
    """Make the function that yields the images of one set."""
    return lambda data, without: (TrainingPair(Image.of(i), t) for i, t in SETS[name](data).learnt)


def of_all_kinds(data: Path, without: frozenset[str]) -> Iterator[TrainingPair]:
    """Yield synthetic micrographs of every kind and the images of every set, except excluded ones.

    A set with many small objects is drawn no more often than one with a few large ones. Neurons
    have no ids of single cells: every connected component of the mask is an object.
    """
    wanted = kinds(lambda *both: not without.intersection(both))
    yield from as_often(drawn(20 * len(wanted), wanted, 0), DRAWN)
    for name in [name for name in SETS if name not in without]:
        known = SETS[name](data)
        pairs = known.learnt
        if not known.apart:
            pairs = [(image, label(mask > 0).astype(np.int32)) for image, mask in pairs]
        yield from as_often(pairs, REAL)


def as_often(images: Pairs, share: float) -> Iterator[TrainingPair]:
    """Repeat images so that all together are drawn with a given share.

    An image is drawn in proportion to its number of objects plus one: see `prepared`.
    """
    met = sum(np.unique(ids[ids > 0]).size + 1 for _, ids in images)
    for image, ids in images:
        yield TrainingPair(Image.of(image), ids, times=share / met)


@dataclass(frozen=True)
class Shipped:
    """Define a shipped model: its training images and options.

    Parameters
    ----------
    lessons
        Yields images and labels.
    sources
        Description of the images and their licences, for the package.
    judged
        Sets that it is evaluated on: its own first, then one of another kind.
    """

    description: str
    licence: str
    lessons: Lessons
    sources: tuple[str, ...]
    judged: tuple[str, ...]
    steps: int
    labels_are: AnnotationKind = "objects"
    settings: tuple[tuple[str, Any], ...] = ()
    options: tuple[tuple[str, Any], ...] = ()


_ANY_SIZE = (("scale", 0.4), ("blur", 1.0), ("noise", 0.05), ("intensity", 0.3))

MODELS = {
    "nuclei": Shipped(
        "Nuclei in fluorescence, bright on dark, as objects.",
        "CC0-1.0",
        of_set("nuclei"),
        ("428 images of fluorescent nuclei of many experiments, CC0 (BBBC038)",),
        ("nuclei", "phase_cells"),
        steps=2000,
        options=_ANY_SIZE,
    ),
    "phase_cells": Shipped(
        "Living cells in phase contrast, touching, as objects.",
        "MIT",
        of_set("phase_cells"),
        ("21 frames of T98G cells in phase contrast, MIT (Usiigaci)",),
        ("phase_cells", "nuclei"),
        steps=3000,
        # Better than at the full resolution after the same time: AP50 0.61 instead of 0.55.
        settings=(("resolution", "half"),),
        options=(("scale", 0.2), ("intensity", 0.3)),
    ),
    "neurons": Shipped(
        "Neurons and their processes in bright field and phase contrast, as a mask.",
        "CC0-1.0",
        of_set("neurons"),
        ("57 images of living rat neurons under an inverted microscope, CC0",),
        ("neurons", "phase_cells"),
        steps=1500,
        labels_are="mask",
        options=(("scale", 0.3), ("intensity", 0.3)),
    ),
    "general": Shipped(
        "Cells of many kinds, bright or dark, as objects: a start for training, and features for "
        "strokes.",
        "MIT",
        of_all_kinds,
        (
            "480 drawn micrographs of 4 shapes in 6 looks",
            "428 images of fluorescent nuclei of many experiments, CC0 (BBBC038)",
            "21 frames of T98G cells in phase contrast, MIT (Usiigaci)",
            "57 images of living rat neurons under an inverted microscope, CC0",
        ),
        tuple(SETS),
        steps=1200,
        settings=(("resolution", "full"),),
        options=(("scale", 0.3), ("intensity", 0.3)),
    ),
}


def trained(name: str, data: Path, steps: int | None, without: frozenset[str]) -> TrainedModel:
    """Train a model, and evaluate it on unseen test images."""
    plan = MODELS[name]
    lessons = list(plan.lessons(data, without))
    epochs = max(1, round((steps or plan.steps) / STEPS_AN_EPOCH))
    chosen: dict[str, Any] = {"validation": 0.1} | dict(plan.options)
    options = TrainOptions(
        until="epochs", epochs=epochs, steps=STEPS_AN_EPOCH, patch=PATCH, seed=SEED, **chosen
    )
    began = time.process_time()
    outcome = train(
        spec_of("unet", dict(plan.settings)),
        lessons,
        options,
        name=lacking(name, without),
        labels_are=plan.labels_are,
        class_names=("neuron",) if name == "neurons" else (),
    )
    seconds = time.process_time() - began
    print(f"{name}: {outcome.message} {seconds:.0f} s of processor time", flush=True)
    model = outcome.model
    tests: dict[str, dict[str, float]] = {}
    for test in sorted(without) or plan.judged:
        images, apart = tested(data, test)
        tests[test] = judged(model, images, apart=apart)
        print(model.name, "on", test, tests[test], flush=True)
    told = {"sources": list(plan.sources), "seed": SEED, "tests": tests}
    told |= {"without": sorted(without)} if without else {}
    told |= {"processor_seconds": round(seconds)}
    card = ModelCard(description=plan.description, authors="napari-unetseg", licence=plan.licence)
    kept = model.history[:: -(-len(model.history) // RECORDS)]
    return replace(model, provenance=dict(model.provenance) | told, card=card, history=kept)


def lacking(name: str, without: frozenset[str]) -> str:
    """Return the name of a model with the sets that it was trained without."""
    return "-".join([name, *(["without", *sorted(without)] if without else [])])


def judged(model: TrainedModel, images: Pairs, *, apart: bool) -> dict[str, float]:
    """Compute the scores of a model, of objects if the model and the ground truth have them."""
    what = "classes" if model.decoder is None else "objects"
    found = [
        np.asarray(predict(model, Image.of(image), PredictOptions(what=what)).data)
        for image, _ in images
    ]
    apart = apart and what == "objects"
    told = scores(found, images) if apart else {"dice": foreground(found, images)}
    keys = ("dice", "ap50", "map", "f1") if apart else ("dice",)
    return {key: round(told[key], 4) for key in keys}


def main() -> None:
    asking = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asking.add_argument("data", type=Path)
    asking.add_argument("names", nargs="*", default=list(MODELS), metavar="NAME")
    asking.add_argument("--out", type=Path, default=Path("src/napari_unetseg/shipped"))
    asking.add_argument("--steps", type=int, help="instead of the model's own")
    asking.add_argument("--without", nargs="*", default=[], metavar="KIND")
    asking.add_argument("--json", type=Path, help="where the scores are written")
    asked = asking.parse_args()
    if set(asked.without) - set(KINDS) or set(asked.names) - set(MODELS):
        asking.error(f"Models are {', '.join(MODELS)}; kinds {', '.join(KINDS)}")
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in asked.names:
        model = trained(name, asked.data, asked.steps, frozenset(asked.without))
        path = asked.out / f"{model.name}.zip"
        save(model, path, small=True)
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB", flush=True)
        if asked.json:
            known = json.loads(asked.json.read_text()) if asked.json.exists() else {}
            known[model.name] = model.provenance["tests"]
            asked.json.write_text(json.dumps(known, indent=1))


if __name__ == "__main__":
    main()
