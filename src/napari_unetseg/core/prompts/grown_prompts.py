"""`GrownPrompts`: objects proposed without any training."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from napari_unetseg.core.image import Image
from napari_unetseg.core.prompts.crops import Crop, CropWindow, agreement
from napari_unetseg.core.prompts.grow_region import GrownObject, grown
from napari_unetseg.core.prompts.prompt import Prompt, ProposedObject
from napari_unetseg.core.prompts.window_prompts import WindowField, WindowPrompts

LEAST = 0.24
"""Expected overlap below which there is no object."""


class GrownPrompts(WindowPrompts):
    """Proposes objects of a plane by growing them from the clicks; nothing is trained.

    Parameters
    ----------
    image
        One plane, see `open_prompts`.
    size
        See `open_prompts`.
    """

    def __init__(self, image: Image, *, size: float | None = None) -> None:
        super().__init__(image, size=size, least=LEAST)

    def _best(
        self,
        prompt: Prompt,
        windows: Sequence[CropWindow],
        previous: ProposedObject | None,
        cancelled: Callable[[], bool],
    ) -> WindowField | None:
        """Return the object with the strongest edges, the same in windows of other sides."""
        every: list[tuple[GrownObject, CropWindow]] = []
        for window in windows:
            if cancelled():
                return None
            crop = self._reader.crop(window)
            found = self.grow(crop, prompt) if crop else None
            if found:
                every.append((found, window))
        best = _steadiest(every)
        return None if best is None else (best[0].field, best[1], best[0].score)

    def grow(self, crop: Crop, prompt: Prompt) -> GrownObject | None:
        """Return the object in a crop, see `grown`."""
        return grown(crop, prompt)


def _steadiest(
    every: list[tuple[GrownObject, CropWindow]],
) -> tuple[GrownObject, CropWindow] | None:
    """Return the object with the strongest edges, and the same in windows of other sides."""
    agreeing = [
        agreement(one.field, own, other.field, wider) if wider.side == 2 * own.side else 1.0
        for (one, own), (other, wider) in pairwise(every)
    ]
    best: tuple[GrownObject, CropWindow] | None = None
    for k, (found, window) in enumerate(every):
        steady = max(agreeing[max(k - 1, 0) : k + 1], default=1.0)
        if best is None or steady * found.score > best[0].score:
            best = replace(found, score=steady * found.score), window
    return best


__all__ = ["GrownPrompts"]
