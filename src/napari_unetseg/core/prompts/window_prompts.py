"""`WindowPrompts`: how an object is proposed from square windows of several scales."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.image import Image
from napari_unetseg.core.prompts.crops import CropWindow, PlaneReader, from_crop, fullest_part
from napari_unetseg.core.prompts.place_windows import starts_within, windows_for
from napari_unetseg.core.prompts.prompt import (
    Point,
    Prompt,
    ProposedObject,
    Taken,
    never,
    settled,
)

WindowField = tuple[NDArray[np.float32], CropWindow, float]
"""The object where above 0.5 in a crop, the window of the crop, and the expected overlap."""


class WindowPrompts(ABC):
    """Proposes objects of a plane, searched for in windows of several scales.

    Parameters
    ----------
    image
        One plane, see `open_prompts`.
    size
        See `open_prompts`.
    least
        Expected overlap below which a single click has not met an object.
    """

    def __init__(self, image: Image, *, size: float | None, least: float) -> None:
        self._reader, self._size, self._least = PlaneReader(image), size, least

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
        windows = windows_for(prompt, shape, size or self._size, previous)
        best = self._best(prompt, windows, previous, cancelled)
        if best is None or cancelled():
            return None
        field, window, score = best
        if prompt.single and previous is None and score < self._least:
            return None
        part = fullest_part(field, window, prompt.inside, shape)
        near = from_crop(field, window, part)
        return settled(near, (part[0].start, part[1].start), prompt, taken, score, previous)

    @abstractmethod
    def _best(
        self,
        prompt: Prompt,
        windows: Sequence[CropWindow],
        previous: ProposedObject | None,
        cancelled: Callable[[], bool],
    ) -> WindowField | None:
        """Return what is expected to be right most, or None."""


__all__ = ["WindowField", "WindowPrompts"]
