"""Forms of magicgui widgets for options objects: `Form(options).options == options`."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    FloatSlider,
    FloatSpinBox,
    LineEdit,
    Slider,
    SpinBox,
)
from magicgui.widgets.bases import ValueWidget
from psygnal import Signal
from pydantic.fields import FieldInfo
from qtpy.QtWidgets import QFormLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_unetseg.core.options import Options
from napari_unetseg.gui.shared.tab_order import order_tabs

O = TypeVar("O", bound=Options)  # noqa: E741 - an Options

_OWN = "own..."
# The range of a spin box for a number without bounds.
_INT_RANGE = (-(2**31), 2**31 - 1)
_FLOAT_RANGE = (-1e12, 1e12)


class Form(Generic[O]):
    """Widgets for every field of an options object: some at first sight, the rare ones elsewhere.

    Parameters
    ----------
    options
        The initial values; their class defines the fields.
    first
        Names of the fields at first sight; those that are not advanced when missing.

    Attributes
    ----------
    changed : psygnal.Signal
        Sent with the new options whenever the user changed a field.
    arranged : psygnal.Signal
        Sent when other fields matter than before.
    """

    changed = Signal(Options)
    arranged = Signal()

    def __init__(self, options: O, *, first: Collection[str] | None = None) -> None:
        self._type = type(options)
        self._rows = {
            name: _Row(name, field, getattr(options, name), first)
            for name, field in self._type.model_fields.items()
        }
        self._complete = self._silent = False
        self._offered = True
        self._sheet: QFormLayout | None = None
        self._rare: QWidget | None = None
        self._headings: dict[str, QLabel] = {}

    @property
    def page(self) -> QWidget:
        """The widgets at first sight: one row per field, irrelevant fields hidden."""
        _ = self.layout
        return self._holder

    @property
    def rare(self) -> QWidget:
        """The widgets of the rare fields, below the headings of their groups.

        It is empty until `fill_rare`.
        """
        if self._rare is None:
            self._rare = QWidget()
            _new_sheet(self._rare)
        return self._rare

    def show_rare(self, wanted: bool) -> None:
        """Offer the rare fields, or hide all of them."""
        if self._offered != wanted:
            self._offered = wanted
            self.arranged.emit()

    @property
    def has_rare(self) -> bool:
        """Whether a rare field matters."""
        if not self._offered:
            return False
        values = {name: row.value for name, row in self._rows.items()}
        return any(row.rare and row.wanted and row.matters(values) for row in self._rows.values())

    def fill_rare(self) -> None:
        """Make the widgets of the rare fields, once: most are never looked at."""
        if not self._complete:
            self._complete = True
            self._add_rare(_sheet_of(self.rare))
            order_tabs(self.rare)
            self._arrange()

    @property
    def layout(self) -> QFormLayout:
        """The rows of the page, to which a tool can add its own inputs.

        The widgets are made on first use, because making them takes time.
        """
        if self._sheet is None:
            self._sheet = self._laid_out()
            self._arrange()
        return self._sheet

    @property
    def options(self) -> O:
        """The options that the widgets show.

        Raises
        ------
        InputError
            If a text is not allowed.
        """
        return self._type.checked(**{name: row.value for name, row in self._rows.items()})

    @options.setter
    def options(self, options: O) -> None:
        if options == self._safe_options():
            return
        self._silent = True
        try:
            for name, row in self._rows.items():
                row.value = getattr(options, name)
        finally:
            self._silent = False
        self._arrange()

    def put_back(self, options: O) -> None:
        """Show other options, and send `changed` if they differ."""
        if options != self._safe_options():
            self.options = options
            self.changed.emit(options)

    def shows(self, options: O) -> bool:
        """Whether the widgets show `options`."""
        return self._safe_options() == options

    def set(self, **values: Any) -> None:
        """Change some fields without sending `changed`."""
        self.options = self.options.model_copy(update=values)

    def value(self, name: str) -> Any:
        """Return the value of field `name`, allowed or not."""
        return self._rows[name].value

    def widget(self, name: str) -> ValueWidget[Any]:
        """Return the widget that edits field `name`."""
        _ = self.layout
        if self._rows[name].rare:
            self.fill_rare()
        return self._rows[name].inputs[0]

    def label(self, name: str) -> QLabel:
        """Return the label of field `name`."""
        _ = self.widget(name)
        return self._rows[name].label

    def set_range(self, name: str, low: float, high: float) -> None:
        """Set the range of the number `name`, widened to include its present value."""
        widget: Any = self.widget(name)
        self._silent = True
        try:
            if isinstance(widget, FloatSpinBox) and high > low:
                # About a thousand steps from end to end, whether grey levels go to 1 or 65535.
                widget.step = 10.0 ** math.floor(math.log10((high - low) / 300))
            _set_range(widget, min(low, widget.value), max(high, widget.value))
        finally:
            self._silent = False

    def offer(self, name: str, choices: Sequence[Any]) -> None:
        """Offer some of the choices of field `name`; one that is gone becomes the first of them.

        Does not send `changed`.
        """
        widget: Any = self.widget(name)
        value = widget.value if widget.value in choices else choices[0]
        if tuple(widget.choices) == tuple(choices):
            return
        self._silent = True
        try:
            widget.choices = list(choices)
            widget.value = value
        finally:
            self._silent = False
        self._arrange()

    def show_only(self, names: Mapping[str, bool]) -> None:
        """Show or hide fields for a reason outside the options (the layer has no Z...)."""
        for name, wanted in names.items():
            self._rows[name].wanted = wanted
        self._arrange()

    def _safe_options(self) -> O | None:
        try:
            return self.options
        except ValueError:
            return None

    def _on_changed(self) -> None:
        if self._silent:
            return
        self._arrange()
        options = self._safe_options()
        if options is not None:
            self.changed.emit(options)

    def _laid_out(self) -> QFormLayout:
        # The widget that holds the rows goes with the layout, which it owns.
        self._holder = QWidget()
        layout = _new_sheet(self._holder)
        self._add(layout, [row for row in self._rows.values() if not row.rare])
        return layout

    def _add_rare(self, layout: QFormLayout) -> None:
        """Add the rare fields, those of a group together."""
        rare = [row for row in self._rows.values() if row.rare]
        for group in dict.fromkeys(row.group for row in rare):
            if group:
                self._headings[group] = heading = heading_label(group)
                layout.addRow(heading)
            self._add(layout, [row for row in rare if row.group == group])

    def _add(self, layout: QFormLayout, rows: Sequence["_Row"]) -> None:
        for row in rows:
            row.add_to(layout)
            for widget in row.inputs:
                widget.changed.connect(self._on_changed)

    def _arrange(self) -> None:
        """Show the fields that matter, and the headings of groups that have some."""
        values = {name: row.value for name, row in self._rows.items()}
        shown: set[str] = set()
        for row in self._rows.values():
            sheet = (
                self._sheet if not row.rare else _sheet_of(self.rare) if self._complete else None
            )
            if sheet is not None:
                matters = row.wanted and row.matters(values)
                row.show(sheet, matters)
                if matters and row.rare:
                    shown.add(row.group)
        for group, heading in self._headings.items():
            _sheet_of(self.rare).setRowVisible(heading, group in shown)
        self.arranged.emit()


def heading_label(text: str) -> QLabel:
    """Return the heading of a group of rows."""
    label = QLabel(f"<b>{text}</b>")
    label.setContentsMargins(0, 6, 0, 0)
    return label


def labelled_rows(*rows: tuple[str, QWidget]) -> QWidget:
    """Return a widget with labelled rows, which long names do not widen."""
    page = QWidget()
    layout = _new_sheet(page)
    for label, widget in rows:
        widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        widget.setMinimumWidth(80)
        layout.addRow(label, widget)
    return page


def stacked(*widgets: QWidget) -> QWidget:
    """Return a widget with others below each other."""
    page = QWidget()
    column = QVBoxLayout(page)
    column.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        column.addWidget(widget)
    return page


def _new_sheet(holder: QWidget) -> QFormLayout:
    layout = QFormLayout(holder)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setVerticalSpacing(4)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return layout


def _sheet_of(holder: QWidget) -> QFormLayout:
    layout = holder.layout()
    if not isinstance(layout, QFormLayout):
        raise TypeError("The widget has no form layout.")
    return layout


class _Row:
    """One field: its value, held by its widgets once they are made."""

    label: QLabel

    def __init__(
        self, name: str, field: FieldInfo, value: Any, first: Collection[str] | None
    ) -> None:
        extra = field.json_schema_extra
        layout: Mapping[str, Any] = extra if isinstance(extra, Mapping) else {}
        self.name = name
        self.wanted = True
        self.rare = bool(layout.get("advanced", False)) if first is None else name not in first
        self.group = str(layout.get("group", ""))
        self._when: Mapping[str, Any] = layout.get("when", {})
        self._choices = [str(choice) for choice in layout.get("suggestions", ())]
        self._field, self._value, self._layout = field, value, layout
        self.inputs: list[ValueWidget[Any]] = []

    @property
    def value(self) -> Any:
        if not self.inputs:
            return self._value
        first = self.inputs[0]
        if self._choices:
            return self.inputs[1].value if first.value == _OWN else first.value
        return first.value

    @value.setter
    def value(self, value: Any) -> None:
        if not self.inputs:
            self._value = value
            return
        first = self.inputs[0]
        if self._choices:
            known = value in self._choices
            first.value = value if known else _OWN
            if not known:
                self.inputs[1].value = value
            return
        if isinstance(first, (SpinBox, FloatSpinBox, Slider, FloatSlider)):
            _set_range(first, min(first.min, value), max(first.max, value))
        if isinstance(first, ComboBox) and value not in first.choices:
            # Options that are put back may hold one that is not offered here.
            first.choices = [*first.choices, value]
        first.value = value

    def matters(self, values: Mapping[str, Any]) -> bool:
        return all(values[other] in wanted for other, wanted in self._when.items())

    def add_to(self, layout: QFormLayout) -> None:
        """Make the widgets, as the last rows of `layout`."""
        self.inputs = self._make(self._field, self._value, self._layout)
        for number, widget in enumerate(self.inputs):
            widget.tooltip = self._field.description or ""
            title = self._field.title or self.name.replace("_", " ")
            widget.label = f"own {self.name}" if number else title
            label = QLabel(widget.label)
            if not number:
                self.label = label
            label.setToolTip(widget.tooltip)
            label.setBuddy(widget.native)
            if not isinstance(widget, CheckBox):
                # A long entry must not widen the dock.
                widget.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
                widget.native.setMinimumWidth(80)
            layout.addRow(label, widget.native)

    def show(self, layout: QFormLayout, wanted: bool) -> None:
        if not self.inputs:
            return
        layout.setRowVisible(self.inputs[0].native, wanted)
        if self._choices:
            own = wanted and self.inputs[0].value == _OWN
            layout.setRowVisible(self.inputs[1].native, own)

    def _make(
        self, field: FieldInfo, value: Any, layout: Mapping[str, Any]
    ) -> list[ValueWidget[Any]]:
        kind = field.annotation
        if get_origin(kind) is Literal:
            return [ComboBox(name=self.name, choices=list(get_args(kind)), value=value)]
        if kind is bool:
            tick = CheckBox(name=self.name, value=value)
            tick.text = ""  # the row has a label
            return [tick]
        if kind in (int, float):
            return [_number(self.name, kind, field, value, layout)]
        if self._choices:
            known = value in self._choices
            box = ComboBox(
                name=self.name,
                choices=[*self._choices, _OWN],
                value=value if known else _OWN,
            )
            return [
                box,
                LineEdit(name=f"own_{self.name}", value=self._choices[0] if known else value),
            ]
        return [LineEdit(name=self.name, value=value)]


def _number(
    name: str, kind: Any, field: FieldInfo, value: Any, layout: Mapping[str, Any]
) -> ValueWidget[Any]:
    low, high = _bounds(field, kind)
    slider = bool(layout.get("slider", False))
    step = layout.get("step")
    if kind is int and slider:
        return Slider(name=name, value=value, min=low, max=high, step=int(step or 1))
    if slider:
        return FloatSlider(name=name, value=value, min=low, max=high)
    box: Any
    if kind is int:
        box = SpinBox(name=name, value=value, min=low, max=high, step=int(step or 1))
    else:
        box = FloatSpinBox(name=name, value=value, min=low, max=high, step=step or 0.1)
    # Qt shows it for the lowest value, which is 0.
    box.native.setSpecialValueText(str(layout.get("zero", "")))
    return box


def _bounds(field: FieldInfo, kind: Any) -> tuple[Any, Any]:
    low, high = _INT_RANGE if kind is int else _FLOAT_RANGE
    # A spin box has no open ends: the nearest number that is allowed.
    nudge: Any = 1 if kind is int else 1e-9
    found: dict[str, Any] = {}
    for bound in field.metadata:
        for name in ("ge", "gt", "le", "lt"):
            if (value := getattr(bound, name, None)) is not None:
                found[name] = value
    if "gt" in found:
        low = found["gt"] + nudge
    if "lt" in found:
        high = found["lt"] - nudge
    return found.get("ge", low), found.get("le", high)


def _set_range(widget: Any, low: float, high: float) -> None:
    # One end at a time must never pass the other.
    if low <= widget.max:
        widget.min = low
        widget.max = high
    else:
        widget.max = high
        widget.min = low
