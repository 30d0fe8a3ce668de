"""Locked pixels of a Labels layer, derived from the layer's own undo history.

napari sends an event when something is painted, but none when it is undone. So a stroke is locked
while it is in the layer's undo history, unlocked while it is undone, and locked permanently once
it leaves the history at the old end.
"""

from collections import deque
from typing import Any
from weakref import ref

import numpy as np
from napari.layers import Labels
from napari.utils.events import Event
from numpy.typing import NDArray
from psygnal import Signal

from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.gui.shared.confirmed_strokes import report_confirmed
from napari_unetseg.gui.shared.data_versions import data_version
from napari_unetseg.gui.shared.layers import role_of
from napari_unetseg.gui.shared.undo_history import (
    Approval,
    Atom,
    approve_in_step,
    box_of,
    changes_since,
    end_step,
    forget_steps,
    histories,
    same_step,
    unfinished,
)


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
        self._revision = 0
        self._strokes: list[tuple[list[Atom], bool]] = []
        self._drawn = (self._key(), PixelSet(_shape(layer)))
        self._running = False
        # The labels that the runs and the undo history account for; of results alone, since
        # no run writes into other layers.
        self._known: NDArray[Any] | None = None
        self._array: Any = None
        self._steps: list[list[Atom]] = []
        if role_of(layer):
            self.remember()
        layer.events.paint.connect(self._on_paint)
        layer.events.data.connect(self._on_data)
        if not layer.multiscale:
            report_confirmed(layer, self._confirm)

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
        found = self._base.copy()
        found.update(self._drawn_pixels())
        for atom in unfinished(self._layer):
            _add(found, atom)
        return found

    def __bool__(self) -> bool:
        return bool(self.pixels())

    def state(self) -> tuple[int, ...]:
        """Return a key that changes with the labels and their locked pixels, undo included."""
        layer = self._layer
        return (data_version(layer), *self._key(), len(unfinished(layer)))

    @property
    def replaced(self) -> bool:
        """Whether something else has put other labels into a layer that a run had written."""
        layer = self._layer
        if self._array is None or self._array() is layer.data:
            return False
        self._settle()
        known = self._known
        in_memory = known is not None and isinstance(layer.data, np.ndarray)
        same = in_memory and np.array_equal(layer.data, np.asarray(known))
        if same:
            self.remember()
        return not same

    def remember(self) -> None:
        """Take the present labels for those that a run wrote; see `replaced` and `lock_edits`."""
        data = self._layer.data
        in_memory = isinstance(data, np.ndarray)
        self._array = ref(data) if in_memory else None
        self._known = np.array(data) if in_memory else None
        self._steps = list(self._history)

    def lock_edits(self) -> int:
        """Lock the pixels that were changed in place by another plugin or the console.

        Returns
        -------
        int
            Number of pixels that differ from those which a run wrote and the undo history explains.
        """
        layer = self._layer
        end_step(layer)
        self._settle()
        if self._known is None or self.replaced:
            return 0
        from scipy.ndimage import find_objects

        differs = layer.data != self._known
        if not differs.any():
            return 0
        self._known[differs] = layer.data[differs]
        (box,) = find_objects(differs.astype(np.uint8))
        self.approve(box, differs[box])
        return int(np.count_nonzero(differs))

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

    def unlock(self, pixels: PixelSet) -> None:
        """Unlock some pixels: runs may change them again. Undo does not take it back."""
        self._settle()
        self._base.update(self._drawn_pixels())
        self._strokes = [(step, False) for step, _ in self._strokes]
        for box, mask in pixels.boxes():
            self._base.discard(box, mask)
        self._announce()

    def write(self, indices: tuple[NDArray[Any], ...], values: NDArray[Any]) -> None:
        """Change pixels as one undo step of a run, which locks none.

        Assigning `layer.data` would leave the old undo steps to write into the new array.
        """
        layer = self._layer
        # A stroke that is being drawn goes on in a step of its own.
        end_step(layer)
        self._running = True
        try:
            with layer.block_history():
                type(layer).data_setitem(layer, indices, values)
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
                approve_in_step(layer, approved)

    def _announce(self) -> None:
        self._revision += 1
        self.changed.emit()

    def _key(self) -> tuple[int, ...]:
        history, undone = histories(self._layer)
        return (self._revision, len(history), len(undone))

    def _drawn_pixels(self) -> PixelSet:
        """Return the pixels of the strokes that can be undone."""
        if self._drawn[0] != self._key():
            found = PixelSet(_shape(self._layer))
            there = {id(atom) for step in self._history for atom in step}
            for step, by_hand in self._strokes:
                for atom in step:
                    if by_hand and id(atom) in there:
                        _add(found, atom)
            self._drawn = (self._key(), found)
        return self._drawn[1]

    def _confirm(self, pixels: PixelSet) -> None:
        """Lock pixels that were drawn over with the label they have, as part of the same step."""
        self._settle()
        drawn = self._drawn_pixels()
        for box, _ in pixels.boxes():
            pixels.discard(box, self._base.inside(box) | drawn.inside(box))
        if pixels:
            approve_in_step(self._layer, pixels)

    def _on_paint(self, event: Event) -> None:
        self._settle()
        self._strokes.append((list(event.value), not self._running))
        self._revision += 1
        if not self._running:
            self.changed.emit()

    def _on_data(self) -> None:
        layer = self._layer
        if self._base.shape != _shape(layer):
            # To undo a step would write into an array that it was not made in.
            forget_steps(layer)
            self._base, self._strokes, self._steps = PixelSet(_shape(layer)), [], []
            self._history = histories(layer)[0]
        self._announce()

    def _follow(self) -> None:
        """Repeat in the known labels what was done, undone and redone since."""
        if self._known is None or self._known.shape != _shape(self._layer):
            return
        changes = changes_since(self._steps, self._history, self._known.shape)
        if changes is None:
            self.remember()
            return
        self._steps = list(self._history)
        for index, _, after in changes:
            self._known[index] = after

    def _settle(self) -> None:
        """Keep the strokes that left the history at its old end, drop those undone for good."""
        history, undone = histories(self._layer)
        self._follow()
        if history is not self._history:
            # napari began a new history: the steps of the old one can no longer be undone.
            self._keep_all(self._history)
            self._history, self._steps = history, []
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


def _shape(layer: Labels) -> tuple[int, ...]:
    return tuple(layer.data[0].shape if layer.multiscale else layer.data.shape)


def _add(pixels: PixelSet, atom: Atom) -> None:
    """Add the pixels of one change."""
    if isinstance(atom, Approval):
        pixels.update(atom.pixels)
    elif hasattr(atom, "slice_key"):
        pixels.add(box_of(atom, pixels.shape), atom.mask)
    else:
        pixels.add_indices(atom[0])


__all__ = ["LayerLocks"]
