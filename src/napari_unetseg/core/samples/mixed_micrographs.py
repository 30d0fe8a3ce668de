"""Micrographs of many kinds: shapes of any size, in the appearances of many microscopes.

A network for micrographs in general cannot be trained on one specimen. Here the `shape` of cells
and the `look` of a microscope are drawn independently of each other, with any size, brightness,
unevenness, blur and noise, and with exactly known objects.
"""

from typing import Literal, get_args

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.samples.neurite_strokes import Tips, draw_strokes, grow_strokes
from napari_unetseg.core.samples.scene import (
    DARK,
    Doubles,
    Floats,
    Ints,
    Sample,
    checked_shape,
    consecutive,
    record,
    scatter,
    smooth_field,
    uneven,
)

Shape = Literal["blobs", "rods", "neurites", "tissue"]
Look = Literal["filled", "rings", "hollow", "shaded", "halos", "texture"]

SHAPES: tuple[Shape, ...] = get_args(Shape)
LOOKS: tuple[Look, ...] = get_args(Look)

FIELD = 900.0
"""Mean intensity of an empty field, in counts."""

SIZES = (4.0, 36.0)
"""Range of the mean radius of the cells of one image, in pixels."""


def micrograph(
    size: tuple[int, int] = (256, 256),
    *,
    seed: int = 0,
    shape: Shape | None = None,
    look: Look | None = None,
) -> Sample:
    """Draw a micrograph of one kind.

    Parameters
    ----------
    size
        Rows and columns, at least 16 each.
    seed
        Random seed; the same seed gives the same image.
    shape
        Shape of the cells: round or irregular `blobs`, separate and touching; `rods`; branching
        `neurites`; a `tissue` that fills the image except for gaps. Random when None.
    look
        `filled`: stained inside. `rings`: stained at the edge. `hollow`: with a pale centre and a
        dark edge. `shaded`: a relief lit from one side, as in differential interference contrast.
        `halos`: darker than the field with a bright rim outside, as in phase contrast. `texture`:
        as bright as the field, but grainy. Random when None. All except the relief come bright on
        dark and dark on bright.

    Returns
    -------
    Sample
        One class, `cell`; every cell is one object.

    Raises
    ------
    InputError
        When a size, shape or look does not exist.

    Notes
    -----
    20 to 80 ms for 256×256 pixels.
    """
    rows, columns = checked_shape(size, dimensions=(2,))
    for asked, choices in ((shape, SHAPES), (look, LOOKS)):
        if asked is not None and asked not in choices:
            raise InputError(f"There is no {asked!r} to draw. Choose one of {', '.join(choices)}.")
    rng = np.random.default_rng(seed)
    # Both random choices are made in any case, so that fixing one does not change the rest of the
    # image.
    lots = SHAPES[rng.integers(len(SHAPES))], LOOKS[rng.integers(len(LOOKS))]
    shape, look = shape or lots[0], look or lots[1]
    extent = (rows, columns)
    low, high = np.log(SIZES[0]), np.log(min(SIZES[1], min(extent) / 4))
    radius = float(np.exp(rng.uniform(low, max(low, high))))
    objects = consecutive(_DRAWN[shape](rng, extent, radius))
    shown = _shown(rng, objects, radius, look)
    contrast = rng.uniform(0.25, 1.2)
    sign = 1 if look == "shaded" else rng.choice([-1.0, 1.0])
    background = DARK + FIELD * (1 + rng.uniform(0, 0.7) * uneven(rng, extent))
    mottle = 1 + rng.uniform(0, 0.06) * smooth_field(rng, extent, (12, 12))
    light = background * mottle * np.clip(1 + sign * contrast * shown, 0.05, None)
    blurred = ndimage.gaussian_filter(light.astype(np.float32), rng.uniform(0.4, 1.6))
    return Sample(
        image=record(rng, blurred, float(np.exp(rng.uniform(np.log(0.5), np.log(6))))),
        classes=(objects > 0).astype(np.uint8),
        objects=objects,
        background=background.astype(np.float32),
        spacing=(1.0, 1.0),
        name=f"{shape.capitalize()}, {look} (synthetic)",
        class_names=("cell",),
        axes="YX",
    )


def _blobs(rng: np.random.Generator, size: tuple[int, int], radius: float) -> Ints:
    """Draw round to irregular cells; some of them touch."""
    return _wobbly(rng, size, radius, stretch=rng.uniform(0, 0.35), gap=rng.uniform(1.2, 3.0))


def _rods(rng: np.random.Generator, size: tuple[int, int], radius: float) -> Ints:
    """Draw elongated cells in all orientations."""
    return _wobbly(rng, size, radius, stretch=rng.uniform(0.6, 0.9), gap=rng.uniform(1.5, 3.0))


def _wobbly(
    rng: np.random.Generator, size: tuple[int, int], radius: float, *, stretch: float, gap: float
) -> Ints:
    """Draw ellipses with wavy edges; overlapping pixels go to the cell they lie deeper in."""
    room = np.prod(np.asarray(size) + 2 * radius)
    count = int(np.clip(room / (gap * radius) ** 2, 1, 4000))
    at = scatter(rng, (-radius, -radius), np.asarray(size) + radius, count, gap * radius)
    objects = np.zeros(size, np.int32)
    depth = np.ones(size, np.float32)
    waves = np.arange(2, 6)
    for cell, (row, column) in enumerate(at):
        mine = radius * np.exp(rng.normal(0, 0.2))
        reach = int(np.ceil(1.6 * mine * (1 + stretch)))
        rows = slice(max(0, int(row) - reach), max(0, int(row) + reach + 1))
        columns = slice(max(0, int(column) - reach), max(0, int(column) + reach + 1))
        deepest = depth[rows, columns]
        y, x = np.ogrid[rows, columns]
        turn = rng.uniform(0, np.pi)
        dy, dx = y[: len(deepest)] - row, x[:, : deepest.shape[1]] - column
        along = (np.cos(turn) * dx + np.sin(turn) * dy) / (1 + stretch)
        across = (np.cos(turn) * dy - np.sin(turn) * dx) * (1 + stretch)
        angle = np.arctan2(across, along)
        heights = rng.normal(0, 0.12, 4) / np.sqrt(waves)
        edge = 1 + np.cos(waves * angle[..., None] + rng.uniform(0, 6.3, 4)) @ heights
        away = (np.hypot(along, across) / (mine * edge)).astype(np.float32)
        inside = away < deepest
        deepest[inside] = away[inside]
        objects[rows, columns][inside] = cell + 1
    return objects


def _neurites(rng: np.random.Generator, size: tuple[int, int], radius: float) -> Ints:
    """Draw cell bodies, some cells without one, with the neurites of the same cell."""
    girth = np.clip(radius / 5, 0.7, 3.0)
    count = int(np.clip(np.prod(size) / (9 * radius) ** 2, 2, 60))
    at = scatter(rng, (0, 0), size, count, 3 * radius)
    each = rng.integers(2, 6, len(at))
    cell = np.repeat(np.arange(len(at)), each)
    heading = rng.uniform(0, 2 * np.pi, cell.size)
    base = float(rng.uniform(1.0, 0.5 * radius)) if radius > 4 else 1.0
    tips = Tips(
        at=at[cell],
        heading=heading,
        bend=np.zeros(cell.size),
        girth=rng.uniform(0.7, 1.2, cell.size) * girth,
        base=np.full(cell.size, base),
        length=rng.uniform(4, 22, cell.size) * radius,
        walked=np.zeros(cell.size),
        owner=(cell + 1).astype(np.int32),
    )
    _, _, owner = draw_strokes(
        size, grow_strokes(rng, tips, branching=float(rng.uniform(0.3, 1.5)))
    )
    return owner


def _tissue(rng: np.random.Generator, size: tuple[int, int], radius: float) -> Ints:
    """Draw cells that fill the image, with walls between them and gaps where cells are missing."""
    room = np.asarray(size) + 4 * radius
    count = int(np.clip(np.prod(room) / (1.9 * radius) ** 2, 4, 4000))
    at = scatter(rng, (-2 * radius, -2 * radius), room - 2 * radius, count, 1.4 * radius)
    bend = min(0.25 * radius, 3.0) * np.stack(
        [smooth_field(rng, size, (max(radius, 4), max(radius, 4))) for _ in range(2)]
    )
    y, x = np.indices(size) + bend
    away, nearest = cKDTree(at).query(np.stack([y.ravel(), x.ravel()], axis=1), k=2)
    wall = (away[:, 1] - away[:, 0]).reshape(size) < rng.uniform(0.8, 0.3 * radius + 0.8)
    missing = rng.random(len(at)) < rng.uniform(0, 0.4)
    owner = nearest[:, 0].reshape(size)
    return np.where(wall | missing[owner], 0, owner + 1).astype(np.int32)


_DRAWN = {"blobs": _blobs, "rods": _rods, "neurites": _neurites, "tissue": _tissue}


def _shown(rng: np.random.Generator, objects: Ints, radius: float, look: Look) -> Floats:
    """Render objects in a look: 0 for the field, about 1 at the strongest contrast."""
    inside = objects > 0
    within = _depth(objects)
    width = float(np.clip(rng.uniform(0.1, 0.25) * radius, 0.8, 4.0))
    rim = np.exp(-(((within - 0.5) / width) ** 2)) * inside
    varied = np.concatenate([[0.0], np.exp(rng.normal(0, 0.25, int(objects.max()) or 1))])
    grain = smooth_field(rng, objects.shape, (max(0.12 * radius, 1.2),) * 2)
    each = varied[objects]
    dome = np.sqrt(np.clip(within / max(0.6 * radius, 1.0), 0, 1))
    if look == "filled":
        shown = each * (0.5 + 0.5 * dome) * (1 + rng.uniform(0, 0.3) * grain)
    elif look == "rings":
        shown = each * rim + 0.12 * inside
    elif look == "hollow":
        shown = each * (rim - rng.uniform(0.2, 0.6) * dome)
    elif look == "shaded":
        thickness = ndimage.gaussian_filter(each * dome, 0.8)
        turn = rng.uniform(0, 2 * np.pi)
        slope = np.cos(turn) * np.gradient(thickness, axis=0)
        slope += np.sin(turn) * np.gradient(thickness, axis=1)
        shown = slope / max(float(np.abs(slope).max()), 1e-6)
    elif look == "halos":
        near = ndimage.gaussian_filter(each * dome, max(0.25 * radius, 1.5))
        shown = each * dome * (1 + 0.2 * grain) - rng.uniform(0.6, 1.0) * near
    else:
        shown = 0.6 * inside * grain
    return np.asarray(shown, np.float32)


def _depth(objects: Ints) -> Doubles:
    """Return the distance of each pixel of an object to the edge of that object."""
    from edt import edt

    return np.asarray(edt(objects, black_border=False), np.float64)
