"""Clicks, boxes and strokes that become objects one after another, without a window."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.prompts.prompt import Point, Prompt, ProposedObject

Plane = tuple[int, ...]
"""Index of a plane: one number for each axis of the labels before the last two."""

_NEAR = 0.3
"""Reach around an object within which a click still refines it, as a share of the root of its
area: well under the distance to the middle of a neighbour."""


@dataclass(frozen=True)
class Gesture:
    """One click, box or stroke in a plane.

    Parameters
    ----------
    kind
        More of an object (a click or a stroke in it), less of it (outside), or a box around it.
    plane
        The plane.
    points
        The click, the points along the stroke, or two opposite corners of the box.
    sure
        Whether it is meant for the object in the making, wherever it is.
    """

    kind: Literal["more", "less", "box"]
    plane: Plane
    points: tuple[Point, ...]
    sure: bool = False

    def added_to(self, prompt: Prompt) -> Prompt:
        """Return a prompt with this gesture as well."""
        if self.kind == "box":
            (y0, x0), (y1, x1) = self.points
            return prompt.with_box((y0, x0, y1, x1))
        add = prompt.with_inside if self.kind == "more" else prompt.with_outside
        return add(*self.points)


@dataclass(frozen=True, eq=False)
class Candidate:
    """An object in the making: the prompt so far, and the proposal for it.

    Parameters
    ----------
    plane
        Its plane.
    prompt
        The clicks, box and strokes.
    target
        Id of the object in the labels that it corrects, or 0 for a new one.
    proposed
        The proposal; None until there is one.
    """

    plane: Plane
    prompt: Prompt
    target: int = 0
    proposed: ProposedObject | None = None


class ClickState:
    """The candidate under the user's hand, and the one that a click at the mouse would make.

    A gesture makes a candidate to ask about, by `begun` or `refined`. The answer is taken in by
    `settle`. Nothing here touches labels.
    """

    def __init__(self) -> None:
        self.current: Candidate | None = None
        self.hovered: Candidate | None = None

    def refines(self, gesture: Gesture, number: int, reach: float = 0.0) -> bool:
        """Decide whether a gesture belongs to the current candidate, or begins another object.

        Parameters
        ----------
        number
            Id of the object in the labels where the gesture starts, or 0.
        reach
            Distance in pixels that counts as beside the candidate, whatever its size.
        """
        current = self.current
        if current is None or current.proposed is None or current.plane != gesture.plane:
            return False
        if gesture.sure or gesture.kind == "less":
            return True
        if gesture.kind == "box":
            return _holds(gesture, current.prompt)
        if number and number != current.target:
            return False
        near = max(reach, _NEAR * float(np.sqrt(current.proposed.area)))
        return reaches(current.proposed, gesture.points[0], near)

    def begun(self, gesture: Gesture, target: int) -> Candidate:
        """Return a candidate that a gesture begins: of a click in the outline shown, that one."""
        prompt, shown = gesture.added_to(Prompt()), self.hovered
        if (
            shown is not None
            and shown.proposed is not None
            and (shown.plane, shown.target) == (gesture.plane, target)
            and (gesture.kind, len(gesture.points)) == ("more", 1)
            and reaches(shown.proposed, gesture.points[0])
        ):
            return replace(shown, prompt=prompt)
        return Candidate(gesture.plane, prompt, target)

    def refined(self, gesture: Gesture) -> Candidate:
        """Return the current candidate with one more gesture; its proposal is the earlier one."""
        if self.current is None:
            raise ValueError("There is no candidate to refine.")
        return replace(self.current, prompt=gesture.added_to(self.current.prompt))

    def settle(self, asked: Candidate, proposed: ProposedObject | None) -> bool:
        """Take in the answer for a candidate; return whether there is an object.

        Without one, the current candidate stays as it was before the gesture.
        """
        if proposed is not None:
            self.current = replace(asked, proposed=proposed)
            self.hovered = None
        return proposed is not None

    def show(self, asked: Candidate, proposed: ProposedObject | None) -> None:
        """Take in the answer for a place under the mouse."""
        self.hovered = None if proposed is None else replace(asked, proposed=proposed)

    def take(self) -> Candidate | None:
        """Return the current candidate and let go of it."""
        current, self.current = self.current, None
        return current

    def clear(self) -> None:
        """Let go of everything."""
        self.current = self.hovered = None


def reaches(proposed: ProposedObject, point: Point, near: float = 0.0) -> bool:
    """Whether a point is in an object or within a distance of it."""
    away = near + 0.5
    window = tuple(slice(int(np.floor(at - away)), int(np.ceil(at + away)) + 1) for at in point)
    y, x = np.nonzero(proposed.within((window[0], window[1])))
    rows, columns = y + window[0].start - point[0], x + window[1].start - point[1]
    # A point in a pixel is up to half a pixel from its middle.
    inside = np.maximum(np.abs(rows), np.abs(columns)) <= 0.5
    return bool((inside | (rows**2 + columns**2 <= near**2)).any())


def cut_from(
    gesture: Gesture, labels: NDArray[np.integer], target: int, corner: tuple[int, int]
) -> Candidate:
    """Return a candidate that is an object of the labels with a part taken away by a gesture.

    Parameters
    ----------
    labels
        Ids in a box around the object in its plane.
    target
        Its id.
    corner
        First row and column of the box.
    """
    from scipy import ndimage

    mask = np.pad(labels == target, 1)
    depth = ndimage.distance_transform_edt(mask)[1:-1, 1:-1]
    y, x = np.indices(labels.shape)
    far = np.hypot(y + corner[0] - gesture.points[0][0], x + corner[1] - gesture.points[0][1])
    # The object is held where it is thick and far from what is taken away.
    at = np.unravel_index(int(np.argmax(depth * far)), labels.shape)
    held = Prompt(inside=((float(at[0] + corner[0]), float(at[1] + corner[1])),))
    whole = ProposedObject(labels == target, corner, 1.0)
    return Candidate(gesture.plane, gesture.added_to(held), target, whole)


def thinned(points: list[Point], most: int = 12) -> tuple[Point, ...]:
    """Return some points of a stroke, evenly apart, with the first and the last one."""
    n = min(len(points), most)
    return tuple(points[round(k)] for k in np.linspace(0, len(points) - 1, n))


def outline_edges(proposed: ProposedObject) -> NDArray[np.float64]:
    """Return the outline of an object along the edges of its pixels.

    Returns
    -------
    array
        Straight pieces, (n, 2, 2): their first point and the way from there to the last one, as
        rows and columns of the plane.
    """
    pieces = []
    for axis in (0, 1):
        mask = np.pad(np.moveaxis(proposed.mask, axis, 0), 1)
        between = np.diff(mask.astype(np.int8), axis=0) != 0
        runs = np.diff(np.pad(between, ((0, 0), (1, 1))).astype(np.int8), axis=1)
        (line, first), (_, last) = np.nonzero(runs == 1), np.nonzero(runs == -1)
        start = np.stack([line, first], 1) + np.array([-0.5, -1.5])
        way = np.stack([np.zeros_like(last), last - first], 1).astype(float)
        if axis:
            start, way = start[:, ::-1], way[:, ::-1]
        pieces.append(np.stack([start + proposed.origin, way], 1))
    return np.concatenate(pieces)


def _holds(box: Gesture, prompt: Prompt) -> bool:
    """Whether a box holds all clicks in an object."""
    (y0, x0), (y1, x1) = box.points
    rows, columns = sorted((y0, y1)), sorted((x0, x1))
    return bool(prompt.inside) and all(
        rows[0] <= y <= rows[1] and columns[0] <= x <= columns[1] for y, x in prompt.inside
    )


__all__ = [
    "Candidate",
    "ClickState",
    "Gesture",
    "Plane",
    "cut_from",
    "outline_edges",
    "reaches",
    "thinned",
]
