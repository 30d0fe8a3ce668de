"""Estimate the time, memory and disk space of a run from one block of the image."""

import math
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from napari_unetseg.core.atomic_files import temporary_folder
from napari_unetseg.core.compute.memory_limit import allowed
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import sees_stacks
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.progress import Progress, part, silent
from napari_unetseg.core.recipe import Recipe
from napari_unetseg.core.streaming.block_evidence import MODEL_BYTES, THRESHOLD_BYTES
from napari_unetseg.core.streaming.block_grid import sides_for
from napari_unetseg.core.streaming.block_work import Work
from napari_unetseg.core.streaming.runners import LocalRunner, Task
from napari_unetseg.core.streaming.stream_recipe import stream

_WARM_UP_SIDE = 160
_INTERVAL = 0.01
_SMALL = 0.1  # gigabytes for the block of a quick estimate


@dataclass(frozen=True)
class Cost:
    """Hold the estimated cost of a run.

    Parameters
    ----------
    seconds
        Time in one process.
    memory
        Memory in bytes, in addition to the program itself.
    disk, result
        Peak bytes on disk during the run, and bytes of the result.
    blocks
        Number of blocks.
    side
        Longest side of a block in pixels.
    """

    seconds: float
    memory: float
    disk: float
    result: float
    blocks: int
    side: int

    def __str__(self) -> str:
        return (
            f"about {_time(self.seconds)}, {_size(self.memory)} of memory, {_size(self.disk)} of "
            f"disk while it runs and {_size(self.result)} for the result; {self.blocks:,} blocks "
            f"of up to {self.side:,} pixels a side"
        )

    @property
    def in_short(self) -> str:
        """The time, and the bytes on disk, in words."""
        return (
            f"about {_time(self.seconds)}, {_size(self.disk)} of disk while it runs and "
            f"{_size(self.result)} for the result"
        )


def estimate_all(
    recipe: Recipe,
    images: Sequence[Image],
    *,
    model: TrainedModel | None = None,
    progress: Progress = silent,
) -> Cost:
    """Estimate the cost of running a recipe on images one after another, in a few seconds.

    A small block of the largest image is run, and the others are taken to cost as much per pixel.
    The memory and the blocks are those of the small block.

    Raises
    ------
    InputError
        As `estimate`.
    """
    largest = max(images, key=lambda image: math.prod(image.shape))
    one = estimate(recipe, largest, model=model, memory=_SMALL, progress=progress)
    times = sum(math.prod(image.shape) for image in images) / math.prod(largest.shape)
    # The results of the others lie beside the blocks of the largest one.
    disk = one.disk + (times - 1) * one.result
    return replace(one, seconds=times * one.seconds, disk=disk, result=times * one.result)


def estimate(
    recipe: Recipe,
    image: Image,
    *,
    model: TrainedModel | None = None,
    memory: float = 0.0,
    progress: Progress = silent,
) -> Cost:
    """Estimate the cost of running a recipe on an image.

    Runs all steps on a block from the middle of the image, in a temporary folder, after a small
    warm-up block that has everything imported and compiled.

    Parameters
    ----------
    recipe, image, model, memory
        As for `napari_unetseg.core.streaming.stream`.

    Raises
    ------
    InputError
        As `stream`.
    """
    deep = _deep(recipe, model, image) and "Z" in image.axes
    axes = "ZYX" if deep else "YX"
    shape = [image.length(axis) for axis in axes]
    per_pixel = THRESHOLD_BYTES if recipe.model is None else MODEL_BYTES
    sides = sides_for(shape, allowed(memory), per_pixel, (1,) * len(axes))
    with temporary_folder() as folder:
        out = folder / "out.zarr"
        warm_up = _middle(image, dict(zip(axes, (_WARM_UP_SIDE,) * len(axes), strict=True)))
        stream(recipe, warm_up, out, model=model, progress=part(progress, 0, 0.3))
        block = _middle(image, dict(zip(axes, sides, strict=True)))
        watcher = _Watching()
        start = time.perf_counter()
        with _most_memory() as grown:
            streamed = stream(
                recipe,
                block,
                out,
                model=model,
                memory=memory,
                runner=watcher,
                progress=part(progress, 0.3, 1),
            )
        seconds = time.perf_counter() - start
        result = _bytes_in(streamed.path)
    times = math.prod(image.shape) / math.prod(block.shape)
    return Cost(
        seconds * times,
        grown[0],
        watcher.most * times,
        result * times,
        math.prod(-(-n // side) for n, side in zip(shape, sides, strict=True))
        * math.prod(image.length(axis) for axis in "TZ" if axis not in axes),
        max(sides),
    )


class _Watching(LocalRunner):
    """Process blocks in this process and record the peak disk use."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0

    def run(self, work: Work, stage: str, tasks: Iterable[Task]) -> Iterator[Task]:
        yield from super().run(work, stage, tasks)
        self.most = max(self.most, _bytes_in(work.folder.path))


def _deep(recipe: Recipe, model: TrainedModel | None, image: Image) -> bool:
    """Return whether blocks are blocks of stacks."""
    if recipe.threshold is not None:
        return recipe.threshold.per == "stack"
    return (
        model is not None and recipe.model is not None and sees_stacks(recipe.model, model, image)
    )


def _middle(image: Image, sides: dict[str, int]) -> Image:
    """Return the middle of an image, of one time point and one plane or stack."""
    at = []
    for axis, n in zip(image.axes, image.shape, strict=True):
        side = n if axis == "C" else sides.get(axis, 1)
        start = max(0, (n - side) // 2)
        at.append(slice(start, start + side))
    data = image.data[tuple(at)]
    return replace(image, data=data)


@contextmanager
def _most_memory() -> Iterator[list[float]]:
    """Yield a list with one number: the peak growth of this process's memory, in bytes."""
    import psutil

    process, ended, grown = psutil.Process(), threading.Event(), [0.0]
    before = process.memory_info().rss

    def watch() -> None:
        while not ended.wait(_INTERVAL):
            grown[0] = max(grown[0], float(process.memory_info().rss - before))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield grown
    finally:
        ended.set()
        thread.join()


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 5e7 else f"{n_bytes / 1e6:.1f} MB"


__all__ = ["Cost", "estimate", "estimate_all"]
