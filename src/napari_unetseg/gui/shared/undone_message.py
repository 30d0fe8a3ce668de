"""A message about an undo step of a Labels layer, which changes when the step is undone."""

from typing import Any
from weakref import ref

from napari.layers import Labels, Layer
from napari.utils.events import disconnect_events
from qtpy.QtWidgets import QLabel

from napari_unetseg.gui.shared.undo_history import Atom, histories, same_step

UNDONE = "Undone; Ctrl+Shift+Z does it again."


def how_to_undo(viewer: Any, layer: Layer, them: str = "it") -> str:
    """Return how to undo what was just written: napari undoes on the selected layer alone."""
    if viewer.layers.selection.active is layer:
        return f"Ctrl+Z takes {them} back"
    return f"to take {them} back, select {layer.name!r} and press Ctrl+Z"


class UndoneMessage:
    """Keeps the latest sentence about an undo step true while the step is undone and redone.

    Parameters
    ----------
    label
        The label that shows the sentence, perhaps beside others.
    """

    def __init__(self, label: QLabel) -> None:
        self._label = label
        self._layer: Any = lambda: None
        self._step: list[Atom] = []
        self._sentence = ""

    def follow(self, layer: Labels, sentence: str) -> None:
        """Take a sentence, shown from now on, for one about the latest undo step of a layer."""
        self.forget()
        history = histories(layer)[0]
        if not history or not sentence:
            return
        self._layer, self._step, self._sentence = ref(layer), history[-1], sentence
        # Undo and redo send no event but a request to redraw.
        layer.events.set_data.connect(self._look)
        layer.events.labels_update.connect(self._look)

    def forget(self) -> None:
        """Let go of the layer."""
        layer, self._layer = self._layer(), lambda: None
        if layer is not None:
            disconnect_events(layer.events, self)

    def _look(self, event: object = None) -> None:
        layer = self._layer()
        if layer is None:
            return
        undone = any(same_step(self._step, step) for step in histories(layer)[1])
        old, new = (self._sentence, UNDONE) if undone else (UNDONE, self._sentence)
        text = self._label.text()
        if old in text:
            self._label.setText(text.replace(old, new))


__all__ = ["UNDONE", "UndoneMessage", "how_to_undo"]
