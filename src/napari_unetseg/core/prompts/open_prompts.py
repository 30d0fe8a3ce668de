"""Opening of the segmenter that proposes objects of an image for prompts."""

from importlib.util import find_spec

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.prompts.grown_prompts import GrownPrompts
from napari_unetseg.core.prompts.network_prompts import NetworkPrompts
from napari_unetseg.core.prompts.prompt import PromptSegmenter


def open_prompts(image: Image, *, size: float | None = None) -> PromptSegmenter:
    """Open the segmenter that proposes objects of one plane for clicks, strokes and boxes.

    A network that comes with the package outlines them; without torch, they are grown from the
    prompt to the strongest edges. Nothing is loaded before the first proposal: call `prepare` in
    another thread to have it ready.

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
    if find_spec("torch") is None:
        return GrownPrompts(image, size=size)
    return NetworkPrompts(image, size=size)


__all__ = ["open_prompts"]
