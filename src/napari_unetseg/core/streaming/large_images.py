"""Images of a batch, each block by block from its file to files."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_unetseg.core.compute.memory_limit import allowed
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io import may_be_lazy, stem_of
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.progress import Progress
from napari_unetseg.core.recipe import Batch
from napari_unetseg.core.recipe.execute import recipe_image
from napari_unetseg.core.recipe.results_folder import TABLES
from napari_unetseg.core.streaming.run_source import RunSource
from napari_unetseg.core.streaming.runners import Here, Runner
from napari_unetseg.core.streaming.stream_recipe import Streamed, stream

AT_ONCE_BYTES = 24.0
"""Memory that a pixel takes when an image is worked on at once: about, and at least."""


@dataclass(frozen=True)
class ByBlocks:
    """Makes the files of one image of a batch, block by block; see `run_batch`.

    Parameters
    ----------
    memory
        Gigabytes that blocks may take; 0 for half of what is free.
    resume
        Whether to go on with an unfinished run.
    runner
        Gives who does the blocks of an image.
    """

    memory: float = 0.0
    resume: bool = False
    runner: Callable[[RunSource], Runner] = lambda source: Here()

    def __call__(
        self, batch: Batch, path: Path, model: TrainedModel | None, progress: Progress
    ) -> int | None:
        """Return how many objects there are."""
        if len(batch.results.kinds) != 1:
            raise InputError(
                "Block by block one image is made, so flattened images cannot be kept beside "
                "labels. Leave --flattened out, or run a recipe of the background alone."
            )
        files = batch.results.files(stem_of(path))
        source = run_source_of(batch, path)
        made: Streamed = stream(
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
        return made.n_objects if batch.recipe.makes_objects else None


def run_source_of(batch: Batch, path: Path) -> RunSource:
    """Return how an image of a batch is opened anywhere."""
    return RunSource(str(path.resolve()), batch.recipe.image.axes, batch.level)


def too_large(batch: Batch, paths: Sequence[Path], memory: float = 0.0) -> list[Path]:
    """Return the images that do not fit in memory with all that is made of them.

    Images that cannot be read are not among them: whoever works on them says why.
    """
    limit, found = allowed(memory), []
    for path in filter(may_be_lazy, paths):
        try:
            image = recipe_image(batch.recipe, path, level=batch.level)
        except InputError:
            continue
        n_bytes = math.prod(image.shape) * max(np.dtype(image.dtype).itemsize, AT_ONCE_BYTES)
        if image.lazy and n_bytes > limit:
            found.append(path)
    return found


__all__ = ["ByBlocks", "run_source_of", "too_large"]
