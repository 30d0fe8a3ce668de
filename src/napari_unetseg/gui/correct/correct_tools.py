"""The tools of the Correct dock: what each is called, how the hand uses it, and what it does."""

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


@dataclass(frozen=True)
class ToolKind:
    """One tool.

    Parameters
    ----------
    name, text, key, group
        Its own name, the word on its button, its key on the canvas, and where its button stands.
    hand
        What the hand does: click an object, click or stroke over several, draw a line, set seeds,
        or nothing but press the button.
    hint
        What to do next.
    help
        What comes of it.
    act
        What it does.
    flat
        Whether it needs the 2D view.
    planes
        Whether it takes a stack of planes.
    every
        Whether it also goes over every object at once.
    done
        What is said when it was done.
    ink
        Whether what it did is ink.
    """

    name: str
    text: str
    key: str
    group: str
    hand: Literal["click", "several", "line", "seeds", "now"]
    hint: str
    help: str
    act: Act
    done: str
    flat: bool = False
    planes: bool = False
    every: bool = False
    ink: bool = True


def _single(act: Callable[[CorrectionScene, int, Box], Change]) -> Act:
    """Make an act of what changes one object."""

    def on_one(
        scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
    ) -> Change:
        ((number, box),) = parts.items()
        return act(scene, number, box)

    return on_one


def _either(single: Callable[..., Change], every: Callable[..., Change], *, by: bool) -> Act:
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


def _merge(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
    return fix.merge(scene.labels, parts)


def _cut(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
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


def _seeds(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
    ((number, box),) = parts.items()
    seeds = [scene.place(place) for place in places]
    return fix.split_by_seeds(
        scene.labels, box, number, seeds, first=scene.first, spacing=scene.spacing
    )


def _apart(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
    change = fix.separate_every(scene.labels, parts, first=scene.first, progress=progress)
    if not len(change):
        raise InputError(
            f"Object {next(iter(parts))} is in one piece."
            if places
            else "Every object is in one piece."
        )
    return change


def _delete(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
    return fix.delete(scene.labels, parts)


def _small(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
    return fix.delete(scene.labels, fix.smaller_than(scene.labels, parts, scene.options.size))


def _border(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
    axes = [scene.axis(axis) for axis in scene.shown if axis in scene.frame.axes]
    return fix.delete(scene.labels, fix.at_border(scene.labels, parts, axes=axes))


def _approve(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
    return fix.approve(scene.labels, parts)


def _in_view(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
    seen = fix.find_boxes(scene.labels[scene.view], progress=progress).ids().tolist()
    return fix.approve(scene.labels, {number: parts[number] for number in seen if number in parts})


def _renumber(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
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


def _interpolate(scene: CorrectionScene, number: int, box: Box) -> Change:
    return fix.interpolate(scene.labels, box, number, axis=scene.axis(depth_axis(scene)))


def _copy(by: int) -> Act:
    def act(scene: CorrectionScene, number: int, box: Box) -> Change:
        axis = depth_axis(scene)
        here = scene.here[axis]
        return fix.copy_to_plane(
            scene.labels, box, number, source=here, target=here + by, axis=scene.axis(axis)
        )

    return _single(act)


def _shapes(
    scene: CorrectionScene, parts: Parts, places: Sequence[Place], progress: Progress
) -> Change:
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


_CUT_HINT = "Draw across the object with the mouse pressed, from outside to outside."

TOOLS = (
    ToolKind(
        "merge",
        "Merge",
        "J",
        "Join and divide",
        "several",
        "Click the first object to merge, or drag a stroke over several.",
        "Objects become one, with the id of the first.",
        _merge,
        "Merged {ids}.",
    ),
    ToolKind(
        "line",
        "Cut",
        "K",
        "Join and divide",
        "line",
        _CUT_HINT,
        "Divide objects along a line that you draw across them. In a stack, Act on says whether "
        "it cuts this plane or all of the object.",
        _cut,
        "Cut {ids}.",
        flat=True,
    ),
    ToolKind(
        "seeds",
        "Seeds",
        "S",
        "Join and divide",
        "seeds",
        "Click a place in each piece of one object, then press Enter.",
        "Divide an object among places that you click in it, at its waists.",
        _seeds,
        "Divided {ids}.",
        flat=True,
    ),
    ToolKind(
        "apart",
        "Apart",
        "U",
        "Join and divide",
        "click",
        "Click an object whose parts do not touch.",
        "Parts of an object that do not touch get ids of their own.",
        _apart,
        "Separated {ids}.",
        every=True,
    ),
    ToolKind(
        "delete",
        "Delete",
        "D",
        "Delete",
        "click",
        "Click the object to delete.",
        "Delete the objects you click.",
        _delete,
        "Deleted {ids}.",
    ),
    ToolKind(
        "selected",
        "Selected",
        "Delete",
        "Delete",
        "now",
        "",
        "Delete the object whose number is selected in napari's layer controls.",
        _delete,
        "Deleted {ids}.",
    ),
    ToolKind(
        "small",
        "Small",
        "Shift-D",
        "Delete",
        "now",
        "",
        "Delete objects of fewer pixels than the form says.",
        _small,
        "Deleted {n}.",
        every=True,
    ),
    ToolKind(
        "border",
        "At border",
        "Shift-B",
        "Delete",
        "now",
        "",
        "Delete objects that touch the border of the picture: cut off, hence of no true size. In a "
        "stack, the border of its planes.",
        _border,
        "Deleted {n}.",
        every=True,
    ),
    ToolKind(
        "fill",
        "Fill holes",
        "H",
        "Outline",
        "click",
        "Click the object to fill.",
        "Fill the background that an object encloses.",
        _either(fix.fill_holes, fix.fill_every, by=False),
        "Filled {ids}.",
        every=True,
    ),
    ToolKind(
        "smooth",
        "Smooth",
        "O",
        "Outline",
        "click",
        "Click the object to smooth.",
        "Take away spurs and dents that are narrower than the form says.",
        _either(fix.smooth, fix.smooth_every, by=True),
        "Smoothed {ids}.",
        every=True,
    ),
    ToolKind(
        "grow",
        "Grow",
        "G",
        "Outline",
        "click",
        "Click the object to grow.",
        "Grow by as many pixels as the form says, not over neighbours.",
        _either(fix.grow, fix.grow_every, by=True),
        "Grew {ids}.",
        every=True,
    ),
    ToolKind(
        "shrink",
        "Shrink",
        "Shift-G",
        "Outline",
        "click",
        "Click the object to shrink.",
        "Shrink by as many pixels as the form says.",
        _either(fix.shrink, fix.shrink_every, by=True),
        "Shrank {ids}.",
        every=True,
    ),
    ToolKind(
        "interpolate",
        "Fill between",
        "I",
        "Draw",
        "click",
        "Click an object that is drawn on some planes with gaps between.",
        "Fill an object in between the planes that it is drawn on.",
        _single(_interpolate),
        "Filled {ids} in.",
        flat=True,
        planes=True,
    ),
    ToolKind(
        "next",
        "To next",
        "C",
        "Draw",
        "click",
        "Click the object to copy to the next plane.",
        "Copy what an object is on this plane to the next one, and go there.",
        _copy(1),
        "Copied {ids}.",
        flat=True,
        planes=True,
    ),
    ToolKind(
        "previous",
        "To previous",
        "Shift-C",
        "Draw",
        "click",
        "Click the object to copy to the previous plane.",
        "Copy what an object is on this plane to the one before, and go there.",
        _copy(-1),
        "Copied {ids}.",
        flat=True,
        planes=True,
    ),
    ToolKind(
        "shapes",
        "From shapes",
        "T",
        "Draw",
        "now",
        "",
        "Make an object of each polygon, rectangle and ellipse of the Shapes layer, on background.",
        _shapes,
        "Drew {n}.",
        flat=True,
    ),
    ToolKind(
        "approve",
        "Approve",
        "A",
        "Keep and tidy",
        "click",
        "Click an object that is right.",
        "An object that you approve is ink: no run changes it.",
        _approve,
        "Approved {ids}.",
    ),
    ToolKind(
        "view",
        "All in view",
        "Shift-A",
        "Keep and tidy",
        "now",
        "",
        "Approve every object that is on screen now.",
        _in_view,
        "Approved {n}.",
    ),
    ToolKind(
        "renumber",
        "Renumber",
        "R",
        "Keep and tidy",
        "now",
        "",
        "Number the objects of the layer from 1 without a gap. Only those with the largest numbers "
        "change, to fill the gaps. Changes no outline, hence makes no ink.",
        _renumber,
        "Renumbered {n}.",
        ink=False,
    ),
)

__all__ = [
    "TOOLS",
    "Act",
    "CorrectOptions",
    "CorrectionScene",
    "Labels",
    "Place",
    "ToolKind",
    "depth_axis",
]
