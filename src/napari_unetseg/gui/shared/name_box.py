"""A box whose long entries are cut in their middle, not at the end."""

from qtpy.QtCore import Qt
from qtpy.QtGui import QPaintEvent
from qtpy.QtWidgets import QComboBox, QStyle, QStyleOptionComboBox, QStylePainter

_TEXT_MARGIN = 4


class NameBox(QComboBox):
    """A box of names, which differ at their ends: of layers, models and features."""

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Cut a long name in its middle."""
        shown = QStyleOptionComboBox()
        self.initStyleOption(shown)
        kind, part = QStyle.ComplexControl.CC_ComboBox, QStyle.SubControl.SC_ComboBoxEditField
        style, painter = self.style(), QStylePainter(self)
        if style is not None:
            room = style.subControlRect(kind, shown, part, self).width() - _TEXT_MARGIN
            text = shown.currentText or self.placeholderText()
            shown.currentText = self.fontMetrics().elidedText(
                text, Qt.TextElideMode.ElideMiddle, room
            )
        painter.drawComplexControl(kind, shown)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, shown)


__all__ = ["NameBox"]
