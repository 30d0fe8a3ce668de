"""Preview layer of the locked pixels over the labels."""

from functools import lru_cache
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import Colormap
from napari.utils.events import disconnect_events
from qtpy.QtCore import QObject, QTimer

from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.gui.shared.preview import Preview
from napari_unetseg.gui.shared.session import Session

DRAWN, ERASED = 1, 2
"""Values of the layer for locked pixels of objects, and of background."""

_WAIT_MS = 60
_WHOLE = 100_000_000
"""Larger volumes are shown plane by plane only."""


class LockedView(QObject):
    """A view of the locked pixels of one layer, until `hide` is called.

    Parameters
    ----------
    viewer
        The napari viewer.
    session
        The session of the viewer, with the locked pixels.
    """

    def __init__(self, viewer: Any, session: Session) -> None:
        super().__init__()
        self._viewer, self._session = viewer, session
        self._preview = Preview(viewer)
        self._layer: Labels | None = None
        self._shown: Any = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_WAIT_MS)
        self._timer.timeout.connect(self.look)

    @property
    def layer(self) -> Any:
        """The preview layer, if there is one."""
        return self._preview.layer

    def show(self, layer: Labels) -> None:
        """Show the locked pixels of `layer`, and follow their changes."""
        self.hide()
        self._layer = layer
        self._session.locks(layer).changed.connect(self._later)
        # Undo and redo send no event but a request to redraw.
        layer.events.set_data.connect(self._later)
        layer.events.labels_update.connect(self._later)
        self._viewer.dims.events.current_step.connect(self._later)
        self._viewer.dims.events.ndisplay.connect(self._later)
        self._viewer.dims.events.order.connect(self._later)
        self.look()

    def hide(self) -> None:
        """Remove the preview layer and stop following."""
        self._timer.stop()
        layer, self._layer, self._shown = self._layer, None, None
        if layer is not None:
            self._session.locks(layer).changed.disconnect(self._later)
            disconnect_events(layer.events, self)
            disconnect_events(self._viewer.dims.events, self)
        self._preview.remove()

    def look(self) -> None:
        """Draw the current locked pixels."""
        layer = self._layer
        if layer is None or layer not in self._viewer.layers:
            return
        index = self._preview.plane(layer)
        locks = self._session.locks(layer)
        state = (index, locks.state())
        if state == self._shown and self._preview.layer is not None:
            return
        self._shown = state
        picture = _picture(layer.data, locks.pixels(), index)
        if picture is None:
            self._preview.remove()
            return
        self._preview.show(layer, picture, name=f"{layer.name} locked", **_look())

    def _later(self, event: object = None) -> None:
        self._timer.start()


@lru_cache(maxsize=1)
def _look() -> dict[str, Any]:
    """Return the layer attributes: white for drawn and red for erased pixels."""
    colours = np.array([[0.0, 0, 0, 0], [1, 1, 1, 1], [1, 0.15, 0.15, 1]])
    colormap = Colormap(
        colours,
        name="unetseg locked",
        controls=np.array([0, 0.25, 0.75, 1]),
        interpolation="zero",
    )
    return {
        "colormap": colormap,
        "contrast_limits": (0, ERASED),
        "blending": "translucent",
        "opacity": 0.55,
    }


def _picture(labels: Any, locked: PixelSet, index: tuple[int, ...] | None) -> Any:
    """Return the picture of drawn and erased pixels, or None if a volume is too large."""
    if index is None and labels.size > _WHOLE:
        return None
    lead = () if index is None else index
    box = tuple(slice(at, at + 1) for at in lead)
    box += tuple(slice(0, length) for length in labels.shape[len(lead) :])
    seen = np.asarray(labels[lead])
    inside = locked.inside(box).reshape(seen.shape)
    return np.where(inside, np.where(seen != 0, DRAWN, ERASED), 0).astype(np.uint8)


__all__ = ["DRAWN", "ERASED", "LockedView"]
