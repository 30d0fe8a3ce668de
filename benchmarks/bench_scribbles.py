"""Measure the Dice of each rung trained on a few strokes, on unseen images, by training time.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/bench_scribbles.py [--seeds 5] [--jobs 2]
        [--seconds 1 10 30 60] [--out FILE.json]

The images are synthetic neurons (two classes) and a synthetic tissue (slide and two tissues that
differ only in texture), 512 x 512, with 200 painted pixels per class in short strokes; the Dice is
the mean over the foreground classes of two other images. Seconds are processor seconds of one core,
so that other work on the machine has no effect; evaluation is not counted. A network is trained
once, for the longest of the times, and evaluated on the way; its last figure is that of the model
that the training returns, which is the lower rung if that was better on the validation strokes.
Random forest and extra trees use the same filter bank, if scikit-learn is installed.
"""

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.open_segmenter import open_segmenter
from napari_unetseg.core.inference.predict_tiles import predict_classes_image
from napari_unetseg.core.model.network_specs import CnnSpec, ModelSpec, UNetSpec
from napari_unetseg.core.model.pixel_specs import LogisticSpec, MlpSpec, SoftmaxSpec, mixed_inputs
from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation
from napari_unetseg.core.samples import Sample, neurons, tissue
from napari_unetseg.core.training.train import train

SHAPE, PAINTED, STROKE = (512, 512), 200, 40
SCENES = {"neurons": neurons, "tissue": tissue}
FORESTS = ("random forest", "extra trees")
NETWORKS = {"cnn": CnnSpec(), "unet": UNetSpec()}


class Stopwatch:
    """Measure the processor seconds of this process, without excluded work."""

    def __init__(self) -> None:
        self.left_out = 0.0

    def monotonic(self) -> float:
        return time.process_time() - self.left_out

    def leave_out(self, work: Any) -> Any:
        """Call `work` without counting its time, and return its result."""
        began = time.process_time()
        found = work()
        self.left_out += time.process_time() - began
        return found


def painted(classes: np.ndarray, n_classes: int, rng: np.random.Generator) -> np.ndarray:
    """Paint straight strokes, two pixels wide, of every class: 1 is the background."""
    strokes = np.zeros(classes.shape, np.uint8)
    for value in range(n_classes):
        places = np.argwhere(classes == value)
        left = PAINTED
        while left > 0:
            at, angle = places[rng.integers(len(places))], rng.uniform(0, np.pi)
            along = np.arange(min(STROKE, left) / 2) - STROKE / 4
            line = np.rint(at + along[:, None] * [np.sin(angle), np.cos(angle)]).astype(int)
            both = np.concatenate([line, line + np.array([0, 1])])
            both = both[np.all((both >= 0) & (both < classes.shape), axis=1)]
            rows, columns = both[classes[tuple(both.T)] == value].T
            fresh = strokes[rows, columns] == 0
            strokes[rows[fresh], columns[fresh]] = value + 1
            left -= len(set(zip(rows[fresh].tolist(), columns[fresh].tolist(), strict=True)))
    return strokes


def dice_of(found: list[np.ndarray], exam: list[Sample]) -> float:
    """Compute the mean Dice of the foreground classes, over all images together."""
    scores = []
    for value in range(1, len(exam[0].class_names) + 1):
        pairs = [(f == value + 1, s.classes == value) for f, s in zip(found, exam, strict=True)]
        both = sum((a & b).sum() for a, b in pairs)
        scores.append(2 * both / max(sum(a.sum() + b.sum() for a, b in pairs), 1))
    return float(np.mean(scores))


def judged(segmenter: Any, exam: list[Sample]) -> float:
    """Compute the Dice of a segmenter."""
    found = []
    for sample in exam:
        image = sample.as_image()
        scaling = fit_normalisation(image, NormalisationSpec())
        found.append(predict_classes_image(image, segmenter, scaling, first=1).asarray())
    return dice_of(found, exam)


def network_run(
    spec: ModelSpec, climbing: str, lesson: TrainingPair, exam: list[Sample], marks: list[float]
) -> list[float]:
    """Train once and return the Dice at each of the times."""
    from napari_unetseg.core.nn.training import schedule

    watch = Stopwatch()
    schedule.time = SimpleNamespace(monotonic=watch.monotonic)  # type: ignore[attr-defined]
    found: list[float] = []
    began = watch.monotonic()

    def look(segmenter: Any) -> None:
        while len(found) < len(marks) - 1 and watch.monotonic() - began >= marks[len(found)]:
            found.append(watch.leave_out(lambda: judged(segmenter, exam)))

    options = TrainOptions(budget=marks[-1] / 60, climbing=climbing, preview_every=0.5)
    model = train(spec, [lesson], options, name="bench", preview=look).model
    return [
        *found,
        *[float("nan")] * (len(marks) - 1 - len(found)),
        judged(open_segmenter(model), exam),
    ]


def forest_run(name: str, lesson: TrainingPair, exam: list[Sample]) -> float:
    """Fit trees to the features of the pixel rungs."""
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

    def inputs(image: Image) -> np.ndarray:
        scaled = fit_normalisation(image, NormalisationSpec()).apply(np.asarray(image.data)[None])
        return mixed_inputs(scaled, LogisticSpec()).whole()

    kind = RandomForestClassifier if name == FORESTS[0] else ExtraTreesClassifier
    known = lesson.labels > 0
    trees = kind(100, random_state=0, n_jobs=1)
    trees.fit(inputs(lesson.image)[:, known].T, lesson.labels[known])
    found = [
        trees.predict(inputs(s.as_image()).reshape(-1, s.classes.size).T).reshape(SHAPE)
        for s in exam
    ]
    return dice_of(found, exam)


def run(job: tuple[str, str, int], marks: list[float]) -> tuple[str, list[float]]:
    """Compute the Dice at each time for one method, scene and seed."""
    import torch

    torch.set_num_threads(1)
    scene, way, seed = job
    draw = SCENES[scene]
    sample = draw(SHAPE, seed=10 * seed)
    exam = [draw(SHAPE, seed=10 * seed + more) for more in (1, 2)]
    n_classes = len(sample.class_names) + 1
    strokes = painted(sample.classes, n_classes, np.random.default_rng(seed))
    lesson = TrainingPair(sample.as_image(), strokes)
    if way in FORESTS:
        found = [forest_run(way, lesson, exam)] * len(marks)
    elif way.split()[0] in NETWORKS:
        kind, climbing = way.split()
        found = network_run(NETWORKS[kind], climbing, lesson, exam, marks)
    else:
        linear = LogisticSpec() if len(sample.class_names) == 1 else SoftmaxSpec()
        spec = linear if way == "linear" else MlpSpec()
        model = train(spec, [lesson], TrainOptions(), name="bench").model
        found = [judged(open_segmenter(model), exam)] * len(marks)
    return " | ".join(map(str, job)), found


def table(found: dict[str, list[float]], ways: list[str], marks: list[float]) -> list[str]:
    """Format the rows of a table in Markdown: mean and worst over the seeds."""
    lines = []
    for scene in SCENES:
        lines += ["", f"| {scene} | " + " | ".join(f"{mark:g} s" for mark in marks) + " |"]
        lines.append("|---|" + "--:|" * len(marks))
        for way in ways:
            rows = [f for key, f in found.items() if key.startswith(f"{scene} | {way} |")]
            if rows:
                both = zip(np.nanmean(rows, 0), np.nanmin(rows, 0), strict=True)
                cells = [f"{mean:.3f} ({worst:.3f})" for mean, worst in both]
                lines.append(f"| {way} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=float, nargs="+", default=[1, 10, 30, 60])
    parser.add_argument("--ways", nargs="*")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    ways = ["linear", "mlp", *(f"{kind} {how}" for kind in NETWORKS for how in ("off", "on"))]
    try:
        import sklearn  # noqa: F401

        ways[2:2] = FORESTS
    except ModuleNotFoundError:
        print("scikit-learn is not installed: no forests.")
    ways = [way for way in ways if not asked.ways or way in asked.ways]
    found: dict[str, list[float]] = {}
    if asked.out and asked.out.exists():
        found = json.loads(asked.out.read_text())
    jobs = [(scene, way, seed) for seed in range(asked.seeds) for scene in SCENES for way in ways]
    left = [job for job in jobs if " | ".join(map(str, job)) not in found]
    with ProcessPoolExecutor(asked.jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
        for key, scores in pool.map(partial(run, marks=asked.seconds), left):
            found[key] = scores
            print(key, *(f"{score:.3f}" for score in scores), flush=True)
            if asked.out:
                asked.out.write_text(json.dumps(found, indent=1))
    print("\n".join(table(found, ways, asked.seconds)))


if __name__ == "__main__":
    main()
