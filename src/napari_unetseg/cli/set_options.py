"""Parse ``--set option=value`` for all options of a model and its training."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.fields import FieldInfo

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.options import Options

_BUDGET = re.compile(r"(\d+\.?\d*|\.\d+)\s*([smh]?)[a-z]*", re.IGNORECASE)
_MINUTES = {"s": 1 / 60, "m": 1.0, "": 1.0, "h": 60.0}


def sort_settings(
    words: Sequence[str], groups: Mapping[str, type[Options]]
) -> dict[str, dict[str, str]]:
    """Sort settings by the options class they belong to.

    Parameters
    ----------
    words
        Settings ``option=value``, the option with hyphens or underscores.
    groups
        Options classes by display name. A name in several classes belongs to the first.

    Returns
    -------
    dict
        For each group the given values by field, as text.

    Raises
    ------
    InputError
        When a word is not a setting, is given twice, or names no option.
    """
    values: dict[str, dict[str, str]] = {group: {} for group in groups}
    for word in words:
        name, equals, value = word.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise InputError(f"--set {word}: give an option and its value, such as --set width=8.")
        group = next((key for key in groups if name in groups[key].model_fields), None)
        if group is None:
            raise InputError(_unknown(name, groups))
        if name in values[group]:
            raise InputError(f"--set {name} is given twice. Leave one out.")
        values[group][name] = value.strip()
    return values


def as_setting(name: str, field: FieldInfo, value: Any) -> str:
    """Format a field as in ``--set``; see `napari_unetseg.cli.flags.Spell`."""
    return f"--set {name}" if value is None else f"--set {name}={value}"


def parse_minutes(budget: str) -> float:
    """Parse a time such as 90s, 5m, 1.5h or 2 into minutes.

    Raises
    ------
    InputError
        When it is not a time, or not above 0.
    """
    match = _BUDGET.fullmatch(budget.strip())
    minutes = float(match[1]) * _MINUTES[match[2].lower()] if match else 0.0
    if minutes <= 0:
        raise InputError(
            f"--budget {budget!r} is not a training time. Give seconds, minutes or hours, such as "
            "90s, 5m or 1h; a plain number is in minutes."
        )
    return minutes


def option_lines(options: type[Options]) -> list[str]:
    """Format a line for each option: name, default, choices and description."""
    return [
        f"  {name}={field.default}{_choices(field)}  {' '.join(str(field.description).split())}"
        for name, field in options.model_fields.items()
    ]


def _choices(field: FieldInfo) -> str:
    values = getattr(field.annotation, "__args__", ())
    return f" ({'|'.join(map(str, values))})" if values else ""


def _unknown(name: str, groups: Mapping[str, type[Options]]) -> str:
    names = [option for options in groups.values() for option in options.model_fields]
    close = difflib.get_close_matches(name, names, n=1)
    guess = f" Did you mean {close[0]}?" if close else ""
    lists = "; ".join(f"{key}: {', '.join(groups[key].model_fields)}" for key in groups)
    return f"--set {name}: there is no such option.{guess} Options of {lists}."


__all__ = ["as_setting", "option_lines", "parse_minutes", "sort_settings"]
