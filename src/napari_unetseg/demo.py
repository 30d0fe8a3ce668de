"""Run three examples from raw image to labels: two real ones, and one with ground truth."""

import functools
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.background import BackgroundOptions, fit_background
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_image, write_image, write_labels, write_table, writing
from napari_unetseg.core.io.figure import Panel, draw_figure, to_colour, to_grey, with_labels
from napari_unetseg.core.measure import Table, measure
from napari_unetseg.core.progress import Progress, part, silent
from napari_unetseg.core.samples import neurons
from napari_unetseg.core.scoring.pixel_scores import dice
from napari_unetseg.core.threshold import ThresholdOptions, threshold


@dataclass(frozen=True, eq=False)
class DemoCase:
    """Define an example: its image and the options of its segmentation.

    Parameters
    ----------
    name
        Stem of its output files.
    title
        A short description of the image.
    load
        Returns the image and, if known, the true mask of the objects.
    background, threshold
        The options of the two steps.
    """

    name: str
    title: str
    load: Callable[[], tuple[Image, NDArray[np.bool_] | None]]
    background: BackgroundOptions
    threshold: ThresholdOptions


@dataclass(frozen=True, eq=False)
class Case:
    """Hold the results of an example.

    Parameters
    ----------
    recipe
        The example.
    image, surface, flattened
        The raw image, its fitted background, and the background-corrected image.
    labels, raw_labels
        The objects found in the flattened image, and in the raw one for comparison.
    table
        A row for each object.
    fit
        The output of `Background.describe`.
    value
        The threshold in the flattened image.
    truth
        The true mask of the objects, if known.
    """

    recipe: DemoCase
    image: Image
    surface: Image
    flattened: Image
    labels: Image
    raw_labels: Image
    table: Table
    fit: dict[str, Any]
    value: float
    truth: NDArray[np.bool_] | None = None

    @property
    def dice(self) -> tuple[float, float] | None:
        """Dice coefficients of the raw and the flattened image's labels; None without truth."""
        if self.truth is None:
            return None
        return dice(self.raw_labels.data, self.truth), dice(self.labels.data, self.truth)


def run_case(out: Path, *, progress: Progress = silent) -> list[Case]:
    """Segment the examples and write the results.

    Parameters
    ----------
    out
        The results folder, created if missing. It gets, for each example, ``NAME.tif`` (the raw
        image), ``NAME_flattened.tif``, ``NAME_labels.tif``, ``NAME_objects.csv`` and ``NAME.png``.
    progress
        Called with the progress.

    Raises
    ------
    InputError
        When the folder cannot be written.
    """
    cases = []
    for number, recipe in enumerate(RECIPES):
        at = part(progress, number / len(RECIPES), (number + 1) / len(RECIPES))
        case = segment(recipe, progress=part(at, 0, 0.8))
        write_case(case, out)
        at(1.0, recipe.name)
        cases.append(case)
    return cases


def segment(recipe: DemoCase, *, progress: Progress = silent) -> Case:
    """Run one example: background, threshold, measurement."""
    image, truth = recipe.load()
    fitted = fit_background(image, recipe.background, progress=part(progress, 0, 0.6))
    flattened = fitted.flatten(image)
    thresholded = threshold(flattened, recipe.threshold, progress=part(progress, 0.6, 1))
    raw = threshold(image, recipe.threshold)
    return Case(
        recipe=recipe,
        image=image,
        surface=fitted.surface(),
        flattened=flattened,
        labels=thresholded.image,
        raw_labels=raw.image,
        table=measure(thresholded.image, flattened),
        fit=fitted.describe(),
        value=thresholded.values[0][0],
        truth=truth,
    )


def write_case(case: Case, out: Path) -> None:
    """Write the files of one example; see `run_case`.

    Raises
    ------
    InputError
        When the folder cannot be written.
    """
    name = case.recipe.name
    write_image(out / f"{name}.tif", case.image)
    write_image(out / f"{name}_flattened.tif", case.flattened)
    write_labels(out / f"{name}_labels.tif", case.labels)
    write_table(out / f"{name}_objects.csv", case.table)
    with writing(out / f"{name}.png") as draft:
        draft.write_bytes(draw_case(case))


def draw_case(case: Case) -> bytes:
    """Draw the figure of an example, as a PNG file."""
    raw = to_grey(case.image.grey().asarray())
    panels = [
        Panel(raw, "raw"),
        Panel(to_colour(case.surface.asarray()), "fitted background, dark to bright"),
        Panel(to_grey(case.flattened.asarray()), "flattened"),
        Panel(with_labels(raw, case.raw_labels.data), "threshold of the raw image"),
        Panel(with_labels(raw, case.labels.data), f"of the flattened: {_count(case)}"),
    ]
    if case.truth is not None:
        panels.append(Panel(with_labels(raw, case.truth.astype(np.uint8) * 2), "ground truth"))
    caption = f"Background: {_flatness(case)}.   Threshold: {_threshold(case)}."
    if case.dice is not None:
        caption += f"   Dice {case.dice[0]:.2f} raw, {case.dice[1]:.2f} flattened."
    columns = 3 if len(panels) > 5 else None
    return draw_figure(panels, title=case.recipe.title, caption=caption, columns=columns)


def report(cases: Sequence[Case], out: Path) -> list[str]:
    """Summarise the steps, the results and the next commands, as lines of text."""
    lines = []
    for case in cases:
        lines += [
            f"{case.recipe.title}",
            f"  Background: {_flatness(case)}.",
            f"  Threshold: {_threshold(case)}; {_count(case)}.",
        ]
        if case.dice is not None:
            lines.append(
                f"  Dice against the ground truth: {case.dice[0]:.3f} for the threshold of the raw "
                f"image, {case.dice[1]:.3f} for that of the flattened image."
            )
        lines.append(f"  Figure: {out / case.recipe.name}.png")
    first = cases[0].recipe.name
    return [
        *lines,
        "",
        f"{out} contains, for each example: the raw image NAME.tif, NAME_flattened.tif, "
        "NAME_labels.tif, NAME_objects.csv and the figure NAME.png.",
        "Next: open a figure, then drag NAME.tif and NAME_labels.tif into napari and choose "
        "Plugins > UNet Segmentation > Workbench.",
        "On your own images: napari-unetseg background IMAGE -o flat.tif",
        "              then: napari-unetseg threshold flat.tif -o labels.tif --as objects",
        f"To see the fitted surface: napari-unetseg background {out / first}.tif -o flat.tif "
        "--surface surface.tif",
    ]


def show(cases: Sequence[Case]) -> str:
    """Open the examples in napari and wait until it is closed.

    Returns
    -------
    str
        A sentence about the outcome, also without a screen, napari or Qt.
    """
    if not _has_screen():
        return "There is no display, so napari was not opened."
    try:
        import napari

        viewer = napari.Viewer(title="napari-unetseg demo")
    except ImportError as error:
        return (
            f"napari was not opened ({str(error).splitlines()[0]}); "
            'python -m pip install "napari-unetseg[all]" installs it with a Qt binding.'
        )
    for number, case in enumerate(cases):
        _add_layers(viewer, case, visible=number == len(cases) - 1)
    viewer.reset_view()
    napari.run()
    return "napari was closed."


def _add_layers(viewer: Any, case: Case, *, visible: bool) -> None:
    layers = (
        ("", viewer.add_image, case.image.data),
        (" flattened", viewer.add_image, case.flattened.data),
        (" labels", viewer.add_labels, case.labels.data),
    )
    for name, add, data in layers:
        add(
            data,
            name=f"{case.recipe.name}{name}",
            scale=case.image.spacing,
            units=(case.image.unit,) * len(case.image.spacing),
            visible=visible,
        )


def _has_screen() -> bool:
    if sys.platform != "linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _flatness(case: Case) -> str:
    before, after = case.fit["flatness_before"], case.fit["flatness_after"]
    n_terms = len(case.fit["surfaces"][0]["terms"])
    return f"{n_terms} terms; unevenness of the background {before:.3f} before, {after:.3f} after"


def _count(case: Case) -> str:
    n = len(case.table["label"])
    return f"{n} object{'' if n == 1 else 's'}"


def _threshold(case: Case) -> str:
    options = case.recipe.threshold
    side = "above" if options.objects == "bright" else "below"
    return f"{options.method}: objects are {side} {case.value:.4g}"


def _installed(name: str) -> tuple[Image, None]:
    """Read a picture from the installed scikit-image, without downloading it."""
    path = resources.files("skimage") / "data" / name
    if not path.is_file():
        raise InputError(
            f"The installed scikit-image has no data/{name}. Install scikit-image from its wheel, "
            "which includes it."
        )
    with resources.as_file(path) as file:
        return read_image(file), None


def _synthetic() -> tuple[Image, NDArray[np.bool_]]:
    sample = neurons((512, 512), seed=0)
    return sample.as_image(), sample.mask


RECIPES = (
    DemoCase(
        name="cell",
        title="A cell in saline (scikit-image's own micrograph)",
        load=functools.partial(_installed, "cell.png"),
        background=BackgroundOptions(terms="quadratic", robust="both"),
        threshold=ThresholdOptions(method="otsu", sigma=1, result="objects", min_size=200),
    ),
    DemoCase(
        name="coins",
        title="Coins under uneven light (scikit-image's own photograph)",
        load=functools.partial(_installed, "coins.png"),
        background=BackgroundOptions(),
        threshold=ThresholdOptions(
            method="otsu", sigma=1, fill_holes=True, result="objects", min_size=200
        ),
    ),
    DemoCase(
        name="neurons",
        title="Neurons under uneven light (synthetic, with the truth)",
        load=_synthetic,
        background=BackgroundOptions(terms="auto", robust="both"),
        threshold=ThresholdOptions(
            method="otsu", objects="dark", sigma=1.5, result="objects", min_size=60
        ),
    ),
)
"""The examples, in their order."""

__all__ = [
    "RECIPES",
    "Case",
    "DemoCase",
    "draw_case",
    "report",
    "run_case",
    "segment",
    "show",
    "write_case",
]
