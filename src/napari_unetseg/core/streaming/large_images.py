"""Process the images of a batch block by block, from file to files."""

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_unetseg.core.compute.memory_limit import allowed
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io import may_be_lazy, stem_of
from napari_unetseg.core.io.stored_arrays import bytes_in_words
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.foreign import NeedsTrust
from napari_unetseg.core.progress import Progress
from napari_unetseg.core.recipe import Batch
from napari_unetseg.core.recipe.execute import recipe_image
from napari_unetseg.core.recipe.image_batch import Made
from napari_unetseg.core.recipe.results_folder import TABLES
from napari_unetseg.core.streaming.cost_estimate import estimate_all
from napari_unetseg.core.streaming.run_source import RunSource
from napari_unetseg.core.streaming.runners import LocalRunner, Runner
from napari_unetseg.core.streaming.stream_recipe import Streamed, stream

AT_ONCE_BYTES = 24.0
"""Minimum memory in bytes per pixel when an image is processed as a whole; approximate."""


@dataclass(frozen=True)
class ByBlocks:
    """Write the results of one image of a batch, block by block; see `run_batch`.

    Parameters
    ----------
    memory
        Memory for blocks in gigabytes; 0 for half of the free memory.
    resume
        Whether to resume an unfinished run.
    runner
        Makes the runner for the blocks of an image.
    """

    memory: float = 0.0
    resume: bool = False
    runner: Callable[[RunSource], Runner] = lambda source: LocalRunner()

    def __call__(
        self, batch: Batch, path: Path, model: TrainedModel | None, progress: Progress
    ) -> Made:
        """Process an image."""
        if len(batch.results.kinds) != 1 and batch.recipe.cells is None:
            raise InputError(
                "Processing block by block writes only one image, so flattened images cannot be "
                "written as well as labels. Leave --flattened out, or run a recipe with the "
                "background step alone."
            )
        files = batch.results.files(stem_of(path))
        source = make_run_source(batch, path)
        streamed: Streamed = stream(
            batch.recipe,
            source,
            files[batch.results.kinds[0]],
            model=model,
            table=files.get(TABLES),
            memory=self.memory,
            resume=self.resume,
            runner=self.runner(source),
            progress=progress,
        )
        if streamed.table is not None:
            batch.results.write_tracks(stem_of(path), streamed.table)
        return Made(streamed.n_objects if batch.recipe.makes_objects else None, streamed.warning)


def make_run_source(batch: Batch, path: Path) -> RunSource:
    """Make the source of an image of a batch, with an absolute path."""
    return RunSource(
        str(path.resolve()), batch.recipe.image.axes, batch.level, batch.recipe.image.scene
    )


def expected_cost(batch: Batch, paths: Sequence[Path], progress: Progress) -> str:
    """Estimate the cost of the large images of a batch, in words; it takes a few seconds.

    The words are empty if it cannot be estimated, for example because the middle of an image is
    blank: running the batch reports what is wrong, for each image.
    """
    try:
        images = [make_run_source(batch, path).open() for path in paths]
        cost = estimate_all(batch.recipe, images, model=batch.model(), progress=progress)
    except NeedsTrust:
        raise
    except InputError:
        return ""
    place = batch.out.absolute()
    folder = next(folder for folder in (place, *place.parents) if folder.exists())
    free = shutil.disk_usage(folder).free
    short = f", more than the {bytes_in_words(free)} that are free" if cost.disk > free else ""
    return f"{cost.in_short}{short}"


def too_large(batch: Batch, paths: Sequence[Path], memory: float = 0.0) -> list[Path]:
    """Return the images that do not fit in memory with their intermediate results.

    Images that cannot be read are left out: processing them reports the error.
    """
    limit, large = allowed(memory), []
    for path in filter(may_be_lazy, paths):
        try:
            image = recipe_image(batch.recipe, path, level=batch.level)
        except InputError:
            continue
        n_bytes = math.prod(image.shape) * max(np.dtype(image.dtype).itemsize, AT_ONCE_BYTES)
        if image.lazy and n_bytes > limit:
            large.append(path)
    return large


__all__ = ["ByBlocks", "expected_cost", "make_run_source", "too_large"]
