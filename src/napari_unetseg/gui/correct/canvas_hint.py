"""The next step of the active tool, written on the canvas."""

import textwrap
from typing import Any

_WIDTH = 56
"""Characters of a line: a longer one would not fit on the canvas of a small window."""


class CanvasHint:
    """A line of napari's text overlay; a text that the user shows there is left alone.

    Parameters
    ----------
    viewer
        The napari viewer.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._before: str | None = None

    @property
    def text(self) -> str:
        """The shown hint, or ``""``."""
        return "" if self._before is None else str(_overlay_of(self._viewer).text)

    def show(self, text: str) -> None:
        """Show a hint."""
        overlay = _overlay_of(self._viewer)
        if self._before is None:
            if overlay.visible:
                return
            self._before = overlay.text
        overlay.text = textwrap.fill(text, _WIDTH)
        overlay.visible = True

    def hide(self) -> None:
        """Remove the hint."""
        if self._before is not None:
            overlay = _overlay_of(self._viewer)
            overlay.visible, overlay.text = False, self._before
            self._before = None


def _overlay_of(viewer: Any) -> Any:
    """Return the text overlay of a viewer; from napari 0.9 on it belongs to the canvas."""
    overlays = getattr(getattr(viewer, "canvas", None), "overlays", None)
    return viewer.text_overlay if overlays is None else overlays.text


__all__ = ["CanvasHint"]
