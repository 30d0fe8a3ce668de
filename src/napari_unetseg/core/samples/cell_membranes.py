"""Tissue of cells with bright membranes, in 2D or 3D."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

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
    smooth_field,
    uneven,
    vignette,
)

CELL = 16.0
"""Mean distance between the centres of two cells, in micrometres."""

GLOW = 250.0
"""Mean intensity of the medium, in counts."""

STAIN = 1400.0
"""Intensity of a membrane before the blur, in counts."""

CYTOPLASM = 60.0
"""Mean intensity inside a cell, in counts."""


def membranes(
    shape: Sequence[int] = (512, 512),
    *,
    seed: int = 0,
    density: float = 1.0,
    thickness: float = 1.0,
    unevenness: float = 0.8,
    vignetting: float = 0.0,
    blur: float = 1.0,
    noise: float = 1.0,
    spacing: Sequence[float] = (),
) -> Sample:
    """Draw a tissue of adjacent cells with bright membranes, and holes in it.

    Parameters
    ----------
    shape
        Rows and columns, or planes, rows and columns.
    seed
        Random seed; the same seed gives the same image.
    density
        Cells per area or volume: 1 is a cell every 16 micrometres.
    thickness
        Factor on the thickness of the membranes, which is 1.4 micrometres.
    unevenness
        Range of the background, relative to its mean.
    vignetting
        Fraction of all light that is lost in the corners.
    blur
        Factor on the width of the point spread function, which is 2.5 times longer along Z.
    noise
        Factor on the camera's noise; 0 for none.
    spacing
        Micrometres per pixel along each axis: 0.5 in 2D, (1.0, 0.5, 0.5) in 3D by default.

    Returns
    -------
    Sample
        One class, `membrane`. Every cell is one object: its interior, up to the membrane. So no
        pixel is in both; pixels in neither lie in the holes.

    Raises
    ------
    InputError
        When the shape or the spacing cannot be used, or a parameter is out of range.

    Notes
    -----
    A Voronoi tessellation of jittered points in a gently warped space; membranes are the pixels
    near the plane between their two nearest points. 0.4 s for 512×512 pixels.
    """
    sizes = checked_shape(shape, dimensions=(2, 3))
    usual = (0.5, 0.5) if len(sizes) == 2 else (1.0, 0.5, 0.5)
    steps = checked_spacing(spacing or usual, len(sizes))
    check_parameters(noise=noise, blur=blur)
    check_parameters(density=density, thickness=thickness, upper=3)
    check_parameters(unevenness=unevenness, upper=1.5)
    check_parameters(vignetting=vignetting, upper=0.9)
    rng = np.random.default_rng(seed)
    pitch = CELL / max(density, 0.02) ** (1 / len(sizes))
    cell, wall, n_cells = _tessellate(rng, sizes, steps, pitch)
    solid = _solid(rng, cell[0], n_cells)
    inside = solid[cell[0]]
    membrane = (wall < 0.7 * max(thickness, 0.1)) & (inside | solid[cell[1]])
    objects = consecutive(np.where(inside & ~membrane, cell[0] + 1, 0).astype(np.int32))
    patchy = np.clip(1 + 0.22 * smooth_field(rng, sizes, [5.0 / step for step in steps]), 0.3, None)
    content = np.where(solid, rng.gamma(4, CYTOPLASM / 4, n_cells), 0).astype(np.float32)
    mottle = 1 + 0.3 * smooth_field(rng, sizes, [1.5 / step for step in steps])
    stain = np.where(membrane, STAIN * patchy, content[cell[0]] * mottle).astype(np.float32)
    widths = np.array([1.1, 0.45, 0.45])[-len(sizes) :] * blur / steps
    blurred = ndimage.gaussian_filter(stain, widths, truncate=3)
    gain = vignette(sizes, vignetting)
    background = (DARK + GLOW * gain * (1 + unevenness * uneven(rng, sizes))).astype(np.float32)
    return Sample(
        image=record(rng, background + gain * blurred, noise),
        classes=membrane.astype(np.uint8),
        objects=objects,
        background=background,
        spacing=steps,
        name=f"Membranes in {len(sizes)}D (synthetic)",
        class_names=("membrane",),
        axes="ZYX"[-len(sizes) :],
    )


def _tessellate(
    rng: np.random.Generator, sizes: tuple[int, ...], steps: tuple[float, ...], pitch: float
) -> tuple[Ints, Floats, int]:
    """Return the nearest and second nearest cell of every pixel, and its distance to their wall.

    Returns
    -------
    cells
        Shape (2, *sizes).
    wall
        Micrometres to the plane between them, approximate in the warped space.
    n_cells
    """
    points = _relaxed(rng, np.asarray(sizes) * steps, pitch)
    scale = [0.9 * pitch / step for step in steps]
    positions = np.stack(
        [
            np.arange(n).reshape([-1 if k == axis else 1 for k in range(len(sizes))]) * step
            + 0.12 * pitch * smooth_field(rng, sizes, scale)
            for axis, (n, step) in enumerate(zip(sizes, steps, strict=True))
        ],
        axis=-1,
    )
    distance, nearest = cKDTree(points).query(positions.reshape(-1, len(sizes)), k=2, workers=-1)
    between = np.linalg.norm(points[nearest[:, 0]] - points[nearest[:, 1]], axis=1)
    wall = (distance[:, 1] ** 2 - distance[:, 0] ** 2) / (2 * between)
    cells = nearest.T.reshape(2, *sizes).astype(np.int32)
    return cells, wall.reshape(sizes).astype(np.float32), len(points)


def _relaxed(rng: np.random.Generator, extent: Doubles, pitch: float) -> Doubles:
    """Scatter points evenly over a box and a margin: a jittered grid, relaxed by repulsion."""
    sides = [np.arange(-pitch, length + pitch, pitch) + pitch / 2 for length in extent]
    grid = np.stack(np.meshgrid(*sides, indexing="ij"), -1).reshape(-1, len(extent))
    points = grid + pitch * rng.uniform(-0.5, 0.5, grid.shape)
    for _ in range(3):
        distance, other = cKDTree(points).query(points, k=4)
        gap = np.maximum(distance[:, 1:], 1e-9)[..., None]
        way = (points[:, None] - points[other[:, 1:]]) / gap
        points = points + 0.3 * (way * np.clip(0.8 * pitch - gap, 0, None)).sum(1)
    return points


def _solid(rng: np.random.Generator, cell: Ints, n_cells: int) -> NDArray[np.bool_]:
    """Choose the cells that exist: about 1 in 12 is missing, at least one of them in view."""
    solid = rng.uniform(size=n_cells) > 0.08
    somewhere = cell[tuple(rng.integers(cell.shape))]
    # An image of few cells keeps them all.
    solid[somewhere] = np.unique(cell).size <= 6
    return solid
