"""Nested facts, such as what a model says of itself, as lines for people."""

from collections.abc import Mapping
from typing import Any


def metadata_lines(facts: Mapping[str, Any], *, step: str = "  ", indent: str = "") -> list[str]:
    """Return nested facts as indented lines; what is empty is left out.

    Parameters
    ----------
    step
        By how much what is nested is indented.
    indent
        Of the outermost.

    Examples
    --------
    >>> lines_of({"name": "cells", "scores": {"dice": 0.91234}, "authors": []})
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
