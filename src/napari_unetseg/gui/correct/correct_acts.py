"""Actions of the Correct tools: from a scene, objects and points to a change of labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core import corrections as fix
from napari_unetseg.core.corrections import Change, LabelsView, Parts
from napari_unetseg.core.corrections.locked_pixels import Box
from napari_unetseg.core.errors import InputError, NothingToDo
from napari_unetseg.core.options import Options, option
from napari_unetseg.core.progress import Progress

Labels = NDArray[Any]
Place = tuple[float, ...]
"""A point in the whole layer, in pixels."""


class CorrectOptions(Options):
    """Options of the correction tools."""

    pixels: int = option(
        2,
        "Pixels",
        "Distance of Grow and Shrink, and width of the spurs and dents that Smooth removes, in "
        "pixels of the finest axis.",
        ge=1,
        le=50,
    )
    size: int = option(
        50, "Small is under", "Small deletes objects with fewer pixels than this.", ge=2, le=10**9
    )
    target: Literal["clicked one", "every object"] = option(
        "clicked one",
        "Shape tools on",
        "Apply Fill holes, Smooth, Grow, Shrink and Split parts to the object you click, or to "
        "every object at once.",
    )
    spare: bool = option(
        True,
        "Keep my corrections",
        "Tools on every object skip those that you drew, corrected or approved.",
    )


@dataclass(frozen=True, eq=False)
class CorrectionScene:
    """The input of a tool: the labels of one plane, stack or layer, and their objects.

    Parameters
    ----------
    labels
        A view of the labels in the frame.
    parts
        The objects in the frame, with their boxes.
    frame
        The part of the layer.
    shown
        The axes of the layer on screen: two, or three in the 3D view.
    here
        The viewer's position along each axis of the layer.
    first
        The smallest id above all used ones.
    spacing
        Physical size of a pixel along the frame's axes.
    options
        The options of the form.
    view
        The part on screen, one slice per axis of the frame.
    outlines
        Outlines of the chosen Shapes layer: (n, ndim) each, in pixels of the layer.
    """

    labels: Labels
    parts: Parts
    frame: LabelsView
    shown: tuple[int, ...]
    here: tuple[int, ...]
    first: int
    spacing: tuple[float, ...]
    options: CorrectOptions
    view: Box
    outlines: tuple[NDArray[np.float64], ...] = ()

    def axis(self, axis: int) -> int:
        """Convert an axis of the layer to an axis of the frame."""
        return self.frame.axes.index(axis)

    def place(self, place: Place) -> list[float]:
        """Convert a point of the layer to the frame."""
        return [place[axis] for axis in self.frame.axes]


Act = Callable[[CorrectionScene, Parts, Sequence[Place], Progress], Change]
"""The action of a tool on some objects, with the clicked or drawn points."""


def on_clicked(act: Callable[[CorrectionScene, int, Box], Change]) -> Act:
    """Wrap a function of one object as an act."""

    def on_one(
        scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
    ) -> Change:
        ((number, box),) = parts.items()
        return act(scene, number, box)

    return on_one


def on_outline(single: Callable[..., Change], every: Callable[..., Change], *, by: bool) -> Act:
    """Wrap functions that change the outline of one or of every object as an act."""

    def act(
        scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
    ) -> Change:
        given: dict[str, Any] = {"by": scene.options.pixels, "spacing": scene.spacing} if by else {}
        if places:
            ((number, box),) = parts.items()
            return single(scene.labels, box, number, **given)
        return every(scene.labels, parts, progress=progress, **given)

    return act


def join_objects(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
    """Merge objects into one, with the id of the first."""
    return fix.merge(scene.labels, parts)


def cut_along_line(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
    """Divide objects along a drawn line."""
    axes = [scene.axis(axis) for axis in sorted(scene.shown)]
    points = np.array([scene.place(place) for place in places])[:, axes]
    changes: list[Change] = []
    refused: list[InputError] = []
    first = scene.first
    for number, box in parts.items():
        try:
            change = fix.split_by_line(scene.labels, box, number, points, axes=axes, first=first)
        except InputError as error:
            refused.append(error)
            continue
        changes.append(change)
        first = max(first, int(change.after.max(initial=0)) + 1)
    if not changes and refused:
        raise refused[0]
    return Change.joined(changes, scene.labels)


def divide_at_seeds(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
    """Divide one object at the clicked points."""
    ((number, box),) = parts.items()
    seeds = [scene.place(place) for place in places]
    return fix.split_by_seeds(
        scene.labels, box, number, seeds, first=scene.first, spacing=scene.spacing
    )


def separate_parts(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
    """Give unconnected parts of objects new ids."""
    change = fix.separate_every(scene.labels, parts, first=scene.first, progress=progress)
    if not len(change):
        raise NothingToDo(
            f"Object {next(iter(parts))} is in one piece."
            if places
            else "Every object is in one piece."
        )
    return change


def delete_objects(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
    """Delete objects."""
    return fix.delete(scene.labels, parts)


def delete_small(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
    """Delete objects smaller than the option `size`, in pixels."""
    return fix.delete(scene.labels, fix.smaller_than(scene.labels, parts, scene.options.size))


def delete_at_border(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
    """Delete objects that touch the image border."""
    axes = [scene.axis(axis) for axis in scene.shown if axis in scene.frame.axes]
    return fix.delete(scene.labels, fix.at_border(scene.labels, parts, axes=axes))


def approve_objects(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
    """Lock objects as they are."""
    return fix.approve(scene.labels, parts)


def approve_in_view(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
    """Lock the objects that are on screen."""
    seen = fix.find_boxes(scene.labels[scene.view], progress=progress).ids().tolist()
    return fix.approve(scene.labels, {number: parts[number] for number in seen if number in parts})


def close_gaps(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
    """Number objects from 1 without a gap."""
    change = fix.renumber(scene.labels, parts)
    if not len(change):
        raise InputError(f"The {len(parts)} objects are numbered without a gap already.")
    return change


def depth_axis(scene: CorrectionScene) -> int:
    """Return the axis of the layer along which the viewer's planes are stacked."""
    hidden = [axis for axis in range(len(scene.here)) if axis not in scene.shown]
    if not hidden:
        raise InputError("These labels are one plane. This tool needs a stack.")
    return hidden[-1]


def fill_between(scene: CorrectionScene, number: int, box: Box) -> Change:
    """Interpolate an object on the planes between those it is drawn on."""
    return fix.interpolate(scene.labels, box, number, axis=scene.axis(depth_axis(scene)))


def copy_by(by: int) -> Act:
    """Make an act that copies an object to the plane `by` planes away."""

    def act(scene: CorrectionScene, number: int, box: Box) -> Change:
        axis = depth_axis(scene)
        here = scene.here[axis]
        return fix.copy_to_plane(
            scene.labels, box, number, source=here, target=here + by, axis=scene.axis(axis)
        )

    return on_clicked(act)


def draw_shapes(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
    """Turn each outline into an object, on background only."""
    if not scene.outlines:
        raise InputError("Choose a Shapes layer with polygons, rectangles or ellipses in it.")
    axes = [scene.axis(axis) for axis in sorted(scene.shown)]
    planes: dict[LabelsView, list[NDArray[np.float64]]] = {}
    for outline in scene.outlines:
        middle = np.rint(outline.mean(0)).astype(int).tolist()
        if all(at is None or at == middle[axis] for axis, at in enumerate(scene.frame.at)):
            inner = [middle[axis] for axis in scene.frame.axes]
            plane = LabelsView(tuple(None if k in axes else at for k, at in enumerate(inner)))
            planes.setdefault(plane, []).append(outline[:, sorted(scene.shown)])
    first, changes = scene.first, []
    for plane, outlines in planes.items():
        if not all(at is None or 0 <= at < n for at, n in _pairs(plane, scene)):
            continue
        change = fix.draw_outlines(plane.view(scene.labels), outlines, first=first)
        first = int(change.after.max()) + 1
        changes.append(plane.place(change))
    if not changes:
        raise InputError(
            "None of the shapes lies in these labels: go to their plane, or let the tools act on "
            "the stack."
        )
    return Change.joined(changes, scene.labels)


def _pairs(plane: LabelsView, scene: CorrectionScene) -> list[tuple[int | None, int]]:
    return list(zip(plane.at, scene.labels.shape, strict=True))


__all__ = [
    "Act",
    "CorrectOptions",
    "CorrectionScene",
    "Labels",
    "Place",
    "approve_in_view",
    "approve_objects",
    "close_gaps",
    "copy_by",
    "cut_along_line",
    "delete_at_border",
    "delete_objects",
    "delete_small",
    "depth_axis",
    "divide_at_seeds",
    "draw_shapes",
    "fill_between",
    "join_objects",
    "on_clicked",
    "on_outline",
    "separate_parts",
]
