"""What the tools of the Correct dock do: a scene, objects and places become a change of labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core import corrections as fix
from napari_unetseg.core.corrections import Change, LabelsView, Parts
from napari_unetseg.core.corrections.locked_pixels import Box
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.options import Options, option
from napari_unetseg.core.progress import Progress

Labels = NDArray[Any]
Place = tuple[float, ...]
"""A place in the whole layer, in pixels."""


class CorrectOptions(Options):
    """How far the tools go, and on what."""

    pixels: int = option(
        2,
        "Pixels",
        "How far Grow and Shrink go, and how wide a spur or dent Smooth takes away. In pixels of "
        "the finest axis.",
        ge=1,
        le=50,
    )
    size: int = option(
        50, "Small is under", "Small deletes objects of fewer pixels than this.", ge=2, le=10**9
    )
    target: Literal["the object I click", "every object"] = option(
        "the object I click",
        "Shape tools on",
        "Fill holes, Smooth, Grow, Shrink and Apart change the object you click, or every object "
        "at once.",
    )
    spare: bool = option(
        True,
        "Spare my objects",
        "Tools that go over every object leave out those that you drew, corrected or approved.",
    )


@dataclass(frozen=True, eq=False)
class CorrectionScene:
    """What a tool sees: the labels of one plane, stack or layer, and where their objects are.

    Parameters
    ----------
    labels
        In the frame, a view.
    parts
        The objects there.
    frame
        Which part of the layer it is.
    shown
        The axes on screen, of the layer: two, or three in the 3D view.
    here
        Where the viewer is along each axis of the layer.
    first
        The smallest id above all in use.
    spacing
        Physical size of a pixel along the frame's axes.
    options
        As the form stands.
    view
        The part on screen, one slice for each axis of the frame.
    outlines
        Of the chosen Shapes layer: (n, ndim) each, in pixels of the layer.
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
        """Return which of the frame's axes an axis of the layer is."""
        return self.frame.axes.index(axis)

    def place(self, place: Place) -> list[float]:
        """Return a place of the layer in the frame."""
        return [place[axis] for axis in self.frame.axes]


Act = Callable[[CorrectionScene, Parts, Sequence[Place], Progress], Change]
"""What a tool does: to some objects, with the places that were clicked or drawn."""


def on_clicked(act: Callable[[CorrectionScene, int, Box], Change]) -> Act:
    """Make an act of what changes one object."""

    def on_one(
        scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
    ) -> Change:
        ((number, box),) = parts.items()
        return act(scene, number, box)

    return on_one


def on_outline(single: Callable[..., Change], every: Callable[..., Change], *, by: bool) -> Act:
    """Make an act of what changes an outline, of one object or of every one."""

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
    """Make one object of all, with the id of the first."""
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
    """Divide one object among places that were clicked in it."""
    ((number, box),) = parts.items()
    seeds = [scene.place(place) for place in places]
    return fix.split_by_seeds(
        scene.labels, box, number, seeds, first=scene.first, spacing=scene.spacing
    )


def separate_parts(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
    """Give parts that do not touch ids of their own."""
    change = fix.separate_every(scene.labels, parts, first=scene.first, progress=progress)
    if not len(change):
        raise InputError(
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
    """Delete objects that touch the border of the picture."""
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
    """Return the axis of the layer that the viewer's planes follow each other along."""
    hidden = [axis for axis in range(len(scene.here)) if axis not in scene.shown]
    if not hidden:
        raise InputError("These labels are one plane. This tool takes a stack.")
    return hidden[-1]


def fill_between(scene: CorrectionScene, number: int, box: Box) -> Change:
    """Fill an object in on planes between those it is drawn on."""
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
    """Make an object of each outline, on background."""
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
