"""Train the models shipped with the package, and evaluate them on unseen test images.

    OMP_WAIT_POLICY=PASSIVE python tools/train_shipped_models.py DATA [NAME ...] [--out FOLDER]
        [--steps N] [--seed N] [--without KIND ...] [--json FILE] [--bfloat16]

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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.measure import label

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from image_views import Views, pieces
from object_sets import (
    KNOWN,
    Pairs,
    as_image,
    drawn,
    drawn_to_test,
    foreground,
    grey,
    kinds,
    scores,
)

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.annotation.train_options import Precision, TrainOptions
from napari_unetseg.core.annotation.training_set import Reading, TrainingSet
from napari_unetseg.core.annotation.training_step import Callbacks, TrainingStep
from napari_unetseg.core.inference.plausibility import fullest_window
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.registry import spec_of
from napari_unetseg.core.model.trained_model import ModelCard, TrainedModel
from napari_unetseg.core.models_io.native import load, save
from napari_unetseg.core.models_io.shipped_models import LINES, open_shipped
from napari_unetseg.core.nn.restore import network_of
from napari_unetseg.core.nn.training.transfer import restate_averages
from napari_unetseg.core.normalisation import fit_normalisation
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.samples.mixed_micrographs import LOOKS, SHAPES
from napari_unetseg.core.training.calibrate_model import calibrate_model
from napari_unetseg.core.training.train import Origin, train_on_set

Sources = Callable[[Path, frozenset[str]], Iterator[tuple[Pairs, float]]]
"""Yields images of one kind, and how often all of them together are drawn; 0: by their objects."""

SETS = {name.replace(" ", "_"): read for name, read in KNOWN.items()}
KINDS = (*SETS, *SHAPES, *LOOKS)
"""All that the general model learns from, and can be left out."""

DRAWN, REAL = 0.4, 0.2
"""How often the general model meets a drawn micrograph, and an image of each set."""

STEPS_AN_EPOCH = 100
SEED = 0
RECORDS = 300
"""Steps of the training that the file tells of, at most."""

HELD_OUT = 0.1
"""Share of the images, or pieces of large ones, that the decoding is chosen by."""

STATISTICS, STATISTICS_SIDE = 32, 256
"""Number and side of the windows that the statistics of activations are computed from."""

PIECE = 512
"""Side of the pieces that larger images are cut into."""


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


def of_set(name: str) -> Sources:
    """Make the function that yields the images of one set."""

    def read(data: Path, without: frozenset[str]) -> Iterator[tuple[Pairs, float]]:
        yield SETS[name](data).learnt, 0.0

    return read


def of_all_kinds(data: Path, without: frozenset[str]) -> Iterator[tuple[Pairs, float]]:
    """Yield synthetic micrographs of every kind and the images of every set, except excluded ones.

    All are grey, and a set with many small objects is drawn no more often than one with a few
    large ones. Neurons and axons have no ids of single cells: every connected component of the
    mask, or of the axons, is an object.
    """
    wanted = kinds(lambda *both: not without.intersection(both))
    yield drawn(20 * len(wanted), wanted, 0), DRAWN
    for name in [name for name in SETS if name not in without]:
        known = SETS[name](data)
        pairs = [(grey(image), ids) for image, ids in known.learnt]
        if not known.apart:
            pairs = [(image, label(m == m.max()).astype(np.int32)) for image, m in pairs]
        yield pairs, REAL


def lessons(
    found: Iterator[tuple[Pairs, float]], views: Views, *, apart: bool
) -> tuple[list[TrainingPair], list[TrainingPair]]:
    """Divide images into those to learn from, with their views, and held-out ones.

    An image is drawn in proportion to its number of objects plus one: see `image_shares`.
    """
    holding, seeing = np.random.default_rng(SEED), np.random.default_rng(SEED)
    learn: list[TrainingPair] = []
    held: list[TrainingPair] = []
    for pairs, share in found:
        cut = [piece for pair in pairs for piece in pieces(*pair, PIECE)]
        out = set(holding.permutation(len(cut))[: max(1, round(HELD_OUT * len(cut)))].tolist())
        whole = [pair for k, pair in enumerate(cut) if k not in out]
        # Where views show all at one size, an image as it is would be one of another size.
        seen = [] if views.diameter else [(pair, 1.0) for pair in whole]
        seen += [(view, views.times) for pair in whole for view in views.of(*pair, seeing)]
        met = sum(np.unique(ids[ids > 0]).size + 1 if apart else 1 for (_, ids), _ in seen)
        shared = share / met if share else 1.0
        learn += [
            TrainingPair(as_image(image), ids, times=often * shared) for (image, ids), often in seen
        ]
        kept: Pairs = [cut[k] for k in out]
        if views.diameter:
            kept = [view for pair in kept for view in views.plain.of(*pair, seeing)]
        held += [TrainingPair(as_image(image), ids) for image, ids in kept]
    return learn, held


@dataclass(frozen=True)
class Shipped:
    """Define a shipped model: its training images and options.

    Parameters
    ----------
    found
        Yields images and labels.
    sources
        Description of the images and their licences, for the package.
    judged
        Sets that it is evaluated on, its own first.
    calibrates
        Whether it makes objects as suits what is held out.
    kind
        Kind of model.
    teacher
        Name of the model whose predictions it learns beside the labels.
    settings, options
        Of its network and its training, where they differ from the defaults.
    """

    licence: str
    found: Sources
    sources: tuple[str, ...]
    judged: tuple[str, ...]
    steps: int
    views: Views = Views()  # noqa: RUF009 - frozen
    labels_are: AnnotationKind = "objects"
    classes: tuple[str, ...] = ()
    calibrates: bool = True
    kind: str = "unet"
    teacher: str = ""
    settings: tuple[tuple[str, Any], ...] = ()
    options: tuple[tuple[str, Any], ...] = ()


_FULL = (("resolution", "full"),)
_OFTEN = (("patch", 128), ("batch", 8))
"""More steps in the same time, of as many pixels."""

_WITH_ENCODER = "Apache-2.0"
"""The licence of a model that began with the pretrained layers, or learnt from one that did."""

_NUCLEI = "428 images of fluorescent nuclei of many experiments, CC0 (BBBC038)"
_STAINED = "65 images of nuclei in stained tissue sections, in colour, CC0 (BBBC038)"
_CYTOLOGY = "8 images of dark nuclei of cells in bright field, CC0 (BBBC038)"
_PHASE = (
    "21 frames of T98G cells in phase contrast, MIT (Usiigaci), all but sets 1, 3, 5, 7, 14, 18, "
    "20 and 24"
)
_NEURONS = "57 images of living rat neurons under an inverted microscope, CC0"
_AXONS = "5 scanning electron micrographs of rat spinal cord, MIT (data_axondeepseg_sem)"

_OF_NUCLEI = Shipped(
    _WITH_ENCODER,
    of_set("nuclei"),
    (_NUCLEI,),
    ("nuclei", "phase_cells"),
    steps=8000,
    # Views that show all images at one diameter, 22 pixels, made it no better.
    views=Views(count=3, sizes=(0.5, 2.5), light=0.3, inverted=0.15, times=0.2),
    kind="pretrained-unet",
    settings=_FULL,
    options=(
        *_OFTEN,
        *(("scale", 0.2), ("blur", 0.5), ("noise", 0.1), ("intensity", 0.3)),
        *(("averaging", 0.999), ("learning_rate", 0.002)),
    ),
)

MODELS = {
    "nuclei": _OF_NUCLEI,
    "nuclei_fast": replace(
        _OF_NUCLEI,
        kind="unet",
        teacher="nuclei",
        settings=(*_FULL, ("width", 8)),
        options=(*_OF_NUCLEI.options, ("learning_rate", 0.003)),
    ),
    "stained_nuclei": Shipped(
        _WITH_ENCODER,
        of_set("stained_nuclei"),
        (_STAINED,),
        ("stained_nuclei",),
        steps=2500,
        views=Views(count=6, sizes=(0.6, 1.8), light=0.2, stain=0.5),
        kind="pretrained-unet",
        settings=_FULL,
        options=(
            *_OFTEN,
            *(("scale", 0.3), ("blur", 1.0), ("noise", 0.1), ("intensity", 0.3)),
            ("averaging", 0.995),
        ),
    ),
    "cytology_nuclei": Shipped(
        "CC0-1.0",
        of_set("cytology_nuclei"),
        (_CYTOLOGY,),
        ("cytology_nuclei", "stained_nuclei"),
        steps=600,
        # It began with the first edition of the general model. One that began with the second was
        # as good on its own kind, but more plausible than it should be on stained sections.
        views=Views(count=6, sizes=(0.6, 1.6), light=0.3),
        settings=_FULL,
        options=(
            *_OFTEN,
            ("learning_rate", 0.002),
            *(("scale", 0.3), ("noise", 0.1), ("intensity", 0.3)),
        ),
    ),
    "phase_cells": Shipped(
        _WITH_ENCODER,
        of_set("phase_cells"),
        (_PHASE,),
        ("phase_cells", "nuclei"),
        steps=2500,
        views=Views(count=2, sizes=(0.6, 1.6), light=0.3, piece=512),
        kind="pretrained-unet",
        settings=_FULL,
        options=(
            *(("patch", 192), ("batch", 4), ("rotation", 45), ("elastic", 8), ("scale", 0.3)),
            *(("blur", 1.0), ("noise", 0.2), ("intensity", 0.4), ("averaging", 0.995)),
        ),
    ),
    "neurons": Shipped(
        "CC0-1.0",
        of_set("neurons"),
        (_NEURONS,),
        ("neurons", "phase_cells"),
        steps=1500,
        labels_are="mask",
        classes=("neuron",),
        settings=(("resolution", "quarter"),),
        options=(("patch", 256), ("scale", 0.3), ("intensity", 0.3)),
    ),
    "axons": Shipped(
        "MIT",
        of_set("axons"),
        (_AXONS,),
        ("axons", "neurons"),
        steps=900,
        views=Views(count=3, sizes=(0.6, 1.8), light=0.2, piece=512),
        labels_are="mask",
        classes=("myelin", "axon"),
        calibrates=False,
        settings=(("resolution", "half"),),
        options=(("patch", 192), ("scale", 0.3), ("blur", 0.5), ("noise", 0.1), ("intensity", 0.3)),
    ),
    "general": Shipped(
        _WITH_ENCODER,
        of_all_kinds,
        (
            "480 drawn micrographs of 4 shapes in 6 looks",
            *(_NUCLEI, _STAINED, _CYTOLOGY, _PHASE, _NEURONS, _AXONS),
        ),
        tuple(SETS),
        steps=6000,
        # All kinds at one diameter, so that one size of network and one decoding suit them.
        views=Views(count=3, sizes=(0.6, 1.8), diameter=24, light=0.3, inverted=0.3),
        kind="pretrained-unet",
        settings=_FULL,
        options=(
            *_OFTEN,
            *(("scale", 0.3), ("blur", 1.0), ("noise", 0.1), ("intensity", 0.3)),
            ("averaging", 0.998),
        ),
    ),
}


def trained(
    name: str,
    data: Path,
    steps: int | None,
    without: frozenset[str],
    earlier: Path,
    precision: Precision,
    seed: int,
) -> TrainedModel:
    """Train a model."""
    plan = MODELS[name]
    objects = plan.labels_are == "objects"
    learn, held = lessons(plan.found(data, without), plan.views, apart=objects)
    epochs = max(1, round((steps or plan.steps) / STEPS_AN_EPOCH))
    options = TrainOptions(
        until="epochs",
        epochs=epochs,
        steps=STEPS_AN_EPOCH,
        seed=seed,
        validation=0.0,
        precision=precision,
        **dict(plan.options),
    )
    own = name if (earlier / f"{name}.zip").exists() else ""
    start = load(earlier / f"{own}.zip", check=False) if own else None
    spec = spec_of(plan.kind, dict(plan.settings))
    if start is not None and start.spec.kind != spec.kind:
        own, start = "", None
    reading = Reading(plan.labels_are, class_names=plan.classes)
    # Nothing is held out here: the model that is continued may have learnt from what is held out
    # now, and would seem to be better than all later ones.
    to_learn = TrainingSet.of(learn, options, reading)
    began = time.process_time()
    outcome = train_on_set(
        spec,
        to_learn,
        options,
        name=lacking(name, without),
        origin=Origin(start, teacher=open_shipped(plan.teacher) if plan.teacher else None),
        callbacks=Callbacks(watch=watch),
    )
    seconds = time.process_time() - began
    print(f"{name}: {outcome.message} {seconds:.0f} s of processor time", flush=True)
    model = halved(outcome.model)
    told: dict[str, Any] = {"sources": list(plan.sources), "seed": SEED}
    told |= {"without": sorted(without)} if without else {}
    told |= {"teacher": plan.teacher} if plan.teacher else {}
    told |= {"one_diameter": True} if plan.views.diameter else {}
    told |= {"learnt_from": len(learn), "held_out": len(held)}
    round_ = {
        "continues": own,
        "steps": epochs * STEPS_AN_EPOCH,
        "seed": seed,
        "processor_seconds": round(seconds),
        "options": dict(plan.options),
        "views": asdict(plan.views),
    }
    told["rounds"] = [*rounds_of(start), round_]
    told["processor_seconds"] = sum(one["processor_seconds"] for one in told["rounds"])
    card = ModelCard(description=LINES[name], authors="napari-unetseg", licence=plan.licence)
    kept = model.history[:: -(-len(model.history) // RECORDS)]
    return replace(model, provenance=dict(model.provenance) | told, card=card, history=kept)


def rounds_of(start: TrainedModel | None) -> list[dict[str, Any]]:
    """Return the rounds of training of the model that another one continues from."""
    if start is None:
        return []
    known = start.provenance
    first = {"processor_seconds": known.get("processor_seconds"), "options": known["options"]}
    return list(known.get("rounds", [{"continues": "", **first}]))


def restated(model: TrainedModel, pairs: list[TrainingPair]) -> TrainedModel:
    """Return the same function with the statistics of the activations in whole images like these.

    Those of a training are of augmented patches.
    """
    network = network_of(model)
    restate_averages(network, blocks(model, pairs))
    return replace(model, state={n: w.numpy() for n, w in network.state_dict().items()})


def blocks(model: TrainedModel, pairs: Sequence[TrainingPair]) -> Iterator[torch.Tensor]:
    """Yield the window with most objects of some images, normalised: (1, channels, Y, X) each."""
    for k in np.linspace(0, len(pairs) - 1, STATISTICS).astype(int):
        pair = pairs[k]
        image = pair.image if model.n_channels > 1 else pair.image.grey()
        part = fullest_window(np.asarray(pair.labels) > 0, STATISTICS_SIDE)
        sides = (range(*s.indices(n)) for s, n in zip(part, pair.labels.shape, strict=True))
        given = np.moveaxis(np.atleast_3d(image.asarray()), -1, 0)
        block = fit_normalisation(image, model.normalisation).apply(given)
        rows, columns = (slice(s[0], s[0] + len(s) // 32 * 32) for s in sides)
        yield torch.from_numpy(block[:, rows, columns].copy())[None]


def halved(model: TrainedModel) -> TrainedModel:
    """Return a model with filters in half precision, which its file keeps in half the bytes."""
    state = {
        name: array.astype(np.float16) if array.dtype == np.float32 and array.ndim > 1 else array
        for name, array in model.state.items()
    }
    return replace(model, state=state)


def calibrated(model: TrainedModel, held: list[TrainingPair]) -> TrainedModel:
    """Return a model that makes objects as suits what is held out best."""
    calibration = calibrate_model(replace(model, decoding=DecodeOptions()), held)
    print(f"{model.name}: {calibration.message}", flush=True)
    return calibration.model


def watch(step: TrainingStep) -> None:
    """Print the loss once in an epoch."""
    if step.step % STEPS_AN_EPOCH == 0:
        print(f"  step {step.step}: {step.seconds:.0f} s, loss {step.loss:.4f}", flush=True)


def evaluated(model: TrainedModel, data: Path, judged: Sequence[str]) -> TrainedModel:
    """Return a model with its scores on test images in its provenance."""
    tests: dict[str, dict[str, float]] = {}
    for test in judged:
        images, apart = tested(data, test)
        tests[test] = score(model, images, apart=apart)
        print(model.name, "on", test, tests[test], flush=True)
    return replace(model, provenance=dict(model.provenance) | {"tests": tests})


def lacking(name: str, without: frozenset[str]) -> str:
    """Return the name of a model with the sets that it was trained without."""
    return "-".join([name, *(["without", *sorted(without)] if without else [])])


def score(model: TrainedModel, images: Pairs, *, apart: bool) -> dict[str, float]:
    """Compute the scores of a model, of objects if the model and the ground truth have them.

    The scale is found where a model knows one diameter alone.
    """
    what = "classes" if model.decoder is None else "objects"
    options = PredictOptions(what=what, auto_diameter=model.one_diameter)
    found = [np.asarray(predict(model, as_image(image), options).data) for image, _ in images]
    apart = apart and what == "objects"
    told = scores(found, images) if apart else {"dice": foreground(found, images)}
    keys = ("dice", "ap50", "map", "f1") if apart else ("dice",)
    return {key: round(told[key], 4) for key in keys}


def main() -> None:
    asking = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asking.add_argument("data", type=Path)
    asking.add_argument("names", nargs="*", default=list(MODELS), metavar="NAME")
    asking.add_argument("--out", type=Path, default=Path("src/napari_unetseg/shipped"))
    asking.add_argument(
        "--earlier",
        type=Path,
        default=Path("src/napari_unetseg/shipped"),
        help="folder of the models that training continues from",
    )
    asking.add_argument(
        "--calibrate", action="store_true", help="choose again how a trained model makes objects"
    )
    asking.add_argument("--steps", type=int, help="instead of the model's own")
    asking.add_argument("--seed", type=int, default=SEED, help="of the training, not of the choice")
    asking.add_argument(
        "--bfloat16", action="store_true", help="train in bfloat16, where the processor has it"
    )
    asking.add_argument("--without", nargs="*", default=[], metavar="KIND")
    asking.add_argument("--json", type=Path, help="where the scores are written")
    asked = asking.parse_args()
    if set(asked.without) - set(KINDS) or set(asked.names) - set(MODELS):
        asking.error(f"Models are {', '.join(MODELS)}; kinds {', '.join(KINDS)}")
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in asked.names:
        without = frozenset(asked.without)
        path = asked.out / f"{lacking(name, without)}.zip"
        if not asked.calibrate:
            precision: Precision = "auto" if asked.bfloat16 else "float32"
            model = trained(
                name, asked.data, asked.steps, without, asked.earlier, precision, asked.seed
            )
            # Before all else, so that the training is not lost.
            save(model, path, small=True)
        own = of_set(name) if name in SETS else MODELS[name].found
        views = MODELS[name].views
        as_they_are = views.plain if views.diameter else Views(count=0)
        known, held = lessons(own(asked.data, without), as_they_are, apart=True)
        model = halved(restated(load(path), known))
        if MODELS[name].calibrates:
            model = calibrated(model, held)
        model = evaluated(model, asked.data, sorted(without) or MODELS[name].judged)
        save(model, path, small=True)
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB", flush=True)
        if asked.json:
            known = json.loads(asked.json.read_text()) if asked.json.exists() else {}
            known[model.name] = model.provenance["tests"]
            asked.json.write_text(json.dumps(known, indent=1))


if __name__ == "__main__":
    main()
