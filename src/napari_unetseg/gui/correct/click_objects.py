"""Click an object: from the mouse over the canvas to a proposal, and from there to the labels."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Labels, Layer
from napari.utils.events import disconnect_events
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unetseg.core.corrections import ObjectBoxes
from napari_unetseg.core.errors import InputError, NothingToDo
from napari_unetseg.core.image import Image
from napari_unetseg.core.progress import Progress, asks_to_cancel
from napari_unetseg.core.prompts.open_prompts import open_prompts
from napari_unetseg.core.prompts.prompt import Point, Prompt, PromptSegmenter, ProposedObject
from napari_unetseg.gui.correct.click_overlay import ClickOverlay, Erased
from napari_unetseg.gui.correct.click_scene import (
    ImageKey,
    PlaneGuard,
    Protection,
    Window,
    box_in_plane,
    change_of,
    erased_by,
    misfit_of,
    plane_on_screen,
)
from napari_unetseg.gui.correct.click_state import (
    Candidate,
    ClickState,
    Gesture,
    Plane,
    cut_from,
    reaches,
    thinned,
)
from napari_unetseg.gui.correct.correct_acts import Place
from napari_unetseg.gui.correct.correct_hand import Keys
from napari_unetseg.gui.correct.correct_scene import class_warning, hidden_warning
from napari_unetseg.gui.correct.prompt_hand import LESS, MORE, PromptHand
from napari_unetseg.gui.shared.navigate import camera_of, in_view
from napari_unetseg.gui.shared.session import UNDOABLE_PIXELS, Session
from napari_unetseg.gui.shared.task import Latest, Work

PAUSE_MS = 80
"""Milliseconds that the mouse rests before the outline under it is asked for."""

HINT = (
    "Click an object, or drag a box around it; Ctrl+drag draws a stroke along it. Space+drag moves "
    "the view."
)
REFINE = (
    "Click what is missing (Ctrl+click further away), Shift+click what is too much. Enter or a "
    "click elsewhere keeps it, Esc drops it."
)
NOTHING = (
    "There is no object there: it looks like background. Click on one, or drag a box around it."
)
OUTLINING = "Outlining..."
OFF = "Click objects is off."
DROPPED = "The plane or the image changed meanwhile, so that click was dropped. Click again."
_REACH = 6
"""Screen pixels around an object within which a click still refines it."""

_RECENT = 9
"""Kept objects that the size of the next one is expected from."""

_BEYOND = "That is outside the labels. Click on the image."
_MORE_OF_WHAT = "There is nothing to take away from yet. Click an object first."
_SAME = "That changed nothing, so the outline stays as it was."
_FLAT = (
    "Click objects needs the 2D view with rows and columns on screen: press the 2D/3D button below "
    "the layer list."
)


@dataclass(frozen=True, eq=False)
class _Asked:
    """A request, and what it was made of: an answer for anything else is dropped."""

    candidate: Candidate
    hover: bool
    image: ImageKey


@dataclass(frozen=True, eq=False)
class _Answer:
    asked: _Asked
    proposed: ProposedObject | None
    erased: Erased


class _Opened:
    """The segmenter of the plane that was asked about last; used in one thread at a time."""

    def __init__(self) -> None:
        self._key: ImageKey | None = None
        self._segmenter: PromptSegmenter | None = None

    def of(self, key: ImageKey, image: Image) -> PromptSegmenter:
        """Return the segmenter of a plane, which is opened if it is another one."""
        if self._segmenter is None or key != self._key:
            self._segmenter, self._key = open_prompts(image), key
        return self._segmenter


class ObjectClicks(QObject):
    """The mode in which clicks, boxes and strokes outline objects, one after another.

    Nothing is written to the labels before an object is kept; outlines are in layers of their own,
    which go when the mode ends.

    Parameters
    ----------
    viewer
        The napari viewer.
    session
        Its session, with the locked pixels.
    keys
        Binds Enter and Esc.
    image
        Returns the image layer to find objects in.
    boxes
        Returns the boxes of the objects of the labels, if they are known.
    busy
        Whether a run of the dock stands in the way; it says so itself.
    cancel
        Cancels such a run, and returns whether there was one.

    Signals
    -------
    said(str, bool)
        A message, and whether it is about a problem.
    changed()
        The mode, its candidate or its being busy changed.
    kept(str)
        The sentence about an object that was just written into the labels.
    """

    said = Signal(str, bool)
    changed = Signal()
    kept = Signal(str)

    def __init__(
        self,
        viewer: Any,
        session: Session,
        keys: Keys,
        *,
        image: Callable[[], Layer | None],
        boxes: Callable[[], ObjectBoxes | None],
        busy: Callable[[], bool],
        cancel: Callable[[], bool],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._session, self._keys = viewer, session, keys
        self._image, self._boxes = image, boxes
        self._busy, self._cancel = busy, cancel
        self.state = ClickState()
        self._spare = True
        self.ids: list[int] = []
        """Ids of the objects that were kept in this layer, the newest last."""
        self._sizes: list[float] = []
        self._last: object = None
        self._layer: Labels | None = None
        self._guard: PlaneGuard | None = None
        self._queue: deque[Gesture] = deque()
        self._asked: _Asked | None = None
        self._preparing = self._keep_next = False
        self._mouse: tuple[Plane, Point] | None = None
        self._done = ""
        self._opened = _Opened()
        self._latest = Latest(self)
        self._latest.answered.connect(self._on_answered)
        self._latest.refused.connect(self._on_refused)
        self._latest.idle.connect(self._on_idle)
        self.overlay = ClickOverlay(viewer)
        self.hand = PromptHand(viewer)
        self.hand.clicked.connect(self._on_clicked)
        self.hand.drawn.connect(self._on_drawn)
        self.hand.moved.connect(self._on_moved)
        self.hand.hovered.connect(self._on_hovered)
        self.hand.left.connect(self.stop)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        self._pause.timeout.connect(self._on_rest)

    # The mode

    @property
    def layer(self) -> Labels | None:
        """The labels that objects are clicked into, while the mode is on."""
        return self._layer

    @property
    def spare(self) -> bool:
        """Whether objects that are there are not overwritten."""
        return self._spare

    @spare.setter
    def spare(self, spare: bool) -> None:
        self._spare = spare
        self._forget_hover()

    @property
    def busy(self) -> bool:
        """Whether a click is computed, or the first one prepared."""
        return self._preparing or self.computing

    @property
    def computing(self) -> bool:
        """Whether a click, box or stroke is computed."""
        return self._asked is not None and not self._asked.hover

    def start(self, layer: Labels) -> None:
        """Switch the mode on.

        Raises
        ------
        InputError
            If there is no image below the labels, or objects cannot be clicked into them.
        """
        self.stop()
        self._check(layer)
        self._layer, self._guard = layer, PlaneGuard(layer, self._session.locks(layer))
        if self._last != layer.unique_id:
            self._last, self.ids, self._sizes = layer.unique_id, [], []
        self.hand.take(layer)
        self.overlay.open(layer)
        self._keys.bind_over(layer, "Escape", self.drop)
        self._keys.bind_over(layer, "Enter", self.keep_soon)
        dims = self._viewer.dims.events
        dims.current_step.connect(self._on_plane)
        dims.ndisplay.connect(self._on_view)
        dims.order.connect(self._on_view)
        self._prepare()
        self.said.emit(HINT, False)
        self.changed.emit()

    def stop(self, *, keep: bool = True) -> None:
        """Switch the mode off, keeping the object in the making as a click elsewhere does."""
        layer = self._layer
        if layer is None:
            return
        if keep and layer in self._viewer.layers:
            self.keep()
        self._forget()
        self._layer = self._guard = None
        disconnect_events(self._viewer.dims.events, self)
        self._keys.release_only(layer, ("Escape", "Enter"))
        self.hand.let_go()
        self.overlay.close()
        self.changed.emit()

    def image_changed(self) -> None:
        """React to another image below the labels."""
        layer = self._layer
        if layer is None:
            return
        self._forget_hover()
        try:
            self._check(layer)
        except InputError as error:
            self.said.emit(str(error), True)
            return
        self._prepare()

    def drop(self) -> None:
        """Drop the object in the making; without one, cancel a run or else switch the mode off."""
        if self._layer is None:
            return
        if self.state.current is None and not self._queue and not self.computing:
            if self._cancel():
                return
            self.stop(keep=False)
            self.said.emit(OFF, False)
            return
        self._forget()
        self.said.emit(f"Dropped. {HINT}", False)
        self.changed.emit()

    def keep_soon(self) -> None:
        """Keep the object in the making, once everything clicked so far is computed."""
        self._keep_next = True
        self._next()

    def keep(self) -> bool:
        """Write the object in the making into the labels, locked, as one undo step.

        Returns
        -------
        bool
            Whether nothing is in the making any more.
        """
        current, layer, guard = self.state.current, self._layer, self._guard
        if current is None or layer is None or guard is None:
            return True
        try:
            number = self._write(current, layer, guard)
        except InputError as error:
            self.said.emit(str(error), True)
            return False
        if current.proposed is not None and current.proposed.area:
            self._sizes.append(2 * float(np.sqrt(current.proposed.area / np.pi)))
        self.state.clear()
        self._show()
        self.ids = [*(one for one in self.ids if one != number), number]
        done = "corrected" if current.target else "kept"
        self._done = f"Object {number} is {done} and locked; Ctrl+Z takes it back."
        self.said.emit(f"{self._done} {HINT}", False)
        self.kept.emit(self._done)
        self.changed.emit()
        return True

    # Mouse

    def _on_clicked(self, place: Place | None) -> None:
        self._add("less" if LESS in self.hand.held else "more", [place])

    def _on_drawn(self, places: list[Place]) -> None:
        self.overlay.draw((), ())
        if not places:
            return
        if LESS in self.hand.held:
            self._add("less", places)
        elif MORE in self.hand.held:
            self._add("more", places)
        else:
            self._add("box", [places[0], places[-1]])

    def _on_moved(self, places: list[Place]) -> None:
        """Draw the box or the stroke while it is made."""
        if self._layer is None or len(places) < 2:
            return
        self._forget_hover()
        points = [(float(place[-2]), float(place[-1])) for place in places]
        if not self.hand.held:
            (y0, x0), (y1, x1) = points[0], points[-1]
            points = [(y0, x0), (y0, x1), (y1, x1), (y1, x0), (y0, x0)]
        plane = tuple(int(at) for at in np.rint(places[0][:-2]))
        self.overlay.draw(plane, points)

    def _on_hovered(self, place: Place | None) -> None:
        spot = None if place is None else self._spot(place)
        if self._mouse != spot:
            self._mouse = spot
            shown = self.state.hovered
            within = (
                spot is not None
                and shown is not None
                and shown.proposed is not None
                and shown.plane == spot[0]
                and reaches(shown.proposed, spot[1])
            )
            if not within:
                self._forget_hover()
            self._pause.start()

    def _on_rest(self) -> None:
        """Ask for the outline under the mouse."""
        layer, guard, mouse = self._layer, self._guard, self._mouse
        if layer is None or guard is None or mouse is None or self._queue:
            return
        plane, point = mouse
        if self.computing or not guard.is_there(plane):
            return
        gesture = Gesture("more", plane, (point,))
        protection = guard.of_plane(plane, spare=self._spare)
        number = protection.number_at(point)
        mine = self.state.refines(gesture, number, self._reach(layer))
        if mine or (number and self._is_locked(protection, number)):
            self._forget_hover()
            return
        self._ask(Candidate(plane, Prompt((point,)), number), hover=True)

    def _add(self, kind: Any, places: Sequence[Place | None]) -> None:
        """Add a gesture to those to work on."""
        if self._layer is None or self._busy():
            return
        spots = [self._spot(place, clip=kind == "box") for place in places if place is not None]
        if not spots or spots[0] is None:
            self.said.emit(_BEYOND, True)
            return
        plane = spots[0][0]
        points = [spot[1] for spot in spots if spot is not None and spot[0] == plane]
        self._pause.stop()
        self._queue.append(Gesture(kind, plane, thinned(points), MORE in self.hand.held))
        self._next()

    def _spot(self, place: Place, *, clip: bool = False) -> tuple[Plane, Point] | None:
        """Return the plane and point of a place of the layer, or None outside."""
        layer, guard = self._layer, self._guard
        if layer is None or guard is None or layer.data.ndim != len(place):
            return None
        plane = tuple(int(at) for at in np.rint(place[:-2]))
        height, width = layer.data.shape[-2:]
        y, x = float(place[-2]), float(place[-1])
        if clip and height and width:
            y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
        inside = -0.5 <= y < height - 0.5 and -0.5 <= x < width - 0.5
        return (plane, (y, x)) if inside and guard.is_there(plane) else None

    # Proposals

    def _next(self) -> None:
        """Work on the next gesture, when nothing else is computed."""
        while self._queue and not self.computing:
            gesture = self._queue.popleft()
            try:
                self._work_on(gesture)
            except InputError as error:
                self._refuse(error)
        if self._keep_next and not self.computing:
            self._keep_next = False
            self.keep()

    def _work_on(self, gesture: Gesture) -> None:
        layer, guard = self._layer, self._guard
        self._done = ""
        if layer is None or guard is None or not guard.is_there(gesture.plane):
            return
        number = 0
        if gesture.kind != "box":
            number = guard.of_plane(gesture.plane, spare=True).number_at(gesture.points[0])
        if self.state.refines(gesture, number, self._reach(layer)):
            self._ask(self.state.refined(gesture))
            return
        if not self.keep():
            return
        protection = guard.of_plane(gesture.plane, spare=True)
        if gesture.kind == "less" and not number:
            raise InputError(_MORE_OF_WHAT)
        if number and self._is_locked(protection, number):
            raise InputError(
                f"Object {number} is locked: you drew, corrected or approved it. Right-click it "
                "and choose Unlock, then click it again."
            )
        if gesture.kind == "less":
            rows, columns = box_in_plane(self._boxes(), number, gesture.plane, protection.labels)
            part, corner = protection.labels[rows, columns], (rows.start, columns.start)
            self._ask(cut_from(gesture, part, number, corner))
            return
        candidate = self.state.begun(gesture, number)
        if candidate.proposed is not None:
            shown = candidate.proposed
            self.state.settle(candidate, shown)
            box = self._box(candidate, layer)
            erased = None if box is None else erased_by(shown, number, protection, box)
            self._settled(erased)
            return
        self._ask(candidate)

    def _ask(self, candidate: Candidate, *, hover: bool = False) -> None:
        """Ask for the object of a candidate, in another thread."""
        layer, guard, image = self._layer, self._guard, self._image()
        if layer is None or guard is None:
            return
        try:
            self._check(layer)
        except InputError:
            if hover:
                return
            raise
        key, plane = plane_on_screen(self._viewer, image)
        protection = guard.of_plane(candidate.plane, spare=self._spare, target=candidate.target)
        self._asked = _Asked(candidate, hover, key)
        size = float(np.median(self._sizes[-_RECENT:])) if self._sizes else None
        box = self._box(candidate, layer)
        self._latest.ask(_work(self._opened, self._asked, plane, protection, box, size))
        if not hover:
            self.said.emit(OUTLINING, False)
            self.changed.emit()

    def _on_answered(self, answer: _Answer | None) -> None:
        self._preparing = False
        if answer is None or answer.asked is not self._asked:
            self.changed.emit()
            return
        self._asked = None
        asked, candidate = answer.asked, answer.asked.candidate
        if self._is_current(asked):
            if asked.hover:
                self.state.show(candidate, answer.proposed)
                self.overlay.hover(self.state.hovered)
            elif self.state.settle(candidate, answer.proposed):
                self._settled(answer.erased)
            else:
                self._refuse(NothingToDo(NOTHING if self.state.current is None else _SAME))
        elif not asked.hover and self._image() is not None:
            self._refuse(NothingToDo(DROPPED))
        self.changed.emit()
        self._next()

    def _settled(self, erased: Erased) -> None:
        """Show the object in the making."""
        current = self.state.current
        if current is None:
            return
        self.state.hovered = None
        self.overlay.hover(None)
        self.overlay.show(current, erased)
        whose = f"This corrects object {current.target}. " if current.target else ""
        self.said.emit(f"{whose}{REFINE}", False)
        self.changed.emit()

    def _refuse(self, error: InputError) -> None:
        """Say why a gesture makes no object, after what it did to the one before."""
        problem = not isinstance(error, NothingToDo)
        self.said.emit(f"{self._done} {error}".lstrip(), problem)

    def _on_refused(self, error: InputError) -> None:
        hover = self._asked is not None and self._asked.hover
        self._asked, self._preparing = None, False
        if not hover:
            self._refuse(error)
        self.changed.emit()
        self._next()

    def _on_idle(self) -> None:
        """Go on after a request that failed: it has no answer."""
        if self._preparing or self._asked is not None:
            self._asked, self._preparing = None, False
            self.changed.emit()
            self._next()

    # Inside

    def _check(self, layer: Labels) -> None:
        """Raise `InputError` if objects cannot be clicked into labels now."""
        dims, image = self._viewer.dims, self._image()
        warning = class_warning(layer)
        if warning:
            raise InputError(
                f"{layer.name!r} holds classes, not objects. Press New labels and click there."
            )
        if image is None or image not in self._viewer.layers:
            raise InputError("Open an image first: objects are found in it.")
        if hidden := hidden_warning(layer):
            raise InputError(hidden)
        flat = tuple(dims.displayed) == (dims.ndim - 2, dims.ndim - 1)
        if dims.ndisplay != 2 or not flat:
            raise InputError(_FLAT)
        misfit = misfit_of(image, layer, self._viewer.layers)
        if misfit:
            raise InputError(misfit)

    def _is_current(self, asked: _Asked) -> bool:
        """Whether an answer is still about the image and the plane on screen."""
        layer, image = self._layer, self._image()
        if layer is None or image is None or image not in self._viewer.layers:
            return False
        here = np.rint(layer.world_to_data(self._viewer.dims.point)).astype(int).tolist()[:-2]
        same_plane = tuple(here) == asked.candidate.plane
        return same_plane and plane_on_screen(self._viewer, image)[0] == asked.image

    def _write(self, current: Candidate, layer: Labels, guard: PlaneGuard) -> int:
        """Write a candidate into the labels and return its id."""
        if not guard.is_there(current.plane):
            raise InputError("Its plane is gone from the labels. Esc drops this object.")
        target = current.target
        protection = guard.of_plane(current.plane, spare=self._spare, target=target)
        if target and self._is_locked(protection, target):
            raise InputError(f"Object {target} was locked meanwhile. Esc drops this outline.")
        boxes = self._boxes()
        largest = int(layer.data.max(initial=0)) if boxes is None else boxes.largest()
        number = target or largest + 1
        change, same = change_of(current, layer, number, protection, self._box(current, layer))
        if len(change) > UNDOABLE_PIXELS:
            raise InputError(
                f"This object has {len(change):,} pixels, more than can be undone "
                f"({UNDOABLE_PIXELS:,}). Esc drops it."
            )
        self._session.locks(layer).correct(change.index, change.after, same)
        return number

    def _is_locked(self, protection: Protection, number: int) -> bool:
        labels = protection.labels
        box = box_in_plane(self._boxes(), number, protection.plane, labels)
        return protection.locks(number, box)

    def _box(self, candidate: Candidate, layer: Labels) -> Window | None:
        """Return the box of the object that a candidate corrects, or None."""
        if not candidate.target:
            return None
        labels = layer.data[candidate.plane]
        return box_in_plane(self._boxes(), candidate.target, candidate.plane, labels)

    def _reach(self, layer: Labels) -> float:
        step = float(np.abs(layer.scale[-2:]).min()) or 1.0
        return _REACH / max(float(camera_of(self._viewer).zoom) * step, 1e-9)

    def _prepare(self) -> None:
        """Load the network and the pixels that the first click needs."""
        layer, image = self._layer, self._image()
        if layer is None or image is None:
            return
        key, plane = plane_on_screen(self._viewer, image)
        rows, columns = in_view(layer)
        middle = (rows.start + rows.stop - 1) / 2, (columns.start + columns.stop - 1) / 2
        opened = self._opened
        self._preparing = True
        self._latest.ask_soon(lambda report: opened.of(key, plane).prepare(middle))

    def _show(self) -> None:
        self.overlay.show(self.state.current)
        self.overlay.hover(self.state.hovered)

    def _forget(self) -> None:
        """Let go of the candidate, of all gestures, and of what is computed."""
        self._pause.stop()
        self._queue.clear()
        self.state.clear()
        self._asked, self._mouse = None, None
        self._preparing = self._keep_next = False
        self._latest.forget()
        self.overlay.draw((), ())
        self._show()

    def _forget_hover(self) -> None:
        self._pause.stop()
        if self._asked is not None and self._asked.hover:
            self._asked = None
            self._latest.forget()
        if self.state.hovered is not None:
            self.state.hovered = None
            self.overlay.hover(None)

    def _on_plane(self) -> None:
        self._mouse = None
        self._forget_hover()

    def _on_view(self) -> None:
        dims = self._viewer.dims
        if dims.ndisplay != 2 or tuple(dims.displayed) != (dims.ndim - 2, dims.ndim - 1):
            self.stop()
            self.said.emit(_FLAT, True)


def _work(
    opened: _Opened,
    asked: _Asked,
    plane: Image,
    protection: Protection,
    box: Window | None,
    size: float | None,
) -> Work:
    """Return the computation of an answer: an object of about a size, or else of any."""
    candidate = asked.candidate

    def work(report: Progress) -> _Answer:
        propose = partial(
            opened.of(asked.image, plane).propose,
            candidate.prompt,
            previous=candidate.proposed,
            taken=protection,
            cancelled=asks_to_cancel(report),
        )
        proposed = propose(size=size)
        if proposed is None and size is not None:
            proposed = propose()
        erased = None
        if proposed is not None and box is not None:
            erased = erased_by(proposed, candidate.target, protection, box)
        return _Answer(asked, proposed, erased)

    return work


__all__ = ["DROPPED", "HINT", "NOTHING", "OFF", "OUTLINING", "PAUSE_MS", "REFINE", "ObjectClicks"]
