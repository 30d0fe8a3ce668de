"""Export a recipe as a command line, and as a Python script that calls each step by name."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.io.paths import PathLike
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.options import Options
from napari_unetseg.core.recipe.recipe import Recipe, explicit_options
from napari_unetseg.core.recipe.recipe_steps import MeasurementStep, ModelStep

_CORE = "napari_unetseg.core"


def shell_command(
    recipe: PathLike, images: Sequence[PathLike], out: PathLike, *, flattened: bool = False
) -> str:
    """Return the command line that runs a recipe file, with shell quoting."""
    words = ["napari-unetseg", "run", str(recipe), *map(str, images), "-o", str(out), "--resume"]
    return shlex.join([*words, *(["--flattened"] if flattened else [])])


def python_script(recipe: Recipe, folder: PathLike = ".") -> str:
    """Return a Python script that runs the steps of a recipe one by one.

    Parameters
    ----------
    folder
        The recipe's folder, which its model path is relative to.

    Notes
    -----
    The script takes images and a folder, and writes the same results as `run`. Options at their
    default are left out.
    """
    start = [] if recipe.model is None else _opening(recipe.model, recipe, folder)
    named = {"axes": recipe.image.axes, "scene": recipe.image.scene}
    given = {name: value for name, value in named.items() if value}
    body = [f"image = {_call('read', 'path', said=given)}", *_segmenting(recipe)]
    if recipe.cells is not None:
        cells = recipe.cell_recipe
        if cells is not None:
            start += [] if cells.model is None else _opening(cells.model, cells, folder, "cell_")
            body += _segmenting(cells, "cell_")
        body += _pairing(recipe)
    elif recipe.measurement is not None:
        body.append(_measuring(recipe.measurement))
    imports = [f"from {_CORE}.normalisation import NormalisationSpec"] * bool(recipe.normalisation)
    return "\n".join(
        [
            '"""Segment images. Usage: python this_script.py IMAGE... FOLDER"""',
            "",
            "import sys",
            "from pathlib import Path",
            "",
            "import napari_unetseg as seg",
            f"from {_CORE}.io import stem_of",
            *imports,
            "",
            "*images, out = map(Path, sys.argv[1:])",
            *start,
            "for path in images:",
            *(f"    {line}" for line in [*body, *_writing(recipe)]),
            "",
        ]
    )


def _segmenting(recipe: Recipe, of: str = "") -> list[str]:
    """Return the steps from the image to labels; `of` begins the names of variables."""
    channel = recipe.image.channel
    lines = [f"{of}source = {f'image.channels({channel!r})' if channel else 'image'}"]
    source = f"{of}source"
    if recipe.background is not None:
        flattening = _call("flatten", source, said=_changed(recipe.background))
        source = f"{of}flattened"
        lines.append(f"{source} = {flattening}")
    if recipe.threshold is not None:
        thresholding = _call("threshold", source, said=_changed(recipe.threshold))
        lines.append(f"{of}labels = {thresholding}")
    elif recipe.model is not None:
        lines.append(_predicting(recipe.model, recipe, source, of))
    return lines


def _pairing(recipe: Recipe) -> list[str]:
    """Return the lines that pair nuclei with cells and measure them."""
    step, measurement, found = recipe.cells, recipe.measurement, recipe.cell_recipe
    said = {} if step is None else _changed(step)
    said.pop("channel", None)
    measured = {} if measurement is None else _changed(measurement)
    intensities = measured.pop("intensities", "image")
    if step is not None and step.method == "mask" and step.boundary != "middle":
        flat = found is not None and found.background is not None
        said["boundaries_in"] = _Name("cell_flattened" if flat else "cell_source")
    cells = "None" if found is None else "cell_labels"
    values = "None" if intensities == "none" or measurement is None else intensities
    return [
        f"found = {_call('measure_cells', 'labels', cells, values, said=said | measured)}",
        "labels, table = found.cells, found.table",
    ]


class _Name(str):
    """The name of a variable, which is written without quotes."""

    def __repr__(self) -> str:
        return str(self)


def _opening(step: ModelStep, recipe: Recipe, folder: PathLike, of: str = "") -> list[str]:
    path = step.file if step.file in shipped.names() else (Path(folder) / step.file).as_posix()
    scaling = ""
    if recipe.normalisation is not None:
        scaling = _call("NormalisationSpec", said=_changed(recipe.normalisation), of="")
        scaling = f", normalisation={scaling}"
    return [f"# SHA-256: {step.sha256}", f"{of}model = seg.open_model({path!r}{scaling})"]


def _predicting(step: ModelStep, recipe: Recipe, source: str, of: str) -> str:
    said = _changed(PredictOptions(**step.model_dump(include=set(PredictOptions.model_fields))))
    said |= {} if recipe.objects is None else explicit_options(recipe.objects)
    made = "probabilities" if step.what == "probabilities" else "labels"
    return f"{of}{made} = {_call('predict', source, f'{of}model', said=said)}"


def _measuring(step: MeasurementStep) -> str:
    said = _changed(step)
    said.pop("intensities", None)
    source = "None" if step.intensities == "none" else step.intensities
    return f"table = {_call('measure', 'labels', source, said=said)}"


def _writing(recipe: Recipe) -> list[str]:
    if recipe.makes_labels:
        lines = ['seg.write(out / "labels" / f"{stem_of(path)}.tif", labels, labels=True)']
    else:
        made = "flattened" if recipe.model is None else "probabilities"
        lines = [f'seg.write(out / "{made}" / f"{{stem_of(path)}}.tif", {made})']
    if recipe.cells is not None:
        lines += [
            f'seg.write(out / "{kind}" / f"{{stem_of(path)}}.tif", found.{kind}, labels=True)'
            for kind in ("nuclei", "cytoplasm")
        ]
    if recipe.measurement is not None:
        lines.append('seg.write(out / "tables" / f"{stem_of(path)}.csv", table)')
    return lines


def _changed(options: Options) -> dict[str, Any]:
    """Return the options that differ from their default."""
    return options.model_dump(exclude_defaults=True)


def _call(name: str, *given: str, said: dict[str, Any], of: str = "seg.") -> str:
    return f"{of}{name}({', '.join([*given, *(f'{key}={said[key]!r}' for key in said)])})"


__all__ = ["python_script", "shell_command"]
