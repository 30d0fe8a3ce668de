"""Preview of a result as one temporary layer over the image."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Layer
from napari.utils.colormaps import Colormap
from numpy.typing import NDArray

from napari_unetseg.gui.shared.layers import PREVIEW, geometry_of, marked, plane_index, role_of

# Okabe and Ito's palette, safe for colour blindness; orange first.
THRESHOLD_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2")

OBJECT_COLOURS = 2 * len(THRESHOLD_COLOURS)
"""Number of colours that objects cycle through: each of the palette, light and dark."""

_DARKER = 0.55


class Preview:
    """A temporary Image layer over a source layer.

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
        """The preview layer, if there is one."""
        gone = self._layer is not None and self._layer not in self._viewer.layers
        return None if gone else self._layer

    def plane(self, source: Layer) -> tuple[int, ...] | None:
        """Return the index of the plane of `source` on screen, or None if no plane of its last
        two axes is (a 3D view, or turned axes)."""
        dims = self._viewer.dims
        if dims.ndisplay != 2 or tuple(dims.displayed) != (dims.ndim - 2, dims.ndim - 1):
            return None
        return plane_index(source, dims.point)

    def show(self, source: Layer, data: Any, *, name: str, **look: Any) -> None:
        """Show `data` over `source`: a plane, or an array of all the axes of the source.

        Parameters
        ----------
        look
            Attributes of an Image layer: colormap, contrast_limits, opacity, blending...
        """
        layer = self.layer
        fits = (
            layer is not None
            and self._source is source
            and layer.data.shape == data.shape
            # A pyramid would take the rows of an array for its levels.
            and layer.multiscale == isinstance(data, Sequence)
        )
        if layer is not None and fits:
            if layer.data is not data:
                layer.data = data
            for attribute, value in {**look, "visible": True}.items():
                # Setting a colormap recompiles the shader, even if it is the same one.
                if attribute == "visible" or self._look.get(attribute) is not value:
                    setattr(layer, attribute, value)
            self._look = look
            return
        self.remove()
        layer = ImageLayer(
            data,
            name=name,
            metadata=marked(PREVIEW, source, {}),
            rgb=False,
            **geometry_of(source, ndim=data.ndim),
            **look,
        )
        layers = self._viewer.layers
        active = layers.selection.active
        layers.append(layer)
        layers.selection.active = active
        self._layer, self._source, self._look = layer, source, look

    def remove(self) -> None:
        """Remove the preview layer, if there is one."""
        layer = self.layer
        self._layer = self._source = None
        if layer is not None:
            self._viewer.layers.remove(layer)


def is_preview(layer: Layer) -> bool:
    """Whether `layer` is the preview layer of a tool."""
    return role_of(layer) == PREVIEW


def threshold_look(
    values: tuple[float, ...], low: float, high: float, *, dark: bool = False
) -> dict[str, Any]:
    """Return the layer attributes that colour the pixels above thresholds.

    The graphics card compares: moving a threshold needs no computation, whatever the size of the
    image.

    Parameters
    ----------
    values
        The thresholds, ascending.
    low, high
        Smallest and largest number of the image.
    dark
        Colour the pixels below instead of above.
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
    """Return the layer attributes that colour classes 1 to `n`; 0 is transparent."""
    n = max(n, 1)
    inner = tuple((k + 0.5) / n for k in range(n))
    return {
        "colormap": _steps(inner, False),
        "contrast_limits": (0, n),
        "blending": "translucent",
        "opacity": 0.5,
    }


def objects_look() -> dict[str, Any]:
    """Return the layer attributes that colour 1 to `OBJECT_COLOURS`; 0 is transparent."""
    return {
        "colormap": _hues(),
        "contrast_limits": (0, OBJECT_COLOURS),
        "blending": "translucent",
        "opacity": 0.6,
    }


def object_colours(ids: NDArray[Any]) -> NDArray[np.uint8]:
    """Map ids to 1 to `OBJECT_COLOURS`, consecutive ids to different numbers, 0 to 0."""
    return np.where(ids > 0, (ids - 1) % OBJECT_COLOURS + 1, 0).astype(np.uint8)


def outlined(labels: NDArray[Any]) -> NDArray[Any]:
    """Keep the pixels of labels at the edge of their class or object, and set the others to 0.

    Pixels at the border of the image count as inside, as in napari's contour.
    """
    edge = np.zeros(labels.shape, np.bool_)
    for axis in range(labels.ndim):
        one, other = (
            tuple(part if k == axis else slice(None) for k in range(labels.ndim))
            for part in (slice(1, None), slice(None, -1))
        )
        differs = labels[one] != labels[other]
        edge[one] |= differs
        edge[other] |= differs
    return np.where(edge, labels, 0).astype(labels.dtype)


def labels_look(labels: Any, n: int) -> dict[str, Any]:
    """Return the layer attributes that colour classes 1 to `n` as a Labels layer does."""
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
        name="classes",
        controls=np.array([0.0, *inner, 1.0]),
        interpolation="zero",
    )


@lru_cache(maxsize=1)
def _hues() -> Colormap:
    """Return a colour-blind safe colormap whose consecutive numbers differ in hue."""
    light = [_rgba(colour) for colour in THRESHOLD_COLOURS]
    dark = [[*(_DARKER * part for part in colour[:3]), 1.0] for colour in light]
    colours = [*light, *dark]
    inner = ((k + 0.5) / OBJECT_COLOURS for k in range(OBJECT_COLOURS))
    return Colormap(
        np.array([[0.0, 0.0, 0.0, 0.0], *colours]),
        name="objects",
        controls=np.array([0.0, *inner, 1.0]),
        interpolation="zero",
    )


@lru_cache(maxsize=16)
def _steps(inner: tuple[float, ...], dark: bool) -> Colormap:
    """Return a colormap that steps from transparent through the palette at `inner`."""
    clear = [0.0, 0.0, 0.0, 0.0]
    shades = [_rgba(THRESHOLD_COLOURS[k % len(THRESHOLD_COLOURS)]) for k in range(len(inner))]
    return Colormap(
        np.array([*reversed(shades), clear] if dark else [clear, *shades]),
        name="dark" if dark else "bright",
        controls=np.array([0.0, *inner, 1.0]),
        interpolation="zero",
    )


def _rgba(colour: str) -> list[float]:
    return [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)] + [1.0]
