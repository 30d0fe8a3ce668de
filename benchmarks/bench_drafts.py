"""Train a UNet on a threshold draft with a few corrections, and compare it with that draft.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/bench_drafts.py DATA [--neurons 3] [--first 0]
        [--strokes 40] [--starts suggested nothing] [--seconds 60] [--seed 0]

Follows the tutorial on neurons: the image of `neurons_rgb_cc0` in DATA is flattened, the best level
of a threshold gives the draft, pieces that are no neuron are erased, and strokes of 60 × 13 pixels
correct it where most pixels are wrong, along the error. A UNet is trained on the corrected mask and
predicts the image that it was trained on, and two other ones. SECONDS are of the processor. Prints
the Dice of each as Markdown.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from objects_on_real_images import processor_time
from scipy.ndimage import binary_dilation, gaussian_filter, label, maximum_position

from napari_unetseg import api
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.io import read_image, read_labels
from napari_unetseg.core.model.registry import RUNGS
from napari_unetseg.core.scoring.pixel_scores import dice
from napari_unetseg.core.threshold import ThresholdOptions, threshold
from napari_unetseg.core.training.train import train

LENGTH, WIDTH = 60, 13
DARKER = np.geomspace(0.5, 40, 24)
"""Per cent of the image that are darker than each level tried."""

OTHERS = 2

Mask = NDArray[np.bool_]


def opened(data: Path, number: int) -> tuple[Image, Mask]:
    """Return a flattened neuron and the mask that an expert drew."""
    file = sorted((data / "neurons_rgb_cc0" / "images").iterdir())[number]
    mask = next((data / "neurons_rgb_cc0" / "masks").glob(f"{file.stem}.*"))
    flat = api.flatten(read_image(file).grey(), robust="dark", mode="divide")
    return flat, read_labels(mask).asarray() > 0


def drafted(image: Image, truth: Mask) -> Mask:
    """Return the best of the thresholds, without pieces that are no part of the neuron."""
    drafts = []
    for level in np.percentile(image.asarray(), DARKER):
        options = ThresholdOptions(
            method="manual", value=level, objects="dark", sigma=1, min_size=60, fill_holes=True
        )
        made = threshold(image, options).labels
        pieces, _ = label(np.asarray(made) > 0)
        drafts.append(np.isin(pieces, np.unique(pieces[truth & (pieces > 0)])))
    return max(drafts, key=lambda draft: dice(draft, truth))


def stroked(wrong: Mask) -> Mask:
    """Return a stroke in the place with most wrong pixels, where it goes along them."""
    middle = np.array(maximum_position(gaussian_filter(wrong.astype(np.float32), LENGTH / 4)))
    along = np.linspace(-0.5, 0.5, LENGTH)[:, None] * LENGTH
    best, most = np.zeros_like(wrong), -1
    for angle in np.arange(8) * np.pi / 8:
        way = np.array([np.sin(angle), np.cos(angle)])
        at = np.clip(np.round(middle + along * way), 0, np.array(wrong.shape) - 1).astype(int)
        line = np.zeros_like(wrong)
        line[tuple(at.T)] = True
        line = binary_dilation(line, iterations=WIDTH // 2)
        if (count := int(np.count_nonzero(line & wrong))) > most:
            best, most = line, count
    return best


def corrected(draft: Mask, truth: Mask, strokes: int) -> Mask:
    """Return a draft after strokes of the brush and the eraser, which change what is wrong."""
    mask = draft.copy()
    for _ in range(strokes):
        part = stroked(mask != truth)
        mask[part] = truth[part]
    return mask


def main() -> None:
    asking = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asking.add_argument("data", type=Path)
    asking.add_argument("--neurons", type=int, default=3)
    asking.add_argument("--first", type=int, default=0)
    asking.add_argument("--strokes", type=int, default=40)
    asking.add_argument("--starts", nargs="*", default=["suggested", "nothing"])
    asking.add_argument("--seconds", type=float, default=60)
    asking.add_argument("--seed", type=int, default=0)
    asked = asking.parse_args()
    print("| neuron | draft | corrected | start | the same image | other images |")
    print("|--:|--:|--:|---|--:|--:|")
    options = TrainOptions(budget=asked.seconds / 60, seed=asked.seed)
    for number in range(asked.first, asked.first + asked.neurons):
        image, truth = opened(asked.data, number)
        draft = drafted(image, truth)
        mask = corrected(draft, truth, asked.strokes)
        others = [opened(asked.data, (number + k) % 12) for k in range(1, 1 + OTHERS)]
        told = f"{number} | {dice(draft, truth):.3f} | {dice(mask, truth):.3f}"
        for start in asked.starts:
            begin = None if start == "nothing" else "suggested"
            pairs = [TrainingPair(image, mask.astype(np.int32))]
            spec = RUNGS["unet"].spec()
            with processor_time():
                made = train(spec, pairs, options, name=start, labels_are="mask", start=begin)
            scores = [
                dice(
                    np.asarray(predict(made.model, seen, PredictOptions(what="classes")).data) > 0,
                    true,
                )
                for seen, true in [(image, truth), *others]
            ]
            print(f"| {told} | {start} | {scores[0]:.3f} | {np.mean(scores[1:]):.3f} |", flush=True)


if __name__ == "__main__":
    main()
