"""Mouse of the prompts: hovering, clicks, boxes and strokes, while Space still moves the view.

Two clicks in short order are two clicks: napari's zoom by a double click rests meanwhile.
"""

from collections.abc import Generator
from typing import Any

from napari.layers import Labels
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtCore import Signal

from napari_unetseg.gui.correct.correct_hand import Hand, place_of

MORE, LESS = "Control", "Shift"
"""Keys held for a stroke in an object, and for a click or stroke that is not in it."""

_SPACE = "Space"

_ZOOM = "double_click_to_zoom"
"""Name of napari's callback that zooms by a double click."""


class PromptHand(Hand):
    """A hand that also follows the mouse without a button, and knows the keys held with it.

    Signals
    -------
    hovered(object)
        The point under the mouse.
    """

    hovered = Signal(object)

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer, allowed=(MORE, LESS))
        self._panning = False
        self._resting: list[Any] = []

    def take(self, layer: Labels, *, draws: bool = True) -> None:
        """Start to follow the mouse on a layer; see `Hand`."""
        super().take(layer, draws=draws)
        layer.mouse_move_callbacks.append(self._on_hover)
        layer.mouse_double_click_callbacks.append(self._on_second)
        callbacks = self._viewer.mouse_double_click_callbacks
        self._resting = [one for one in callbacks if getattr(one, "__name__", "") == _ZOOM]
        for one in self._resting:
            callbacks.remove(one)
        if coerce_keybinding(_SPACE) not in layer.keymap:
            layer.bind_key(_SPACE, self._on_space)

    def let_go(self) -> None:
        """Stop following, and give back the layer's mouse and Space key."""
        layer = self.layer
        if layer is not None:
            for callbacks, ours in (
                (layer.mouse_move_callbacks, self._on_hover),
                (layer.mouse_double_click_callbacks, self._on_second),
            ):
                if ours in callbacks:
                    callbacks.remove(ours)
            self._viewer.mouse_double_click_callbacks.extend(self._resting)
            if layer.keymap.get(coerce_keybinding(_SPACE)) == self._on_space:
                layer.bind_key(_SPACE, None)
        self._panning = False
        super().let_go()

    def _on_press(self, layer: Labels, event: Any) -> Generator[None, None, None]:
        if not self._panning:
            yield from super()._on_press(layer, event)

    def _on_second(self, layer: Labels, event: Any) -> None:
        if not self._panning and self.may_use(event):
            self.clicked.emit(place_of(layer, event))

    def _on_hover(self, layer: Labels, event: Any) -> None:
        if not self._panning:
            self.hovered.emit(place_of(layer, event))

    def _on_space(self, layer: Labels) -> Generator[None, None, None]:
        """Let a drag move the view while the key is held."""
        self._pan(layer, True)
        yield
        # The key may be let go after the mode was left.
        if self.layer is layer:
            self._pan(layer, False)

    def _pan(self, layer: Labels, on: bool) -> None:
        self._panning = on
        layer.mouse_pan = on


__all__ = ["LESS", "MORE", "PromptHand"]
