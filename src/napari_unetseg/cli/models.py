"""`export`: a model for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from napari_unetseg.cli.console import say
from napari_unetseg.cli.flags import with_options
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.foreign import open_model
from napari_unetseg.core.packages.export import ExportOptions
from napari_unetseg.core.packages.export import export as write_package


@with_options(ExportOptions)
def export(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL.zip", help="What train wrote.", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="OUT.zip", help="The package to write.", show_default=False
        ),
    ],
    *,
    options: ExportOptions,
) -> None:
    """Write a model for other programs, with what they need and people should know."""
    if out.resolve() == model.resolve():
        raise InputError(f"{out} is the model itself. Give the package another name.")
    told = write_package(open_model(model), out, options)
    formats = ", ".join(("state dict", *options.formats))
    say(f"{out}: {told.name} under {told.card.licence}, weights as {formats}")


__all__ = ["export"]
