"""Living neurons in phase contrast: dark bodies with a bright halo, tapering branching neurites."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_unetseg.core.samples.neurite_strokes import Strokes, Tips, draw_strokes, grow_strokes
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

FIELD = 1500.0
"""Mean intensity of an empty field, in counts."""

BODY = 13.0
"""Mean radius of a cell body, in pixels."""


@dataclass(frozen=True, eq=False)
class _Cells:
    """Cell bodies: position (y, x), size, and the outline r(angle) / radius as harmonics."""

    at: Doubles
    radii: Doubles
    sizes: Doubles
    phases: Doubles

    def outline(self, cell: int, angle: Doubles) -> Doubles:
        """Return the distance from the centre to the edge of one body, in pixels."""
        waves = np.cos(np.arange(2, 2 + self.sizes.shape[1]) * angle[..., None] + self.phases[cell])
        edge: Doubles = self.radii[cell] * (1 + waves @ self.sizes[cell])
        return edge


def neurons(
    shape: Sequence[int] = (512, 512),
    *,
    seed: int = 0,
    density: float = 1.0,
    unevenness: float = 0.6,
    vignetting: float = 0.0,
    contrast: float = 1.0,
    debris: float = 1.0,
    noise: float = 1.0,
    spacing: Sequence[float] = (0.65, 0.65),
) -> Sample:
    """Draw cultured neurons as in a phase-contrast microscope, darker than the field.

    Parameters
    ----------
    shape
        Rows and columns.
    seed
        Random seed; the same seed gives the same image.
    density
        Number of cells: 1 is nine in 512×512 pixels. There is always at least one.
    unevenness
        Range of the added, nearly quadratic illumination, relative to the mean intensity.
    vignetting
        Fraction of the light, and of the contrast with it, that is lost in the corners.
    contrast
        Factor on the darkness of the cells.
    debris
        Amount of specks and dust, which are not part of the truth.
    noise
        Factor on the camera's noise; 0 for none.
    spacing
        Micrometres per pixel: recorded only, the image is the same.

    Returns
    -------
    Sample
        One class, `neuron`: bodies and neurites. Every neuron is one object; where two cross, a
        pixel belongs to one of them. The truth includes parts too thin to be visible.

    Raises
    ------
    InputError
        When the shape is not two numbers of at least 16, or a parameter is out of range.

    Notes
    -----
    A thickness is drawn first. Phase contrast shows it minus its own surroundings, because the ring
    that shifts the direct light also catches light diffracted at small angles: hence the halo, and
    the pale centre of a body (Pluta, *Advanced Light Microscopy* vol. 2, ch. 5). 0.3 s for 512×512
    pixels.
    """
    rows, columns = checked_shape(shape, dimensions=(2,))
    check_parameters(density=density, contrast=contrast, debris=debris, noise=noise)
    check_parameters(unevenness=unevenness, upper=1.5)
    check_parameters(vignetting=vignetting, upper=0.9)
    size = (rows, columns)
    steps = checked_spacing(spacing, 2)
    rng = np.random.default_rng(seed)
    cells = _place(rng, size, max(1, round(density * 9 * rows * columns / 512**2)))
    thickness, objects = _neurites(rng, size, cells)
    _bodies(rng, cells, thickness, objects)
    dirt = _specks(rng, size, debris)
    transmission = _phase_contrast(np.maximum(thickness, dirt), contrast)
    transmission += _dust(rng, size, debris)
    gain = FIELD * vignette(size, vignetting)
    empty = DARK + unevenness * FIELD * uneven(rng, size)
    background = (gain + empty).astype(np.float32)
    light = (gain * transmission + empty).astype(np.float32)
    objects = consecutive(objects)
    return Sample(
        image=record(rng, light, noise),
        classes=(objects > 0).astype(np.uint8),
        objects=objects,
        background=background,
        spacing=steps,
        name="Neurons (synthetic)",
        class_names=("neuron",),
        axes="YX",
    )


def _place(rng: np.random.Generator, size: tuple[int, int], count: int) -> _Cells:
    """Scatter bodies; the first lies well inside the image, so that there is always one."""
    middle = np.asarray(size) * rng.uniform(0.4, 0.6, (1, 2))
    others = scatter(rng, (-10.0, -10.0), (size[0] + 10.0, size[1] + 10.0), count, 4.5 * BODY)
    apart = ((others - middle) ** 2).sum(1) > (4.5 * BODY) ** 2
    at = np.concatenate([middle, others[apart][: count - 1]])
    n = len(at)
    radii = BODY * rng.uniform(0.75, 1.25, n)
    sizes = rng.normal(0, 1, (n, 5)) * np.array([0.16, 0.08, 0.05, 0.03, 0.02])
    return _Cells(at, radii, np.clip(sizes, -0.25, 0.25), rng.uniform(0, 2 * np.pi, (n, 5)))


def _neurites(
    rng: np.random.Generator, size: tuple[int, int], cells: _Cells
) -> tuple[Floats, Ints]:
    """Grow three to six neurites from every body, one of them long, and draw them."""
    counts = rng.integers(3, 7, len(cells.at))
    cell = np.repeat(np.arange(len(cells.at)), counts)
    turn = np.concatenate([np.arange(n) / n for n in counts])
    heading = 2 * np.pi * turn + rng.uniform(-0.5, 0.5, cell.size)
    heading += np.repeat(rng.uniform(0, 2 * np.pi, len(cells.at)), counts)
    long = np.concatenate([np.arange(n) == 0 for n in counts])
    length = np.where(long, rng.uniform(150, 320, cell.size), rng.uniform(35, 130, cell.size))
    radius = cells.radii[cell]
    direction = np.stack([np.sin(heading), np.cos(heading)], axis=1)
    tips = Tips(
        at=cells.at[cell] + 0.7 * radius[:, None] * direction,
        heading=heading,
        bend=np.zeros(cell.size),
        girth=rng.uniform(1.6, 3.2, cell.size),
        base=0.36 * radius,
        length=length,
        walked=np.zeros(cell.size),
        owner=(cell + 1).astype(np.int32),
    )
    depth, width, owner = draw_strokes(size, grow_strokes(rng, tips, branching=1.1))
    thickness = np.minimum(0.09 + 0.14 * width, 0.95) * np.sqrt(1 - (1 - depth) ** 2)
    return np.where(owner > 0, thickness, 0).astype(np.float32), owner


def _bodies(rng: np.random.Generator, cells: _Cells, thickness: Floats, objects: Ints) -> None:
    """Draw the bodies over the neurites, with a nucleus, nucleoli and granules."""
    grain = ndimage.gaussian_filter(rng.standard_normal(thickness.shape, np.float32), 1.1)
    for cell, (at, radius) in enumerate(zip(cells.at, cells.radii, strict=True)):
        window = _window(at, 1.6 * radius, thickness.shape)
        y, x = np.ogrid[window]
        if not (y.size and x.size):
            continue
        dy, dx = y - at[0], x - at[1]
        away = np.hypot(dy, dx)
        depth = away / cells.outline(cell, np.arctan2(dy, dx))
        inside = depth < 1
        dome = 0.85 + 0.8 * np.sqrt(np.clip(1 - depth**2, 0, None)) + 0.5 * grain[window]
        shift = 0.2 * radius * rng.uniform(-1, 1, 2)
        nucleus = np.hypot(dy - shift[0], dx - shift[1]) / (0.52 * radius)
        dome -= 0.36 / (1 + np.exp(12 * (nucleus - 1)))
        for spot in shift + 0.25 * radius * rng.uniform(-1, 1, (2, 2)):
            dome += 0.5 * np.exp(-((dy - spot[0]) ** 2 + (dx - spot[1]) ** 2) / 4.5)
        view = thickness[window]
        view[inside] = np.maximum(view, dome)[inside]
        objects[window][inside] = cell + 1


def _specks(rng: np.random.Generator, size: tuple[int, int], amount: float) -> Floats:
    """Draw clumps of a few grains scattered over the dish."""
    clumps = rng.poisson(amount * 110 * size[0] * size[1] / 512**2)
    if not clumps:
        return np.zeros(size, np.float32)
    grains = rng.integers(1, 8, clumps)
    clump = np.repeat(np.arange(clumps), grains)
    middle = rng.uniform(0, 1, (clumps, 2)) * size
    points = middle[clump] + 2.6 * rng.standard_normal((clump.size, 2))
    radii = rng.uniform(0.8, 2.2, clump.size)
    strokes = Strokes(points, radii, (clump + 1).astype(np.int32))
    depth, _, owner = draw_strokes(size, strokes)
    density = np.concatenate([[0.0], rng.uniform(0.25, 0.85, clumps)])
    dirt: Floats = (density[owner] * np.sqrt(depth)).astype(np.float32)
    return dirt


def _phase_contrast(thickness: Floats, contrast: float) -> Floats:
    """Return the transmitted light: 1 in the empty field, less in cells, more around them."""
    near = ndimage.gaussian_filter(thickness, 2.8, truncate=3)
    far = ndimage.gaussian_filter(thickness, 8.0, truncate=3)
    shown = ndimage.gaussian_filter(thickness - 0.55 * near - 0.4 * far, 0.8)
    # Light is additive: a halo saturates more slowly than a body darkens.
    transmission: Floats = np.clip(1 - 0.45 * contrast * shown, 0.05, None)
    return transmission


def _dust(rng: np.random.Generator, size: tuple[int, int], amount: float) -> Floats:
    """Draw the out-of-focus parts: faint rings of dust, and a mottled field."""
    faint = 0.007 * min(amount, 1.0) * smooth_field(rng, size, (5, 5))
    for _ in range(rng.poisson(amount * 5 * size[0] * size[1] / 512**2)):
        at = rng.uniform(0, 1, 2) * size
        width = rng.uniform(5, 12)
        window = _window(at, 3 * width, size)
        y, x = np.ogrid[window]
        far = ((y - at[0]) ** 2 + (x - at[1]) ** 2) / width**2
        faint[window] += 0.035 * np.cos(2.6 * far) * np.exp(-far / 1.6)
    return faint


def _window(at: Doubles, reach: float, size: tuple[int, ...]) -> tuple[slice, ...]:
    """Return the slices of a square of half side `reach` around `at`, clipped to the image."""
    return tuple(
        slice(int(np.clip(np.floor(c - reach), 0, n)), int(np.clip(np.ceil(c + reach) + 1, 0, n)))
        for c, n in zip(at, size, strict=True)
    )
