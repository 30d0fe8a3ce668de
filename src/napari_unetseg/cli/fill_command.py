"""Define `fill`: the objects of a stack from a few planes in which they are painted."""

from pathlib import Path
from typing import Annotated

import typer

from napari_unetseg.cli.console import for_each, note
from napari_unetseg.cli.flags import with_options
from napari_unetseg.cli.image_flags import read_seen, read_seen_labels, with_image_flags
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.io import plan_outputs, write_labels
from napari_unetseg.core.label_image import known_labels, labels_like, without_single_axes
from napari_unetseg.core.progress import Progress, part
from napari_unetseg.core.recipe import ImageStep
from napari_unetseg.core.training.fill_volume import FillOptions, fill_volume


@with_image_flags
@with_options(FillOptions)
def fill_command(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A stack.", show_default=False)],
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS",
            help="Labels of the stack's shape, with all objects of one or a few planes painted.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="OUT", help="File for the objects of the stack."),
    ],
    *,
    options: FillOptions,
    seen: ImageStep,
    planes: Annotated[
        str,
        typer.Option(
            metavar="N,N,...",
            help="Painted planes, counted from 0; the others are ignored. By default every plane "
            "with an object.",
        ),
    ] = "",
) -> None:
    """Find the objects of a stack in 3D from those painted in one or a few of its planes.

    A UNet learns from the painted planes and predicts the stack in three orientations. Painted
    planes stay as they are, and objects that continue painted ones have their ids.
    """
    outputs = plan_outputs([image], out, folder=False, keep=[labels])
    chosen = _numbers(planes)

    def work(number: int, path: Path, progress: Progress) -> str:
        given = without_single_axes(read_seen(path, seen), "CZYX")
        painted = known_labels(labels_like(read_seen_labels(labels, seen, note), given))
        ids = painted.asarray()
        made = fill_volume(given, ids, options, planes=chosen, progress=part(progress, 0, 0.95))
        filled = painted.with_data(made.labels)
        write_labels(outputs[number], filled, progress=part(progress, 0.95, 1))
        many = "s" * (len(made.planes) != 1)
        return f"{outputs[number]}: {made.n_objects} objects from {len(made.planes)} plane{many}"

    for_each([image], work)


def _numbers(planes: str) -> list[int]:
    try:
        return [int(word) for word in planes.split(",") if word.strip()]
    except ValueError:
        raise InputError(
            f"--planes {planes}: give the numbers of planes, such as 5,12,20."
        ) from None


__all__ = ["fill_command"]
