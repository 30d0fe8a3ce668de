"""Live splitting: objects of the plane on screen, made anew from maps that a run kept."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from napari.layers import Layer
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.models_io.model_pictures import edge_pixels
from napari_unetseg.gui.predict.predict_run import PredictRun
from napari_unetseg.gui.predict.prediction_layers import objects_in_words
from napari_unetseg.gui.shared.layers import find_layer
from napari_unetseg.gui.shared.preview import Preview, object_colours, objects_look
from napari_unetseg.gui.shared.task import Latest
from napari_unetseg.gui.shared.training_layers import PREDICTED_OBJECTS


class Say(Protocol):
    """Shows a message."""

    def __call__(self, message: str, *, problem: bool = False) -> None: ...


class LiveSplitting(QObject):
    """Objects in passing, whenever the plane or the options for making objects change.

    Parameters
    ----------
    parent
        The dock.
    viewer
        The napari viewer.
    preview
        Where objects are shown.
    wanted
        Returns the run that the dock asks for now, of the plane on screen; None when nothing can
        be shown, since a run is under way or the dock is out of sight. Raises `InputError`.
    say
        Shows a message.
    outlined
        Returns whether objects are shown as outlines.
    """

    def __init__(
        self,
        parent: QObject,
        viewer: Any,
        preview: Preview,
        wanted: Callable[[], PredictRun | None],
        say: Say,
        outlined: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(parent)
        self.kept: PredictRun | None = None
        self._outlined = outlined
        self._viewer, self._preview, self._wanted, self._say = viewer, preview, wanted, say
        self._hidden: Layer | None = None
        self._latest = Latest(self)
        self._latest.answered.connect(self._on_answer)
        self._latest.refused.connect(lambda error: say(str(error), problem=True))

    @property
    def busy(self) -> bool:
        """Whether objects are being made."""
        return self._latest.busy

    def look(self, event: object = None, *, changed: bool = False) -> None:
        """Show the objects of the plane on screen, if its maps were kept.

        Parameters
        ----------
        changed
            Whether the options changed; else only a look that is on is kept up to date.
        """
        if self.kept is None or not (changed or self._preview.layer is not None):
            return
        try:
            wanted = self._wanted()
        except InputError as error:
            self._say(str(error), problem=True)
            return
        if wanted is None:
            return
        index, kept = wanted.index, self.kept
        if index is None or not kept.serves(wanted):
            self.drop()
            if index is None and changed:
                self._say("Turn the view back to 2D to see how they are split, or press Predict.")
            return
        decoding = wanted.prediction.decoding
        self._latest.ask(lambda progress: (kept, wanted, kept.plane(index, decoding, progress)))

    def show(self, layer: Layer, ids: NDArray[Any]) -> None:
        """Show objects in passing, in place of those that were written before."""
        written = find_layer(self._viewer.layers, PREDICTED_OBJECTS, layer)
        if written is not None and written.visible:
            written.visible = False
            self._hidden = written
        shown = np.where(edge_pixels(ids), ids, 0) if self._outlined() else ids
        self._preview.show(layer, object_colours(shown), name="objects preview", **objects_look())

    def drop(self) -> None:
        """End the look: the layer that it stood in for is shown again."""
        self._latest.forget()
        self._preview.remove()
        hidden, self._hidden = self._hidden, None
        if hidden is not None and hidden in self._viewer.layers:
            hidden.visible = True

    def forget(self) -> None:
        """Drop the maps, which are of another layer or model."""
        self.kept = None
        self.drop()

    def _on_answer(self, answer: tuple[PredictRun, PredictRun, NDArray[Any]]) -> None:
        kept, asked, ids = answer
        try:
            now = self._wanted()
        except InputError:
            return
        if kept is not self.kept or now is None or now.layer is not asked.layer:
            return
        if now.index != asked.index or asked.layer not in self._viewer.layers:
            return
        n = int(np.count_nonzero(np.unique(ids)))
        self.show(asked.layer, ids)
        again = "" if kept.index is not None else " Press Predict to keep this result."
        self._say(f"{objects_in_words(n)} on the plane on screen.{again}")


__all__ = ["LiveSplitting"]
