"""Nested metadata, such as a model's description, formatted as text."""

from collections.abc import Mapping
from typing import Any


def metadata_lines(facts: Mapping[str, Any], *, step: str = "  ", indent: str = "") -> list[str]:
    """Format nested metadata as indented lines; empty values are left out.

    Parameters
    ----------
    step
        Indentation of each nesting level.
    indent
        Indentation of the outermost level.

    Examples
    --------
    >>> metadata_lines({"name": "cells", "scores": {"dice": 0.91234}, "authors": []})
    ['name: cells', 'scores:', '  dice: 0.9123']
    """
    lines = []
    for key, value in facts.items():
        if isinstance(value, Mapping) and value:
            inner = metadata_lines(value, step=step, indent=indent + step)
            lines += [f"{indent}{key}:", *inner] if inner else []
        elif isinstance(value, list | tuple) and value:
            lines.append(f"{indent}{key}: {', '.join(map(_word, value))}")
        elif value not in ("", None, [], (), {}):
            lines.append(f"{indent}{key}: {_word(value)}")
    return lines


def _word(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


__all__ = ["metadata_lines"]
