"""Figures for reports and notes: panels in a row, each with a heading, as one image."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

_PANEL = 420
_GAP = 16
_HEADING = 26
_TITLE = 40
_CAPTION = 30
_TALLEST = 600
_INK = (30, 30, 34)
_PALE = (96, 96, 104)

# Colormap from dark blue over green to yellow, of steadily rising lightness.
_RAMP = np.array(
    [[48, 18, 92], [56, 88, 140], [34, 144, 140], [110, 200, 90], [250, 230, 60]], dtype=np.float64
)

# Distant hues for neighbouring ids: steps of the golden ratio around the colour wheel.
_GOLDEN = 0.618034


@dataclass(frozen=True, eq=False)
class Panel:
    """One panel of a figure with its heading.

    Parameters
    ----------
    picture
        uint8, ``(Y, X)`` or ``(Y, X, 3)``.
    heading
        Short description, shown above.
    """

    picture: Picture
    heading: str


def draw_figure(
    panels: Sequence[Panel], *, title: str, caption: str, columns: int | None = None
) -> bytes:
    """Compose panels of equal size in rows.

    Parameters
    ----------
    panels
        At least one; all of the shape of the first, or scaled to it.
    title, caption
        A line above the panels, and a line of text below.
    columns
        Panels per row; all in one row when missing.

    Returns
    -------
    bytes
        A PNG file.
    """
    from PIL import Image, ImageDraw, ImageFont

    across = columns or len(panels)
    width, height = _panel_size(panels[0].picture)
    stride = _HEADING + height + _GAP
    size = (
        _GAP + (width + _GAP) * across,
        _TITLE + stride * math.ceil(len(panels) / across) + _CAPTION,
    )
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, 11), title, fill=_INK, font=ImageFont.load_default(19))
    for number, panel in enumerate(panels):
        left = _GAP + number % across * (width + _GAP)
        top = _TITLE + number // across * stride
        pen.text((left, top + 4), panel.heading, fill=_PALE, font=ImageFont.load_default(15))
        picture = Image.fromarray(panel.picture).convert("RGB")
        shrinks = picture.width > width
        resample = Image.Resampling.LANCZOS if shrinks else Image.Resampling.BICUBIC
        sheet.paste(picture.resize((width, height), resample), (left, top + _HEADING))
    pen.text((_GAP, size[1] - _CAPTION), caption, fill=_INK, font=ImageFont.load_default(15))
    file = io.BytesIO()
    sheet.save(file, "PNG", optimize=True)
    return file.getvalue()


def _panel_size(picture: Picture) -> tuple[int, int]:
    rows, columns = picture.shape[:2]
    scale = min(_PANEL / columns, _TALLEST / rows)
    return max(round(columns * scale), 1), max(round(rows * scale), 1)


def to_grey(plane: NDArray[Any], limits: tuple[float, float] | None = None) -> Picture:
    """Convert a plane to shades of grey.

    Parameters
    ----------
    plane
        ``(Y, X)``, any dtype.
    limits
        Values of black and white; nearly the darkest and brightest pixel when missing.
    """
    return _bytes(_stretched(plane, limits) * 255)


def to_colour(plane: NDArray[Any]) -> Picture:
    """Convert a smooth plane to colours from dark blue (lowest) to yellow (highest)."""
    low, high = float(np.min(plane)), float(np.max(plane))
    steps = np.linspace(0, 1, len(_RAMP))
    share = _stretched(plane, (low, high))
    channels = [np.interp(share, steps, _RAMP[:, channel]) for channel in range(3)]
    return _bytes(np.stack(channels, axis=-1))


def with_labels(grey: Picture, labels: NDArray[Any], *, opacity: float = 0.45) -> Picture:
    """Overlay labels on a grey image, each in its own colour.

    Parameters
    ----------
    grey
        ``(Y, X)``.
    labels
        Integers of the same shape; 0 is transparent.
    opacity
        Opacity of the colour inside an object; its outline is opaque.
    """
    from skimage.segmentation import find_boundaries

    colours = _colours_of(labels)
    picture = np.repeat(grey[..., None].astype(np.float64), 3, axis=-1)
    share = np.where(labels > 0, opacity, 0.0)
    share[find_boundaries(labels, mode="inner")] = 1.0
    mixed = picture * (1 - share[..., None]) + colours * share[..., None]
    return _bytes(mixed)


def _bytes(values: NDArray[Any]) -> Picture:
    return np.asarray(np.rint(values), dtype=np.uint8)


def _stretched(plane: NDArray[Any], limits: tuple[float, float] | None) -> NDArray[np.float64]:
    low, high = limits or tuple(np.percentile(plane, (0.1, 99.9)))
    if high <= low:
        return np.full(plane.shape, 0.5)
    share: NDArray[np.float64] = (plane.astype(np.float64) - low) / (high - low)
    return share.clip(0, 1)


def _colours_of(labels: NDArray[Any]) -> NDArray[np.float64]:
    """Return a bright colour for each pixel's label, ``(Y, X, 3)``."""
    hue = labels[..., None] * _GOLDEN + np.array([0.0, 1 / 3, 2 / 3])
    wave = 0.5 + 0.5 * np.cos(2 * np.pi * hue)
    return np.asarray(60 + 195 * wave, dtype=np.float64)


__all__ = ["Panel", "Picture", "draw_figure", "to_colour", "to_grey", "with_labels"]
