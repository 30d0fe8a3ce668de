"""Input and result of a correction, between the viewer and core."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels, Layer, Shapes
from numpy.typing import NDArray

from napari_unetseg.core.corrections import (
    Change,
    LabelsView,
    ObjectBoxes,
    Parts,
    collect_pixels,
    ellipse_outline,
)
from napari_unetseg.core.corrections.locked_pixels import Box, PixelSet, locked_ids
from napari_unetseg.core.errors import InputError, NothingToDo
from napari_unetseg.core.progress import Progress, part
from napari_unetseg.gui.correct.correct_acts import (
    CorrectionScene,
    CorrectOptions,
    Place,
    depth_axis,
)
from napari_unetseg.gui.correct.correct_tools import ToolKind
from napari_unetseg.gui.shared.layers import MASK, role_of
from napari_unetseg.gui.shared.training_layers import PREDICTED

_CLASSES = (
    "These are classes, not objects: a tool would change a whole class at once. Press Make objects "
    "of these classes, or use napari's brush and eraser."
)
_CLOSED = ("polygon", "rectangle", "ellipse")


@dataclass(frozen=True, eq=False)
class CorrectionResult:
    """The result of a tool: a change of the whole layer, and the approved pixels.

    Parameters
    ----------
    kind
        The tool.
    change
        Change of the layer.
    approved
        Pixels that are locked without changing.
    state
        State of the layer's pixels and locks at the start; see `LayerLocks.state`.
    spared
        Number of objects skipped because they were corrected or approved.
    here, shown
        The viewer's position along each axis of the layer, and the axes on screen.
    """

    kind: ToolKind
    change: Change
    approved: PixelSet
    state: tuple[int, ...]
    spared: int
    here: tuple[int, ...]
    shown: tuple[int, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be changed or locked."""
        return not len(self.change) and not self.approved

    def message(self) -> str:
        """Return a sentence about the correction."""
        if self.is_empty:
            return _nothing(self.kind, self.spared)
        objects = list(dict.fromkeys([*self.change.objects, *_ids(self.change.before)]))
        objects = objects or _ids(self.change.after)
        n = len(objects)
        counted = f"{n:,} object{'' if n == 1 else 's'}"
        few = f"object {objects[0]}" if n == 1 else f"objects {', '.join(map(str, objects))}"
        sentence = self.kind.done.format(n=counted, ids=few if 0 < n < 6 else counted)
        if self.spared:
            sentence += f" {_spared(self.spared)}"
        return sentence


def problem_of(layer: Layer) -> str:
    """Return the reason why a Labels layer cannot be corrected, or ``""``."""
    if layer.multiscale:
        return (
            f"{layer.name!r} is a pyramid, in which napari cannot undo edits. Open its full "
            "resolution as a separate layer."
        )
    if not isinstance(layer.data, np.ndarray):
        return (
            f"{layer.name!r} is not in memory ({type(layer.data).__module__.split('.')[0]}). "
            "Duplicate the layer as an array first: layer.data = numpy.asarray(layer.data)."
        )
    if not layer.data.size:
        return f"{layer.name!r} has no pixels. Choose other labels."
    if not layer.editable:
        return f"{layer.name!r} is locked. Allow editing it first."
    return ""


def class_warning(layer: Layer) -> str:
    """Return a warning if the labels are classes, because tools act on objects."""
    return _CLASSES if role_of(layer) in (MASK, PREDICTED) else ""


def refusal_of(kind: ToolKind, layer: Layer, ndisplay: int) -> str:
    """Return the reason why a tool cannot be used in this view of a layer, or ``""``."""
    if kind.flat and ndisplay == 3:
        return f"{kind.text} needs the 2D view: press the 2D/3D button below the layer list."
    if kind.planes and layer.ndim < 3:
        return f"{kind.text} needs a stack; {layer.name!r} is one plane."
    if warning := class_warning(layer):
        return warning
    return hidden_warning(layer)


def hidden_warning(layer: Layer) -> str:
    """Return why a hidden layer is not written to, or ``""`` for a visible one."""
    if layer.visible:
        return ""
    return f"{layer.name!r} is hidden. Show it first: click the eye in the layer list."


def show_copy(viewer: Any, layer: Layer, result: "CorrectionResult") -> None:
    """Move the view to the plane that an object was copied to, if the tool copies."""
    by = {"next": 1, "previous": -1}.get(result.kind.name)
    if by is None:
        return
    axis = max(axis for axis in range(layer.ndim) if axis not in result.shown)
    place = list(result.here)
    place[axis] += by
    lead = viewer.dims.ndim - layer.ndim
    viewer.dims.set_point(lead + axis, layer.data_to_world(place)[axis])


def shown_axes(viewer: Any, layer: Layer) -> tuple[int, ...]:
    """Return the displayed axes of the layer, in display order."""
    lead = viewer.dims.ndim - layer.ndim
    return tuple(axis - lead for axis in viewer.dims.displayed if axis >= lead)


def frame_of(viewer: Any, layer: Labels) -> tuple[LabelsView, tuple[int, ...]]:
    """Return the part of a layer to correct, and the viewer's position along each axis.

    Raises
    ------
    InputError
        If the viewer is at a plane that the layer does not have.
    """
    lead = viewer.dims.ndim - layer.ndim
    order = [axis - lead for axis in viewer.dims.order if axis >= lead]
    n = max(layer.n_edit_dimensions, len(shown_axes(viewer, layer)))
    free = set(order[-n:])
    here = tuple(int(at) for at in np.rint(layer.world_to_data(viewer.dims.point)))
    at = tuple(None if axis in free else here[axis] for axis in range(layer.ndim))
    if not all(
        place is None or 0 <= place < length
        for place, length in zip(at, layer.data.shape, strict=True)
    ):
        raise InputError(f"{layer.name!r} has no plane here. Move the slider to one that it has.")
    return LabelsView(at), here


def scene_of(
    viewer: Any,
    layer: Labels,
    boxes: ObjectBoxes,
    options: CorrectOptions,
    *,
    whole: bool = False,
    shapes: Layer | None = None,
) -> CorrectionScene:
    """Return the current scene for a tool.

    Parameters
    ----------
    whole
        Use the whole layer, whatever its edit dimensions.

    Raises
    ------
    InputError
        See `frame_of`.
    """
    frame, here = frame_of(viewer, layer)
    if whole:
        frame = LabelsView.whole(layer.ndim)
    labels = frame.view(layer.data)
    shown = shown_axes(viewer, layer)
    return CorrectionScene(
        labels=labels,
        parts=boxes.parts(frame),
        frame=frame,
        shown=shown,
        here=here,
        first=boxes.largest() + 1,
        spacing=tuple(abs(float(layer.scale[axis])) or 1.0 for axis in frame.axes),
        options=options,
        view=_view(layer, frame, shown, here),
        outlines=_outlines(shapes, layer),
    )


def box_of_object(scene: CorrectionScene, boxes: ObjectBoxes, number: int) -> Box:
    """Return the box of an object in a scene.

    Raises
    ------
    InputError
        If there is no such object.
    """
    if number not in boxes:
        raise NothingToDo(f"There is no object {number} in these labels.")
    box = boxes.box(number)
    return tuple(box[axis] for axis in scene.frame.axes)


def parts_for(
    kind: ToolKind,
    scene: CorrectionScene,
    boxes: ObjectBoxes,
    numbers: Sequence[int],
    layer: Labels,
) -> Parts:
    """Return the objects for a tool: the given ones, or all if none are given.

    Raises
    ------
    InputError
        If the tool needs a stack and the labels are one plane, or an object is missing.
    """
    if kind.planes:
        depth_axis(scene)
    if kind.name == "selected":
        numbers = [int(layer.selected_label)]
    elif kind.name == "shapes":
        return {}
    elif not numbers:
        return scene.parts
    return {number: box_of_object(scene, boxes, number) for number in numbers}


def corrected(
    kind: ToolKind,
    scene: CorrectionScene,
    parts: Parts,
    places: Sequence[Place],
    labels: NDArray[Any],
    state: tuple[int, ...],
    spare: PixelSet | None,
    progress: Progress,
) -> CorrectionResult:
    """Compute a correction.

    Parameters
    ----------
    labels
        Labels of the whole layer.
    state
        See `CorrectionResult`.
    spare
        Locked pixels that must not change, nor the objects that contain any.
    """
    n = len(parts)
    if spare is not None:
        kept = set(locked_ids(labels, spare).tolist())
        parts = {number: box for number, box in parts.items() if number not in kept}
    change = kind.act(scene, parts, places, part(progress, 0, 0.9))
    whole = scene.frame.place(change)
    if spare is not None:
        whole = whole.where(~spare.at(whole.index))
    approved = PixelSet(labels.shape)
    if kind.locks:
        right = {number: scene.parts[number] for number in change.objects if number in scene.parts}
        approved = collect_pixels(scene.labels, right, scene.frame, labels.shape)
    return CorrectionResult(kind, whole, approved, state, n - len(parts), scene.here, scene.shown)


def cost_of(parts: Parts) -> int:
    """Count the pixels in the boxes of objects."""
    return sum(int(np.prod([s.stop - s.start for s in box])) for box in parts.values())


def _nothing(kind: ToolKind, spared: int) -> str:
    sentence = f"{kind.text}: there is nothing to do."
    return f"{sentence} {_spared(spared)}" if spared else sentence


def _spared(n: int) -> str:
    return "One corrected object was kept." if n == 1 else f"{n:,} corrected objects were kept."


def _ids(values: NDArray[Any]) -> list[int]:
    return [int(number) for number in np.unique(values) if number]


def _view(layer: Labels, frame: LabelsView, shown: tuple[int, ...], here: tuple[int, ...]) -> Box:
    """Return the visible part of the frame; all of it in 3D or without a canvas."""
    low, high = (np.asarray(corner) for corner in layer.corner_pixels)
    box = []
    for axis in frame.axes:
        length = layer.data.shape[axis]
        if len(shown) > 2 or (axis in shown and not (high > low)[list(shown)].any()):
            box.append(slice(0, length))
        elif axis in shown:
            box.append(slice(max(int(low[axis]), 0), min(int(high[axis]) + 1, length)))
        else:
            at = min(max(here[axis], 0), length - 1)
            box.append(slice(at, at + 1))
    return tuple(box)


def _outlines(shapes: Layer | None, layer: Labels) -> tuple[NDArray[np.float64], ...]:
    """Return the closed shapes of a Shapes layer in pixels of a Labels layer."""
    if not isinstance(shapes, Shapes):
        return ()
    found = []
    for corners, kind in zip(shapes.data, shapes.shape_type, strict=True):
        if kind in _CLOSED:
            outline = ellipse_outline(corners) if kind == "ellipse" else np.asarray(corners)
            world = [_in(layer, shapes.data_to_world(corner)) for corner in outline]
            found.append(np.array([layer.world_to_data(corner) for corner in world], float))
    return tuple(found)


def _in(layer: Labels, world: Any) -> NDArray[np.float64]:
    """Return a world point with as many axes as the layer; missing ones are 0."""
    place = np.zeros(layer.ndim)
    given = np.asarray(world, float)[-layer.ndim :]
    place[layer.ndim - len(given) :] = given
    return place


def numbers_of(layer: Labels, places: Sequence[Place]) -> list[int]:
    """Return the ids at points of a layer, in order, each once."""
    found: Mapping[int, None] = dict.fromkeys(
        int(layer.data[at])
        for at in (tuple(round(x) for x in place) for place in places)
        if all(0 <= x < n for x, n in zip(at, layer.data.shape, strict=True))
    )
    return [number for number in found if number]


__all__ = [
    "CorrectionResult",
    "box_of_object",
    "class_warning",
    "corrected",
    "cost_of",
    "frame_of",
    "numbers_of",
    "parts_for",
    "problem_of",
    "refusal_of",
    "scene_of",
    "show_copy",
    "shown_axes",
]
