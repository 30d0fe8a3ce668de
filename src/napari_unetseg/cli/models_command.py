"""`models` and `export`: which models there are, and a model for other programs."""

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
    "What train wrote, the name of a shipped model (`models` lists them), a bioimage.io package, "
    "or bare weights: ONNX, TorchScript, the state dict of a usual UNet."
)


def models_command(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="Also list the models in it.", show_default=False),
    ] = None,
) -> None:
    """List the shipped models, which go by their names, and those of a folder."""
    say("shipped, by name:")
    for name in shipped.names():
        say(f"  {_line(name, shipped.path_of(name))}")
    if folder is None:
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder. Give one that holds models.")
    say(f"in {folder}:")
    found = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]
    for path in found:
        say(f"  {_line(path.name, path)}")
    if not found:
        say(f"  no file that ends in {', '.join(SUFFIXES)}")


def say_which(model: Path) -> None:
    """Say so where a model in the working folder is taken for a shipped one of its name."""
    if shipped.hides_shipped(model):
        note(f"{model} is the one in this folder, not the shipped model of that name.")


def _line(name: str, path: Path) -> str:
    """Say in one line what a model is, or why it cannot be said."""
    try:
        facts = describe_model(path)
    except InputError as error:
        return f"{name}: {error}"
    card = facts.get("card")
    said = card.get("description") if isinstance(card, dict) else facts.get("description")
    diameter = facts.get("diameter of the objects")
    words = (facts.get("model"), said, diameter and f"objects of {diameter}")
    return f"{name}: {', '.join(str(word).rstrip('.') for word in words if word)}"


@with_options(ExportOptions)
def export_command(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="What train wrote, or a shipped model.", show_default=False
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
    """Write a model for other programs, with what they need and people should know."""
    if out.resolve() == model.resolve():
        raise InputError(f"{out} is the model itself. Give the package another name.")
    say_which(model)
    told = write_package(open_model(model), out, options)
    formats = ", ".join(("state dict", *options.formats))
    say(f"{out}: {told.name} under {told.card.licence}, weights as {formats}")


__all__ = ["MODEL_HELP", "export_command", "models_command", "say_which"]
