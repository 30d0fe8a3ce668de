"""Compare ways to find the objects of stacks with a model of planes, and from painted planes.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/bench_stacks.py DATA [--sets drawn nuclei ...]
        [--planes 1 3 10] [--minutes 0.33] [--model nuclei] [--no-deep]

DATA has the folders `stack3d` (nuclei, an ovule with stained walls, a star-convex volume, each with
ids) and `em_fibsem_bsd`. The drawn set needs no data. First a shipped model of planes: plane by
plane and linked, and in three orientations. Then for each number of painted planes, evenly spaced,
a UNet that learns from these planes alone: linked, in three orientations as `fill_volume` does, and
a UNet of stacks. Minutes are of processor time, over all threads.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import scipy
from object_sets import Array, scores
from objects_on_real_images import processor_time
from skimage.io import imread
from skimage.segmentation import find_boundaries, watershed

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.pixel_specs import SoftmaxSpec
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.shipped_models import open_shipped
from napari_unetseg.core.training.fill_volume import (
    FillOptions,
    continue_sections,
    fill_volume,
    kept_sections,
)
from napari_unetseg.core.training.train import train

Stack = tuple[Image, Array]

SMALLEST = 30
"""Pixels of a section that is new in a plane, where objects are grown from plane to plane."""

FILES = {
    "nuclei": ("stack3d/cells3d_nuclei_raw.tif", "stack3d/cells3d_nuclei_labels.tif"),
    "ovule": ("stack3d/ovule_raw.tif", "stack3d/ovule_labels.tif"),
    "star-convex": ("stack3d/stardist_img3d.tif", "stack3d/stardist_mask3d.tif"),
    "FIB-SEM": ("em_fibsem_bsd/fibsem_raw.tif", "em_fibsem_bsd/fibsem_neuron_labels.tif"),
}
DRAWN = {"drawn": (1.5, 0.5, 0.5), "drawn, cubes": (0.5, 0.5, 0.5), "drawn, flat": (3.0, 0.5, 0.5)}
SHAPES = {
    "drawn": (32, 128, 128),
    "drawn, cubes": (64, 96, 96),
    "drawn, flat": (12, 160, 160),
}


def opened(name: str, data: Path) -> Stack:
    """Return a stack and its ids."""
    if name in DRAWN:
        sample = samples.nuclei(
            SHAPES[name], seed=5, touching=0.6, density=1.2, spacing=DRAWN[name]
        )
        return Image.of(sample.image, "ZYX", spacing=DRAWN[name], unit="µm"), sample.objects
    image, ids = (imread(data / file) for file in FILES[name])
    return Image.of(image, "ZYX"), ids.astype(np.int32)


def spread(n: int, depth: int) -> list[int]:
    """Return `n` planes, evenly spaced."""
    return sorted({int((k + 0.5) * depth / n) for k in range(n)})


def report(name: str, stack: Stack, find: Callable[[], Array]) -> None:
    """Print the scores of a way to find objects, and its processor time."""
    image, ids = stack
    start = time.process_time()
    found = find()
    seconds = time.process_time() - start
    one = scores([np.asarray(found)], [(image.asarray(), ids)])
    numbers = " | ".join(f"{one[key]:.3f}" for key in ("ap50", "map", "dice", "count_error"))
    print(f"| {name} | {numbers} | {seconds:.0f} |", flush=True)


def seen(model: TrainedModel, image: Image, orientations: str) -> Array:
    """Return the objects that a model finds."""
    options = PredictOptions.checked(what="objects", orientations=orientations)
    return predict(model, image, options).asarray()


def by_model(name: str, stack: Stack, shipped: str) -> None:
    """Report what a shipped model of planes finds."""
    model = open_shipped(shipped)
    for words, way in (("plane by plane, linked", "one"), ("three orientations", "three")):
        title = f"{name} | `{shipped}`, {words}"
        report(title, stack, partial(seen, model, stack[0], way))


def propagated(image: Image, painted: Array, planes: list[int]) -> Array:
    """Return the objects grown from plane to plane, without learning objects.

    A softmax model tells background, inside and edge from the painted planes. The sections of one
    plane are the seeds of a watershed in the next; what is inside and far from them is new.
    """
    classes = 1 + (painted > 0).astype(np.uint8)
    for at in planes:
        classes[at][find_boundaries(painted[at], mode="inner")] = 3
    weights = np.zeros(painted.shape, np.float16)
    weights[planes] = 1
    pair = TrainingPair(image, np.where(weights > 0, classes, 0))
    model = train(SoftmaxSpec(), [pair], TrainOptions(), name="inside").model
    proba = predict(model, image, PredictOptions(what="probabilities"))
    of = dict(zip(model.values, np.moveaxis(proba.asarray(), 1, 0), strict=True))
    inside, outside = of[2], of.get(1, np.zeros(painted.shape))
    out, free = painted.copy(), int(painted.max()) + 1
    away = [min(abs(at - one) for one in planes) for at in range(len(out))]
    for at in sorted(set(range(len(out))) - set(planes), key=lambda at: away[at]):
        before = out[at + 1] if at + 1 < len(out) and away[at + 1] < away[at] else out[at - 1]
        edge = find_boundaries(before, mode="inner") | (inside[at] < 0.3)
        seeds = np.where(edge, 0, before)
        far = ~scipy.ndimage.binary_dilation(seeds > 0, iterations=3)
        new, _ = scipy.ndimage.label((inside[at] > 0.5) & far)
        for one in np.flatnonzero(np.bincount(new.ravel()) >= SMALLEST)[1:]:
            seeds[new == one] = free
            free += 1
        out[at] = watershed(-inside[at], seeds, mask=outside[at] < 0.5)
    return out


def from_planes(name: str, stack: Stack, planes: list[int], asked: argparse.Namespace) -> None:
    """Report what painted planes lead to."""
    image, ids = stack
    painted = np.zeros_like(ids)
    painted[planes] = ids[planes]
    title, models = f"{name}, {len(planes)} planes", []

    def filled() -> Array:
        made = fill_volume(image, painted, FillOptions(minutes=asked.minutes))
        models.append(made.model)
        return made.labels

    deep = FillOptions(minutes=asked.minutes, learn="stacks")
    report(f"{title} | three orientations", stack, filled)
    kept = kept_sections(painted, planes=planes)
    report(
        f"{title} | linked, without the training",
        stack,
        lambda: continue_sections(seen(models[0], image, "one"), painted, kept),
    )
    report(
        f"{title} | grown from plane to plane", stack, partial(propagated, image, painted, planes)
    )
    if asked.deep:
        report(
            f"{title} | UNet of stacks",
            stack,
            lambda: fill_volume(image, painted, deep).labels,
        )


def main() -> None:
    asking = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asking.add_argument("data", type=Path)
    names = [*DRAWN, *FILES]
    asking.add_argument("--sets", nargs="*", default=names, choices=names)
    asking.add_argument("--planes", nargs="*", type=int, default=[1, 3, 10])
    asking.add_argument("--minutes", type=float, default=1.0)
    asking.add_argument("--model", default="nuclei", help="shipped model of planes; '' for none")
    asking.add_argument("--no-deep", dest="deep", action="store_false")
    asked = asking.parse_args()
    print("| stack | method | AP50 | mean AP | Dice | count error | CPU seconds |")
    print("| --- | --- | --: | --: | --: | --: | --: |")
    for name in asked.sets:
        stack = opened(name, asked.data)
        if asked.model:
            by_model(name, stack, asked.model)
        with processor_time():
            for n in asked.planes:
                from_planes(name, stack, spread(n, len(stack[1])), asked)


if __name__ == "__main__":
    main()
