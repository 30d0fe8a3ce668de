"""Buttons for the classes of strokes: colour, name and count, in step with napari's brush."""

from collections.abc import Iterable
from typing import Any

from napari.layers import Labels, Layer
from napari.utils.events import disconnect_events
from qtpy.QtCore import QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from napari_unetseg.core.annotation.annotation import MAX_CLASSES
from napari_unetseg.gui.shared.dock_help import small_button
from napari_unetseg.gui.shared.stroke_layer import arm_brush, class_names, set_class_names
from napari_unetseg.gui.shared.style import POINTER
from napari_unetseg.gui.train.stroke_counts import ClassCount, StrokeCounts

_SHOWN = 12
"""Largest number of classes with a row of their own; more, without a name, are ids of objects."""

_IDS = "These are many numbers. Are they objects? Then change the label type to objects."

_SWATCH = 14
_BUTTON_STYLE = (
    "QToolButton { padding: 1px 5px; border: 2px solid transparent; border-radius: 3px; }"
    f"QToolButton:checked {{ border-color: {POINTER}; font-weight: bold; }}"
)
_BUTTON_HELP = "Paint this class. The colour is that of the Labels layer."
_NAME_HELP = "Name of the class. It is kept with the layer and becomes part of trained models."
_ADD_HELP = "Add a class, and paint it."
_REMOVE_HELP = "Remove this class, which nothing is painted of."


class ClassButtons(QWidget):
    """A row for each class of a Labels layer: a coloured button, a name, and what is painted.

    Parameters
    ----------
    viewer
        The napari viewer.

    Signals
    -------
    painted()
        Something was painted or erased.
    """

    painted = Signal()

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Labels | None = None
        self._least, self._grows = 1, True
        self._rows: dict[int, _ClassRow] = {}
        self._group = QButtonGroup(self)
        self._group.setExclusive(False)
        self.counts = StrokeCounts(self)
        self.counts.changed.connect(self._refresh)
        self.add_button = small_button("+", _ADD_HELP, self.add_class)
        self.add_button.setAccessibleName("Add class")
        self.more = QLabel()
        self.more.setWordWrap(True)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(1, 1)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    # State

    def follow(self, layer: Layer | None, *, least: int, grows: bool = True) -> None:
        """Show the classes of a layer, or none.

        Parameters
        ----------
        least
            Number of classes to list where fewer are painted: 2 for strokes, 1 for a mask.
        grows
            Whether classes can be added and removed here.
        """
        labels = layer if isinstance(layer, Labels) else None
        if (labels, least, grows) == (self._layer, self._least, self._grows):
            return
        for row in self._rows.values():
            # What is being typed belongs to the layer before.
            row.name.clearFocus()
        if self._layer is not None:
            disconnect_events(self._layer.events, self)
        self._layer, self._least, self._grows = labels, least, grows
        if labels is not None:
            labels.events.selected_label.connect(self._refresh)
            labels.events.colormap.connect(self._recolour)
            labels.events.paint.connect(self._on_paint)
        self.counts.follow(labels)
        self._refresh()

    def classes(self) -> list[int]:
        """Return the numbers of the classes: named, painted or selected ones, and the first."""
        layer = self._layer
        if layer is None:
            return []
        found = {*class_names(layer), *self.counts.counts()}
        if len(found) < self._least:
            found |= set(range(1, self._least + 1))
        chosen = int(layer.selected_label)
        if 0 < chosen <= MAX_CLASSES:
            found.add(chosen)
        return sorted(found)

    def add_class(self) -> None:
        """Add the next class, and take up the brush with it."""
        layer = self._layer
        if layer is None:
            return
        there = self._listed()
        value = next(k for k in range(1, len(there) + 2) if k not in there)
        set_class_names(layer, {**there, value: ""})
        arm_brush(self._viewer, layer, value)
        self._refresh()

    def remove_class(self, value: int) -> None:
        """Remove a class that nothing is painted of; its brush changes to the first class."""
        layer = self._layer
        if layer is None or self.counts.counts().get(value):
            return
        there = self._listed()
        there.pop(value, None)
        set_class_names(layer, there)
        if layer.selected_label == value and there:
            layer.selected_label = min(there)
        self._refresh()

    def paint_class(self, value: int) -> None:
        """Take up the brush with a class."""
        if self._layer is not None and self._layer in self._viewer.layers:
            arm_brush(self._viewer, self._layer, value)
        self._refresh()

    def rename_class(self, value: int, name: str) -> None:
        """Give a class a name, or none."""
        layer = self._layer
        if layer is not None and class_names(layer).get(value, "") != name.strip():
            set_class_names(layer, {**self._listed(), value: name})

    def _listed(self) -> dict[int, str]:
        """Return the names of all classes shown, empty where there is none."""
        names = {} if self._layer is None else class_names(self._layer)
        return {value: names.get(value, "") for value in self.classes()}

    # View

    def _refresh(self, event: object = None) -> None:
        layer, values = self._layer, self.classes()
        counts = self.counts.counts()
        names = {} if layer is None else class_names(layer)
        ids = len(values) > _SHOWN and not names
        shown = [] if ids else values[:_SHOWN]
        if shown != list(self._rows):
            self._lay_out(shown)
        for value, row in self._rows.items():
            chosen = layer is not None and layer.selected_label == value
            removable = self._grows and not counts.get(value) and len(values) > self._least
            count = counts.get(value, ClassCount()) if self.counts.known else None
            row.show_state(names.get(value, ""), chosen, removable)
            # Nobody drew the pieces of a mask one by one.
            row.show_count(count, 0 if layer is None or self._least > 1 else layer.data.size)
        hidden = len(values) - len(shown)
        self.more.setText(_IDS if ids else f"and {hidden} more.")
        self.more.setVisible(hidden > 0)
        self.add_button.setVisible(layer is not None and self._grows and not hidden)

    def _lay_out(self, values: Iterable[int]) -> None:
        for row in self._rows.values():
            self._group.removeButton(row.button)
            for widget in row.widgets:
                self._grid.removeWidget(widget)
                widget.hide()
                widget.deleteLater()
        self._rows = {value: _ClassRow(self, value) for value in values}
        for number, row in enumerate(self._rows.values()):
            self._group.addButton(row.button)
            for column, widget in enumerate(row.widgets):
                self._grid.addWidget(widget, number, column)
        last = len(self._rows)
        self._grid.addWidget(self.more, last, 0, 1, 4)
        self._grid.addWidget(self.add_button, max(last - 1, 0), 4)
        self._recolour()

    def _on_paint(self, event: object = None) -> None:
        self.painted.emit()

    def _recolour(self, event: object = None) -> None:
        for value, row in self._rows.items():
            if self._layer is not None:
                row.paint_swatch(self._layer.colormap.map(value))


class _ClassRow:
    """The widgets of one class."""

    def __init__(self, classes: ClassButtons, value: int) -> None:
        self.button = QToolButton(classes)
        self.button.setObjectName(f"class {value}")
        self.button.setText(str(value))
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setCheckable(True)
        self.button.setToolTip(_BUTTON_HELP)
        self.button.setStyleSheet(_BUTTON_STYLE)
        self.button.clicked.connect(lambda: classes.paint_class(value))
        self.name = QLineEdit(classes)
        self.name.setObjectName(f"name of class {value}")
        self.name.setPlaceholderText(f"class {value}")
        self.name.setToolTip(_NAME_HELP)
        self.name.setMinimumWidth(60)
        self.name.editingFinished.connect(lambda: classes.rename_class(value, self.name.text()))
        self.count = QLabel(classes)
        self.count.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.remove = small_button("×", _REMOVE_HELP, lambda: classes.remove_class(value))
        self.remove.setAccessibleName(f"Remove class {value}")
        self.widgets: tuple[QWidget, ...] = (self.button, self.name, self.count, self.remove)

    def show_state(self, name: str, chosen: bool, removable: bool) -> None:
        with QSignalBlocker(self.button):
            self.button.setChecked(chosen)
        if not self.name.hasFocus():
            self.name.setText(name)
            # In a narrow dock, its beginning is seen.
            self.name.setCursorPosition(0)
        self.remove.setVisible(removable)

    def show_count(self, count: ClassCount | None, whole: int) -> None:
        """Show the number of strokes, or the share of `whole` pixels."""
        self.count.setText("" if count is None else count.in_words(whole))
        self.count.setToolTip("" if count is None else f"{count.pixels:,} pixels")

    def paint_swatch(self, colour: Any) -> None:
        """Show a colour, of numbers from 0 to 1, on the button."""
        swatch = QPixmap(_SWATCH, _SWATCH)
        swatch.fill(QColor.fromRgbF(*(float(part) for part in colour[:3])))
        self.button.setIcon(QIcon(swatch))
        self.button.setIconSize(QSize(_SWATCH, _SWATCH))


__all__ = ["ClassButtons"]
