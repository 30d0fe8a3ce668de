"""What the tools of one viewer share: the models, and which results a hand has edited."""

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
from napari.layers import Labels, Layer
from napari.utils.events import Event
from psygnal import Signal

from napari_unetseg.gui.layers import LayerList, find, marked, new_labels

if TYPE_CHECKING:
    from napari_unetseg.core.trained import TrainedModel

UNDOABLE_PIXELS = 8_000_000
"""A result that changes more pixels than this replaces the layer, for undoing it would cost more
memory (about 24 bytes a pixel and step) than a laptop has."""


def unwrapped(viewer: Any) -> Any:
    """Return the viewer behind the proxy that napari hands to plugins, for a layer got through the
    proxy is a new object every time and could not be remembered."""
    return getattr(viewer, "__wrapped__", viewer)


class Session:
    """The state of one viewer.

    Get it with `Session.of`; there is one per viewer, gone with it.
    """

    models_changed = Signal()
    """Sent when a model was trained or loaded."""

    def __init__(self) -> None:
        self.models: list[TrainedModel] = []
        self._watched: WeakSet[Labels] = WeakSet()
        self._edited: WeakSet[Labels] = WeakSet()
        self._writing = False

    @classmethod
    def of(cls, viewer: Any) -> "Session":
        """Return the session of `viewer`, which may be the proxy that napari hands to plugins."""
        return _SESSIONS.setdefault(unwrapped(viewer), cls())

    def add_model(self, model: "TrainedModel") -> None:
        """Keep a model for the tools of this viewer; the newest is last."""
        self.models.append(model)
        self.models_changed.emit()

    def edited(self, layer: Labels) -> bool:
        """Whether a hand changed `layer` since a run last wrote it."""
        return layer in self._edited

    def show_labels(
        self,
        layers: LayerList,
        source: Layer,
        role: str,
        data: Any,
        *,
        name: str,
        options: dict[str, Any],
    ) -> tuple[Labels, str]:
        """Put a label result into its layer as one undoable step.

        What a hand drew is never written over: when the layer was edited since the last run, the
        result goes to a new layer.

        Parameters
        ----------
        data
            Ids, of the source's grey shape.

        Returns
        -------
        layer, remark
            The layer, and a sentence for the user when something unusual was done.
        """
        old = find(layers, role, source)
        remark = ""
        if isinstance(old, Labels) and self.edited(old):
            remark = f"{old.name!r} holds your corrections and was kept; this is a new layer."
        elif isinstance(old, Labels) and self._can_write(old, data):
            changed = self._write(old, data)
            if changed is not None:
                old.metadata = {**old.metadata, **marked(role, source, options)}
                return old, ""
            remark = "Too much changed to be undone, so the layer was replaced."
            layers.remove(old)
        elif isinstance(old, Labels):
            layers.remove(old)
        layer = new_labels(layers, source, role, data, name=name, options=options)
        self.watch(layer)
        return layer, remark

    def watch(self, layer: Labels) -> None:
        """Notice from now on when a hand changes `layer`."""
        if layer not in self._watched:
            self._watched.add(layer)
            layer.events.paint.connect(self._on_paint)

    def _on_paint(self, event: Event) -> None:
        if not self._writing:
            self._edited.add(event.source)

    def _can_write(self, layer: Labels, data: Any) -> bool:
        same = isinstance(layer.data, np.ndarray) and isinstance(data, np.ndarray)
        return same and layer.data.shape == data.shape and layer.data.dtype == data.dtype

    def _write(self, layer: Labels, data: Any) -> int | None:
        """Change `layer` to `data` in one undo step; return how many pixels, or None if too many.

        Assigning `layer.data` would leave the old undo steps to write into the new array.
        """
        differs = layer.data != data
        count = int(np.count_nonzero(differs))
        if count > UNDOABLE_PIXELS:
            return None
        if count:
            where = np.nonzero(differs)
            self._writing = True
            try:
                layer.data_setitem(where, data[where])
            finally:
                self._writing = False
        return count


_SESSIONS: "WeakKeyDictionary[Any, Session]" = WeakKeyDictionary()
