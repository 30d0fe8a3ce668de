"""Define `background`, `threshold` and `demo`, each on files and by one core function."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from napari_unetseg.cli.console import bar, for_each, note, say
from napari_unetseg.cli.flags import with_options
from napari_unetseg.cli.image_flags import read_seen, with_image_flags
from napari_unetseg.cli.interrupts import leave_interrupts
from napari_unetseg.core.background import BackgroundOptions, fit_background
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import (
    expand_inputs,
    pair_labels,
    plan_outputs,
    read_labels,
    wants_folder,
    write_image,
    write_labels,
    writing_together,
)
from napari_unetseg.core.io.image_step import ImageStep
from napari_unetseg.core.label_image import known_labels, labels_like
from napari_unetseg.core.progress import Progress, part
from napari_unetseg.core.threshold import Thresholded, ThresholdOptions, linked_in_words
from napari_unetseg.core.threshold import threshold as threshold_image

_NAMED_TERMS = 10  # a cubic surface

Images = Annotated[
    list[str],
    typer.Argument(metavar="IMAGE", help="Files, folders or quoted globs.", show_default=False),
]
Out = Annotated[
    Path,
    typer.Option(
        "-o",
        "--out",
        metavar="OUT",
        help="A .tif, .tiff, .zarr or .png file for one image; a folder for several.",
        show_default=False,
    ),
]


@with_image_flags
@with_options(BackgroundOptions, only=set(BackgroundOptions.model_fields) - {"channel"})
def background_command(
    images: Images,
    out: Out,
    *,
    options: BackgroundOptions,
    seen: ImageStep,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="LABELS",
            help="Objects to exclude from the fit: a file, or a folder of files with the names of "
            "the images. Nonzero pixels are objects.",
        ),
    ] = None,
    surface: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT2", help="Also write the fitted surface; a file or folder like OUT."
        ),
    ] = None,
) -> None:
    """Fit a smooth surface to the background and remove it."""
    inputs, folder = expand_inputs(images), wants_folder(images)
    masks = pair_labels(inputs, mask) if mask else []
    sources = [*inputs, *masks]
    outputs = plan_outputs(inputs, out, folder=folder, keep=sources)
    surfaces = plan_outputs(inputs, surface, folder=folder, keep=sources) if surface else []
    _check_apart(outputs, surfaces)

    def work(number: int, path: Path, progress: Progress) -> str:
        image = read_seen(path, seen)
        exclude = _objects_on(image, masks[number]).data if masks else None
        fitted = fit_background(image, options, exclude=exclude, progress=part(progress, 0, 0.6))
        with writing_together():
            write_image(outputs[number], fitted.flatten(image), progress=part(progress, 0.6, 0.9))
            if surfaces:
                write_image(surfaces[number], fitted.surface(), progress=part(progress, 0.9, 1))
        return f"{outputs[number]}: {_summarise_fit(fitted.describe())}"

    for_each(inputs, work)


def _objects_on(image: Image, path: Path) -> Image:
    return known_labels(labels_like(read_labels(path, note=note), image))


@with_image_flags
@with_options(ThresholdOptions, only=set(ThresholdOptions.model_fields) - {"channel"})
def threshold_command(
    images: Images, out: Out, *, options: ThresholdOptions, seen: ImageStep
) -> None:
    """Separate objects from the background by intensity."""
    inputs = expand_inputs(images)
    outputs = plan_outputs(inputs, out, folder=wants_folder(images))

    def work(number: int, path: Path, progress: Progress) -> str:
        image = read_seen(path, seen)
        result = threshold_image(image, options, progress=part(progress, 0, 0.7))
        write_labels(outputs[number], result.image, progress=part(progress, 0.7, 1))
        return f"{outputs[number]}: {_summarise_threshold(result, options)}"

    for_each(inputs, work)


def demo_command(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the results; created if missing.")
    ] = Path("napari-unetseg-demo"),
    *,
    minutes: Annotated[
        float,
        typer.Option(
            metavar="N", min=0, help="Minutes to train UNets on drawn samples; 0 for thresholds."
        ),
    ] = 1.0,
    headless: Annotated[
        bool, typer.Option("--headless", help="Do not open napari on the result.")
    ] = False,
) -> None:
    """Segment three examples, and two drawn samples by every method; write and summarise it."""
    from napari_unetseg import demo as example
    from napari_unetseg import demo_climb as climb

    with bar("demo") as progress:
        cases = example.run_case(out, progress=part(progress, 0, 0.2))
        climbs = climb.run_climbs(minutes, progress=part(progress, 0.2, 1))
        figure = climb.write_climbs(climbs, out)
    for line in example.report(cases, out):
        say(line)
    for line in climb.report_climbs(climbs):
        say(line)
    say(f"Every method beside each other: {figure}")
    if not headless:
        leave_interrupts()
        say(example.show(cases))


def _summarise_fit(fit: dict[str, Any]) -> str:
    """Format the terms of a fit, and the flatness before and after."""
    terms = fit["surfaces"][0]["terms"]
    shape = f"terms {', '.join(terms) if len(terms) <= _NAMED_TERMS else f'{len(terms)} terms'}"
    if fit["surfaces"][0]["stiffness"]:
        shape = "a smooth surface"
    surfaces = f" ({len(fit['surfaces'])} surfaces)" if len(fit["surfaces"]) > 1 else ""
    flatness = f"{fit['flatness_before']:.3g} to {fit['flatness_after']:.3g}"
    ignored = f", ignoring {' or '.join(fit['ignored'])} objects" * (fit["robust"] == "auto")
    warning = f". {fit['warning']}" if fit["warning"] else ""
    return f"{shape}{surfaces}{ignored}, flatness from {flatness}{warning}"


def _summarise_threshold(result: Thresholded, options: ThresholdOptions) -> str:
    """Format the threshold levels, and the number of objects or share of foreground pixels."""
    levels = sorted({level for values in result.values for level in values if level == level})
    summary = f"{options.method} threshold"
    if len(result.values) == 1 or len(levels) == 1:
        summary += f" {', '.join(f'{level:.6g}' for level in levels)}"
    elif levels:
        summary += f"s from {levels[0]:.6g} to {levels[-1]:.6g}"
    if result.n_objects is not None:
        n = f"{result.n_objects} object{'' if result.n_objects == 1 else 's'}"
        return f"{summary}, {n}{linked_in_words(result.image, options)}"
    if result.image.lazy:
        return summary
    return f"{summary}, {np.count_nonzero(result.labels) / result.labels.size:.2%} of the pixels"


def _check_apart(outputs: list[Path], surfaces: list[Path]) -> None:
    same = {path.resolve() for path in outputs} & {path.resolve() for path in surfaces}
    if same:
        raise InputError(
            f"{same.pop()} would be both the flattened image and the surface. "
            "Give --surface another name."
        )
