"""A list of layers with check boxes."""

from collections.abc import Callable
from typing import Any

from napari.layers import Layer
from napari.utils.events import disconnect_events
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QSizePolicy, QWidget

_ROWS_SHOWN = 4


class LayerTicks(QListWidget):
    """A list of the layers that a tool accepts, each with a check box.

    Parameters
    ----------
    viewer
        The napari viewer.
    accepts
        Whether a layer is offered; called again by `refill`.
    likely
        Whether to tick a layer that is new in the list.

    Signals
    -------
    changed()
        The ticked layers changed.
    """

    changed = Signal()

    def __init__(
        self,
        viewer: Any,
        accepts: Callable[[Layer], bool],
        likely: Callable[[Layer], bool] = lambda layer: True,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self._layers = viewer.layers
        self._accepts, self._likely = accepts, likely
        self._entries: list[Layer] = []
        self._off: set[Layer] = set()
        self._watched: list[Layer] = []
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setSelectionMode(QListWidget.SelectionMode.NoSelection)
        events = self._layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self.refill)
        self.itemChanged.connect(self._on_ticked)
        self.refill()

    def layers(self) -> list[Layer]:
        """Return the ticked layers, in the order of the layer list."""
        return [layer for layer in self._entries if layer not in self._off]

    def tick(self, layer: Layer, on: bool = True) -> None:
        """Tick a layer, or take the tick away."""
        if layer in self._entries:
            item = self.item(self._entries.index(layer))
            if item is not None:
                item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)

    def refill(self, event: object = None) -> None:
        """Show the layers that are accepted now."""
        for layer in self._watched:
            disconnect_events(layer.events, self)
        self._watched = list(self._layers)
        for layer in self._watched:
            layer.events.name.connect(self.refill)
        offered = [layer for layer in self._layers if self._accepts(layer)]
        self._off |= {x for x in offered if x not in self._entries and not self._likely(x)}
        self._off &= set(self._watched)
        self._entries = offered
        blocked = self.blockSignals(True)
        self.clear()
        for layer in offered:
            item = QListWidgetItem(layer.name)
            item.setFlags(Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled)
            on = layer not in self._off
            item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
            item.setToolTip(layer.name)
            self.addItem(item)
        self.blockSignals(blocked)
        rows = min(max(len(offered), 1), _ROWS_SHOWN)
        self.setFixedHeight(rows * (self.fontMetrics().height() + 10) + 2 * self.frameWidth() + 4)
        self.changed.emit()

    def close_events(self) -> None:
        """Stop listening to the viewer."""
        disconnect_events(self._layers.events, self)
        for layer in self._watched:
            disconnect_events(layer.events, self)

    def _on_ticked(self, item: QListWidgetItem) -> None:
        layer = self._entries[self.row(item)]
        if item.checkState() == Qt.CheckState.Checked:
            self._off.discard(layer)
        else:
            self._off.add(layer)
        self.changed.emit()


__all__ = ["LayerTicks"]
