"""`run`: a recipe on one image or many, with a report for each."""

from pathlib import Path
from typing import Annotated

import typer

from napari_unetseg.cli.commands import Images
from napari_unetseg.cli.console import bar, complain, note, say
from napari_unetseg.cli.predict import Trust
from napari_unetseg.core.io import expand_inputs
from napari_unetseg.core.recipe import Batch, ImageRow, batch_in_words, read_recipe, run_batch
from napari_unetseg.core.recipe.summary import IMAGES_TABLE, OBJECTS_TABLE

_FAILED = 2


def run(
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
            help="How many images are worked on at once, each in a process of its own.",
        ),
    ] = 1,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Keep what an earlier run into this folder has finished; images that changed, or "
            "all when the recipe did, are done again.",
        ),
    ] = False,
    flattened: Annotated[
        bool,
        typer.Option(
            "--flattened", help="Keep the flattened images although labels are made of them."
        ),
    ] = False,
    trust: Trust = False,
) -> None:
    """Run a recipe on images: the same pixels as in the docks.

    An image that fails is reported and does not stop the others; the exit status is then 2.
    """
    steps = read_recipe(recipe)
    inputs = tuple(expand_inputs(images))
    batch = Batch(steps, inputs, out, recipe.parent, flattened=flattened, trust=trust)
    if flattened and steps.background is None:
        note("--flattened has no effect: the recipe has no background.")
    with bar(out.name) as progress:
        rows = run_batch(batch, resume=resume, jobs=jobs, told=_tell, progress=progress)
    words = f"{out}: {batch_in_words(rows)}"
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


__all__ = ["run"]
