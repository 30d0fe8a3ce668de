"""Train the models that ship with the package, and judge them on images that they never saw.

    OMP_WAIT_POLICY=PASSIVE python tools/train_shipped_models.py DATA [NAME ...] [--out FOLDER]
        [--steps N] [--without KIND ...] [--json FILE]

DATA holds the sets ``nuclei_fluo_cc0``, ``phase_cells_mit`` and ``neurons_rgb_cc0``, each with
images to test on and, under ``train``, images to learn from, in ``images`` and ``masks``. The eight
crops of phase-contrast cells were cut from frames of the training folder: those are left out.

Every model learns so many steps from a seed, so that the same machine gives the same weights; all
else is in `MODELS`. What a model learnt from, how it was judged and by what it came out is written
into its package. ``--without`` leaves kinds out of the general model, to judge it on what it never
saw.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_image, read_labels
from napari_unetseg.core.packages import save
from napari_unetseg.core.samples.kinds import LOOKS, SHAPES, micrograph
from napari_unetseg.core.scoring.objects import object_scores
from napari_unetseg.core.scoring.overlap import Overlap, overlap_of
from napari_unetseg.core.scoring.pixels import dice
from napari_unetseg.core.trained import ModelCard, TrainedModel, spec_of
from napari_unetseg.core.training.annotation import AnnotationKind
from napari_unetseg.core.training.ladder import Lesson, train
from napari_unetseg.core.training.options import TrainOptions

Pair = tuple[Image, NDArray[np.int32]]
Lessons = Callable[[Path, frozenset[str]], Iterator[Pair]]

NUCLEI, CELLS, NEURONS = "nuclei_fluo_cc0", "phase_cells_mit", "neurons_rgb_cc0"
SETS = (NUCLEI, CELLS, NEURONS)
STEPS_AN_EPOCH = 60
SEED = 0
RECORDS = 300
"""Steps of the training that the file tells of, at most."""


def pairs(folder: Path, *, without: frozenset[str] = frozenset()) -> list[Pair]:
    """Return the images of a folder as grey, with the labels of the same names."""
    masks = {path.stem: path for path in (folder / "masks").iterdir()}
    images = {path.stem: path for path in (folder / "images").iterdir()}
    found = []
    for name in sorted(images.keys() & masks.keys() - without):
        image = read_image(images[name])
        image = image.grey() if image.n_channels > 1 else image
        ids = read_labels(masks[name]).asarray().astype(np.int32)
        found.append((Image.of(np.asarray(image.data)), ids))
    return found


def tested(data: Path, name: str) -> list[Pair]:
    """Return the images of a set that nothing is learnt from."""
    return pairs(data / name)


def learnt(data: Path, name: str) -> list[Pair]:
    """Return the images of a set to learn from, without those that test images were cut from."""
    seen = {path.stem for path in (data / name / "images").iterdir()}
    return pairs(data / "train" / name, without=frozenset(seen))


def of_set(name: str) -> Lessons:
    """Return what yields the images of one set."""
    return lambda data, without: iter(learnt(data, name))


def of_all_kinds(data: Path, without: frozenset[str]) -> Iterator[Pair]:
    """Yield drawn micrographs of every kind, but for those of the shapes or looks to leave out.

    No real image is among them, so that every set judges the model on what it never saw.
    """
    kinds = [(s, k) for s in SHAPES for k in LOOKS if not {s, k} & without]
    for seed in range(20 * len(kinds)):
        shape, look = kinds[seed % len(kinds)]
        sample = micrograph((256, 256), seed=seed, shape=shape, look=look)
        yield sample.as_image(), sample.objects


@dataclass(frozen=True)
class Shipped:
    """One model that ships: what it learns from and how.

    Parameters
    ----------
    lessons
        Yields images and labels.
    sources
        What the images are and where their terms of use stand, for the package.
    judged
        Sets that it is tested on: its own first, then one of another kind.
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
        of_set(NUCLEI),
        ("428 images of fluorescent nuclei of many experiments, CC0 (BBBC038)",),
        (NUCLEI, CELLS),
        steps=2000,
        options=_ANY_SIZE,
    ),
    "phase_cells": Shipped(
        "Living cells in phase contrast, touching, as objects.",
        "MIT",
        of_set(CELLS),
        ("21 frames of T98G cells in phase contrast, MIT (Usiigaci)",),
        (CELLS, NUCLEI),
        steps=3000,
        # Better than at the full resolution after the same time: AP50 0.61 instead of 0.55.
        settings=(("resolution", "half"),),
        options=(("scale", 0.2), ("intensity", 0.3)),
    ),
    "neurons": Shipped(
        "Neurons and their processes in bright field and phase contrast, as a mask.",
        "CC0-1.0",
        of_set(NEURONS),
        ("57 images of living rat neurons under an inverted microscope, CC0",),
        (NEURONS, CELLS),
        steps=1500,
        labels_are="mask",
        options=(("scale", 0.3), ("intensity", 0.3)),
    ),
    "general": Shipped(
        "Cells of many kinds, bright or dark, as objects: a start for training, and features for "
        "strokes.",
        "CC0-1.0",
        of_all_kinds,
        ("480 drawn micrographs of 4 shapes in 6 looks, and no real image",),
        SETS,
        steps=2000,
        settings=(("resolution", "full"),),
        options=(("scale", 0.3), ("intensity", 0.3)),
    ),
}


def trained(name: str, data: Path, steps: int | None, without: frozenset[str]) -> TrainedModel:
    """Return a model that was trained, and judged on what it never saw."""
    plan = MODELS[name]
    lessons = [Lesson(image, labels) for image, labels in plan.lessons(data, without)]
    epochs = max(1, round((steps or plan.steps) / STEPS_AN_EPOCH))
    chosen: dict[str, Any] = {"validation": 0.1} | dict(plan.options)
    options = TrainOptions(until="epochs", epochs=epochs, steps=STEPS_AN_EPOCH, seed=SEED, **chosen)
    began = time.process_time()
    outcome = train(
        spec_of("unet", dict(plan.settings)),
        lessons,
        options,
        name=name,
        labels_are=plan.labels_are,
        class_names=("neuron",) if name == "neurons" else (),
    )
    seconds = time.process_time() - began
    print(f"{name}: {outcome.message} {seconds:.0f} s of processor time", flush=True)
    model = outcome.model
    tests = {test: judged(model, tested(data, test)) for test in plan.judged}
    for test, scores in tests.items():
        print(name, "on", test, scores, flush=True)
    told = {"sources": list(plan.sources), "seed": SEED, "tests": tests}
    told |= {"without": sorted(without)} if without else {}
    told |= {"processor_seconds": round(seconds)}
    card = ModelCard(description=plan.description, authors="napari-unetseg", licence=plan.licence)
    kept = model.history[:: -(-len(model.history) // RECORDS)]
    return replace(model, provenance=dict(model.provenance) | told, card=card, history=kept)


def judged(model: TrainedModel, images: list[Pair]) -> dict[str, float]:
    """Return how good a model is, of objects if it knows them and if the truth does."""
    what = "classes" if model.decoder is None else "objects"
    found = [np.asarray(model.predict(image, what).data) for image, _ in images]
    truths = [truth for _, truth in images]
    scores = {"dice": np.mean([dice(f > 0, t > 0) for f, t in zip(found, truths, strict=True)])}
    if what == "objects" and max(int(truth.max()) for truth in truths) > 1:
        joined = Overlap.joined([overlap_of(f, t) for f, t in zip(found, truths, strict=True)])
        of_objects = object_scores(joined)
        scores |= {"ap50": of_objects.ap50, "map": of_objects.map, "f1": of_objects.f1}
    return {key: round(float(value), 4) for key, value in scores.items()}


def main() -> None:
    asking = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asking.add_argument("data", type=Path)
    asking.add_argument("names", nargs="*", default=list(MODELS), metavar="NAME")
    asking.add_argument("--out", type=Path, default=Path("src/napari_unetseg/shipped"))
    asking.add_argument("--steps", type=int, help="instead of the model's own")
    asking.add_argument("--without", nargs="*", default=[], metavar="KIND")
    asking.add_argument("--json", type=Path, help="where the scores are written")
    asked = asking.parse_args()
    kinds = (*SHAPES, *LOOKS)
    if set(asked.without) - set(kinds) or set(asked.names) - set(MODELS):
        asking.error(f"Models are {', '.join(MODELS)}; kinds {', '.join(kinds)}")
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in asked.names:
        model = trained(name, asked.data, asked.steps, frozenset(asked.without))
        path = asked.out / f"{name}.zip"
        save(model, path, small=True)
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB", flush=True)
        if asked.json:
            known = json.loads(asked.json.read_text()) if asked.json.exists() else {}
            known[" without ".join([name, *sorted(asked.without)])] = model.provenance["tests"]
            asked.json.write_text(json.dumps(known, indent=1))


if __name__ == "__main__":
    main()
