"""Opening of the segmenter that proposes objects of an image for prompts."""

from collections.abc import Callable

import numpy as np

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.prompts.crops import (
    PlaneReader,
    Window,
    from_crop,
    windows_around,
    windows_of,
)
from napari_unetseg.core.prompts.grow_region import Grown, grown
from napari_unetseg.core.prompts.prompt import (
    Point,
    Prompt,
    PromptSegmenter,
    ProposedObject,
    Taken,
    never,
    pixel_of,
    settled,
)

LEAST = 0.2
"""Expected overlap below which there is no object."""


class GrownPrompts:
    """Proposes objects of a plane by growing them from the clicks; nothing is trained.

    Parameters
    ----------
    image
        One plane, see `open_prompts`.
    size
        See `open_prompts`.
    """

    def __init__(self, image: Image, *, size: float | None = None) -> None:
        self._reader, self._size = PlaneReader(image), size

    def prepare(self, point: Point | None = None) -> None:
        """See `PromptSegmenter`."""
        height, width = self._reader.shape
        self.propose(Prompt((point or (height / 2, width / 2),)))

    def propose(
        self,
        prompt: Prompt,
        *,
        previous: ProposedObject | None = None,
        taken: Taken = None,
        size: float | None = None,
        cancelled: Callable[[], bool] = never,
    ) -> ProposedObject | None:
        """See `PromptSegmenter`."""
        shape = self._reader.shape
        if not starts_within(prompt, shape):
            return None
        best: tuple[Grown, Window] | None = None
        for window in windows_for(prompt, shape, size or self._size, previous):
            if cancelled():
                return None
            crop = self._reader.crop(window)
            found = grown(crop, prompt) if crop else None
            if found and (best is None or found.score > best[0].score):
                best = found, window
        if best is None or (best[0].score < LEAST and previous is None and prompt.box is None):
            return None
        found, window = best
        rows, columns = window.clipped(shape)
        field = from_crop(found.field, window, shape)
        return settled(field, (rows.start, columns.start), prompt, taken, found.score)


def open_prompts(image: Image, *, size: float | None = None) -> PromptSegmenter:
    """Open the segmenter that proposes objects of one plane for clicks, strokes and boxes.

    Parameters
    ----------
    image
        One plane with any number of channels. Only windows around the prompts are read.
    size
        Expected diameter of the objects in pixels; None: objects of any size are searched for.

    Raises
    ------
    InputError
        When the image has more axes than a plane.
    """
    if image.spatial_axes != "YX" or "T" in image.axes:
        raise InputError(
            f"Clicks mark objects in one plane, but the image has the axes {image.axes}. "
            "Take one plane of it."
        )
    return GrownPrompts(image, size=size)


def starts_within(prompt: Prompt, shape: tuple[int, ...]) -> bool:
    """Whether the first point of a prompt lies in a plane of this shape.

    Raises
    ------
    InputError
        When the prompt has neither a point inside nor a box.
    """
    anchor = prompt.anchor
    if anchor is None:
        raise InputError(
            "The prompt marks nothing. Give a point in the object, or a box around it."
        )
    if not np.isfinite(anchor).all():
        return False
    return all(0 <= at < n for at, n in zip(pixel_of(anchor), shape, strict=True))


def windows_for(
    prompt: Prompt, shape: tuple[int, ...], size: float | None, previous: ProposedObject | None
) -> list[Window]:
    """Return the windows of a plane in which the object of a prompt is searched."""
    if previous is not None:
        return windows_of(previous, prompt.inside)
    if prompt.box is not None:
        y0, x0, y1, x1 = prompt.box
        extent = max(y1 - y0, x1 - x0, 4.0)
        middle = (y0 + y1) / 2, (x0 + x1) / 2
        return [Window.around(middle, factor * extent) for factor in (1.4, 2.0)]
    points = np.array(prompt.inside)
    low, high = points.min(0), points.max(0)
    middle = (low + high) / 2
    extent = float((high - low).max())
    return windows_around((middle[0], middle[1]), shape, size, extent)


__all__ = ["GrownPrompts", "open_prompts", "starts_within", "windows_for"]
