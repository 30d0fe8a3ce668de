"""A recipe as a command line, and as a Python script that calls each step by its name."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.io.paths import PathLike
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.options import Options
from napari_unetseg.core.recipe.recipe import Recipe, said_of
from napari_unetseg.core.recipe.recipe_steps import MeasurementStep, ThresholdStep

_CORE = "napari_unetseg.core"


def command_of(
    recipe: PathLike, images: Sequence[PathLike], out: PathLike, *, flattened: bool = False
) -> str:
    """Return the command line that runs a recipe's file, with what has spaces quoted."""
    words = ["napari-unetseg", "run", str(recipe), *map(str, images), "-o", str(out), "--resume"]
    return shlex.join([*words, *(["--flattened"] if flattened else [])])


def script_of(recipe: Recipe, folder: PathLike = ".") -> str:
    """Return a Python script that does what a recipe does, step by step.

    Parameters
    ----------
    folder
        The recipe's own, from which its model's path counts.

    Notes
    -----
    It is called with images and a folder, and writes what `run` does for each image. Options that
    have their default are left out.
    """
    names: dict[str, set[str]] = {f"{_CORE}.io": {"read_image", "stem_of"}}
    body = [*_reading(recipe), *_flattening(recipe, names)]
    source = "source" if recipe.background is None else "flattened"
    start = []
    if recipe.threshold is not None:
        body += _thresholding(recipe.threshold, source, names)
    elif recipe.model is not None:
        start = _opening(recipe, folder, names)
        body += _predicting(recipe, source, names)
    if recipe.measurement is not None:
        body += _measuring(recipe.measurement, names)
    body += _writing(recipe, names)
    imports = [
        f"from {module} import {', '.join(sorted(found))}"
        for module, found in sorted(names.items())
    ]
    return "\n".join(
        [
            '"""Segment images. Usage: python this_script.py IMAGE... FOLDER"""',
            "",
            "import sys",
            "from pathlib import Path",
            "",
            *imports,
            "",
            "*images, out = map(Path, sys.argv[1:])",
            *start,
            "for path in images:",
            *(f"    {line}" for line in body),
            "",
        ]
    )


def _reading(recipe: Recipe) -> list[str]:
    axes = f", {recipe.image.axes!r}" if recipe.image.axes else ""
    lines = [f"image = read_image(path{axes})"]
    channel = recipe.image.channel
    if not channel:
        return [*lines, "source = image"]
    number = channel if channel.isdecimal() else f"image.channel_names.index({channel!r})"
    return [*lines, f"source = image.channel({number})"]


def _flattening(recipe: Recipe, names: dict[str, set[str]]) -> list[str]:
    if recipe.background is None:
        return []
    names[f"{_CORE}.background"] = {"BackgroundOptions", "fit_background"}
    options = _call("BackgroundOptions", _changed(recipe.background))
    return [
        f"background = fit_background(source, {options})",
        "flattened = background.flatten(source)",
    ]


def _thresholding(step: ThresholdStep, source: str, names: dict[str, set[str]]) -> list[str]:
    names[f"{_CORE}.threshold"] = {"ThresholdOptions", "threshold"}
    said = _changed(step)
    values = said.pop("values", None)
    levels = f", values={tuple(values)!r}" if values else ""
    return [f"labels = threshold({source}, {_call('ThresholdOptions', said)}{levels}).image"]


def _opening(recipe: Recipe, folder: PathLike, names: dict[str, set[str]]) -> list[str]:
    step = recipe.model
    if step is None:
        return []
    names[f"{_CORE}.models_io.foreign"] = {"open_model"}
    path = step.file if step.file in shipped.names() else (Path(folder) / step.file).as_posix()
    scaling = ""
    if recipe.normalisation is not None:
        names[f"{_CORE}.normalisation"] = {"NormalisationSpec"}
        scaling = f", normalisation={_call('NormalisationSpec', _changed(recipe.normalisation))}"
    return [f"# SHA-256: {step.sha256}", f"model = open_model({path!r}{scaling})"]


def _predicting(recipe: Recipe, source: str, names: dict[str, set[str]]) -> list[str]:
    step = recipe.model
    if step is None:
        return []
    names[f"{_CORE}.inference.prediction"] = {"predict"}
    names[f"{_CORE}.inference.predict_options"] = {"PredictOptions"}
    chosen = _changed(PredictOptions(**step.model_dump(include=set(PredictOptions.model_fields))))
    decoding = ""
    if recipe.objects is not None:
        names[f"{_CORE}.objects.decode"] = {"DecodeOptions"}
        decoding = f", decoding={_call('DecodeOptions', said_of(recipe.objects))}"
        chosen["what"] = "objects"
    made = "probabilities" if step.what == "probabilities" else "labels"
    return [f"{made} = predict(model, {source}, {_call('PredictOptions', chosen)}{decoding})"]


def _measuring(step: MeasurementStep, names: dict[str, set[str]]) -> list[str]:
    names[f"{_CORE}.measure"] = {"MeasureOptions", "measure"}
    said = _changed(step)
    source = {"none": "None"}.get(step.intensities, step.intensities)
    said.pop("intensities", None)
    return [f"table = measure(labels, {source}, {_call('MeasureOptions', said)})"]


def _writing(recipe: Recipe, names: dict[str, set[str]]) -> list[str]:
    lines = []
    if recipe.makes_labels:
        names[f"{_CORE}.io"].add("write_labels")
        lines.append('write_labels(out / "labels" / f"{stem_of(path)}.tif", labels)')
    else:
        made = "flattened" if recipe.model is None else "probabilities"
        names[f"{_CORE}.io"].add("write_image")
        lines.append(f'write_image(out / "{made}" / f"{{stem_of(path)}}.tif", {made})')
    if recipe.measurement is not None:
        names[f"{_CORE}.io"].add("write_table")
        lines.append('write_table(out / "tables" / f"{stem_of(path)}.csv", table)')
    return lines


def _changed(options: Options) -> dict[str, Any]:
    """Return the options that are not as by default."""
    return options.model_dump(exclude_defaults=True)


def _call(name: str, said: dict[str, Any]) -> str:
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in said.items())})"


__all__ = ["command_of", "script_of"]
