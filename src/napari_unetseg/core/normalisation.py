"""Normalisation: bring the intensities of any microscope into the range a network expects.

The numbers come from the whole image, once, and never from a tile. Reading is by evenly spaced
planes and pixels, some millions of them, so that an image of any size, in memory or on disk,
gives the same numbers in about a second.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from napari_unetseg.core.image import Image
from napari_unetseg.core.options import Options, option
from napari_unetseg.core.progress import Progress, silent, track

_PLANES, _PIXELS = 64, 2**22
"""At most so many planes, and so many pixels a channel of all of them, are looked at."""


class NormalisationSpec(Options):
    """How intensities are scaled before a network sees them."""

    method: Literal["percentile", "mean-std", "none"] = option(
        "percentile",
        "Normalisation",
        "Scale each image so that a low and a high percentile become 0 and 1, or to mean 0 and "
        "standard deviation 1. None keeps the numbers, for images already comparable.",
    )
    low: float = option(
        1.0,
        "Low percentile",
        "The share of darker pixels at what becomes 0, in percent.",
        when={"method": ("percentile",)},
        ge=0.0,
        lt=100.0,
        advanced=True,
    )
    high: float = option(
        99.8,
        "High percentile",
        "The share of darker pixels at what becomes 1, in percent.",
        when={"method": ("percentile",)},
        gt=0.0,
        le=100.0,
        advanced=True,
    )
    per: Literal["channel", "image"] = option(
        "channel",
        "Statistics of",
        "Each channel by itself, or all together: then the colours' ratios stay.",
        when={"method": ("percentile", "mean-std")},
        advanced=True,
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(
                f"The low percentile {self.low:g} must be below the high one, {self.high:g}. "
                "Lower the first or raise the second."
            )
        return self


@dataclass(frozen=True)
class Normalisation:
    """The scaling of one image: (intensity - offset) * scale, for each channel.

    Parameters
    ----------
    offset, scale
        One number for each channel.
    """

    offset: tuple[float, ...]
    scale: tuple[float, ...]

    def apply(self, block: NDArray[Any]) -> NDArray[np.float32]:
        """Return a block (C, *spatial) of any numbers scaled, as a new float32 array.

        What is not a finite number becomes 0, the offset's own value.
        """
        each = (-1, *(1,) * (block.ndim - 1))
        # Subtracting before going to single precision keeps large 32-bit integers apart.
        wide = np.float64 if block.dtype.itemsize > 2 and block.dtype.kind in "ui" else np.float32
        offset = np.asarray(self.offset, dtype=wide).reshape(each)
        scaled: NDArray[np.float32] = np.subtract(block, offset, dtype=wide).astype(np.float32)
        scaled *= np.asarray(self.scale, dtype=np.float32).reshape(each)
        if block.dtype.kind == "f":
            np.nan_to_num(scaled, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        return scaled

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {name: list(numbers) for name, numbers in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Undo `to_dict`."""
        return cls(tuple(map(float, values["offset"])), tuple(map(float, values["scale"])))


def fit_normalisation(
    image: Image, spec: NormalisationSpec, *, progress: Progress = silent
) -> Normalisation:
    """Return the scaling of an image by its own statistics.

    Numbers that are not finite do not count; an image of one intensity is only shifted.

    Parameters
    ----------
    image
        Any image; colour counts as channels.
    spec
        Which statistics.
    progress
        Told after each plane that was read.
    """
    n = image.n_channels
    if spec.method == "none":
        return Normalisation((0.0,) * n, (1.0,) * n)
    samples = intensities(image, progress)
    if spec.per == "image":
        samples = [np.concatenate(samples)]
    pairs = [_offset_and_scale(sample, spec) for sample in samples]
    offsets, scales = zip(*(pairs if spec.per == "channel" else pairs * n), strict=True)
    return Normalisation(offsets, scales)


def _offset_and_scale(sample: NDArray[Any], spec: NormalisationSpec) -> tuple[float, float]:
    if not sample.size:
        return 0.0, 1.0
    if spec.method == "percentile":
        offset, top = map(float, np.percentile(sample, [spec.low, spec.high]))
        spread = top - offset
    else:
        offset, spread = float(sample.mean(dtype=np.float64)), float(sample.std(dtype=np.float64))
    # A spread of rounding errors is no spread.
    return offset, 1.0 / spread if spread > 1e-6 * max(abs(offset), 1e-30) else 1.0


def intensities(image: Image, progress: Progress) -> list[NDArray[Any]]:
    """Return evenly spaced finite intensities of each channel."""
    planes = image.indices("CYX")
    planes = planes[:: -(-len(planes) // _PLANES)]
    height, width = image.length("Y"), image.length("X")
    step = max(1, math.isqrt(math.ceil(height * width * len(planes) / _PIXELS)))
    inner = image.axes
    for axis in set(inner) - set("CYX"):
        inner = inner.replace(axis, "")
    thin = tuple(slice(None) if axis == "C" else slice(step // 2, None, step) for axis in inner)
    found: list[list[NDArray[Any]]] = [[] for _ in range(image.n_channels)]
    for index in track(planes, progress, "reading intensities"):
        plane = np.asarray(image.data[image.block_slices(index, "CYX")][thin])
        channels = np.moveaxis(plane, inner.index("C"), 0) if "C" in inner else plane[None]
        for values, channel in zip(found, channels, strict=True):
            values.append(channel[np.isfinite(channel)])
    return [np.concatenate(values) for values in found]


__all__ = ["Normalisation", "NormalisationSpec", "fit_normalisation", "intensities"]
