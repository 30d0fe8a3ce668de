"""Make the example of a package: an input image and the output of the model."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_unetseg.core.compute.rounding import round_up
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.normalisation import fit_normalisation

Array = NDArray[Any]
Sizes = tuple[int, ...]

MAX_PIXELS = 2**19
"""Maximum pixels of an example, which is computed whenever a model is saved."""

_REDUCED_HALO = 16


@dataclass(frozen=True)
class Sides:
    """Hold the image sizes that a model takes, for programs that divide images into blocks.

    Parameters
    ----------
    least
        Smallest sides in pixels.
    step
        Increment of the sides.
    halo
        Pixels to discard at each side of a block's result.
    reduced
        Whether the halo is smaller than the receptive field needs, since a block with the whole
        halo would be too large.
    """

    least: Sizes
    step: Sizes
    halo: Sizes
    reduced: bool = False


def input_sides(model: TrainedModel, *, max_pixels: int = MAX_PIXELS) -> Sides:
    """Return the image sizes that the network takes.

    Parameters
    ----------
    max_pixels
        Maximum pixels of the smallest image; the halo is reduced if it would be larger.
    """
    step, halo = model.multiple, model.halo
    if is_unpadded(model):
        least = tuple(2 * h + s for h, s in zip(halo, step, strict=True))
        return Sides(least, step, (0,) * model.ndim)
    exact = Sides(_least(halo, step), step, halo)
    if np.prod(exact.least) <= max_pixels:
        return exact
    fewer = tuple(min(h, max(_REDUCED_HALO, s)) for h, s in zip(halo, step, strict=True))
    return Sides(_least(fewer, step), step, fewer, reduced=True)


def is_unpadded(model: TrainedModel) -> bool:
    """Return whether the output is smaller than the input, for lack of padding."""
    return getattr(model.spec, "padding", "same") == "valid"


def example_image(model: TrainedModel, sides: Sizes) -> Array:
    """Return a raw image (C, *sides), from the model's own example or synthetic."""
    if model.example is None:
        noise = np.random.default_rng(0).normal(size=(model.n_channels, *sides))
        smooth = scipy.ndimage.gaussian_filter(noise, (0, *(2.0,) * len(sides)))
        scaled = (smooth - smooth.min()) / np.ptp(smooth)
        grey: NDArray[np.uint8] = (255 * scaled).astype(np.uint8)
        return grey
    image = model.example
    for axis, side in enumerate(sides, start=1):
        start = max(0, (image.shape[axis] - side) // 2)
        image = image.take(range(start, min(start + side, image.shape[axis])), axis)
        missing = side - image.shape[axis]
        pad = [(0, missing if k == axis else 0) for k in range(image.ndim)]
        image = np.pad(image, pad, mode="symmetric")
    return np.ascontiguousarray(_plain(image))


def example_output(model: TrainedModel, image: Array) -> NDArray[np.float32]:
    """Predict the probabilities (K, *spatial) of a raw image with the network of the file.

    Imports torch. K is 1 for a network with one output: the probability of the second class. A
    network with object maps gives this probability, then its maps.
    """
    from napari_unetseg.core.nn.restore import evidence_of_model

    whole = Image(image, "C" + "ZYX"[-model.ndim :])
    scores = evidence_of_model(model, fit_normalisation(whole, model.normalisation).apply(image))
    proba: NDArray[np.float32]
    independent = len(scores) == 1 or model.decoder is not None
    proba = scipy.special.expit(scores) if independent else scipy.special.softmax(scores, axis=0)
    return proba


def lost_pixels(model: TrainedModel, sides: Sizes) -> Sizes:
    """Return how much smaller the result is than an image of these sides. Imports torch."""
    if not is_unpadded(model):
        return (0,) * model.ndim
    from napari_unetseg.core.nn.restore import lost_by

    return lost_by(model, sides)


def _least(halo: Sizes, step: Sizes) -> Sizes:
    """Return the smallest sides on the grid that leave pixels within the halo."""
    return tuple(round_up(2 * h + s, s) for h, s in zip(halo, step, strict=True))


def _plain(image: Array) -> Array:
    """Convert an image to a data type of the format."""
    if image.dtype.kind == "b":
        return image.astype(np.uint8)
    if image.dtype.kind == "f" and image.dtype.itemsize not in (4, 8):
        return image.astype(np.float32)
    return image.astype(image.dtype.newbyteorder("="))


__all__ = [
    "MAX_PIXELS",
    "Sides",
    "example_image",
    "example_output",
    "input_sides",
    "is_unpadded",
    "lost_pixels",
]
