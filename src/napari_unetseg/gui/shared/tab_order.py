"""Set the order in which the Tab key visits the widgets of a page: that on screen."""

from collections.abc import Iterator
from itertools import pairwise

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFormLayout, QLayout, QLayoutItem, QScrollArea, QWidget


def order_tabs(page: QWidget) -> None:
    """Let the Tab key visit the widgets of a page from top to bottom and from left to right.

    Qt's own order is that in which they were made.
    """
    for before, after in pairwise(_in_reading_order(page)):
        QWidget.setTabOrder(before, after)


def _in_reading_order(widget: QWidget) -> Iterator[QWidget]:
    if widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
        yield widget
    inside = widget.widget() if isinstance(widget, QScrollArea) else None
    if inside is not None:
        yield from _in_reading_order(inside)
    layout = widget.layout()
    if layout is not None:
        yield from _of_layout(layout)


def _of_layout(layout: QLayout) -> Iterator[QWidget]:
    for item in _items(layout):
        widget = None if item is None else item.widget()
        inside = None if item is None else item.layout()
        if widget is not None:
            yield from _in_reading_order(widget)
        elif inside is not None:
            yield from _of_layout(inside)


def _items(layout: QLayout) -> list[QLayoutItem | None]:
    if not isinstance(layout, QFormLayout):
        return [layout.itemAt(number) for number in range(layout.count())]
    roles = QFormLayout.ItemRole
    return [
        layout.itemAt(row, role)
        for row in range(layout.rowCount())
        for role in (roles.LabelRole, roles.FieldRole, roles.SpanningRole)
    ]


__all__ = ["order_tabs"]
