"""`GrownPrompts`: objects proposed without any training."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

from napari_unetseg.core.image import Image
from napari_unetseg.core.prompts.crops import Crop, CropWindow, PlaneReader, from_crop, fullest_part
from napari_unetseg.core.prompts.grow_region import GrownObject, agreement, grown
from napari_unetseg.core.prompts.place_windows import starts_within, windows_for
from napari_unetseg.core.prompts.prompt import (
    Point,
    Prompt,
    ProposedObject,
    Taken,
    never,
    settled,
)

LEAST = 0.24
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
        every: list[tuple[GrownObject, CropWindow]] = []
        for window in windows_for(prompt, shape, size or self._size, previous):
            if cancelled():
                return None
            crop = self._reader.crop(window)
            found = self.grow(crop, prompt) if crop else None
            if found:
                every.append((found, window))
        best = _steadiest(every)
        missed = prompt.single and previous is None
        if best is None or (missed and best[0].score < LEAST):
            return None
        found, window = best
        part = fullest_part(found.field, window, prompt.inside, shape)
        field = from_crop(found.field, window, part)
        return settled(field, (part[0].start, part[1].start), prompt, taken, found.score)

    def grow(self, crop: Crop, prompt: Prompt) -> GrownObject | None:
        """Return the object in a crop, see `grown`."""
        return grown(crop, prompt)


def _steadiest(
    every: list[tuple[GrownObject, CropWindow]],
) -> tuple[GrownObject, CropWindow] | None:
    """Return the object with the strongest edges, and the same in windows of other sides."""
    agreeing = [
        agreement(one, other) if wider.side == 2 * window.side else 1.0
        for (one, window), (other, wider) in pairwise(every)
    ]
    best: tuple[GrownObject, CropWindow] | None = None
    for k, (found, window) in enumerate(every):
        steady = max(agreeing[max(k - 1, 0) : k + 1], default=1.0)
        if best is None or steady * found.score > best[0].score:
            best = replace(found, score=steady * found.score), window
    return best


__all__ = ["GrownPrompts"]
