"""Define `models` and `export`: list models, and export one for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from napari_unetseg.cli.console import note, say
from napari_unetseg.cli.flags import with_options
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.model_library import SUFFIXES
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.models_io.foreign import describe_model, open_model
from napari_unetseg.core.models_io.native.export_package import ExportOptions
from napari_unetseg.core.models_io.native.export_package import export as write_package

MODEL_HELP = (
    "A model written by train, the name of a shipped model (see `models`), a bioimage.io package, "
    "or bare weights: ONNX, TorchScript, or the state dict of a usual UNet."
)


def models_command(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER", help="Also list the models in this folder.", show_default=False
        ),
    ] = None,
) -> None:
    """List the shipped models, which are used by name, and those of a folder."""
    say("shipped, by name:")
    for name in shipped.names():
        say(f"  {_line(name, shipped.path_of(name))}")
    if folder is None:
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. Give a folder with models.")
    say(f"in {folder}:")
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]
    for path in files:
        say(f"  {_line(path.name, path)}")
    if not files:
        say(f"  no file that ends in {', '.join(SUFFIXES)}")


def say_which(model: Path) -> None:
    """Print a note if a model in the working folder hides the shipped one of its name."""
    if shipped.hides_shipped(model):
        note(f"{model} is the one in this folder, not the shipped model of that name.")


def _line(name: str, path: Path) -> str:
    """Describe a model in one line, or the error of reading it."""
    try:
        summary = describe_model(path)
    except InputError as error:
        return f"{name}: {error}"
    card = summary.get("card")
    description = card.get("description") if isinstance(card, dict) else summary.get("description")
    diameter = summary.get("diameter of the objects")
    parts = (summary.get("model"), description, diameter and f"objects of {diameter}")
    return f"{name}: {', '.join(str(part).rstrip('.') for part in parts if part)}"


@with_options(ExportOptions)
def export_command(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="A model written by train, or a shipped model.",
            show_default=False,
        ),
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
    """Write a model package for other programs, with a description and a README."""
    if out.resolve() == model.resolve():
        raise InputError(f"{out} is the model itself. Give the package another name.")
    say_which(model)
    exported = write_package(open_model(model), out, options)
    formats = ", ".join(("state dict", *options.formats))
    say(f"{out}: {exported.name} under {exported.card.licence}, weights as {formats}")


__all__ = ["MODEL_HELP", "export_command", "models_command", "say_which"]
