"""Carry an object through the planes of a stack: live on screen, then in the labels as one step."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Layer
from numpy.typing import NDArray
from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_unetseg.core.corrections import Change, LabelsView
from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.progress import asks_to_cancel
from napari_unetseg.core.prompts.carry_planes import CarriedPlane, carry_planes
from napari_unetseg.core.prompts.find_similar import cut_objects
from napari_unetseg.core.prompts.prompt import Mask, ProposedObject
from napari_unetseg.gui.correct.click_scene import likely_image
from napari_unetseg.gui.shared.dock_help import text_button
from napari_unetseg.gui.shared.layers import has_planes, image_of, index_along, plane_index
from napari_unetseg.gui.shared.preview import Preview, threshold_look
from napari_unetseg.gui.shared.session import UNDOABLE_PIXELS
from napari_unetseg.gui.shared.task import Reporter
from napari_unetseg.gui.shared.undone_message import how_to_undo
from napari_unetseg.gui.train.fine_tune_layers import source_layer

if TYPE_CHECKING:
    from napari_unetseg.gui.correct.correct_dock import CorrectWidget

_NO_OBJECT = (
    "Choose the object first: click it (Click objects), or pick it with napari's colour picker, on "
    "a plane where it is outlined well."
)
_CHANGED = "The labels changed meanwhile, so nothing was done. Please repeat it."


@dataclass(frozen=True, eq=False)
class CarriedObject:
    """An object carried through the planes of a stack.

    Parameters
    ----------
    layer, number
        The labels, and the id of the object.
    lead
        Index of the stack along the axes of the labels before Z.
    anchors
        Planes that it was carried from.
    planes
        What was found, an end at each side.
    state
        State of the labels and locked pixels at the start.
    """

    layer: Labels
    number: int
    lead: tuple[int, ...]
    anchors: tuple[int, ...]
    planes: tuple[CarriedPlane, ...]
    state: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class CarriedNow:
    """A plane that was found, of the stack at `lead` of labels that had `state` at the start."""

    layer: Labels
    state: tuple[int, ...]
    lead: tuple[int, ...]
    plane: CarriedPlane


class CarryPanel(QWidget):
    """A button that carries the chosen object through the planes of its stack.

    Parameters
    ----------
    tool
        The Correct page.
    """

    def __init__(self, tool: "CorrectWidget") -> None:
        super().__init__()
        self._tool, self._viewer = tool, tool.viewer
        self._preview = Preview(self._viewer)
        self._picture: NDArray[np.uint8] | None = None
        self._carried: dict[tuple[str, int], dict[int, ProposedObject]] = {}
        self.button = text_button(
            "Carry through the planes",
            "Follow the object clicked last, or chosen in the layer, through the planes above and "
            "below until it ends. Correct it on any plane and press again: it goes on from there.",
            self.carry,
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.button)

    def carry(self) -> None:
        """Carry the object, in another thread."""
        work = self._tool.work_on_labels(self._work)
        if work is not None:
            self._tool.begin(work)

    def show_plane(self, now: CarriedNow) -> None:
        """Show a plane that was found, over the labels."""
        layer, found = now.layer, now.plane.found
        if found is None or not self._is_as_begun(now):
            return
        if self._picture is None or self._picture.shape != layer.data.shape:
            self._preview.remove()
            self._picture = np.zeros(layer.data.shape, np.uint8)
        self._picture[(*now.lead, now.plane.z)][found.slices] |= found.mask.view(np.uint8)
        shown = self._preview.layer
        if shown is None:
            look = threshold_look((0.5,), 0, 1)
            self._preview.show(layer, self._picture, name="carried object", **look)
        else:
            shown.refresh()

    def take(self, result: CarriedObject) -> str:
        """Write a carried object into the labels, locked, as one undo step; return the message."""
        layer, number = result.layer, result.number
        if not self._is_as_begun(result):
            return _CHANGED
        change = self._change(result)
        if len(change) > UNDOABLE_PIXELS:
            return (
                f"The object has {len(change):,} pixels in the other planes, more than can be "
                f"undone ({UNDOABLE_PIXELS:,}). Crop the stack."
            )
        found = {plane.z: plane.found for plane in result.planes if plane.found is not None}
        self._carried[str(layer.unique_id), number] = found
        if len(change):
            self._tool.session.locks(layer).correct(change.index, change.after)
        ends = [f"before plane {p.z}: {p.why}" for p in result.planes if p.found is None]
        many = f"{len(found)} plane{'s' * (len(found) != 1)}"
        text = f"Object {number} was carried through {many} and locked"
        ended = f" It ended {', and '.join(ends)}." if ends else " It goes on to both ends."
        undo = how_to_undo(self._viewer, layer)
        return f"{text}; {undo}.{ended} Correct any plane, and press again."

    def hide_planes(self) -> None:
        """Remove what was shown on the way."""
        self._preview.remove()
        self._picture = None

    @property
    def applies(self) -> bool:
        """Whether the labels are those of a stack: along time nothing is carried."""
        layer = self._tool.labels_layer
        if layer is None or layer.ndim < 3 or layer.data.shape[-3] == 1:
            return False
        return has_planes(source_layer(self._viewer.layers, layer) or layer)

    def refresh(self) -> None:
        """Enable the button for labels of a stack; nothing stays of a run that is over."""
        self.button.setEnabled(self.applies and not self._tool.running)
        if not self._tool.running:
            self.hide_planes()

    def _is_as_begun(self, thing: CarriedNow | CarriedObject) -> bool:
        """Whether the labels are there, and nothing has changed them since the run began."""
        there = thing.layer in self._viewer.layers
        return there and self._tool.session.locks(thing.layer).state() == thing.state

    def _work(self, layer: Labels) -> Any:
        """Return the computation, which holds copies of what it needs."""
        source = likely_image(self._viewer.layers, layer)
        if source is None:
            raise InputError("There is no image below these labels. Open it, or choose others.")
        *lead, z = plane_index(layer, self._viewer.dims.point)
        stack = _stack_on_screen(self._viewer, source)
        ids = np.array(layer.data[tuple(lead)])
        if stack.axes.replace("C", "") != "ZYX" or stack.spatial_shape != ids.shape:
            raise InputError(
                f"{source.name!r} and {layer.name!r} are not stacks of the same planes. Name the "
                "axes of both, or choose others."
            )
        locks = self._tool.session.locks(layer)
        numbers = [n for n in (*self._tool.clicks.ids[::-1], layer.selected_label) if n]
        number = next((int(n) for n in numbers if (ids[z] == n).any()), 0)
        if not number:
            raise InputError(_NO_OBJECT)
        known = self._carried.get((str(layer.unique_id), number), {})
        anchors = _anchors(ids, number, z, known)
        locked = locks.pixels()
        return partial(
            _carried, layer, tuple(lead), stack, ids, number, anchors, locked, locks.state()
        )

    def _change(self, result: CarriedObject) -> Change:
        """Return the change that replaces what was carried before by what was found."""
        layer, number = result.layer, result.number
        view = LabelsView((*result.lead, None, None, None)).view(layer.data)
        before = self._carried.get((str(layer.unique_id), number), {})
        changes = []
        found = {plane.z: plane.found for plane in result.planes}
        for z, one in before.items():
            # Only planes that nobody changed since are replaced.
            if z not in result.anchors and _is_as_carried(view[z], number, one):
                kept = np.zeros(view[z].shape, np.bool_)
                now = found.get(z)
                if now is not None:
                    kept[now.slices] = now.mask
                gone = one.mask & ~kept[one.slices] & (view[z][one.slices] == number)
                changes.append(_of_plane(view, z, one.slices, gone, 0))
        for z, now in found.items():
            if now is not None:
                changes.append(_of_plane(view, z, now.slices, now.mask, number))
        joined = Change.joined(changes, view)
        return LabelsView((*result.lead, None, None, None)).place(joined)


def _of_plane(
    view: NDArray[Any], z: int, window: tuple[slice, slice], mask: Mask, number: int
) -> Change:
    """Return the change of a plane of a stack."""
    return Change.of(view, (slice(z, z + 1), *window), mask[None], number, [number] * bool(number))


def _is_as_carried(plane: NDArray[Any], number: int, one: ProposedObject) -> bool:
    mask = plane == number
    return int(mask.sum()) == one.area and bool(mask[one.slices][one.mask].all())


def _anchors(
    ids: NDArray[Any], number: int, z: int, carried: Mapping[int, ProposedObject]
) -> dict[int, ProposedObject]:
    """Return the object in the planes that a person outlined: those that were not carried as is."""
    anchors = {}
    for at in np.flatnonzero((ids == number).any((1, 2))).tolist():
        if at == z or at not in carried or not _is_as_carried(ids[at], number, carried[at]):
            (anchors[at],) = cut_objects(ids[at], [number])
    return anchors


def _stack_on_screen(viewer: Any, image: Layer) -> Image:
    """Return the stack of an image that the viewer shows, unread, with all its channels."""
    whole = image_of(image)
    axes = whole.grey().axes if whole.rgb else whole.axes
    index = index_along(image, axes, plane_index(image, viewer.dims.point))
    lead = zip((axis for axis in axes if axis not in "YX"), index, strict=True)
    at = {axis: min(place, whole.length(axis) - 1) for axis, place in lead if axis == "T"}
    part = tuple(at.get(axis, slice(None)) for axis in whole.axes)
    kept = "".join(axis for axis in whole.axes if axis not in at)
    return whole.like(whole.data[part], kept, rgb=whole.rgb, channel_names=whole.channel_names)


def _carried(
    layer: Labels,
    lead: tuple[int, ...],
    stack: Image,
    ids: NDArray[Any],
    number: int,
    anchors: dict[int, ProposedObject],
    locked: PixelSet,
    state: tuple[int, ...],
    report: Reporter,
) -> CarriedObject:
    def taken(z: int) -> Any:
        def within(window: tuple[slice, slice]) -> Mask:
            here = ids[z][window]
            at = (*(slice(k, k + 1) for k in (*lead, z)), *window)
            closed = locked.inside(at).reshape(here.shape) & (here != number)
            return closed | ((here != 0) & (here != number))

        return within

    planes: list[CarriedPlane] = []

    def cancelled() -> bool:
        done = len(planes) / stack.length("Z")
        return asks_to_cancel(report, done, "carrying through the planes")()

    for plane in carry_planes(stack, anchors, taken=taken, cancelled=cancelled):
        planes.append(plane)
        report.show(CarriedNow(layer, state, lead, plane))
    report(1.0, "")
    return CarriedObject(layer, number, lead, tuple(anchors), tuple(planes), state)


__all__ = ["CarriedNow", "CarriedObject", "CarryPanel"]
