"""`run`: a recipe on one image or many, with a report for each."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_unetseg.cli.console import bar, complain, note, say
from napari_unetseg.cli.draft_commands import Images
from napari_unetseg.cli.predict_command import Trust
from napari_unetseg.cli.run_blocks import by_blocks, say_costs
from napari_unetseg.core.io import expand_inputs
from napari_unetseg.core.recipe import Batch, ImageRow, read_recipe, run_batch, summarise_batch
from napari_unetseg.core.recipe.batch_summary import IMAGES_TABLE, OBJECTS_TABLE
from napari_unetseg.core.streaming import too_large

_FAILED = 2


def run_command(
    recipe: Annotated[
        Path,
        typer.Argument(
            metavar="RECIPE.yaml",
            help="What is done: written by the Batch dock, or by hand.",
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
    jobs: Annotated[
        int,
        typer.Option(
            min=1,
            max=256,
            help="How many processes work at once: each on an image of its own or, where images "
            "are larger than memory, all on the blocks of one.",
        ),
    ] = 1,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Keep what an earlier run into this folder has finished; images that changed, or "
            "all when the recipe did, are done again. Unfinished images larger than memory go on "
            "where they were.",
        ),
    ] = False,
    flattened: Annotated[
        bool,
        typer.Option(
            "--flattened", help="Keep the flattened images although labels are made of them."
        ),
    ] = False,
    memory: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Gigabytes that may be used. Images that do not fit are done block by block and "
            "written as OME-Zarr. 0 takes half of what is free.",
        ),
    ] = 0.0,
    level: Annotated[
        int,
        typer.Option(
            min=0, help="Which resolution of images that have several: 0 for the full one."
        ),
    ] = 0,
    scheduler: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Do blocks in the workers of a dask cluster, such as tcp://host:8786.",
        ),
    ] = "",
    estimate: Annotated[
        bool,
        typer.Option(
            "--estimate",
            help="Only say what each image will cost block by block in time, memory and disk, "
            "measured on one.",
        ),
    ] = False,
    trust: Trust = False,
) -> None:
    """Run a recipe on images: the same pixels as in the docks.

    An image that fails is reported and does not stop the others; the exit status is then 2.
    With --memory or --scheduler, or when one does not fit in memory, they are done block by block.
    """
    steps = read_recipe(recipe)
    inputs = tuple(expand_inputs(images))
    batch = Batch(steps, inputs, out, recipe.parent, flattened, trust, level=level)
    if flattened and steps.background is None:
        note("--flattened has no effect: the recipe has no background.")
    if estimate:
        return say_costs(batch, memory)
    large = [] if memory or scheduler else too_large(batch, inputs)
    if large:
        note(
            f"{large[0]} does not fit in memory: it is done block by block, and the images of this "
            "run are written as OME-Zarr."
        )
    how: dict[str, Any] = {"resume": resume, "told": _tell}
    with bar(out.name) as progress:
        if large or memory or scheduler:
            blocks = replace(batch, suffix=".zarr")
            with by_blocks(blocks, memory, jobs, scheduler, resume=resume) as make:
                rows = run_batch(blocks, make=make, progress=progress, **how)
        else:
            rows = run_batch(batch, jobs=jobs, progress=progress, **how)
    words = f"{out}: {summarise_batch(rows)}"
    if any(row.state == "failed" for row in rows):
        complain(f"{words}.")
        raise typer.Exit(_FAILED)
    say(words)


def _tell(row: ImageRow) -> None:
    """Print how it went with an image."""
    if row.state == "failed":
        named = row.message if str(row.path) in row.message else f"{row.path}: {row.message}"
        complain(named)
    elif row.state == "kept":
        say(f"{row.stem}: kept{_counted(row)}")
    elif row.state == "done":
        say(f"{row.stem}: done{_counted(row)}, {row.seconds:.1f} s")


def _counted(row: ImageRow) -> str:
    if row.objects is None:
        return ""
    return f", {row.objects:,} object{'s' * (row.objects != 1)}"


__all__ = ["run_command"]
