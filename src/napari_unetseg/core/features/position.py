"""Position encoding: the pixel's position as additional features.

A network that slides over an image cannot see the absolute position. Coordinates, or functions of
them, as inputs let it learn, for example, that the rim is darker than the middle. The terms depend
only on the position in the whole image, never on the tile, so that tiles agree with the whole.
"""

import math
from itertools import combinations_with_replacement
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Position = Literal["none", "polynomial", "sinusoidal"]


def n_position_terms(kind: Position, order: int, ndim: int) -> int:
    """Return the number of terms that `position_terms` computes per pixel."""
    if kind == "polynomial":
        return math.comb(ndim + order, order) - 1
    return 2 * ndim * order if kind == "sinusoidal" else 0


def position_terms(
    kind: Position,
    order: int,
    *,
    origin: tuple[int, ...],
    block: tuple[int, ...],
    shape: tuple[int, ...],
) -> NDArray[np.float32]:
    """Compute the position terms of every pixel of a block.

    Parameters
    ----------
    kind
        ``"polynomial"``: every product of coordinates up to the degree `order`, as in a fitted
        background (without the constant, which every model has anyway). ``"sinusoidal"``: sine and
        cosine of each coordinate in `order` octaves, the slowest with half a period across the
        image, so that no two positions are alike. ``"none"``: no terms.
    order
        Degree of the polynomial, or number of octaves.
    origin
        Position of the block's first pixel in the image; may be negative.
    block, shape
        Spatial shape of the block and of the whole image.

    Returns
    -------
    array (terms, *block), float32
        Coordinates run from -1 to 1 between the image's edges and are clipped beyond them.
    """
    n_terms = n_position_terms(kind, order, len(block))
    terms = np.empty((n_terms, *block), dtype=np.float32)
    axes = [
        _coordinate(start, length, whole).reshape(
            [-1 if k == axis else 1 for k in range(len(block))]
        )
        for axis, (start, length, whole) in enumerate(zip(origin, block, shape, strict=True))
    ]
    if kind == "polynomial":
        products = (
            p for degree in range(order) for p in combinations_with_replacement(axes, degree + 1)
        )
        for term, factors in zip(terms, products, strict=True):
            term[...] = math.prod(factors)
    elif kind == "sinusoidal":
        waves = [axis * (0.5 * math.pi * 2**octave) for axis in axes for octave in range(order)]
        for k, wave in enumerate(waves):
            terms[2 * k] = np.sin(wave)
            terms[2 * k + 1] = np.cos(wave)
    return terms


def _coordinate(start: int, length: int, whole: int) -> NDArray[np.float64]:
    centres = np.arange(start, start + length) + 0.5
    return np.clip(2 * centres / whole - 1, -1, 1)


__all__ = ["Position", "n_position_terms", "position_terms"]
