"""The row that fits how a model makes objects to labels, and its work in another thread."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from napari.layers import Layer
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.training.calibrate_model import Calibration, calibrate_model
from napari_unetseg.core.training.model_history import Learnt
from napari_unetseg.gui.shared.dock_help import text_button
from napari_unetseg.gui.shared.model_choice import beside
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.task import Reporter, Work
from napari_unetseg.gui.shared.training_layers import labels_pick, learnt_of, lesson_of


@dataclass(frozen=True, eq=False)
class FittedDecoding:
    """A model that makes objects anew, the model it was, and the layers it was fitted to."""

    calibration: Calibration
    before: TrainedModel
    learnt: Learnt
    note: str

    def keep(self, session: Session) -> str:
        """Add the new model to the session, beside the old one, and return a message."""
        model = replace(self.calibration.model, name=session.name_for(f"{self.before.name} fitted"))
        session.add_model(model, learnt=[self.learnt])
        message = self.calibration.message or "Nothing is better than what the model does."
        kept = f"Kept as {model.name!r}; {self.before.name!r} is as it was."
        return " ".join(filter(None, [message, kept, self.note, "Next: Predict."]))


class FittingRow(QWidget):
    """A box of Labels layers with known objects, and *Fit*.

    Parameters
    ----------
    viewer
        The napari viewer.
    fit
        Called by the button.
    """

    def __init__(self, viewer: Any, fit: Callable[[], None]) -> None:
        super().__init__()
        self.labels = labels_pick(viewer)
        self.button = text_button(
            "Fit",
            "Choose waist, seed height, foreground, smallest size and lowest score by the objects "
            "of this Labels layer: best of an image that the model did not learn from. The result "
            "is a new model.",
            fit,
        )
        line = QFormLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.addRow("Fit to labels", beside(self.labels, self.button))

    def work(self, layer: Layer, model: TrainedModel | None, plane: tuple[int, ...] | None) -> Work:
        """Return what fits a model to the chosen labels of an image layer.

        Parameters
        ----------
        plane
            Index of the plane on screen, which labels with fewer axes are of.

        Raises
        ------
        InputError
            Without a model that was trained here, or without labels.
        """
        if model is None or not model.state:
            raise InputError(
                "Only a model that was trained here, or is shipped, can be fitted to labels. "
                "Choose one in Model."
            )
        kind: AnnotationKind = "mask" if model.labels_are == "mask" else "objects"
        labels = self.labels.layer()
        pair, note = lesson_of(layer, labels, kind, plane)
        learnt = learnt_of(layer, labels, kind)

        def work(progress: Reporter) -> FittedDecoding:
            return FittedDecoding(
                calibrate_model(model, [pair], progress=progress), model, learnt, note
            )

        return work


__all__ = ["FittedDecoding", "FittingRow"]
