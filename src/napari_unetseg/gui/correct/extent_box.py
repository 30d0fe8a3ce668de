"""A choice of the extent of corrections: the plane on screen, the stack, every frame."""

from napari.layers import Labels
from qtpy.QtWidgets import QComboBox, QWidget

_EXTENTS = {2: "the plane on screen", 3: "the whole stack", 4: "every frame"}
"""Texts for the values of napari's `n_edit_dimensions`."""


class ExtentBox(QComboBox):
    """A box that shows and sets `n_edit_dimensions` of a Labels layer."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layer: Labels | None = None
        self.setToolTip(
            "Whether tools change an object on this plane only, or on all planes of the stack. The "
            "same as n edit dim in napari's layer controls. In the 3D view always the stack."
        )
        self.activated.connect(self._on_activated)

    def show_layer(self, layer: Labels | None) -> bool:
        """Show the extent of corrections of a layer; return whether there is a choice."""
        self._layer = layer
        ndim = 2 if layer is None else layer.ndim
        self.clear()
        for n in range(2, ndim + 1):
            self.addItem(_EXTENTS.get(n, "everything"), n)
        if layer is not None:
            self.setCurrentIndex(max(self.findData(layer.n_edit_dimensions), 0))
        return ndim > 2

    def _on_activated(self) -> None:
        if self._layer is not None:
            self._layer.n_edit_dimensions = self.currentData()


__all__ = ["ExtentBox"]
