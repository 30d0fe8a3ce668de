"""The shipped models to choose from: with an example each, or tried on the image."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.plausibility import FITS, Trial
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.models_io.compare_shipped import Comparison, compare_shipped
from napari_unetseg.core.models_io.model_pictures import Picture, draw_picture
from napari_unetseg.core.progress import Progress
from napari_unetseg.gui.predict.model_gallery import SIDE, CardText, ModelGallery
from napari_unetseg.gui.predict.predict_run import PredictRun

_EXAMPLES = "What looks like your image? Click it; or compare them with <b>Try all</b>."
_TRIED = "On a part of your image, the best fit first. Click one to take it."


@dataclass(frozen=True, eq=False)
class Tried:
    """The shipped models on what is visible of an image, as the window shows them.

    Parameters
    ----------
    comparison
        The models, the most plausible first.
    pictures
        The objects of each, outlined, by name.
    run
        The run of the model that fits best, if that was asked for.
    """

    comparison: Comparison
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    run: PredictRun | None = None

    @property
    def best(self) -> Trial | None:
        """The trial of the model that fits best; None when none fits."""
        return self.comparison.best


def try_shipped(image: Image, progress: Progress) -> Tried:
    """Compare the shipped models on an image and draw a picture of each."""
    made = compare_shipped(image, progress=progress)
    view = made.view
    drawn = {one.model.name: draw_picture(made.part, one.labels, SIDE, view) for one in made.trials}
    return Tried(made, drawn)


class ModelFinder(QWidget):
    """A gallery of the shipped models: drawn examples of their kinds, or how they do on the image.

    Parameters
    ----------
    invitation
        The line above the examples.

    Signals
    -------
    taken(str)
        The user pressed a picture: the name of its model.
    """

    taken = Signal(str)

    def __init__(self, invitation: str = _EXAMPLES) -> None:
        super().__init__()
        self.tried: Tried | None = None
        self._invitation = invitation
        self.heading = QLabel(invitation)
        self.heading.setWordWrap(True)
        self.gallery = ModelGallery()
        self.gallery.taken.connect(self.taken)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 2, 0, 2)
        column.setSpacing(2)
        column.addWidget(self.heading)
        column.addWidget(self.gallery)

    @property
    def marked(self) -> TrainedModel | None:
        """The model that fits best of those that were tried, if any does."""
        best = None if self.tried is None else self.tried.best
        return None if best is None else best.model

    def show_examples(self) -> None:
        """Show a drawn image of the kind of each model that has one, unless models were tried."""
        if self.tried is None and not self.gallery.cards:
            self._show()

    def show_tried(self, tried: Tried) -> None:
        """Show how the models do on the image."""
        self.tried = tried
        self._show()

    def forget(self) -> None:
        """Show the examples again: what was tried is of another image."""
        if self.tried is not None:
            self.tried = None
            self._show()

    def _show(self) -> None:
        if self.tried is None:
            self.heading.setText(self._invitation)
            found = ((name, shipped.picture_of(name)) for name in shipped.names_to_try())
            pictures = {name: path for name, path in found if path is not None}
            lines = {name: shipped.LINES.get(name, "") for name in pictures}
            texts = [CardText(name, line.rstrip("."), line) for name, line in lines.items()]
            self.gallery.show_cards(texts, pictures)
            return
        self.heading.setText(_TRIED)
        texts = [_text_of(one) for one in self.tried.comparison.trials]
        self.gallery.show_cards(texts, self.tried.pictures)


def _text_of(trial: Trial) -> CardText:
    verdict = "fits" if trial.fits else "unlikely"
    return CardText(
        trial.model.name,
        f"{trial.found}<br>{verdict}, {trial.plausibility:.2f}",
        f"{trial.model.card.description}<br>Plausibility {trial.plausibility:.2f}: agreement "
        f"{trial.agreement:.2f} times familiarity {trial.familiarity:.2f}. From {FITS:g} on a "
        "model fits.",
    )


__all__ = ["ModelFinder", "Tried", "try_shipped"]
