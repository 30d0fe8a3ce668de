"""Background of an image: fit a smooth surface to its pixels, then subtract it or divide by it."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from napari_unetseg.core.background.coarse_grid import Side
from napari_unetseg.core.background.polynomial import ORDERS, Polynomial, Terms, scaled_positions
from napari_unetseg.core.background.shared_planes import (
    FitChoice,
    Group,
    Per,
    Robust,
    broadcast_exclusion,
    choose_fits,
    group_planes,
    read_scene,
)
from napari_unetseg.core.background.term_choice import polynomials, smooth_surfaces
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image, Index, RgbChannel
from napari_unetseg.core.options import Options, option
from napari_unetseg.core.progress import Progress, part, silent

_CHOSEN = ("auto", "polynomial", "smooth")  # from the image
_CHOICES = (*_CHOSEN, *[name for name in ORDERS if name != "constant"], "lecture")
_LATTICE = 65


class BackgroundOptions(Options):
    """Options for fitting and removing the background."""

    terms: str = option(
        "auto",
        "Terms",
        f"Shape of the surface: {', '.join(_CHOICES)} (1, x, y, y²), or a list such as "
        "1,x,y,x*y,x^2. polynomial is of the order up to 8 that predicts parts of the background "
        "held out of the fit; smooth follows spots and vignettes by terms up to order 12, held "
        "back from bending; auto takes the simplest of these that predicts well.",
        suggestions=_CHOICES,
    )
    robust: Robust = option(
        "auto",
        "Ignore pixels",
        "Which objects to ignore in the fit: bright, dark, both, or none. auto finds the kind in "
        "the image. Bright or dark objects may cover up to 60 % of the image, both kinds together "
        "up to 30 %.",
    )
    mode: Literal["subtract", "divide"] = option(
        "subtract",
        "Remove by",
        "Subtract the background if it adds to the objects, as stray light does. Divide if it "
        "scales them, as uneven illumination does.",
    )
    per: Per = option(
        "plane",
        "Fit per",
        "Fit one surface to each plane, one to all planes together, or one that changes smoothly "
        "along z.",
    )
    channel: RgbChannel = option(
        "luminance",
        "RGB channel",
        "Which channel to use: its weighted mean (luminance) or one colour, of an RGB image. Other "
        "images ignore this.",
        advanced=True,
    )

    @model_validator(mode="after")
    def _terms_are_known(self) -> Self:
        self.candidates()
        return self

    def candidates(self) -> tuple[Terms, ...]:
        """Return the terms, or those to choose from in the image, simplest first.

        Raises
        ------
        InputError
            When the text cannot be read as terms.
        """
        name = self.terms.strip().lower()
        if name not in _CHOSEN:
            return (Terms.parse(self.terms, self.ndim),)
        orders = polynomials(self.ndim) if name != "smooth" else ()
        return orders + (smooth_surfaces(self.ndim) if name != "polynomial" else ())

    @property
    def ndim(self) -> int:
        """Number of dimensions of the surface: 3 when it changes along z, else 2."""
        return 3 if self.per == "volume" else 2


@dataclass(frozen=True, eq=False)
class Surface:
    """Fitted surface of one plane, of the planes of a channel, or of a volume.

    Parameters
    ----------
    at
        Position of the plane or volume along the axes with separate surfaces, such as ``{"C": 1}``.
    polynomial
        The polynomial of the surface.
    n_usable, n_used, rms, flatness_before, flatness_after
        See `napari_unetseg.core.background.fit_surface.SurfaceFit`.
    mean
        Mean of the surface: the value of a perfectly flat image after division.
    floor
        Lower limit of the divisor; 0 for a surface that is only subtracted.
    ignored
        The objects that were ignored: bright, dark, both or none.
    doubt
        Reason not to trust the surface, or ``""``.
    """

    at: Mapping[str, int]
    polynomial: Polynomial
    n_usable: int
    n_used: int
    rms: float
    flatness_before: float
    flatness_after: float
    mean: float
    floor: float
    ignored: Side = "none"
    doubt: str = ""

    def describe(self, spacing: tuple[float, ...]) -> dict[str, Any]:
        """Return the terms, their coefficients and the quality of the fit as values for JSON."""
        names = self.polynomial.terms.names
        pixel = self.polynomial.pixel_coefficients().tolist()
        physical = self.polynomial.physical_coefficients(spacing).tolist()
        return {
            "at": dict(self.at),
            "terms": list(names),
            "stiffness": self.polynomial.terms.stiffness,
            "pixel_coefficients": dict(zip(names, pixel, strict=True)),
            "physical_coefficients": dict(zip(names, physical, strict=True)),
            "rms_residual": self.rms,
            "flatness_before": self.flatness_before,
            "flatness_after": self.flatness_after,
            "pixels_usable": self.n_usable,
            "pixels_used": self.n_used,
            "ignored": self.ignored,
        }


@dataclass(frozen=True, eq=False, repr=False)
class Background:
    """Fitted background of an image; see `fit_background`.

    Parameters
    ----------
    options
        The options of the fit.
    template
        An image with the grey image's axes and spacing that takes no memory.
    surfaces
        The fitted surfaces.
    plane_surfaces
        For each plane, by its index along the axes other than Y and X: the number of its surface,
        and the plane's height in that surface.
    """

    options: BackgroundOptions
    template: Image
    surfaces: tuple[Surface, ...]
    plane_surfaces: Mapping[Index, tuple[int, int]]

    def __repr__(self) -> str:
        terms = ", ".join(self.surfaces[0].polynomial.terms.names)
        count = f"{len(self.surfaces)} surface{'s' * (len(self.surfaces) != 1)}"
        return f"Background({count} of {terms}; mode={self.options.mode!r}, {self.template!r})"

    @property
    def warning(self) -> str:
        """A sentence on why the surface may be wrong and what to do, or ``""``."""
        doubts = [surface.doubt for surface in self.surfaces if surface.doubt]
        if not doubts:
            return ""
        count = f" in {len(doubts)} of {len(self.surfaces)} fits" * (len(self.surfaces) > 1)
        return f"The background may be wrong{count}: {doubts[0]}"

    @property
    def ignored(self) -> tuple[Side, ...]:
        """The kinds of objects that were ignored, one if all surfaces have the same."""
        return tuple(dict.fromkeys(surface.ignored for surface in self.surfaces))

    def surface(self) -> Image:
        """Evaluate the surface at every pixel, float32; lazy when the fitted image was."""
        if not self.template.lazy:
            out = np.empty(self.template.shape, dtype=np.float32)
            self.fill("surface", None, out, (0,) * out.ndim)
            return self.template.with_data(out)
        import dask.array

        data = dask.array.map_blocks(
            functools.partial(_surface_block, self),
            chunks=self.template.data.chunks,
            dtype=np.float32,
            meta=np.empty((0,) * self.template.ndim, dtype=np.float32),
        )
        return self.template.with_data(data)

    def residual(self, image: Any) -> Image:
        """Subtract the surface from `image`, float32; lazy when `image` is.

        Raises
        ------
        InputError
            When the image differs in shape from the fitted one.
        """
        return self._taken_out(image, "subtract")

    def flatten(self, image: Any) -> Image:
        """Remove the surface from `image` by the chosen mode, float32; lazy when `image` is.

        Subtraction leaves values around 0. Division is ``image / surface * mean(surface)``. The fit
        checks that a surface to divide by is above 0 on a lattice of 65 by 65 positions; between
        these, it is kept above half of its minimum on the lattice. NaN stays NaN.

        Parameters
        ----------
        image
            The fitted image or another of the same shape, such as the next field of view;
            an `Image` or an array.

        Raises
        ------
        InputError
            When the image differs in shape from the fitted one.
        """
        return self._taken_out(image, self.options.mode)

    def polynomial(self, index: Index = ()) -> tuple[Polynomial, int]:
        """Return the surface of one plane and the plane's height in it.

        Parameters
        ----------
        index
            Index along the axes other than Y and X; empty for a single plane.
        """
        number, height = self.plane_surfaces[index]
        return self.surfaces[number].polynomial, height

    def describe(self) -> dict[str, Any]:
        """Return a summary of the fit and its quality as values for JSON.

        The flatness and residual are means over the surfaces; the figures of each surface are in
        ``"surfaces"``, with its coefficients in pixels and in physical units. Positions count from
        the centre of the first pixel. Flatness is the standard deviation of the background's area
        means over the image's range; 0 is flat.
        """
        surfaces = [surface.describe(self.template.spacing) for surface in self.surfaces]
        means = ("rms_residual", "flatness_before", "flatness_after")
        totals = ("pixels_usable", "pixels_used")
        return {
            **self.options.model_dump(),
            "unit": self.template.unit,
            **{key: float(np.mean([surface[key] for surface in surfaces])) for key in means},
            **{key: sum(surface[key] for surface in surfaces) for key in totals},
            "ignored": list(self.ignored),
            "warning": self.warning,
            "surfaces": surfaces,
        }

    def _taken_out(self, image: Any, mode: Literal["subtract", "divide"]) -> Image:
        if not isinstance(image, Image):
            same = np.ndim(image) == self.template.ndim
            image = Image.of(image, self.template.axes if same else None)
        grey = image.grey(self.options.channel)
        if grey.shape != self.template.shape or grey.axes != self.template.axes:
            raise InputError(
                f"The background was fitted to an image of shape {self.template.shape} "
                f"({self.template.axes}); this one is {grey.shape} ({grey.axes}). "
                "Fit a background to this image."
            )
        if not grey.lazy:
            out = np.empty(grey.shape, dtype=np.float32)
            self.fill(mode, grey.data, out, (0,) * out.ndim)
            return grey.with_data(out)
        import dask.array

        data = dask.array.map_blocks(
            functools.partial(_taken_out_block, self, mode),
            grey.data,
            dtype=np.float32,
            meta=np.empty((0,) * grey.ndim, dtype=np.float32),
        )
        return grey.with_data(data)

    def fill(
        self,
        operation: Literal["surface", "subtract", "divide"],
        data: NDArray[Any] | None,
        out: NDArray[np.float32],
        origin: tuple[int, ...],
    ) -> None:
        """Write the surface, or a block of the corrected image, to an array.

        Parameters
        ----------
        operation
            The operation; see `napari_unetseg.core.background.moments.apply_surface`.
        data
            The block of the image, of the shape of `out`; None for the surface.
        out
            The output array.
        origin
            Position of the block's first pixel in the image, in array order.
        """
        # Numba takes a third of a second to load, so it is imported only for computing.
        from napari_unetseg.core.background.moments import apply_surface

        block = Image(out, self.template.axes)
        y, x = (origin[block.axes.index(axis)] for axis in "YX")
        positions = scaled_positions(self.template.length("X"))[x : x + block.length("X")]
        start = [first for axis, first in zip(block.axes, origin, strict=True) if axis not in "YX"]
        for index in block.indices():
            plane_index = tuple(first + step for first, step in zip(start, index, strict=True))
            number, height = self.plane_surfaces[plane_index]
            surface = self.surfaces[number]
            at = block.block_slices(index)
            # Kernels are compiled for contiguous arrays only; a channels-last array is not
            # contiguous.
            whole = out[at].flags.c_contiguous
            target = out[at] if whole else np.empty(out[at].shape, dtype=np.float32)
            apply_surface(
                operation,
                surface.polynomial.row_coefficients(height)[y : y + block.length("Y")],
                positions,
                target,
                data=None if data is None else data[at],
                mean=surface.mean,
                floor=surface.floor,
            )
            if not whole:
                out[at] = target


def fit_background(
    image: Image,
    options: BackgroundOptions,
    *,
    exclude: Any = None,
    progress: Progress = silent,
) -> Background:
    """Fit a smooth surface to the background of an image.

    Parameters
    ----------
    image
        Any image. Each channel and, except for ``per="stack"``, each time has its own surface. NaN
        and infinite pixels are ignored.
    options
        The terms of the surface, which pixels to ignore, and which planes share a surface.
    exclude
        Labels, nonzero where a pixel is an object, of the shape of the image (without colour) or
        of its last axes: numpy or dask.
    progress
        Called at every pass over the pixels of each surface.

    Returns
    -------
    Background

    Raises
    ------
    InputError
        When no pixel is left to fit, too few are for the terms, or a surface to divide by is not
        above 0.
    Cancelled
        When `progress` raises it.

    Notes
    -----
    Least squares in closed form from separable moments; memory is that of the image, or of a band
    of rows of a lazy one, and of small tables. One reading of the image and one pass when not
    robust; up to six passes when robust (see `napari_unetseg.core.background.fit_surface`).

    Examples
    --------
    >>> image = Image.of(np.add.outer(np.arange(64.0), np.arange(48.0)))
    >>> background = fit_background(image, BackgroundOptions(terms="plane"))
    >>> bool(np.allclose(background.flatten(image).data, 0, atol=1e-4))
    True
    """
    grey = image.grey(options.channel)
    excluded = broadcast_exclusion(grey, exclude)
    groups = group_planes(grey, options.per)
    choices = choose_fits(
        grey,
        excluded,
        groups,
        options.candidates(),
        robust=options.robust,
        ndim=options.ndim,
        progress=part(progress, 0, 0.2),
    )
    surfaces = []
    for number, group in enumerate(groups):
        share = part(
            progress, 0.2 + 0.8 * number / len(groups), 0.2 + 0.8 * (number + 1) / len(groups)
        )
        chosen = choices[group.at.get("C", 0)]
        surfaces.append(_fit(grey, excluded, group, chosen, options, share))
    progress(1.0, "fitted")
    return background_from_surfaces(image, options, tuple(surfaces))


def background_from_surfaces(
    image: Image, options: BackgroundOptions, surfaces: tuple[Surface, ...]
) -> Background:
    """Build the background of an image from stored surfaces, in the order of the fit."""
    grey = image.grey(options.channel)
    plane_surfaces = {
        index: (number, height)
        for number, group in enumerate(group_planes(grey, options.per))
        for index, height in zip(group.planes, group.heights, strict=True)
    }
    return Background(options, _template(grey), surfaces, plane_surfaces)


def _fit(
    grey: Image,
    excluded: Any,
    group: Group,
    choice: FitChoice,
    options: BackgroundOptions,
    progress: Progress,
) -> Surface:
    from napari_unetseg.core.background.fit_surface import fit_surface

    scene = read_scene(grey, excluded, group, part(progress, 0, 0.2))
    side = choice.ignored.side
    fit = fit_surface(scene, choice.terms, side, progress=part(progress, 0.2, 1))
    return Surface(
        at=group.at,
        polynomial=fit.polynomial,
        n_usable=fit.n_usable,
        n_used=fit.n_used,
        rms=fit.rms,
        flatness_before=fit.flatness_before,
        flatness_after=fit.flatness_after,
        mean=fit.polynomial.mean(),
        floor=_floor(fit.polynomial) if options.mode == "divide" else 0.0,
        ignored=side,
        doubt=_doubt(fit.holds, choice, side, named=options.terms not in ("auto", "polynomial")),
    )


def _doubt(holds: bool, choice: FitChoice, side: Side, *, named: bool) -> str:
    if not holds and named:
        return (
            f"it does not follow these terms, or too little of the image is free of {side} "
            "objects. Choose auto, leave objects out by a mask, or check the residual."
        )
    if not holds:
        return (
            f"too little of the image is free of {side} objects. Leave objects out by a mask, or "
            "check the residual."
        )
    if not choice.ignored.certain:
        return (
            f"two levels of the image could be the background, and {side} objects were assumed. "
            "If that is wrong, choose which pixels to ignore."
        )
    return ""


def _floor(polynomial: Polynomial) -> float:
    """Return half the minimum of a surface on a lattice.

    Raises
    ------
    InputError
        When the minimum is not above 0.
    """
    least = np.inf
    for plane in range(polynomial.shape[0]):
        rows = polynomial.row_coefficients(plane)
        picked = np.unique(np.linspace(0, len(rows) - 1, _LATTICE).round().astype(int))
        along = np.vander(np.linspace(-1, 1, _LATTICE), rows.shape[1], increasing=True)
        least = min(least, float((rows[picked] @ along.T).min()))
    if least <= 0:
        raise InputError(
            f"The fitted background falls to {least:.4g}, but an image can only be divided by a "
            "background above 0 everywhere. Subtract it instead, or choose fewer terms."
        )
    return least / 2


def _template(grey: Image) -> Image:
    """Make an image with the axes and spacing of `grey` that takes no memory."""
    if not grey.lazy:
        return replace(grey, data=np.broadcast_to(np.float32(0), grey.shape))
    import dask.array

    return replace(grey, data=dask.array.zeros(grey.shape, chunks=grey.data.chunks, dtype="f4"))


def _surface_block(background: Background, *, block_info: dict[Any, Any]) -> NDArray[np.float32]:
    location = block_info[None]["array-location"]
    out = np.empty([stop - start for start, stop in location], dtype=np.float32)
    background.fill("surface", None, out, tuple(start for start, _ in location))
    return out


def _taken_out_block(
    background: Background,
    mode: Literal["subtract", "divide"],
    block: NDArray[Any],
    *,
    block_info: dict[Any, Any],
) -> NDArray[np.float32]:
    location = block_info[0]["array-location"]
    out = np.empty(block.shape, dtype=np.float32)
    background.fill(mode, block, out, tuple(start for start, _ in location))
    return out


__all__ = [
    "Background",
    "BackgroundOptions",
    "Surface",
    "background_from_surfaces",
    "fit_background",
]
