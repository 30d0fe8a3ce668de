"""A tool with a live preview of its result on the visible plane."""

from abc import abstractmethod
from typing import Any, TypeVar

from napari.layers import Layer
from napari.utils.events import disconnect_events
from qtpy.QtCore import QTimer

from napari_unetseg.core.options import Options
from napari_unetseg.gui.shared.task import Latest
from napari_unetseg.gui.shared.tool import Tool

O = TypeVar("O", bound=Options)  # noqa: E741 - an Options

_WAIT_MS = 120


class PreviewTool(Tool[O]):
    """A `Tool` with a live preview.

    When the layer, the options or the plane on screen change while the page is visible, `look` is
    called after a short pause; the result of its request to `latest` is passed to `looked`.

    Parameters
    ----------
    viewer
        The napari viewer.
    """

    def __init__(self, viewer: Any, options: O) -> None:
        super().__init__(viewer, options)
        self.latest = Latest(self)
        self.latest.answered.connect(self.looked)
        self.latest.refused.connect(self.say_error)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_WAIT_MS)
        self._timer.timeout.connect(self._on_quiet)
        self.viewer.dims.events.current_step.connect(self.look_later)
        self.viewer.dims.events.ndisplay.connect(self.look_later)
        self.viewer.dims.events.order.connect(self.look_later)
        self._followed: Layer | None = None

    @abstractmethod
    def look(self, layer: Layer) -> None:
        """Request the preview of `layer` from `latest`, or show nothing."""

    @abstractmethod
    def looked(self, answer: Any) -> None:
        """Show the requested preview, if it is still current."""

    def look_later(self, event: object = None) -> None:
        """Update the preview once nothing has changed for a moment."""
        if not self._closed:
            self._timer.start()

    def options_changed(self, options: O) -> None:
        self.look_later()

    def layer_changed(self, layer: Layer | None) -> None:
        super().layer_changed(layer)
        self._follow(layer)
        self.look_later()

    def shown(self) -> None:
        self.look_later()

    def end_preview(self) -> None:
        """Remove the preview, also one that is on its way, until something changes."""
        self._timer.stop()
        self.latest.forget()
        self.preview.remove()

    def hidden(self) -> None:
        self.end_preview()
        super().hidden()

    def close_tool(self) -> None:
        if not self._closed:
            disconnect_events(self.viewer.dims.events, self)
            self._follow(None)
        super().close_tool()

    def _follow(self, layer: Layer | None) -> None:
        """Preview other data of the picked layer, too."""
        if self._followed is not None:
            self._followed.events.data.disconnect(self.look_later)
        self._followed = layer
        if layer is not None:
            layer.events.data.connect(self.look_later)

    def _on_quiet(self) -> None:
        layer = self.pick.layer()
        if layer is not None and self.isVisible():
            self.look(layer)
