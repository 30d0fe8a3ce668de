"""Going through a review queue: what a verdict does to the labels, and what undo does to it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.events import disconnect_events
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unetseg.core.corrections import Change, delete
from napari_unetseg.core.corrections.locked_pixels import Box, PixelSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.review_queue import (
    Item,
    Order,
    Queue,
    Verdict,
    count_drawn_objects,
    count_true_objects,
)
from napari_unetseg.gui.correct.correct_scene import problem_of
from napari_unetseg.gui.queue.queue_frame import ItemFrame
from napari_unetseg.gui.queue.queue_store import keep_queue, queue_of
from napari_unetseg.gui.shared.layer_locks import Atom, histories, same_step
from napari_unetseg.gui.shared.navigate import go_to
from napari_unetseg.gui.shared.session import Session

_WAIT_MS = 80
_STEPS = 200
_AROUND = 4_000_000
"""Pixels around an item that are kept, to tell what was changed; of larger ones its box alone."""

_STALE = "A run changed this object since the queue was made. Make the queue again."


@dataclass(eq=False)
class _JudgedStep:
    """A verdict that is a step in napari's history."""

    order: Order
    at: int
    verdict: Verdict
    worth: float
    step: list[Atom]
    undone: bool = False


class QueueRun(QObject):
    """The queue of one layer, and the hand that goes through it.

    Parameters
    ----------
    viewer, session
        Of the window.
    layer
        Whose queue it is.

    Signals
    -------
    changed()
        When another item is looked at, or one got a verdict.
    remarked(str)
        A sentence for the user.
    """

    changed = Signal()
    remarked = Signal(str)

    def __init__(self, viewer: Any, session: Session, layer: Labels) -> None:
        super().__init__()
        self.layer = layer
        self._viewer, self._session = viewer, session
        self._frame = ItemFrame(viewer)
        self._queue: Queue | None = None
        self._around: Box = ()
        self._before: NDArray[Any] | None = None
        self._mended = False
        self._done: list[_JudgedStep] = []
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_WAIT_MS)
        self._timer.timeout.connect(self.look)
        session.locks(layer)
        # Undoing and redoing tell nothing but that the picture is to be drawn again.
        for event in (layer.events.paint, layer.events.set_data, layer.events.labels_update):
            event.connect(self._later)

    @property
    def queue(self) -> Queue | None:
        """The queue that is gone through; None when there is none."""
        return self._queue

    @property
    def item(self) -> Item | None:
        """The item that is looked at."""
        return None if self._queue is None else self._queue.item

    def close(self) -> None:
        """Stop following the layer."""
        self._timer.stop()
        self._frame.remove()
        disconnect_events(self.layer.events, self)

    def open(self, order: Order) -> None:
        """Take up the queue that the layer keeps of an order, where it was left."""
        self._queue = queue_of(self.layer, order)
        self._remember()
        self.changed.emit()

    def take(self, queue: Queue) -> None:
        """Begin a new queue."""
        self._done = [done for done in self._done if done.order != queue.order]
        self._keep(queue)
        self.go(0)

    def go(self, at: int) -> None:
        """Look at an item: the camera goes there."""
        if self._queue is None or not len(self._queue):
            self.changed.emit()
            return
        self._keep(self._queue.go(at))
        self._remember()
        self.show()
        self.changed.emit()
        if self._is_stale():
            self.remarked.emit(_STALE)

    def show(self) -> None:
        """Bring the item into view, with a frame around it."""
        item = self.item
        if item is None or self.layer not in self._viewer.layers:
            return
        self._viewer.layers.selection.active = self.layer
        last = [at - 1 for at in item.high]
        go_to(self._viewer, self.layer, item.centre, item.low, last)
        self._frame.show(self.layer, item)
        if item.kind == "object":
            # The brush draws in the object that is to be mended.
            self.layer.selected_label = item.number

    def hide(self) -> None:
        """Take the frame away."""
        self._frame.remove()

    def next(self) -> None:
        """Go to the next item without a verdict."""
        if self._queue is None:
            return
        self.look()
        at = self._queue.next_at()
        while at is not None and self._is_gone(self._queue.items[at]):
            self._keep(self._queue.judged(at, "gone", 0).go(at))
            at = self._queue.next_at()
        if at is None:
            self.remarked.emit("Every item has a verdict.")
            self.changed.emit()
        else:
            self.go(at)

    def previous(self) -> None:
        """Go to the item before, whatever its verdict."""
        if self._queue is not None:
            self.look()
            self.go(self._queue.at - 1)

    def accept(self, missed: int = 0) -> None:
        """Say that an item is right, which locks it, and go on.

        Parameters
        ----------
        missed
            Of a window of a random sample: how many objects are missed in it.
        """
        queue, item = self._queue, self.item
        if queue is None or item is None:
            return
        self._check()
        if queue.random and item.kind == "window":
            self._judge("accepted", float(missed), None)
        else:
            labels = np.asarray(self.layer.data[item.box])
            right = {
                "object": labels == item.number,
                "place": labels == 0,
                "window": np.ones(labels.shape, bool),
            }[item.kind]
            if not right.any():
                self.remarked.emit("It is no longer there: go on with Next.")
                return
            self._judge("accepted", self._worth(), self._approve(item.box, right))
        self.next()

    def reject(self) -> None:
        """Delete the object, for good, and go on.

        Raises
        ------
        InputError
            When the labels cannot be edited, or the item is no object.
        """
        item = self.item
        if item is None:
            return
        self._check()
        if item.kind != "object":
            raise InputError("There is no object to delete here: accept, or draw what is missed.")
        problem = problem_of(self.layer)
        if problem:
            raise InputError(problem)
        change = delete(self.layer.data, {item.number: item.box})
        if not len(change):
            raise InputError("It is no longer there: go on with Next.")
        self._session.locks(self.layer).correct(change.index, change.after)
        self._judge("rejected", 0.0, list(histories(self.layer)[0][-1]))
        self.next()

    def set_missed(self, missed: int) -> None:
        """Say how many objects are missed in the window that is looked at."""
        queue, item = self._queue, self.item
        if queue is not None and item is not None and queue.random and item.kind == "window":
            self._keep(queue.judged(queue.at, "accepted", float(missed)))
            self.changed.emit()

    def look(self) -> None:
        """Take note of what the user mended, undid and redid."""
        self._timer.stop()
        if self._queue is None:
            return
        self._follow_undo()
        self._follow_edits()

    # Verdicts

    def _judge(self, verdict: Verdict, worth: float, step: list[Atom] | None) -> None:
        queue = self._queue
        if queue is None or queue.item is None:
            return
        item = queue.item
        self._keep(queue.judged(queue.at, verdict, worth))
        if step is not None:
            done = _JudgedStep(queue.order, queue.at, verdict, worth, step)
            self._done = [*self._done, done][-_STEPS:]
        self._judge_in_other_queue(item, verdict, worth)
        self._remember()

    def _judge_in_other_queue(
        self, item: Item, verdict: Verdict, worth: float = 0.0, *, was: Verdict = ""
    ) -> None:
        """Give the same item of the layer's other queue the verdict too: nobody is asked twice.

        Parameters
        ----------
        was
            Its verdict before; another one stays.
        """
        queue = self._queue
        if queue is None or item.kind != "object":
            return
        other: Order = "unsure first" if queue.random else "random sample"
        theirs = queue_of(self.layer, other)
        at = None if theirs is None else theirs.place_of(item)
        if theirs is not None and at is not None and theirs.verdicts[at] == was:
            keep_queue(self.layer, theirs.judged(at, verdict, worth))

    def _approve(self, box: Box, right: NDArray[np.bool_]) -> list[Atom] | None:
        """Lock pixels: as a step that can be undone, where the labels can be edited at all."""
        locks = self._session.locks(self.layer)
        if problem_of(self.layer):
            locks.approve(box, right)
            return None
        approved = PixelSet(self.layer.data.shape)
        approved.add(box, right)
        nothing = Change.joined([], self.layer.data)
        locks.correct(nothing.index, nothing.after, approved)
        return list(histories(self.layer)[0][-1])

    def _worth(self) -> float:
        """Return what the item stands for, as the labels are now."""
        item, before = self.item, self._before
        if item is None or before is None:
            return 1.0
        after = np.asarray(self.layer.data[self._around])
        if item.kind == "object":
            return count_true_objects(before, after, item.number)
        pairs = zip(item.box, self._around, strict=True)
        window = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in pairs)
        return float(count_drawn_objects(before, after, window))

    # Following the hand

    def _later(self, event: object = None) -> None:
        if self._queue is not None:
            self._timer.start()

    def _remember(self) -> None:
        """Keep how the labels are around the item, to tell later what was changed."""
        item, self._mended = self.item, False
        if item is None:
            self._before = None
            return
        shape = self.layer.data.shape
        sides = [b - a for a, b in zip(item.low, item.high, strict=True)]
        small = np.prod([3 * side for side in sides]) <= _AROUND
        reach = [side if side > 1 and small else 0 for side in sides]
        self._around = tuple(
            slice(max(a - r, 0), min(b + r, n))
            for a, b, r, n in zip(item.low, item.high, reach, shape, strict=True)
        )
        self._before = np.array(self.layer.data[self._around])

    def _follow_edits(self) -> None:
        """Mark the item as mended when a hand changed it, and no longer when that was undone."""
        queue, item, before = self._queue, self.item, self._before
        if queue is None or item is None or before is None:
            return
        after = np.asarray(self.layer.data[self._around])
        mended = self._is_mended(item, before, after)
        if mended and (not queue.verdict or self._mended):
            self._mended = True
            worth = self._worth()
            if (queue.verdict, queue.worth[queue.at]) != ("fixed", worth):
                self._keep(queue.judged(queue.at, "fixed", worth))
                self._judge_in_other_queue(item, "fixed", worth)
                self._swallowed(before, after)
                self.changed.emit()
        elif self._mended and not mended:
            self._mended = False
            self._keep(queue.judged(queue.at, ""))
            self._judge_in_other_queue(item, "", was="fixed")
            self.changed.emit()

    def _is_mended(self, item: Item, before: NDArray[Any], after: NDArray[Any]) -> bool:
        differs = before != after
        if item.kind == "object":
            differs &= (before == item.number) | (after == item.number)
        if not differs.any():
            return False
        locked = self._session.locks(self.layer).pixels()
        return bool((differs & locked.inside(self._around)).any())

    def _swallowed(self, before: NDArray[Any], after: NDArray[Any]) -> None:
        """Give other items a verdict whose objects were merged into this one."""
        queue = self._queue
        if queue is None:
            return
        there, now = set(np.unique(before).tolist()), set(np.unique(after).tolist())
        for at, other in enumerate(queue.items):
            gone = other.kind == "object" and other.number in there - now
            inside = gone and all(
                part.start <= a and b <= part.stop
                for part, a, b in zip(self._around, other.low, other.high, strict=True)
            )
            if inside and not queue.verdicts[at]:
                queue = queue.judged(at, "gone", count_true_objects(before, after, other.number))
        self._keep(queue)

    def _follow_undo(self) -> None:
        """Take back the verdicts whose step was undone, and give them again when it is redone."""
        undo, redo = histories(self.layer)
        for done in list(self._done):
            if not done.undone and any(same_step(step, done.step) for step in redo):
                done.undone = True
                self._set(done, "", 0.0)
            elif done.undone and any(same_step(step, done.step) for step in undo):
                done.undone = False
                self._set(done, done.verdict, done.worth)
            elif done.undone and not any(same_step(step, done.step) for step in redo):
                self._done.remove(done)

    def _set(self, done: _JudgedStep, verdict: Verdict, worth: float) -> None:
        queue = self._queue
        if queue is not None and queue.order == done.order and done.at < len(queue):
            self._keep(queue.judged(done.at, verdict, worth))
            was: Verdict = "" if verdict else done.verdict
            self._judge_in_other_queue(queue.items[done.at], verdict, worth, was=was)
            self.remarked.emit(f"Item {done.at + 1}: {verdict or 'the verdict was taken back'}.")
            self.go(done.at)

    def _check(self) -> None:
        """Refuse a verdict for a random sample on another object than the one that was drawn."""
        if self._queue is not None and self._queue.random and self._is_stale():
            raise InputError(_STALE)

    def _is_stale(self) -> bool:
        """Whether something else than a hand changed the object that is looked at."""
        item, queue = self.item, self._queue
        if item is None or queue is None or item.kind != "object" or queue.verdict:
            return False
        pixels = np.count_nonzero(np.asarray(self.layer.data[item.box]) == item.number)
        if pixels == item.pixels:
            return False
        return not self._session.locks(self.layer).pixels().inside(item.box).any()

    def _is_gone(self, item: Item) -> bool:
        """Whether a hand took an object away."""
        if item.kind != "object":
            return False
        if (np.asarray(self.layer.data[item.box]) == item.number).any():
            return False
        return bool(self._session.locks(self.layer).pixels().inside(item.box).any())

    def _keep(self, queue: Queue) -> None:
        self._queue = queue
        keep_queue(self.layer, queue)


__all__ = ["QueueRun"]
