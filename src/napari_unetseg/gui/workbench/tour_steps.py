"""The steps of the guided tour: texts, controls and conditions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qtpy.QtWidgets import QWidget

from napari_unetseg.gui.workbench.tour_stage import Stage

_MODEL = "nuclei"


@dataclass(frozen=True)
class TourStep:
    """One step of the tour.

    Parameters
    ----------
    title, text
        Heading and instruction.
    dock
        Title of its tool, if any.
    begin
        Prepares the tool for the tour's layers, without a run.
    point
        Returns the control of the tool to point at.
    done
        Whether the user has done the step.
    do
        Does the step for the user.
    """

    title: str
    text: str
    dock: str = ""
    begin: Callable[[Stage, Any], None] = lambda stage, tool: None
    point: Callable[[Any], QWidget | None] = lambda tool: None
    done: Callable[[Stage], bool] | None = None
    do: Callable[[Stage, Any], None] | None = None


def _flatten(stage: Stage, tool: Any) -> None:
    tool.pick.pick(stage.image)


def _threshold(stage: Stage, tool: Any) -> None:
    tool.pick.pick(stage.flattened or stage.image)
    tool.form.set(result="objects", split=True, min_size=20)


def _correct(stage: Stage, tool: Any) -> None:
    tool.pick.pick(stage.drawn)
    tool.more.unfold()
    stage.viewer.layers.selection.active = stage.drawn


def _predict(stage: Stage, tool: Any) -> None:
    if stage.drawn is not None:
        stage.drawn.visible = False
    stage.viewer.layers.selection.active = stage.image
    tool.pick.pick(stage.image)
    tool.form.set(what="auto", extent="everything", diameter=0.0)
    if not tool.models.choose(_MODEL):
        raise LookupError(f"Predict does not offer the shipped model {_MODEL}.")


def _measure(stage: Stage, tool: Any) -> None:
    tool.pick.pick(stage.predicted or stage.drawn)


def _run(stage: Stage, tool: Any) -> None:
    tool.run()


def _press_border(stage: Stage, tool: Any) -> None:
    tool.panel.buttons["border"].click()


STEPS = (
    TourStep(
        "A tour in six steps",
        "From an image to a table of its objects. The tour draws its own image of nuclei; your "
        "layers are not changed. Press <b>Open the sample</b>.",
        done=lambda stage: stage.image is not None,
        do=lambda stage, tool: stage.open_sample(),
    ),
    TourStep(
        "1. Even out the light",
        "Background fits a smooth surface to the background and subtracts it. Press "
        "<b>Flatten</b>.",
        "Background",
        _flatten,
        lambda tool: tool.run_button,
        lambda stage: stage.flattened is not None,
        _run,
    ),
    TourStep(
        "2. Threshold",
        "Drag the orange line on the histogram: the selected pixels are coloured. Result is "
        "already <i>objects</i>, so that every nucleus gets a number. Press <b>Run</b>.",
        "Threshold",
        _threshold,
        lambda tool: tool.run_button,
        lambda stage: stage.drawn is not None,
        _run,
    ),
    TourStep(
        "3. Correct by hand",
        "Delete the nuclei that are cut off by the border: press <b>Delete at border</b>. "
        "Or press <b>Delete</b> and click one, or right-click it. Ctrl+Z undoes. Later runs keep "
        "your corrections.",
        "Correct",
        _correct,
        lambda tool: tool.panel.buttons["border"],
        Stage.corrected,
        _press_border,
    ),
    TourStep(
        "4. Predict with a trained model",
        "A shipped model finds nuclei without a threshold, touching ones too. It is already "
        "chosen. Press <b>Predict</b>.",
        "Predict",
        _predict,
        lambda tool: tool.run_button,
        lambda stage: stage.predicted is not None,
        _run,
    ),
    TourStep(
        "5. Measure",
        "Measure size, shape and intensity of every object. Press <b>Measure</b>, then click a row "
        "of the table: the view moves to that nucleus.",
        "Measure",
        _measure,
        lambda tool: tool.run_button,
        Stage.measured,
        _run,
    ),
    TourStep(
        "6. Your own image",
        "<b>Save table...</b> writes a CSV file; <b>Batch</b> repeats the steps on a folder. If "
        "neither threshold nor model works, paint some strokes and <b>Train</b>.",
        "Measure",
        point=lambda tool: tool.save_buttons["table"],
    ),
)
"""All steps, in order."""

__all__ = ["STEPS", "TourStep"]
