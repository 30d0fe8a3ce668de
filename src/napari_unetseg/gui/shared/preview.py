"""What a result would look like: one passing layer over the image."""

from functools import lru_cache
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Layer
from napari.utils.colormaps import Colormap
from numpy.typing import NDArray

from napari_unetseg.gui.shared.layers import geometry_of, marked, plane_index, role_of

# Okabe and Ito's colours, told apart by colour-blind eyes; orange first.
THRESHOLD_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2")

PREVIEW = "preview"
"""Role of the passing layer."""

OBJECT_COLOURS = 2 * len(THRESHOLD_COLOURS)
"""Colours in which objects are shown, over and over: each of the palette, light and dark."""

_DARKER = 0.55


class Preview:
    """One Image layer over a source layer.

    Parameters
    ----------
    viewer
        The napari viewer.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._layer: ImageLayer | None = None
        self._source: Layer | None = None
        self._look: dict[str, Any] = {}

    @property
    def layer(self) -> ImageLayer | None:
        """The passing layer, when there is one."""
        gone = self._layer is not None and self._layer not in self._viewer.layers
        return None if gone else self._layer

    def plane(self, source: Layer) -> tuple[int, ...] | None:
        """Return the index of the plane of `source` on screen, or None when no plane of its last
        two axes is (a 3D view, or turned axes)."""
        dims = self._viewer.dims
        if dims.ndisplay != 2 or tuple(dims.displayed) != (dims.ndim - 2, dims.ndim - 1):
            return None
        return plane_index(source, dims.current_step)

    def show(self, source: Layer, data: Any, *, name: str, **look: Any) -> None:
        """Show `data` over `source`: a plane, or an array of all the axes of the source.

        Parameters
        ----------
        look
            Attributes of an Image layer: colormap, contrast_limits, opacity, blending...
        """
        layer = self.layer
        fits = layer is not None and self._source is source and layer.data.shape == data.shape
        if layer is not None and fits:
            if layer.data is not data:
                layer.data = data
            for attribute, value in {**look, "visible": True}.items():
                # A colormap set anew recompiles the shader, even when it is the same one.
                if attribute == "visible" or self._look.get(attribute) is not value:
                    setattr(layer, attribute, value)
            self._look = look
            return
        self.remove()
        made = ImageLayer(
            data,
            name=name,
            metadata=marked(PREVIEW, source, {}),
            rgb=False,
            **geometry_of(source, ndim=data.ndim),
            **look,
        )
        layers = self._viewer.layers
        active = layers.selection.active
        layers.append(made)
        layers.selection.active = active
        self._layer, self._source, self._look = made, source, look

    def remove(self) -> None:
        """Take the layer away, if it is there."""
        layer = self.layer
        self._layer = self._source = None
        if layer is not None:
            self._viewer.layers.remove(layer)


def is_preview(layer: Layer) -> bool:
    """Whether `layer` is the passing layer of some tool."""
    return role_of(layer) == PREVIEW


def threshold_look(
    values: tuple[float, ...], low: float, high: float, *, dark: bool = False
) -> dict[str, Any]:
    """Return the look that makes an Image layer show its own numbers above thresholds.

    The graphics card does the comparing: moving a threshold costs no computation, whatever the
    size of the image.

    Parameters
    ----------
    values
        The thresholds, ascending.
    low, high
        Smallest and largest number of the image.
    dark
        Colour what is below instead of above.
    """
    lo, hi = min(low, *values), max(high, *values)
    if len(values) == 1:
        # Centring the range on the only threshold keeps the colormap, so nothing is recompiled.
        reach = max(hi - values[0], values[0] - lo, 1e-12)
        limits = (values[0] - reach, values[0] + reach)
        inner: tuple[float, ...] = (0.5,)
    else:
        span = max(hi - lo, 1e-12)
        limits = (lo, lo + span)
        inner = tuple(min(max((value - lo) / span, 0.0), 1.0) for value in values)
    return {
        "colormap": _steps(inner, dark),
        "contrast_limits": limits,
        "blending": "translucent",
        "opacity": 0.6,
    }


def classes_look(n: int) -> dict[str, Any]:
    """Return the look that makes an Image layer show classes 1 to `n` in colour, 0 clear."""
    n = max(n, 1)
    inner = tuple((k + 0.5) / n for k in range(n))
    return {
        "colormap": _steps(inner, False),
        "contrast_limits": (0, n),
        "blending": "translucent",
        "opacity": 0.5,
    }


def objects_look() -> dict[str, Any]:
    """Return the look that tells the numbers 1 to `OBJECT_COLOURS` apart; 0 is clear."""
    return {
        "colormap": _hues(),
        "contrast_limits": (0, OBJECT_COLOURS),
        "blending": "translucent",
        "opacity": 0.6,
    }


def object_colours(ids: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a number from 1 to `OBJECT_COLOURS` for every object, another for the next id."""
    return np.where(ids > 0, (ids - 1) % OBJECT_COLOURS + 1, 0).astype(np.uint8)


def labels_look(labels: Any, n: int) -> dict[str, Any]:
    """Return the look that shows classes 1 to `n` in the colours a Labels layer paints them in."""
    colours = tuple(
        tuple(float(part) for part in labels.get_color(value)[:3]) for value in range(1, n + 1)
    )
    return {**classes_look(n), "colormap": _painted(colours)}


@lru_cache(maxsize=16)
def _painted(colours: tuple[tuple[float, ...], ...]) -> Colormap:
    n = len(colours)
    inner = ((k + 0.5) / n for k in range(n))
    return Colormap(
        np.array([[0.0, 0.0, 0.0, 0.0], *([*colour, 1.0] for colour in colours)]),
        name=f"unetseg classes {hash(colours)}",
        controls=np.array([0.0, *inner, 1.0]),
        interpolation="zero",
    )


@lru_cache(maxsize=1)
def _hues() -> Colormap:
    """Return a colormap in which neighbours in number are told apart by every eye."""
    light = [_rgba(colour) for colour in THRESHOLD_COLOURS]
    dark = [[*(_DARKER * part for part in colour[:3]), 1.0] for colour in light]
    colours = [*light, *dark]
    inner = ((k + 0.5) / OBJECT_COLOURS for k in range(OBJECT_COLOURS))
    return Colormap(
        np.array([[0.0, 0.0, 0.0, 0.0], *colours]),
        name="unetseg objects",
        controls=np.array([0.0, *inner, 1.0]),
        interpolation="zero",
    )


@lru_cache(maxsize=16)
def _steps(inner: tuple[float, ...], dark: bool) -> Colormap:
    """Return a colormap that steps from clear through the thresholds' colours at `inner`."""
    clear = [0.0, 0.0, 0.0, 0.0]
    shades = [_rgba(THRESHOLD_COLOURS[k % len(THRESHOLD_COLOURS)]) for k in range(len(inner))]
    return Colormap(
        np.array([*reversed(shades), clear] if dark else [clear, *shades]),
        name=f"unetseg threshold {len(inner)} {'dark' if dark else 'bright'}",
        controls=np.array([0.0, *inner, 1.0]),
        interpolation="zero",
    )


def _rgba(colour: str) -> list[float]:
    return [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)] + [1.0]
