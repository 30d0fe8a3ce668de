"""Run a recipe on many images; report failures and keep finished results."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io import stem_of
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.progress import Progress, part, silent
from napari_unetseg.core.recipe.batch_summary import ImageRow, write_summary
from napari_unetseg.core.recipe.execute import recipe_image, recipe_model, run_recipe
from napari_unetseg.core.recipe.finished_log import Finished
from napari_unetseg.core.recipe.process_pool import OpenPool, processes, raise_if_ended, run_tasks
from napari_unetseg.core.recipe.recipe import Recipe
from napari_unetseg.core.recipe.recipe_steps import ModelStep
from napari_unetseg.core.recipe.results_folder import ResultsFolder

RowCallback = Callable[[ImageRow], None]
"""Callback with the state of an image: when it begins, while it runs and when it ends."""

Make = Callable[["Batch", Path, TrainedModel | None, Progress], "Made"]
"""Function that writes the results of one image."""

_PROCESS_ENDED = (
    "The system ended the process that worked on it, probably because memory ran out. Use "
    "fewer --jobs, or a smaller model.tile."
)
_NO_MEMORY = "It does not fit in memory. Save it as .zarr, or set a smaller model.tile."
_WRITING_FROM = 0.9


@dataclass(frozen=True)
class Made:
    """Hold what is known of an image whose results are written.

    Parameters
    ----------
    objects
        Number of objects; None if the recipe makes none.
    warning
        A sentence on why the results may be wrong, or ``""``.
    """

    objects: int | None
    warning: str = ""


@dataclass(frozen=True)
class Batch:
    """Hold a recipe and the images to run it on.

    Parameters
    ----------
    recipe
        The steps and their options.
    inputs
        The image files, without duplicates.
    out
        The results folder; see `ResultsFolder`.
    folder
        The recipe's folder, which its model path is relative to.
    flattened
        Whether to write background-corrected images as well as labels.
    trust
        Whether TorchScript, which can execute code, may be run.
    suffix
        File suffix of the images that are written.
    level
        Resolution level to process, for multi-resolution images; 0 is the full resolution.
    """

    recipe: Recipe
    inputs: tuple[Path, ...]
    out: Path
    folder: Path = Path()
    flattened: bool = False
    trust: bool = False
    suffix: str = ".tif"
    level: int = 0

    @property
    def results(self) -> ResultsFolder:
        """The results folder."""
        return ResultsFolder(self.out, self.recipe, self.flattened, self.suffix, self.level)

    def model(self) -> TrainedModel | None:
        """Open the model; see `recipe_model`."""
        return recipe_model(self.recipe, self.folder, trust=self.trust)

    def cell_model(self) -> TrainedModel | None:
        """Open the model that finds the cells, once for all images; see `recipe_cell_model`."""
        return _cached_model(self.recipe.cell_model, None, self.folder, self.trust)


@dataclass(frozen=True)
class _Task:
    """Name an image of a batch, in a form small enough to send to another process."""

    batch: Batch
    path: Path


def run_batch(
    batch: Batch,
    *,
    resume: bool = False,
    jobs: int = 1,
    open_pool: OpenPool = processes,
    make: Make | None = None,
    on_row: RowCallback = lambda row: None,
    progress: Progress = silent,
) -> list[ImageRow]:
    """Run a recipe on all images of a batch.

    Parameters
    ----------
    resume
        Skip images that an earlier run has finished with the same recipe and unchanged files.
    jobs
        Number of images to process at once, each in its own process; 1 uses this process.
    open_pool
        Opens the pool of processes.
    make
        Replacement for `in_memory`; images are then processed one after another.
    on_row
        Called when an image begins, while it runs (with one job only) and when it ends.
    progress
        Called with the overall progress; may cancel, and finished results stay.

    Returns
    -------
    list of ImageRow
        The state of each image, in input order; a failed image has the reason as its message.

    Raises
    ------
    InputError
        When no image can be processed: the model is missing, two images share a name, or nothing
        can be written.
    """
    results = batch.results
    results.check(batch.inputs)
    model = batch.model()
    batch = replace(batch, recipe=batch.recipe.for_model(model))
    results = batch.results
    batch.cell_model()  # raises InputError before the first image
    results.begin(batch.folder)
    finished = results.log.read() if resume else {}
    if not resume:
        results.log.clear()
    # Keys of the files as they are now: a file changed meanwhile is processed again next time.
    keys = {path: results.made_by(path) for path in batch.inputs}
    rows: dict[Path, ImageRow] = {}
    for path in batch.inputs:
        entry = finished.get(stem_of(path))
        if entry is not None and entry.made_by == keys[path] and results.has(entry.stem):
            rows[path] = ImageRow(
                path, entry.stem, "kept", entry.objects, entry.seconds, entry.message
            )
            on_row(rows[path])
    waiting = [path for path in batch.inputs if path not in rows]
    remaining = part(progress, len(rows) / max(len(batch.inputs), 1), 1)
    new_rows = (
        _one_by_one(batch, waiting, model, on_row, remaining, make)
        if jobs == 1 or make is not None
        else _at_once(batch, waiting, jobs, open_pool, remaining)
    )
    for row in new_rows:
        rows[row.path] = _logged(results, row, keys[row.path])
        on_row(rows[row.path])
    ordered = [rows[path] for path in batch.inputs]
    write_summary(results, ordered)
    progress(1.0, "done")
    return ordered


def _one_by_one(
    batch: Batch,
    paths: Sequence[Path],
    model: TrainedModel | None,
    on_row: RowCallback,
    progress: Progress,
    make: Make | None,
) -> Iterator[ImageRow]:
    for number, path in enumerate(paths):
        started = ImageRow(path, stem_of(path), "running", fraction=0.0)
        on_row(started)
        overall = part(progress, number / len(paths), (number + 1) / len(paths))
        yield _process(batch, path, model, _image_progress(started, on_row, overall), make)


def _image_progress(started: ImageRow, on_row: RowCallback, overall: Progress) -> Progress:
    """Return a progress callback of one image that also advances the overall progress."""

    def progress(fraction: float, message: str = "", /) -> None:
        on_row(replace(started, fraction=fraction, message=message))
        overall(fraction, f"{started.stem}: {message}" if message else started.stem)

    return progress


def _at_once(
    batch: Batch, paths: Sequence[Path], jobs: int, open_pool: OpenPool, progress: Progress
) -> Iterator[ImageRow]:
    # A task carries no list of images: it would be pickled with every task.
    alone = replace(batch, inputs=())
    tasks = [_Task(alone, path) for path in paths]
    n = max(1, min(jobs, len(tasks)))
    for answer in run_tasks(tasks, _process_in_pool, n, open_pool=open_pool, progress=progress):
        path = answer.task.path
        died = ImageRow(path, stem_of(path), "failed", message=_PROCESS_ENDED)
        yield died if answer.result is None else answer.result


def _process_in_pool(task: _Task) -> ImageRow:
    """Process an image in a pool process, which caches the model for the next one."""
    batch = task.batch
    try:
        model = _cached_model(
            batch.recipe.model, batch.recipe.normalisation, batch.folder, batch.trust
        )
    except InputError as error:
        return ImageRow(task.path, stem_of(task.path), "failed", message=str(error))
    return _process(batch, task.path, model, raise_if_ended)


@lru_cache(maxsize=2)
def _cached_model(
    step: ModelStep | None, normalisation: NormalisationSpec | None, folder: Path, trust: bool
) -> TrainedModel | None:
    if step is None:
        return None
    recipe = Recipe(model=step, normalisation=normalisation)
    return recipe_model(recipe, folder, trust=trust)


def _process(
    batch: Batch,
    path: Path,
    model: TrainedModel | None,
    progress: Progress,
    make: Make | None = None,
) -> ImageRow:
    """Process one image from file to files; return a failure as a row, too."""
    start, stem = time.perf_counter(), stem_of(path)
    try:
        made = (make or in_memory)(batch, path, model, progress)
    except InputError as error:
        failure = str(error)
    except MemoryError:
        failure = _NO_MEMORY
    else:
        seconds = time.perf_counter() - start
        return ImageRow(path, stem, "done", made.objects, seconds, made.warning)
    return ImageRow(path, stem, "failed", seconds=time.perf_counter() - start, message=failure)


def in_memory(batch: Batch, path: Path, model: TrainedModel | None, progress: Progress) -> Made:
    """Write the results of one image that fits in memory."""
    progress(0.0, "reading")
    image = recipe_image(batch.recipe, path, level=batch.level)
    working = part(progress, 0, _WRITING_FROM)
    results = run_recipe(
        batch.recipe, image, model=model, cell_model=batch.cell_model(), progress=working
    )
    writing = part(progress, _WRITING_FROM, 1)
    return Made(batch.results.write(stem_of(path), results, progress=writing), results.warning)


def _logged(results: ResultsFolder, row: ImageRow, made_by: str) -> ImageRow:
    """Log a finished image; an image that cannot be logged counts as failed."""
    if row.state != "done":
        return row
    try:
        results.log.add(Finished(row.stem, made_by, row.objects, row.seconds, row.message))
    except InputError as error:
        return replace(row, state="failed", message=str(error))
    return row


__all__ = ["Batch", "Made", "Make", "RowCallback", "in_memory", "run_batch"]
