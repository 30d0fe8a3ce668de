"""Find all like this: proposals of objects like those kept, filtered by a slider, then accepted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Layer, Shapes
from napari.utils.events import disconnect_events
from numpy.typing import NDArray
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QGridLayout, QLabel, QSlider, QVBoxLayout, QWidget

from napari_unetseg.core.corrections import Change, LabelsView
from napari_unetseg.core.corrections.change import check_id_fits
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.prompts.find_similar import (
    LIKELY,
    SimilarObject,
    cut_objects,
    find_similar,
)
from napari_unetseg.core.review_queue import Item, Queue
from napari_unetseg.gui.correct.click_scene import (
    PlaneGuard,
    Protection,
    likely_image,
    plane_on_screen,
)
from napari_unetseg.gui.correct.correct_scene import hidden_warning
from napari_unetseg.gui.queue.queue_store import keep_queue
from napari_unetseg.gui.shared.dock_help import text_button
from napari_unetseg.gui.shared.layers import geometry_of, plane_index
from napari_unetseg.gui.shared.navigate import in_view
from napari_unetseg.gui.shared.preview import Preview, threshold_look
from napari_unetseg.gui.shared.session import UNDOABLE_PIXELS
from napari_unetseg.gui.shared.task import Reporter
from napari_unetseg.gui.shared.undone_message import how_to_undo
from napari_unetseg.gui.train.train_dock import open_train

if TYPE_CHECKING:
    from napari_unetseg.gui.correct.correct_dock import CorrectWidget

FINISHED = "finished region"
"""Name of the layer that marks where all objects are labelled."""

_TOP = 254
_WAIT_MS = 60
_KEEP_FIRST = (
    "Nothing is kept on this plane yet. Click, draw or approve one or a few objects first: the "
    "others are found by them."
)
_FLAT = "Objects are found in a plane: press the 2D/3D button below the layer list."


@dataclass(frozen=True, eq=False)
class FoundSimilar:
    """Proposals for a plane of labels, the most alike first.

    Parameters
    ----------
    layer, source
        The labels, and the image that was searched.
    plane
        Index of the plane along the leading axes of the labels.
    candidates
        The proposals.
    picture
        uint8 (Y, X): likeness from 1 to 255 of each pixel of a proposal, with gaps between them.
    """

    layer: Labels
    source: Layer
    plane: tuple[int, ...]
    candidates: tuple[SimilarObject, ...]
    picture: NDArray[np.uint8]


class FindSimilarPanel(QWidget):
    """A button that finds the objects like those kept, and what to do with the proposals.

    Parameters
    ----------
    tool
        The Correct page.
    """

    def __init__(self, tool: "CorrectWidget") -> None:
        super().__init__()
        self._tool, self._viewer = tool, tool.viewer
        self._preview = Preview(self._viewer)
        self._found: FoundSimilar | None = None
        self._spots = np.zeros((0, 2), np.intp)
        self._picture = np.zeros((0, 0), np.uint8)
        self._drawn = np.zeros(0, np.bool_)
        self.find_button = text_button(
            "Find all like this",
            "Propose the other objects of this plane that are like the objects you kept on it. "
            "Nothing is written before you accept.",
            self.search,
        )
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, 100)
        self.slider.setValue(round(100 * LIKELY))
        self.slider.setToolTip("How alike a proposal must be: to the right fewer, surer ones.")
        self.slider.valueChanged.connect(self.look)
        self.count = QLabel()
        self.all_button = text_button(
            "Accept all", "Write all shown proposals, locked, as one step.", self.accept
        )
        self.view_button = text_button(
            "Accept in view",
            "Write the shown proposals whose middle is in the field of view, locked, as one step.",
            partial(self.accept, in_sight=True),
        )
        self.queue_button = text_button(
            "One by one",
            "Write the shown proposals without locking them, and review each in the Queue.",
            self.review,
        )
        self.drop_button = text_button(
            "Discard", "Drop the proposals; nothing is changed.", self.discard
        )
        self.train_button = text_button(
            "Train on these",
            "Open Train with these objects. What is in view counts as finished: objects there "
            "that are not labelled are learnt as background.",
            self.train,
        )
        self._choices = QWidget()
        self._lay_out()
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(_WAIT_MS)
        self._later.timeout.connect(self.look)
        self.refresh()

    # Actions

    def search(self) -> None:
        """Search the plane on screen, in another thread."""
        work = self._tool.work_on_labels(self._work)
        if work is not None:
            self.discard()
            self._tool.begin(work)

    def take(self, found: FoundSimilar) -> str:
        """Show proposals, and return the message."""
        self.discard()
        events: Any = found.layer.events
        if found.layer is not self._tool.labels_layer or found.layer not in self._viewer.layers:
            return "Another layer was chosen meanwhile, so nothing is proposed."
        if not found.candidates:
            return "Nothing like the kept objects was found on this plane. Keep more, and repeat."
        self._found = found
        self._spots = np.array([_deepest(one) for one in found.candidates])
        self._picture = found.picture.copy()
        self._drawn = np.ones(len(found.candidates), np.bool_)
        # Undo and redo send no event but a request to redraw.
        for event in (events.paint, events.set_data, events.labels_update):
            event.connect(self._soon)
        self._viewer.dims.events.current_step.connect(self._soon)
        self.look()
        self.refresh()
        return (
            f"Proposals: {len(found.candidates)}. Move the slider until the right ones are shown, "
            "then accept them."
        )

    def discard(self) -> None:
        """Drop the proposals."""
        self._later.stop()
        self._preview.remove()
        if self._found is not None:
            disconnect_events(self._found.layer.events, self)
            disconnect_events(self._viewer.dims.events, self)
        self._found = None
        self.refresh()

    def accept(self, *, in_sight: bool = False) -> None:
        """Write the shown proposals, locked, as one undo step."""
        found = self._found
        if found is None or not self._may_write(found):
            return
        try:
            _, change = self._written(found, self.shown(in_sight=in_sight))
        except InputError as error:
            self._tool.say_error(error)
            return
        self._tool.session.locks(found.layer).correct(change.index, change.after)
        self.look()
        done = (
            f"Objects added and locked: {len(change.objects)}; "
            f"{how_to_undo(self._viewer, found.layer, 'them')}. "
            f"Proposals left: {int(self._open(found).sum())}."
        )
        self._tool.undone.follow(found.layer, done)
        self._tool.say(done)

    def review(self) -> None:
        """Write the shown proposals without locking them, and open the Queue with them."""
        found = self._found
        if found is None or not self._may_write(found):
            return
        try:
            written, change = self._written(found, self.shown())
        except InputError as error:
            self._tool.say_error(error)
            return
        layer = found.layer
        self._tool.session.locks(layer).write(change.index, change.after)
        keep_queue(layer, _queue_of(found.plane, written))
        self.discard()
        self._viewer.layers.selection.active = layer
        if len(self._tool.session.page_wanted):
            self._tool.session.page_wanted.emit("Queue")
        elif hasattr(self._viewer, "window"):
            self._viewer.window.add_plugin_dock_widget("napari-unetseg", "Queue")
        self._tool.say(f"Proposals in the Queue: {len(change.objects)}, the least alike first.")

    def train(self) -> None:
        """Mark what is in view as finished, and open Train with it."""
        layer = self._tool.labels_layer
        source = None if layer is None else self._image(layer)
        if layer is None or source is None:
            self._tool.say("Choose labels that lie on an image first.", problem=True)
            return
        self._tool.finish_clicks()
        self.discard()
        region = self._finished_region(layer)
        if not open_train(self._viewer, source, layer, region):
            self._tool.say("Open the dock Train (Plugins menu) to train.", problem=True)

    # State

    @property
    def has_proposals(self) -> bool:
        """Whether there are proposals to accept or discard."""
        return self._found is not None

    def shown(self, *, in_sight: bool = False) -> list[SimilarObject]:
        """Return the proposals that the slider shows and that are not in the labels yet.

        Parameters
        ----------
        in_sight
            Only those whose deepest pixel is in the field of view.
        """
        found = self._found
        if found is None:
            return []
        shown = self._open(found) & self._alike(found)
        if in_sight:
            rows, columns = in_view(found.layer)
            y, x = self._spots.T
            shown &= (rows.start <= y) & (y < rows.stop) & (columns.start <= x) & (x < columns.stop)
        return [found.candidates[at] for at in np.flatnonzero(shown)]

    def refresh(self) -> None:
        """Enable what can be done now."""
        idle = not self._tool.running
        there = self._tool.labels_layer is not None
        self.find_button.setEnabled(idle and there)
        self.train_button.setEnabled(idle and there)
        self._choices.setVisible(self._found is not None)
        self._choices.setEnabled(idle)

    @property
    def level(self) -> float:
        """Likeness from which proposals are shown."""
        return self.slider.value() / 100

    def _alike(self, found: FoundSimilar) -> NDArray[np.bool_]:
        return np.array([one.likeness >= self.level for one in found.candidates], np.bool_)

    @staticmethod
    def _fits(found: FoundSimilar) -> bool:
        """Whether the labels still have the plane of the proposals."""
        data, lead = found.layer.data, len(found.plane)
        there = all(at < n for at, n in zip(found.plane, data.shape, strict=False))
        return there and tuple(data.shape[lead:]) == found.picture.shape

    def _open(self, found: FoundSimilar) -> NDArray[np.bool_]:
        """Return which proposals are not in the labels, as after an undo they are not."""
        y, x = self._spots.T
        plane = found.layer.data[found.plane]
        return np.asarray(plane[y, x] == 0)

    def hide_proposals(self) -> None:
        """Remove the proposals from the canvas until `look` is called."""
        self._later.stop()
        self._preview.remove()

    def look(self) -> None:
        """Show the proposals that are alike enough on their plane, and count them."""
        found = self._found
        if found is None or not self._tool.isVisible():
            return
        if found.layer not in self._viewer.layers or not self._fits(found):
            self.discard()
            return
        open_ones, alike = self._open(found), self._alike(found)
        self.count.setText(f"{int((open_ones & alike).sum())} of {int(open_ones.sum())} shown")
        for button in (self.all_button, self.view_button, self.queue_button):
            button.setEnabled(bool((open_ones & alike).any()))
        point = self._viewer.dims.point
        if self._viewer.dims.ndisplay != 2 or plane_index(found.layer, point) != found.plane:
            if self._preview.layer is not None:
                self._preview.layer.visible = False
            return
        for at in np.flatnonzero(open_ones != self._drawn):
            one = found.candidates[at].found
            part, whole = self._picture[one.slices], found.picture[one.slices]
            part[one.mask] = whole[one.mask] if open_ones[at] else 0
        changed, self._drawn = not np.array_equal(open_ones, self._drawn), open_ones
        # The graphics card compares: moving the slider computes nothing.
        value = min(max(self.level * _TOP + 0.5, 0.5), _TOP + 0.5)
        self._preview.show(
            found.layer, self._picture, name="proposals", **threshold_look((value,), 0, 255)
        )
        if changed and self._preview.layer is not None:
            self._preview.layer.refresh()

    def _soon(self, event: Any = None) -> None:
        self._later.start()

    # Layers

    def _image(self, layer: Labels) -> Layer | None:
        chosen: Layer | None = self._tool.click_panel.image.layer()
        return likely_image(self._viewer.layers, layer) or chosen

    def _work(self, layer: Labels) -> Any:
        """Return the search, which holds copies only."""
        if self._preview.plane(layer) is None:
            raise InputError(_FLAT)
        source = self._image(layer)
        if source is None:
            raise InputError("There is no image below these labels. Open it, or choose others.")
        plane = plane_index(layer, self._viewer.dims.point)
        _, image = plane_on_screen(self._viewer, source)
        guard = PlaneGuard(layer, self._tool.session.locks(layer)).of_plane(plane, spare=True)
        guard = replace(guard, labels=np.array(guard.labels))
        return partial(_found_similar, layer, source, image, guard)

    def _may_write(self, found: FoundSimilar) -> bool:
        """Return whether proposals can be written now, after a message if the labels are hidden."""
        hidden = hidden_warning(found.layer)
        if hidden:
            self._tool.say(hidden, problem=True)
        return not hidden and not self._tool.running and self._fits(found)

    def _written(
        self, found: FoundSimilar, chosen: Sequence[SimilarObject]
    ) -> tuple[list[tuple[int, SimilarObject]], Change]:
        """Return the change that writes proposals on free pixels, and their ids.

        Raises
        ------
        InputError
            When none can be written.
        """
        layer, frame = found.layer, LabelsView((*found.plane, None, None))
        view = frame.view(layer.data)
        guard = PlaneGuard(layer, self._tool.session.locks(layer)).of_plane(found.plane, spare=True)
        written, changes = [], []
        number = int(layer.data.max(initial=0))
        for one in chosen:
            mask = one.found.mask & ~guard(one.found.slices)
            if 2 * np.count_nonzero(mask) < one.found.area:
                continue  # something else was drawn there meanwhile
            number += 1
            check_id_fits(layer.data.dtype, number)
            changes.append(Change.of(view, one.found.slices, mask, number, [number]))
            written.append((number, one))
        if not changes:
            raise InputError("No proposal is shown. Move the slider to the left.")
        change = Change.joined(changes, view)
        if len(change) > UNDOABLE_PIXELS:
            raise InputError(
                f"These are {len(change):,} pixels, more than can be undone ({UNDOABLE_PIXELS:,}). "
                "Zoom in, and accept those in view."
            )
        return written, frame.place(change)

    def _finished_region(self, layer: Labels) -> Shapes:
        """Return a Shapes layer with a rectangle around what is in view."""
        rows, columns = in_view(layer)
        lead = plane_index(layer, self._viewer.dims.point)
        y0, x0, y1, x1 = rows.start, columns.start, rows.stop - 1, columns.stop - 1
        corners = [(*lead, *corner) for corner in ((y0, x0), (y0, x1), (y1, x1), (y1, x0))]
        region = Shapes(
            [np.array(corners, float)],
            shape_type="rectangle",
            name=FINISHED,
            face_color="transparent",
            edge_color="white",
            edge_width=max(1, round(max(layer.data.shape[-2:]) / 300)),
            **geometry_of(layer),
        )
        active = self._viewer.layers.selection.active
        self._viewer.layers.append(region)
        self._viewer.layers.selection.active = active
        return region

    def _lay_out(self) -> None:
        grid = QGridLayout(self._choices)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(QLabel("How alike"), 0, 0)
        grid.addWidget(self.slider, 0, 1)
        grid.addWidget(self.count, 1, 0, 1, 2)
        grid.addWidget(self.all_button, 2, 0)
        grid.addWidget(self.view_button, 2, 1)
        grid.addWidget(self.queue_button, 3, 0)
        grid.addWidget(self.drop_button, 3, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.find_button)
        column.addWidget(self._choices)
        column.addWidget(self.train_button)


def _kept_numbers(guard: Protection) -> list[int]:
    """Return the ids of a plane's objects that have a locked pixel."""
    whole = (slice(0, guard.labels.shape[0]), slice(0, guard.labels.shape[1]))
    locked = guard.locked_in(whole)
    return [int(number) for number in np.unique(guard.labels[locked]) if number]


def _found_similar(
    layer: Labels,
    source: Layer,
    image: Image,
    guard: Protection,
    report: Reporter,
) -> FoundSimilar:
    report(0.0, "looking at the kept objects")
    numbers = _kept_numbers(guard)
    if not numbers:
        raise InputError(_KEEP_FIRST)
    kept = cut_objects(guard.labels, numbers)
    found = find_similar(image, kept, taken=guard, progress=report)
    picture = np.zeros(guard.labels.shape, np.uint8)
    for one in found:
        _draw(picture, one)
    return FoundSimilar(layer, source, guard.plane, tuple(found), picture)


def _draw(picture: NDArray[np.uint8], one: SimilarObject) -> None:
    """Draw a proposal, with a gap to those that are drawn already."""
    from scipy import ndimage

    around = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in one.found.slices)
    beside = ndimage.binary_dilation(picture[around] > 0)
    inner = tuple(
        slice(s.start - a.start, s.stop - a.start)
        for s, a in zip(one.found.slices, around, strict=True)
    )
    mask = one.found.mask & ~beside[inner]
    picture[one.found.slices][mask] = 1 + round(one.likeness * _TOP)


def _deepest(one: SimilarObject) -> tuple[int, int]:
    depth = one.found.depths()
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(y) + one.found.origin[0], int(x) + one.found.origin[1]


def _queue_of(plane: tuple[int, ...], written: Sequence[tuple[int, SimilarObject]]) -> Queue:
    """Return a queue of written proposals, the least alike first."""
    items = [
        Item(
            "object",
            (*plane, *(s.start for s in one.found.slices)),
            (*(at + 1 for at in plane), *(s.stop for s in one.found.slices)),
            number=number,
            pixels=one.found.area,
            score=round(1 - one.likeness, 4),
            why=f"likeness {one.likeness:.2f}",
        )
        for number, one in written
    ]
    return Queue("unsure first", tuple(sorted(items, key=lambda item: -item.score)))


__all__ = ["FINISHED", "FindSimilarPanel", "FoundSimilar"]
