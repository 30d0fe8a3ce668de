"""Train and evaluate StarDist on real images, for the same processor seconds as our networks.

    python -m venv VENV
    VENV/bin/pip install stardist tensorflow-cpu
    VENV/bin/pip install --no-deps tf_keras
    PYTHONPATH=src TF_USE_LEGACY_KERAS=1 VENV/bin/python benchmarks/stardist_on_real_images.py DATA
        [--sets nuclei ...] [--seconds 1200] [--light] [--out FILE.json] [--keep FOLDER]

Runs in its own environment, without torch. DATA, sets, scores and seconds are those of
`objects_on_real_images.py`, and --out may be the same file. The network is StarDist's own, with its
defaults except those in `WAYS`: 32 rays on a grid of every 2nd or 4th pixel in planes, 96 in stacks
with the anisotropy of the training objects. Images are scaled by the percentiles 1 and 99.8,
flipped, rotated and varied in brightness as in StarDist's examples. The learning rate stays at the
default for three quarters of the time and then falls. The best weights by the validation loss are
kept, and the probability threshold is tuned on a few of the validation images.

In minutes of two cores the default takes a few hundred steps and learns little. --light is a
setting for that: half the channels, and a learning rate of 0.001.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from csbdeep.utils import normalize
from object_sets import SETS, Array, ObjectSet, Pairs, keep, parser, scores, table
from stardist import Rays_GoldenSpiral, calculate_extents, fill_label_holes
from stardist.models import Config2D, Config3D, StarDist2D, StarDist3D

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""Probabilities that an object may be asked to have."""

TUNED_ON, TUNING_SECONDS = 8, 120.0
"""Held-out images that the level is tuned on, and the processor seconds after which it is not."""


@dataclass(frozen=True)
class Way:
    """Hold StarDist's settings for a set."""

    grid: tuple[int, ...]
    patch: tuple[int, ...]
    batch: int


WAYS = {
    "nuclei": Way((2, 2), (256, 256), 4),
    "phase cells": Way((4, 4), (256, 256), 4),
    "3D nuclei": Way((1, 4, 4), (32, 64, 64), 1),
    "ovule": Way((1, 4, 4), (32, 64, 48), 1),
}


class Budget(tf.keras.callbacks.Callback):
    """End a training after processor seconds, with a learning rate that falls at the end."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.began, self.steps = seconds, 0.0, 0

    @property
    def spent(self) -> float:
        """Processor seconds since the training began, over all threads."""
        return time.process_time() - self.began

    def on_train_begin(self, logs: Any = None) -> None:
        self.began = time.process_time()
        self.rate = float(tf.keras.backend.get_value(self.model.optimizer.learning_rate))

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        left = min(4 * (1 - self.spent / self.seconds), 1)
        rate = self.rate * max(left, 0.02)
        tf.keras.backend.set_value(self.model.optimizer.learning_rate, rate)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += 1
        if self.spent > self.seconds:
            self.model.stop_training = True


def scaled(image: Array) -> Array:
    """Scale an image by its percentiles."""
    return normalize(image.astype(np.float32), 1, 99.8)


class Variation:
    """Flip an image and its ids, rotate them in the plane, and vary the brightness."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(self, image: Array, ids: Array) -> tuple[Array, Array]:
        rng = self._rng
        for axis in range(ids.ndim):
            if rng.random() < 0.5:
                image, ids = np.flip(image, axis), np.flip(ids, axis)
        if ids.shape[-1] == ids.shape[-2]:
            turns = rng.integers(4)
            image, ids = (np.rot90(one, turns, (-2, -1)) for one in (image, ids))
        image = image * rng.uniform(0.6, 2) + rng.uniform(-0.2, 0.2)
        return image + 0.02 * rng.random() * rng.normal(size=image.shape), ids


def held_out(pairs: Pairs, seed: int) -> tuple[Pairs, Pairs]:
    """Split off a tenth as validation set; a single stack is validated on itself."""
    if len(pairs) == 1:
        return pairs, pairs
    order = np.random.default_rng(seed).permutation(len(pairs))
    held = set(order[: max(2, min(len(pairs) // 10, 16))].tolist())
    return (
        [pair for k, pair in enumerate(pairs) if k not in held],
        [pair for k, pair in enumerate(pairs) if k in held],
    )


def network(way: Way, learnt: Pairs, folder: str, *, light: bool) -> Any:
    """Make an untrained StarDist with the settings of a set."""
    shared: dict[str, Any] = {
        "grid": way.grid,
        "train_patch_size": way.patch,
        "train_batch_size": way.batch,
        "train_tensorboard": False,
        "train_reduce_lr": None,
    }
    if light:
        shared |= {
            "unet_n_filter_base": 16,
            "net_conv_after_unet": 64,
            "train_learning_rate": 0.001,
        }
    if len(way.patch) == 2:
        return StarDist2D(Config2D(n_rays=32, **shared), name="stardist", basedir=folder)
    extents = calculate_extents([ids for _, ids in learnt])
    anisotropy = tuple(float(one) for one in np.max(extents) / extents)
    config = Config3D(rays=Rays_GoldenSpiral(96, anisotropy), anisotropy=anisotropy, **shared)
    return StarDist3D(config, name="stardist", basedir=folder)


def trained(
    chosen: ObjectSet, way: Way, asked: argparse.Namespace, folder: str
) -> tuple[Any, float, dict[str, Any]]:
    """Train a network for processor seconds; return it, its threshold and a summary."""
    tf.random.set_seed(asked.seed)
    pairs = [(scaled(image), fill_label_holes(ids)) for image, ids in chosen.learnt]
    learnt, judged = held_out(pairs, asked.seed)
    model = network(way, learnt, folder, light=asked.light)
    model.prepare_for_training()
    budget = Budget(asked.seconds or chosen.seconds)
    model.callbacks.append(budget)
    steps = 50 if chosen.ndim == 2 else 10
    model.train(
        *map(list, zip(*learnt, strict=True)),
        validation_data=tuple(map(list, zip(*judged, strict=True))),
        augmenter=Variation(asked.seed),
        seed=asked.seed,
        epochs=1000,
        steps_per_epoch=steps,
    )
    level = tuned(model, judged, chosen.smallest)
    return model, level, {"trained_s": budget.seconds, "steps": budget.steps, "settled": level}


def objects(model: Any, image: Array, level: float, min_size: int) -> Array:
    """Predict the objects of a scaled image, without small ones."""
    ids, _ = model.predict_instances(image, prob_thresh=level, show_tile_progress=False)
    small = np.bincount(ids.reshape(-1)) < min_size
    return np.where(small[ids], 0, ids).astype(np.int32)


def tuned(model: Any, judged: Pairs, min_size: int) -> float:
    """Return the probability threshold with the best validation score, of those tried in time."""
    began, found = time.process_time(), {}
    for level in sorted(LEVELS, reverse=True):
        some = judged[:TUNED_ON]
        said = [objects(model, image, level, min_size) for image, _ in some]
        found[level] = scores(said, some)["map"]
        if time.process_time() - began > TUNING_SECONDS:
            break
    print("levels", found, flush=True)
    return max(found, key=lambda level: found[level])


def main() -> None:
    asking = parser(__doc__.splitlines()[0])
    asking.add_argument("--light", action="store_true", help="half the channels, a higher rate")
    asked = asking.parse_args()
    found: dict[str, dict[str, Any]] = {}
    for which in asked.sets:
        chosen = SETS[which](asked.data)
        with tempfile.TemporaryDirectory() as folder:
            model, level, how = trained(chosen, WAYS[which], asked, folder)
        said = [objects(model, scaled(image), level, chosen.smallest) for image, _ in chosen.tested]
        name = f"{which} | StarDist" + ", light" * asked.light
        found[name] = scores(said, chosen.tested) | how
        keep(asked, name, found[name], said)
    print(table(found))


if __name__ == "__main__":
    main()
