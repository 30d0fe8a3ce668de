"""Object size: the diameter of the objects, and the scale of an image for a model.

A model was trained on objects of one diameter and images of one pixel size. An image of other
objects is scaled to these, by a given or measured diameter or by its pixel size. The diameter is
measured by `napari_unetseg.core.inference.prediction.sized`; `zoomed` scales the image.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image, read_pixels
from napari_unetseg.core.options import Options, option
from napari_unetseg.core.units import metres_of

SAME = 0.1
"""Part by which pixel sizes may differ before a rescale is worth offering."""

_MEASURED = {2: 1024, 3: 160}
"""Side in pixels of the part of a plane or stack that objects are measured in."""

_FURTHEST = 20.0
_NEGLIGIBLE = 0.01


class SizeOptions(Options):
    """How large things are in the image, for a model that learnt from images of another scale."""

    diameter: float = option(
        0.0,
        "Diameter",
        "Diameter of the objects in the image, in pixels: the image is scaled so that they are as "
        "large as those that the model learnt from. 0 leaves it as it is.",
        when={"auto_diameter": (False,)},
        ge=0.0,
        le=10_000.0,
        step=1.0,
    )
    rescale: bool = option(
        False,
        "Rescale",
        "Scale the image to the pixel size of the images that the model learnt from.",
        when={"diameter": (0.0,)},
    )
    auto_diameter: bool = option(
        False,
        "Auto diameter",
        "Find the scale automatically: a part of the image is predicted at seven scales, from a "
        "fifth to five times, and the image is shown to the model at the most plausible. A model "
        "that knows objects of one diameter alone does so unless another size is set. In 3D the "
        "objects found at the image's own scale are measured.",
        when={"diameter": (0.0,), "rescale": (False,)},
    )

    def one_size(self) -> dict[str, Any]:
        """Return the size options with all but the one that has an effect at their defaults.

        A form keeps the values of fields that it hides.
        """
        chosen = self.model_dump(include=set(SizeOptions.model_fields))
        first = next((name for name, value in chosen.items() if value), None)
        return SizeOptions().model_dump() | ({} if first is None else {first: chosen[first]})


class Sized(Protocol):
    """The properties of a model that its scale depends on."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def ndim(self) -> int:
        """2 or 3."""

    @property
    def spacing(self) -> tuple[float, ...]:
        """Physical pixel size along each spatial axis."""

    @property
    def unit(self) -> str:
        """Its unit."""

    @property
    def diameter(self) -> float:
        """Median diameter in pixels of the objects it learnt; 0 when it learnt none."""


def zoom_for(model: Sized, image: Image, options: SizeOptions) -> tuple[float, ...]:
    """Return how many pixels a model is to see for one of the image, per axis of the model.

    Parameters
    ----------
    image
        Its pixels may be anisotropic: a diameter is in those of Y and X, and depth follows from
        the proportions of both pixel sizes, where both are known.

    Returns
    -------
    tuple
        Empty when the image is to be shown as it is.

    Raises
    ------
    InputError
        When the model does not know the diameter, or one of the pixel sizes is not known, or the
        image would become a twentieth or twenty times as large.
    """
    if options.diameter:
        zoom = _by_diameter(model, image, options.diameter)
    elif options.rescale:
        zoom = _by_pixel_size(model, image)
    else:
        return ()
    if max(*zoom, 0) > _FURTHEST or min(zoom) < 1 / _FURTHEST:
        raise InputError(
            f"For {model.name!r} the image would have to be scaled by {_factors(zoom)}, where at "
            f"most {_FURTHEST:g} or 1/{_FURTHEST:g} makes sense. Check the diameter or the pixel "
            "size."
        )
    return () if all(abs(by - 1) < _NEGLIGIBLE for by in zoom) else zoom


def pixel_zoom(model: Sized, image: Image) -> tuple[float, ...]:
    """Return how the image's pixels compare with the model's, per axis; empty when not known."""
    ours, theirs = metres_of(image.unit), metres_of(model.unit)
    spacing = image.spacing[-model.ndim :]
    if ours is None or theirs is None or len(spacing) != model.ndim:
        return ()
    if model.ndim > 2 and image.assumed:
        return ()
    pairs = zip(spacing, model.spacing, strict=True)
    return tuple(a * ours / (b * theirs) for a, b in pairs)


def mismatch(model: Sized, image: Image) -> str:
    """Say how the pixel sizes differ, such as ``0.65 → 0.5 µm``; nothing when they hardly do."""
    zoom = pixel_zoom(model, image)
    if all(abs(math.log(by)) < math.log1p(SAME) for by in zoom):
        return ""
    axis = max(range(len(zoom)), key=lambda k: abs(math.log(zoom[k])))
    have = image.spacing[-model.ndim :][axis]
    return f"{have:.3g} → {have / zoom[axis]:.3g} {image.unit}"


def median_diameter(objects: Iterable[NDArray[Any]], spacing: Sequence[float] = ()) -> float:
    """Return the usual diameter of objects in pixels, those of a disc or ball of their size.

    Parameters
    ----------
    objects
        Ids of planes or stacks, 0 being background. What their border cuts off does not count,
        unless all is.
    spacing
        Size of a pixel along each axis; the diameter is in the smallest.

    Returns
    -------
    float
        The median over images of each one's median, so that a crowded one counts no more than
        others; 0 when there is no object.
    """
    medians = [_diameter(_median_size(ids), ids.ndim, spacing) for ids in objects]
    found = [diameter for diameter in medians if diameter]
    return float(np.median(found)) if found else 0.0


def _median_size(ids: NDArray[Any]) -> float:
    found, sizes = np.unique(ids, return_counts=True)
    there = found > 0
    whole = there & ~np.isin(found, _at_border(ids))
    counted = sizes[whole] if whole.any() else sizes[there]
    return float(np.median(counted)) if counted.size else 0.0


def _diameter(size: float, ndim: int, spacing: Sequence[float]) -> float:
    """Return the diameter of a disc or ball of so many pixels."""
    steps = tuple(spacing) or (1.0,) * ndim
    content = size * math.prod(step / min(steps) for step in steps)
    if ndim == 2:
        return 2 * math.sqrt(content / math.pi)
    return 2 * (0.75 * content / math.pi) ** (1 / 3)


def measured_part(image: Image, ndim: int, side: int = 0) -> Image:
    """Cut out the middle of an image, as much of it as objects are measured in.

    Parameters
    ----------
    ndim
        2 for a part of a plane, 3 for one of a stack.
    side
        Its longest side in pixels, if it is to be another.
    """
    block = "C" + "ZYX"[-ndim:]
    side = side or _MEASURED[ndim]
    middle: list[int | slice] = []
    for axis in image.axes:
        length = image.length(axis)
        start = max(0, (length - side) // 2)
        rest = slice(None) if axis == "C" else slice(start, start + side)
        middle.append(rest if axis in block else length // 2)
    axes = "".join(axis for axis in image.axes if axis in block)
    data = read_pixels(image.data[tuple(middle)])
    return image.like(data, axes, rgb=image.rgb, channel_names=image.channel_names)


def window_of(image: Image, rows: slice, columns: slice) -> Image:
    """Cut a window out of the planes of an image; lazily, if the image is lazy."""
    spans = {"Y": rows, "X": columns}
    place = tuple(spans.get(axis, slice(None)) for axis in image.axes)
    return image.like(
        image.data[place], image.axes, rgb=image.rgb, channel_names=image.channel_names
    )


def check_diameter(model: Sized) -> None:
    """Refuse a model that does not know the diameter of its objects."""
    if not model.diameter:
        raise InputError(
            f"It is not known how large the objects were that {model.name!r} learnt, so a diameter "
            "says nothing to it. Leave it out, or train a model on labels that are objects."
        )


def _by_diameter(model: Sized, image: Image, diameter: float) -> tuple[float, ...]:
    check_diameter(model)
    by = model.diameter / diameter
    if model.ndim == 2:
        return (by, by)
    flatness = pixel_zoom(model, image)
    return (by * (flatness[0] / flatness[-1] if flatness else 1.0), by, by)


def _by_pixel_size(model: Sized, image: Image) -> tuple[float, ...]:
    zoom = pixel_zoom(model, image)
    if not zoom:
        whose = "image" if metres_of(image.unit) is None else f"model {model.name!r}"
        raise InputError(
            f"The pixel size of the {whose} is not known, so there is nothing to rescale by. Give "
            "the image one, or say the diameter of the objects."
        )
    return zoom


def _at_border(ids: NDArray[Any]) -> NDArray[Any]:
    ends = [ids.take((0, -1), axis).ravel() for axis in range(ids.ndim)]
    return np.unique(np.concatenate(ends))


def zoom_in_words(zoom: Sequence[float]) -> str:
    """Say how an image is scaled for a model."""
    return f"the image was scaled by {_factors(zoom)} for the model"


def _factors(zoom: Sequence[float]) -> str:
    factors = [f"{by:.3g}" for by in zoom]
    return " × ".join(factors if len(set(factors)) > 1 else factors[:1])


__all__ = [
    "SAME",
    "SizeOptions",
    "check_diameter",
    "measured_part",
    "median_diameter",
    "mismatch",
    "pixel_zoom",
    "window_of",
    "zoom_for",
    "zoom_in_words",
]
