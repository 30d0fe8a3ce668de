"""The tools in the order of the ladder, each loaded when it is first wanted."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

_PLACES = {
    "Background": "background:BackgroundWidget",
    "Threshold": "threshold:ThresholdWidget",
    "Train": "train:TrainWidget",
    "Scoreboard": "scoreboard:ScoreboardWidget",
    "Predict": "predict:PredictWidget",
    "Queue": "queue:QueueWidget",
    "Correct": "correct:CorrectWidget",
    "Train on": "train_on:TrainOnWidget",
    "Review": "review:ReviewWidget",
    "Measure": "measure:MeasureWidget",
    "Batch": "batch:BatchWidget",
}

TITLES = tuple(_PLACES)
"""The titles of the tools, known before any of them is loaded."""


class Ladder(Sequence[Any]):
    """The classes of the tools. Asking for one loads its module and no other."""

    def __len__(self) -> int:
        return len(TITLES)

    def __getitem__(self, number: Any) -> Any:
        module, name = _PLACES[TITLES[number]].split(":")
        return getattr(import_module(f"napari_unetseg.gui.{module}"), name)


__all__ = ["TITLES", "Ladder"]
