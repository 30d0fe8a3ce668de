"""What goes into a package as an example: an image, and what the model makes of it."""

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
"""Most pixels of an example: it is computed whenever a model is saved."""

_REDUCED_HALO = 16


@dataclass(frozen=True)
class Sides:
    """Which images a model takes at once, for programs that cut them into blocks.

    Parameters
    ----------
    least
        Smallest sides.
    step
        What sides may grow by.
    halo
        What to throw away of a block's result, on each side.
    reduced
        Whether the halo is less than the network looks, since a block with all of it would be too
        large to handle.
    """

    least: Sizes
    step: Sizes
    halo: Sizes
    reduced: bool = False


def sides_of(model: TrainedModel, *, max_pixels: int = MAX_PIXELS) -> Sides:
    """Return which images the network takes.

    Parameters
    ----------
    max_pixels
        Of the smallest image, beyond which less than all that the network looks at is said.
    """
    step, halo = model.multiple, model.halo
    if unpadded(model):
        least = tuple(2 * h + s for h, s in zip(halo, step, strict=True))
        return Sides(least, step, (0,) * model.ndim)
    exact = Sides(_least(halo, step), step, halo)
    if np.prod(exact.least) <= max_pixels:
        return exact
    fewer = tuple(min(h, max(_REDUCED_HALO, s)) for h, s in zip(halo, step, strict=True))
    return Sides(_least(fewer, step), step, fewer, reduced=True)


def unpadded(model: TrainedModel) -> bool:
    """Whether the network gives back less than it is shown."""
    return getattr(model.spec, "padding", "same") == "valid"


def example_image(model: TrainedModel, sides: Sizes) -> Array:
    """Return a raw image (C, *sides): of the model's own example, or made up."""
    if model.example is None:
        noise = np.random.default_rng(0).normal(size=(model.n_channels, *sides))
        smooth = scipy.ndimage.gaussian_filter(noise, (0, *(2.0,) * len(sides)))
        scaled = (smooth - smooth.min()) / np.ptp(smooth)
        made: NDArray[np.uint8] = (255 * scaled).astype(np.uint8)
        return made
    image = model.example
    for axis, side in enumerate(sides, start=1):
        start = max(0, (image.shape[axis] - side) // 2)
        image = image.take(range(start, min(start + side, image.shape[axis])), axis)
        missing = side - image.shape[axis]
        pad = [(0, missing if k == axis else 0) for k in range(image.ndim)]
        image = np.pad(image, pad, mode="symmetric")
    return np.ascontiguousarray(_plain(image))


def example_output(model: TrainedModel, image: Array) -> NDArray[np.float32]:
    """Return the probabilities (K, *spatial) that the file's network gives of a raw image.

    Imports torch. K is 1 for a network of one output: the probability of the second class. A
    network of objects gives this one and then its maps.
    """
    from napari_unetseg.core.nn.restore import evidence_of_model

    whole = Image(image, "C" + "ZYX"[-model.ndim :])
    evidence = evidence_of_model(model, fit_normalisation(whole, model.normalisation).apply(image))
    proba: NDArray[np.float32]
    alone = len(evidence) == 1 or model.decoder is not None
    proba = scipy.special.expit(evidence) if alone else scipy.special.softmax(evidence, axis=0)
    return proba


def lost(model: TrainedModel, sides: Sizes) -> Sizes:
    """Return how much smaller a result is than an image of these sides. Imports torch."""
    if not unpadded(model):
        return (0,) * model.ndim
    from napari_unetseg.core.nn.restore import lost_by

    return lost_by(model, sides)


def _least(halo: Sizes, step: Sizes) -> Sizes:
    """Return the smallest sides on the grid that leave something within the halo."""
    return tuple(round_up(2 * h + s, s) for h, s in zip(halo, step, strict=True))


def _plain(image: Array) -> Array:
    """Return an image in a type that the format names."""
    if image.dtype.kind == "b":
        return image.astype(np.uint8)
    if image.dtype.kind == "f" and image.dtype.itemsize not in (4, 8):
        return image.astype(np.float32)
    return image.astype(image.dtype.newbyteorder("="))


__all__ = ["MAX_PIXELS", "Sides", "example_image", "example_output", "lost", "sides_of", "unpadded"]
