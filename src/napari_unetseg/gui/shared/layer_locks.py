"""Locked pixels of a Labels layer, derived from the layer's own undo history.

napari sends an event when something is painted, but none when it is undone. So a stroke is locked
while it is in the layer's undo history, unlocked while it is undone, and locked permanently once
it leaves the history at the old end.
"""

from collections import deque
from typing import Any, Self
from weakref import ref

import numpy as np
from napari.layers import Labels
from napari.utils.events import Event
from numpy.typing import NDArray
from psygnal import Signal

from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.gui.shared.undo_history import Atom, add_to_step, histories, same_step


class LayerLocks:
    """The locked pixels of one Labels layer: drawn, erased or approved by the user.

    Parameters
    ----------
    layer
        The layer; its events are followed from now on.
    """

    changed = Signal()
    """Sent when pixels were locked, or all were unlocked."""

    def __init__(self, layer: Labels) -> None:
        self._ref = ref(layer)
        self._base = PixelSet(_shape(layer))
        self._history = histories(layer)[0]
        self._strokes: list[tuple[list[Atom], bool]] = []
        self._running = False
        self._revision = 0
        layer.events.paint.connect(self._on_paint)

    @property
    def _layer(self) -> Labels:
        """The layer, which is not kept alive by its locks."""
        layer = self._ref()
        if layer is None:
            raise ReferenceError("The Labels layer is gone, and its locked pixels with it.")
        return layer

    def pixels(self) -> PixelSet:
        """Return a copy of the locked pixels."""
        self._settle()
        if self._base.shape != _shape(self._layer):
            self._base = PixelSet(_shape(self._layer))
        found = self._base.copy()
        there = {id(atom) for step in self._history for atom in step}
        for step, by_hand in self._strokes:
            for atom in step:
                if by_hand and id(atom) in there:
                    _add(found, atom)
        return found

    def __bool__(self) -> bool:
        return bool(self.pixels())

    def state(self) -> tuple[int, ...]:
        """Return a key that changes with the labels and their locked pixels, undo included."""
        history, undone = histories(self._layer)
        latest = id(history[-1][0]) if history and history[-1] else 0
        return (id(self._layer.data), len(history), latest, len(undone), self._revision)

    def approve(self, box: tuple[slice, ...], mask: NDArray[np.bool_] | None = None) -> None:
        """Lock pixels that the user approved."""
        self._base.add(box, mask)
        self._announce()

    def restore(self, pixels: PixelSet) -> None:
        """Lock the pixels that are locked in a file or in another layer."""
        self._base.update(pixels)
        self._announce()

    def release(self) -> None:
        """Unlock every pixel: runs may change them again."""
        self._base = PixelSet(_shape(self._layer))
        self._strokes = [(step, False) for step, _ in self._strokes]
        self._announce()

    def write(self, indices: tuple[NDArray[Any], ...], values: NDArray[Any]) -> None:
        """Change pixels as one undo step of a run, which locks none.

        Assigning `layer.data` would leave the old undo steps to write into the new array.
        """
        self._running = True
        try:
            self._layer.data_setitem(indices, values)
        finally:
            self._running = False

    def correct(
        self,
        indices: tuple[NDArray[Any], ...],
        values: NDArray[Any],
        approved: PixelSet | None = None,
    ) -> None:
        """Change pixels by hand, and approve others, as one undo step.

        Parameters
        ----------
        indices, values
            One array of indices per axis, and the new values. These pixels are locked.
        approved
            Pixels to lock unchanged. Undoing the step unlocks them as well.
        """
        layer = self._layer
        with layer.block_history():
            layer.data_setitem(indices, values)
            if approved:
                add_to_step(layer, _Approval(layer, approved))

    def _announce(self) -> None:
        self._revision += 1
        self.changed.emit()

    def _on_paint(self, event: Event) -> None:
        self._settle()
        self._strokes.append((list(event.value), not self._running))
        self._revision += 1
        if not self._running:
            self.changed.emit()

    def _settle(self) -> None:
        """Keep the strokes that left the history at its old end, drop those undone for good."""
        history, undone = histories(self._layer)
        if history is not self._history:
            # napari began a new history: the steps of the old one can no longer be undone.
            self._keep_all(self._history)
            self._history = history
            return
        if history and len(history) == history.maxlen:
            oldest = history[0]
            first = next(
                (k for k, (step, _) in enumerate(self._strokes) if same_step(step, oldest)), 0
            )
            self._keep(self._strokes[:first])
            self._strokes = self._strokes[first:]
        alive = {id(atom) for step in (*history, *undone) for atom in step}
        self._strokes = [
            (step, by_hand)
            for step, by_hand in self._strokes
            if any(id(atom) in alive for atom in step)
        ]

    def _keep_all(self, history: "deque[list[Atom]]") -> None:
        alive = {id(atom) for step in history for atom in step}
        self._keep([s for s in self._strokes if any(id(atom) in alive for atom in s[0])])
        self._strokes = []

    def _keep(self, strokes: list[tuple[list[Atom], bool]]) -> None:
        for step, by_hand in strokes:
            for atom in step:
                if by_hand:
                    _add(self._base, atom)


class _Approval(tuple[Any, ...]):
    """An entry of napari's history that changes no pixel and locks approved ones."""

    pixels: PixelSet

    def __new__(cls, layer: Labels, pixels: PixelSet) -> Self:
        nowhere = (np.zeros(0, np.intp),) * len(_shape(layer))
        nothing = np.zeros(0, layer.data.dtype)
        approval = super().__new__(cls, (nowhere, nothing, nothing))
        approval.pixels = pixels
        return approval


def _shape(layer: Labels) -> tuple[int, ...]:
    return tuple(layer.data[0].shape if layer.multiscale else layer.data.shape)


def _add(pixels: PixelSet, atom: Atom) -> None:
    """Add the pixels of one change."""
    if isinstance(atom, _Approval):
        pixels.update(atom.pixels)
    elif hasattr(atom, "slice_key"):
        box = tuple(
            slice(*part.indices(length)[:2])
            for part, length in zip(atom.slice_key, pixels.shape, strict=True)
        )
        pixels.add(box, atom.mask)
    else:
        pixels.add_indices(atom[0])


__all__ = ["LayerLocks"]
