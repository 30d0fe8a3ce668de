"""Run a recipe on one image of any size, block by block from disk to disk; can be resumed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_unetseg.core.atomic_files import CannotWriteError, put
from napari_unetseg.core.compute.memory_limit import allowed
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_image, write_table
from napari_unetseg.core.io.paths import PathLike
from napari_unetseg.core.io.pyramid import chunk_boxes
from napari_unetseg.core.io.track_files import write_tracks
from napari_unetseg.core.measure import Table, with_parents
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.objects.cross_block_objects import LARGEST_COMPONENT
from napari_unetseg.core.objects.linking import check_linking, links_along, links_time
from napari_unetseg.core.progress import Progress, part, silent
from napari_unetseg.core.recipe import Recipe
from napari_unetseg.core.recipe.execute import select_channel
from napari_unetseg.core.streaming.block_evidence import (
    THRESHOLD_BYTES,
    BlockEvidence,
    block_evidence,
)
from napari_unetseg.core.streaming.block_grid import halve_sides, sides_for
from napari_unetseg.core.streaming.block_work import IDS, RAW, Work
from napari_unetseg.core.streaming.join_blocks import (
    Numbering,
    groups_to_join,
    link,
    linking_of,
    parts_to_measure,
    plan_pieces,
)
from napari_unetseg.core.streaming.prepare_run import prepare
from napari_unetseg.core.streaming.resume import open_source, open_state, run_key
from napari_unetseg.core.streaming.run_folder import Arrays, RunFolder
from napari_unetseg.core.streaming.run_source import RunSource
from napari_unetseg.core.streaming.runners import LocalRunner, Runner, Task

_TIMES = {
    "pixels": 5.0,
    "objects": 3.0,
    "joined": 0.2,
    "pieces": 0.5,
    "present": 0.3,
    "numbers": 0.5,
    "linked": 0.5,
    "masks": 0.3,
    "places": 0.4,
    "measurements": 1.0,
    "levels": 0.5,
}
"""Approximate duration of the stages relative to each other."""

_MESSAGES = {
    "pixels": "segmenting pixels",
    "objects": "finding objects",
    "pieces": "joining objects",
    "present": "joining objects",
    "numbers": "numbering objects",
    "masks": "writing",
    "places": "measuring",
    "measurements": "measuring",
    "levels": "building the pyramid",
}
_PREPARED = 0.15

_RESUME = "Finished blocks are kept: free disk space and resume."

_LEAST_PIECE = 2**20
"""Bounding box in pixels up to which a component is always processed."""


@dataclass(frozen=True, eq=False)
class Streamed:
    """Hold the results of a run.

    Parameters
    ----------
    path
        The OME-Zarr image that was written.
    image
        That image, opened lazily.
    n_objects
        Number of objects; None if the recipe makes none.
    table
        The measurements.
    zoom
        Scale at which the model saw the image, per axis; empty where it saw the image as it is.
    warning
        A sentence on why the results may be wrong, or ``""``.
    """

    path: Path
    image: Image
    n_objects: int | None
    table: Table | None
    zoom: tuple[float, ...] = ()
    warning: str = ""


def stream(
    recipe: Recipe,
    source: RunSource | Image,
    out: PathLike,
    *,
    model: TrainedModel | None = None,
    table: PathLike | None = None,
    memory: float = 0.0,
    resume: bool = False,
    runner: Runner | None = None,
    began: Callable[[Work], None] = lambda work: None,
    progress: Progress = silent,
) -> Streamed:
    """Run a recipe on an image that need not fit in memory.

    The result equals that of `napari_unetseg.core.recipe.run_recipe`. Finished blocks stay on disk
    however the run ends, in a hidden folder beside `out`.

    Parameters
    ----------
    recipe
        The steps and their options.
    source
        The image: a file, or an open image.
    out
        The OME-Zarr folder to write, with a pyramid: labels, probabilities or the flattened image.
    model
        The recipe's model.
    table
        File for the measurements.
    memory
        Memory for blocks in gigabytes, in addition to the program itself; 0 for half of the free
        memory. Blocks that still do not fit are halved.
    resume
        Resume an unfinished run of this recipe on this image; the pixels are the same as without
        interruption.
    runner
        Runs the blocks; in this process if None.
    began
        Called once the work is prepared, before the first block.
    progress
        Called after each block; may cancel.

    Raises
    ------
    InputError
        When a step cannot be applied to this image, the disk is full, or the run to resume used
        another recipe, image or model.
    """
    target = _checked(Path(out))
    image, recipe = open_source(source), recipe.for_model(model)
    _check(recipe)
    folder = RunFolder.beside(target)
    key = run_key(recipe, source, image, model)
    state = open_state(folder, key, resume=resume)
    run = _Run(recipe, source, image, model, folder, state, runner or LocalRunner(), memory)
    try:
        work = run.ready(part(progress, 0, _PREPARED))
        began(work)
        n, measured = run.through(work, part(progress, _PREPARED, 1))
        if table is not None and measured is not None:
            write_table(table, measured)
        if folder.result_path.exists():  # else an earlier run ended right after moving it
            put(folder.result_path, target, aside=folder.path / "replaced")
    except CannotWriteError as error:
        raise InputError(f"{error} {_RESUME}") from error
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{target} cannot be written: {reason}. {_RESUME}") from error
    made = replace(read_image(target), parents=run.parents)
    write_tracks(target, made)
    folder.remove()
    progress(1.0, "done")
    warning = run.state["known"].get("warning", "")
    return Streamed(target, made, n, measured, run.zoom, warning)


@dataclass(eq=False)
class _Run:
    """Run the stages of one run and keep its state."""

    recipe: Recipe
    source: RunSource | Image
    image: Image
    model: TrainedModel | None
    folder: RunFolder
    state: dict[str, Any]
    runner: Runner
    memory: float

    @property
    def zoom(self) -> tuple[float, ...]:
        """Scale at which the model sees the image, once that is known."""
        return tuple(self.state["known"].get("zoom", ()))

    @property
    def parents(self) -> dict[int, int] | None:
        """Mothers of the objects, once they are linked over time."""
        found = self.state.get("parents")
        return None if found is None else {int(d): int(m) for d, m in found}

    def ready(self, progress: Progress) -> Work:
        """Fit the parameters that need the whole image, and choose the block size."""
        if "known" not in self.state:
            segmented = select_channel(self.image, self.recipe.image)
            prepared = prepare(self.recipe, segmented, self.model, progress)
            evidence = block_evidence(self.recipe, prepared, self.model)
            self._check_channels(evidence)
            if evidence.kind == "objects":
                check_linking(evidence.image.axes, linking_of(self.recipe, self.model))
            self._keep(known=prepared.parameters, sides=list(self._sides(evidence)))
            # The state as a resumed run would read it.
            self.state = self.folder.read()
        return self._work()

    def through(self, work: Work, progress: Progress) -> tuple[int | None, Table | None]:
        """Run all stages; repeat with smaller blocks when memory runs out."""
        while True:
            try:
                return self._through(work, progress)
            except MemoryError as error:
                sides = halve_sides(self.state["sides"], work.evidence.multiple)
                if sides is None:
                    raise InputError(
                        f"Even a block of {' x '.join(map(str, self.state['sides']))} pixels does "
                        "not fit in memory. Close other programs, or use a smaller model."
                    ) from error
                finished = [name for name in self._finished if name == "pixels"]
                self.folder.forget(*(set(_TIMES) - set(finished)))
                self._keep(sides=list(sides), finished=finished)
                work = self._work()

    def _through(self, work: Work, progress: Progress) -> tuple[int | None, Table | None]:
        stages = _stages(work)
        total, done = sum(_TIMES[name] for name in stages), 0.0
        for name in stages:
            stage_progress = part(progress, done / total, (done + _TIMES[name]) / total)
            if name not in self._finished:
                getattr(self, f"_{name}")(work, stage_progress)
                self._keep(finished=[*self._finished, name])
            done += _TIMES[name]
        n = self.state.get("linked", self.state.get("n")) if not work.direct else None
        return n, self._table(work) if work.measured else None

    @property
    def _finished(self) -> list[str]:
        return list(self.state.get("finished", []))

    def _pixels(self, work: Work, progress: Progress) -> None:
        if not self.folder.done("pixels"):
            if work.direct:
                self.folder.create_result(work.layout(work.evidence.dtype))
            else:
                work.create_evidence()
        self._blocks(work, "pixels", progress)

    def _objects(self, work: Work, progress: Progress) -> None:
        if not self.folder.done("objects"):
            work.create_labels(RAW)
        self._blocks(work, "objects", progress)

    def _joined(self, work: Work, progress: Progress) -> None:
        done, n = self.folder.done("joined"), len(work.grid.indices)
        fits = int(allowed(self.memory) / THRESHOLD_BYTES)
        largest = min(max(fits, _LEAST_PIECE), LARGEST_COMPONENT)
        for number in range(n):
            progress(number / n, "joining objects")
            if number not in done:
                self.folder.mark("joined", number, plan_pieces(work, number, largest))

    def _pieces(self, work: Work, progress: Progress) -> None:
        groups = groups_to_join(work.grid, self.folder)
        tasks = ((number, groups[number]) for number in self._todo("pieces", len(groups)))
        self._do(work, "pieces", tasks, len(groups), progress)

    def _present(self, work: Work, progress: Progress) -> None:
        tasks = self._of_blocks(work, "present", lambda one, at: one.pieces_in(at))
        self._do(work, "present", tasks, len(work.grid.jobs), progress)

    def _numbers(self, work: Work, progress: Progress) -> None:
        holes = work.evidence.maker().fill_holes
        settled, n = [], 0
        for numbering in self._numberings(work):
            present = None
            if holes:
                present = [self.folder.found("present", job)["ids"] for job in numbering.jobs]
            numbering.settle(present, n + 1)
            settled.append(numbering)
            n += numbering.n
        if not self.folder.done("numbers"):
            self._keep(n=n)
            if work.evidence.kind == "masks":
                work.create_labels(IDS)
            else:
                self.folder.create_result(work.layout(np.min_scalar_type(max(n, 1))))
        tasks = self._of_blocks(work, "numbers", Numbering.numbers_in, settled)
        self._do(work, "numbers", tasks, len(work.grid.jobs), progress)

    def _numberings(self, work: Work) -> list[Numbering]:
        groups = groups_to_join(work.grid, self.folder)
        return [Numbering(work, number, groups) for number in range(len(work.grid.indices))]

    def _of_blocks(
        self,
        work: Work,
        stage: str,
        given: Callable[[Numbering, int], Arrays],
        numberings: Sequence[Numbering] = (),
    ) -> Iterable[Task]:
        """Yield the unfinished blocks, with the arrays from the numbering that each needs."""
        todo = set(self._todo(stage, len(work.grid.jobs)))
        for numbering in numberings or self._numberings(work):
            for at, job in enumerate(numbering.jobs):
                if job in todo:
                    yield job, given(numbering, at)

    def _linked(self, work: Work, progress: Progress) -> None:
        if self.state.get("linking"):  # linking was interrupted: restore the ids from before it
            self.folder.forget("numbers")
            self._numbers(work, silent)
        self._keep(linking=True)
        parents: dict[int, int] = {}
        n_objects = link(work, work.result, self.state["n"], parents, progress)
        timed = links_time(work.grid.axes, linking_of(self.recipe, self.model))
        self._keep(linked=n_objects, parents=[*parents.items()] if timed else None)

    def _masks(self, work: Work, progress: Progress) -> None:
        if not self.folder.done("masks"):
            self.folder.create_result(work.layout(np.uint8))
        self._blocks(work, "masks", progress)

    def _places(self, work: Work, progress: Progress) -> None:
        self._blocks(work, "places", progress)

    def _measurements(self, work: Work, progress: Progress) -> None:
        parts = parts_to_measure(work, len(work.grid.jobs))
        todo = self._todo("measurements", len(parts))
        tasks = ((number, parts[number]) for number in todo)
        self._do(work, "measurements", tasks, len(parts), progress)
        self._keep(parts=len(parts))

    def _levels(self, work: Work, progress: Progress) -> None:
        layout = work.layout(work.result.dtype)
        counts = [len(list(chunk_boxes(shape, layout.chunks))) for shape in layout.shapes]
        done, total = 0, max(sum(counts[1:]), 1)
        for level in range(1, len(counts)):
            stage, n = f"levels-{level}", counts[level]
            level_progress = part(progress, done / total, (done + n) / total)
            self._do(work, stage, self._plain(stage, n), n, level_progress)
            done += n

    def _blocks(self, work: Work, stage: str, progress: Progress) -> None:
        n = len(work.grid.jobs)
        self._do(work, stage, self._plain(stage, n), n, progress)

    def _plain(self, stage: str, n: int) -> Iterable[Task]:
        return ((number, {}) for number in self._todo(stage, n))

    def _todo(self, stage: str, n: int) -> list[int]:
        done = self.folder.done(stage)
        return [number for number in range(n) if number not in done]

    def _do(
        self, work: Work, stage: str, tasks: Iterable[Task], total: int, progress: Progress
    ) -> None:
        message = _MESSAGES[stage.partition("-")[0]]
        finished = len(self.folder.done(stage))
        progress(finished / max(total, 1), message)
        for number, results in self.runner.run(work, stage, tasks):
            self.folder.mark(stage, number, results)
            finished += 1
            progress(finished / max(total, 1), message)

    def _table(self, work: Work) -> Table:
        parts = [self.folder.found("measurements", k) for k in range(self.state["parts"])]
        if not parts:
            return with_parents(work.empty_table(), self.parents)
        table = {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}
        keys = [table[name] for name in ("label", "z", "t") if name in table]
        order = np.lexsort(keys)
        ordered = {name: column[order] for name, column in table.items()}
        return with_parents(ordered, self.parents)

    def _work(self) -> Work:
        sides = tuple(self.state["sides"])
        parameters = self.state["known"]
        return Work.of(self.recipe, self.image, parameters, self.model, self.folder, sides)

    def _check_channels(self, evidence: BlockEvidence) -> None:
        each = self.model is None and "C" in evidence.image.axes
        if self.recipe.measurement is not None and each:
            raise InputError(
                f"Every one of the {evidence.image.n_channels} channels has labels of its own, and "
                "only one kind can be measured. Name the channel to segment under image: channel."
            )

    def _sides(self, evidence: BlockEvidence) -> tuple[int, ...]:
        shape = [evidence.image.length(axis) for axis in evidence.block_axes]
        memory = allowed(self.memory)
        return sides_for(shape, memory, evidence.per_pixel, evidence.multiple)

    def _keep(self, **more: Any) -> None:
        self.state.update(more)
        self.folder.write(self.state)


def _stages(work: Work) -> list[str]:
    if work.direct:
        return ["pixels", "levels"]
    linked = bool(links_along(work.grid.axes, work.grid.block_axes))
    holes = work.evidence.maker().fill_holes
    present = ["present"] if holes else []
    stages = ["pixels", "objects", "joined", "pieces", *present, "numbers"]
    if work.evidence.kind == "masks":
        return [*stages, "masks", "levels"]
    stages += ["linked"] if linked else []
    stages += ["places", "measurements"] if work.measured else []
    return [*stages, "levels"]


def _check(recipe: Recipe) -> None:
    if recipe.cells is not None:
        raise InputError(
            "Nuclei are paired with cells in memory only, and this image is processed block by "
            "block. Run the recipe on parts of the image, or leave cells out."
        )
    if recipe.measurement is not None and not recipe.makes_objects:
        raise InputError(
            "Only objects can be measured block by block, not classes, which extend over the whole "
            "image. Make objects in the recipe, or leave measurement out."
        )


def _checked(out: Path) -> Path:
    if out.suffix.lower() != ".zarr":
        raise InputError(
            f"Images larger than memory are written as OME-Zarr, not {out.name!r}. "
            "Give a name that ends in .zarr."
        )
    return out


__all__ = ["Streamed", "stream"]
