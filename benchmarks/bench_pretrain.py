"""Measure the gain in Dice from pretraining on unlabelled images, by number of labelled images.

    python benchmarks/bench_pretrain.py [FOLDER] [--steps 80] [--before 250]

A FOLDER contains images in ``images`` and labels of the same names, 0 for background, in
``masks``; without one, synthetic nuclei are used. The last twelve images are the test set; the
others are used for pretraining, without labels, and 1, 2, 4 and 8 of them with labels. The same
small UNet is trained on these for the same steps: from random weights, and after pretraining on
restoring masked or noisy images. The table gives mean and range of the Dice over the draws. It
takes some minutes of one processor core.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.pretrain_options import PretrainOptions
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.io import read_image, read_labels
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.nn.training.pretrain import Pretrained, pretrain
from napari_unetseg.core.samples import nuclei
from napari_unetseg.core.scoring.pixel_scores import dice
from napari_unetseg.core.training.pretraining import Pretraining
from napari_unetseg.core.training.train import train

LABELLED = (1, 2, 4, 8)
TESTED = 12
SIDE = 256
TASKS = ("masked", "denoise")


def pairs_of(folder: Path | None, seed: int) -> list[tuple[Image, np.ndarray]]:
    """Return images and masks, at most `SIDE` pixels a side, in random order."""
    if folder is None:
        drawn = [nuclei((160, 160), seed=seed) for seed in range(TESTED + 40)]
        return [(sample.as_image(), sample.mask) for sample in drawn]
    files = sorted((folder / "images").iterdir())
    order = np.random.default_rng(seed).permutation(len(files))[: TESTED + 60]
    found = []
    for file in (files[k] for k in order):
        mask = next((folder / "masks").glob(f"{file.stem}.*"))
        image, labels = read_image(file).grey(), read_labels(mask).asarray()
        start = [max((side - SIDE) // 2, 0) for side in labels.shape]
        part = tuple(slice(s, s + SIDE) for s in start)
        found.append((Image(image.asarray()[part], "YX"), labels[part] > 0))
    return found


def score(model, tested: list[tuple[Image, np.ndarray]]) -> float:
    """Compute the mean Dice on the test images."""
    return float(
        np.mean([dice(predict(model, image).asarray() == 1, mask) for image, mask in tested])
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--before", type=int, default=250)
    parser.add_argument("--draws", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    spec = UNetSpec(width=8, resolution="full")
    scores: dict[tuple[str, int], list[float]] = {}
    for draw in range(args.draws):
        pairs = pairs_of(args.folder, draw)
        seen, tested = pairs[:-TESTED], pairs[-TESTED:]
        plan = TrainOptions(
            until="epochs",
            epochs=1,
            steps=args.steps,
            patch=128,
            validation=0,
            seed=draw,
            averaging=0.95,
        )
        images = [image for image, _ in seen]
        known: dict[str, Pretrained | None] = {"nothing": None}
        for task in TASKS:
            how = PretrainOptions(pretrain_task=task, pretrain_steps=args.before)
            known[task] = pretrain(spec, images, how, plan)
            print(f"draw {draw + 1}: {known[task].message}", flush=True)
        for n in LABELLED:
            lessons = [TrainingPair(image, mask.astype(np.uint8)) for image, mask in seen[:n]]
            for task, done in known.items():
                before = None if done is None else Pretraining(images, done.options, done)
                model = train(
                    spec, lessons, plan, name=task, labels_are="mask", pretraining=before
                ).model
                scores.setdefault((task, n), []).append(score(model, tested))
            told = ", ".join(f"{task} {scores[task, n][-1]:.3f}" for task in known)
            print(f"draw {draw + 1}, {n} labelled: {told}", flush=True)
    print(f"\nDice on {TESTED} images, mean (least to most) of {args.draws} draws")
    print("labelled images" + "".join(f"{task:>24}" for task in ("nothing", *TASKS)))
    for n in LABELLED:
        line = f"{n:15}"
        for task in ("nothing", *TASKS):
            of = scores[task, n]
            line += f"{f'{np.mean(of):.3f} ({min(of):.3f} to {max(of):.3f})':>24}"
        print(line)
    print(f"{time.process_time() - began:.0f} s of processor time")


if __name__ == "__main__":
    main()
