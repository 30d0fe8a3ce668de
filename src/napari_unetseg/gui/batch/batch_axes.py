"""The line of the Batch dock about the axes and channels of its images, kept in the recipe."""

from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image, doubt_axes
from napari_unetseg.core.io import read_image, read_lazily
from napari_unetseg.core.recipe.recipe_steps import ImageStep
from napari_unetseg.gui.shared.axes_line import AxesBoxes, fill_channels

_CHANGE_HELP = (
    "Name the axes otherwise, or choose the channels, for all images. Kept in the recipe."
)


class BatchAxes(AxesBoxes):
    """The axes of the first image of a list, its notes, and boxes for the recipe's image step.

    Signals
    -------
    chosen(object)
        The image step with other axes or channels.
    """

    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__(_CHANGE_HELP, "The channels that the recipe sees.")
        self._step = ImageStep()
        self.axes.activated.connect(lambda _: self._choose("axes", self.axes))
        self.channel.activated.connect(lambda _: self._choose("channel", self.channel))
        self.hide()

    def show_image(self, path: Path, image: Image | None, step: ImageStep) -> None:
        """Show the axes of an image as the recipe reads it; nothing for a plane without notes.

        Parameters
        ----------
        image
            Of `first_image`; None hides the line.
        """
        self._step = step
        if image is None or (image.axes == "YX" and not image.notes and step == ImageStep()):
            self.hide()
            return
        doubt = doubt_axes(image)
        known = "" if step.axes else ", as in the file"
        sentences = [f"{path.name}: axes {' '.join(image.axes)}{known}."]
        sentences += [f"Is that so? {doubt[:1].upper()}{doubt[1:]}"] if doubt else []
        sentences += [f"{note[:1].upper()}{note[1:]}." for note in image.notes]
        self.text.setText(" ".join(sentences))
        with QSignalBlocker(self.axes), QSignalBlocker(self.channel):
            self.axes.clear()
            self.axes.addItem("as in the file", "")
            self.offer_axes(image.ndim, step.axes)
            fill_channels(self.channel, image, step.channel)
        self.show()

    def _choose(self, key: str, box: QComboBox) -> None:
        change = {key: box.currentData()}
        if key == "axes":
            # Other axes have other channels.
            change["channel"] = ""
        self._step = self._step.model_copy(update=change)
        self.chosen.emit(self._step)


def first_image(path: Path, step: ImageStep) -> Image | None:
    """Return an image with all its channels, as a recipe reads it; None if it cannot be read."""
    try:
        if step.axes:
            return read_image(path, step.axes, scene=step.scene)
        return read_lazily(path, scene=step.scene)
    except InputError:
        # Its run says why.
        return None


__all__ = ["BatchAxes", "first_image"]
