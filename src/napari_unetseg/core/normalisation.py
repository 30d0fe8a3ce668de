"""Normalisation: scale the intensities of an image to the range a network expects.

Statistics come from the whole image, once, and never from a tile. They are computed from evenly
spaced planes and pixels, a few million at most, so that an image of any size, in memory or on disk,
gives the same numbers in about a second.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from napari_unetseg.core.compute.parallel_rows import map_strips
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image, read_pixels
from napari_unetseg.core.options import Options, option
from napari_unetseg.core.progress import Progress, silent, track

_PLANES, _PIXELS = 64, 2**22
"""Upper limits of the planes sampled, and of the pixels per channel sampled from all of them."""

_AT_ONCE = 2**16
"""Number of intensities that a thread scales at once."""


class NormalisationSpec(Options):
    """Options for scaling intensities before a network reads them."""

    method: Literal["percentile", "mean-std", "none"] = option(
        "percentile",
        "Normalisation",
        "Percentile scales each image so that a low and a high percentile become 0 and 1. "
        "Mean-std scales it to mean 0 and standard deviation 1. None keeps the intensities, for "
        "images that are already comparable.",
    )
    low: float = option(
        1.0,
        "Low percentile",
        "Percentile of the intensities that is scaled to 0.",
        when={"method": ("percentile",)},
        ge=0.0,
        lt=100.0,
        advanced=True,
    )
    high: float = option(
        99.8,
        "High percentile",
        "Percentile of the intensities that is scaled to 1.",
        when={"method": ("percentile",)},
        gt=0.0,
        le=100.0,
        advanced=True,
    )
    per: Literal["channel", "image"] = option(
        "channel",
        "Statistics per",
        "Scale each channel by its own statistics, or all channels together, which keeps the "
        "ratios between colours.",
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
    """Scaling of one image: (intensity - offset) * scale, for each channel.

    Parameters
    ----------
    offset, scale
        One number for each channel.
    """

    offset: tuple[float, ...]
    scale: tuple[float, ...]

    def apply(self, block: NDArray[Any]) -> NDArray[np.float32]:
        """Scale a block (C, *spatial) of any dtype into a new float32 array, on all cores.

        NaN and infinite pixels become 0, as pixels equal to the offset do. Its axes lie in memory
        in the order of those of the block.
        """
        each = (-1, *(1,) * (block.ndim - 1))
        # Subtracting before going to single precision keeps large 32-bit integers apart.
        wide = np.float64 if block.dtype.itemsize > 2 and block.dtype.kind in "ui" else np.float32
        offset = np.asarray(self.offset, dtype=wide).reshape(each)
        scale = np.asarray(self.scale, dtype=np.float32).reshape(each)
        if block.strides[0] < block.strides[-1]:
            # The colours of a pixel lie together: with the numbers of a whole row, numpy's inner
            # loops are long.
            row = block[(slice(None), *(slice(1),) * (block.ndim - 2), slice(None))]
            offset, scale = _repeated(offset, row), _repeated(scale, row)
        scaled = np.empty_like(block, dtype=np.float32)

        def of_rows(start: int, stop: int) -> None:
            rows = scaled[:, start:stop]
            np.subtract(block[:, start:stop], offset, out=rows, dtype=wide, casting="same_kind")
            rows *= scale
            if block.dtype.kind == "f":
                np.nan_to_num(rows, copy=False, nan=0.0, posinf=0.0, neginf=0.0)

        # Few enough pixels at once for the cache of a core.
        n_rows = block.shape[1]
        map_strips(of_rows, n_rows, rows=max(_AT_ONCE * n_rows // max(block.size, 1), 1))
        return scaled

    def to_dict(self) -> dict[str, Any]:
        """Return the scaling as values that JSON can hold."""
        return {name: list(numbers) for name, numbers in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build the scaling from the values of `to_dict`."""
        return cls(tuple(map(float, values["offset"])), tuple(map(float, values["scale"])))


def _repeated(numbers: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
    """Return numbers that broadcast to an array, at its shape and in its order in memory."""
    repeated = np.empty_like(like, dtype=numbers.dtype)
    repeated[...] = numbers
    return repeated


def fit_normalisation(
    image: Image, spec: NormalisationSpec, *, progress: Progress = silent
) -> Normalisation:
    """Compute the scaling of an image from its own statistics.

    NaN and infinite pixels are ignored; an image of constant intensity is only shifted.

    Parameters
    ----------
    image
        Any image; the colours of an RGB image count as channels.
    spec
        Which statistics to use.
    progress
        Called after each plane is read.
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


def check_finite(image: Image) -> None:
    """Raise unless an image has a number that is neither NaN nor infinite.

    Reads planes of floats up to the first that has one.

    Raises
    ------
    InputError
        When it has none.
    """
    planes = image.indices("CYX") if image.dtype.kind == "f" else ()
    if planes and not any(np.isfinite(image.block(index, "CYX")).any() for index in planes):
        raise InputError(
            "Every pixel of the image is NaN or infinite, so nothing can be found in it. Choose "
            "another image."
        )


def _offset_and_scale(sample: NDArray[Any], spec: NormalisationSpec) -> tuple[float, float]:
    if not sample.size:
        return 0.0, 1.0
    if spec.method == "percentile":
        offset, top = _percentiles(sample, (spec.low, spec.high))
        spread = top - offset
    else:
        offset, spread = float(sample.mean(dtype=np.float64)), float(sample.std(dtype=np.float64))
    # A spread as small as the rounding errors counts as zero.
    return offset, 1.0 / spread if spread > 1e-6 * max(abs(offset), 1e-30) else 1.0


def _percentiles(sample: NDArray[Any], shares: Sequence[float]) -> list[float]:
    """Return what `numpy.percentile` does; of short integers from their counts, which is faster."""
    if sample.dtype.kind != "u" or sample.dtype.itemsize > 2:
        return [float(value) for value in np.percentile(sample, shares)]
    ranks, found = np.bincount(sample).cumsum(), []
    for place in (share / 100 * (sample.size - 1) for share in shares):
        low = int(place)
        below, above = np.searchsorted(ranks, [low, min(low + 1, sample.size - 1)], side="right")
        part, step = place - low, above - below
        # In the order of numpy, for the same rounding.
        found.append(float(below + step * part if part < 0.5 else above - step * (1 - part)))
    return found


def intensities(image: Image, progress: Progress) -> list[NDArray[Any]]:
    """Sample evenly spaced finite intensities of each channel."""
    planes = image.indices("CYX")
    planes = planes[:: -(-len(planes) // _PLANES)]
    height, width = image.length("Y"), image.length("X")
    step = max(1, math.isqrt(math.ceil(height * width * len(planes) / _PIXELS)))
    inner = image.axes
    for axis in set(inner) - set("CYX"):
        inner = inner.replace(axis, "")
    thin = tuple(slice(None) if axis == "C" else slice(step // 2, None, step) for axis in inner)
    samples: list[list[NDArray[Any]]] = [[] for _ in range(image.n_channels)]
    for index in track(planes, progress, "reading intensities"):
        plane = read_pixels(image.data[image.block_slices(index, "CYX")][thin])
        channels = np.moveaxis(plane, inner.index("C"), 0) if "C" in inner else plane[None]
        for values, channel in zip(samples, channels, strict=True):
            values.append(
                channel[np.isfinite(channel)] if channel.dtype.kind == "f" else channel.ravel()
            )
    # Percentiles are differences, which booleans do not have.
    joined = (np.concatenate(values) for values in samples)
    return [values.astype(np.uint8) if values.dtype.kind == "b" else values for values in joined]


__all__ = ["Normalisation", "NormalisationSpec", "check_finite", "fit_normalisation", "intensities"]
