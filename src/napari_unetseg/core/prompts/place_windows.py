"""Windows of a plane that the object of a prompt is searched in."""

import numpy as np

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.prompts.crops import CropWindow, windows_around, windows_of
from napari_unetseg.core.prompts.prompt import Prompt, ProposedObject, pixel_of


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
) -> list[CropWindow]:
    """Return the windows of a plane in which the object of a prompt is searched."""
    if previous is not None:
        return windows_of(previous, prompt)
    if prompt.box is not None:
        y0, x0, y1, x1 = prompt.box
        extent = max(y1 - y0, x1 - x0, 4.0)
        middle = (y0 + y1) / 2, (x0 + x1) / 2
        return [CropWindow.around(middle, factor * extent) for factor in (1.4, 2.0)]
    points = np.array(prompt.inside)
    low, high = points.min(0), points.max(0)
    middle = (low + high) / 2
    extent = float((high - low).max())
    return windows_around((middle[0], middle[1]), shape, size, extent)


__all__ = ["starts_within", "windows_for"]
