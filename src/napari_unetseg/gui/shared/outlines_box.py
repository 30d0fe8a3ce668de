"""A tick that shows labels as outlines: napari's own contour of Labels layers."""

from collections.abc import Callable, Iterable

import numpy as np
from napari.layers import Labels, Layer
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox

_WIDTH = 1
_AT_ONCE = 16_000_000
"""Pixels of a plane up to which napari finds its outlines without a noticeable wait."""


class OutlinesBox(QCheckBox):
    """Show the labels that a dock is about as outlines, with the image visible inside.

    Parameters
    ----------
    layers
        Returns the layers that the dock is about now.
    """

    def __init__(self, layers: Callable[[], Iterable[Layer | None]]) -> None:
        super().__init__("Outlines")
        self.setToolTip(
            "Show labels as outlines, so that the image inside them is visible. Untick to fill "
            "them with colour. In napari's own controls this is contour."
        )
        self._layers = layers
        self.toggled.connect(self.apply)

    def apply(self, on: bool | None = None) -> None:
        """Give the layers the look of the tick."""
        for layer in self._labels():
            if (layer.contour > 0) != self.isChecked():
                layer.contour = _WIDTH if self.isChecked() else 0

    def read(self) -> None:
        """Tick as the layers look; without any the tick stays as it is."""
        labels = self._labels()
        if labels:
            with QSignalBlocker(self):
                self.setChecked(all(layer.contour > 0 for layer in labels))

    def _labels(self) -> list[Labels]:
        return [layer for layer in self._layers() if isinstance(layer, Labels) and _is_quick(layer)]


def _is_quick(layer: Labels) -> bool:
    return bool(layer.multiscale or np.prod(layer.data.shape[-2:]) <= _AT_ONCE)


__all__ = ["OutlinesBox"]
