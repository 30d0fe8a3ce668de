"""The Labels row of the Train dock: the layer, a new one for strokes, and its classes."""

from typing import Any

from napari.layers import Labels
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLabel, QWidget

from napari_unetseg.gui.shared.dock_help import small_button
from napari_unetseg.gui.shared.stroke_layer import (
    add_stroke_layer,
    arm_brush,
    class_names,
    strokes_of,
)
from napari_unetseg.gui.shared.tool import Tool
from napari_unetseg.gui.shared.training_layers import label_type_of, labels_pick
from napari_unetseg.gui.train.class_buttons import ClassButtons

_NEW = "New strokes layer"
_NEW_HELP = (
    "Add a Labels layer for strokes on this image, and take up the brush with class 1. If there is "
    "one already, it is selected."
)
_STROKES = 2
"""Least number of classes of strokes; those of a mask are fewer."""

_HOW = "Paint a few strokes of the background, then choose class 2 and paint what you look for."


class StrokesPanel(QWidget):
    """The box for the Labels layer, with a button that makes one for strokes.

    Parameters
    ----------
    tool
        The page; its picked image gets the strokes.
    """

    def __init__(self, tool: Tool[Any]) -> None:
        super().__init__(tool)
        self._tool = tool
        self.labels = labels_pick(tool.viewer)
        self.new_button = small_button(_NEW, _NEW_HELP, self.new_layer)
        self.classes = ClassButtons(tool.viewer)
        self.classes.painted.connect(self._on_painted)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.labels, 1)
        row.addWidget(self.new_button)

    def insert_classes(self, form: QFormLayout) -> None:
        """Put the buttons of the classes below this row of a form."""
        row = form.getWidgetPosition(self)[0]
        form.insertRow(row + 1, self.classes)
        label = form.labelForField(self)
        if isinstance(label, QLabel):
            # The row is the box, for those who find it by its label.
            label.setBuddy(self.labels)

    def show_classes(self, least: int) -> None:
        """Show the classes of the chosen layer, or none of ids, which have none; see `follow`."""
        chosen = self.labels.layer()
        ids = chosen is not None and least < _STROKES and label_type_of(chosen) == "objects"
        layer = chosen if least and not ids else None
        # Without anything to choose the button has the row, otherwise the names of layers do.
        choice = chosen is not None or self.labels.count() > 1
        self.labels.setVisible(choice)
        self.new_button.setText("New" if choice else _NEW)
        # One is enough: the button of a class takes up its brush.
        image = self._tool.pick.layer()
        strokes = None if image is None else strokes_of(self._tool.viewer.layers, image)
        new = strokes is None or strokes is not chosen
        self.new_button.setVisible(new)
        self.classes.follow(layer, least=max(least, 1), grows=not new and least == _STROKES)
        self.classes.setVisible(layer is not None)

    def names(self) -> dict[int, str]:
        """Return the names that the classes of the chosen layer have now."""
        layer = self.labels.layer()
        return class_names(layer) if isinstance(layer, Labels) else {}

    def colours(self) -> Labels | None:
        """Return the layer whose classes have buttons, if any: predicted ones get its colours."""
        layer = self.labels.layer()
        return layer if isinstance(layer, Labels) and not self.classes.isHidden() else None

    def new_layer(self) -> None:
        """Make a layer for strokes on the picked image, or select the one that there is."""
        tool, image = self._tool, self._tool.pick.layer()
        if image is None:
            tool.say(tool.nothing_text)
            return
        layer, how = strokes_of(tool.viewer.layers, image), ""
        if layer is None:
            try:
                layer, how = add_stroke_layer(tool.viewer, image), _HOW
            except MemoryError:
                tool.say(
                    f"The memory does not hold labels of {image.name!r}. Crop a part of the image, "
                    "and paint on that.",
                    problem=True,
                )
                return
        self.labels.pick(layer)
        tool.pick.pick(image)
        arm_brush(tool.viewer, layer, layer.selected_label or 1)
        if not tool.running:
            tool.say(how or f"{layer.name!r} is already there: paint on.")

    def close_events(self) -> None:
        """Stop listening to the viewer and to the layer."""
        self.labels.close_events()
        self.classes.follow(None, least=1)

    def _on_painted(self) -> None:
        """Clear a problem that the new strokes may have solved."""
        if not self._tool.running:
            self._tool.unsay()


__all__ = ["StrokesPanel"]
