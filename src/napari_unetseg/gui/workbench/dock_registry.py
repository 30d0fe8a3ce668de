"""Registry of the tools in the order of the ladder, each imported on first use."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

_PLACES = {
    "Background": "background.background_dock:BackgroundWidget",
    "Threshold": "threshold.threshold_dock:ThresholdWidget",
    "Train": "train.train_dock:TrainWidget",
    "Scoreboard": "scoreboard.scoreboard_dock:ScoreboardWidget",
    "Predict": "predict.predict_dock:PredictWidget",
    "Queue": "queue.queue_dock:QueueWidget",
    "Correct": "correct.correct_dock:CorrectWidget",
    "Train on": "train.fine_tune_dock:FineTuneWidget",
    "Review": "review.review_dock:ReviewWidget",
    "Measure": "measure.measure_dock:MeasureWidget",
    "Batch": "batch.batch_dock:BatchWidget",
}

TITLES = tuple(_PLACES)
"""The titles of the tools, available before any of them is imported."""


class DockRegistry(Sequence[Any]):
    """A sequence of the tool classes, which imports the module of a tool on access."""

    def __len__(self) -> int:
        return len(TITLES)

    def __getitem__(self, number: Any) -> Any:
        module, name = _PLACES[TITLES[number]].split(":")
        return getattr(import_module(f"napari_unetseg.gui.{module}"), name)


__all__ = ["TITLES", "DockRegistry"]
