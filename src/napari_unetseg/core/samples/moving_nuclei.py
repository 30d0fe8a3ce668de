"""A movie of stained nuclei that move and divide, with their true tracks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from napari_unetseg.core.samples.fluorescent_nuclei import (
    GLOW,
    RADIUS,
    STAIN,
    Ellipsoids,
    draw_stained,
    point_spread,
)
from napari_unetseg.core.samples.scene import (
    DARK,
    Doubles,
    Sample,
    check_parameters,
    checked_shape,
    checked_spacing,
    record,
    scatter,
    uneven,
)

_GROWS = 8
"""Frames in which a daughter grows to the size of its mother, and does not divide."""

_TRIES = 40
"""Steps that are tried for a nucleus to keep clear of the others."""


@dataclass(frozen=True)
class _Cell:
    """One nucleus in one frame: its number, its centre and last step in micrometres, its look."""

    number: int
    at: Doubles
    step: Doubles
    radius: float
    look: Doubles
    age: int

    @property
    def grown(self) -> float:
        """Its radius in this frame."""
        young = np.sqrt(0.5) + (1 - np.sqrt(0.5)) * min(self.age / _GROWS, 1)
        return float(self.radius * young)


def moving_nuclei(
    shape: Sequence[int] = (24, 256, 256),
    *,
    seed: int = 0,
    density: float = 1.0,
    speed: float = 0.3,
    persistence: float = 0.5,
    divisions: float = 0.02,
    unevenness: float = 1.0,
    noise: float = 1.0,
    spacing: Sequence[float] = (),
) -> Sample:
    """Draw a movie of bright nuclei that move and divide.

    Parameters
    ----------
    shape
        Frames, rows and columns.
    seed
        Random seed; the same seed gives the same movie.
    density
        1 is about 12 nuclei in 256×256 pixels at the default spacing, in the first frame.
    speed
        Root mean square of the movement from frame to frame, in mean diameters of a nucleus.
    persistence
        Correlation of the movement with that of the frame before: 0 for a random walk, 1 for
        straight paths.
    divisions
        Probability that a grown nucleus divides, per frame.
    unevenness, noise
        As for `nuclei`.
    spacing
        Micrometres per pixel along Y and X: 0.65 by default.

    Returns
    -------
    Sample
        Axes TYX. One class, `nucleus`. Every object keeps its id through time, the daughters of a
        division get new ones, and `parents` names the mother of each.

    Raises
    ------
    InputError
        When the shape or the spacing cannot be used, or a parameter is out of range.

    Notes
    -----
    Nuclei stay in the field, where they are turned back, and keep clear of each other in every
    frame. About 0.5 s for 24×256×256 pixels.
    """
    n_frames, *plane = checked_shape(shape, dimensions=(3,))
    sizes = tuple(plane)
    steps = checked_spacing(spacing or (0.65, 0.65), 2)
    check_parameters(density=density, noise=noise)
    check_parameters(upper=8, speed=speed)
    check_parameters(upper=1, persistence=persistence, divisions=divisions)
    check_parameters(unevenness=unevenness, upper=1.5)
    rng = np.random.default_rng(seed)
    extent = np.asarray(sizes) * steps
    cells = _first(rng, extent, density, speed)
    background = np.float32(DARK) + np.float32(GLOW) * (1 + unevenness * uneven(rng, sizes))
    image = np.empty((n_frames, *sizes), np.uint16)
    objects = np.empty((n_frames, *sizes), np.int32)
    parents: dict[int, int] = {}
    last = len(cells)
    for frame in range(n_frames):
        if frame:
            cells, born = _next(rng, cells, extent, speed, persistence, divisions, last)
            parents |= born
            last += len(born)
        stain, ids = draw_stained(rng, sizes, steps, _shapes(cells))
        objects[frame] = np.array([0, *(cell.number for cell in cells)])[ids]
        blurred = ndimage.gaussian_filter(stain, point_spread(steps, 1.0), truncate=3)
        image[frame] = record(rng, background + STAIN * blurred, noise)
    return Sample(
        image=image,
        classes=(objects > 0).astype(np.uint8),
        objects=objects,
        background=np.broadcast_to(background, image.shape).astype(np.float32),
        spacing=steps,
        name="Moving nuclei (synthetic)",
        class_names=("nucleus",),
        axes="TYX",
        parents=parents,
    )


def _first(rng: np.random.Generator, extent: Doubles, density: float, speed: float) -> list[_Cell]:
    """Scatter the nuclei of the first frame."""
    count = max(1, round(12 * density * float(np.prod(extent)) / (256 * 0.65) ** 2))
    margin = min(1.5 * RADIUS, *(extent / 3))
    places = scatter(rng, [margin, margin], extent - margin, count, 2.5 * RADIUS)
    return [
        _Cell(
            number=number,
            at=at,
            step=_step(rng, speed),
            radius=float(RADIUS * np.exp(rng.normal(0, 0.12))),
            look=np.array([*rng.normal(0, (0.2, 0.1, 0.04, 0.02)), *rng.uniform(0, 6.3, 2)]),
            age=_GROWS + int(rng.integers(4)),
        )
        for number, at in enumerate(places, 1)
    ]


def _step(rng: np.random.Generator, speed: float) -> Doubles:
    """Draw a movement from one frame to the next, in micrometres."""
    return rng.standard_normal(2) * speed * 2 * RADIUS / np.sqrt(2)


def _next(
    rng: np.random.Generator,
    cells: list[_Cell],
    extent: Doubles,
    speed: float,
    persistence: float,
    divisions: float,
    last: int,
) -> tuple[list[_Cell], dict[int, int]]:
    """Move and divide the nuclei; `last` is the last number in use."""
    made: list[_Cell] = []
    born: dict[int, int] = {}
    for cell in cells:
        divides = cell.age >= _GROWS and rng.random() < divisions
        reach = (1.9 if divides else 1.0) * cell.radius
        moved = _moved(rng, cell, made, extent, speed, persistence, reach)
        if not divides:
            made.append(moved)
            continue
        angle = rng.uniform(0, 2 * np.pi)
        apart = 0.82 * cell.radius * np.array([np.sin(angle), np.cos(angle)])
        for side in (-1, 1):
            last += 1
            born[last] = cell.number
            look = np.array([cell.look[0] + 0.15, *rng.normal(0, (0.1, 0.04, 0.02))])
            look = np.array([*look, *rng.uniform(0, 6.3, 2)])
            made.append(replace(moved, number=last, at=moved.at + side * apart, look=look, age=0))
    return made, born


def _moved(
    rng: np.random.Generator,
    cell: _Cell,
    others: Sequence[_Cell],
    extent: Doubles,
    speed: float,
    persistence: float,
    reach: float,
) -> _Cell:
    """Move a nucleus to a place in the field that is as clear of others as can be found."""
    best, least = cell, -np.inf
    for _ in range(_TRIES):
        step = persistence * cell.step + np.sqrt(1 - persistence**2) * _step(rng, speed)
        at = cell.at + step
        low, high = np.minimum(reach, extent / 2), np.maximum(extent - reach, extent / 2)
        turned = np.where((at < low) | (at > high), -1.0, 1.0)
        step = step * turned
        at = np.clip(
            np.where(at < low, 2 * low - at, np.where(at > high, 2 * high - at, at)), low, high
        )
        gaps = [np.linalg.norm(at - one.at) - reach - one.grown for one in others]
        gap = float(min(gaps, default=np.inf))
        if gap > least:
            best, least = replace(cell, at=at, step=step, age=cell.age + 1), gap
        if gap > 0:
            break
    return best


def _shapes(cells: Sequence[_Cell]) -> Ellipsoids:
    look = np.array([cell.look for cell in cells])
    half = np.array([cell.grown for cell in cells])[:, None] * np.exp(
        np.stack([look[:, 1], -look[:, 1]], 1)
    )
    turn = look[:, 5]
    matrix = np.stack(
        [np.stack([np.cos(turn), np.sin(turn)], -1), np.stack([-np.sin(turn), np.cos(turn)], -1)], 1
    )
    return Ellipsoids(
        at=np.array([cell.at for cell in cells]),
        shapes=matrix / half[:, None, :],
        reach=1.3 * half.max(1),
        brightness=np.exp(look[:, 0]),
        lobes=look[:, [2, 3, 4, 5]],
    )


__all__ = ["moving_nuclei"]
