"""Options of the last run of a dock, remembered from one session to the next."""

import contextlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QComboBox, QPushButton

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.options import Options
from napari_unetseg.core.settings import read_settings, write_settings
from napari_unetseg.gui.shared.form import Form
from napari_unetseg.gui.shared.user_models import beside_settings

RESET_HELP = (
    "Reset every option of this dock to its default. The options of a run are remembered for the "
    "next time."
)

_NAME = "unetseg-options.json"
_CHOICES = "choices"

Known = Mapping[str, Mapping[str, Any]]
"""The remembered options of a dock: for each form, those that differ from the default."""


class Memory:
    """Memory of the options of the last run of one dock.

    `take_up` shows them in its forms and boxes.

    Parameters
    ----------
    dock
        Its title.
    forms, choices
        The forms and boxes to remember, by name.
    reset_button
        A button that is visible while an option differs from its default.
    left_out
        Returns the names of options of one image or model, which are neither remembered nor
        reset.
    closed
        The options of docks that were closed in this session, by title; see `put_away`.
    """

    def __init__(
        self,
        dock: str,
        forms: Mapping[str, Form[Any]],
        choices: Mapping[str, QComboBox],
        reset_button: QPushButton,
        left_out: Callable[[], Collection[str]],
        closed: dict[str, Known],
    ) -> None:
        self._dock, self._forms, self._choices = dock, forms, choices
        self._button, self._left_out = reset_button, left_out
        self._closed = closed
        self._defaults = {name: form.options for name, form in forms.items()}
        self._first = {name: box.currentIndex() for name, box in choices.items()}
        self._held: tuple[dict[str, Any], dict[str, int]] | None = None

    def take_up(self) -> None:
        """Show the remembered options, and start to follow changes for Reset."""
        closed = self._closed.pop(self._dock, None)
        known = recall(self._dock) if closed is None else closed
        for name, form in self._forms.items():
            form.options = merged(form.options, known.get(name, {}))
        for name, box in self._choices.items():
            at = box.findText(str(known.get(_CHOICES, {}).get(name, "")))
            if at >= 0:
                box.setCurrentIndex(at)
        for form in self._forms.values():
            form.changed.connect(self.offer_reset)
        for box in self._choices.values():
            box.currentIndexChanged.connect(self.offer_reset)
        self.offer_reset()

    def keep(self) -> None:
        """Remember the current options for the next session."""
        if self._held is None:
            remember(self._dock, self._known())

    def put_away(self) -> None:
        """Keep the current options until the dock is opened again in this session.

        They were perhaps never run, so the next session does not begin with them.
        """
        if self._held is None:
            self._closed[self._dock] = self._known()

    def _known(self) -> Known:
        left_out = self._left_out()
        known = {
            name: {n: v for n, v in _changed(form.options).items() if n not in left_out}
            for name, form in self._forms.items()
        }
        known[_CHOICES] = {
            name: box.currentText()
            for name, box in self._choices.items()
            if box.currentIndex() != self._first[name]
        }
        return {name: values for name, values in known.items() if values}

    def hold(self) -> None:
        """Pause remembering until `release`, for runs whose options the user did not choose."""
        if self._held is None:
            options = {name: form.options for name, form in self._forms.items()}
            self._held = (options, {n: box.currentIndex() for n, box in self._choices.items()})

    def release(self) -> None:
        """Restore the options of `hold`, and resume remembering."""
        if self._held is None:
            return
        options, chosen = self._held
        self._held = None
        for name, form in self._forms.items():
            form.put_back(options[name])
        for name, box in self._choices.items():
            box.setCurrentIndex(chosen[name])
        self.offer_reset()

    def reset(self) -> None:
        """Reset every option to its default, and forget the remembered ones."""
        for name, form in self._forms.items():
            form.put_back(self._default(name))
        for name, box in self._choices.items():
            box.setCurrentIndex(self._first[name])
        remember(self._dock, {})
        self.offer_reset()

    def offer_reset(self, *_: object) -> None:
        """Show the button while an option differs from its default."""
        differs = any(not form.shows(self._default(n)) for n, form in self._forms.items())
        boxes = self._choices.items()
        differs |= any(box.currentIndex() != self._first[name] for name, box in boxes)
        self._button.setVisible(differs)

    def _default(self, name: str) -> Any:
        """Return the default of a form, with the present values of excluded options."""
        form, default = self._forms[name], self._defaults[name]
        kept = {n: form.value(n) for n in self._left_out() if n in type(default).model_fields}
        return default.model_copy(update=kept)


def recall(dock: str) -> Known:
    """Return the remembered options of a dock; empty if the file is missing or damaged."""
    known = read_settings(_path()).get(dock)
    if not isinstance(known, dict):
        return {}
    return {form: values for form, values in known.items() if isinstance(values, dict)}


def remember(dock: str, known: Known) -> None:
    """Write the options of a run of a dock.

    A failure is ignored: it must not disturb the run.
    """
    path = _path()
    with contextlib.suppress(InputError):
        write_settings(path, {**read_settings(path), dock: known})


def merged(options: Options, values: Mapping[str, Any]) -> Options:
    """Return options updated with remembered values, without options that no longer exist.

    If one value is no longer allowed, `options` are returned unchanged.
    """
    known = {n: v for n, v in values.items() if n in type(options).model_fields}
    try:
        return type(options).checked(**{**options.model_dump(), **known})
    except InputError:
        return options


def _changed(options: Options) -> dict[str, Any]:
    """Return the options that differ from their defaults."""
    return options.model_dump(mode="json", exclude_defaults=True)


def _path() -> Path:
    return beside_settings(_NAME)


__all__ = ["RESET_HELP", "Known", "Memory", "merged", "recall", "remember"]
