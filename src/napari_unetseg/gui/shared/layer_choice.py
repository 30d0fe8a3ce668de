"""A choice among the viewer's layers that follows the user's selection."""

from collections.abc import Callable
from typing import Any

from napari.layers import Layer
from napari.utils.events import disconnect_events
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_unetseg.gui.shared.labels_from_images import convert_to_labels, may_be_labels
from napari_unetseg.gui.shared.name_box import NameBox


class LayerChoice(NameBox):
    """A box with the layers that a tool accepts.

    Parameters
    ----------
    viewer
        The napari viewer.
    accepts
        Whether a layer is offered.
    follow
        Whether an acceptable layer is picked when it is selected in the layer list, and before
        others when there is a choice.
    nothing
        Text of a first entry for no layer; there is no such entry if it is empty.
    images
        Whether images that may be labels are offered as well. Picking one makes it a Labels layer.

    Signals
    -------
    picked(object)
        The new layer or None, when the choice changes.
    """

    picked = Signal(object)

    def __init__(
        self,
        viewer: Any,
        accepts: Callable[[Layer], bool],
        *,
        follow: Callable[[Layer], bool] = lambda layer: True,
        nothing: str = "",
        images: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._layers = viewer.layers
        self._accepts = accepts
        self._nothing = nothing
        self._images = images
        self._convertible: list[Layer] = []
        self._entries: list[Layer | None] = []
        self._last: Layer | None = None
        events = self._layers.events
        events.inserted.connect(self._refill)
        events.removed.connect(self._refill)
        events.reordered.connect(self._refill)
        self._layers.selection.events.active.connect(self._on_active)
        self._follow = follow
        self._other: LayerChoice | None = None
        self._watched: list[Layer] = []
        self.currentIndexChanged.connect(self._announce)
        self.activated.connect(self._on_activated)
        self.setPlaceholderText("none")
        self._refill()
        self._on_active()

    def layer(self) -> Layer | None:
        """Return the picked layer, or None."""
        entry = self._entry(self.currentIndex())
        return None if self._is_image(entry) else entry

    def pick(self, layer: Layer) -> None:
        """Pick `layer` if it is offered and needs no conversion."""
        if layer in self._entries and not self._is_image(layer):
            self.setCurrentIndex(self._entries.index(layer))

    def avoid(self, other: "LayerChoice") -> None:
        """Do not follow the selection to the layer that `other` has picked."""
        self._other = other

    def close_events(self) -> None:
        """Stop listening to the viewer."""
        disconnect_events(self._layers.events, self)
        disconnect_events(self._layers.selection.events, self)
        for layer in self._watched:
            disconnect_events(layer.events, self)

    def _refill(self) -> None:
        kept = self.layer()
        self._watch_names()
        offered: list[Layer | None] = [layer for layer in self._layers if self._accepts(layer)]
        images = [one for one in self._layers if self._images and may_be_labels(one)]
        self._convertible = [one for one in images if one not in offered]
        self._entries = [*([None] if self._nothing else ()), *offered, *self._convertible]
        blocked = self.blockSignals(True)
        self.clear()
        for entry in self._entries:
            name = self._nothing if entry is None else entry.name
            self.addItem(f"{name} (image, to labels)" if self._is_image(entry) else name)
        self.setCurrentIndex(0 if self._nothing else -1)
        if kept is not None and kept in self._entries:
            self.setCurrentIndex(self._entries.index(kept))
        elif not self._nothing and offered:
            likely = [layer for layer in offered if layer is not None and self._follows(layer)]
            self.setCurrentIndex(self._entries.index((likely or offered)[-1]))
        self.blockSignals(blocked)
        self._announce()

    def _watch_names(self) -> None:
        for layer in self._watched:
            if layer not in self._layers:
                disconnect_events(layer.events, self)
        for layer in self._layers:
            if layer not in self._watched:
                layer.events.name.connect(self._refill)
        self._watched = list(self._layers)

    def _on_active(self) -> None:
        active = self._layers.selection.active
        if active is not None and self._accepts(active) and self._follows(active):
            self.pick(active)

    def _entry(self, at: int) -> Layer | None:
        return self._entries[at] if 0 <= at < len(self._entries) else None

    def _is_image(self, entry: Layer | None) -> bool:
        """Whether an entry becomes a Labels layer when it is picked."""
        return entry is not None and entry in self._convertible

    def _on_activated(self, at: int) -> None:
        entry = self._entry(at)
        if entry is not None and self._is_image(entry):
            made = convert_to_labels(self._layers, entry)
            if made is None:
                self._refill()
            else:
                self.pick(made)

    def _follows(self, layer: Layer) -> bool:
        taken = self._other is not None and self._other.layer() is layer
        return not taken and self._follow(layer)

    def _announce(self) -> None:
        layer = self.layer()
        self.setToolTip("" if layer is None else layer.name)
        if layer is not self._last:
            self._last = layer
            self.picked.emit(layer)
