"""Carry an object of one plane of a stack through the planes above and below.

In each next plane the object is prompted with clicks deep in its last outline, and its last outline
is also fitted to the edges nearby; the better of the two is taken. The outline may move by as much
as a surface can in the physical distance between the planes, and the object ends where it loses its
contrast or its overlap. Planes that a person corrected are anchors: the object is carried on from
them, and between two of them it never ends.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.corrections.between_planes import shape_between
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image, read_pixels
from napari_unetseg.core.prompts.open_prompts import open_prompts
from napari_unetseg.core.prompts.prompt import (
    Mask,
    Point,
    Prompt,
    PromptSegmenter,
    ProposedObject,
    Taken,
    never,
    ring_around,
    taken_within,
    widened,
)

TakenPlane = Callable[[int], Taken]
"""Function from the number of a plane to its pixels that other objects have."""

SLOPE = 2.0
"""How far the outline may move, as a multiple of the distance between the planes."""

LEAST_REACH = 1.5
"""Pixels that the outline may always move."""

LEAST_OVERLAP = 0.5
"""Share of the smaller of two outlines that the other must cover."""

LEAST_CONTRAST = 0.35
"""Contrast to its surroundings at which an object ends, of its highest."""

MOST_CONTRAST = 2.0
"""Contrast at which another object begins, of the highest so far."""

LEAST_AREA = 4
"""Pixels of the smallest outline."""

_CLICKS = 3
_RING = 0.1
_BLUR = 0.06
_LOOSE = 2


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
        highest = self.reference(z, last)
        z += direction
        while 0 <= z < self.stack.length("Z") and z in wanted:
            found, strength, why = self.next_outline(z, last, highest)
            if found is not None and strength < LEAST_CONTRAST:
                found, why = None, "its contrast is lost"
            if self.cancelled():
                return
            yield CarriedPlane(z, found, why)
            if found is None:
                return
            highest = highest * max(strength, 1)
            last, z = found, z + direction

    def between(
        self, low: int, first: ProposedObject, high: int, second: ProposedObject, wanted: range
    ) -> Iterator[CarriedPlane]:
        """Yield the object between two anchors, near the shape between theirs."""
        highest = self.reference(low, first)
        box = _around(first, second)
        outlines = first.within(box), second.within(box)
        for z in range(low + 1, high):
            if z not in wanted:
                continue
            share = (z - low) / (high - low)
            mask = shape_between(*outlines, share)
            score = (1 - share) * first.score + share * second.score
            likely = ProposedObject(mask, (box[0].start, box[1].start), score)
            if not mask.any():
                likely = first if share < 0.5 else second  # two thin outlines without overlap
            found, strength, _ = self.next_outline(z, likely, highest)
            holds = found is not None and strength >= LEAST_CONTRAST
            yield CarriedPlane(z, found if holds else self.free(z, likely))

    def next_outline(
        self, z: int, last: ProposedObject, highest: NDArray[np.float64]
    ) -> tuple[ProposedObject | None, float, str]:
        """Return the object in a plane, by its outline in the plane before.

        Returns
        -------
        found, strength, why
            The object; its contrast, of the highest so far; why there is none.
        """
        reach = min(self.reach, max(_diameter(last) / 2, LEAST_REACH))
        candidates = [self.prompted(z, last), *self.fitted(z, last, highest, reach)]
        best: tuple[float, ProposedObject, float] | None = None
        why = "there is nothing at its place"
        for one in candidates:
            if one is None:
                continue
            found, overlap, why_not = self.within_reach(last, one, reach)
            if found is None:
                why = why_not
                continue
            # What lies beyond its reach is still of the object, if perhaps of others too.
            strength = self.strength(z, one, highest)
            if strength > MOST_CONTRAST:
                why = "something else begins"
                continue
            worth = min(max(strength, 0.0), 1.0) * overlap
            if best is None or worth > best[0]:
                best = worth, found, strength
        return (None, 0.0, why) if best is None else (best[1], best[2], "")

    def prompted(self, z: int, last: ProposedObject) -> ProposedObject | None:
        """Return the object that is proposed for clicks deep in its last outline."""
        return self.open_plane(plane_of(self.stack, z)).propose(
            Prompt(inside=clicks_in(last, self.reach)),
            previous=last,
            taken=self.taken(z),
            size=_diameter(last),
            cancelled=self.cancelled,
        )

    def fitted(
        self, z: int, last: ProposedObject, highest: NDArray[np.float64], reach: float
    ) -> list[ProposedObject]:
        """Return the last outline moved to edges, ridges and a level of grey within its reach."""
        from scipy import ndimage
        from skimage.segmentation import watershed

        box = widened(last.slices, round(2 * reach) + 2, self.stack.spatial_shape[-2:])
        before = last.within(box)
        depth = ndimage.distance_transform_edt(np.pad(before, 1))[1:-1, 1:-1]
        away = ndimage.distance_transform_edt(~before)
        markers = np.zeros(before.shape, np.int32)
        markers[depth > min(reach, 0.6 * float(depth.max()))] = 1
        markers[(away > reach) | self.taken_in(z, box)] = 2
        if not (markers == 2).any():
            return []
        # In these units the object is brighter than its surroundings.
        grey = np.tensordot(highest, np.nan_to_num(self.pixels(z, box)), 1)
        width = max(1.0, _BLUR * _diameter(last))
        smooth = ndimage.gaussian_filter(grey, width)
        middle = (_mean(smooth, markers == 1) + _mean(smooth, (markers == 2) & (away > 0))) / 2
        edges = watershed(ndimage.gaussian_gradient_magnitude(grey, width), markers)
        ridges = watershed(-ndimage.gaussian_filter(grey, 1.0), markers)
        bright = np.where(markers > 0, markers, np.where(smooth > middle, 1, 2))
        fitted = []
        for found in (edges, ridges, bright):
            mask = _largest((found == 1) & (markers < 2))
            if mask.any():
                origin = box[0].start, box[1].start
                fitted.append(ProposedObject(mask, origin, last.score))
        return fitted

    def within_reach(
        self, last: ProposedObject, one: ProposedObject, reach: float
    ) -> tuple[ProposedObject | None, float, str]:
        """Return what an outline has within reach of the last, its overlap, or what is wrong."""
        from scipy import ndimage

        box = widened(_around(last, one), round(reach) + 1, self.stack.spatial_shape[-2:])
        before, now = last.within(box), one.within(box)
        kept = _largest(now & (ndimage.distance_transform_edt(~before) <= reach))
        area, earlier = np.count_nonzero(kept), np.count_nonzero(before)
        if area < LEAST_AREA:
            return None, 0.0, "nothing of its outline is left"
        if area < 0.5 * np.count_nonzero(now):
            return None, 0.0, "its outline runs into something else"
        both = np.count_nonzero(kept & before)
        if both < LEAST_OVERLAP * min(area, earlier):
            return None, 0.0, "it is at another place"
        return _shaped(one, kept, box), both / (area + earlier - both), ""

    def strength(self, z: int, found: ProposedObject, highest: NDArray[np.float64]) -> float:
        """Return the contrast of an object, of the highest so far."""
        return float(self.contrast(z, found) @ highest) / max(float(highest @ highest), 1e-12)

    def free(self, z: int, found: ProposedObject) -> ProposedObject:
        """Return an outline without the pixels that other objects have."""
        kept = found.mask & ~self.taken_in(z, found.slices)
        return ProposedObject(kept, found.origin, found.score)

    def taken_in(self, z: int, box: tuple[slice, slice]) -> Mask:
        """Return the pixels of a window that other objects have."""
        return taken_within(self.taken(z), box)

    def reference(self, z: int, found: ProposedObject) -> NDArray[np.float64]:
        """Return the contrast of an outline, or of a somewhat larger one if that has more."""
        from scipy import ndimage

        best = own = self.contrast(z, found)
        box = widened(found.slices, _LOOSE, self.stack.spatial_shape[-2:])
        origin = box[0].start, box[1].start
        away = ndimage.distance_transform_edt(~found.within(box))
        for by in range(1, _LOOSE + 1):
            larger = ProposedObject(away <= by, origin, found.score)
            contrast = self.contrast(z, larger)
            # That of a wall around the object is of the other sign.
            if float(contrast @ own) > float(best @ own):
                best = contrast
        return best

    def contrast(self, z: int, found: ProposedObject) -> NDArray[np.float64]:
        """Return the mean of an object less that of its surroundings, for each channel."""

        width = max(2, round(_RING * float(np.sqrt(found.area))))
        box = widened(found.slices, width, self.stack.spatial_shape[-2:])
        own = found.within(box)
        ring = ring_around(own, width)
        free = ring & ~self.taken_in(z, box)
        ring = free if free.any() else ring
        return np.array([_mean(one, own) - _mean(one, ring) for one in self.pixels(z, box)])

    def pixels(self, z: int, box: tuple[slice, slice]) -> NDArray[np.float64]:
        """Return the pixels of a window of a plane: (C, Y, X)."""
        plane = plane_of(self.stack, z)
        index = tuple(box["YX".index(a)] if a in "YX" else slice(None) for a in plane.axes)
        pixels = read_pixels(plane.data[index]).astype(np.float64)
        at = plane.axes.find("C")
        return pixels[None] if at < 0 else np.moveaxis(pixels, at, 0)


def clicks_in(
    found: ProposedObject, margin: float, *, most: int = _CLICKS, apart: float = 0.0
) -> tuple[Point, ...]:
    """Return clicks deep in an object, the deepest first, far from each other.

    Parameters
    ----------
    margin
        Pixels from the outline that further clicks keep.
    most
        Largest number of clicks.
    apart
        Least distance of clicks; by default the depth of the object, which must then be at least
        six tenths as deep at all of them.
    """

    depth = found.depths()
    deepest = float(depth.max())
    clicks = [np.unravel_index(int(depth.argmax()), depth.shape)]
    inner = np.argwhere(depth >= (apart / 4 if apart else max(0.6 * deepest, margin)))
    away = np.full(len(inner), np.inf)
    while len(clicks) < most and len(inner):
        away = np.minimum(away, np.hypot(*(inner - clicks[-1]).T))
        if away.max() < (apart or deepest):
            break
        clicks.append(tuple(inner[away.argmax()]))
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


def _diameter(found: ProposedObject) -> float:
    return 2 * float(np.sqrt(found.area / np.pi))


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
