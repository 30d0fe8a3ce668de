"""The options a dock was last run with, remembered from one session to the next."""

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
    "Put every option of this dock back to its default. What a run was made with is remembered for "
    "the next time."
)

_NAME = "unetseg-options.json"
_CHOICES = "choices"

Known = Mapping[str, Mapping[str, Any]]
"""What is remembered of a dock: for each of its forms, the options that were not the default."""


class Memory:
    """Remembers what the forms and boxes of one dock were last run with.

    `take_up` shows it in them.

    Parameters
    ----------
    dock
        Its title.
    forms, choices
        What is remembered, each with a name.
    reset_button
        Is shown while something is not the default.
    left_out
        Names the options that hold for one image or model only: they are neither remembered nor
        reset.
    """

    def __init__(
        self,
        dock: str,
        forms: Mapping[str, Form[Any]],
        choices: Mapping[str, QComboBox],
        reset_button: QPushButton,
        left_out: Callable[[], Collection[str]],
    ) -> None:
        self._dock, self._forms, self._choices = dock, forms, choices
        self._button, self._left_out = reset_button, left_out
        self._defaults = {name: form.options for name, form in forms.items()}
        self._first = {name: box.currentIndex() for name, box in choices.items()}
        self._held: tuple[dict[str, Any], dict[str, int]] | None = None

    def take_up(self) -> None:
        """Show what is remembered, and offer from now on to reset it."""
        known = recall(self._dock)
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
        """Remember everything as it is, for the next time."""
        if self._held is not None:
            return
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
        remember(self._dock, {name: values for name, values in known.items() if values})

    def hold(self) -> None:
        """Remember nothing until `release`: what is run meanwhile is not of the user's choice."""
        if self._held is None:
            options = {name: form.options for name, form in self._forms.items()}
            self._held = (options, {n: box.currentIndex() for n, box in self._choices.items()})

    def release(self) -> None:
        """Show again what was shown at `hold`, and go on remembering."""
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
        """Put every option back to its default, and forget what was remembered."""
        for name, form in self._forms.items():
            form.put_back(self._default(name))
        for name, box in self._choices.items():
            box.setCurrentIndex(self._first[name])
        remember(self._dock, {})
        self.offer_reset()

    def offer_reset(self, *_: object) -> None:
        """Show the button while something is not the default."""
        differs = any(not form.shows(self._default(n)) for n, form in self._forms.items())
        boxes = self._choices.items()
        differs |= any(box.currentIndex() != self._first[name] for name, box in boxes)
        self._button.setVisible(differs)

    def _default(self, name: str) -> Any:
        """Return the default of a form, with what is left out as it is now."""
        form, default = self._forms[name], self._defaults[name]
        kept = {n: form.value(n) for n in self._left_out() if n in type(default).model_fields}
        return default.model_copy(update=kept)


def recall(dock: str) -> Known:
    """Return what is remembered of a dock; nothing where the file is missing or damaged."""
    known = read_settings(_path()).get(dock)
    if not isinstance(known, dict):
        return {}
    return {form: values for form, values in known.items() if isinstance(values, dict)}


def remember(dock: str, known: Known) -> None:
    """Write what a dock was run with.

    Nothing is said where that fails: a run must not suffer from what is only a convenience.
    """
    path = _path()
    with contextlib.suppress(OSError):
        write_settings(path, {**read_settings(path), dock: known})


def merged(options: Options, values: Mapping[str, Any]) -> Options:
    """Return options with remembered values, leaving out what no longer is an option.

    One value that is not allowed any more makes all of them the default.
    """
    known = {n: v for n, v in values.items() if n in type(options).model_fields}
    try:
        return type(options).checked(**{**options.model_dump(), **known})
    except InputError:
        return options


def _changed(options: Options) -> dict[str, Any]:
    """Return the options that are not the default."""
    return options.model_dump(mode="json", exclude_defaults=True)


def _path() -> Path:
    return beside_settings(_NAME)


__all__ = ["RESET_HELP", "Known", "Memory", "merged", "recall", "remember"]
