"""Carry an object of one plane of a stack through the planes above and below.

In each next plane the object is prompted with clicks deep in its last outline. It may change by as
much as its surface can move in the physical distance between the planes, and it ends where it loses
its contrast, its overlap or its outline. Planes that a person corrected are anchors: the object is
carried on from them, and between two of them it never ends.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.corrections.between_planes import shape_between
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.prompts.open_prompts import open_prompts
from napari_unetseg.core.prompts.prompt import (
    Mask,
    Point,
    Prompt,
    PromptSegmenter,
    ProposedObject,
    Taken,
    never,
)

TakenPlane = Callable[[int], Taken]
"""Function from the number of a plane to its pixels that other objects have."""

SLOPE = 2.0
"""How far the outline may move, as a multiple of the distance between the planes."""

LEAST_REACH = 1.5
"""Pixels that the outline may always move."""

LEAST_OVERLAP = 0.5
"""Share of the smaller of two outlines that the other must cover."""

LEAST_CONTRAST = 0.5
"""Contrast to its surroundings at which an object ends, of its highest: half, as blur has it."""

LEAST_AREA = 4
"""Pixels of the smallest outline."""

_CLICKS = 3
_RING = 0.2


@dataclass(frozen=True, eq=False)
class CarriedPlane:
    """An object in one plane, or the reason why it ends before that plane.

    Parameters
    ----------
    z
        Number of the plane, from 0.
    found
        The object; None where it ends.
    why
        Reason of the end, as the end of a sentence; empty while it goes on.
    """

    z: int
    found: ProposedObject | None
    why: str = ""


def carry_planes(
    stack: Image,
    anchors: Mapping[int, ProposedObject],
    *,
    taken: TakenPlane = lambda z: None,
    within: range | None = None,
    open_plane: Callable[[Image], PromptSegmenter] = open_prompts,
    cancelled: Callable[[], bool] = never,
) -> Iterator[CarriedPlane]:
    """Yield an object plane by plane, nearest to its anchors first.

    Parameters
    ----------
    stack
        Axes ZYX, with or without channels; only windows around the object are read.
    anchors
        The object in one plane or several, by number of the plane. These are not yielded.
    taken
        Pixels of other objects, which are not entered.
    within
        The planes to compute; all when missing.
    open_plane
        Function that opens a plane (an image of the axes YX, with or without channels) for prompts.
    cancelled
        Asked between the planes and by the segmenter; the iteration ends when it is true.

    Yields
    ------
    CarriedPlane
        At each of the two ends, inside the stack, one without an object, with the reason.

    Raises
    ------
    InputError
        When there is no anchor, or one is outside the stack or empty.
    """
    depth = stack.length("Z")
    wanted = range(depth) if within is None else within
    _check(stack, anchors)
    carrier = _Carrier(stack, open_plane, taken, cancelled)
    known = sorted(anchors)
    steps = [
        carrier.between(low, anchors[low], high, anchors[high], wanted)
        for low, high in pairwise(known)
    ]
    steps.append(carrier.onward(known[-1], anchors[known[-1]], 1, wanted))
    steps.append(carrier.onward(known[0], anchors[known[0]], -1, wanted))
    while steps:
        for one in list(steps):
            if cancelled():
                return
            plane = next(one, None)
            if plane is None:
                steps.remove(one)
            else:
                yield plane


@dataclass(frozen=True, eq=False)
class _Carrier:
    stack: Image
    open_plane: Callable[[Image], PromptSegmenter]
    taken: TakenPlane
    cancelled: Callable[[], bool]

    @property
    def reach(self) -> float:
        """Pixels that an outline may move from a plane to the next."""
        z, y, x = self.stack.spacing
        return max(LEAST_REACH, SLOPE * z / min(y, x))

    def onward(
        self, z: int, last: ProposedObject, direction: int, wanted: range
    ) -> Iterator[CarriedPlane]:
        """Yield the object beyond an anchor, up to its end."""
        highest = self.contrast(z, last)
        z += direction
        while 0 <= z < self.stack.length("Z") and z in wanted:
            found, whole, why = self.next_outline(z, last)
            if found is not None and whole is not None:
                # What lies beyond its reach is still of the object, if perhaps of others too.
                contrast = self.contrast(z, whole)
                strength = float(contrast @ highest) / max(float(highest @ highest), 1e-12)
                if strength < LEAST_CONTRAST:
                    found, why = None, "its contrast is lost"
                elif strength > 1:
                    highest = contrast
            if self.cancelled():
                return
            yield CarriedPlane(z, found, why)
            if found is None:
                return
            last, z = found, z + direction

    def between(
        self, low: int, first: ProposedObject, high: int, second: ProposedObject, wanted: range
    ) -> Iterator[CarriedPlane]:
        """Yield the object between two anchors, near the shape between theirs."""
        box = _around(first, second)
        outlines = _cut(first, box), _cut(second, box)
        for z in range(low + 1, high):
            if z not in wanted:
                continue
            share = (z - low) / (high - low)
            mask = shape_between(*outlines, share)
            score = (1 - share) * first.score + share * second.score
            likely = ProposedObject(mask, (box[0].start, box[1].start), score)
            if not mask.any():
                likely = first if share < 0.5 else second  # two thin outlines without overlap
            found, _, _ = self.next_outline(z, likely)
            yield CarriedPlane(z, found or self.free(z, likely))

    def next_outline(
        self, z: int, last: ProposedObject
    ) -> tuple[ProposedObject | None, ProposedObject | None, str]:
        """Return the object in a plane, by its outline in the plane before.

        Returns
        -------
        found, whole, why
            The object within its reach, as it was proposed, and why there is none.
        """
        from scipy import ndimage

        diameter = 2 * float(np.sqrt(last.area / np.pi))
        reach = min(self.reach, max(diameter / 2, LEAST_REACH))
        prompt = Prompt(inside=clicks_in(last, self.reach))
        found = self.open_plane(plane_of(self.stack, z)).propose(
            prompt,
            previous=last,
            taken=self.taken(z),
            size=diameter,
            cancelled=self.cancelled,
        )
        if found is None:
            return None, found, "there is nothing at its place"
        box = _padded(_around(last, found), round(reach) + 1, self.stack.spatial_shape[-2:])
        before, now = _cut(last, box), _cut(found, box)
        near = ndimage.distance_transform_edt(~before) <= reach
        kept = _largest(now & near)
        area = np.count_nonzero(kept)
        if area < LEAST_AREA:
            return None, found, "nothing of its outline is left"
        if area < 0.5 * np.count_nonzero(now):
            return None, found, "its outline runs into something else"
        overlap = np.count_nonzero(kept & before) / min(area, np.count_nonzero(before))
        if overlap < LEAST_OVERLAP:
            return None, found, "it is at another place"
        return _shaped(found, kept, box), found, ""

    def free(self, z: int, found: ProposedObject) -> ProposedObject:
        """Return an outline without the pixels that other objects have."""
        kept = found.mask & ~self.taken_in(z, found.slices)
        return ProposedObject(kept, found.origin, found.score)

    def taken_in(self, z: int, box: tuple[slice, slice]) -> Mask:
        """Return the pixels of a window that other objects have."""
        taken = self.taken(z)
        if taken is None:
            return np.zeros([part.stop - part.start for part in box], np.bool_)
        return np.asarray(taken(box) if callable(taken) else taken[box]) > 0

    def contrast(self, z: int, found: ProposedObject) -> NDArray[np.float64]:
        """Return the mean of an object less that of its surroundings, for each channel."""
        from scipy import ndimage

        width = max(2, round(_RING * float(np.sqrt(found.area))))
        box = _padded(found.slices, width, self.stack.spatial_shape[-2:])
        own = _cut(found, box)
        ring = (ndimage.distance_transform_edt(~own) <= width) & ~own
        free = ring & ~self.taken_in(z, box)
        ring = free if free.any() else ring
        plane = plane_of(self.stack, z)
        index = tuple(
            box[-2] if a == "Y" else box[-1] if a == "X" else slice(None) for a in plane.axes
        )
        pixels = np.asarray(plane.data[index], np.float64)
        channels = (
            np.moveaxis(pixels, plane.axes.index("C"), 0) if "C" in plane.axes else pixels[None]
        )
        return np.array([_mean(one, own) - _mean(one, ring) for one in channels])


def clicks_in(found: ProposedObject, margin: float) -> tuple[Point, ...]:
    """Return clicks deep in an object, the deepest first, far from each other.

    Parameters
    ----------
    margin
        Pixels from the outline that further clicks keep.
    """
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(np.pad(found.mask, 1))[1:-1, 1:-1]
    deepest = float(depth.max())
    clicks = [np.unravel_index(int(depth.argmax()), depth.shape)]
    inner = np.argwhere(depth >= max(0.6 * deepest, margin))
    while len(clicks) < _CLICKS and len(inner):
        apart = np.min([np.hypot(*(inner - click).T) for click in clicks], axis=0)
        if apart.max() < deepest:
            break
        clicks.append(tuple(inner[apart.argmax()]))
    return tuple((float(y + found.origin[0]), float(x + found.origin[1])) for y, x in clicks)


def plane_of(stack: Image, z: int) -> Image:
    """Return a plane of a stack (C, Z, Y, X in any order) as an image, without reading it."""
    index = tuple(z if axis == "Z" else slice(None) for axis in stack.axes)
    axes = stack.axes.replace("Z", "")
    return stack.like(stack.data[index], axes, rgb=stack.rgb, channel_names=stack.channel_names)


def _check(stack: Image, anchors: Mapping[int, ProposedObject]) -> None:
    if stack.axes.replace("C", "") != "ZYX":
        raise InputError(
            f"Objects are carried through the planes of a stack, but the axes are {stack.axes}. "
            "Give an image with the axes ZYX, with or without channels."
        )
    if not anchors:
        raise InputError("There is no object to carry. Mark it in one plane first.")
    depth = stack.length("Z")
    for z, found in anchors.items():
        if not 0 <= z < depth:
            raise InputError(f"There is no plane {z}: the planes are 0 to {depth - 1}.")
        if not found.mask.any():
            raise InputError(f"The object has no pixel in plane {z}. Mark it in another plane.")


def _around(one: ProposedObject, other: ProposedObject) -> tuple[slice, slice]:
    """Return a box around two objects."""
    y, x = (
        slice(min(a.start, b.start), max(a.stop, b.stop))
        for a, b in zip(one.slices, other.slices, strict=True)
    )
    return y, x


def _padded(box: tuple[slice, slice], by: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    y, x = (
        slice(max(part.start - by, 0), min(part.stop + by, length))
        for part, length in zip(box, shape, strict=True)
    )
    return y, x


def _cut(found: ProposedObject, box: tuple[slice, slice]) -> Mask:
    """Return the mask of an object in a box that contains it."""
    mask = np.zeros([part.stop - part.start for part in box], np.bool_)
    (y, x), (height, width) = found.origin, found.mask.shape
    top, left = y - box[0].start, x - box[1].start
    mask[top : top + height, left : left + width] = found.mask
    return mask


def _shaped(found: ProposedObject, kept: Mask, box: tuple[slice, slice]) -> ProposedObject:
    """Return an object cut down to a mask of a box, with its probability in the smaller window."""
    rows, columns = (np.flatnonzero(kept.any(axis)) for axis in (1, 0))
    inner = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    origin = box[0].start + inner[0].start, box[1].start + inner[1].start
    probability = None
    if found.probability is not None:
        whole = np.zeros(kept.shape, np.float32)
        top, left = found.origin[0] - box[0].start, found.origin[1] - box[1].start
        height, width = found.probability.shape
        whole[top : top + height, left : left + width] = found.probability
        probability = whole[inner]
    return ProposedObject(kept[inner], origin, found.score, probability)


def _largest(mask: Mask) -> Mask:
    """Return the largest connected piece of a mask."""
    from scipy import ndimage

    pieces, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(pieces == int(sizes.argmax()))


def _mean(pixels: NDArray[Any], where: Mask) -> float:
    """Return the mean of the known pixels of a mask; 0 if there is none."""
    values = pixels[where]
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else 0.0


__all__ = ["CarriedPlane", "TakenPlane", "carry_planes", "clicks_in", "plane_of"]
