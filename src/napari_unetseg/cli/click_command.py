"""Define `click`: objects from clicks and boxes in a table."""

from pathlib import Path
from typing import Annotated

import typer

from napari_unetseg.cli.console import for_each, note
from napari_unetseg.cli.flags import with_options
from napari_unetseg.cli.image_flags import read_seen, with_image_flags
from napari_unetseg.core.io import plan_outputs, write_labels
from napari_unetseg.core.io.image_step import ImageStep
from napari_unetseg.core.progress import Progress, part
from napari_unetseg.core.prompts.marked_objects import ClickedObjects, ClickOptions, click_objects
from napari_unetseg.core.prompts.marks import read_marks


@with_image_flags
@with_options(ClickOptions)
def click_command(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image.", show_default=False)],
    prompts: Annotated[
        Path,
        typer.Argument(
            metavar="PROMPTS",
            help="A .csv or .tsv file with the columns y and x in pixels, z and t where the image "
            "has them, and if wanted object (a number or name) and kind (inside, outside or box: "
            "two opposite corners). Or the points or shapes that napari saves as .csv.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="LABELS", help="File for the objects."),
    ],
    *,
    options: ClickOptions,
    seen: ImageStep,
) -> None:
    """Outline the objects that clicks or boxes mark.

    Each click is an object, unless the column object joins several. A click outside of an object
    corrects its outline.
    """
    outputs = plan_outputs([image], out, folder=False, keep=[prompts])

    def work(number: int, path: Path, progress: Progress) -> str:
        given = read_seen(path, seen)
        axes = given.axes.replace("C", "")
        marks = read_marks(prompts, axes, [given.length(axis) for axis in axes])
        made = click_objects(given, marks, options, progress=part(progress, 0, 0.95))
        if made.missing:
            names = ", ".join(map(str, made.missing))
            note(f"{prompts}: nothing was found at {names}: background, or outside of the image.")
        write_labels(outputs[number], made.labels, progress=part(progress, 0.95, 1))
        return f"{outputs[number]}: {_summary(made)}"

    for_each([image], work)


def _summary(made: ClickedObjects) -> str:
    text = f"{made.n_marked} object{'s' * (made.n_marked != 1)} from marks"
    return f"{text}, and {made.n_similar} like them" if made.n_similar else text


__all__ = ["click_command"]
