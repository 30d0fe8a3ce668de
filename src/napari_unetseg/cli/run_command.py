"""Define `run`: run a recipe on images, with a report for each."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_unetseg.cli.console import bar, complain, note, say, with_notes
from napari_unetseg.cli.draft_commands import Images
from napari_unetseg.cli.image_flags import with_image_flags
from napari_unetseg.cli.predict_command import Trust
from napari_unetseg.cli.run_blocks import by_blocks, print_costs
from napari_unetseg.core.errors import InputError, named_error
from napari_unetseg.core.io import expand_inputs, keeps_calibration, read_lazily
from napari_unetseg.core.recipe import (
    Batch,
    ImageRow,
    ImageStep,
    read_recipe,
    run_batch,
    summarise_batch,
)
from napari_unetseg.core.recipe.batch_summary import IMAGES_TABLE, OBJECTS_TABLE
from napari_unetseg.core.streaming import expected_cost, too_large

_FAILED = 2


@with_image_flags
def run_command(
    recipe: Annotated[
        Path,
        typer.Argument(
            metavar="RECIPE.yaml",
            help="The recipe, written by the Batch dock or by hand.",
            show_default=False,
        ),
    ],
    images: Images,
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="FOLDER",
            help=f"Folder for the results: labels/, tables/, {OBJECTS_TABLE} of all objects, "
            f"{IMAGES_TABLE} with a row for each image.",
            show_default=False,
        ),
    ],
    *,
    seen: ImageStep,
    jobs: Annotated[
        int,
        typer.Option(
            min=1,
            max=256,
            help="Number of processes: each processes its own image or, for images larger than "
            "memory, all process blocks of one image.",
        ),
    ] = 1,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Keep the finished results of an earlier run in this folder; changed images, or "
            "all if the recipe changed, are processed again. Unfinished images larger than memory "
            "are resumed.",
        ),
    ] = False,
    flattened: Annotated[
        bool,
        typer.Option("--flattened", help="Also write the background-corrected images."),
    ] = False,
    memory: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Memory to use, in gigabytes. Images that do not fit are processed block by "
            "block and written as OME-Zarr. 0 uses half of the free memory.",
        ),
    ] = 0.0,
    level: Annotated[
        int,
        typer.Option(
            min=0, help="Resolution level of multi-resolution images; 0 is the full resolution."
        ),
    ] = 0,
    scheduler: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Process blocks in the workers of a dask cluster, such as tcp://host:8786.",
        ),
    ] = "",
    estimate: Annotated[
        bool,
        typer.Option(
            "--estimate",
            help="Only estimate time, memory and disk space of processing each image block by "
            "block, measured on one block.",
        ),
    ] = False,
    trust: Trust = False,
) -> None:
    """Run a recipe on images; the results equal those of the docks.

    An image that fails is reported and does not stop the others; the exit status is then 2. With
    --memory or --scheduler, or if an image does not fit in memory, all are processed block by
    block.
    """
    steps = read_recipe(recipe)
    shown = steps.image.model_copy(update=seen.model_dump(include=seen.model_fields_set))
    steps = steps.model_copy(update={"image": shown})
    inputs = tuple(expand_inputs(images))
    _note_readings(inputs, steps.image.scene)
    batch = Batch(steps, inputs, out, recipe.parent, flattened, trust, level=level)
    if flattened and steps.background is None:
        note("--flattened has no effect: the recipe has no background step.")
    if estimate:
        return print_costs(batch, memory)
    large = [] if memory or scheduler else too_large(batch, inputs)
    if large:
        note(
            f"{large[0]} does not fit in memory: the images of this run are processed block by "
            "block and written as OME-Zarr."
        )
        with bar("estimate") as progress:
            cost = expected_cost(batch, large, progress)
        if cost:
            note(f"In all, this takes {cost}.")
    common: dict[str, Any] = {"resume": resume, "on_row": _print_row}
    with bar(out.name) as progress:
        if large or memory or scheduler:
            blocks = replace(batch, suffix=".zarr")
            with by_blocks(blocks, memory, jobs, scheduler, resume=resume) as make:
                rows = run_batch(blocks, make=make, progress=progress, **common)
        else:
            rows = run_batch(batch, jobs=jobs, progress=progress, **common)
    summary = f"{out}: {summarise_batch(rows)}"
    if any(row.state == "failed" for row in rows):
        complain(f"{summary}.")
        raise typer.Exit(_FAILED)
    say(summary)


def _note_readings(images: Sequence[Path], scene: str) -> None:
    """Print the notes on images; one that cannot be read is reported by its run."""
    for path in images:
        with suppress(InputError):
            if keeps_calibration(path):
                with_notes(path, read_lazily(path, scene=scene))


def _print_row(row: ImageRow) -> None:
    """Print the state of an image."""
    if row.state == "failed":
        complain(named_error(row.path, row.message))
    elif row.state == "kept":
        say(f"{row.stem}: kept{_object_count(row)}")
    elif row.state == "done":
        say(f"{row.stem}: done{_object_count(row)}, {row.seconds:.1f} s")
    if row.state in ("kept", "done") and row.message:
        note(named_error(row.path, row.message))


def _object_count(row: ImageRow) -> str:
    if row.objects is None:
        return ""
    return f", {row.objects:,} object{'s' * (row.objects != 1)}"


__all__ = ["run_command"]
