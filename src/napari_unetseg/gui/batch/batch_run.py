"""The run of a batch in another thread."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_unetseg.core.io.table_files import table_rows
from napari_unetseg.core.models_io.foreign import NeedsTrust
from napari_unetseg.core.progress import Progress, part
from napari_unetseg.core.recipe import Batch, ImageRow, run_batch
from napari_unetseg.core.recipe.batch_summary import IMAGES_TABLE
from napari_unetseg.core.recipe.draft import move_recipe
from napari_unetseg.core.recipe.results_folder import RECIPE_FILE
from napari_unetseg.core.streaming import ByBlocks, expected_cost, too_large
from napari_unetseg.gui.batch.batch_list import Extra
from napari_unetseg.gui.shared.task import Reporter

_SECONDS_BETWEEN_ROWS = 0.1
_MEDIAN = "median_"


@dataclass(frozen=True)
class Ended:
    """The outcome of a batch.

    Parameters
    ----------
    batch
        The batch as started.
    rows
        One row per image.
    extra
        Columns of the summary.
    """

    batch: Batch
    rows: tuple[ImageRow, ...]
    extra: Extra


@dataclass(frozen=True)
class Untrusted:
    """A batch that did not run because its model is a program, which needs the user's consent.

    Parameters
    ----------
    question
        Question to the user.
    batch, resume
        Arguments of the run.
    """

    question: NeedsTrust
    batch: Batch
    resume: bool


def run_and_read(
    batch: Batch, *, resume: bool, keep_model: bool, progress: Reporter
) -> Ended | Untrusted:
    """Run a batch, reporting each row, and read its summary.

    Parameters
    ----------
    keep_model
        Whether the recipe's model is in a temporary folder: then it is copied to the results.

    Returns
    -------
    Ended or Untrusted
        The latter if the user must be asked first.
    """
    given = batch
    batch.results.check(batch.inputs)
    if keep_model:
        moved = move_recipe(batch.recipe, batch.folder, batch.out / RECIPE_FILE)
        batch = replace(batch, recipe=moved, folder=batch.out)
    try:
        rows = _run(batch, resume, progress)
    except NeedsTrust as error:
        return Untrusted(error, given, resume)
    return Ended(given, tuple(rows), _medians(batch.out / IMAGES_TABLE))


def _run(batch: Batch, resume: bool, progress: Reporter) -> list[ImageRow]:
    """Run a batch, block by block if an image does not fit in memory."""
    arguments: Any = {"resume": resume, "on_row": _Rows(progress), "progress": progress}
    progress(0.0, "checking the images")
    large = too_large(batch, batch.inputs)
    if not large:
        return run_batch(batch, **arguments)
    progress(0.0, "estimating the time")
    if cost := expected_cost(batch, large, part(progress, 0, 0)):
        arguments["progress"] = _with_estimate(progress, cost)
    return run_batch(replace(batch, suffix=".zarr"), make=ByBlocks(resume=resume), **arguments)


def _with_estimate(progress: Progress, cost: str) -> Progress:
    """Add the estimated cost of the whole run to each message."""

    def inner(fraction: float, message: str = "", /) -> None:
        progress(fraction, f"{message} (all: {cost})".lstrip())

    return inner


class _Rows:
    """A reporter of rows that limits the rate of progress reports."""

    def __init__(self, progress: Reporter) -> None:
        self._progress, self._due = progress, 0.0

    def __call__(self, row: ImageRow) -> None:
        now = time.monotonic()
        if row.state == "running" and row.fraction > 0 and now < self._due:
            return
        self._due = now + _SECONDS_BETWEEN_ROWS
        self._progress.show(row)


def _medians(table: Path) -> Extra:
    """Read the columns of medians of a summary, as texts."""
    with table_rows(table) as rows:
        head, body = next(rows, []), list(rows)
    return {
        name: [_short(row[at]) for row in body]
        for at, name in enumerate(head)
        if name.startswith(_MEDIAN)
    }


def _short(cell: str) -> str:
    return f"{float(cell):.4g}" if cell else ""


__all__ = ["Ended", "Untrusted", "run_and_read"]
