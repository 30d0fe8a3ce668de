"""Stained nuclei in a fluorescence microscope, in 2D or 3D."""

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
    vignette,
)

RADIUS = 6.5
"""Mean radius of a nucleus, in micrometres."""

GLOW = 160.0
"""Mean intensity of the medium, in counts."""

STAIN = 900.0
"""Mean intensity of a nucleus, in counts."""


@dataclass(frozen=True, eq=False)
class Ellipsoids:
    """Ellipsoids in micrometres: centre, inverse of the matrix of half axes, brightness, lobes."""

    at: Doubles
    shapes: Doubles
    reach: Doubles
    brightness: Doubles
    lobes: Doubles


def nuclei(
    shape: Sequence[int] = (512, 512),
    *,
    seed: int = 0,
    density: float = 1.0,
    touching: float = 0.4,
    unevenness: float = 1.0,
    vignetting: float = 0.0,
    blur: float = 1.0,
    noise: float = 1.0,
    spacing: Sequence[float] = (),
) -> Sample:
    """Draw bright fluorescent nuclei, separate and touching.

    Parameters
    ----------
    shape
        Rows and columns, or planes, rows and columns.
    seed
        Random seed; the same seed gives the same image.
    density
        1 is about 80 nuclei in 512×512 pixels at the default spacing; there is always at least one.
    touching
        Fraction of the nuclei that touch another, from 0 to 1.
    unevenness
        Range of the background, relative to its mean.
    vignetting
        Fraction of the light of nuclei and medium that is lost in the corners.
    blur
        Factor on the width of the point spread function, which is 2.5 times longer along Z.
    noise
        Factor on the camera's noise; 0 for none.
    spacing
        Micrometres per pixel along each axis: 0.65 in 2D, (1.5, 0.5, 0.5) in 3D by default. The
        nuclei keep their size in micrometres.

    Returns
    -------
    Sample
        One class, `nucleus`; every nucleus is one object.

    Raises
    ------
    InputError
        When the shape or the spacing cannot be used, or a parameter is out of range.

    Notes
    -----
    0.15 s for 512×512 pixels, 1 s for 32×256×256 voxels.
    """
    sizes = checked_shape(shape, dimensions=(2, 3))
    usual = (0.65, 0.65) if len(sizes) == 2 else (1.5, 0.5, 0.5)
    steps = checked_spacing(spacing or usual, len(sizes))
    check_parameters(density=density, blur=blur, noise=noise)
    check_parameters(touching=touching, upper=1)
    check_parameters(unevenness=unevenness, upper=1.5)
    check_parameters(vignetting=vignetting, upper=0.9)
    rng = np.random.default_rng(seed)
    stain, objects = draw_stained(rng, sizes, steps, _place(rng, sizes, steps, density, touching))
    gain = vignette(sizes, vignetting)
    background = (DARK + GLOW * gain * (1 + unevenness * uneven(rng, sizes))).astype(np.float32)
    blurred = ndimage.gaussian_filter(stain, point_spread(steps, blur), truncate=3)
    light = background + STAIN * gain * blurred
    objects = consecutive(objects)
    return Sample(
        image=record(rng, light, noise),
        classes=(objects > 0).astype(np.uint8),
        objects=objects,
        background=np.ascontiguousarray(background),
        spacing=steps,
        name=f"Nuclei in {len(sizes)}D (synthetic)",
        class_names=("nucleus",),
        axes="ZYX"[-len(sizes) :],
    )


def _place(
    rng: np.random.Generator,
    sizes: tuple[int, ...],
    steps: tuple[float, ...],
    density: float,
    touching: float,
) -> Ellipsoids:
    """Scatter nuclei, then place some of them in contact with a neighbour."""
    extent = np.asarray(sizes) * steps
    ndim = len(sizes)
    room = float(np.prod(extent + (0 if ndim == 2 else RADIUS)))
    each = (333 * 0.65) ** 2 / 80 * 2.37 if ndim == 2 else 14 * RADIUS**3
    count = max(1, round(density * room / each))
    alone = max(1, round(count * (1 - touching / 2)))
    at = scatter(rng, np.zeros(ndim), extent, alone, 2.5 * RADIUS)
    if not density or count == 1:
        at = extent[None] * rng.uniform(0.4, 0.6, (1, ndim))
    at = _against(rng, at, extent, count - alone)
    n = len(at)
    size = np.exp(rng.normal(0, 0.16, n))
    # Small nuclei are condensed and brighter, as in real cells.
    brightness = np.exp(rng.normal(-0.05, 0.22, n)) / size
    half = RADIUS * size[:, None] * np.exp(rng.normal(0, 0.14, (n, ndim)))
    if ndim == 3:
        half[:, 0] *= 0.8
    turn = np.stack([np.linalg.qr(rng.standard_normal((ndim, ndim)))[0] for _ in range(n)])
    reach = 1.25 * half.max(1)
    lobes = np.concatenate(
        [rng.normal(0, (0.05, 0.02), (n, 2)), rng.uniform(0, 6.3, (n, 2))], axis=1
    )
    return Ellipsoids(at, turn / half[:, None, :], reach, brightness, lobes)


def _against(rng: np.random.Generator, at: Doubles, extent: Doubles, count: int) -> Doubles:
    """Add up to `count` points at a touching distance of one of `at`, and far from the others."""
    points = list(at)
    for _ in range(count):
        way = rng.standard_normal((12, len(extent)))
        way *= rng.uniform(1.55, 1.85, (12, 1)) * RADIUS / np.linalg.norm(way, axis=1)[:, None]
        tries = at[rng.integers(len(at))] + way
        gaps = np.linalg.norm(tries[:, None] - np.asarray(points)[None], axis=2).min(1)
        free = (gaps > 1.5 * RADIUS) & np.all((tries > 0) & (tries < extent), axis=1)
        if free.any():
            points.append(tries[np.argmax(free)])
    return np.stack(points)


def draw_stained(
    rng: np.random.Generator,
    sizes: tuple[int, ...],
    steps: tuple[float, ...],
    cells: Ellipsoids,
) -> tuple[Floats, Ints]:
    """Draw the nuclei; a pixel inside two belongs to the one with the nearer centre."""
    stain = np.zeros(sizes, np.float32)
    objects = np.zeros(sizes, np.int32)
    level = np.ones(sizes, np.float32)
    for cell, at in enumerate(cells.at):
        window, away = _around(at, cells.reach[cell], sizes, steps)
        if not away[0].size:
            continue
        local = np.tensordot(cells.shapes[cell].T, away, 1)
        size = np.sqrt((local**2).sum(0))
        angle = np.arctan2(local[-2], local[-1])
        sway = cells.lobes[cell]
        # Lobes fade towards the poles, where the angle is undefined.
        fade = (np.hypot(local[-2], local[-1]) / np.maximum(size, 1e-9)) ** 3
        lobes = sway[0] * np.cos(3 * angle + sway[2]) + sway[1] * np.cos(4 * angle + sway[3])
        size /= 1 + fade * lobes
        mine = size < level[window]
        level[window][mine] = size[mine]
        objects[window][mine] = cell + 1
        dome = cells.brightness[cell] * np.clip(1 - size**2, 0, None) ** 0.22
        stain[window][mine] = dome[mine]
    chromatin = 0.62 * smooth_field(rng, sizes, [1.6 / step for step in steps])
    chromatin += 0.38 * smooth_field(rng, sizes, [4.0 / step for step in steps])
    return stain * np.clip(1 + 0.24 * chromatin, 0.2, None), objects


def _around(
    at: Doubles, reach: float, sizes: tuple[int, ...], steps: tuple[float, ...]
) -> tuple[tuple[slice, ...], Doubles]:
    """Return the window within `reach` micrometres of a point, and its pixels' offsets from it."""
    window = tuple(
        slice(
            int(np.clip(np.floor((c - reach) / step), 0, n)),
            int(np.clip(np.ceil((c + reach) / step) + 1, 0, n)),
        )
        for c, n, step in zip(at, sizes, steps, strict=True)
    )
    grid = np.meshgrid(
        *(np.arange(w.start, w.stop) * step for w, step in zip(window, steps, strict=True)),
        indexing="ij",
    )
    return window, np.stack(grid) - at.reshape(-1, *([1] * len(sizes)))


def point_spread(steps: tuple[float, ...], factor: float) -> list[float]:
    """Return the width of the point spread function along each axis, in pixels."""
    lateral = 0.5 * factor
    axial = 2.5 * lateral
    widths = [axial, lateral, lateral][-len(steps) :]
    return [width / step for width, step in zip(widths, steps, strict=True)]
