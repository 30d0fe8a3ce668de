"""Find the other objects of a plane that are like a few kept ones.

A pixel model is fitted to the kept objects and the pixels around them; where it finds objects of
their width, the segmenter of prompts is asked for an outline. Each candidate has a likeness, so
that a slider filters them without computing again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image, read_pixels
from napari_unetseg.core.progress import Progress, part, silent, track
from napari_unetseg.core.prompts.carry_planes import clicks_in
from napari_unetseg.core.prompts.open_prompts import open_prompts
from napari_unetseg.core.prompts.prompt import (
    Mask,
    Point,
    Prompt,
    PromptSegmenter,
    ProposedObject,
    Taken,
    pixel_of,
    ring_around,
    taken_within,
    widened,
)

FloatArray = NDArray[np.float32]
Window = tuple[slice, slice]

LIKELY = 0.5
"""Likeness above which proposals are shown at first."""

BLOCK = 1024
"""Side of the part of the plane in which places are looked for at once."""

OVERLAP = 0.3
"""Share of a candidate that others may have; more is the same object again."""

MOST = 30
"""Number of examples that the pixel model is fitted to."""

_CONTEXT = 32
_PIXELS = 6000
_PARTS, _PART = 8, 48
_DOUBTED, _NONE = 0.3, 64
_CLICKS = 60
_STEP, _GRID, _HINT = 0.6, 400, 25
_NARROW, _WIDE = 0.2, 0.5
_BLUR = 0.06
_SURE = 0.6
_OF_PIECE = 0.6


@dataclass(frozen=True, eq=False)
class SimilarObject:
    """A candidate and how much it is like the kept objects, from 0 to 1."""

    found: ProposedObject
    likeness: float


def find_similar(
    plane: Image,
    kept: Sequence[ProposedObject],
    *,
    taken: Taken = None,
    segmenter: PromptSegmenter | None = None,
    progress: Progress = silent,
) -> list[SimilarObject]:
    """Propose the objects of a plane that are like the kept ones.

    Parameters
    ----------
    plane
        Axes YX, with or without channels; read block by block.
    kept
        One object or more, which are not proposed again.
    taken
        Pixels of other objects, which are not entered.
    segmenter
        Proposes outlines; opened on the plane when missing.
    progress
        Called all the time; may raise `Cancelled`.

    Returns
    -------
    list of SimilarObject
        The most alike first. They do not overlap each other, the kept or the taken pixels.

    Raises
    ------
    InputError
        When nothing is kept, the image is no plane, or without torch.

    Notes
    -----
    Likeness is a Gaussian of the mean squared deviation of size, width, elongation, roundness,
    brightness and contrast from those of the kept objects, in units of a spread that is assumed for
    one object and learnt from more; times the share of the candidate that looks like them.
    """
    if plane.axes.replace("C", "") != "YX":
        raise InputError(
            f"Similar objects are looked for in one plane, but the axes are {plane.axes}. Take one "
            "plane of the image."
        )
    kept = [one for one in kept if one.mask.any()]
    if not kept:
        raise InputError("There is no object to be like. Keep one or a few objects first.")
    closed = _Closed(plane.spatial_shape, kept, taken)
    asked = segmenter or open_prompts(plane, size=_diameter(kept))
    search = _Search(plane, asked, closed, _Looks(plane, kept))
    some = kept[:: -(-len(kept) // MOST)]
    likely = foreground(plane, some, closed, progress=part(progress, 0, 0.3))
    pieces = search.rated(likely, part(progress, 0.3, 0.35), ask=False)
    sure = [one.found for one in pieces if one.likeness >= _SURE][: MOST - len(some)]
    again = part(progress, 0.35, 0.6)
    likely = foreground(plane, [*some, *sure], closed, before=likely, progress=again)
    found = search.rated(likely, part(progress, 0.6, 1), ask=True)
    progress(1.0, "")
    return found


def cut_objects(ids: NDArray[Any], numbers: Sequence[int]) -> list[ProposedObject]:
    """Return objects of a plane of labels (Y, X); those that are not there are left out."""
    from scipy import ndimage

    wanted = np.unique(np.asarray(numbers, ids.dtype))
    place = np.minimum(np.searchsorted(wanted, ids), max(len(wanted) - 1, 0))
    order = (
        np.where(wanted[place] == ids, place + 1, 0).astype(np.int32) if len(wanted) else ids * 0
    )
    return [
        ProposedObject(order[box] == k, (box[0].start, box[1].start), 1.0)
        for k, box in enumerate(ndimage.find_objects(order), 1)
        if box is not None
    ]


@dataclass(frozen=True, eq=False)
class _Search:
    """A search in a plane: its parts, and the looks of the kept objects."""

    plane: Image
    segmenter: PromptSegmenter
    closed: "_Closed"
    looks: "_Looks"

    def rated(
        self, likely: NDArray[np.uint8], progress: Progress, *, ask: bool
    ) -> list[SimilarObject]:
        """Return candidates for likely pixels, the most alike first.

        Parameters
        ----------
        ask
            Whether the segmenter outlines each candidate, too; the more alike outline is taken.
        """
        places = list(_places(likely, self.closed, self.looks, progress=part(progress, 0, 0.1)))
        pieces = list(filter(None, map(self.closed.free, places)))
        found = pieces
        if ask:
            # Beside proposals, which expect less than all of themselves.
            found = [replace(one, score=_OF_PIECE) for one in pieces]
            found += self.asked(pieces, likely, part(progress, 0.1, 1))
        return _apart([self.rate(one, likely) for one in found], self.plane.spatial_shape)

    def asked(
        self, pieces: Sequence[ProposedObject], likely: NDArray[np.uint8], progress: Progress
    ) -> Iterator[ProposedObject]:
        """Yield the objects proposed for pieces, clicks in them, and a grid of not too many."""
        for piece in track(pieces, part(progress, 0, 0.5), "outlining objects"):
            yield from self.outlined(piece)
        clicks = [click for piece in pieces for click in self.clicks(piece)]
        step = _STEP * self.looks.diameter
        rows, columns = (np.arange(step / 2, n - 0.5, step) for n in self.plane.spatial_shape)
        grid = [
            (float(y), float(x)) for y in rows for x in columns if likely[int(y), int(x)] > _HINT
        ]
        clicks += grid if len(grid) <= _GRID else []
        seen = _Seen(self.plane.spatial_shape)
        for click in track(clicks, part(progress, 0.5, 1), "outlining objects"):
            if click in seen:
                continue
            one = self.segmenter.propose(
                Prompt((click,)), taken=self.closed, size=self.looks.diameter
            )
            if one is not None:
                seen.add(click, one)
                yield one

    def outlined(self, piece: ProposedObject) -> Iterator[ProposedObject]:
        """Yield the objects proposed for several clicks deep in a piece, and for all of it."""
        prompt = Prompt(clicks_in(piece, 0.0))
        for previous in (None, piece):
            one = self.segmenter.propose(
                prompt, previous=previous, taken=self.closed, size=self.looks.diameter
            )
            if one is not None:
                yield one

    def clicks(self, place: ProposedObject) -> list[Point]:
        """Return clicks in a place: one, or several if it has room for more objects."""
        room = round(2 * place.area / self.looks.area)
        return list(clicks_in(place, 0.0, most=min(max(room, 1), _CLICKS), apart=self.looks.near))

    def rate(self, found: ProposedObject, likely: NDArray[np.uint8]) -> SimilarObject:
        """Return an object with its likeness."""
        around = likely[found.slices] / np.float32(255)
        inside = float(around[found.mask].mean())
        left = float((around * ~found.mask).sum()) / max(found.area, 1)
        purity = min(inside / (1 + 0.5 * left) / 0.8, 1.0)
        return SimilarObject(
            found, self.looks.likeness(found) * float(np.sqrt(purity * found.score))
        )


class _Closed:
    """The pixels of a plane that no candidate may enter: taken, or of kept objects."""

    def __init__(
        self, shape: tuple[int, ...], kept: Sequence[ProposedObject], taken: Taken
    ) -> None:
        self._kept = np.zeros(shape, np.bool_)
        for one in kept:
            self._kept[one.slices] |= one.mask
        self._taken = taken

    def __call__(self, window: Window) -> Mask:
        """Return the mask of a window."""
        return self._kept[window] | taken_within(self._taken, window)

    def free(self, found: ProposedObject) -> ProposedObject | None:
        """Return an object without closed pixels; None if it is closed for the most part."""
        mask = found.mask & ~self(found.slices)
        if np.count_nonzero(mask) < (1 - OVERLAP) * found.area or not mask.any():
            return None
        return replace(found, mask=mask)


class _Seen:
    """Clicks that need not be asked: those in the middle of an outline that one gave."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._inside = np.zeros(shape, np.bool_)

    def __contains__(self, click: Point) -> bool:
        return bool(self._inside[pixel_of(click)])

    def add(self, click: Point, found: ProposedObject) -> None:
        """Note the outline of a click, if that is not at its rim."""

        depth = found.depths()
        y, x = (at - first for at, first in zip(pixel_of(click), found.origin, strict=True))
        if depth[y, x] > 0.5 * depth.max():
            self._inside[found.slices] |= depth > 0.5 * depth.max()


def foreground(
    plane: Image,
    examples: Sequence[ProposedObject],
    closed: Callable[[Window], Mask],
    *,
    before: NDArray[np.uint8] | None = None,
    progress: Progress = silent,
) -> NDArray[np.uint8]:
    """Return how likely each pixel is one of objects like some examples: (Y, X), 0 to 255.

    Parameters
    ----------
    plane
        Axes YX, with or without channels.
    examples
        Objects; the pixels around them are examples of what is none.
    closed
        Function from a window to the mask of pixels that are of other objects.
    before
        The result for fewer examples, by which some pixels elsewhere are known to be none.
    progress
        Called for each tile; may cancel.
    """
    from napari_unetseg.core.inference.predict_tiles import matched, predicted_tiles
    from napari_unetseg.core.model.pixel_specs import LogisticSpec
    from napari_unetseg.core.nn.training.fit_pixels import fit_pixels
    from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation
    from napari_unetseg.core.training.train import check_torch

    check_torch()
    scaling = NormalisationSpec()
    normalisation = fit_normalisation(plane, scaling, progress=part(progress, 0, 0.1))
    crops = [_lesson(plane, one, examples, closed, normalisation, before) for one in examples]
    around = sum(int((crop.annotation.targets == 0).sum()) for crop in crops)
    crops += _elsewhere(plane, examples, closed, normalisation, before, around)
    fit = fit_pixels(
        LogisticSpec(max_pixels=_PIXELS), crops, scaling=scaling, progress=part(progress, 0.1, 0.4)
    )
    likely = np.zeros(plane.spatial_shape, np.uint8)
    given = matched(plane, fit)
    for _, _, tile, proba in predicted_tiles(
        given, fit, normalisation, progress=part(progress, 0.4, 1)
    ):
        inner = np.rint(proba[1][tile.inside] * 255).astype(np.uint8)
        likely[tile.region] = inner
    return likely


def _lesson(
    plane: Image,
    example: ProposedObject,
    examples: Sequence[ProposedObject],
    closed: Callable[[Window], Mask],
    normalisation: Any,
    before: NDArray[np.uint8] | None,
) -> Any:
    """Return the pixels around an object, which is annotated with the ring around it.

    The ring is narrow, as neighbours are of the same kind perhaps, or else without pixels that
    `before` takes for theirs.
    """
    from scipy import ndimage

    diameter = _diameter([example])
    width = max(2.0, (_NARROW if before is None else _WIDE) * diameter)
    window = widened(example.slices, round(width) + _CONTEXT, plane.spatial_shape)
    own, mine = _painted(window, examples), example.within(window)
    away = ndimage.distance_transform_edt(~mine)
    ring = (away <= width) & ~own & ~closed(window)
    if before is not None:
        ring &= (before[window] < _NONE) | (away <= max(2.0, _NARROW * diameter / 2))
    return _annotated(plane, window, own, ring, normalisation)


def _elsewhere(
    plane: Image,
    examples: Sequence[ProposedObject],
    closed: Callable[[Window], Mask],
    normalisation: Any,
    before: NDArray[np.uint8] | None,
    around: int,
) -> list[Any]:
    """Return some pixels far from the examples, as background.

    Without them, what is farther from an object than its ring would be unknown. Unless `before`
    says that they are none, some are of objects, so that there are fewer of them than in the rings,
    which are `around` pixels.
    """
    chance = np.random.default_rng(0)
    shape = plane.spatial_shape
    wanted = around * (_DOUBTED if before is None else 1.0) / _PARTS
    lessons = []
    for _ in range(_PARTS):
        first = [int(chance.integers(0, max(n - _PART, 0) + 1)) for n in shape]
        inner = slice(first[0], first[0] + _PART), slice(first[1], first[1] + _PART)
        window = widened(inner, _CONTEXT, shape)
        outside = np.zeros([part.stop - part.start for part in window], np.bool_)
        y, x = (a - part.start for a, part in zip(first, window, strict=True))
        outside[y : y + _PART, x : x + _PART] = True
        outside &= ~_painted(window, examples) & ~closed(window)
        if before is not None:
            outside &= before[window] < _NONE
        outside &= chance.random(outside.shape) < wanted / max(int(np.count_nonzero(outside)), 1)
        if outside.any():
            nothing = np.zeros_like(outside)
            lessons.append(_annotated(plane, window, nothing, outside, normalisation))
    return lessons


def _annotated(plane: Image, window: Window, own: Mask, outside: Mask, normalisation: Any) -> Any:
    """Return a window of a plane with its annotation: 1 in objects, 0 outside, else unknown."""
    from napari_unetseg.core.annotation.annotation import AnnotatedImage, Annotation

    index = tuple(window["YX".index(a)] if a in "YX" else slice(None) for a in plane.axes)
    pixels = read_pixels(plane.data[index]).astype(np.float32)
    pixels = np.moveaxis(pixels, plane.axes.index("C"), 0) if "C" in plane.axes else pixels[None]
    known = (outside | own) & np.isfinite(pixels).all(0)
    labels = np.where(known, own.astype(np.int16), -1)
    annotation = Annotation.of(labels, "mask", values=(0, 1))
    return AnnotatedImage(np.nan_to_num(pixels), annotation, normalisation)


def _places(
    likely: NDArray[np.uint8],
    closed: Callable[[Window], Mask],
    looks: "_Looks",
    *,
    progress: Progress,
) -> Iterator[ProposedObject]:
    """Yield pieces of likely pixels, split at waists, of which some may be objects."""
    from scipy import ndimage

    from napari_unetseg.core.objects.decode import DecodeOptions, decode

    margin = round(2 * looks.diameter) + 2
    shape = likely.shape
    blocks = [
        (slice(y, min(y + BLOCK, shape[0])), slice(x, min(x + BLOCK, shape[1])))
        for y in range(0, shape[0], BLOCK)
        for x in range(0, shape[1], BLOCK)
    ]
    for block in track(blocks, progress, "looking for places"):
        window = widened(block, margin, shape)
        smooth = ndimage.gaussian_filter(likely[window].astype(np.float32), _BLUR * looks.diameter)
        free = np.where(closed(window), np.float32(0), smooth / np.float32(255))
        ids, _ = decode(free, options=DecodeOptions(split="shape", min_size=looks.smallest))
        for number, box in enumerate(ndimage.find_objects(ids), 1):
            if box is None:
                continue
            origin = window[0].start + box[0].start, window[1].start + box[1].start
            one = ProposedObject(ids[box] == number, origin, 1.0)
            (y, x), *_ = clicks_in(one, 0.0)
            # Each piece belongs to the block of its deepest pixel.
            if all(s.start <= at < s.stop for s, at in zip(block, (y, x), strict=True)):
                yield one


class _Looks:
    """The looks of the kept objects, and their spread."""

    SPREAD = np.array([0.5, 0.35, 0.35, 0.3, 1.2, 1.2])
    """Assumed of each look while few objects are known."""

    KNOWN = 3
    """Number of objects that the assumption counts for."""

    def __init__(self, plane: Image, kept: Sequence[ProposedObject]) -> None:
        self._plane = plane
        self.diameter = _diameter(kept)
        self.area = float(np.median([one.area for one in kept]))
        self.near = 0.5 * self.diameter
        self.smallest = max(4, round(0.15 * self.area))
        self._unit = 1.0
        around = [self._intensities(one) for one in kept]
        spread = float(np.mean([pixels.std() for _, _, pixels in around]))
        self._unit = max(spread, 1e-12)
        looks = np.array([self._of(one) for one in kept])
        self._mean = looks.mean(0)
        off = ((looks - self._mean) ** 2).sum(0)
        count = self.KNOWN + len(kept) - 1
        self._spread = np.sqrt((self.KNOWN * self.SPREAD**2 + off) / count)

    def likeness(self, found: ProposedObject) -> float:
        """Return the likeness of an object, without that of its pixels."""
        off = (self._of(found) - self._mean) / self._spread
        if self._at_end(found):
            # What the image cuts off is smaller, and of another shape.
            off[:4] = np.clip(off[:4], -0.5, 0.5)
        return float(np.exp(-0.25 * np.mean(np.minimum(off**2, 25))))

    def _at_end(self, found: ProposedObject) -> bool:
        return any(
            s.start == 0 or s.stop == n
            for s, n in zip(found.slices, self._plane.spatial_shape, strict=True)
        )

    def _of(self, found: ProposedObject) -> NDArray[np.float64]:
        from scipy import ndimage

        mask = np.pad(found.mask, 1)
        area = float(found.area)
        depth = float(found.depths().max())
        y, x = np.nonzero(mask)
        spread = (
            np.linalg.eigvalsh(np.cov(np.stack([y, x])) + np.eye(2) / 12) if area > 1 else [1, 1]
        )
        rim = area - np.count_nonzero(ndimage.binary_erosion(mask))
        own, ring, _ = self._intensities(found)
        return np.array(
            [
                np.log(area) / 2,
                np.log(depth),
                np.log(spread[1] / spread[0]) / 2,
                np.log(rim / np.sqrt(area)),
                own / self._unit,
                (own - ring) / self._unit,
            ]
        )

    def _intensities(self, found: ProposedObject) -> tuple[float, float, NDArray[np.float64]]:
        """Return the mean of an object, of the pixels around it, and all pixels around."""

        width = max(2, round(0.2 * self.diameter))
        window = widened(found.slices, width, self._plane.spatial_shape)
        index = tuple(window["YX".index(a)] if a in "YX" else slice(None) for a in self._plane.axes)
        pixels = read_pixels(self._plane.data[index]).astype(np.float64)
        if "C" in self._plane.axes:
            pixels = pixels.mean(self._plane.axes.index("C"))
        pixels = np.nan_to_num(pixels)
        own = found.within(window)
        ring = ring_around(own, width)
        outside = float(pixels[ring].mean()) if ring.any() else 0.0
        return float(pixels[own].mean()), outside, pixels


def _apart(candidates: Sequence[SimilarObject], shape: tuple[int, ...]) -> list[SimilarObject]:
    """Return the most alike of the candidates that overlap, without the pixels they share."""
    used = np.zeros(shape, np.bool_)
    apart = []
    for one in sorted(candidates, key=lambda each: -each.likeness):
        free = one.found.mask & ~used[one.found.slices]
        if np.count_nonzero(free) < (1 - OVERLAP) * one.found.area:
            continue
        used[one.found.slices] |= free
        apart.append(replace(one, found=replace(one.found, mask=free)))
    return apart


def _diameter(found: Sequence[ProposedObject]) -> float:
    """Return the median diameter of circles of the objects' sizes."""
    return 2 * float(np.sqrt(np.median([one.area for one in found]) / np.pi))


def _painted(window: Window, found: Sequence[ProposedObject]) -> Mask:
    """Return the pixels that objects have in a window."""
    mask = np.zeros([part.stop - part.start for part in window], np.bool_)
    for one in found:
        one.paint(mask, window)
    return mask


__all__ = ["LIKELY", "SimilarObject", "cut_objects", "find_similar", "foreground"]
