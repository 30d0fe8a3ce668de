"""Filter bank: features of each pixel's neighbourhood at several scales.

For each scale the image is smoothed with a Gaussian; the gradient magnitude, the Laplacian, the
eigenvalues of the Hessian and those of the structure tensor are computed from the smoothed image by
five-point differences. All are multiplied by the power of the scale that makes them comparable
between scales (Lindeberg 1998), and all are rotation covariant. Every filter has a finite reach, so
a tile with that much margin gives exactly the features of the whole image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator, model_validator

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.features.filter_passes import (
    DIFFERENCE_REACH,
    INTEGRATION,
    Bank,
    axis_sigmas,
    radius,
)
from napari_unetseg.core.options import Options, option

FloatArray = NDArray[np.float32]

BORDER: Literal["symmetric"] = "symmetric"
"""Boundary mode, as in `numpy.pad` and `TileGrid`."""

_MAX_SIGMA = 64.0


@dataclass(frozen=True)
class Filter:
    """Filter: one or several features computed together, with their reach.

    Parameters
    ----------
    names
        A name for each feature.
    sigma
        Scale in pixels of the finest axis; 0 for the intensity itself.
    reach
        Pixels needed beyond the pixel itself, along each spatial axis.
    """

    names: tuple[str, ...]
    sigma: float
    reach: tuple[int, ...]


class FilterBankSpec(Options):
    """Options of the filter bank: filters and scales.

    A scale is the standard deviation of a Gaussian in pixels of the finest spatial axis; along a
    coarser axis it spans correspondingly fewer pixels.

    Examples
    --------
    >>> FilterBankSpec(sigmas="1, 2").reach(2)
    (14, 14)
    """

    sigmas: str = option(
        "1, 2, 4, 8",
        "Scales",
        "Standard deviations of the Gaussian filters in pixels, smallest first. Add a larger "
        "scale for larger objects; computing time and tile margins grow with the largest.",
    )
    intensity: bool = option(
        True, "Intensity", "Intensity of the pixel itself, not smoothed.", advanced=True
    )
    gaussian: bool = option(True, "Gaussian", "Smoothed intensity at each scale.", advanced=True)
    gradient: bool = option(
        True, "Gradient", "Gradient magnitude at each scale: responds to edges.", advanced=True
    )
    laplacian: bool = option(
        False,
        "Laplacian",
        "Laplacian at each scale: responds to blobs. It is the sum of the Hessian eigenvalues, "
        "so it adds little to them.",
        advanced=True,
    )
    hessian: bool = option(
        True,
        "Hessian",
        "Eigenvalues of the Hessian at each scale: respond to ridges, valleys and blobs.",
        advanced=True,
    )
    structure: bool = option(
        True,
        "Structure",
        "Square roots of the eigenvalues of the structure tensor at each scale: tell oriented "
        "texture from corners.",
        advanced=True,
    )

    @field_validator("sigmas")
    @classmethod
    def _check_sigmas(cls, text: str) -> str:
        return ", ".join(f"{sigma:g}" for sigma in _parse(text))

    @model_validator(mode="after")
    def _check_any(self) -> "FilterBankSpec":
        if not self.intensity and not any(self.chosen):
            raise ValueError("No filter is chosen. Choose at least one, such as Gaussian.")
        return self

    @property
    def chosen(self) -> tuple[bool, ...]:
        """Return whether each filter with a scale is chosen, in the order of the features."""
        return self.gaussian, self.gradient, self.laplacian, self.hessian, self.structure

    @property
    def scales(self) -> tuple[float, ...]:
        """Return the scales in pixels, ascending."""
        return tuple(_parse(self.sigmas)) if any(self.chosen) else ()

    def filters(self, ndim: int, spacing: Sequence[float] = ()) -> tuple[Filter, ...]:
        """List the filters of one channel, in the order of their features.

        Parameters
        ----------
        ndim
            2 for planes, 3 for volumes.
        spacing
            Physical pixel size along each spatial axis; isotropic when not given.
        """
        filters = []
        if self.intensity:
            filters.append(Filter(("intensity",), 0.0, (0,) * ndim))
        for sigma in self.scales:
            filters.extend(self._filters_at(sigma, axis_sigmas(sigma, ndim, spacing)))
        return tuple(filters)

    def _filters_at(self, sigma: float, along: tuple[float, ...]) -> list[Filter]:
        counts = (1, 1, 1, len(along), len(along))
        titles = ("Gaussian", "gradient", "Laplacian", "Hessian", "structure")
        smooth = tuple(radius(s) for s in along)
        edge = tuple(r + DIFFERENCE_REACH for r in smooth)
        wide = tuple(r + radius(INTEGRATION * s) for r, s in zip(edge, along, strict=True))
        reaches = (smooth, edge, edge, edge, wide)
        filters = []
        for use, count, title, reach in zip(self.chosen, counts, titles, reaches, strict=True):
            if use:
                parts = [f" {k + 1}" if count > 1 else "" for k in range(count)]
                names = tuple(f"{title}{part}, σ={sigma:g}" for part in parts)
                filters.append(Filter(names, sigma, reach))
        return filters

    def names(
        self, ndim: int, *, n_channels: int = 1, spacing: Sequence[float] = ()
    ) -> tuple[str, ...]:
        """Return the name of every feature, in order: all of the first channel, the second, ..."""
        names = [name for each in self.filters(ndim, spacing) for name in each.names]
        if n_channels == 1:
            return tuple(names)
        return tuple(f"channel {c}: {name}" for c in range(n_channels) for name in names)

    def n_features(self, ndim: int, *, n_channels: int = 1) -> int:
        """Count the features."""
        return len(self.names(ndim, n_channels=n_channels))

    def reach(self, ndim: int, spacing: Sequence[float] = ()) -> tuple[int, ...]:
        """Return the reach of the filters in pixels, along each axis."""
        reaches = [each.reach for each in self.filters(ndim, spacing)]
        return tuple(max(along) for along in zip(*reaches, strict=True))


def filter_bank(
    block: NDArray[Any],
    spec: FilterBankSpec,
    *,
    spacing: Sequence[float] = (),
    margin: Sequence[int] = (),
    out: FloatArray | None = None,
) -> FloatArray:
    """Compute the features of every pixel of a block.

    Parameters
    ----------
    block
        (C, Y, X) or (C, Z, Y, X), numbers without NaN; computed in float32.
    spec
        Which features.
    spacing
        Physical pixel size along each spatial axis; isotropic when not given.
    margin
        Pixels at each end of each spatial axis that serve as context only and get no features.
        Where the margin is less than the reach of the filters, the block is extended by reflection.
    out
        Output array of the result's shape and dtype; reusing one saves the page faults of a new
        array.

    Returns
    -------
    ndarray
        (F, *spatial without the margins), float32; in the order of `FilterBankSpec.names`.

    Raises
    ------
    InputError
        When the block is neither 2D nor 3D, or no pixel is left within the margins.

    Notes
    -----
    A filter of scale σ takes 8 passes of 6σ products per pixel in 2D and 21 in 3D, shared by the
    cores; in addition to the result it needs four copies of a plane, or eight of a volume.
    """
    ndim = block.ndim - 1
    if ndim not in (2, 3):
        raise InputError(
            f"Features need a block (C, Y, X) or (C, Z, Y, X), not {block.ndim} axes. Take a "
            "plane or a stack of the image."
        )
    edges = tuple(margin) if margin else (0,) * ndim
    shape = tuple(n - 2 * edge for n, edge in zip(block.shape[1:], edges, strict=True))
    if min(shape) < 1:
        raise InputError(
            f"A block of {block.shape[1:]} pixels with margins {edges} has nothing left. "
            "Take a larger block."
        )
    wanted = (spec.n_features(ndim, n_channels=len(block)), *shape)
    result = np.empty(wanted, np.float32) if out is None else _checked(out, wanted)
    reach = spec.reach(ndim, spacing)
    pad = [(max(r - e, 0),) * 2 for r, e in zip(reach, edges, strict=True)]
    cut = tuple(
        slice(max(e - r, 0), -max(e - r, 0) or None) for r, e in zip(reach, edges, strict=True)
    )
    per_channel = wanted[0] // len(block)
    for c, channel in enumerate(block):
        source = np.pad(np.asarray(channel[cut], np.float32), pad, mode=BORDER)
        target = result[c * per_channel : (c + 1) * per_channel]
        Bank(source, target, reach, spacing, spec.intensity, spec.chosen).run(spec.scales)
    return result


def _checked(out: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    if out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ValueError(f"out must be contiguous float32 of shape {shape}")
    return out


def _parse(text: str) -> list[float]:
    """Parse the scales in `text`, ascending, without duplicates."""
    try:
        sigmas = sorted({float(word) for word in text.replace(",", " ").replace(";", " ").split()})
    except ValueError as error:
        raise ValueError(
            f"The scales {text!r} are not numbers. Enter them like 1, 2, 4."
        ) from error
    if not sigmas:
        raise ValueError("No scale is given. Enter at least one, such as 1, 2, 4.")
    if not all(0.3 <= sigma <= _MAX_SIGMA for sigma in sigmas):
        raise ValueError(f"The scales {text!r} must be between 0.3 and {_MAX_SIGMA:g} pixels.")
    return sigmas


__all__ = ["BORDER", "Filter", "FilterBankSpec", "filter_bank"]
