"""Process a slide larger than memory to measured objects: memory, time, resume and workers.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/bench_slide.py [--side 20000] [--memory 0.8]
        [--minutes 0] [--part kill] [--part workers]

Synthetic nuclei are written as OME-Zarr, part by part. A recipe then runs block by block in its
own process: a background and a threshold or, with --minutes, a UNet trained for that time. Memory
is the rise of the process's peak above its peak before the run, with everything imported and
compiled. The objects are compared with the true ones and, in a crop, with those of the same levels
without blocks. Time is compared with that of the same stages on one block from the middle, times
the number of blocks. `--part kill` kills a process half-way and resumes; `--part workers` runs one
and two workers of one thread each, then two of which one is killed.
"""

import argparse
import os
import resource
import signal
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.background import BackgroundOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.open_segmenter import ready
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.io import read_image, write_image
from napari_unetseg.core.io.pyramid import PyramidLayout, create
from napari_unetseg.core.model.registry import spec_of
from napari_unetseg.core.models_io.native import load, save
from napari_unetseg.core.progress import silent
from napari_unetseg.core.recipe import MeasurementStep, Recipe, ThresholdStep, model_step
from napari_unetseg.core.streaming import LocalRunner, RunSource, estimate, stream
from napari_unetseg.core.training.train import train

PIECE = 1000
KNOBS = {"touching": 0.2, "unevenness": 0.3}
DRAWN = 16
CROP = 1500


def write_slide(path: Path, side: int) -> int:
    """Write a slide of repeated parts with a sloped background; return its number of nuclei."""
    drawn = [samples.nuclei((PIECE, PIECE), seed=seed, **KNOBS) for seed in range(DRAWN)]
    layout = PyramidLayout((side, side), "YX", np.uint16, (0.65, 0.65), "µm")
    array, n = create(path, layout)["s0"], 0
    slope = np.linspace(0, 400, side)
    for row in range(0, side, PIECE):
        strip = np.zeros((min(PIECE, side - row), side), np.uint16)
        for column in range(0, side, PIECE):
            piece = drawn[(row // PIECE * 7 + column // PIECE * 3) % DRAWN]
            inside = piece.image[: len(strip), : side - column]
            strip[:, column : column + PIECE] = inside + slope[column : column + inside.shape[1]]
            n += len(np.unique(piece.objects[: len(strip), : side - column])) - 1
        array[row : row + len(strip)] = strip
    return n


def recipe_of(folder: Path, minutes: float) -> Recipe:
    background = BackgroundOptions(terms="quadratic", robust="bright")
    measurement = MeasurementStep()
    if not minutes:
        step = ThresholdStep(
            result="objects", sigma=1.0, split=True, split_depth=0.2, min_size=60, fill_holes=True
        )
        return Recipe(background=background, threshold=step, measurement=measurement)
    lessons = []
    for seed in range(100, 104):
        one = samples.nuclei((512, 512), seed=seed, **KNOBS)
        lessons.append(TrainingPair(Image.of(one.image), one.objects))
    options = TrainOptions(budget=minutes)
    outcome = train(spec_of("unet"), lessons, options, name="nuclei", labels_are="objects")
    save(outcome.model, folder / "model.zip")
    step = model_step(folder / "model.zip", folder, PredictOptions(device="cpu"))
    return Recipe(
        background=background, model=step, objects={"min_size": 60}, measurement=measurement
    )


def megabytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def crop_of(image: Image, at: int) -> Image:
    box = (slice(at, at + CROP), slice(at, at + CROP))
    return Image(np.asarray(image.data[box]), "YX", image.spacing, image.unit)


class Stages(LocalRunner):
    """Run blocks in this process, and add up the time of each stage."""

    def __init__(self) -> None:
        super().__init__()
        self.cpu: dict[str, float] = {}

    def run(self, work, stage, tasks):
        start = time.process_time()
        yield from super().run(work, stage, tasks)
        name = stage.partition("-")[0]
        self.cpu[name] = self.cpu.get(name, 0.0) + time.process_time() - start


def model_of(recipe: Recipe, folder: Path):
    return None if recipe.model is None else load(folder / recipe.model.file)


def one_run(folder: Path, recipe: Recipe, name: str, memory: float, resume: bool) -> dict:
    """Run block by block in this process."""
    source, model = RunSource(str(folder / "slide.zarr")), model_of(recipe, folder)
    little = crop_of(source.open(), 0)
    little = Image(little.data[:300, :300], "YX", little.spacing, little.unit)
    stream(recipe, little, folder / "little.zarr", model=model)
    before, wall, cpu, stages = megabytes(), time.perf_counter(), time.process_time(), Stages()
    found = stream(
        recipe,
        source,
        folder / name,
        model=model,
        table=folder / f"{name}.csv",
        memory=memory,
        resume=resume,
        runner=stages,
    )
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "stages": stages.cpu,
        "memory": megabytes() - before,
        "n": found.n_objects,
        "rows": len(found.table["label"]),
    }


def cost(folder: Path, recipe: Recipe, memory: float):
    cpu = time.process_time()
    source = RunSource(str(folder / "slide.zarr"))
    found = estimate(recipe, source.open(), model=model_of(recipe, folder), memory=memory)
    return found, time.process_time() - cpu


def untiled(folder: Path, recipe: Recipe, name: str) -> tuple[int, int, int]:
    """Compare a crop of the objects with those of a run of the crop's surroundings alone.

    The background and the levels are those of the slide, evaluated on the whole crop.
    """
    from napari_unetseg.core.recipe.execute import run_recipe
    from napari_unetseg.core.streaming.prepare_run import prepare, restore

    image, margin = RunSource(str(folder / "slide.zarr")).open(), 200
    model = model_of(recipe, folder)
    parameters = prepare(recipe, image, model, lambda fraction, message="": None).parameters
    at = (image.shape[0] // 2 - CROP // 2) // 64 * 64  # aligned to the network's own grid
    prepared = restore(recipe, image, parameters)
    flattened = crop_of(prepared.given, at)
    if recipe.threshold is not None:
        step = recipe.threshold.model_copy(update={"values": tuple(parameters["levels"][0])})
        labels = run_recipe(Recipe(threshold=step), flattened).labels.asarray()
    else:
        segmenter_image, segmenter, scaling, _ = ready(
            model, flattened, PredictOptions(device="cpu"), silent, prepared.scaling
        )
        from napari_unetseg.core.inference.predict_objects import predict_objects_image

        labels = predict_objects_image(
            segmenter_image, segmenter, scaling, model.values, recipe.decoding(model)
        ).asarray()
    inner = (slice(margin, CROP - margin), slice(margin, CROP - margin))
    whole = labels[inner]
    box = tuple(slice(at + part.start, at + part.stop) for part in inner)
    blocks = np.asarray(read_image(folder / name).data[box])
    pairs = np.unique(np.stack([whole.ravel(), blocks.ravel()]), axis=1)
    n_one, n_two = len(np.unique(whole)), len(np.unique(blocks))
    same = pairs.shape[1] == n_one == n_two  # the same partition with other ids
    return n_one - 1, n_two - 1, int(same)


def in_its_own_process(way, *given):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(way, *given).result()


def kill_and_resume(folder: Path, recipe: Recipe, memory: float) -> None:
    process = get_context("spawn").Process(
        target=one_run, args=(folder, recipe, "killed.zarr", memory, False)
    )
    process.start()
    done = folder / ".killed.zarr.unfinished" / "done" / "objects"
    while len(list(done.glob("*.npz"))) < 3:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    found = in_its_own_process(one_run, folder, recipe, "killed.zarr", memory, True)
    print(f"\nkilled and resumed: {found['n']:,} objects, the rest {found['wall']:.0f} s")
    print(f"pixels {compared(folder, 'blocks.zarr', 'killed.zarr')}")


def compared(folder: Path, one: str, two: str) -> str:
    first, second = (read_image(folder / name).data for name in (one, two))
    for row in range(0, first.shape[0], 2048):
        rows = slice(row, row + 2048)
        if not np.array_equal(np.asarray(first[rows]), np.asarray(second[rows])):
            return "NOT THE SAME"
    return "the same"


def workers(folder: Path, recipe: Recipe, memory: float) -> None:
    from napari_unetseg.core.streaming.cluster import Cluster, cluster

    source, model = RunSource(str(folder / "slide.zarr")), model_of(recipe, folder)
    piece = RunSource(str(folder / "piece.zarr"))
    write_image(Path(piece.path), crop_of(source.open(), 0))
    file = None if recipe.model is None else folder / recipe.model.file

    class Killing(Cluster):
        after, n = 10**9, 0

        def run(self, work, stage, tasks):
            for number, found in super().run(work, stage, tasks):
                self.n += 1
                if self.n == self.after:
                    os.kill(next(iter(self._client.run(os.getpid).values())), signal.SIGKILL)
                yield number, found

    times = {}
    for jobs, after in ((1, 10**9), (2, 10**9), (2, 8)):
        with cluster(jobs=jobs) as client:
            how = {"model": model, "memory": memory}
            # Workers import and compile during their first blocks.
            warming = Cluster(client, piece, file)
            stream(recipe, piece, folder / "warm.zarr", runner=warming, model=model, memory=0.02)
            runner = Killing(client, source, file)
            runner.after = after
            name = f"workers{jobs}-{min(after, 9)}.zarr"
            start = time.perf_counter()
            found = stream(recipe, source, folder / name, runner=runner, **how)
            seconds = time.perf_counter() - start
        times.setdefault(jobs, seconds)
        killed = ", one killed" if after < 100 else ""
        same = compared(folder, "blocks.zarr", name)
        print(f"{jobs} worker(s){killed}: {seconds:.0f} s, {found.n_objects:,} objects, {same}")
    print(f"two workers against one: {times[1] / times[2]:.2f} times", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4000)
    parser.add_argument("--memory", type=float, default=0.7)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--part", action="append", default=[], choices=["kill", "workers"])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        n = write_slide(folder / "slide.zarr", asked.side)
        recipe = recipe_of(folder, asked.minutes)
        said, _ = in_its_own_process(cost, folder, recipe, asked.memory)
        print(f"estimated: {said}", flush=True)
        found = in_its_own_process(one_run, folder, recipe, "blocks.zarr", asked.memory, False)
        pixels = asked.side**2 / 1e6
        print(
            f"{asked.side} x {asked.side}: {found['wall']:.0f} s, processor {found['cpu']:.0f} s "
            f"({found['cpu'] / pixels:.3f} s a megapixel), memory +{found['memory']:.0f} MB"
        )
        print("processor seconds: ", {k: round(v, 1) for k, v in found["stages"].items()})
        print(f"objects: {found['n']:,} of {n:,} drawn; {found['rows']:,} rows", flush=True)
        print("crop without blocks, blocks, the same:", *untiled(folder, recipe, "blocks.zarr"))
        if "kill" in asked.part:
            kill_and_resume(folder, recipe, asked.memory)
        if "workers" in asked.part:
            workers(folder, recipe, asked.memory)


if __name__ == "__main__":
    main()
