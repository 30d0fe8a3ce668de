"""Read real images with ground truth, split into training and test sets.

Imported by the object benchmarks next to it and by the training of the shipped models, so that
every method uses the same images and scores. Needs neither torch nor TensorFlow.

The 8 crops of phase-contrast cells were cut from frames of the training folder: those frames are
left out of the training. A stack is split along one axis, with a gap that belongs to neither part;
an object that extends across it is cut.
"""

import argparse
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.io import imread

from napari_unetseg.core.image import Image
from napari_unetseg.core.samples.mixed_micrographs import LOOKS, SHAPES, Look, Shape, micrograph
from napari_unetseg.core.scoring.object_scores import ap_curve, match, object_scores
from napari_unetseg.core.scoring.overlap import Overlap, overlap_of
from napari_unetseg.core.scoring.pixel_scores import dice

Array = NDArray[Any]
Pairs = list[tuple[Array, Array]]

NEVER_DRAWN = 100_000
"""First seed of the drawn micrographs that are tested on; what is learnt from has smaller ones."""

GAP = 4
"""Pixels between the part of a stack that is learnt from and the part that is tested on."""


@dataclass(frozen=True)
class ObjectSet:
    """Hold training and test images with their ids.

    Parameters
    ----------
    learnt, tested
        Training and test images, grey or (rows, columns, 3), and their ids.
    seconds
        Processor seconds of a training: ten or fifteen minutes of two cores.
    apart
        Whether the ids separate objects; otherwise they are a mask, or classes.
    """

    learnt: Pairs
    tested: Pairs
    seconds: float
    apart: bool = True

    @property
    def ndim(self) -> int:
        """2 for planes, 3 for a stack."""
        return self.tested[0][1].ndim

    @property
    def smallest(self) -> int:
        """Minimum size of an object in pixels: half the lowest percentile in the training set."""
        sizes = np.concatenate([np.bincount(ids.reshape(-1))[1:] for _, ids in self.learnt])
        return int(0.5 * np.percentile(sizes[sizes > 0], 1))


def folder(place: Path, *, without: frozenset[str] = frozenset(), colour: bool = False) -> Pairs:
    """Return the images of a folder with the ids of the same names, in colour or grey."""
    masks = {path.stem: path for path in (place / "masks").iterdir()}
    names = {path.stem: path for path in (place / "images").iterdir()}
    both = sorted(names.keys() & masks.keys() - without)
    images = [imread(names[name]) for name in both]
    ids = [imread(masks[name]).astype(np.int32) for name in both]
    return list(zip(images if colour else map(grey, images), ids, strict=True))


def nuclei(data: Path) -> ObjectSet:
    """Return fluorescent nuclei."""
    return ObjectSet(*_folders(data, "nuclei_fluo_cc0"), 1200)


def phase_cells(data: Path) -> ObjectSet:
    """Return cells in phase contrast, without the frames that the crops were cut from."""
    return ObjectSet(*_folders(data, "phase_cells_mit"), 1800)


def neurons(data: Path) -> ObjectSet:
    """Return neurons in bright field and phase contrast, without ids of single cells."""
    return ObjectSet(*_folders(data, "neurons_rgb_cc0"), 1200, apart=False)


def stained_nuclei(data: Path) -> ObjectSet:
    """Return nuclei in stained tissue sections, in colour."""
    return ObjectSet(*_folders(data, "stained_nuclei_cc0", colour=True), 1200)


def cytology_nuclei(data: Path) -> ObjectSet:
    """Return dark nuclei of single cells in bright field."""
    return ObjectSet(*_folders(data, "cytology_cc0"), 1200)


def axons(data: Path) -> ObjectSet:
    """Return electron micrographs of axons: 1 is myelin, 2 is the axon inside it."""
    return ObjectSet(*_folders(data, "axon_sem_mit"), 1200, apart=False)


def nuclei_3d(data: Path) -> ObjectSet:
    """Return a stack of a few large nuclei; the lower half, with a dividing one, for training."""
    tested, learnt = _parted(data / "stack3d", "cells3d_nuclei", axis=1, at=48)
    return ObjectSet([learnt], [tested], 1200)


def ovule(data: Path) -> ObjectSet:
    """Return a stack of cells with stained walls: the left half is for training."""
    learnt, tested = _parted(data / "stack3d", "ovule", axis=2, at=64)
    return ObjectSet([learnt], [tested], 1200)


SETS: dict[str, Callable[[Path], ObjectSet]] = {
    "nuclei": nuclei,
    "phase cells": phase_cells,
    "3D nuclei": nuclei_3d,
    "ovule": ovule,
}
"""Those of objects, in grey."""

PLANES: dict[str, Callable[[Path], ObjectSet]] = {
    "nuclei": nuclei,
    "phase cells": phase_cells,
    "neurons": neurons,
}
"""Those of grey planes, masks among them."""

KNOWN: dict[str, Callable[[Path], ObjectSet]] = PLANES | {
    "stained nuclei": stained_nuclei,
    "cytology nuclei": cytology_nuclei,
    "axons": axons,
}
"""Those of planes that models are shipped for, in grey or colour."""

OF_OBJECTS = SETS | {"stained nuclei": stained_nuclei, "cytology nuclei": cytology_nuclei}
"""Those of objects, in grey or colour."""


def kinds(of: Callable[[Shape, Look], bool]) -> list[tuple[Shape, Look]]:
    """Return the wanted shapes and looks of synthetic micrographs."""
    return [(shape, look) for shape in SHAPES for look in LOOKS if of(shape, look)]


def drawn(count: int, of: list[tuple[Shape, Look]], first: int) -> Pairs:
    """Make synthetic micrographs of some shapes and looks in turn, from a first seed."""
    samples = [
        micrograph((256, 256), seed=first + number, shape=shape, look=look)
        for number, (shape, look) in zip(range(count), itertools.cycle(of), strict=False)
    ]
    return [(sample.image, sample.objects) for sample in samples]


def drawn_to_test(kind: str, count: int = 24) -> Pairs:
    """Make synthetic test micrographs of a shape or look."""
    return drawn(count, kinds(lambda *both: kind in both), NEVER_DRAWN)


def scores(found: list[Array], pairs: Pairs) -> dict[str, Any]:
    """Compute the scores of predicted objects, all images counted together.

    The count error is the sum over the images of the absolute difference in the number of objects,
    relative to all true ones. Dice is that of the foreground, the mean over the images.
    """
    truths = [truth for _, truth in pairs]
    overlaps = [overlap_of(f, t) for f, t in zip(found, truths, strict=True)]
    joined = Overlap.joined(overlaps)
    of_objects = object_scores(joined)
    wrong = sum(abs(one.n_predicted - one.n_true) for one in overlaps)
    return {
        "ap50": of_objects.ap50,
        "map": of_objects.map,
        "f1": of_objects.f1,
        "dice": foreground(found, pairs),
        "count_error": wrong / max(joined.n_true, 1),
        "missed": match(joined).n_missed,
        "invented": match(joined).n_invented,
        "ap": {f"{level:.2f}": value for level, value in ap_curve(joined).items()},
    }


def foreground(found: list[Array], pairs: Pairs) -> float:
    """Compute the Dice of the foreground, the mean over the images."""
    both = zip(found, pairs, strict=True)
    return float(np.mean([dice(one > 0, truth > 0) for one, (_, truth) in both]))


def table(found: dict[str, dict[str, Any]]) -> str:
    """Format the scores of each method as Markdown."""
    keys = ("ap50", "map", "f1", "dice", "count_error")
    rows = [
        f"| {name} | "
        + " | ".join(f"{one[key]:.3f}" for key in keys)
        + f" | {one['missed']:g} | {one['invented']:g} | {one.get('trained_s', 0):.0f} |"
        for name, one in found.items()
    ]
    head = "| method | AP50 | mean AP | F1 | Dice | count error | missed | invented | trained, s |"
    return "\n".join([head, "|---|" + "--:|" * 8, *rows])


def parser(about: str) -> argparse.ArgumentParser:
    """Make the argument parser shared by the object benchmarks."""
    asked = argparse.ArgumentParser(description=about)
    asked.add_argument("data", type=Path)
    asked.add_argument("--sets", nargs="*", default=list(SETS), choices=list(OF_OBJECTS))
    asked.add_argument("--seconds", type=float, help="processor seconds instead of the set's own")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--out", type=Path, help="JSON that scores are added to")
    asked.add_argument("--keep", type=Path, help="folder for the predicted objects")
    return asked


def known(out: Path | None) -> dict[str, dict[str, Any]]:
    """Read the scores that a file already has."""
    return json.loads(out.read_text()) if out and out.exists() else {}


def keep(asked: argparse.Namespace, name: str, result: dict[str, Any], found: list[Array]) -> None:
    """Add scores to the requested file, and predicted objects to the requested folder."""
    print(name, {key: value for key, value in result.items() if key != "ap"}, flush=True)
    if asked.out:
        asked.out.write_text(json.dumps(known(asked.out) | {name: result}, indent=1))
    if asked.keep:
        asked.keep.mkdir(parents=True, exist_ok=True)
        flat = {f"image_{k:03}": np.asarray(one, np.int32) for k, one in enumerate(found)}
        np.savez_compressed(
            asked.keep / f"{name.replace(' | ', '-').replace(' ', '_')}.npz", **flat
        )


def _folders(data: Path, name: str, *, colour: bool = False) -> tuple[Pairs, Pairs]:
    """Return the training images of a set, without those with a test name, and the test images."""
    seen = frozenset(path.stem for path in (data / name / "images").iterdir())
    learnt = folder(data / "train" / name, without=seen, colour=colour)
    return learnt, folder(data / name, colour=colour)


def as_image(image: Array, ndim: int = 2) -> Image:
    """Return an array of planes, or of a stack, and colours if it has any, as an image."""
    return Image.of(image) if image.ndim == ndim else Image.of(image, "YXC", rgb=True)


def grey(image: Array) -> Array:
    """Return an image (rows, columns) or (rows, columns, 3) as grey values."""
    return image if image.ndim == 2 else Image.of(image, "YXC", rgb=True).grey().asarray()


def _parted(place: Path, name: str, *, axis: int, at: int) -> tuple[tuple[Array, Array], ...]:
    """Split a stack and its ids at a position along an axis, without the gap."""
    image, ids = (imread(place / f"{name}_{kind}.tif") for kind in ("raw", "labels"))
    before = (slice(None),) * axis + (slice(0, at - GAP // 2),)
    after = (slice(None),) * axis + (slice(at + GAP // 2, None),)
    return tuple((image[part], ids[part].astype(np.int32)) for part in (before, after))
