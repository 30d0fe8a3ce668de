"""Draw the pictures of the shipped models: an image of the kind of each, with its objects outlined.

Usage: python tools/draw_model_pictures.py [NAME ...]

Writes ``NAME.png`` beside the file of each model, or of the named ones; the window shows them where
a model is chosen. All are drawn from seeds, none is a photograph, and the outlines are those of the
drawing. The general model, which is of many kinds, gets four of them.
"""

import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from PIL import Image as PillowImage
from scipy import ndimage
from scipy.special import expit

from napari_unetseg.core import samples
from napari_unetseg.core.image import Image
from napari_unetseg.core.models_io.model_pictures import Picture, draw_picture
from napari_unetseg.core.models_io.shipped_models import FOLDER, GENERAL
from napari_unetseg.core.samples.scene import Doubles, Floats, Ints, smooth_field

SIDE = 192
_SIZE = (SIDE, SIDE)
_COLOURS = 96
"""Colours of a file, which keep it small."""

Drawing = tuple[Image, Ints]
"""An image (Y, X) or (Y, X, C) of `SIDE` pixels, and its objects or classes (Y, X)."""


def away(
    rng: np.random.Generator,
    at: Sequence[float],
    radius: float,
    *,
    stretch: float = 0.0,
    wobble: float = 0.05,
    tips: Sequence[float] = (),
) -> Doubles:
    """Draw a round shape: 0 in its centre, 1 on its edge, more outside.

    Parameters
    ----------
    at, radius
        In pixels.
    stretch
        An ellipse is ``(1 + stretch) ** 2`` times as long as wide.
    wobble
        Relative height of the waves of the edge.
    tips
        Directions in which it is drawn out to points, in radians.
    """
    y, x = np.indices(_SIZE) - np.reshape(at, (2, 1, 1))
    turn = rng.uniform(0, np.pi)
    along = (np.cos(turn) * x + np.sin(turn) * y) / (1 + stretch)
    across = (np.cos(turn) * y - np.sin(turn) * x) * (1 + stretch)
    angle = np.arctan2(across, along)
    edge = np.ones(_SIZE)
    for waves in range(2, 6):
        edge += wobble * rng.normal() * np.cos(waves * angle + rng.uniform(0, 6.3))
    for tip in tips:
        off = np.abs((angle - tip + np.pi) % (2 * np.pi) - np.pi)
        edge += rng.uniform(1.2, 2.4) * np.exp(-off / 0.28)
    return np.hypot(along, across) / (radius * np.maximum(edge, 0.3))


def packed(
    rng: np.random.Generator, radii: Sequence[float], gap: float, margin: float = 15.0
) -> Iterator[tuple[Doubles, float]]:
    """Place discs at least a gap apart, and leave out those for which there is no room."""
    places: list[tuple[Doubles, float]] = []
    for radius in radii:
        for at in rng.uniform(-margin, SIDE + margin, (150, 2)):
            if all(np.hypot(*(at - other)) > radius + far + gap for other, far in places):
                places.append((at, radius))
                break
    yield from places


def noise(rng: np.random.Generator, scale: float) -> Floats:
    """Draw smooth noise with a deviation of 1, its grains about two scales wide."""
    return smooth_field(rng, _SIZE, (scale, scale))


def bump(values: Doubles | Floats, middle: float, width: float) -> Doubles:
    """Return 1 where values are at the middle, falling to 0 within two widths."""
    return np.exp(-(((values - middle) / width) ** 2))


def nuclei() -> Drawing:
    """Draw bright nuclei in fluorescence, some of them in contact."""
    drawn = samples.nuclei(
        _SIZE, seed=2, density=4.0, touching=0.7, unevenness=0.3, spacing=(0.38, 0.38), noise=0.7
    )
    return drawn.as_image(), drawn.objects


def stained_nuclei() -> Drawing:
    """Draw a section in haematoxylin and eosin: purple nuclei in pink fibres."""
    rng = np.random.default_rng(2)
    objects = np.zeros(_SIZE, np.int32)
    purple = 0.08 + 0.02 * noise(rng, 20)
    warp = 9 * noise(rng, 30)
    y, x = np.indices(_SIZE)
    fibres = ndimage.map_coordinates(
        smooth_field(rng, _SIZE, (3, 26)), (y + warp + 0.25 * x, x), order=1, mode="mirror"
    )
    pink = np.clip(0.52 + 0.15 * fibres + 0.06 * noise(rng, 2), 0.06, None)
    pink *= expit(6 * (noise(rng, 26) + 1.15))
    for number, (at, radius) in enumerate(packed(rng, rng.uniform(13, 21, 45), 1), 1):
        shape = away(rng, at, radius, stretch=rng.uniform(0.05, 0.3), wobble=0.03)
        inside = (shape < 1) & (objects == 0)
        chromatin = 0.62 + 0.1 * noise(rng, 2) + 0.08 * noise(rng, 5)
        chromatin += 0.2 * bump(shape, 0.93, 0.1)
        purple[inside] = (rng.uniform(0.8, 1.35) * chromatin)[inside]
        pink[inside] *= 0.5
        objects[inside] = number
    absorbed = purple[..., None] * (0.95, 1.25, 0.42) + pink[..., None] * (0.10, 0.72, 0.26)
    light = np.exp(-ndimage.gaussian_filter(absorbed, (0.9, 0.9, 0)))
    light += 0.008 * rng.standard_normal(light.shape)
    return Image.of(np.uint8(np.clip(250 * light, 0, 255)), rgb=True), objects


def cytology_nuclei() -> Drawing:
    """Draw flat cells in bright field, which overlap, each with a dark nucleus."""
    rng = np.random.default_rng(7)
    objects = np.zeros(_SIZE, np.int32)
    light = 0.93 + 0.006 * noise(rng, 12)
    middles = ((50, 52), (60, 142), (138, 92), (150, 190), (120, 4))
    for number, at in enumerate(middles, 1):
        shape = away(rng, at, rng.uniform(42, 50), stretch=0.06, wobble=0.06)
        cell = 0.2 + 0.03 * noise(rng, 8) + 0.025 * noise(rng, 1.5)
        cell += 0.07 * bump(noise(rng, 14), 0, 0.1) * (noise(rng, 20) > 0.6)
        cell += 0.1 * bump(shape, 0.97, 0.03) + 0.1 * bump(shape, 0, 0.5)
        light *= 1 - cell * expit((1 - shape) / 0.012)
        middle = at + rng.normal(0, 4, 2)
        nucleus = away(rng, middle, rng.uniform(10, 12.5), stretch=0.15, wobble=0.025)
        light *= 1 - (0.72 + 0.08 * noise(rng, 2)) * expit((1 - nucleus) / 0.04)
        objects[nucleus < 1] = number
    return _recorded(rng, light, 0.7, 0.012), objects


def phase_cells() -> Drawing:
    """Draw cells in phase contrast: dark and thin, drawn out to points, with a bright halo."""
    rng = np.random.default_rng(5)
    objects = np.zeros(_SIZE, np.int32)
    thickness = np.zeros(_SIZE)
    for number, (at, radius) in enumerate(packed(rng, rng.uniform(22, 27, 40), 4), 1):
        rounded = number == 8
        first = rng.uniform(0, 6.3)
        tips = first + np.asarray([0, np.pi + rng.normal(0, 0.3), 1.7][: rng.integers(2, 4)])
        if rounded:
            tips, radius = tips[:0], 0.7 * radius
        shape = away(rng, at, 0.6 * radius, stretch=rng.uniform(0, 0.2), wobble=0.03, tips=tips)
        mine = (shape < 1) & (objects == 0)
        nucleus = away(rng, at, 0.42 * radius, stretch=0.15, wobble=0.02)
        body = 0.55 + 0.4 * np.sqrt(np.clip(1 - shape, 0, None)) - 0.2 * (nucleus < 1)
        for spot in at + rng.normal(0, 2.5, (2, 2)):
            body += 0.7 * bump(away(rng, spot, 2.2), 0, 1)
        granules = bump(nucleus, 0, 2.5) * (nucleus > 1)
        body += 0.04 * noise(rng, 3) + 0.22 * granules * noise(rng, 1.5)
        thickness[mine] = 1.8 if rounded else body[mine]
        objects[mine] = number
    near, far = (ndimage.gaussian_filter(thickness, width) for width in (3.5, 9))
    shown = ndimage.gaussian_filter(thickness - 0.7 * near - 0.15 * far, 0.7)
    light = np.clip(0.42 - 0.7 * shown, 0.05, 0.9) + 0.008 * noise(rng, 10)
    return _recorded(rng, light, 0.5, 0.012), objects


def neurons() -> Drawing:
    """Draw two neurons in phase contrast, with branching processes."""
    drawn = samples.neurons((224, 224), seed=5, density=1.0, debris=0.4, unevenness=0.2)
    view = np.s_[40:190, 30:180]
    return Image.of(drawn.image[view]), drawn.classes[view].astype(np.int32)


def axons() -> Drawing:
    """Draw dark axons across, each in a bright ring of myelin: the model finds no dark rings."""
    rng = np.random.default_rng(3)
    classes = np.zeros(_SIZE, np.int32)
    light = 0.4 + 0.06 * noise(rng, 2.5) + 0.06 * noise(rng, 8)
    radii = np.sort(np.concatenate([rng.uniform(22, 36, 6), rng.gamma(3, 3.0, 200) + 4]))[::-1]
    for at, radius in packed(rng, radii, -0.5):
        shape = away(rng, at, radius, stretch=rng.uniform(0, 0.15), wobble=0.035)
        myelin = (shape < 1) & (classes == 0)
        axon = myelin & (shape < rng.uniform(0.62, 0.76))
        lamellae = 0.04 * noise(rng, 2) + 0.03 * np.cos(2 * np.pi * shape * radius / 3)
        light[myelin] = (rng.uniform(0.72, 0.86) + lamellae)[myelin]
        light[axon] = (rng.uniform(0.1, 0.2) + 0.03 * noise(rng, 2))[axon]
        for spot in at + 0.25 * radius * rng.normal(0, 1, (int(radius / 9), 2)):
            light[axon & (away(rng, spot, 2.5, stretch=0.2) < 1)] += 0.2
        classes[myelin], classes[axon] = 1, 2
    return _recorded(rng, light, 0.7, 0.03), classes


def _recorded(rng: np.random.Generator, light: Doubles, blur: float, grain: float) -> Image:
    seen = ndimage.gaussian_filter(light, blur) + grain * rng.standard_normal(light.shape)
    return Image.of(np.uint8(np.clip(255 * seen, 0, 255)))


DRAWINGS: dict[str, Callable[[], Drawing]] = {
    "nuclei": nuclei,
    "stained_nuclei": stained_nuclei,
    "cytology_nuclei": cytology_nuclei,
    "phase_cells": phase_cells,
    "neurons": neurons,
    "axons": axons,
}
"""How an image of the kind of each model is drawn."""

_OF_MANY = ("nuclei", "stained_nuclei", "cytology_nuclei", "phase_cells")


def picture(name: str) -> Picture:
    """Draw the picture of a model."""
    if name != GENERAL:
        return draw_picture(*DRAWINGS[name](), SIDE)
    tiles = [draw_picture(*DRAWINGS[kind](), SIDE // 2) for kind in _OF_MANY]
    return np.concatenate([np.concatenate(tiles[k : k + 2], axis=1) for k in (0, 2)])


def main(wanted: Sequence[str]) -> None:
    """Write the pictures."""
    for name in wanted or [*DRAWINGS, GENERAL]:
        drawn = PillowImage.fromarray(picture(name)).quantize(_COLOURS)
        drawn.save(FOLDER / f"{name}.png", optimize=True)
        print(f"{name}.png", (FOLDER / f"{name}.png").stat().st_size)


if __name__ == "__main__":
    main(sys.argv[1:])
