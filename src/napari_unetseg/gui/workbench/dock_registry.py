"""Registry of the tools and of the stages of work that they belong to; tools load on first use."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

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
    "Models": "models.models_dock:ModelsWidget",
    "Features": "features.features_dock:FeaturesWidget",
    "Project": "project.project_dock:ProjectWidget",
}

TITLES = tuple(_PLACES)
"""The titles of the tools, available before any of them is imported."""

HOME = "Home"
"""Title of the start page among the tools of its stage."""


_LATE = (
    "napari_unetseg.gui.threshold.histogram_plot",
    *("pandas", "scipy.linalg", "scipy.ndimage", "skimage.color"),
)
"""What a tool imports when it is shown, and napari when it adds the first layer of a kind."""


@dataclass(frozen=True)
class WorkStage:
    """A stage of work, with the titles of its tools.

    Parameters
    ----------
    title
        Its button; in lower case the name of its icon.
    help
        The tooltip of its button.
    tools
        Titles, in the order of use.
    """

    title: str
    help: str
    tools: tuple[str, ...]


STAGES = (
    WorkStage(
        "Start",
        "Open an image or a sample, choose a model by its picture, or open a project.",
        (HOME, "Project", "Models"),
    ),
    WorkStage(
        "Draft",
        "A first segmentation without training: even out the light, choose a grey level.",
        ("Background", "Threshold"),
    ),
    WorkStage(
        "Learn",
        "Train a model on your labels, compare kinds of models, and look inside.",
        ("Train", "Train on", "Scoreboard", "Features"),
    ),
    WorkStage("Apply", "Run a model on an image, or a recipe on a folder.", ("Predict", "Batch")),
    WorkStage("Fix", "Correct objects by hand, the most uncertain first.", ("Correct", "Queue")),
    WorkStage(
        "Results",
        "Measure the objects, or compare them with the truth.",
        ("Measure", "Review"),
    ),
)
"""The stages in the order of work."""


class DockRegistry(Sequence[Any]):
    """A sequence of the tool classes, which imports the module of a tool on access."""

    def __len__(self) -> int:
        return len(TITLES)

    def __getitem__(self, number: Any) -> Any:
        module, name = _PLACES[TITLES[number]].split(":")
        return getattr(import_module(f"napari_unetseg.gui.{module}"), name)


def import_all() -> None:
    """Import all tools, and what napari imports when it adds the first layer of a kind.

    In a thread, while the window is idle, so that no click waits for it.
    """
    for _ in DockRegistry():
        pass
    for name in _LATE:
        import_module(name)
    # The first call of any compiled function loads most of what all others need.
    import_module("napari_unetseg.core.compute.run_length").encode_runs(np.zeros((1, 1), bool))


__all__ = ["HOME", "STAGES", "TITLES", "DockRegistry", "WorkStage", "import_all"]
