"""Tissue section of two classes that differ only in texture, or in two stains."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_unetseg.core.samples.scene import (
    DARK,
    Floats,
    Sample,
    check_parameters,
    checked_shape,
    checked_spacing,
    record,
    smooth_field,
    uneven,
    vignette,
)

FIELD = 1800.0
"""Mean intensity of the bare slide, in counts."""

ABSORBED = 0.42
"""Fraction of the light that either tissue absorbs, on average."""

GLOW = 220.0
"""Mean intensity of the medium between fluorescent tissues, in counts."""

STAIN = 1100.0
"""Mean intensity of a fluorescent stain, in counts."""


def tissue(
    shape: Sequence[int] = (512, 512),
    *,
    seed: int = 0,
    channels: Literal[1, 2] = 1,
    unevenness: float = 0.5,
    vignetting: float = 0.0,
    noise: float = 1.0,
    spacing: Sequence[float] = (0.5, 0.5),
) -> Sample:
    """Draw a section of connective tissue and glands on a bare slide.

    Parameters
    ----------
    shape
        Rows and columns.
    seed
        Random seed; the same seed gives the same image.
    channels
        1: transmitted light. Both tissues are equally dark: a threshold finds tissue, but only
        texture separates the two. 2: two fluorescent stains, each of which favours one tissue.
    unevenness
        Range of the background, relative to its mean.
    vignetting
        Fraction of all light that is lost in the corners.
    noise
        Factor on the camera's noise; 0 for none.
    spacing
        Micrometres per pixel: recorded only, the image is the same.

    Returns
    -------
    Sample
        Classes 1, `stroma` (wavy fibres), and 2, `gland` (dense nuclei). Every connected component
        of one class is an object. With two channels, image and background are (C, Y, X).

    Raises
    ------
    InputError
        When the shape is not two numbers of at least 16, `channels` is neither 1 nor 2, or a
        parameter is out of range.

    Notes
    -----
    0.3 s for 512×512 pixels.
    """
    rows, columns = checked_shape(shape, dimensions=(2,))
    check_parameters(channels=channels - 1, upper=1)
    check_parameters(noise=noise)
    check_parameters(unevenness=unevenness, upper=1.5)
    check_parameters(vignetting=vignetting, upper=0.9)
    size = (rows, columns)
    steps = checked_spacing(spacing, 2)
    rng = np.random.default_rng(seed)
    classes = _regions(rng, size)
    fibres, cells = _fibres(rng, size, classes), _cells(rng, size, classes)
    gain = vignette(size, vignetting)
    if channels == 1:
        background = DARK + gain * FIELD * (1 + unevenness * uneven(rng, size))
        shade = ABSORBED * np.where(classes == 2, cells, fibres)
        through = 1 - ndimage.gaussian_filter(np.where(classes > 0, shade, 0), 0.7)
        light = DARK + (background - DARK) * through
    else:
        glow = [GLOW * gain * (1 + unevenness * uneven(rng, size)) for _ in range(2)]
        background = DARK + np.stack(glow)
        first = np.where(classes == 1, fibres, 0.12 * cells * (classes == 2))
        second = np.where(classes == 2, cells, 0.12 * fibres * (classes == 1))
        stain = ndimage.gaussian_filter(np.stack([first, second]), (0, 0.8, 0.8))
        light = background + STAIN * gain * stain
    return Sample(
        image=record(rng, light.astype(np.float32), noise),
        classes=classes,
        objects=_label_components(classes),
        background=background.astype(np.float32),
        spacing=steps,
        name="Tissue of two classes (synthetic)",
        class_names=("stroma", "gland"),
        axes="YX" if channels == 1 else "CYX",
    )


def _regions(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw the regions of bare slide (0), stroma (1) and gland (2): level sets of smooth fields."""
    scale = (min(64.0, size[0] / 4), min(64.0, size[1] / 4))
    tissue = smooth_field(rng, size, scale) + 0.12 * smooth_field(rng, size, (12, 12))
    gland = smooth_field(rng, size, scale) + 0.05 * smooth_field(rng, size, (12, 12))
    classes = np.zeros(size, np.uint8)
    classes[tissue > np.quantile(tissue, 0.3)] = 1
    classes[(classes > 0) & (gland > np.quantile(gland, 0.55))] = 2
    return _cleaned(classes)


def _cleaned(classes: NDArray[np.uint8], smallest: int = 120) -> NDArray[np.uint8]:
    """Remove components too small to be tissue."""
    cleaned = classes.copy()
    for value in (1, 2):
        components, _ = ndimage.label(classes == value)
        small = np.bincount(components.ravel()) < smallest
        small[0] = False
        cleaned[small[components]] = 0
    return cleaned


def _label_components(classes: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Label the connected components of every class."""
    first, count = ndimage.label(classes == 1)
    second, _ = ndimage.label(classes == 2)
    objects: NDArray[np.int32] = np.where(second > 0, second + count, first).astype(np.int32)
    return objects


def _fibres(rng: np.random.Generator, size: tuple[int, int], classes: NDArray[np.uint8]) -> Floats:
    """Draw wavy fibres, contours of a smooth field, of mean 1 in the stroma."""
    course = smooth_field(rng, size, (110, 110)) + 0.22 * smooth_field(rng, size, (30, 30))
    fray = smooth_field(rng, size, (3, 3))
    patchy = smooth_field(rng, size, (9, 9))
    strand = np.abs(np.sin(24 * course + 0.6 * fray + 0.7 * patchy))
    strand *= np.clip(0.8 + 0.35 * smooth_field(rng, size, (14, 14)), 0.1, None)
    texture = 0.5 + 0.9 * strand**1.2 + 0.09 * patchy + 0.06 * fray
    return _scaled(np.clip(texture, 0.15, None), classes == 1)


def _cells(rng: np.random.Generator, size: tuple[int, int], classes: NDArray[np.uint8]) -> Floats:
    """Draw a dense carpet of round nuclei in cytoplasm, of mean 1 in the glands."""
    pitch = 15.0
    sides = [np.arange(-pitch, n + pitch, pitch) for n in size]
    grid = np.stack(np.meshgrid(*sides, indexing="ij"), -1).reshape(-1, 2)
    points = grid + pitch * rng.uniform(-0.38, 0.38, grid.shape)
    radii = rng.uniform(3.6, 5.6, len(points))
    tone = rng.uniform(0.75, 1.25, len(points))
    positions = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), -1).reshape(-1, 2)
    distance, nearest = cKDTree(points).query(positions, workers=-1)
    edge = np.clip((radii[nearest] - distance) / 1.2 + 0.5, 0, 1)
    nucleus = (tone[nearest] * edge).reshape(size)
    texture = 0.62 + 1.0 * nucleus + 0.1 * smooth_field(rng, size, (2.5, 2.5))
    return _scaled(np.clip(texture, 0.15, None), classes == 2)


def _scaled(texture: NDArray[np.floating], where: NDArray[np.bool_]) -> Floats:
    """Scale the texture to a mean of 1 over `where`."""
    mean = float(texture[where].mean()) if where.any() else float(texture.mean())
    return (texture / mean).astype(np.float32)
