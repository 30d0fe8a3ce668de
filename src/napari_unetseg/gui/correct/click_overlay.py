"""Outline of an object in the making, in a layer that is never saved, measured or offered."""

from functools import lru_cache
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from napari.utils.colormaps import Colormap

from napari_unetseg.core.prompts.prompt import Mask
from napari_unetseg.gui.correct.click_scene import Window
from napari_unetseg.gui.correct.click_state import Candidate, mask_within, outlined
from napari_unetseg.gui.shared.layers import marked, reduced_geometry
from napari_unetseg.gui.shared.navigate import camera_of
from napari_unetseg.gui.shared.preview import PREVIEW

Erased = tuple[Window, Mask] | None
"""Pixels that the corrected object loses: a window of the plane, and a mask of it."""

_RIM = 2.0
"""Thickness of an outline in screen pixels."""

_THICKEST = 0.12
"""Thickness of an outline, as a share of the root of the object's area."""


class ClickOverlay:
    """An outline over one plane of a Labels layer.

    The layer has the size of the object only, since a layer of the whole image would have to be
    sent to the graphics card at every move of the mouse.

    Parameters
    ----------
    viewer
        The napari viewer.
    name
        Name of the layer.
    opacity
        How strong the outline is, 0 to 1.
    """

    def __init__(self, viewer: Any, name: str, opacity: float) -> None:
        self._viewer, self._name, self._opacity = viewer, name, opacity
        self._layer: ImageLayer | None = None

    @property
    def layer(self) -> ImageLayer | None:
        """The layer, while it is in the viewer."""
        gone = self._layer is not None and self._layer not in self._viewer.layers
        return None if gone else self._layer

    def open(self, source: Labels) -> None:
        """Add the layer, empty, over labels."""
        self.close()
        made = ImageLayer(
            np.zeros((1,) * source.ndim, np.uint8),
            name=self._name,
            metadata=marked(PREVIEW, source, {}),
            rgb=False,
            visible=False,
            opacity=self._opacity,
            blending="translucent",
            colormap=_colours(),
            contrast_limits=(0, 3),
            **reduced_geometry(source, (), (0,) * source.ndim, channels=False),
        )
        layers = self._viewer.layers
        active = layers.selection.active
        layers.append(made)
        layers.selection.active = active
        self._layer = made

    def close(self) -> None:
        """Remove the layer."""
        layer, self._layer = self.layer, None
        if layer is not None:
            self._viewer.layers.remove(layer)

    def show(self, source: Labels, candidate: Candidate | None, erased: Erased = None) -> None:
        """Show the outline of a candidate, or nothing."""
        layer = self.layer
        if layer is None:
            return
        if candidate is None or candidate.proposed is None:
            layer.visible = False
            return
        window = candidate.proposed.slices
        if erased is not None and erased[1].any():
            window = _around(window, erased[0])
        mask = mask_within(candidate.proposed, window)
        gone = None
        if erased is not None:
            gone = np.zeros_like(mask)
            gone[tuple(_shifted(s, w) for s, w in zip(erased[0], window, strict=True))] = erased[1]
        picture = outlined(mask, self._rim(source, candidate.proposed.area), gone)
        corner = (*candidate.plane, *(part.start for part in window))
        # Hidden meanwhile, so that nothing is drawn at the earlier place.
        layer.visible = False
        layer.data = picture[(None,) * (source.ndim - 2)]
        layer.affine = reduced_geometry(source, (), corner, channels=False)["affine"]
        layer.visible = True

    def _rim(self, source: Labels, area: int) -> int:
        """Return the thickness of an outline in pixels of the labels."""
        step = float(np.abs(source.scale[-2:]).min()) or 1.0
        pixels = _RIM / max(float(camera_of(self._viewer).zoom) * step, 1e-9)
        return max(round(min(pixels, _THICKEST * float(np.sqrt(area)))), 1)


def _around(one: Window, other: Window) -> Window:
    rows, columns = (
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True)
    )
    return rows, columns


def _shifted(part: slice, window: slice) -> slice:
    return slice(part.start - window.start, part.stop - window.start)


@lru_cache(maxsize=1)
def _colours() -> Colormap:
    """Return the colours: a faint inside, a yellow rim, and red where pixels are erased."""
    return Colormap(
        np.array(
            [[0.0, 0, 0, 0], [0.94, 0.89, 0.26, 0.22], [0.94, 0.89, 0.26, 1], [1, 0.15, 0.15, 0.6]]
        ),
        name="clicked",
        controls=np.array([0, 1 / 6, 1 / 2, 5 / 6, 1]),
        interpolation="zero",
    )


__all__ = ["ClickOverlay", "Erased"]
