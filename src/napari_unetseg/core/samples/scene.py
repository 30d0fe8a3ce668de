"""Common parts of the synthetic micrographs: the sample, uneven light, smooth noise, a camera."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Doubles = NDArray[np.float64]

SMALLEST = 16
"""Minimum number of pixels along Y and X, so that a cell fits."""

ELECTRONS_PER_COUNT = 2.0
"""Gain of the camera: shot noise of L counts has a variance of L / this."""

READ_NOISE = 3.0
"""Standard deviation of the camera's read noise, in counts."""

DARK = 100.0
"""Camera offset without light, in counts."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Synthetic micrograph with its exact truth.

    Parameters
    ----------
    image
        uint16 counts of a camera, with the axes `axes`.
    classes
        uint8, the spatial shape, with T of a movie: 0 is background, 1..K the classes of
        `class_names`.
    objects
        int32, of the same shape: 0 is background, every other id is one object.
    background
        float32, the shape of `image`: the mean camera counts of an empty field, including the
        camera's offset.
    spacing
        Physical size of a pixel along each spatial axis.
    name
        Short description of the scene.
    class_names
        Names of the classes 1..K.
    axes
        One letter per axis of `image`, as in `Image`.
    unit
        Unit of `spacing`.
    parents
        Of a movie with divisions: the id of the mother of each daughter, by the daughter's id.
    channel_names
        Names of the channels, or empty.
    nuclei
        int32, the spatial shape: the nuclei of the objects, if those are cells with nuclei. Each
        lies within one object.
    """

    image: NDArray[np.uint16]
    classes: NDArray[np.uint8]
    objects: Ints
    background: Floats
    spacing: tuple[float, ...]
    name: str
    class_names: tuple[str, ...]
    axes: str
    unit: str = "micrometer"
    parents: Mapping[int, int] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()
    nuclei: Ints | None = None

    def as_image(self) -> Image:
        """Return the micrograph as an `Image` with its axes and spacing."""
        return Image(
            self.image, self.axes, self.spacing, self.unit, channel_names=self.channel_names
        )

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Foreground mask of all classes: the truth of a two-class segmentation."""
        return self.classes > 0


def checked_shape(shape: Sequence[int], *, dimensions: Sequence[int]) -> tuple[int, ...]:
    """Check `shape` and convert it to integers.

    Raises
    ------
    InputError
        When it has a number of axes other than `dimensions`, or is too small for a cell.
    """
    sizes = tuple(int(size) for size in shape)
    allowed = " or ".join(str(n) for n in dimensions)
    if len(sizes) not in dimensions:
        raise InputError(f"The shape {sizes} has {len(sizes)} numbers; give {allowed}.")
    if min(sizes[-2:]) < SMALLEST or min(sizes) < 1:
        raise InputError(
            f"The shape {sizes} is too small to draw in: give at least {SMALLEST} rows and "
            f"{SMALLEST} columns."
        )
    return sizes


def checked_spacing(spacing: Sequence[float], ndim: int) -> tuple[float, ...]:
    """Check `spacing` and convert it to floats.

    Raises
    ------
    InputError
        When it is not one positive number for each of `ndim` axes.
    """
    steps = tuple(float(step) for step in spacing)
    if len(steps) != ndim or not all(np.isfinite(step) and step > 0 for step in steps):
        raise InputError(f"The spacing {steps} must be {ndim} positive numbers, one for each axis.")
    return steps


def check_parameters(*, upper: float = 4.0, **parameters: float) -> None:
    """Check that every parameter lies between 0 and `upper`.

    Raises
    ------
    InputError
        When one does not.
    """
    for name, value in parameters.items():
        if not 0 <= value <= upper:
            raise InputError(f"{name} = {value}: give a number from 0 to {upper:g}.")


def smooth_field(rng: np.random.Generator, shape: Sequence[int], scale: Sequence[float]) -> Floats:
    """Draw a smooth random field of zero mean and unit standard deviation.

    Parameters
    ----------
    shape
        The shape of the field.
    scale
        Distance in pixels between the knots, for each axis; features are about twice as wide.

    Notes
    -----
    White noise on a coarse grid, interpolated by a uniform cubic B-spline, one axis at a time: the
    cost does not grow with `scale`, unlike smoothing white noise.
    """
    knots = [int(np.ceil((size - 1) / step)) + 4 for size, step in zip(shape, scale, strict=True)]
    field = rng.standard_normal(knots)
    for axis, (size, step, count) in enumerate(zip(shape, scale, knots, strict=True)):
        weights = _spline(np.arange(size)[:, None] / step + 1 - np.arange(count))
        field = np.moveaxis(np.tensordot(weights, field, (1, axis)), 0, axis)
    field -= field.mean()
    deviation = float(field.std())
    return (field / (deviation or 1.0)).astype(np.float32)


def uneven(rng: np.random.Generator, shape: Sequence[int]) -> Floats:
    """Draw uneven illumination: nearly a quadratic surface, from -0.5 to 0.5.

    Notes
    -----
    A gradient in a random direction, a bowl around a random point, and a cubic part of a few
    hundredths, so that a quadratic fit is good but not perfect. Along a third axis, if any, the
    light fades.
    """
    axes = [np.linspace(-1, 1, size) if size > 1 else np.zeros(1) for size in shape[-2:]]
    y, x = axes[0][:, None], axes[1]
    angle = rng.uniform(0, 2 * np.pi)
    centre = rng.uniform(-0.4, 0.4, 2)
    bowl = rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 0.8)
    cubic = rng.uniform(-0.06, 0.06, 4)
    surface: Doubles = np.cos(angle) * x + np.sin(angle) * y
    surface = surface + bowl * ((y - centre[0]) ** 2 + (x - centre[1]) ** 2)
    surface += cubic[0] * x**3 + cubic[1] * y**3 + cubic[2] * x**2 * y + cubic[3] * x * y**2
    surface = (surface - surface.min()) / np.ptp(surface) - 0.5
    if len(shape) == 3:
        fade = 1 - 0.3 * np.linspace(0, 1, shape[0])
        surface = fade[:, None, None] * surface
    return surface.astype(np.float32)


def vignette(shape: Sequence[int], loss: float) -> Floats:
    """Return the gain of a lens that loses light off its axis, from 1 down to 1 - loss."""
    y = np.linspace(-1, 1, shape[-2])[:, None]
    x = np.linspace(-1, 1, shape[-1])
    return (1 - loss * (0.5 * (y**2 + x**2))).astype(np.float32)


def record(rng: np.random.Generator, light: Floats, noise: float) -> NDArray[np.uint16]:
    """Simulate a camera recording `light`, in counts: shot noise, read noise, rounding.

    Parameters
    ----------
    light
        Mean counts, including the offset.
    noise
        Factor on the standard deviation of all noise; 0 for none.
    """
    counts = light.astype(np.float64)
    if noise > 0:
        grain = noise**2 / ELECTRONS_PER_COUNT
        electrons = rng.poisson(np.clip(counts - DARK, 0, None) / grain)
        counts = np.minimum(counts, DARK) + grain * electrons
        counts += noise * READ_NOISE * rng.standard_normal(light.shape)
    return np.clip(np.rint(counts), 0, 65535).astype(np.uint16)


def scatter(
    rng: np.random.Generator,
    low: Sequence[float] | Doubles,
    high: Sequence[float] | Doubles,
    count: int,
    distance: float,
) -> Doubles:
    """Scatter up to `count` points in a box, none nearer to another than `distance`.

    Returns
    -------
    array of shape (n, dimensions)
        Fewer than `count` where the box is full: each point is tried thirty times.
    """
    points = np.empty((count, len(low)))
    n = 0
    for _ in range(count):
        tries = rng.uniform(low, high, (30, len(low)))
        gaps = ((tries[:, None] - points[None, :n]) ** 2).sum(-1).min(1, initial=np.inf)
        free = np.flatnonzero(gaps >= distance**2)
        if free.size:
            points[n] = tries[free[0]]
            n += 1
    return points[:n]


def consecutive(objects: Ints) -> Ints:
    """Renumber the ids of `objects` to 1, 2, 3 ..."""
    present = np.unique(objects)
    table = np.zeros(int(present[-1]) + 1, np.int32)
    table[present[present > 0]] = np.arange(1, np.count_nonzero(present) + 1)
    return table[objects]


def _spline(t: Doubles) -> Doubles:
    """Evaluate the uniform cubic B-spline at `t`, which is nonzero from -2 to 2."""
    far = np.clip(2 - np.abs(t), 0, None)
    near = np.clip(1 - np.abs(t), 0, None)
    weight: Doubles = (far**3 - 4 * near**3) / 6
    return weight
