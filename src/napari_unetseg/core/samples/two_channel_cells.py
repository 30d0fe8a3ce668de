"""Cells in two stains, one of the nuclei and one of the cytoplasm, in 2D or 3D."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_unetseg.core.samples.scene import (
    DARK,
    Doubles,
    Floats,
    Ints,
    Sample,
    check_parameters,
    checked_shape,
    checked_spacing,
    consecutive,
    record,
    scatter,
    smooth_field,
    uneven,
)

CELL_RADIUS = 12.0
"""Mean radius of a cell, in micrometres."""

GLOW = 150.0
"""Mean intensity of the medium, in counts."""

NUCLEUS, CYTOPLASM = 900.0, 500.0
"""Mean intensities of the two stains, in counts."""

_BINUCLEATE, _ANUCLEATE = 0.15, 0.08
_NUCLEUS_SIZE = 0.42
_ROUGHNESS = 0.07


@dataclass(eq=False)
class _Drawing:
    """Truth and stains while cells are drawn; `level` is 0 in the middle of a cell, 1 at its edge.

    Parameters
    ----------
    rough
        What is added to the level, so that outlines are irregular.
    """

    level: Floats
    rough: Floats
    cells: Ints
    nuclei: Ints
    tone: Floats


def cells(
    shape: Sequence[int] = (512, 512),
    *,
    seed: int = 0,
    density: float = 1.0,
    binucleate: float = _BINUCLEATE,
    anucleate: float = _ANUCLEATE,
    unevenness: float = 0.5,
    noise: float = 1.0,
    spacing: Sequence[float] = (),
) -> Sample:
    """Draw cells with their nuclei: channel 0 stains the nuclei, channel 1 the cytoplasm.

    Parameters
    ----------
    shape
        Rows and columns, or planes, rows and columns.
    seed
        Random seed; the same seed gives the same image.
    density
        1 is about 100 cells in 512×512 pixels at the default spacing, many of them touching.
    binucleate, anucleate
        Fractions of the cells with two nuclei, and without a nucleus in the section.
    unevenness
        Range of the background, relative to its mean.
    noise
        Factor on the camera's noise; 0 for none.
    spacing
        Micrometres per pixel along each axis: 0.65 in 2D, (1.5, 0.65, 0.65) in 3D by default.

    Returns
    -------
    Sample
        Classes 1, `cytoplasm`, and 2, `nucleus`; every cell is one object, and `nuclei` holds the
        nuclei, each within its cell. Image and background are (C, *spatial).

    Raises
    ------
    InputError
        When the shape or the spacing cannot be used, or a parameter is out of range.

    Notes
    -----
    0.2 s for 512×512 pixels.
    """
    sizes = checked_shape(shape, dimensions=(2, 3))
    usual = (0.65, 0.65) if len(sizes) == 2 else (1.5, 0.65, 0.65)
    steps = checked_spacing(spacing or usual, len(sizes))
    check_parameters(density=density, noise=noise)
    check_parameters(binucleate=binucleate, anucleate=anucleate, upper=1)
    check_parameters(unevenness=unevenness, upper=1.5)
    rng = np.random.default_rng(seed)
    drawn = _drawn(rng, sizes, steps, density, (binucleate, anucleate))
    glow = [GLOW * (1 + unevenness * uneven(rng, sizes)) for _ in range(2)]
    background = (DARK + np.stack(glow)).astype(np.float32)
    stain = np.stack([_nuclear(rng, sizes, drawn), _cytoplasmic(rng, sizes, drawn)])
    blur = [0.0, *(0.5 / step for step in steps)]
    light = background + ndimage.gaussian_filter(stain, blur, truncate=3)
    nuclei = consecutive(drawn.nuclei)
    classes = (drawn.cells > 0).astype(np.uint8)
    classes[nuclei > 0] = 2
    axes = "ZYX"[-len(sizes) :]
    return Sample(
        image=record(rng, light.astype(np.float32), noise),
        classes=classes,
        objects=consecutive(drawn.cells),
        background=background,
        spacing=steps,
        name=f"Cells in two stains in {len(sizes)}D (synthetic)",
        class_names=("cytoplasm", "nucleus"),
        axes=f"C{axes}",
        channel_names=("nuclei", "cytoplasm"),
        nuclei=nuclei,
    )


def _drawn(
    rng: np.random.Generator,
    sizes: tuple[int, ...],
    steps: tuple[float, ...],
    density: float,
    fractions: tuple[float, float],
) -> _Drawing:
    """Draw the cells, the nearest at each pixel, then the nuclei in them."""
    extent, ndim = np.asarray(sizes) * steps, len(sizes)
    room = float(np.prod(extent)) / CELL_RADIUS**ndim
    count = max(1, round(density * room / (7.7 if ndim == 2 else 12.0)))
    at = scatter(rng, np.zeros(ndim), extent, count, 1.55 * CELL_RADIUS)
    radii = CELL_RADIUS * np.exp(rng.normal(0, 0.1, len(at)))
    drawn = _Drawing(
        level=np.ones(sizes, np.float32),
        rough=_ROUGHNESS * smooth_field(rng, sizes, [4.0 / step for step in steps]),
        cells=np.zeros(sizes, np.int32),
        nuclei=np.zeros(sizes, np.int32),
        tone=np.zeros(sizes, np.float32),
    )
    tones = np.exp(rng.normal(0, 0.2, len(at)))
    for number, centre in enumerate(at):
        window, level = _levels(drawn, centre, np.full(ndim, radii[number]), steps)
        nearer = level < drawn.level[window]
        drawn.level[window][nearer] = level[nearer]
        drawn.cells[window][nearer] = number + 1
        drawn.tone[window][nearer] = tones[number]
    next_id = 1
    for number, centre in enumerate(at):
        lot = rng.uniform()
        way = rng.standard_normal(ndim)
        way *= radii[number] / np.linalg.norm(way)
        size = _NUCLEUS_SIZE * radii[number] * np.exp(rng.normal(0, 0.1, ndim))
        if lot < fractions[0]:
            places, size = [centre + 0.4 * way, centre - 0.4 * way], 0.75 * size
        else:
            places = [centre + 0.2 * rng.uniform() * way] * (lot < 1 - fractions[1])
        for place in places:
            window, level = _levels(drawn, place, size, steps)
            free = (drawn.cells[window] == number + 1) & (drawn.level[window] < 0.95)
            drawn.nuclei[window][(level < 1) & free] = next_id
            next_id += 1
    return drawn


def _levels(
    drawn: _Drawing, centre: Doubles, half: Doubles, steps: tuple[float, ...]
) -> tuple[tuple[slice, ...], Floats]:
    """Return the window of an ellipsoid, and the level of its pixels: 1 at its edge."""
    reach = 1.5 * half
    window = tuple(
        slice(max(int((c - r) / step), 0), max(int((c + r) / step) + 1, 0))
        for c, r, step in zip(centre, reach, steps, strict=True)
    )
    ends = zip(window, drawn.level.shape, strict=True)
    grid = np.ogrid[tuple(slice(w.start, min(w.stop, n)) for w, n in ends)]
    away = [
        ((axis * step - c) / h) ** 2
        for axis, step, c, h in zip(grid, steps, centre, half, strict=True)
    ]
    level = np.sqrt(sum(away)) + drawn.rough[window]
    return window, level.astype(np.float32)


def _nuclear(rng: np.random.Generator, sizes: tuple[int, ...], drawn: _Drawing) -> Floats:
    texture = 1 + 0.12 * smooth_field(rng, sizes, [3.0] * len(sizes))
    stain: Floats = NUCLEUS * (drawn.nuclei > 0) * np.clip(texture, 0.3, None)
    return stain


def _cytoplasmic(rng: np.random.Generator, sizes: tuple[int, ...], drawn: _Drawing) -> Floats:
    """Draw a granular cytoplasm that thins towards the edge and is fainter in the nucleus."""
    texture = 1 + 0.15 * smooth_field(rng, sizes, [2.0] * len(sizes))
    height = np.clip(1.25 - drawn.level**4, 0.25, 1) * (drawn.cells > 0)
    faint = np.where(drawn.nuclei > 0, 0.7, 1.0)
    stain: Floats = CYTOPLASM * drawn.tone * height * faint * np.clip(texture, 0.3, None)
    return stain


__all__ = ["CELL_RADIUS", "CYTOPLASM", "GLOW", "NUCLEUS", "cells"]
