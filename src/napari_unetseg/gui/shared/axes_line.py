"""The line of every tool about the axes of its layer: their names, their use, and a change."""

from itertools import permutations
from typing import Any

from napari.layers import Labels, Layer
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import AXES, Image, doubt_axes
from napari_unetseg.gui.shared.dock_help import small_button
from napari_unetseg.gui.shared.layers import (
    axes_of,
    channel_choice,
    choose_axes,
    choose_channel,
    image_of,
)

_CHANGE_HELP = (
    "Name the axes otherwise, or choose the channels. Kept with the layer, for all tools."
)


class AxesBoxes(QWidget):
    """A line of text on axes, and boxes for axes and channels that its button shows.

    Parameters
    ----------
    change_help, channel_help
        Tooltips of the button and of the box of channels.
    """

    def __init__(self, change_help: str, channel_help: str) -> None:
        super().__init__()
        self.text = QLabel()
        self.text.setObjectName("axes")
        self.text.setWordWrap(True)
        self.axes = QComboBox()
        self.axes.setToolTip("T is time, C channel, Z depth, Y row, X column.")
        self.channel = QComboBox()
        self.channel.setToolTip(channel_help)
        self.button = small_button("Change", change_help, self._toggle)
        self.boxes = QWidget()
        across = QHBoxLayout(self.boxes)
        across.setContentsMargins(0, 0, 0, 0)
        across.addWidget(self.axes)
        across.addWidget(self.channel)
        row = QHBoxLayout()
        row.addWidget(self.text, 1)
        row.addWidget(self.button, 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        column.addWidget(self.boxes)
        self.boxes.hide()

    def offer_axes(self, ndim: int, chosen: str) -> None:
        """Add the axes that `ndim` axes may be to their box, and choose some."""
        for one in axes_for(ndim):
            self.axes.addItem(" ".join(one), one)
        if self.axes.findData(chosen) < 0:
            self.axes.addItem(" ".join(chosen), chosen)
        self.axes.setCurrentIndex(self.axes.findData(chosen))

    def _toggle(self) -> None:
        self.boxes.setVisible(self.boxes.isHidden())


class AxesLine(AxesBoxes):
    """The axes of a layer with more than two, and boxes to change them and to choose channels.

    Signals
    -------
    chosen()
        Other axes or channels were chosen.
    """

    chosen = Signal()

    def __init__(self) -> None:
        super().__init__(_CHANGE_HELP, "The channels that the tools see.")
        self._layer: Layer | None = None
        self.axes.activated.connect(lambda _: self._choose(choose_axes, self.axes))
        self.channel.activated.connect(lambda _: self._choose(choose_channel, self.channel))

    def show_layer(self, layer: Layer | None, use: str) -> None:
        """Show the axes of a layer; nothing for a plane.

        Parameters
        ----------
        use
            The use that the tool makes of them, from `use_in_words`.
        """
        shown = layer is not None and 2 < layer.ndim <= len(AXES)
        self.setVisible(shown)
        if layer is not self._layer:
            self.boxes.hide()
        self._layer = layer
        if layer is None or not shown:
            return
        axes = axes_of(layer)
        image = image_of(layer, whole=True)
        sentences = [f"Axes: {' '.join(axes)}. {use[:1].upper()}{use[1:]}{'.' * bool(use)}"]
        doubt = doubt_axes(image)
        if doubt:
            sentences.append(f"Is that so? {doubt[:1].upper()}{doubt[1:]}")
        self.text.setText(" ".join(sentences).strip())
        with QSignalBlocker(self.axes), QSignalBlocker(self.channel):
            self.axes.clear()
            self.offer_axes(layer.ndim, axes)
            fill_channels(self.channel, image, channel_choice(layer))
            if isinstance(layer, Labels):
                self.channel.hide()

    def _choose(self, choose: Any, box: QComboBox) -> None:
        if self._layer is None:
            return
        try:
            choose(self._layer, box.currentData())
        except InputError as error:
            self.text.setText(str(error))
            return
        self.chosen.emit()


def fill_channels(box: QComboBox, image: Image, chosen: str) -> None:
    """Offer the channels of an image in a box, which is hidden if there is no choice."""
    box.clear()
    box.setVisible(image.n_channels > 1 and not image.rgb)
    box.addItem("all channels", "")
    names = image.channel_names or ("",) * image.n_channels
    for number, name in enumerate(names):
        box.addItem(f"channel {number} {name}".strip(), name or str(number))
    if box.findData(chosen) < 0:
        box.addItem(f"channels {chosen}", chosen)
    box.setCurrentIndex(box.findData(chosen))


def axes_for(ndim: int) -> tuple[str, ...]:
    """Return the axes that a layer of `ndim` axes may have, the usual ones first."""
    lead = ["".join(one) for one in permutations("TCZ", ndim - 2)]
    last = [f"{''.join(one)}YXC" for one in permutations("TZ", ndim - 3)] if ndim > 2 else []
    usual = {3: ["ZYX"], 4: ["TZYX"], 5: ["TCZYX"]}.get(ndim, [])
    return tuple(dict.fromkeys([*usual, *(f"{one}YX" for one in lead), *last]))


def use_in_words(axes: str, whole: str, channels: str) -> str:
    """Return the use a tool makes of axes: ``each plane of T on its own, Z as volume``.

    Parameters
    ----------
    whole
        The axes of what is processed at once: YX or ZYX.
    channels
        The use of several channels; empty if there are none.
    """
    apart = [axis for axis in axes if axis in "TZ" and axis not in whole]
    volume = "Z" in whole and "Z" in axes
    parts = []
    if apart:
        each = "volume" if volume else "plane"
        parts.append(f"each {each} of {' and '.join(apart)} on its own")
    if volume:
        parts.append("Z as volume")
    return ", ".join([*parts, *([channels] if channels else [])])


__all__ = ["AxesBoxes", "AxesLine", "axes_for", "fill_channels", "use_in_words"]
