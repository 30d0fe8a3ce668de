"""An options object as magicgui widgets, and back: `Form(options).options == options`."""

import math
from collections.abc import Mapping
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    FloatSlider,
    FloatSpinBox,
    LineEdit,
    PushButton,
    Slider,
    SpinBox,
)
from magicgui.widgets.bases import ValueWidget
from psygnal import Signal
from pydantic.fields import FieldInfo
from qtpy.QtWidgets import QFormLayout, QLabel, QSizePolicy, QWidget

from napari_unetseg.core.specs import Options

O = TypeVar("O", bound=Options)  # noqa: E741 - an Options

_OWN = "own..."
# What a number without bounds of its own may be in a spin box.
_INT_RANGE = (-(2**31), 2**31 - 1)
_FLOAT_RANGE = (-1e12, 1e12)


class Form(Generic[O]):
    """Widgets for every field of an options object.

    Parameters
    ----------
    options
        What the widgets show at first; its class says which fields there are.

    Attributes
    ----------
    changed : psygnal.Signal
        Sent with the new options whenever the user changed a field.
    page : QWidget
        The widgets: one row a field, fields that do not matter now hidden, rare ones folded away.
    layout : QFormLayout
        The rows of `page`, so that a tool can put inputs of its own in line with them.
    """

    changed = Signal(Options)

    def __init__(self, options: O) -> None:
        self._type = type(options)
        self._rows = {
            name: _Row(name, field, getattr(options, name))
            for name, field in self._type.model_fields.items()
        }
        self._folded = True
        self._fold = PushButton(text="More options")
        self._fold.changed.connect(self._toggle_fold)
        self.page = QWidget()
        self.layout = QFormLayout(self.page)
        self._lay_out()
        for row in self._rows.values():
            for widget in row.inputs:
                widget.changed.connect(self._on_changed)
        self._silent = False
        self._arrange()

    @property
    def options(self) -> O:
        """The options as the widgets stand.

        Raises
        ------
        InputError
            When a text cannot be used; the sentence says why.
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
        """Show other options, and send `changed` if they are others."""
        if options != self._safe_options():
            self.options = options
            self.changed.emit(options)

    def shows(self, options: O) -> bool:
        """Whether the widgets stand for `options`."""
        return self._safe_options() == options

    def set(self, **values: Any) -> None:
        """Change some fields without sending `changed`."""
        self.options = self.options.model_copy(update=values)

    def value(self, name: str) -> Any:
        """Return what field `name` stands at, allowed or not."""
        return self._rows[name].value

    def widget(self, name: str) -> ValueWidget[Any]:
        """Return the widget that edits field `name`."""
        return self._rows[name].inputs[0]

    def set_range(self, name: str, low: float, high: float) -> None:
        """Let the number `name` go from `low` to `high`, its present value included."""
        widget: Any = self._rows[name].inputs[0]
        self._silent = True
        try:
            if isinstance(widget, FloatSpinBox) and high > low:
                # About a thousand steps from end to end, whether grey levels go to 1 or 65535.
                widget.step = 10.0 ** math.floor(math.log10((high - low) / 300))
            _set_range(widget, min(low, widget.value), max(high, widget.value))
        finally:
            self._silent = False

    def show_only(self, names: Mapping[str, bool]) -> None:
        """Show or hide fields for a reason that the options do not know (the layer has no Z...)."""
        for name, wanted in names.items():
            self._rows[name].wanted = wanted
        self._arrange()

    def unfold(self, folded: bool = False) -> None:
        """Show the rare fields, or fold them away."""
        self._folded = folded
        self._fold.text = "More options" if folded else "Fewer options"
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

    def _toggle_fold(self) -> None:
        self.unfold(not self._folded)

    def _lay_out(self) -> None:
        self.layout.setContentsMargins(0, 0, 0, 0)
        self.layout.setVerticalSpacing(4)
        self.layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows = self._rows.values()
        for row in [row for row in rows if not row.advanced]:
            row.add_to(self.layout)
        self.layout.addRow(self._fold.native)
        for row in [row for row in rows if row.advanced]:
            row.add_to(self.layout)

    def _arrange(self) -> None:
        values = {name: row.value for name, row in self._rows.items()}
        rare = False
        for row in self._rows.values():
            matters = row.wanted and row.matters(values)
            rare |= matters and row.advanced
            row.show(self.layout, matters and not (row.advanced and self._folded))
        self.layout.setRowVisible(self._fold.native, rare)


class _Row:
    """The widgets of one field."""

    def __init__(self, name: str, field: FieldInfo, value: Any) -> None:
        extra = field.json_schema_extra
        layout: Mapping[str, Any] = extra if isinstance(extra, Mapping) else {}
        self.name = name
        self.wanted = True
        self.advanced = bool(layout.get("advanced", False))
        self._when: Mapping[str, Any] = layout.get("when", {})
        self._choices = [str(choice) for choice in layout.get("suggestions", ())]
        help_text = field.description or ""
        label = field.title or name.replace("_", " ")
        self.inputs = self._make(field, value, layout)
        for widget in self.inputs:
            widget.tooltip = help_text
            widget.label = label
        if self._choices:
            self.inputs[1].label = f"own {name}"

    @property
    def value(self) -> Any:
        first = self.inputs[0]
        if self._choices:
            return self.inputs[1].value if first.value == _OWN else first.value
        return first.value

    @value.setter
    def value(self, value: Any) -> None:
        first = self.inputs[0]
        if self._choices:
            known = value in self._choices
            first.value = value if known else _OWN
            if not known:
                self.inputs[1].value = value
            return
        if isinstance(first, (SpinBox, FloatSpinBox, Slider, FloatSlider)):
            _set_range(first, min(first.min, value), max(first.max, value))
        first.value = value

    def matters(self, values: Mapping[str, Any]) -> bool:
        return all(values[other] in wanted for other, wanted in self._when.items())

    def add_to(self, layout: QFormLayout) -> None:
        for widget in self.inputs:
            label = QLabel(widget.label)
            label.setToolTip(widget.tooltip)
            label.setBuddy(widget.native)
            if not isinstance(widget, CheckBox):
                # A long entry must not make the dock wider than a laptop can spare.
                widget.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
                widget.native.setMinimumWidth(80)
            layout.addRow(label, widget.native)

    def show(self, layout: QFormLayout, wanted: bool) -> None:
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
            tick.text = ""  # the label of the row says it
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
    if kind is int:
        make = Slider if slider else SpinBox
        return make(name=name, value=value, min=low, max=high, step=int(step or 1))
    if slider:
        return FloatSlider(name=name, value=value, min=low, max=high)
    return FloatSpinBox(name=name, value=value, min=low, max=high, step=step or 0.1)


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
