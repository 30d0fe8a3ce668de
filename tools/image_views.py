"""Make further views of training images: other sizes, uneven light, inverted, other stains.

They vary more than the augmentation of a training, which changes every patch at the resolution of
the image. A view is a piece of the image, so that enlarged ones stay small.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize

from napari_unetseg.core.inference.object_size import median_diameter

Array = NDArray[Any]


@dataclass(frozen=True)
class Views:
    """Define the views of each image.

    Parameters
    ----------
    count
        Number of views of each image.
    sizes
        Smallest and largest factor of size, drawn evenly on a logarithmic scale.
    diameter
        Median diameter in pixels that the objects of every image are brought to before; 0: their
        own.
    light
        Share of views under uneven light.
    inverted
        Share of views with dark and bright exchanged.
    stain
        Largest change of the optical density of each colour, as a factor minus 1.
    piece
        Largest side in pixels.
    times
        Frequency in training relative to that of the image itself.
    """

    count: int = 2
    sizes: tuple[float, float] = (0.5, 2.0)
    diameter: float = 0.0
    light: float = 0.4
    inverted: float = 0.0
    stain: float = 0.0
    piece: int = 384
    times: float = 1.0

    @property
    def plain(self) -> "Views":
        """Views that show an image once, changed in nothing but the diameter of its objects."""
        return Views(count=1, sizes=(1, 1), light=0.0, diameter=self.diameter, piece=self.piece)

    def of(
        self, image: Array, labels: Array, rng: np.random.Generator
    ) -> Iterator[tuple[Array, Array]]:
        """Yield views (rows, columns) or (rows, columns, 3), and their labels."""
        own = median_diameter([labels]) if self.diameter else 0.0
        known = self.diameter / own if own else 1.0
        for _ in range(self.count):
            factor = known * float(np.exp(rng.uniform(*np.log(self.sizes))))
            seen, ids = resized(image, labels, factor, self.piece, rng)
            if self.stain and seen.ndim == 3:
                seen = restained(seen, self.stain, rng)
            if rng.random() < self.inverted:
                seen = seen.max() - seen
            if rng.random() < self.light:
                seen = unevenly_lit(seen, rng)
            yield seen, ids


def pieces(image: Array, labels: Array, side: int) -> Iterator[tuple[Array, Array]]:
    """Cut an image into pieces of nearly equal sides, at most half as large again as `side`."""
    rows, columns = (np.array_split(np.arange(n), max(1, round(n / side))) for n in labels.shape)
    for row in rows:
        for column in columns:
            part = (slice(row[0], row[-1] + 1), slice(column[0], column[-1] + 1))
            yield image[part], labels[part]


def resized(
    image: Array, labels: Array, factor: float, piece: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Cut a random piece, and resize it so that no side is longer than `piece`.

    Returns
    -------
    image, labels
        The image in float32 and its own range; the labels by the nearest pixel.
    """
    sides = [min(n, max(1, int(piece / factor))) for n in labels.shape]
    starts = [int(rng.integers(n - side + 1)) for n, side in zip(labels.shape, sides, strict=True)]
    part = tuple(slice(start, start + side) for start, side in zip(starts, sides, strict=True))
    shape = [max(1, round(side * factor)) for side in sides]
    seen = resize(
        image[part].astype(np.float32),
        (*shape, *image.shape[2:]),
        order=1,
        anti_aliasing=factor < 1,
        preserve_range=True,
    )
    ids = resize(labels[part], shape, order=0, anti_aliasing=False, preserve_range=True)
    return seen.astype(np.float32), ids.astype(labels.dtype)


def unevenly_lit(image: Array, rng: np.random.Generator) -> Array:
    """Multiply an image by light that changes smoothly across it, down to a third."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in image.shape[:2]), indexing="ij")
    slope, bend, middle = rng.normal(size=2), rng.uniform(0, 1), rng.uniform(-0.7, 0.7, 2)
    field = slope[0] * y + slope[1] * x - 2 * bend * ((y - middle[0]) ** 2 + (x - middle[1]) ** 2)
    field = (field - field.min()) / max(np.ptp(field), 1e-6)
    light = 1 - rng.uniform(0.2, 0.67) * field
    return (image * (light[..., None] if image.ndim == 3 else light)).astype(np.float32)


def restained(image: Array, amount: float, rng: np.random.Generator) -> Array:
    """Change the optical density of each colour, as other dyes and times of staining do."""
    white = max(float(image.max()), 1.0)
    density = -np.log(np.clip(image / white, 1 / 255, 1))
    factors = np.exp(rng.uniform(-1, 1, 3) * np.log1p(amount))
    mixed = np.eye(3) + rng.uniform(-0.15, 0.15, (3, 3)) * amount
    light = np.exp(-np.clip(density * factors @ mixed, 0, None))
    return (255 * light * rng.uniform(0.85, 1, 3)).astype(np.float32)
