"""The steps of the guided tour: what each says, where it points, and when it is done."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qtpy.QtWidgets import QWidget

from napari_unetseg.gui.workbench.tour_stage import Stage

_MODEL = "nuclei"


@dataclass(frozen=True)
class TourStep:
    """One step.

    Parameters
    ----------
    title, text
        What is said; the text says what to do.
    dock
        Title of the tool it is done with, if any.
    begin
        Puts the tool in order for the tour's layers. Nothing is run.
    point
        The control to point at, of the tool.
    done
        Whether the user has done it.
    do
        Does it for the user.
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
    stage.viewer.layers.selection.active = stage.drawn


def _predict(stage: Stage, tool: Any) -> None:
    if stage.drawn is not None:
        stage.drawn.visible = False
    stage.viewer.layers.selection.active = stage.image
    tool.pick.pick(stage.image)
    tool.models.choose(_MODEL)


def _measure(stage: Stage, tool: Any) -> None:
    tool.pick.pick(stage.predicted or stage.drawn)


def _run(stage: Stage, tool: Any) -> None:
    tool.run()


def _press_border(stage: Stage, tool: Any) -> None:
    tool.panel.buttons["border"].click()


STEPS = (
    TourStep(
        "A tour in six steps",
        "From an image to a table of its objects. The tour draws an image of nuclei for itself; "
        "what you have open is not touched. Press <b>Open the sample</b>.",
        done=lambda stage: stage.image is not None,
        do=lambda stage, tool: stage.open_sample(),
    ),
    TourStep(
        "1. Even out the light",
        "Background fits a smooth surface to what is no object, and takes it away. "
        "Press <b>Flatten</b>.",
        "Background",
        _flatten,
        lambda tool: tool.run_button,
        lambda stage: stage.flattened is not None,
        _run,
    ),
    TourStep(
        "2. Split at a grey level",
        "Drag the orange line on the histogram: the colour shows what is selected. Result is "
        "already <i>objects</i>, so that every nucleus gets a number. Press <b>Run</b>.",
        "Threshold",
        _threshold,
        lambda tool: tool.run_button,
        lambda stage: stage.drawn is not None,
        _run,
    ),
    TourStep(
        "3. Correct by hand",
        "Nuclei cut off by the border have no true size: press <b>At border</b>. Or press "
        "<b>Delete</b> and click one. Ctrl+Z takes it back. No later run changes what you correct.",
        "Correct",
        _correct,
        lambda tool: tool.panel.buttons["border"],
        Stage.corrected,
        _press_border,
    ),
    TourStep(
        "4. Let a trained model find them",
        "A model that comes with the plugin finds nuclei, touching ones too, without a threshold. "
        "It is chosen already. Press <b>Predict</b>.",
        "Predict",
        _predict,
        lambda tool: tool.run_button,
        lambda stage: stage.predicted is not None,
        _run,
    ),
    TourStep(
        "5. Measure",
        "Size, shape and intensity of every object. Press <b>Measure</b>, then click a row of the "
        "table: the view goes to that nucleus.",
        "Measure",
        _measure,
        lambda tool: tool.run_button,
        Stage.measured,
        _run,
    ),
    TourStep(
        "6. On with your own image",
        "<b>Save table...</b> writes it as CSV; <b>Batch</b> does the same to a folder. Where "
        "neither threshold nor model is right, paint some strokes and <b>Train</b>.",
        "Measure",
        point=lambda tool: tool.save_buttons["table"],
    ),
)
"""All of them, in order."""

__all__ = ["STEPS", "TourStep"]
