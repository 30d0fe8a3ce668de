"""A recipe, run on many images: one that fails is reported, and what is finished stays."""

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
from napari_unetseg.core.recipe.process_pool import OpenPool, answers, processes, until_told
from napari_unetseg.core.recipe.recipe import Recipe
from napari_unetseg.core.recipe.recipe_steps import ModelStep
from napari_unetseg.core.recipe.results_folder import ResultsFolder

Told = Callable[[ImageRow], None]
"""Called when an image begins, goes on and ends."""

Make = Callable[["Batch", Path, TrainedModel | None, Progress], int | None]
"""Makes the files of one image and returns how many objects there are, if it made any."""

_DIED = (
    "The process that worked on it was ended, as the system does when memory runs out. Give it "
    "fewer --jobs, or a smaller model.tile."
)
_NO_MEMORY = "It does not fit in memory. Save it as .zarr, or set a smaller model.tile."
_WRITING_FROM = 0.9


@dataclass(frozen=True)
class Batch:
    """A recipe and the images it is run on.

    Parameters
    ----------
    recipe
        What is done.
    inputs
        The images, each once.
    out
        The folder of the results; see `ResultsFolder`.
    folder
        The recipe's own, from which its model's path counts.
    flattened
        Whether flattened images are kept although labels are made of them.
    trust
        Whether TorchScript, which is a program, may be run.
    suffix
        How the names of images end that are written.
    level
        Which resolution is worked on, of images that have several.
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
        """Where the results go."""
        return ResultsFolder(self.out, self.recipe, self.flattened, self.suffix, self.level)

    def model(self) -> TrainedModel | None:
        """Open the model; see `recipe_model`."""
        return recipe_model(self.recipe, self.folder, trust=self.trust)


@dataclass(frozen=True)
class _Task:
    """An image of a batch, small enough to be sent to another process."""

    batch: Batch
    path: Path


def run_batch(
    batch: Batch,
    *,
    resume: bool = False,
    jobs: int = 1,
    open_pool: OpenPool = processes,
    make: Make | None = None,
    told: Told = lambda row: None,
    progress: Progress = silent,
) -> list[ImageRow]:
    """Run a recipe on all images of a batch.

    Parameters
    ----------
    resume
        Keep what an earlier run has finished, of this very recipe and these very files.
    jobs
        How many images are worked on at once, each in a process of its own; 1 works in this one.
    open_pool
        Gives the processes.
    make
        Makes the files of one image, one image after another, in place of `in_memory`.
    told
        Called when an image begins, goes on (with one job) and ends.
    progress
        Told how far all is; may cancel, and then what is finished stays.

    Returns
    -------
    list of ImageRow
        How it went with each image, in their order. The images that failed say why.

    Raises
    ------
    InputError
        When no image can be worked on: the model is missing, two images share a name, nothing can
        be written.
    """
    results = batch.results
    results.check(batch.inputs)
    model = batch.model()
    batch = replace(batch, recipe=batch.recipe.for_model(model))
    results = batch.results
    results.begin(batch.folder)
    finished = results.log.read() if resume else {}
    if not resume:
        results.log.clear()
    # As the files are now: what is changed while it is worked on is done again by the next run.
    words = {path: results.made_by(path) for path in batch.inputs}
    rows: dict[Path, ImageRow] = {}
    for path in batch.inputs:
        known = finished.get(stem_of(path))
        if known is not None and known.made_by == words[path] and results.has(known.stem):
            rows[path] = ImageRow(path, known.stem, "kept", known.objects, known.seconds)
            told(rows[path])
    waiting = [path for path in batch.inputs if path not in rows]
    here = part(progress, len(rows) / max(len(batch.inputs), 1), 1)
    made = (
        _one_by_one(batch, waiting, model, told, here, make)
        if jobs == 1 or make is not None
        else _at_once(batch, waiting, jobs, open_pool, here)
    )
    for row in made:
        rows[row.path] = _noted(results, row, words[row.path])
        told(rows[row.path])
    ordered = [rows[path] for path in batch.inputs]
    write_summary(results, ordered)
    progress(1.0, "done")
    return ordered


def _one_by_one(
    batch: Batch,
    paths: Sequence[Path],
    model: TrainedModel | None,
    told: Told,
    progress: Progress,
    make: Make | None,
) -> Iterator[ImageRow]:
    for number, path in enumerate(paths):
        beginning = ImageRow(path, stem_of(path), "running", fraction=0.0)
        told(beginning)
        overall = part(progress, number / len(paths), (number + 1) / len(paths))
        yield _done(batch, path, model, _telling(beginning, told, overall), make)


def _telling(beginning: ImageRow, told: Told, overall: Progress) -> Progress:
    """Return a progress that is told of one image, and tells of all."""

    def progress(fraction: float, message: str = "", /) -> None:
        told(replace(beginning, fraction=fraction, message=message))
        overall(fraction, f"{beginning.stem}: {message}" if message else beginning.stem)

    return progress


def _at_once(
    batch: Batch, paths: Sequence[Path], jobs: int, open_pool: OpenPool, progress: Progress
) -> Iterator[ImageRow]:
    # A task carries no list of all images: it would be sent with every one of them.
    alone = replace(batch, inputs=())
    tasks = [_Task(alone, path) for path in paths]
    n = max(1, min(jobs, len(tasks)))
    for answer in answers(tasks, _done_elsewhere, n, open_pool=open_pool, progress=progress):
        path = answer.task.path
        died = ImageRow(path, stem_of(path), "failed", message=_DIED)
        yield died if answer.result is None else answer.result


def _done_elsewhere(task: _Task) -> ImageRow:
    """Work on an image in a process of a pool, which keeps the model for the next."""
    batch = task.batch
    try:
        model = _kept_model(
            batch.recipe.model, batch.recipe.normalisation, batch.folder, batch.trust
        )
    except InputError as error:
        return ImageRow(task.path, stem_of(task.path), "failed", message=str(error))
    return _done(batch, task.path, model, until_told)


@lru_cache(maxsize=1)
def _kept_model(
    step: ModelStep | None, normalisation: NormalisationSpec | None, folder: Path, trust: bool
) -> TrainedModel | None:
    if step is None:
        return None
    recipe = Recipe(model=step, normalisation=normalisation)
    return recipe_model(recipe, folder, trust=trust)


def _done(
    batch: Batch,
    path: Path,
    model: TrainedModel | None,
    progress: Progress,
    make: Make | None = None,
) -> ImageRow:
    """Work on one image, from file to files; a failure is a row like any other."""
    start, stem = time.perf_counter(), stem_of(path)
    objects, message = None, ""
    try:
        objects = (make or in_memory)(batch, path, model, progress)
    except InputError as error:
        message = str(error)
    except MemoryError:
        message = _NO_MEMORY
    seconds = time.perf_counter() - start
    return ImageRow(path, stem, "failed" if message else "done", objects, seconds, message)


def in_memory(
    batch: Batch, path: Path, model: TrainedModel | None, progress: Progress
) -> int | None:
    """Make the files of one image, which fits in memory; return how many objects there are."""
    progress(0.0, "reading")
    image = recipe_image(batch.recipe, path, level=batch.level)
    working = part(progress, 0, _WRITING_FROM)
    made = run_recipe(batch.recipe, image, model=model, progress=working)
    return batch.results.write(stem_of(path), made, progress=part(progress, _WRITING_FROM, 1))


def _noted(results: ResultsFolder, row: ImageRow, made_by: str) -> ImageRow:
    """Write down that an image is done; what cannot be noted was not."""
    if row.state != "done":
        return row
    try:
        results.log.add(Finished(row.stem, made_by, row.objects, row.seconds))
    except InputError as error:
        return replace(row, state="failed", message=str(error))
    return row


__all__ = ["Batch", "Make", "Told", "in_memory", "run_batch"]
