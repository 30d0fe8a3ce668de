"""A film of a window: frames with the pointer drawn in, written as an animated picture."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QWidget

from window.canvas import Place
from window.hand import Hand

WIDTH = 900
"""Width of the frames in pixels."""

_QUALITY = 60
_MOVES, _MOVE_SECONDS = 4, 0.07
_ARROW = ((0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12))


class Film:
    """Frames of one window.

    Parameters
    ----------
    hand
        The hand at the window.
    """

    def __init__(self, hand: Hand) -> None:
        self.hand = hand
        self._frames: list[Any] = []
        self._lengths: list[int] = []
        self.pointer = QPoint(600, 300)

    @property
    def seconds(self) -> float:
        """Length of the film so far."""
        return sum(self._lengths) / 1000

    def hold(self, seconds: float) -> None:
        """Add the window as it is, for some time."""
        shown = self.hand.viewer.screenshot(canvas_only=False, flash=False)[..., :3]
        picture = Picture.fromarray(shown)
        # Screenshots of a high-resolution display have more pixels than the window.
        scale = picture.width / self._window.width()
        at = self.pointer
        points = [((at.x() + x) * scale, (at.y() + y) * scale) for x, y in _ARROW]
        ImageDraw.Draw(picture).polygon(points, fill="white", outline="black")
        size = (WIDTH, round(picture.height * WIDTH / picture.width))
        frame = picture.resize(size, Picture.Resampling.LANCZOS)
        if self._frames and frame.tobytes() == self._frames[-1].tobytes():
            self._lengths[-1] += round(1000 * seconds)
        else:
            self._frames.append(frame)
            self._lengths.append(round(1000 * seconds))

    def press(self, widget: QWidget) -> None:
        """Move the pointer to a button and click it."""
        start, end = self.pointer, widget.mapTo(self._window, widget.rect().center())
        for share in np.linspace(0, 1, _MOVES + 1)[1:]:
            self.pointer = start + (end - start) * float(share)
            self.hold(_MOVE_SECONDS)
        self.hand.click(widget)

    def point_at(self, layer: Any, place: Place) -> None:
        """Put the pointer on a place of a layer."""
        canvas = self.hand.canvas
        self.pointer = canvas.native.mapTo(self._window, canvas.at(layer, place))

    @property
    def _window(self) -> QWidget:
        return self.hand.window._qt_window  # type: ignore[no-any-return]  # noqa: SLF001

    def write(self, path: Path) -> None:
        """Write the film as an animated WebP picture that repeats."""
        path.parent.mkdir(parents=True, exist_ok=True)
        first, *others = self._frames
        first.save(
            path,
            save_all=True,
            append_images=others,
            duration=self._lengths,
            loop=0,
            quality=_QUALITY,
            method=6,
        )


__all__ = ["WIDTH", "Film"]
