"""Objects of a whole image from clicks and boxes, for the command line and Python."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.options import Options, option
from napari_unetseg.core.progress import Progress, part, silent, track
from napari_unetseg.core.prompts.carry_planes import carry_planes
from napari_unetseg.core.prompts.find_similar import find_similar
from napari_unetseg.core.prompts.marks import Mark, ObjectKey, place_marks
from napari_unetseg.core.prompts.open_prompts import open_prompts
from napari_unetseg.core.prompts.prompt import PromptSegmenter, ProposedObject, Taken

Ids = NDArray[np.int32]


class ClickOptions(Options):
    """Options for objects from clicks."""

    size: float = option(
        0.0,
        "Size",
        "Expected diameter of the objects in pixels. Automatic looks for objects of every size.",
        ge=0.0,
        le=100_000.0,
        zero="automatic",
    )
    carry: bool = option(
        False,
        "Through planes",
        "Carry each object through the planes above and below, until it ends. Objects marked in "
        "several planes go through all of them.",
    )
    like: float = option(
        0.0,
        "Find all like these",
        "Also find the other objects of the marked planes that are like these at least this much, "
        "from 0 to 1. 0.5 is a good start.",
        ge=0.0,
        le=1.0,
        step=0.05,
        slider=True,
        zero="do not",
    )


@dataclass(frozen=True, eq=False)
class ClickedObjects:
    """Objects from marks.

    Parameters
    ----------
    labels
        int32 ids, of the image's axes without channels. Objects named by whole numbers from 1 have
        those ids; others count from 1 in the order of the marks. Similar ones follow.
    missing
        Names of the objects of which nothing was found.
    n_marked, n_similar
        Number of objects from marks, and of those that are like them.
    """

    labels: Image
    missing: tuple[ObjectKey, ...]
    n_marked: int
    n_similar: int


def click_objects(
    image: Image,
    marks: Iterable[Mark],
    options: ClickOptions = ClickOptions(),  # noqa: B008 - frozen
    *,
    progress: Progress = silent,
) -> ClickedObjects:
    """Outline the marked objects of an image.

    Parameters
    ----------
    image
        Any image. All its channels are seen.
    marks
        Clicks and boxes, in pixels of the image.
    options
        What else to find.
    progress
        May cancel.

    Returns
    -------
    ClickedObjects
        Where two objects meet, the first has the pixels.

    Raises
    ------
    InputError
        When the marks do not fit the image, nothing at all was found, or planes are to be carried
        through in an image without Z.
    """
    work = _Clicked(image, options)
    placed = place_marks(marks, work.axes, work.ids.shape)
    numbers = _numbers(list(placed))
    share = 0.2 if options.carry or options.like else 1.0
    missing = []
    for name in track(list(placed), part(progress, 0, share), "outlining objects"):
        for plane, prompt in placed[name].items():
            found = work.opened(plane).propose(prompt, taken=work.taken(plane, numbers[name]))
            if found is not None:
                work.write(plane, found, numbers[name])
        if numbers[name] not in work.found:
            missing.append(name)
    if not work.found:
        raise InputError(
            "There is no object at any of the marks: they are on the background, or outside of the "
            "image. Check that they are in pixels, y before x, and of this image."
        )
    marked = len(work.found)
    if options.like:
        part_of = (share, 0.7 if options.carry else 1.0)
        work.add_similar(max(numbers.values()), part(progress, *part_of))
    if options.carry:
        work.carry(part(progress, 0.7 if options.like else share, 1.0))
    labels = image.like(work.ids, work.axes)
    return ClickedObjects(labels, tuple(missing), marked, len(work.found) - marked)


class _Clicked:
    """The objects found so far, by id and plane."""

    def __init__(self, image: Image, options: ClickOptions) -> None:
        self.image, self.options = image, options
        self.axes = image.axes.replace("C", "")
        if options.carry and image.length("Z") < 2:
            raise InputError(
                f"Objects are carried through planes, but the image has one plane along Z (axes "
                f"{image.axes}). Leave out carry, or name the axes."
            )
        shape = [image.length(axis) for axis in self.axes]
        self.ids: Ids = np.zeros(shape, np.int32)
        self.found: dict[int, dict[tuple[int, ...], ProposedObject]] = {}
        self._opened: tuple[tuple[int, ...], PromptSegmenter] | None = None

    def plane(self, index: tuple[int, ...], block: str = "YX") -> Image:
        """Return a plane, or a stack, of the image."""
        lead = dict(zip((a for a in self.axes if a not in block), index, strict=False))
        at = tuple(lead.get(axis, slice(None)) for axis in self.image.axes)
        axes = "".join(axis for axis in self.image.axes if axis not in lead)
        names = self.image.channel_names
        return self.image.like(self.image.data[at], axes, rgb=self.image.rgb, channel_names=names)

    def opened(self, index: tuple[int, ...]) -> PromptSegmenter:
        """Return the segmenter of a plane; the last one is kept."""
        if self._opened is None or self._opened[0] != index:
            opened = open_prompts(self.plane(index), size=self.options.size or None)
            self._opened = (index, opened)
        return self._opened[1]

    def taken(self, index: tuple[int, ...], number: int = 0) -> Taken:
        """Return the pixels of a plane that other objects have."""
        ids = self.ids[index]
        return lambda window: (ids[window] != 0) & (ids[window] != number)

    def taken_at(self, time: tuple[int, ...], number: int, z: int) -> Taken:
        """Return the pixels of a plane of a stack that other objects have."""
        return self.taken((*time, z), number)

    def write(self, index: tuple[int, ...], found: ProposedObject, number: int) -> None:
        """Keep an object of a plane, on background only."""
        view = self.ids[index][found.slices]
        free = found.mask & ((view == 0) | (view == number))
        if free.any():
            view[free] = number
            self.found.setdefault(number, {})[index] = found

    def add_similar(self, last: int, progress: Progress) -> None:
        """Add the objects of the marked planes that are like those found there."""
        planes = sorted({index for planes in self.found.values() for index in planes})
        for step, index in enumerate(planes):
            here = part(progress, step / len(planes), (step + 1) / len(planes))
            kept = [planes[index] for planes in self.found.values() if index in planes]
            for one in find_similar(
                self.plane(index), kept, taken=self.taken(index), progress=here
            ):
                if one.likeness >= self.options.like:
                    last += 1
                    self.write(index, one.found, last)

    def carry(self, progress: Progress) -> None:
        """Carry every object through the planes of its stack."""
        for number in track(sorted(self.found), progress, "carrying through planes"):
            times: dict[tuple[int, ...], dict[int, ProposedObject]] = {}
            for index, one in self.found[number].items():
                times.setdefault(index[:-1], {})[index[-1]] = one
            for time, anchors in times.items():
                planes = carry_planes(
                    self.plane(time, "ZYX"),
                    anchors,
                    taken=partial(self.taken_at, time, number),
                )
                for plane in planes:
                    if plane.found is not None:
                        self.write((*time, plane.z), plane.found, number)


def _numbers(names: list[ObjectKey]) -> dict[ObjectKey, int]:
    """Return the id of each object: its own number, or counted from 1."""
    if all(isinstance(name, int) and 0 < name < 2**31 for name in names):
        return {name: int(name) for name in names}
    return {name: number for number, name in enumerate(names, 1)}


__all__ = ["ClickOptions", "ClickedObjects", "click_objects"]
