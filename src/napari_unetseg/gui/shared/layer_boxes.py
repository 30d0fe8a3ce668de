"""Bounding boxes of the objects of a Labels layer, kept up to date through its undo history.

napari sends an event when something is painted, but none when it is undone, so the history is
compared with its previous state.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_unetseg.core.corrections import ObjectBoxes, find_boxes
from napari_unetseg.core.progress import Progress
from napari_unetseg.gui.shared.undo_history import Atom, changes_since, histories

AT_ONCE = 300_000
"""Labels of so few pixels are searched on the spot; larger ones in another thread."""

_Step = list[Atom]


class LayerBoxes:
    """The boxes of the objects of one Labels layer.

    Parameters
    ----------
    layer
        In memory, of one resolution.
    """

    def __init__(self, layer: Labels) -> None:
        self._layer = layer
        self._boxes: ObjectBoxes | None = None
        self._data: Any = None
        self._history: Any = None
        self._steps: list[_Step] = []
        layer.events.paint.connect(self._on_paint)

    def close_events(self) -> None:
        """Stop following the layer."""
        self._layer.events.paint.disconnect(self._on_paint)

    def boxes(self) -> ObjectBoxes | None:
        """Return the current boxes, or None if they must be searched first."""
        self._follow()
        if self._boxes is None and self._layer.data.size <= AT_ONCE:
            self.take(find_boxes(self._layer.data))
        return self._boxes

    def search(self) -> Callable[[Progress], ObjectBoxes]:
        """Return a function that finds the boxes, for another thread."""
        data = self._layer.data
        return lambda progress: find_boxes(data, progress=progress)

    def take(self, boxes: ObjectBoxes) -> None:
        """Store boxes that were found in the current labels."""
        self._boxes, self._data = boxes, self._layer.data
        self._history = histories(self._layer)[0]
        self._steps = list(self._history)

    def forget(self) -> None:
        """Discard the boxes after the labels were changed outside napari's history."""
        self._boxes = None

    def holds(self, number: int, places: Sequence[Sequence[float]] = ()) -> bool:
        """Whether the box of an object is right: it holds all pixels of the object.

        Parameters
        ----------
        places
            Points in the object, hence in the box.
        """
        if self._boxes is None or number not in self._boxes:
            return False
        box = self._boxes.box(number)
        crop = self._layer.data[box]
        if not all(
            s.start <= round(x) < s.stop for at in places for x, s in zip(at, box, strict=True)
        ):
            return False
        return int(np.count_nonzero(crop == number)) == self._boxes.size(number)

    def _on_paint(self) -> None:
        self._follow()

    def _follow(self) -> None:
        """Update the boxes by the steps done, undone and redone since the last call."""
        if self._boxes is None:
            return
        history = histories(self._layer)[0]
        if self._layer.data is not self._data or history is not self._history:
            self._boxes = None
            return
        changes = changes_since(self._steps, history, self._layer.data.shape)
        self._steps = list(history)
        if changes is None:
            self._boxes = None
            return
        try:
            for change in changes:
                self._boxes.update(*change)
        except KeyError:
            # A step took pixels from an unknown object.
            self._boxes = None


__all__ = ["AT_ONCE", "LayerBoxes"]
