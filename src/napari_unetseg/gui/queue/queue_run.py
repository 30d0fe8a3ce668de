"""A run through a review queue: effects of verdicts on the labels, and of undo on verdicts."""

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
    surroundings,
    unpack_labels,
    window_within,
)
from napari_unetseg.gui.correct.correct_scene import problem_of
from napari_unetseg.gui.queue.queue_frame import ItemFrame
from napari_unetseg.gui.queue.queue_store import keep_queue, queue_of
from napari_unetseg.gui.shared.navigate import go_to
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.undo_history import Atom, histories, same_step

_WAIT_MS = 80
_STEPS = 200

_STALE = "A run changed this object since the queue was made. Make the queue again."


@dataclass(eq=False)
class _JudgedStep:
    """A verdict that is a step in napari's undo history."""

    order: Order
    at: int
    verdict: Verdict
    worth: float
    step: list[Atom]
    undone: bool = False


class QueueRun(QObject):
    """The review of the queue of one layer.

    Parameters
    ----------
    viewer, session
        The napari viewer and its session.
    layer
        The layer of the queue.

    Signals
    -------
    changed()
        The current item or a verdict changed.
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
        self._made: NDArray[Any] | None = None
        self._fixed = False
        self._done: list[_JudgedStep] = []
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_WAIT_MS)
        self._timer.timeout.connect(self.look)
        session.locks(layer)
        # Undo and redo send no event but a request to redraw.
        for event in (layer.events.paint, layer.events.set_data, layer.events.labels_update):
            event.connect(self._later)

    @property
    def queue(self) -> Queue | None:
        """The current queue, if there is one."""
        return self._queue

    @property
    def item(self) -> Item | None:
        """The current item."""
        return None if self._queue is None else self._queue.item

    def close(self) -> None:
        """Stop following the layer."""
        self._timer.stop()
        self._frame.remove()
        disconnect_events(self.layer.events, self)

    def open(self, order: Order) -> None:
        """Resume the queue of an order that is stored in the layer."""
        self._queue = queue_of(self.layer, order)
        self._follow_corrections()
        self._remember()
        self.changed.emit()

    def take(self, queue: Queue) -> None:
        """Start a new queue."""
        self._done = [done for done in self._done if done.order != queue.order]
        self._keep(queue)
        self.go(0)

    def go(self, at: int) -> None:
        """Go to an item and move the camera there."""
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
        """Move the view to the item, and frame it."""
        item = self.item
        if item is None or self.layer not in self._viewer.layers:
            return
        self._viewer.layers.selection.active = self.layer
        last = [at - 1 for at in item.high]
        go_to(self._viewer, self.layer, item.centre, item.low, last)
        self._frame.show(self.layer, item)
        if item.kind == "object":
            # The brush paints the object to fix.
            self.layer.selected_label = item.number

    def hide(self) -> None:
        """Remove the frame."""
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
        """Go to the previous item, whatever its verdict."""
        if self._queue is not None:
            self.look()
            self.go(self._queue.at - 1)

    def accept(self, missed: int = 0) -> None:
        """Accept an item, which locks it, and go to the next.

        Parameters
        ----------
        missed
            Number of objects missed in a window of a random sample.
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
                self.remarked.emit("It no longer exists: press Next.")
                return
            self._judge("accepted", self._worth(), self._approve(item.box, right))
        self.next()

    def reject(self) -> None:
        """Delete the object permanently, and go to the next item.

        Raises
        ------
        InputError
            If the labels cannot be edited, or the item is not an object.
        """
        item = self.item
        if item is None:
            return
        self._check()
        if item.kind != "object":
            raise InputError(
                "There is no object to delete here: accept it, or draw the missed objects."
            )
        problem = problem_of(self.layer)
        if problem:
            raise InputError(problem)
        change = delete(self.layer.data, {item.number: item.box})
        if not len(change):
            raise InputError("It no longer exists: press Next.")
        self._session.locks(self.layer).correct(change.index, change.after)
        self._judge("rejected", 0.0, list(histories(self.layer)[0][-1]))
        self.next()

    def set_missed(self, missed: int) -> None:
        """Set the number of objects missed in the current window."""
        queue, item = self._queue, self.item
        if queue is not None and item is not None and queue.random and item.kind == "window":
            self._keep(queue.judged(queue.at, "accepted", float(missed)))
            self.changed.emit()

    def look(self) -> None:
        """Update the verdicts by the user's edits, undos and redos."""
        self._timer.stop()
        if self._queue is None:
            return
        self._follow_undo()
        self._follow_edits()
        self._follow_corrections()

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
        """Copy the verdict to the same item of the layer's other queue.

        Parameters
        ----------
        was
            Its previous verdict; any other verdict is kept.
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
        """Lock pixels, as an undoable step if the labels can be edited."""
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
        """Return the number of true objects of the item, by the current labels."""
        item, before = self.item, self._made
        if item is None or before is None:
            return 1.0
        after = np.asarray(self.layer.data[self._around])
        if item.kind == "object":
            return count_true_objects(before, after, item.number)
        return float(count_drawn_objects(before, after, window_within(item, self._around)))

    # Edits and undo

    def _later(self, event: object = None) -> None:
        if self._queue is not None:
            self._timer.start()

    def _remember(self) -> None:
        """Copy the labels around the item, to detect edits later."""
        item, self._fixed = self.item, False
        if item is None:
            self._before = self._made = None
            return
        self._around = surroundings(item, self.layer.data.shape)
        self._before = np.array(self.layer.data[self._around])
        # What was corrected before the item came up counts as well.
        self._made = unpack_labels(item.before, self._around) if item.before else self._before

    def _follow_edits(self) -> None:
        """Mark the item as fixed if the user changed it, and unmark it if that is undone."""
        queue, item, before = self._queue, self.item, self._before
        if queue is None or item is None or before is None:
            return
        after = np.asarray(self.layer.data[self._around])
        fixed = self._is_fixed(item, before, after)
        if fixed and (not queue.verdict or self._fixed):
            self._fixed = True
            worth = self._worth()
            if (queue.verdict, queue.worth[queue.at]) != ("fixed", worth):
                self._keep(queue.judged(queue.at, "fixed", worth))
                self._judge_in_other_queue(item, "fixed", worth)
                self._swallowed(before, after)
                self.changed.emit()
        elif self._fixed and not fixed:
            self._fixed = False
            self._keep(queue.judged(queue.at, ""))
            self._judge_in_other_queue(item, "", was="fixed")
            self.changed.emit()

    def _follow_corrections(self) -> None:
        """Count corrections in every item of a random sample, whichever is on screen."""
        queue = self._queue
        if queue is None or not queue.random:
            return
        locked = self._session.locks(self.layer).pixels()
        found = queue.with_corrections(self.layer.data, locked)
        if found.corrected != queue.corrected:
            self._keep(found)
            self.changed.emit()

    def _is_fixed(self, item: Item, before: NDArray[Any], after: NDArray[Any]) -> bool:
        differs = before != after
        if item.kind == "object":
            differs &= (before == item.number) | (after == item.number)
        if not differs.any():
            return False
        locked = self._session.locks(self.layer).pixels()
        return bool((differs & locked.inside(self._around)).any())

    def _swallowed(self, before: NDArray[Any], after: NDArray[Any]) -> None:
        """Set the verdict of items whose objects were merged into this one."""
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
        """Remove the verdicts whose step was undone, and restore them on redo."""
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
            self.remarked.emit(f"Item {done.at + 1}: {verdict or 'the verdict was undone'}.")
            self.go(done.at)

    def _check(self) -> None:
        """Raise an error if a sampled object was changed by a run since."""
        if self._queue is not None and self._queue.random and self._is_stale():
            raise InputError(_STALE)

    def _is_stale(self) -> bool:
        """Whether a run, not the user, changed the current object."""
        item, queue = self.item, self._queue
        if item is None or queue is None or item.kind != "object" or queue.verdict:
            return False
        pixels = np.count_nonzero(np.asarray(self.layer.data[item.box]) == item.number)
        if pixels == item.pixels:
            return False
        return not self._session.locks(self.layer).pixels().inside(item.box).any()

    def _is_gone(self, item: Item) -> bool:
        """Whether the user deleted an object."""
        if item.kind != "object":
            return False
        if (np.asarray(self.layer.data[item.box]) == item.number).any():
            return False
        return bool(self._session.locks(self.layer).pixels().inside(item.box).any())

    def _keep(self, queue: Queue) -> None:
        self._queue = queue
        keep_queue(self.layer, queue)


__all__ = ["QueueRun"]
