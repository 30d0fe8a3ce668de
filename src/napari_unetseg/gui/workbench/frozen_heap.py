"""Leave what was imported out of garbage collections, so that removing a layer does not take long.

napari has Python collect garbage whenever a layer is removed. With torch and all tools imported,
that stops the window for a third of a second, nearly all of it to look through modules, which are
never garbage.
"""

import gc
import sys
from typing import Any
from weakref import WeakSet

from qtpy.QtCore import QObject, QTimer

_PAUSE_MS = 1000


class FrozenHeap(QObject):
    """Freezes all that exists while nothing runs, until a layer that existed then is removed.

    A layer that is frozen would stay in memory for good, since layers refer to each other. So its
    removal thaws everything, and what is left is frozen again a second later.

    Parameters
    ----------
    viewer
        The napari viewer.
    parent
        With which it ends; call `close` before.
    """

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: WeakSet[Any] = WeakSet()
        self._frozen, self._with_torch = False, False
        self._again = QTimer(self)
        self._again.setSingleShot(True)
        self._again.setInterval(_PAUSE_MS)
        self._again.timeout.connect(self.freeze)
        viewer.layers.events.removing.connect(self._on_removing)

    def freeze(self) -> None:
        """Collect all garbage, and leave what exists now out of later collections."""
        gc.collect()
        gc.freeze()
        self._frozen, self._with_torch = True, "torch" in sys.modules
        self._layers = WeakSet(self._viewer.layers)

    def freeze_torch(self) -> None:
        """Freeze again if torch was imported since; call it when nothing runs."""
        if self._frozen and not self._with_torch and "torch" in sys.modules:
            self._again.start()

    def thaw(self) -> None:
        """Let collections look through everything again."""
        self._again.stop()
        if self._frozen:
            gc.unfreeze()
        self._frozen = False
        self._layers.clear()

    def close(self) -> None:
        """Thaw, and disconnect from the viewer."""
        self.thaw()
        self._viewer.layers.events.removing.disconnect(self._on_removing)

    def _on_removing(self, event: Any) -> None:
        if self._viewer.layers[event.index] in self._layers:
            self.thaw()
            self._again.start()


__all__ = ["FrozenHeap"]
